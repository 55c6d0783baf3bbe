using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Flint.App.Recipes;

/// <summary>Shows how a run goes: a panel that is kept up to date on a terminal, else a line now and then.</summary>
internal sealed class TrainingScreen
{
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(10);

    private readonly TextWriter _output;
    private readonly IAnsiConsole? _terminal;
    private readonly TimeProvider _time;
    private readonly int _steps;
    private LiveDisplayContext? _live;
    private long _lastLine;
    private double _speed;

    /// <summary>Prepares.</summary>
    /// <param name="output">Where lines go.</param>
    /// <param name="terminal">A terminal to show a panel on; null for lines only.</param>
    /// <param name="time">Tells when a line is due.</param>
    /// <param name="steps">Steps of the whole run.</param>
    internal TrainingScreen(TextWriter output, IAnsiConsole? terminal, TimeProvider time, int steps)
    {
        _output = output;
        _terminal = terminal;
        _time = time;
        _steps = steps;
    }

    /// <summary>Runs the steps with the panel shown, where there is a terminal.</summary>
    internal T Run<T>(Func<T> steps)
    {
        if (_terminal is null) return steps();
        return _terminal.Live(new Text("")).Start(live =>
        {
            _live = live;
            return steps();
        });
    }

    /// <summary>Shows a step.</summary>
    /// <param name="row">What it did.</param>
    /// <param name="seconds">Its time.</param>
    /// <param name="last">Whether it is the last of this call.</param>
    internal void Show(in TrainingRow row, double seconds, bool last)
    {
        _speed = _speed == 0 ? seconds : 0.9 * _speed + 0.1 * seconds;
        TimeSpan left = TimeSpan.FromSeconds(_speed * (_steps - row.Step));
        if (_live is not null)
        {
            _live.UpdateTarget(Panel(row, left));
            return;
        }
        if (!last && _lastLine != 0 && _time.GetElapsedTime(_lastLine) < LineEvery) return;
        _lastLine = _time.GetTimestamp();
        _output.WriteLine(Line(row, left));
        _output.Flush();
    }

    private string Line(in TrainingRow r, TimeSpan left) => string.Create(CultureInfo.InvariantCulture,
        $"step {r.Step}/{_steps}  loss {r.Loss:F4}  smoothed {r.Smoothed:F4}  tokens {r.Tokens:N0}  {r.TokensPerSecond:F0} tokens/s  {r.Gflops:F1} GFLOP/s  rate {r.LearningRate:G4}  gradient {r.GradientNorm:F3}  left {Text(left)}");

    private Panel Panel(in TrainingRow r, TimeSpan left)
    {
        var grid = new Grid().AddColumn().AddColumn().AddColumn().AddColumn();
        grid.AddRow(Cells("step", $"{r.Step:N0} of {_steps:N0}", "left", Text(left)));
        grid.AddRow(Cells("loss", $"{r.Loss:F4}", "smoothed", $"{r.Smoothed:F4}"));
        grid.AddRow(Cells("tokens", $"{r.Tokens:N0}", "tokens/s", $"{r.TokensPerSecond:N0}"));
        grid.AddRow(Cells("GFLOP/s", $"{r.Gflops:F1}", "learning rate", $"{r.LearningRate:G4}"));
        grid.AddRow(Cells("gradient", $"{r.GradientNorm:F3}", "trained tokens", $"{r.TrainedTokens:N0}"));
        var bar = new BreakdownChart().HideTags().Width(60).AddItem("done", r.Step, Color.Blue).AddItem("left", Math.Max(0, _steps - r.Step), Color.Grey);
        return new Panel(new Rows(bar, grid)).Header("training");
    }

    private static IRenderable[] Cells(params string[] texts) => [.. texts.Select(text => new Text(text))];

    private static string Text(TimeSpan span) => span.TotalHours >= 1
        ? string.Create(CultureInfo.InvariantCulture, $"{(int)span.TotalHours}:{span.Minutes:00}:{span.Seconds:00}")
        : string.Create(CultureInfo.InvariantCulture, $"{span.Minutes}:{span.Seconds:00}");
}
