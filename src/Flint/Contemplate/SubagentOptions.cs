namespace Flint.Contemplate;

/// <summary>How far an agent may hand work to others.</summary>
public sealed record SubagentOptions
{
    /// <summary>The most agents of one tree that can be asked for.</summary>
    public const int MaxAgents = 64;

    /// <summary>The most agents of one call.</summary>
    public const int MaxItems = 16;

    /// <summary>The most levels of agents below the first.</summary>
    public const int MaxDepth = 3;

    /// <summary>Agents of the whole tree, at most: 1 to <see cref="MaxAgents"/>.</summary>
    public int Agents { get; init; } = 16;

    /// <summary>Levels of agents, 1 to <see cref="MaxDepth"/>: with 1, agents spawn no others.</summary>
    public int Depth { get; init; } = 1;

    /// <summary>The most tokens that an agent generates, those of the agents that it spawns among them.</summary>
    public int AgentTokens { get; init; } = 2048;

    /// <summary>The most tokens of an agent's first prompt.</summary>
    public int PromptTokens { get; init; } = int.MaxValue;

    /// <summary>Fixes every draw of every agent.</summary>
    public ulong Seed { get; init; }

    /// <summary>Throws a caller's fault where a value is outside its range.</summary>
    internal void Validate()
    {
        ContemplationOptions.Check(Agents is >= 1 and <= MaxAgents, "max", $"1 to {MaxAgents}", Agents);
        ContemplationOptions.Check(Depth is >= 1 and <= MaxDepth, "depth", $"1 to {MaxDepth}", Depth);
        ContemplationOptions.Check(AgentTokens >= 1, "agent_tokens", "at least 1", AgentTokens);
        ContemplationOptions.Check(PromptTokens >= 1, "prompt_tokens", "at least 1", PromptTokens);
    }
}
