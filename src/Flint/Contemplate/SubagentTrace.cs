using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Flint.Contemplate;

/// <summary>What is decided of a sub-agent before it starts.</summary>
/// <param name="Path">Its number among the agents of the one that spawned it, from 1, behind that one's own path: <c>2.1</c>.</param>
/// <param name="Item">The item it is for.</param>
/// <param name="Message">What it is asked.</param>
/// <param name="Seed">Fixes its draws, and those of the agents that it spawns.</param>
/// <param name="MaxTokens">Tokens reserved for it and them.</param>
/// <param name="MaxAgents">How many agents it may spawn, those that they spawn among them.</param>
public sealed record SubagentPlan(string Path, string Item, string Message, ulong Seed, int MaxTokens, int MaxAgents);

/// <summary>What became of a sub-agent.</summary>
public sealed record SubagentTrace
{
    /// <summary>What was decided before.</summary>
    public required SubagentPlan Plan { get; init; }

    /// <summary>How it ended.</summary>
    public required AgentEnd End { get; init; }

    /// <summary>The sentence of the fault that ended it.</summary>
    public string? Fault { get; init; }

    /// <summary>Its thoughts, of all turns.</summary>
    public required string Reasoning { get; init; }

    /// <summary>What it said in its last turn: its answer.</summary>
    public required string Content { get; init; }

    /// <summary>Tokens of its first prompt.</summary>
    public required int PromptTokens { get; init; }

    /// <summary>Tokens it generated itself.</summary>
    public required long OutputTokens { get; init; }

    /// <summary>Its calls, in order.</summary>
    public required IReadOnlyList<SubagentCallTrace> Calls { get; init; }
}

/// <summary>What became of a call for sub-agents.</summary>
public sealed record SubagentCallTrace
{
    private static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The function that was called.</summary>
    public required string Name { get; init; }

    /// <summary>The arguments, as the model wrote them.</summary>
    public required string Arguments { get; init; }

    /// <summary>Why nothing was done; null where agents started.</summary>
    public string? Fault { get; init; }

    /// <summary>The agents, in order of their items.</summary>
    public IReadOnlyList<SubagentTrace> Agents { get; init; } = [];

    /// <summary>
    /// What the caller reads, as JSON: an array with the <c>item</c> and the <c>answer</c> of every agent, in order, and an
    /// <c>error</c> where it did not come to its end; or an object with the <c>error</c> of the call.
    /// </summary>
    public string Result()
    {
        using var text = new MemoryStream();
        using (var writer = new Utf8JsonWriter(text, Plain))
        {
            if (Fault is not null)
            {
                writer.WriteStartObject();
                writer.WriteString("error"u8, Fault);
                writer.WriteEndObject();
            }
            else
            {
                writer.WriteStartArray();
                foreach (SubagentTrace agent in Agents)
                    WriteResult(writer, agent);
                writer.WriteEndArray();
            }
        }
        return Encoding.UTF8.GetString(text.GetBuffer().AsSpan(0, (int)text.Length));
    }

    private static void WriteResult(Utf8JsonWriter writer, SubagentTrace agent)
    {
        writer.WriteStartObject();
        writer.WriteString("item"u8, agent.Plan.Item);
        if (agent.End != AgentEnd.Failed)
            writer.WriteString("answer"u8, agent.Content);
        if (agent.End != AgentEnd.Finished)
            writer.WriteString("error"u8, agent.Fault ?? "The answer is cut off: its tokens are spent.");
        writer.WriteEndObject();
    }
}

/// <summary>All sub-agents of an answer.</summary>
/// <param name="Options">The parameters.</param>
/// <param name="Calls">The calls of the first agent, in order.</param>
/// <param name="Cost">What the whole tree cost, the first agent included; of prompts, those of sub-agents alone.</param>
public sealed record SubagentTree(SubagentOptions Options, IReadOnlyList<SubagentCallTrace> Calls, ContemplationCost Cost)
{
    /// <summary>As JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, SubagentJson.Default.SubagentTree);

    /// <summary>Writes it as one JSON value.</summary>
    public void WriteTo(Utf8JsonWriter writer) => JsonSerializer.Serialize(writer, this, SubagentJson.Default.SubagentTree);
}

/// <summary>How trees of sub-agents are written; made when Flint is compiled.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, Converters = [typeof(SnakeCaseNames<AgentEnd>)])]
[JsonSerializable(typeof(SubagentTree))]
internal sealed partial class SubagentJson : JsonSerializerContext;
