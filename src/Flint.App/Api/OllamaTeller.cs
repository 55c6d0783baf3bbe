using System.Text;
using System.Text.Json;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>Tells an answer as Ollama does: one JSON object, or one per line. Calls are told once they are whole.</summary>
/// <param name="turn">What was asked.</param>
/// <param name="model">The model as the caller named it.</param>
/// <param name="isChat">Whether the answer is a message, and not a mere response.</param>
internal sealed class OllamaTeller(ChatTurn turn, string model, bool isChat) : ChatTeller(turn)
{
    private readonly string _model = model;
    private readonly bool _isChat = isChat;
    private readonly List<(int Index, string Id, string Name, string Arguments)> _calls = []; // not told yet
    private readonly StringBuilder _arguments = new(); // of the call that is being read
    private string _id = "", _name = "";

    /// <inheritdoc/>
    public override StreamForm Form => StreamForm.Lines;

    /// <inheritdoc/>
    public override void WriteWhole(Utf8JsonWriter writer, IReadOnlyList<ChatOutput> outputs)
    {
        Gather(outputs[0]);
        Write(writer, outputs[0], done: true);
    }

    /// <summary>A stream begins with its first news.</summary>
    public override void Begin(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
    }

    /// <inheritdoc/>
    public override void Tell(EventStream stream, ChatOutput output)
    {
        Gather(output);
        if (_calls.Count > 0 || output.Scores.Count > 0 || output.Parts.Any(part => part.Kind != ChatPartKind.Call))
            stream.Write((this, output), static (writer, line) => line.Item1.Write(writer, line.output, done: false));
        _calls.Clear();
        output.Clear();
    }

    /// <summary>A line with no text.</summary>
    public override void Tell(EventStream stream, in ContemplationEvent news)
    {
        if (!Turn.Request.TellsContemplation)
            return;
        stream.Write((this, news), static (writer, line) =>
        {
            WriteHead(writer, line.Item1._model);
            WriteText(writer, line.Item1._isChat, "", "", []);
            writer.WriteBoolean("done"u8, false);
            writer.WritePropertyName("contemplation_event"u8);
            line.news.WriteTo(writer);
            writer.WriteEndObject();
        });
    }

    /// <inheritdoc/>
    public override void End(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
        Tell(stream, outputs[0]);
        stream.Write((this, outputs[0]), static (writer, line) => line.Item1.Write(writer, line.Item2, done: true));
    }

    /// <summary>Writes what every object begins with, and leaves it open.</summary>
    public static void WriteHead(Utf8JsonWriter writer, string model)
    {
        writer.WriteStartObject();
        writer.WriteString("model"u8, model);
        writer.WriteString("created_at"u8, DateTime.UtcNow);
    }

    /// <summary>Writes the object that answers a request without a prompt: the model is there.</summary>
    public static void WriteLoaded(Utf8JsonWriter writer, string model, bool isChat)
    {
        WriteHead(writer, model);
        WriteText(writer, isChat, "", "", []);
        writer.WriteBoolean("done"u8, true);
        writer.WriteString("done_reason"u8, "load"u8);
        writer.WriteEndObject();
    }

    private void Gather(ChatOutput output)
    {
        foreach (ChatPart part in output.Parts.Where(part => part.Kind == ChatPartKind.Call))
        {
            if (part.Id is not null)
            {
                (_id, _name) = (part.Id, part.Name!);
                _arguments.Clear();
            }

            _arguments.Append(part.Text);
            if (part.Ends)
                _calls.Add((part.Call, _id, _name, _arguments.ToString()));
        }
    }

    private void Write(Utf8JsonWriter writer, ChatOutput output, bool done)
    {
        WriteHead(writer, _model);
        WriteText(writer, _isChat, output.Text(ChatPartKind.Content), output.Text(ChatPartKind.Reasoning), _calls);
        if (output.Scores.Count > 0)
            TokenNames.WriteScores(writer, "logprobs"u8, Turn.Tokenizer, output.Scores);
        writer.WriteBoolean("done"u8, done);
        if (done)
        {
            TokenUsage usage = Turn.Meter.Usage;
            (TimeSpan total, TimeSpan prompt, TimeSpan answer) = Turn.Meter.Times;
            writer.WriteString("done_reason"u8, output.FinishReason is "length" or OutputFilter.FinishReason ? output.FinishReason : "stop");
            writer.WriteNumber("total_duration"u8, (long)total.TotalNanoseconds);
            writer.WriteNumber("load_duration"u8, 0); // the model was there before the request
            writer.WriteNumber("prompt_eval_count"u8, usage.PromptTokens);
            writer.WriteNumber("prompt_eval_duration"u8, (long)prompt.TotalNanoseconds);
            writer.WriteNumber("eval_count"u8, usage.OutputTokens);
            writer.WriteNumber("eval_duration"u8, (long)answer.TotalNanoseconds);
            ChatExtras.WriteMode(writer, Turn);
            ChatExtras.WriteEnd(writer, Turn, output);
        }

        writer.WriteEndObject();
    }

    private static void WriteText(Utf8JsonWriter writer, bool isChat, string content, string thinking, List<(int Index, string Id, string Name, string Arguments)> calls)
    {
        if (isChat)
        {
            writer.WriteStartObject("message"u8);
            writer.WriteString("role"u8, "assistant"u8);
        }

        writer.WriteString(isChat ? "content"u8 : "response"u8, content);
        if (thinking.Length > 0)
            writer.WriteString("thinking"u8, thinking);
        if (calls.Count > 0)
            WriteCalls(writer, calls);
        if (isChat)
            writer.WriteEndObject();
    }

    private static void WriteCalls(Utf8JsonWriter writer, List<(int Index, string Id, string Name, string Arguments)> calls)
    {
        writer.WriteStartArray("tool_calls"u8);
        foreach ((int index, string id, string name, string arguments) in calls)
        {
            writer.WriteStartObject();
            writer.WriteString("id"u8, id);
            writer.WriteStartObject("function"u8);
            writer.WriteNumber("index"u8, index);
            writer.WriteString("name"u8, name);
            writer.WritePropertyName("arguments"u8);
            ApiJson.WriteInput(writer, arguments);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }
}
