using Flint.Engine;
using Flint.Models;

namespace Flint.Contemplate;

/// <summary>What an agent did in one turn.</summary>
/// <param name="Reasoning">Its thoughts.</param>
/// <param name="Content">What it said; of its last turn, its answer.</param>
/// <param name="Calls">The functions it called, in order; none where it answered.</param>
public sealed record SubagentTurn(string Reasoning, string Content, IReadOnlyList<FunctionCall> Calls);

/// <summary>
/// The conversation with one agent, as the host reads and writes it in its chat format. Used by one thread at a time. A fault of the
/// caller's that it throws ends its agent alone.
/// </summary>
public abstract class SubagentTalk
{
    /// <summary>What the agent goes on from, in token ids.</summary>
    public abstract int[] Prompt { get; }

    /// <summary>Reads what the agent writes behind the prompt.</summary>
    /// <returns>The thoughts in it, perhaps none.</returns>
    public abstract string Read(in TokenEvent next);

    /// <summary>Ends the turn.</summary>
    public abstract SubagentTurn End();

    /// <summary>Answers the calls of the turn that ended last, so that a new turn begins.</summary>
    /// <param name="results">JSON, one for each call.</param>
    public abstract void Answer(IReadOnlyList<string> results);
}

/// <summary>How sub-agents are made and told of.</summary>
public sealed class SubagentTask
{
    /// <summary>Begins the conversation with an agent: the message it is sent, and whether it is offered <see cref="SubagentCall.Function"/>. Any thread.</summary>
    public required Func<string, bool, SubagentTalk> Begin { get; init; }

    /// <summary>How tokens are drawn, but for the seed.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>Strings that end an agent's text.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>The adapter of agents; null for the model as it is.</summary>
    public ModelAdapter? Adapter { get; init; }

    /// <summary>The tenant whose prefixes may be reused.</summary>
    public ulong CacheSalt { get; init; }

    /// <summary>Whose the agents are among those who share the engine.</summary>
    public EngineShare Share { get; init; } = EngineShare.Common;

    /// <summary>
    /// Told what happens as it happens, one event at a time; an agent whose events are not taken waits. The token ends the waiting.
    /// What it throws ends the call.
    /// </summary>
    public Func<SubagentEvent, CancellationToken, ValueTask>? Tell { get; init; }
}

/// <summary>What an event tells of sub-agents.</summary>
public enum SubagentEventKind
{
    /// <summary>An agent called for others.</summary>
    Called,

    /// <summary>A turn of an agent was handed to the engine.</summary>
    Started,

    /// <summary>An agent had thoughts.</summary>
    Thought,

    /// <summary>An agent has ended.</summary>
    Ended,
}

/// <summary>One step in the life of sub-agents.</summary>
public readonly struct SubagentEvent
{
    /// <summary>What happened.</summary>
    public SubagentEventKind Kind { get; init; }

    /// <summary>The path of the agent it happened to; empty for the first of all.</summary>
    public string Path { get; init; }

    /// <summary>With <see cref="SubagentEventKind.Called"/>, the agents that are to start, in order; none where the call has a fault.</summary>
    public IReadOnlyList<SubagentPlan>? Agents { get; init; }

    /// <summary>With <see cref="SubagentEventKind.Called"/>, what is wrong with the call; null where nothing is.</summary>
    public string? Fault { get; init; }

    /// <summary>With <see cref="SubagentEventKind.Started"/>, what computes the turn; its events are not the host's to read.</summary>
    public Sequence? Sequence { get; init; }

    /// <summary>With <see cref="SubagentEventKind.Started"/>, which turn of the agent it is, from 0.</summary>
    public int Turn { get; init; }

    /// <summary>With <see cref="SubagentEventKind.Thought"/>, the thoughts.</summary>
    public string? Text { get; init; }

    /// <summary>With <see cref="SubagentEventKind.Ended"/>, all of the agent.</summary>
    public SubagentTrace? Trace { get; init; }
}
