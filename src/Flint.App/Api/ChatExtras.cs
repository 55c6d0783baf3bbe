using System.Text.Json;
using Flint.App.Serving;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>What an answer tells beside its API's own fields, where the caller has shown to know of it; alike in every chat.</summary>
internal static class ChatExtras
{
    /// <summary>Writes the mode, and what is done in place of what the model cannot have.</summary>
    public static void WriteMode(Utf8JsonWriter writer, ChatTurn turn)
    {
        if (!turn.Request.TellsMode)
            return;
        writer.WriteStartObject("mode"u8);
        writer.WriteString("name"u8, turn.Plan.Mode is ReasoningMode mode ? ModePlan.Names[(int)mode] : null);
        writer.WriteString("approximation"u8, turn.Plan.Approximation);
        writer.WriteEndObject();
    }

    /// <summary>Writes the trees that an answer has come from.</summary>
    public static void WriteTrees(Utf8JsonWriter writer, ChatTurn turn, ContemplationTrace? contemplation, SubagentTree? subagents)
    {
        if (contemplation is not null && turn.Request.TellsContemplation)
        {
            writer.WritePropertyName("contemplation"u8);
            contemplation.WriteTo(writer);
        }

        if (subagents is not null && turn.Request.TellsSubagents)
        {
            writer.WritePropertyName(SubagentFields.Name);
            subagents.WriteTo(writer);
        }
    }

    /// <summary>Writes whether an answer's time was over before it was, where it had a limit.</summary>
    public static void WriteDeadline(Utf8JsonWriter writer, TimeSpan? limit, bool isLate)
    {
        if (limit is not null)
            writer.WriteBoolean("deadline_passed"u8, isLate);
    }

    /// <summary>Writes all that the end of an answer tells.</summary>
    public static void WriteEnd(Utf8JsonWriter writer, ChatTurn turn, ChatOutput output)
    {
        WriteTrees(writer, turn, output.Trace, output.Subagents);
        WriteDeadline(writer, turn.Deadline, output.IsLate);
    }
}
