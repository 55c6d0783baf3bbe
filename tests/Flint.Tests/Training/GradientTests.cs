using Flint.Formats;
using Flint.Kernels;
using Flint.Models;
using Flint.Tests.Models;
using Flint.Training;
using Flint.Weights;
using Xunit;

namespace Flint.Tests.Training;

/// <summary>The training pass against inference (same loss) and its gradients against central differences, tensor by tensor.</summary>
public sealed class GradientTests
{
    [Theory]
    [InlineData("llama")]
    [InlineData("qwen3")]
    [InlineData("muse-glimmer")]
    public void TheLossIsThatOfInference(string architecture)
    {
        using var run = new TrainingRun(architecture);
        using Trainer trainer = Trainer.Start(run.Model, run.Data, TrainingRun.Options);
        using Model model = Model.Load(run.Model, new ModelOptions { Threads = 2, MaxLogitRows = 256 });
        using var pool = new KvPool(model.Config.KvShape, 16);
        double loss = 0, total = 0;
        for (int e = 0; e < run.Data.Count; e++)
        {
            int[] tokens = new int[run.Data.Length(e)];
            float[] weights = new float[tokens.Length];
            run.Data.Read(e, tokens, weights);
            var state = new SequenceState(pool, model.Config.ContextLength);
            Assert.True(state.TryReserve(tokens.Length));
            var batch = new Batch(256, 1, 256);
            int sequence = batch.AddSequence(state);
            for (int i = 0; i + 1 < tokens.Length; i++) batch.Add(sequence, tokens[i], i, wantLogits: true);
            model.Forward(batch);
            for (int i = 0; i + 1 < tokens.Length; i++)
            {
                ReadOnlySpan<float> logits = model.Logits(i);
                double top = 0, sum = 0;
                foreach (float z in logits) top = Math.Max(top, z);
                foreach (float z in logits) sum += Math.Exp(z - top);
                loss += weights[i + 1] * (Math.Log(sum) + top - logits[tokens[i + 1]]);
                total += weights[i + 1];
            }

            state.Free();
        }

        Assert.Equal(loss / total, trainer.Evaluate(run.All, run.Data), 5e-6 * loss / total);
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("qwen3")]
    [InlineData("muse-glimmer")]
    public void EveryTensorsGradientIsThatOfCentralDifferences(string architecture)
    {
        using var run = new TrainingRun(architecture, examples: 4);
        using var probe = new GradientProbe(run.Model, run.Data, null);
        probe.CheckAll();
    }

    [Theory]
    [InlineData("llama", WeightType.Q8_0)]
    [InlineData("qwen3", WeightType.Q4_K)]
    [InlineData("muse-glimmer", WeightType.Q4_K)]
    public void AnAdaptersGradientOverFrozenWeightsIsThatOfCentralDifferences(string architecture, WeightType type)
    {
        using var run = new TrainingRun(architecture, type, examples: 4);
        using var probe = new GradientProbe(run.Model, run.Data, new LoraOptions { Rank = 4, Alpha = 6 });
        probe.CheckAll();
    }

    [Fact]
    public void AnAdapterOfTheHeadHasTheGradientOfCentralDifferences()
    {
        using var run = new TrainingRun("muse-glimmer", WeightType.Q8_0, examples: 4);
        using var probe = new GradientProbe(run.Model, run.Data, new LoraOptions { Rank = 4, Alpha = 6, Targets = ["attn_q", LoraOptions.HeadTarget] });
        probe.CheckAll();
        using var tied = new TrainingRun("llama", WeightType.Q8_0, examples: 4);
        var lora = new LoraOptions { Rank = 4, Targets = [LoraOptions.HeadTarget] };
        Assert.Contains("is its embedding", Assert.Throws<FlintException>(() => Trainer.StartAdapter(tied.Model, tied.Data, new TrainerOptions { MicroBatchTokens = 256, MaxExampleTokens = 128 }, lora)).Message);
    }

    /// <summary>Losses and gradients of one pass over all examples, with the weights within reach.</summary>
    private sealed unsafe class GradientProbe : IDisposable
    {
        private const double Rounding = 5e-7; // of a loss near 6, in binary32 logits

        private readonly GgufFile _file;
        private readonly Team _team = new(2);
        private readonly TrainedTensors _trained;
        private readonly TrainingWeights _weights;
        private readonly Backpropagation _pass;
        private readonly PackedBatch _batch = new(2048);

