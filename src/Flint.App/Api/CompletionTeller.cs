using System.Text.Json;

namespace Flint.App.Api;

/// <summary>Tells an upstream's answer to a plain prompt as <c>text_completion</c>, whole or as a stream.</summary>
/// <param name="turn">What was asked.</param>
internal sealed class CompletionTeller(ChatTurn turn) : ChatTeller(turn)
{
    private bool TellsUsage => Turn.Request.Generation.StreamUsage;

    /// <inheritdoc/>
    public override void WriteWhole(Utf8JsonWriter writer, IReadOnlyList<ChatOutput> outputs)
    {
        WriteHead(writer);
        foreach (ChatOutput output in outputs)
            WriteChoice(writer, output);
        writer.WriteEndArray();
        ChatExtras.WriteDeadline(writer, Turn.Deadline, outputs.Any(output => output.IsLate));
        Turn.Meter.Usage.Write(writer);
        writer.WriteEndObject();
    }

    /// <summary>A stream begins with its first news.</summary>
    public override void Begin(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
    }

    /// <inheritdoc/>
    public override void Tell(EventStream stream, ChatOutput output)
    {
        stream.Write((this, output), static (writer, chunk) =>
        {
            (CompletionTeller teller, ChatOutput output) = chunk;
            teller.WriteHead(writer);
            WriteChoice(writer, output);
            writer.WriteEndArray();
            if (output.FinishReason is not null)
                ChatExtras.WriteDeadline(writer, teller.Turn.Deadline, output.IsLate);
            if (teller.TellsUsage)
                writer.WriteNull("usage"u8);
            writer.WriteEndObject();
        });
        output.Clear();
    }

    /// <inheritdoc/>
    public override void End(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
        foreach (ChatOutput output in outputs)
            Tell(stream, output);
        if (TellsUsage)
        {
            stream.Write(this, static (writer, teller) =>
            {
                teller.WriteHead(writer);
                writer.WriteEndArray();
                teller.Turn.Meter.Usage.Write(writer);
                writer.WriteEndObject();
            });
        }

        stream.WriteDone();
    }

    // Leaves the array of choices open.
    private void WriteHead(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, Turn.Meter.Id);
        writer.WriteString("object"u8, "text_completion"u8);
        writer.WriteNumber("created"u8, Turn.Meter.Created);
        writer.WriteString("model"u8, Turn.Name);
        writer.WriteString("system_fingerprint"u8, Turn.Fingerprint);
        writer.WriteStartArray("choices"u8);
    }

    private static void WriteChoice(Utf8JsonWriter writer, ChatOutput output)
    {
        writer.WriteStartObject();
        writer.WriteNumber("index"u8, output.Index);
        writer.WriteString("text"u8, output.Text(ChatPartKind.Content));
        writer.WriteNull("logprobs"u8);
        writer.WriteString("finish_reason"u8, output.FinishReason);
        writer.WriteEndObject();
    }
}
