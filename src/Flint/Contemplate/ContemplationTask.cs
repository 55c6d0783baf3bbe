using System.Text.Json;
using Flint.Engine;
using Flint.Grammar;
using Flint.Models;

namespace Flint.Contemplate;

/// <summary>What an agent wrote, read apart.</summary>
/// <param name="Reasoning">Its thoughts.</param>
/// <param name="Content">Its answer.</param>
/// <param name="Call">What the answer does where it is no text, in a form in which equal deeds are equal; null for text.</param>
public record Draft(string Reasoning, string Content, string? Call = null);

/// <summary>What to contemplate, and how the host reads and writes the text of its chat format.</summary>
public sealed class ContemplationTask
{
    /// <summary>The prompt that exploring agents go on from, in token ids, where there are no viewpoints.</summary>
    public required int[] Prompt { get; init; }

    /// <summary>
    /// What exploring agents have of their own, taken in turn: agent i has viewpoint i modulo their count. At most
    /// <see cref="ContemplationOptions.MaxAgents"/>; none for the same prompt and adapter everywhere. Agents that read drafts have
    /// none.
    /// </summary>
    public IReadOnlyList<Viewpoint> Viewpoints { get; init; } = [];

    /// <summary>The adapters that viewpoints name; null for the model as it is.</summary>
    public IReadOnlyDictionary<string, ModelAdapter?> Adapters { get; init; } = new Dictionary<string, ModelAdapter?>();

    /// <summary>Reads what an agent wrote; called once per agent, from any thread.</summary>
    public required Func<IReadOnlyList<TokenEvent>, Draft> Read { get; init; }

    /// <summary>
    /// The prompt that shows drafts, the agent's own first, and asks for a better answer; null where agents are not to revise. It
    /// may give null where these drafts cannot be shown.
    /// </summary>
    public Func<IReadOnlyList<Draft>, int[]?>? Revise { get; init; }

    /// <summary>
    /// The prompt that shows drafts and asks for one answer made of them; null where answers are put to the vote always. It may
    /// give null where these drafts cannot be shown.
    /// </summary>
    public Func<IReadOnlyList<Draft>, int[]?>? Synthesize { get; init; }

    /// <summary>
    /// Puts the answer of an agent that has finished to a check, such as tests of code; null where answers are compared by what they say.
    /// Answers that fail have no vote, and exploring stops early with the first wave in which one passes. Called side by side; what it
    /// throws ends the contemplation. The tree is as repeatable as the check is.
    /// </summary>
    public Func<Draft, CancellationToken, Task<bool>>? Check { get; init; }

    /// <summary>How tokens are drawn, but for temperature and seed.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>Strings that end an agent's text.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>What every agent's text must be, from behind its prompt on; null for any.</summary>
    public TokenGrammar? Grammar { get; init; }

    /// <summary>The adapter of agents whose viewpoint names none; null for the model as it is.</summary>
    public ModelAdapter? Adapter { get; init; }

    /// <summary>The tenant whose prefixes may be reused.</summary>
    public ulong CacheSalt { get; init; }

    /// <summary>Whose the agents are among those who share the engine.</summary>
    public EngineShare Share { get; init; } = EngineShare.Common;

    /// <summary>What agreement has meant for this model so far; null where that was not measured.</summary>
    public Calibration? Calibration { get; init; }

    /// <summary>Names the model in the trace.</summary>
    public string Model { get; init; } = "";

    /// <summary>
    /// Told what happens as it happens, one event at a time; an agent whose events are not taken waits. What it throws ends the
    /// contemplation.
    /// </summary>
    public Func<ContemplationEvent, ValueTask>? Tell { get; init; }

    /// <summary>The adapter that an agent generates with.</summary>
    /// <exception cref="FlintException">Caller: the plan names one that is not there.</exception>
    internal ModelAdapter? AdapterOf(AgentPlan plan)
    {
        if (plan.Adapter is null)
            return Adapter;
        return Adapters.TryGetValue(plan.Adapter, out ModelAdapter? adapter)
            ? adapter : throw FlintException.Caller("unknown_adapter", $"Agent {plan.Index} generates with the adapter '{plan.Adapter}', which is not at hand.");
    }

