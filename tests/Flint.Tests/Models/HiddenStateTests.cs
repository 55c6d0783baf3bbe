using Flint.Formats;
using Flint.Models;
using Flint.Tests.Oracles;
using Flint.Weights;

namespace Flint.Tests.Models;

/// <summary>The final hidden states: what the head makes logits of, and invariant 2 for them.</summary>
public sealed unsafe class HiddenStateTests : IDisposable
{
    private const int Length = 70;
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"flint-hidden-{Guid.NewGuid():N}.gguf");

    public void Dispose() => File.Delete(_path);

    /// <summary>The head's product done by hand, scale and soft-cap included, is the logits.</summary>
    [Theory]
    [InlineData("llama")]
    [InlineData("qwen3moe")]
    [InlineData("muse-glimmer")]
    public void TheHeadOverTheHiddenStatesGivesTheLogits(string architecture)
    {
        using Model model = Load(architecture, WeightType.F32);
        int[] tokens = Tokens(3, Length);
        float[] logits = Runs.Logits(model, tokens, 64), hidden = Runs.Hidden(model, tokens, 17);
        int width = model.Config.EmbeddingLength, vocabulary = model.Config.VocabularySize;
        TensorInfo head = model.File.Tensors.TryGet("output.weight", out TensorInfo? own) ? own : model.File.Tensors.Get("token_embd.weight");
        float[] weights = new float[head.Elements];
        fixed (float* to = weights) WeightTypes.DecodeRow(head.Type, head.Data, to, weights.Length);
        double error = 0, norm = 0;
        for (int row = 0; row < Length; row++)
        {
            for (int token = 0; token < vocabulary; token++)
            {
                double sum = 0;
                for (int i = 0; i < width; i++) sum += (double)hidden[row * width + i] * weights[token * width + i];
                sum *= model.Config.LogitScale;
                if (model.Config.LogitCap != 0) sum = model.Config.LogitCap * Math.Tanh(sum / model.Config.LogitCap);
                double expected = logits[row * vocabulary + token];
                error += (sum - expected) * (sum - expected);
                norm += expected * expected;
            }
        }

        Assert.True(norm > 1, "the logits are all but zero");
        Assert.True(Math.Sqrt(error / norm) < 1e-5, $"relative RMS error {Math.Sqrt(error / norm):E2}");
    }

    /// <summary>Alone or beside rows that want logits, in any chunks, with adapters and without: the same bits, of both kinds.</summary>
    [Theory]
    [InlineData("llama", WeightType.F32, TinyModel.Width)]
    [InlineData("llama", WeightType.Q8_0, 1280)]
    [InlineData("qwen3moe", WeightType.Q8_0, TinyModel.Width)]
    [InlineData("muse-glimmer", WeightType.Q4_K, 1280)]
    public void RowsOfBothKindsKeepTheirBitsInOneBatch(string architecture, WeightType type, int width)
    {
        using Model model = Load(architecture, type, width);
        ModelAdapter?[] adapters = architecture == "qwen3moe" ? new ModelAdapter?[2] : [null, model.LoadAdapter(LoraAdapters.Random(model.File, 1))];
        const int sequences = 6; // the first half wants logits, the second hidden states
        int[][] tokens = [.. Enumerable.Range(0, sequences).Select(i => Tokens(20 + i, Length - 5 * i))];
        int vocabulary = model.Config.VocabularySize;
        float[][] expected = [.. tokens.Select((t, i) => i < sequences / 2 ? Runs.Logits(model, t, t.Length, adapters[i % 2]) : Runs.Hidden(model, t, t.Length, adapters[i % 2]))];
        Assert.Equal(expected[^1], Runs.Hidden(model, tokens[^1], 1, adapters[(sequences - 1) % 2]));

        using var pool = new KvPool(model.Config.KvShape, sequences * KvPool.PagesFor(Length));
        var states = Enumerable.Range(0, sequences).Select(_ => new SequenceState(pool, Length)).ToArray();
        var batch = new Batch(128, sequences, 128);
        for (int step = 0; states[0].Length < tokens[0].Length; step++)
        {
            batch.Clear();
            for (int i = 0; i < sequences; i++)
            {
                int from = states[i].Length, count = Math.Min((step + i) % 3 == 0 ? 11 : 2, tokens[i].Length - from);
                if (count == 0) continue;
                Assert.True(states[i].TryReserve(count));
                int sequence = batch.AddSequence(states[i], adapters[i % 2]);
                for (int t = from; t < from + count; t++) batch.Add(sequence, tokens[i][t], t, wantLogits: i < sequences / 2, wantHidden: i >= sequences / 2);
            }

            int[] at = batch.Positions.ToArray(), of = [.. batch.RowSequences.ToArray().Select(s => Array.IndexOf(states, batch.State(s)))];
            model.Forward(batch);
            for (int k = 0; k < batch.LogitRows; k++)
            {
                int row = batch.LogitRowIndices[k];
                Assert.Equal(expected[of[row]].AsSpan(at[row] * vocabulary, vocabulary), model.Logits(k));
            }

            for (int k = 0; k < batch.HiddenRows; k++)
            {
                int row = batch.HiddenRowIndices[k];
                Assert.Equal(expected[of[row]].AsSpan(at[row] * width, width), model.Hidden(k));
            }
        }
    }

    [Fact]
    public void OnlyRowsThatAskedHaveOne()
    {
        using Model model = Load("llama", WeightType.F32);
        Assert.Throws<FlintException>(() => model.Hidden(0).Length);
        Runs.Hidden(model, Tokens(1, 3), 3);
        Assert.Equal(TinyModel.Width, model.Hidden(2).Length);
        Assert.Throws<FlintException>(() => model.Hidden(3).Length);
        Assert.Throws<FlintException>(() => model.Logits(0).Length);
        Runs.Logits(model, Tokens(1, 3), 3);
        Assert.Throws<FlintException>(() => model.Hidden(0).Length);
    }

    private static int[] Tokens(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(TinyModel.VocabularySize))];
    }

    private Model Load(string architecture, WeightType type, int width = TinyModel.Width)
    {
        TinyModel.Write(_path, architecture, type, width: width);
        return Model.Load(_path, new ModelOptions { Threads = 2, MaxBatchRows = 128, MaxLogitRows = 128 });
    }
}
