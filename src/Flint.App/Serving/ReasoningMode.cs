using Flint.Dialects;

namespace Flint.App.Serving;

/// <summary>How much a model thinks before it answers.</summary>
public enum ReasoningMode
{
    /// <summary>Not at all.</summary>
    Instant,

    /// <summary>With an effort, or up to a number of tokens.</summary>
    Thinking,

    /// <summary>As several agents side by side, whose answers become one.</summary>
    Contemplating,
}

/// <summary>A mode as one model's template can express it.</summary>
public sealed record ModePlan
{
    /// <summary>Efforts to think with, rising.</summary>
    public static readonly string[] Efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

    /// <summary>Names of the modes, in their order.</summary>
    public static readonly string[] Names = ["instant", "thinking", "contemplating"];

    /// <summary>The model goes its own way.</summary>
    public static readonly ModePlan OwnWay = new() { Mode = null, Variables = new Dictionary<string, object?>() };

    /// <summary>The mode; null where the model goes its own way.</summary>
    public required ReasoningMode? Mode { get; init; }

    /// <summary>Variables for the template.</summary>
    public required IReadOnlyDictionary<string, object?> Variables { get; init; }

    /// <summary>Whether thoughts that cannot be prevented are kept from the caller.</summary>
    public bool HidesReasoning { get; init; }

    /// <summary>Whether the answer's beginning is put behind the prompt, so that there are no thoughts.</summary>
    public bool OpensAnswer { get; init; }

    /// <summary>The most tokens of thoughts; null for no limit.</summary>
    public int? Budget { get; init; }

    /// <summary>What is done in place of what the template cannot express; null where it can.</summary>
    public string? Approximation { get; init; }

    /// <summary>The mode of a name; null where it is none.</summary>
    public static ReasoningMode? Find(string? name) => Array.IndexOf(Names, name) is >= 0 and var at ? (ReasoningMode)at : null;

    /// <summary>Plans a mode.</summary>
    /// <param name="dialect">The model's format.</param>
    /// <param name="mode">The mode asked for; null to let the effort tell.</param>
    /// <param name="effort">The effort asked for (<see cref="Dialect.EffortVariables"/>); null for the model's own.</param>
    /// <param name="budget">The most tokens of thoughts; null for no limit.</param>
    /// <param name="offersTools">Whether the model is offered functions, which it calls where it would else answer.</param>
    public static ModePlan Of(Dialect dialect, ReasoningMode? mode, string? effort, int? budget, bool offersTools)
    {
        if (mode == ReasoningMode.Instant || (budget == 0 && mode != ReasoningMode.Contemplating))
            return Instant(dialect, offersTools);
        if (mode is null && effort is null && budget is null)
            return OwnWay;
        var plan = new ModePlan
        {
            Mode = mode ?? (effort == "none" ? ReasoningMode.Instant : ReasoningMode.Thinking),
            Variables = effort is not null ? dialect.EffortVariables(effort) : mode == ReasoningMode.Contemplating ? OwnWay.Variables : Thoughtful(dialect),
            HidesReasoning = effort is not null && dialect.HidesReasoning(effort),
            Budget = dialect.MayReason ? budget : null,
        };
        return plan with { Approximation = Approximate(dialect, plan.Mode.Value, effort, budget) };
    }

    // A template may leave thoughts out unless it is told to have them.
    private static Dictionary<string, object?> Thoughtful(Dialect dialect) => dialect.CanSwitchReasoning ? new() { ["enable_thinking"] = true } : [];

    private static ModePlan Instant(Dialect dialect, bool offersTools)
    {
        var plan = new ModePlan { Mode = ReasoningMode.Instant, Variables = dialect.EffortVariables("none") };
        if (!dialect.MayReason || dialect.CanSwitchReasoning)
            return plan;
        // An answer already begun could be no call of a tool.
        if (offersTools && dialect.Kind == DialectKind.MuseGlimmer)
            return plan with { HidesReasoning = true, Approximation = "The template always reasons, and an answer may be a call: the model reasons at its lowest effort, which is not shown." };
        return plan with { OpensAnswer = true, Approximation = "The template always reasons: the answer is begun in the model's place." };
    }

    private static string? Approximate(Dialect dialect, ReasoningMode mode, string? effort, int? budget)
    {
        if (mode == ReasoningMode.Contemplating)
            return effort is not null && !dialect.HasEffort(effort) ? $"The template has no effort '{effort}': the agents take the nearest." : null;
        if (!dialect.MayReason)
            return mode == ReasoningMode.Instant ? null : $"The template has no reasoning: the model answers at once{(budget is null ? "" : ", and there is nothing to limit")}.";
        if (mode == ReasoningMode.Instant)
            return dialect.CanSwitchReasoning ? null : "The template always reasons: the model reasons at its lowest effort, which is not shown.";
        return effort is not null && !dialect.HasEffort(effort) ? $"The template has no effort '{effort}': the nearest is taken." : null;
    }
}