        public GradientProbe(string model, ExampleFile data, LoraOptions? lora)
        {
            _file = GgufFile.Open(model);
            ModelConfig config = Family.Configure(_file);
            bool tied = !_file.Tensors.TryGet(DecoderTensors.Head, out _);
            _trained = new TrainedTensors(lora?.Tensors(config) ?? DecoderTensors.Of(config, tied).Select(t => (t.Name, t.Columns, t.Rows)));
            if (lora is null)
            {
                TrainingFiles.ReadValues(_file, _trained, moments: false);
            }
            else
            {
                var random = new Random(5); // B too: with B = 0, A would have no gradient
                for (long i = 0; i < _trained.Count; i++) _trained.Values[i] = (random.NextSingle() - 0.5f) / 2;
            }

            _weights = new TrainingWeights(_file, config, _trained);
            _pass = new Backpropagation(config, _weights, _trained, _team, new TrainingSizes(2048, 128, 2, lora?.Rank ?? 0, lora is not null), lora?.Scale ?? 1);
            int[] tokens = new int[128];
            float[] weights = new float[128];
            for (int e = 0; e < data.Count; e++)
            {
                int length = data.Length(e);
                data.Read(e, tokens.AsSpan(0, length), weights.AsSpan(0, length));
                Assert.True(_batch.TryAdd(tokens.AsSpan(0, length), weights.AsSpan(0, length)));
            }
        }

        public void CheckAll()
        {
            _trained.ClearGradients();
            _pass.Run(_batch, (float)(1 / _batch.TotalWeight), backward: true);
            float[] gradient = new ReadOnlySpan<float>(_trained.Gradients, (int)_trained.Count).ToArray();
            var random = new Random(11);
            foreach (TrainedTensor tensor in _trained.All)
            {
                float[] own = gradient.AsSpan((int)tensor.Offset, (int)tensor.Count).ToArray();
                double norm = Math.Sqrt(own.Sum(g => (double)g * g));
                Assert.True(norm > 1e-7, $"{tensor.Name} has no gradient");
                // Along the gradient, and along it bent by as much noise: a wrong element shows in the second.
                double[] straight = [.. own.Select(g => g / norm)];
                double[] bent = [.. straight.Select(d => d + (random.NextDouble() - 0.5) * Math.Sqrt(12.0 / own.Length))];
                Check(tensor, own, straight);
                Check(tensor, own, bent);
            }
        }

        public void Dispose()
        {
            _pass.Dispose();
            _weights.Dispose();
            _trained.Dispose();
            _team.Dispose();
            _file.Dispose();
        }

        /// <summary>Steps from long to short: the long ones bend, the short ones drown in rounding; one of them has to agree.</summary>
        private void Check(TrainedTensor tensor, float[] gradient, double[] direction)
        {
            double length = Math.Sqrt(direction.Sum(d => d * d)), size = 0;
            foreach (float value in new ReadOnlySpan<float>(_trained.ValuesOf(tensor), gradient.Length)) size += (double)value * value;
            double[] unit = [.. direction.Select(d => d / length)];
            var seen = new List<string>();
            for (double step = 6.4e-2 * Math.Max(Math.Sqrt(size), 1e-2); seen.Count < 8; step /= 4)
            {
                (double found, double expected) = Difference(tensor, gradient, unit, step);
                if (Math.Abs(expected) > 1e-5 && Math.Abs(found - expected) <= 0.01 * Math.Abs(expected) + Rounding) return;
                seen.Add($"{found:E4} for {expected:E4}");
            }

            Assert.Fail($"{tensor.Name}: the loss changes, step by step, by {string.Join(", ", seen)} that the gradient says");
        }

        private (double Found, double Expected) Difference(TrainedTensor tensor, float[] gradient, double[] unit, double step)
        {
            float* values = _trained.ValuesOf(tensor);
            float[] kept = new ReadOnlySpan<float>(values, gradient.Length).ToArray();
            double found = 0, expected = 0;
            foreach (int side in (int[])[1, -1])
            {
                for (int i = 0; i < gradient.Length; i++)
                {
                    values[i] = (float)(kept[i] + side * step * unit[i]);
                    expected += side * gradient[i] * ((double)values[i] - kept[i]); // the step as it was rounded
                }

                found += side * Loss();
            }

            kept.CopyTo(new Span<float>(values, kept.Length));
            return (found, expected);
        }

        private double Loss() => _pass.Run(_batch, 1, backward: false) / _batch.TotalWeight;
    }
}
