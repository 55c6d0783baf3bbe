using System.Diagnostics;
using Flint.App.Pictures;
using Flint.App.Serving;
using Flint.Contemplate;

namespace Flint.App.Eval;

/// <summary>How one way of answering did.</summary>
/// <param name="Mode">The way.</param>
/// <param name="Agents">Samples or agents, at most.</param>
/// <param name="Result">What came of it.</param>
/// <param name="Seconds">Time of an answer, on average.</param>
public sealed record CurvePoint(EvaluationMode Mode, int Agents, TaskResult Result, double Seconds);

/// <summary>What more agents gain: the same items answered greedily, by the majority of 1 to 32 samples, and by contemplations of 1 to 32 agents.</summary>
public static class AccuracyCurve
{
    private const int Width = 560, Height = 400;

    private static readonly int[] Sizes = [1, 2, 4, 8, 16, 32];

    /// <summary>Headings of <see cref="Rows"/>.</summary>
    public static readonly string[] Headings = ["MODE", "AGENTS", "ITEMS", "ACCURACY", "95 %", "TOKENS", "AGENTS USED", "SECONDS", "ECE"];

    /// <summary>Answers the items of one task in every way.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">Task, items and seed; with one item at a time the seconds are those of one caller.</param>
    /// <param name="progress">Told the way, the items done and all its items.</param>
    /// <param name="cancel">Ends the run.</param>
    public static async Task<IReadOnlyList<CurvePoint>> RunAsync(ServedModel model, EvaluationOptions options, Action<string, int, int> progress, CancellationToken cancel)
    {
        var points = new List<CurvePoint> { await MeasureAsync(model, options.With(EvaluationMode.Greedy, 1), progress, cancel) };
        foreach (EvaluationMode mode in (EvaluationMode[])[EvaluationMode.Majority, EvaluationMode.Contemplating])
        {
            foreach (int agents in Sizes) points.Add(await MeasureAsync(model, options.With(mode, agents), progress, cancel));
        }
        return points;
    }

    /// <summary>One row per point.</summary>
    public static IEnumerable<string[]> Rows(IEnumerable<CurvePoint> points) => points.Select(p => new[]
    {
        p.Mode.ToString().ToLowerInvariant(), $"{p.Agents}", $"{p.Result.Score.Items}", Report.Percent(p.Result.Score.Accuracy), Report.Interval(p.Result.Score),
        $"{p.Result.MeanTokens:F1}", $"{p.Result.MeanAgents:F2}", $"{p.Seconds:F3}", p.Result.CalibrationError is { } error ? $"{error:F3}" : "",
    });

    /// <summary>An SVG picture: accuracy over tokens, and over time.</summary>
    public static string Draw(string title, IReadOnlyList<CurvePoint> points) => Chart.Draw(
        Width, Height,
        Of($"{title}: accuracy by tokens", "tokens of an answer, all agents", points, p => p.Result.MeanTokens),
        Of($"{title}: accuracy by time", "seconds of an answer", points, p => p.Seconds));

    private static async Task<CurvePoint> MeasureAsync(ServedModel model, EvaluationOptions options, Action<string, int, int> progress, CancellationToken cancel)
    {
        long start = Stopwatch.GetTimestamp();
        string way = $"{options.Mode.ToString().ToLowerInvariant()} {options.Contemplation.Agents}";
        IReadOnlyList<TaskResult> results = await new Evaluation(model, options).RunAsync((_, done, items) => progress(way, done, items), cancel);
        return new CurvePoint(options.Mode, options.Contemplation.Agents, results[0], Stopwatch.GetElapsedTime(start).TotalSeconds / results[0].Answers);
    }

    private static Chart Of(string title, string axis, IReadOnlyList<CurvePoint> points, Func<CurvePoint, double> x)
    {
        ChartLine Line(EvaluationMode mode, string colour, string label) =>
            new([.. points.Where(p => p.Mode == mode).Select(p => (x(p), p.Result.Score.Accuracy))], colour, 2, label, Dots: true);
        return new Chart(title, axis, "accuracy",
        [
            Line(EvaluationMode.Greedy, "#444", "one answer, greedy"), Line(EvaluationMode.Majority, "#c77d1e", "majority of samples"),
            Line(EvaluationMode.Contemplating, "#1f4e8c", "contemplating"),
        ])
        { IsLogarithmic = true };
    }
}
