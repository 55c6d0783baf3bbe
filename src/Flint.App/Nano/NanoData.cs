using System.Text.Encodings.Web;
using System.Text.Json;
using Flint.Dialects;

namespace Flint.App.Nano;

/// <summary>Writes training examples as JSON lines of chat messages.</summary>
public static class NanoData
{
    /// <summary>The most examples of one file.</summary>
    public const int MaxItems = 100_000_000;

    private const int FlushBytes = 1 << 20;

    private static readonly JsonWriterOptions Unescaped = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes the examples 0 to <paramref name="items"/> - 1 of a seed. The same arguments give the same bytes everywhere.</summary>
    /// <param name="output">Where the lines go, each ended by a line feed.</param>
    /// <param name="seed">Names the data set.</param>
    /// <param name="items">How many.</param>
    /// <param name="task">Of one skill only; null for the mix.</param>
    /// <param name="stage">Of which stage of training.</param>
    public static void Write(Stream output, ulong seed, int items, string? task, int stage = NanoWorld.Stages)
    {
        using var writer = new Utf8JsonWriter(output, Unescaped);
        for (int i = 0; i < items; i++)
        {
            WriteLine(writer, NanoWorld.Train(seed, task, i, stage));
            if (writer.BytesPending > FlushBytes) writer.Flush();
            writer.Flush();
            output.WriteByte((byte)'\n');
            writer.Reset();
        }
    }

    private static void WriteLine(Utf8JsonWriter writer, NanoItem item)
    {
        writer.WriteStartObject();
        writer.WriteString("task", item.Task);
        writer.WriteString("reasoning_strength", NanoWorld.StrengthNames[(int)item.Strength]);
        if (item.Tools.Count > 0)
        {
            writer.WriteStartArray("tools");
            foreach (string tool in item.Tools) writer.WriteRawValue(tool, skipInputValidation: true);
            writer.WriteEndArray();
        }
        writer.WriteStartArray("messages");
        foreach (ChatMessage message in item.Messages) WriteMessage(writer, message);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static void WriteMessage(Utf8JsonWriter writer, ChatMessage message)
    {
        writer.WriteStartObject();
        writer.WriteString("role", message.Role);
        if (message.ReasoningContent is not null) writer.WriteString("reasoning_content", message.ReasoningContent);
        if (message.Content is not null) writer.WriteString("content", message.Content);
        if (message.Name is not null) writer.WriteString("name", message.Name);
        if (message.ToolCallId is not null) writer.WriteString("tool_call_id", message.ToolCallId);
        if (message.ToolCalls is not null)
        {
            writer.WriteStartArray("tool_calls");
            foreach (ToolCall call in message.ToolCalls)
            {
                writer.WriteStartObject();
                writer.WriteString("id", call.Id);
                writer.WriteString("type", "function");
                writer.WriteStartObject("function");
                writer.WriteString("name", call.Name);
                writer.WriteString("arguments", call.Arguments);
                writer.WriteEndObject();
                writer.WriteEndObject();
            }
            writer.WriteEndArray();
        }
        if (message.Role == "assistant" && message.ReasoningContent is null) writer.WriteNumber("weight", 0);
        writer.WriteEndObject();
    }
}
