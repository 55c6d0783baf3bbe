using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>Computes the agents of one contemplation, wherever the model is.</summary>
public abstract class AgentHost
{
    /// <summary>The longest prompt and answer of an agent together, in tokens, as far as prompts are told in tokens.</summary>
    public abstract int ContextLength { get; }

    /// <summary>Hands an agent over.</summary>
    /// <param name="plan">What was decided of it.</param>
    /// <exception cref="FlintException">It is refused.</exception>
    public abstract AgentRun Start(AgentPlan plan);

    /// <summary>The fault of a tree whose agents have failed, every one.</summary>
    /// <param name="first">What the first of them met.</param>
    public virtual FlintException Failure(string? first) => new(FaultSide.Bug, "agents_failed", $"Every agent failed; the first: {first}");
}

/// <summary>One agent at work.</summary>
/// <param name="plan">What was decided before it started.</param>
public abstract class AgentRun(AgentPlan plan)
{
    /// <summary>What was decided before it started.</summary>
    public AgentPlan Plan => plan;

    /// <summary>What computes it, where that is an engine of this process; null else.</summary>
    public virtual Sequence? Sequence => null;

    /// <summary>Whether it was ended by whoever computes it, where nobody has asked for that.</summary>
    public virtual bool IsShutDown => false;

    /// <summary>Reads it to its end, whatever end that is. When <paramref name="stop"/> is cancelled or telling fails, it is ended, and its end awaited.</summary>
    /// <param name="tell">Told what it writes.</param>
    /// <param name="stop">Ends it.</param>
    public abstract Task RunAsync(Func<ContemplationEvent, ValueTask> tell, CancellationToken stop);

    /// <summary>What became of it, once it has ended. Its tokens are at most the plan's.</summary>
    /// <param name="cut">What its end is called where it was stopped.</param>
    public abstract AgentTrace Trace(AgentEnd cut);
}

/// <summary>Agents that are sequences of an engine; its prefix cache has them share the prompt's pages.</summary>
/// <param name="engine">The engine.</param>
/// <param name="task">What is contemplated.</param>
/// <param name="options">How.</param>
internal sealed class EngineAgents(Engine.Engine engine, ContemplationTask task, ContemplationOptions options) : AgentHost
{
    /// <inheritdoc/>
    public override int ContextLength => engine.ContextLength;

    /// <inheritdoc/>
    public override AgentRun Start(AgentPlan plan) => Agent.Start(engine, plan, task, options);
}
