using Flint.Kernels;
using Flint.Training;

namespace Flint.Tests.Training;

/// <summary>Steps against the formulas of the papers in binary64: AdamW, clipping, the schedule, accumulation.</summary>
public sealed unsafe class OptimizerTests
{
    // Loshchilov and Hutter, arXiv 1711.05101: moments with their bias taken out, decay beside them, of matrices alone.
    [Theory]
    [InlineData(0f, 1)]
    [InlineData(0.5f, 1)]
    [InlineData(0.5f, 2)]
    [InlineData(1000f, 1)]
    public void AStepIsThatOfThePaper(float clip, int threads)
    {
        var options = new TrainerOptions { Steps = 6, WarmupSteps = 2, LearningRate = 0.02f, FinalLearningRate = 0.005f, WeightDecay = 0.3f, Beta1 = 0.8f, Beta2 = 0.9f, Epsilon = 1e-6f, ClipNorm = clip };
        using var tensors = new TrainedTensors([("blk.0.attn_q.weight", 50, 21), ("output_norm.weight", 37, 0)]);
        using var team = new Team(threads);
        using var optimizer = new Optimizer(tensors, team, OptimizerKind.AdamW);
        var random = new Random(2);
        double[] values = new double[tensors.Count], first = new double[tensors.Count], second = new double[tensors.Count];
        for (int i = 0; i < values.Length; i++) values[i] = tensors.Values[i] = random.NextSingle() - 0.5f;
        for (int step = 0; step < 5; step++)
        {
            double squares = 0;
            for (int i = 0; i < values.Length; i++)
            {
                tensors.Gradients[i] = random.NextSingle() - 0.5f;
                squares += (double)tensors.Gradients[i] * tensors.Gradients[i];
            }

            double norm = Math.Sqrt(squares), rate = options.RateAt(step), scale = clip > 0 && norm > clip ? clip / norm : 1;
            Assert.Equal(norm, optimizer.Step(options, step), 1e-5 * norm);
            for (int i = 0; i < values.Length; i++)
            {
                double gradient = tensors.Gradients[i] * scale;
                first[i] = options.Beta1 * first[i] + (1 - options.Beta1) * gradient;
                second[i] = options.Beta2 * second[i] + (1 - options.Beta2) * gradient * gradient;
                double unbiased = first[i] / (1 - Math.Pow(options.Beta1, step + 1)), square = second[i] / (1 - Math.Pow(options.Beta2, step + 1));
                double decay = i < tensors.All[0].Count ? rate * options.WeightDecay : 0;
                values[i] = values[i] * (1 - decay) - rate * unbiased / (Math.Sqrt(square) + options.Epsilon);
                Assert.Equal(values[i], tensors.Values[i], 2e-6);
            }
        }
    }

    [Fact]
    public void TheRateRisesInALineAndFallsAlongHalfACosine()
    {
        var options = new TrainerOptions { Steps = 110, WarmupSteps = 10, LearningRate = 0.1f, FinalLearningRate = 0.02f };
        double[] expected = [0.01, 0.05, 0.1, 0.1, 0.02 + 0.08 * 0.5 * (1 + Math.Cos(Math.PI / 4)), 0.06, 0.02];
        Assert.Equal(expected, new[] { 0, 4, 9, 10, 35, 60, 110 }.Select(options.RateAt), (a, b) => Math.Abs(a - b) < 1e-8);
        TrainerOptions level = options with { DecaySteps = 40 };
        expected = [0.1, 0.1, 0.06, 0.02];
        Assert.Equal(expected, new[] { 10, 70, 90, 110 }.Select(level.RateAt), (a, b) => Math.Abs(a - b) < 1e-8);
    }

    // Two passes of one example each, or one of two: the same examples, and the mean over all their weights.
    [Fact]
    public void PassesOfAStepCountAsOne()
    {
        const int rows = 32;
        using var run = new TrainingRun("llama");
        string path = run.File("equal");
        var random = new Random(9);
        using (var writer = new ExampleFileWriter(path, run.Data.Vocabulary))
        {
            for (int e = 0; e < 6; e++)
            {
                int[] tokens = [.. Enumerable.Range(0, rows + 1).Select(_ => random.Next(run.Data.Vocabulary))];
                float[] weights = [.. tokens.Select((_, i) => i > 0 && i % (e + 2) == 0 ? 1f : 0f)]; // each example has another share
                writer.Add(tokens, weights);
            }

            writer.Complete();
        }

        using ExampleFile data = ExampleFile.Open(path);
        TrainerOptions two = TrainingRun.Options with { MicroBatchTokens = rows, MaxExampleTokens = rows + 1, Accumulation = 2 };
        using Trainer passes = Trainer.Start(run.Model, data, two), one = Trainer.Start(run.Model, data, two with { MicroBatchTokens = 2 * rows, Accumulation = 1 });
        for (int step = 0; step < 3; step++)
        {
            TrainingStep expected = one.Step(), found = passes.Step();
            Assert.Equal((expected.Tokens, expected.TrainedTokens), (found.Tokens, found.TrainedTokens));
            double tolerance = step == 0 ? 1e-6 : 1e-3; // AdamW makes much of little where gradients are near zero
            Assert.Equal(expected.Loss, found.Loss, tolerance * expected.Loss);
            Assert.Equal(expected.GradientNorm, found.GradientNorm, 10 * tolerance * expected.GradientNorm);
        }
    }
}
