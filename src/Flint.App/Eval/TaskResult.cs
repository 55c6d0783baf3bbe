using Flint.App.Nano;
using Flint.Contemplate;

namespace Flint.App.Eval;

/// <summary>A share of right items, with the interval that holds the true one in 95 of 100 cases (Wilson, 1927).</summary>
/// <param name="Items">How many there were.</param>
/// <param name="Correct">How many were right.</param>
public readonly record struct Score(int Items, int Correct)
{
    private const double Z = 1.959963984540054; // the normal distribution's 97.5 % quantile

    /// <summary>The share; 0 of none.</summary>
    public double Accuracy => Items == 0 ? 0 : (double)Correct / Items;

    /// <summary>The interval's lower end.</summary>
    public double Low => Correct == 0 ? 0 : Center - Half;

    /// <summary>The interval's upper end.</summary>
    public double High => Correct == Items ? 1 : Center + Half;

    private double Center => (Accuracy + Z * Z / (2 * Items)) / (1 + Z * Z / Items);

    private double Half => Z / (1 + Z * Z / Items) * Math.Sqrt(Accuracy * (1 - Accuracy) / Items + Z * Z / (4.0 * Items * Items));

    internal Score With(bool correct) => new(Items + 1, Correct + (correct ? 1 : 0));
}

/// <summary>How one strength of reasoning did.</summary>
/// <param name="Score">Its items.</param>
/// <param name="Turns">Answers that were given.</param>
/// <param name="ReasoningTokens">Tokens of all their thoughts.</param>
public readonly record struct StrengthResult(Score Score, int Turns, long ReasoningTokens)
{
    /// <summary>Tokens of an answer's thoughts, on average.</summary>
    public double MeanReasoningTokens => Turns == 0 ? 0 : (double)ReasoningTokens / Turns;
}

/// <summary>A wrong answer.</summary>
/// <param name="Item">What was asked.</param>
/// <param name="Place">The answer's place in the item's messages.</param>
/// <param name="Turn">The answer.</param>
public sealed record WrongAnswer(NanoItem Item, int Place, ModelTurn Turn);

/// <summary>How a model did in a task.</summary>
public sealed class TaskResult
{
    private readonly StrengthResult[] _strengths = new StrengthResult[3];

    private readonly List<(double Agreement, double Confidence, bool Right)> _agreed = [];
    private int _turns;
    private long _agents;

    internal TaskResult(string task) => Task = task;

    /// <summary>The task.</summary>
    public string Task { get; }

    /// <summary>Items of which all answers were right.</summary>
    public Score Score { get; private set; }

    /// <summary>Where JSON was asked for, items of which all answers keep to their schemas; else null.</summary>
    public Score? Valid { get; private set; }

    /// <summary>The first wrong answers.</summary>
    public List<WrongAnswer> Wrong { get; } = [];

    /// <summary>Answers that were given; an item may ask for several.</summary>
    public int Answers => _turns;

    /// <summary>Tokens generated for all answers, by all agents.</summary>
    public long OutputTokens { get; private set; }

    /// <summary>Tokens of an answer, on average.</summary>
    public double MeanTokens => _turns == 0 ? 0 : (double)OutputTokens / _turns;

    /// <summary>Agents that worked on an answer, on average.</summary>
    public double MeanAgents => _turns == 0 ? 0 : (double)_agents / _turns;

    /// <summary>Answers of several agents: how far they agreed, and whether they were right.</summary>
    public IEnumerable<(double Score, bool Right)> Agreements => _agreed.Select(a => (a.Agreement, a.Right));

    /// <summary>Whether confidences were calibrated before; null where answers had none.</summary>
    public bool? IsCalibrated { get; private set; }

    /// <summary>The expected calibration error of the confidences; null where answers had none.</summary>
    public double? CalibrationError => _agreed.Count == 0 ? null : Calibration.Error([.. _agreed.Select(a => (a.Confidence, a.Right))]);

    /// <summary>
    /// The same of agreements calibrated here: every second answer by a map fitted to the others; null where there are too few.
    /// </summary>
    public double? CrossFittedError
    {
        get
        {
            if (_agreed.Count < 2) return null;
            Calibration[] fits = [.. Enumerable.Range(0, 2).Select(half => Calibration.Fit(Agreements.Where((_, i) => i % 2 != half)))];
            return Calibration.Error([.. Agreements.Select((a, i) => (fits[i % 2].Apply(a.Score), a.Right))]);
        }
    }

    /// <summary>How one strength of reasoning did.</summary>
    public StrengthResult Of(Strength strength) => _strengths[(int)strength];

    internal void Add(NanoItem item, IReadOnlyList<ModelTurn> turns, int keep)
    {
        bool right = true, valid = true;
        int at = 0;
        long reasoning = 0;
        foreach (int place in item.Graded)
        {
            ModelTurn turn = turns[at++];
            Verdict verdict = Grading.Judge(item, place, turn.Content, turn.Calls);
            if (!verdict.Right && right && Wrong.Count < keep) Wrong.Add(new WrongAnswer(item, place, turn));
            right &= verdict.Right;
            valid &= verdict.Valid;
            reasoning += turn.ReasoningTokens;
            OutputTokens += turn.OutputTokens;
            _agents += turn.Agents;
            _turns++;
            if (turn.Trace?.Answer is not { } agreed) continue;
            _agreed.Add((agreed.Agreement, agreed.Confidence, verdict.Right));
            IsCalibrated = agreed.Calibrated || IsCalibrated == true;
        }
        Score = Score.With(right);
        if (item.Schema is not null) Valid = (Valid ?? default).With(valid);
        ref StrengthResult own = ref _strengths[(int)item.Strength];
        own = new StrengthResult(own.Score.With(right), own.Turns + at, own.ReasoningTokens + reasoning);
    }
}