    /// <summary>Throws a caller's fault where viewpoints are too many or name what is not there.</summary>
    internal void Validate()
    {
        if (Viewpoints.Count > ContemplationOptions.MaxAgents)
            throw FlintException.Caller("too_many_viewpoints", $"A contemplation has at most {ContemplationOptions.MaxAgents} viewpoints; found {Viewpoints.Count}.");
        foreach (Viewpoint view in Viewpoints)
        {
            if (view.Adapter is { } name && !Adapters.ContainsKey(name))
                throw FlintException.Caller("unknown_adapter", $"A viewpoint names the adapter '{name}', which is not at hand.");
        }
    }
}

/// <summary>What an event of a contemplation tells.</summary>
public enum ContemplationEventKind
{
    /// <summary>An agent was handed to the engine.</summary>
    AgentStarted,

    /// <summary>An agent wrote.</summary>
    AgentWrote,

    /// <summary>An agent has ended.</summary>
    AgentEnded,

    /// <summary>The votes were counted.</summary>
    Counted,
}

/// <summary>One step in the life of a contemplation.</summary>
public readonly struct ContemplationEvent
{
    /// <summary>What happened.</summary>
    public ContemplationEventKind Kind { get; init; }

    /// <summary>The agent it happened to, but for <see cref="ContemplationEventKind.Counted"/>.</summary>
    public AgentPlan? Agent { get; init; }

    /// <summary>With <see cref="ContemplationEventKind.AgentStarted"/>, what computes the agent; its events are not the host's to read.</summary>
    public Sequence? Sequence { get; init; }

    /// <summary>With <see cref="ContemplationEventKind.AgentStarted"/>, whether an earlier agent has the same prompt, so that it costs nothing more.</summary>
    public bool SharesPrompt { get; init; }

    /// <summary>With <see cref="ContemplationEventKind.AgentWrote"/>, what it wrote.</summary>
    public TokenEvent Token { get; init; }

    /// <summary>
    /// With <see cref="ContemplationEventKind.AgentWrote"/>, whether that is a thought, where the agent's host has read it out of its chat
    /// format; null where that is left to whoever is told.
    /// </summary>
    public bool? IsThought { get; init; }

    /// <summary>With <see cref="ContemplationEventKind.AgentEnded"/>, all of it.</summary>
    public AgentTrace? Trace { get; init; }

    /// <summary>With <see cref="ContemplationEventKind.Counted"/>, the votes.</summary>
    public Ballot? Ballot { get; init; }

    /// <summary>
    /// Writes it as one JSON object: its <c>kind</c>, and the <c>plan</c> of an agent that starts, the <c>agent</c>, <c>token</c> and
    /// <c>text</c> of one that writes, the <c>trace</c> of one that has ended, the <c>ballot</c> of a count.
    /// </summary>
    public void WriteTo(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        switch (Kind)
        {
            case ContemplationEventKind.AgentStarted:
                writer.WriteString("kind"u8, "agent_started"u8);
                writer.WritePropertyName("plan"u8);
                JsonSerializer.Serialize(writer, Agent!, TraceJson.Default.AgentPlan);
                break;
            case ContemplationEventKind.AgentWrote:
                writer.WriteString("kind"u8, "agent_wrote"u8);
                writer.WriteNumber("agent"u8, Agent!.Index);
                writer.WriteNumber("token"u8, Token.Token);
                writer.WriteString("text"u8, Token.Text);
                break;
            case ContemplationEventKind.AgentEnded:
                writer.WriteString("kind"u8, "agent_ended"u8);
                writer.WritePropertyName("trace"u8);
                JsonSerializer.Serialize(writer, Trace!, TraceJson.Default.AgentTrace);
                break;
            default:
                writer.WriteString("kind"u8, "counted"u8);
                writer.WritePropertyName("ballot"u8);
                JsonSerializer.Serialize(writer, Ballot!, TraceJson.Default.Ballot);
                break;
        }
        writer.WriteEndObject();
    }
}
