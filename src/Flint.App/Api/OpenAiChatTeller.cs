using System.Text.Json;
using Flint.Contemplate;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>Tells an answer as <c>chat.completion</c>, or as a stream of <c>chat.completion.chunk</c>.</summary>
internal sealed class OpenAiChatTeller(ChatTurn turn) : ChatTeller(turn)
{
    private bool TellsUsage => Turn.Request.Generation.StreamUsage;

    /// <inheritdoc/>
    public override void WriteWhole(Utf8JsonWriter writer, IReadOnlyList<ChatOutput> outputs)
    {
        WriteHead(writer, "chat.completion"u8);
        writer.WriteStartArray("choices"u8);
        foreach (ChatOutput output in outputs)
            WriteMessage(writer, output);
        writer.WriteEndArray();
        ChatExtras.WriteTrees(writer, Turn, outputs[0].Trace, outputs[0].Subagents);
        ChatExtras.WriteDeadline(writer, Turn.Deadline, outputs.Any(output => output.IsLate));
        Turn.Meter.Usage.Write(writer);
        writer.WriteEndObject();
    }

    /// <summary>The first chunk of a choice names its role.</summary>
    public override void Begin(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
        foreach (ChatOutput output in outputs)
            WriteChunk(stream, output, begins: true);
    }

    /// <inheritdoc/>
    public override void Tell(EventStream stream, ChatOutput output)
    {
        if (output.Scores.Count > 0 || output.Parts.Any(IsNews))
            WriteChunk(stream, output);
    }

    /// <summary>Like the usage, told in a chunk without choices.</summary>
    public override void Tell(EventStream stream, in ContemplationEvent news)
    {
        if (!Turn.Request.TellsContemplation)
            return;
        stream.Write((this, news), static (writer, told) =>
        {
            told.Item1.WriteHead(writer, "chat.completion.chunk"u8);
            writer.WriteStartArray("choices"u8);
            writer.WriteEndArray();
            writer.WritePropertyName("contemplation_event"u8);
            told.news.WriteTo(writer);
            writer.WriteEndObject();
        });
    }

    /// <inheritdoc/>
    public override void End(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
        foreach (ChatOutput output in outputs)
            WriteChunk(stream, output);
        if (TellsUsage)
        {
            stream.Write(this, static (writer, teller) =>
            {
                teller.WriteHead(writer, "chat.completion.chunk"u8);
                writer.WriteStartArray("choices"u8);
                writer.WriteEndArray();
                teller.Turn.Meter.Usage.Write(writer);
                writer.WriteEndObject();
            });
        }

        stream.WriteDone();
    }

    private void WriteChunk(EventStream stream, ChatOutput output, bool begins = false)
    {
        stream.Write((this, output, begins), static (writer, chunk) =>
        {
            (OpenAiChatTeller teller, ChatOutput output, bool begins) = chunk;
            teller.WriteHead(writer, "chat.completion.chunk"u8);
            writer.WriteStartArray("choices"u8);
            teller.WriteDelta(writer, output, begins);
            writer.WriteEndArray();
            if (output.FinishReason is not null)
                ChatExtras.WriteEnd(writer, teller.Turn, output);
            if (teller.TellsUsage)
                writer.WriteNull("usage"u8);
            writer.WriteEndObject();
        });
        output.Clear();
    }

    // What every answer and chunk begins with; leaves the object open.
    private void WriteHead(Utf8JsonWriter writer, ReadOnlySpan<byte> type)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, Turn.Meter.Id);
        writer.WriteString("object"u8, type);
        writer.WriteNumber("created"u8, Turn.Meter.Created);
        writer.WriteString("model"u8, Turn.Name);
        writer.WriteString("system_fingerprint"u8, Turn.Fingerprint);
        ChatExtras.WriteMode(writer, Turn);
    }

    private void WriteMessage(Utf8JsonWriter writer, ChatOutput output)
    {
        string content = output.Text(ChatPartKind.Content), reasoning = output.Text(ChatPartKind.Reasoning);
        writer.WriteStartObject();
        writer.WriteNumber("index"u8, output.Index);
        writer.WriteStartObject("message"u8);
        writer.WriteString("role"u8, "assistant"u8);
        writer.WriteString("content"u8, content.Length == 0 && output.Calls > 0 ? null : content);
        writer.WriteNull("refusal"u8);
        if (reasoning.Length > 0)
            writer.WriteString("reasoning_content"u8, reasoning);
        if (output.Calls > 0)
            WriteCalls(writer, output, whole: true);
        writer.WriteEndObject();
        WriteEnd(writer, output);
    }

    private void WriteDelta(Utf8JsonWriter writer, ChatOutput output, bool begins)
    {
        string content = output.Text(ChatPartKind.Content), reasoning = output.Text(ChatPartKind.Reasoning);
        writer.WriteStartObject();
        writer.WriteNumber("index"u8, output.Index);
        writer.WriteStartObject("delta"u8);
        if (begins)
            writer.WriteString("role"u8, "assistant"u8);
        if (begins || content.Length > 0)
            writer.WriteString("content"u8, content);
        if (reasoning.Length > 0)
            writer.WriteString("reasoning_content"u8, reasoning);
        if (output.Parts.Any(part => part.Kind == ChatPartKind.Call && IsNews(part)))
            WriteCalls(writer, output, whole: false);
        writer.WriteEndObject();
        WriteEnd(writer, output);
    }

    private void WriteEnd(Utf8JsonWriter writer, ChatOutput output)
    {
        if (Turn.Request.TopLogprobs < 0)
        {
            writer.WriteNull("logprobs"u8);
        }
        else
        {
            writer.WriteStartObject("logprobs"u8);
            TokenNames.WriteScores(writer, "content"u8, Turn.Tokenizer, output.Scores);
            writer.WriteNull("refusal"u8);
            writer.WriteEndObject();
        }

        writer.WriteString("finish_reason"u8, output.FinishReason);
        writer.WriteEndObject();
    }

    // That a call is over has no word of its own here.
    private static bool IsNews(ChatPart part) => part.Id is not null || part.Text.Length > 0;

    private static void WriteCalls(Utf8JsonWriter writer, ChatOutput output, bool whole)
    {
        writer.WriteStartArray("tool_calls"u8);
        foreach (ChatPart part in output.Parts.Where(part => part.Kind == ChatPartKind.Call && IsNews(part)))
        {
            writer.WriteStartObject();
            if (!whole)
                writer.WriteNumber("index"u8, part.Call);
            if (part.Id is not null)
            {
                writer.WriteString("id"u8, part.Id);
                writer.WriteString("type"u8, "function"u8);
            }

            writer.WriteStartObject("function"u8);
            if (part.Id is not null)
                writer.WriteString("name"u8, part.Name);
            writer.WriteString("arguments"u8, part.Text.ToString());
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }
}
