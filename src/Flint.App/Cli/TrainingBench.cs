using System.Diagnostics;
using Flint.Training;

namespace Flint.App.Cli;

/// <summary>The training test of <c>flint bench</c>: all weights in float32, examples of equal length, every token predicted.</summary>
internal static class TrainingBench
{
    private const int StepTokens = 8192;

    /// <summary>Tokens per second of each timed step; one step of warm-up before.</summary>
    internal static double[] Measure(string path, int length, int repetitions, int threads, CancellationToken cancel)
    {
        string examples = Path.Combine(Path.GetTempPath(), $"flint-bench-{Environment.ProcessId}-{Guid.NewGuid():n}");
        try
        {
            int count = Math.Max(1, StepTokens / length);
            WriteExamples(examples, Trainer.ConfigOf(path).VocabularySize, length, count);
            using ExampleFile data = ExampleFile.Open(examples);
            using Trainer trainer = Trainer.Start(path, data, new TrainerOptions
            {
                Threads = threads, MicroBatchTokens = Math.Max(16, count * length), MaxExampleTokens = length + 1, Steps = repetitions + 2, WarmupSteps = 1,
            });
            trainer.Step();
            double[] speeds = new double[repetitions];
            for (int i = 0; i < repetitions; i++)
            {
                cancel.ThrowIfCancellationRequested();
                long start = Stopwatch.GetTimestamp();
                trainer.Step();
                speeds[i] = count * length / Stopwatch.GetElapsedTime(start).TotalSeconds;
            }

            return speeds;
        }
        finally
        {
            File.Delete(examples);
        }
    }

    private static void WriteExamples(string path, int vocabulary, int length, int count)
    {
        var random = new Random(1);
        int[] tokens = new int[length + 1];
        float[] weights = new float[length + 1];
        Array.Fill(weights, 1f);
        weights[0] = 0;
        using var writer = new ExampleFileWriter(path, vocabulary);
        for (int e = 0; e < count; e++)
        {
            for (int i = 0; i < tokens.Length; i++) tokens[i] = random.Next(vocabulary);
            writer.Add(tokens, weights);
        }

        writer.Complete();
    }
}
