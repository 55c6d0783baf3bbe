using System.Globalization;
using Flint.Training;

namespace Flint.App.Recipes;

/// <summary>One row of a run's record.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Loss">The step's loss, in nats per token.</param>
/// <param name="Smoothed">The loss averaged over the last steps.</param>
/// <param name="Tokens">Tokens so far.</param>
/// <param name="TrainedTokens">Of these, tokens with a weight.</param>
/// <param name="TokensPerSecond">The step's speed.</param>
/// <param name="Gflops">Its matrix products, in 10⁹ operations a second.</param>
/// <param name="LearningRate">Its learning rate.</param>
/// <param name="GradientNorm">Its gradient's norm before clipping.</param>
/// <param name="Seconds">Time spent in steps so far, stretches of earlier calls included.</param>
internal readonly record struct TrainingRow(
    int Step, double Loss, double Smoothed, long Tokens, long TrainedTokens, double TokensPerSecond, double Gflops, double LearningRate, double GradientNorm, double Seconds);

/// <summary>
/// The record of a run as a CSV file, a row per step. A run that goes on from a checkpoint drops the rows of steps it will take
/// again, so that no step is there twice.
/// </summary>
internal sealed class TrainingLog : IDisposable
{
    private const string Header = "step,loss,smoothed_loss,tokens,trained_tokens,tokens_per_second,gflop_per_second,learning_rate,gradient_norm,seconds";

    // The average forgets a step with a half-life of about 34.
    private const double Memory = 0.98;

    private readonly StreamWriter _writer;
    private readonly List<TrainingRow> _rows = [];
    private double _sum;
    private double _weight;

    /// <summary>Opens the record of a run that has done so many steps.</summary>
    /// <exception cref="FlintException">Machine: it cannot be written.</exception>
    internal TrainingLog(string path, int stepsDone)
    {
        try
        {
            foreach (string line in File.Exists(path) ? File.ReadLines(path).Skip(1) : [])
            {
                if (Parse(line) is not { } row || row.Step != _rows.Count + 1 || row.Step > stepsDone) break;
                Smooth(row.Loss);
                _rows.Add(row);
            }
            // What was there is kept until the new file has it too.
            string partial = path + ".partial";
            File.WriteAllLines(partial, [Header, .. _rows.Select(Format)]);
            File.Move(partial, path, overwrite: true);
            _writer = new StreamWriter(path, append: true) { NewLine = "\n" };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unwritable", $"{path}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>All rows, in order.</summary>
    internal IReadOnlyList<TrainingRow> Rows => _rows;

    /// <summary>Appends a step.</summary>
    /// <param name="step">What it did.</param>
    /// <param name="tokens">Tokens of this step.</param>
    /// <param name="operations">Its floating-point operations.</param>
    /// <param name="seconds">Its time.</param>
    internal TrainingRow Add(in TrainingStep step, long tokens, double operations, double seconds)
    {
        double before = _rows.Count > 0 ? _rows[^1].Seconds : 0;
        var row = new TrainingRow(step.Step, step.Loss, Smooth(step.Loss), step.Tokens, step.TrainedTokens, tokens / seconds,
            operations / seconds * 1e-9, step.LearningRate, step.GradientNorm, before + seconds);
        _rows.Add(row);
        _writer.WriteLine(Format(row));
        return row;
    }

    /// <summary>Hands what was written to the system.</summary>
    internal void Flush() => _writer.Flush();

    public void Dispose() => _writer.Dispose();

    private double Smooth(double loss)
    {
        _sum = Memory * _sum + (1 - Memory) * loss;
        _weight = Memory * _weight + (1 - Memory);
        return _sum / _weight;
    }

    private static string Format(TrainingRow r) => string.Create(CultureInfo.InvariantCulture,
        $"{r.Step},{r.Loss:R},{r.Smoothed:G6},{r.Tokens},{r.TrainedTokens},{r.TokensPerSecond:F0},{r.Gflops:F1},{r.LearningRate:G6},{r.GradientNorm:G6},{r.Seconds:F3}");

    private static TrainingRow? Parse(string line)
    {
        string[] parts = line.Split(',');
        var numbers = new double[10];
        if (parts.Length != numbers.Length) return null;
        for (int i = 0; i < numbers.Length; i++)
            if (!double.TryParse(parts[i], NumberStyles.Float, CultureInfo.InvariantCulture, out numbers[i])) return null;
        return new TrainingRow((int)numbers[0], numbers[1], numbers[2], (long)numbers[3], (long)numbers[4], numbers[5], numbers[6], numbers[7], numbers[8], numbers[9]);
    }
}
