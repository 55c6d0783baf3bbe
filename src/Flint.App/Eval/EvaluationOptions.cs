using Flint.App.Nano;
using Flint.Contemplate;

namespace Flint.App.Eval;

/// <summary>How items are answered.</summary>
public enum EvaluationMode
{
    /// <summary>Once, with the likeliest token at every step.</summary>
    Greedy,

    /// <summary>By a fixed number of samples and the plain majority of their answers.</summary>
    Majority,

    /// <summary>By a contemplation.</summary>
    Contemplating,
}

/// <summary>What is evaluated.</summary>
public sealed record EvaluationOptions
{
    /// <summary>The seed of the sets in the model card.</summary>
    public const ulong DefaultSeed = 2026;

    /// <summary>Items of a task, unless asked otherwise.</summary>
    public const int DefaultItems = 1000;

    /// <summary>Items of the needle task, unless asked otherwise.</summary>
    public const int DefaultNeedleItems = 200;

    /// <summary>The most items of a task.</summary>
    public const int MaxItems = 1_000_000;

    /// <summary>Items of a task at lower strengths, in the model card.</summary>
    public const int LessItems = 300;

    /// <summary>The least tokens of a needle item that can be asked for.</summary>
    public const int MinNeedleTokens = 256;

    /// <summary>The tasks, in order.</summary>
    public required IReadOnlyList<string> Tasks { get; init; }

    /// <summary>Draws the items.</summary>
    public ulong Seed { get; init; } = DefaultSeed;

    /// <summary>How much answers are thought over; null for high, what a model does unasked, and for all three in arithmetic.</summary>
    public Strength? Strength { get; init; }

    /// <summary>Items per task; null for the defaults.</summary>
    public int? Items { get; init; }

    /// <summary>The tokens that a needle item nearly fills, its answer included.</summary>
    public int NeedleTokens { get; init; } = 2048;

    /// <summary>Answers asked for at once.</summary>
    public int Parallel { get; init; } = 32;

    /// <summary>How many wrong answers of each task to keep for a look at them.</summary>
    public int Wrong { get; init; }

    /// <summary>Where the trees of contemplations go, a JSON line each; null for nowhere.</summary>
    public TextWriter? Traces { get; init; }

    /// <summary>How items are answered.</summary>
    public EvaluationMode Mode { get; init; }

    /// <summary>How to contemplate, or to sample for a majority.</summary>
    public ContemplationOptions Contemplation { get; init; } = new();

    /// <summary>What agreement means; null for what lies beside the model.</summary>
    public Calibration? Calibration { get; init; }

    /// <summary>The same items answered in a mode by so many agents: a majority's samples are all of one temperature.</summary>
    public EvaluationOptions With(EvaluationMode mode, int agents) => this with
    {
        Mode = mode,
        Contemplation = mode == EvaluationMode.Majority
            ? ContemplationOptions.Majority(agents) with { Temperature = Contemplation.Temperature, AgentTokens = Contemplation.AgentTokens, Seed = Contemplation.Seed }
            : Contemplation with { Agents = agents },
    };

    /// <summary>For a second look at a lower strength: fewer items, of the tasks that this was not asked of.</summary>
    public EvaluationOptions AtLess(Strength strength) => this with
    {
        Tasks = [.. Tasks.Where(t => t is not ("arithmetic" or "needle"))], Strength = strength, Items = Math.Min(Items ?? LessItems, LessItems), Traces = null,
    };

    /// <summary>The items of a task.</summary>
    public int ItemsOf(string task) => Items ?? (task == "needle" ? DefaultNeedleItems : DefaultItems);
}
