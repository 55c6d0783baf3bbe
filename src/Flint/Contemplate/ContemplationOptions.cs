using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>How the agents' answers become one.</summary>
public enum Aggregation
{
    /// <summary>By vote where the leading answer is a number, a choice, JSON or a call, or the same text from most agents; else by synthesis.</summary>
    Auto,

    /// <summary>By vote.</summary>
    Vote,

    /// <summary>By a further agent that reads the drafts and writes the answer.</summary>
    Synthesis,
}

/// <summary>The parameters of a contemplation. Equal parameters, prompts and weights give equal trees.</summary>
public sealed record ContemplationOptions
{
    /// <summary>The most agents that explore.</summary>
    public const int MaxAgents = 64;

    /// <summary>The most rounds of revision.</summary>
    public const int MaxRounds = 16;

    /// <summary>The most drafts a revision or a synthesis reads.</summary>
    public const int MaxDrafts = 8;

    /// <summary>Agents that explore, at most: 1 to <see cref="MaxAgents"/>.</summary>
    public int Agents { get; init; } = 8;

    /// <summary>Agents of the first wave, from which the confidence to keep is learnt.</summary>
    public int FirstWave { get; init; } = 4;

    /// <summary>Agents of every further wave.</summary>
    public int Wave { get; init; } = 4;

    /// <summary>
    /// Exploring stops at the end of a wave once the leading answer fails to be the majority's with at most this probability
    /// (<see cref="Consensus.Certainty"/>); over w waves the error of stopping is at most w times this. 0 never stops early.
    /// </summary>
    public double StopError { get; init; } = 0.05;

    /// <summary>The middle of the agents' temperatures.</summary>
    public float Temperature { get; init; } = 0.7f;

    /// <summary>
    /// How far the agents' temperatures lie from the middle: four steps from the middle less this to the middle and this, in turn.
    /// A range that would begin below 0 begins at 0 and keeps its width.
    /// </summary>
    public float TemperatureSpread { get; init; } = 0.2f;

    /// <summary>Tokens of the sliding window that confidence is measured over.</summary>
    public int Window { get; init; } = 16;

    /// <summary>0 to measure confidence by the chosen tokens, else how many of the likeliest (<see cref="ConfidenceWindow"/>).</summary>
    public int ConfidenceTop { get; init; }

    /// <summary>
    /// Agents of later waves end as soon as a window's confidence falls below this percentile of the first wave's lowest windows;
    /// 0 lets every agent end by itself.
    /// </summary>
    public double PrunePercentile { get; init; } = 10;

    /// <summary>
    /// A vote weighs e to the power of this times the agent's confidence, where that is a log-probability; with
    /// <see cref="ConfidenceTop"/>, the confidence to the power of this. 0 gives every vote the same weight.
    /// </summary>
    public double WeightPower { get; init; } = 1;

    /// <summary>The most tokens of one agent.</summary>
    public int AgentTokens { get; init; } = 2048;

    /// <summary>The most tokens that all agents together generate.</summary>
    public long MaxTokens { get; init; } = long.MaxValue;

    /// <summary>The time after which the best answer so far is given; null for none.</summary>
    public TimeSpan? Deadline { get; init; }

    /// <summary>Rounds in which every surviving agent writes its answer anew.</summary>
    public int Rounds { get; init; }

    /// <summary>
    /// Drafts that an agent sees when it writes anew: 1 is its own; more are drawn from all, as in recursive self-aggregation
    /// (Venkatraman et al. 2025, arXiv:2509.26626).
    /// </summary>
    public int Subset { get; init; } = 1;

    /// <summary>How the answers become one.</summary>
    public Aggregation Aggregation { get; init; }

    /// <summary>Fixes every draw of every agent.</summary>
    public ulong Seed { get; init; }

    /// <summary>Plain majority voting over so many samples of one temperature (Wang et al. 2022, arXiv:2203.11171).</summary>
    public static ContemplationOptions Majority(int agents) => new()
    {
        Agents = agents, FirstWave = agents, StopError = 0, TemperatureSpread = 0, PrunePercentile = 0, WeightPower = 0, Aggregation = Aggregation.Vote,
    };

    /// <summary>An agent's temperature.</summary>
    internal float TemperatureOf(int agent)
    {
        float low = Math.Max(0, Temperature - TemperatureSpread);
        return low + 2 * TemperatureSpread * (agent % 4) / 3;
    }

    /// <summary>Throws a caller's fault where a value is outside its range.</summary>
    internal void Validate()
    {
        Check(Agents is >= 1 and <= MaxAgents, "agents", $"1 to {MaxAgents}", Agents);
        Check(FirstWave is >= 1 and <= MaxAgents, "first_wave", $"1 to {MaxAgents}", FirstWave);
        Check(Wave is >= 1 and <= MaxAgents, "wave", $"1 to {MaxAgents}", Wave);
        Check(StopError is >= 0 and < 0.5, "stop_error", "at least 0 and below 0.5", StopError);
        Check(float.IsFinite(Temperature) && Temperature >= 0, "temperature", "a finite number of at least 0", Temperature);
        Check(float.IsFinite(TemperatureSpread) && TemperatureSpread >= 0, "temperature_spread", "a finite number of at least 0", TemperatureSpread);
        Check(Window is >= 1 and <= ConfidenceWindow.MaxTokens, "window", $"1 to {ConfidenceWindow.MaxTokens}", Window);
        Check(ConfidenceTop is >= 0 and <= GenerationRequest.MaxTopLogprobs, "confidence_top", $"0 to {GenerationRequest.MaxTopLogprobs}", ConfidenceTop);
        Check(PrunePercentile is >= 0 and <= 100, "prune_percentile", "0 to 100", PrunePercentile);
        Check(WeightPower is >= 0 and <= 100, "weight_power", "0 to 100", WeightPower);
        Check(AgentTokens >= 1, "agent_tokens", "at least 1", AgentTokens);
        Check(MaxTokens >= 1, "max_tokens", "at least 1", MaxTokens);
        Check(Deadline is not { } time || (time > TimeSpan.Zero && time.TotalMilliseconds < int.MaxValue), "deadline", "a time above 0 and below 24 days", Deadline);
        Check(Rounds is >= 0 and <= MaxRounds, "rounds", $"0 to {MaxRounds}", Rounds);
        Check(Subset is >= 1 and <= MaxDrafts, "subset", $"1 to {MaxDrafts}", Subset);
        Check(Enum.IsDefined(Aggregation), "aggregation", "a known one", Aggregation);
    }

    internal static void Check<T>(bool valid, string name, string expected, T found)
    {
        if (!valid)
            throw FlintException.Caller("invalid_value", $"{name} is {expected}; found {found}.");
    }
}
