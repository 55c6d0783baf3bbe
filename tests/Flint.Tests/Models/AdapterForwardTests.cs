using Flint.Formats;
using Flint.Models;
using Flint.Tests.Isa;
using Flint.Tests.Oracles;
using Flint.Weights;

namespace Flint.Tests.Models;

/// <summary>Adapters in the forward: what they add is what merged weights would, whatever else is in the batch.</summary>
public sealed class AdapterForwardTests : IDisposable
{
    private const int Rows = 40;
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-adapter-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("llama", 1)]
    [InlineData("llama", 16)]
    [InlineData("qwen3", 4)]
    [InlineData("muse-glimmer", 4)]
    [InlineData("muse-glimmer", 33)]
    public void Logits_are_those_of_the_merged_model(string architecture, int rank)
    {
        string path = Write(architecture, WeightType.F32), merged = Path.Combine(_folder, "merged.gguf");
        using Model model = Load(path);
        LoraAdapter adapter = LoraAdapters.Random(model.File, 5, rank, alpha: 0.25f * rank);
        LoraMerge.Write(model.File, adapter, merged);
        using Model other = Load(merged);
        ModelAdapter loaded = model.LoadAdapter(adapter);
        int[] tokens = Tokens(1);
        float[] expected = Runs.Logits(other, tokens, Rows), plain = Runs.Logits(model, tokens, Rows);
        foreach (int chunk in new[] { Rows, 7, 1 })
        {
            float[] actual = Runs.Logits(model, tokens, chunk, loaded);
            Assert.InRange(Distance(expected, actual), 0, 1e-5);
        }

        Assert.True(Distance(plain, expected) > 0.01, "the adapter changes next to nothing");
    }

    [Theory]
    [InlineData(WeightType.Q8_0)]
    [InlineData(WeightType.Q4_K)]
    [InlineData(WeightType.BF16)]
    public void Adds_to_any_format_of_weights(WeightType type)
    {
        using Model model = Load(Write("llama", type));
        string merged = Path.Combine(_folder, "merged.gguf");
        LoraAdapter adapter = LoraAdapters.Random(model.File, 5, alpha: 1);
        // In F32 a model is computed without rounding activations; the adapter may add no more to what that makes than there is anyway.
        LoraMerge.Write(model.File, adapter, merged, WeightType.F32);
        string plain = Path.Combine(_folder, "plain.gguf");
        Quantizer.Write(model.File, plain, new QuantizerOptions { Mix = "F32" });
        using Model other = Load(merged), unchanged = Load(plain);
        double rounding = Distance(Runs.Logits(unchanged, Tokens(1), Rows), Runs.Logits(model, Tokens(1), Rows));
        float[] actual = Runs.Logits(model, Tokens(1), Rows, model.LoadAdapter(adapter));
        Assert.InRange(Distance(Runs.Logits(other, Tokens(1), Rows), actual), 0, 2 * rounding + 1e-5);
    }

    [Fact]
    [Trait("Isa", "yes")]
    public void Computes_the_same_bits_on_every_processor()
    {
        using Model model = Load(Write("muse-glimmer", WeightType.Q8_0));
        float[] logits = Runs.Logits(model, Tokens(2)[..6], 5, model.LoadAdapter(LoraAdapters.Random(model.File, 4, rank: 17)));
        Assert.All(logits, v => Assert.True(float.IsFinite(v)));
        IsaDigest.Record("adapter", logits);
    }

    // Sequences with three adapters and with none, in chunks that the batch mixes, against each alone.
    [Theory]
    [InlineData("llama", WeightType.F32)]
    [InlineData("muse-glimmer", WeightType.Q8_0)]
    public void Has_the_same_bits_in_any_batch(string architecture, WeightType type)
    {
        string path = Write(architecture, type);
        using Model model = Load(path), team = Load(path, threads: 2);
        static ModelAdapter?[] Adapters(Model model) =>
        [
            null,
            model.LoadAdapter(LoraAdapters.Random(model.File, 1, rank: 3)),
            model.LoadAdapter(LoraAdapters.Random(model.File, 2, rank: 17, wanted: n => n.Contains("ffn", StringComparison.Ordinal))),
            model.LoadAdapter(LoraAdapters.Random(model.File, 3, rank: 1, wanted: n => n.Contains("attn_v", StringComparison.Ordinal) || n.Contains(".1.", StringComparison.Ordinal))),
        ];
        ModelAdapter?[] adapters = Adapters(model), others = Adapters(team);
        int[] order = [0, 1, 1, 2, 3, 0, 2];
        int[][] tokens = [.. order.Select((_, i) => Tokens(i))];
        float[][] alone = [.. order.Select((a, i) => Runs.Logits(model, tokens[i], Rows, adapters[a]))];
        Assert.NotEqual(Runs.Logits(model, tokens[1], Rows), alone[1]);
        foreach (int chunk in new[] { Rows, 9, 2, 1 })
        {
            float[][] together = Together(team, tokens, [.. order.Select(a => others[a])], chunk);
            for (int i = 0; i < order.Length; i++) AssertRows(alone[i], together[i], i);
        }
    }

    [Fact]
    public void Adapts_a_head_of_its_own()
    {
        using Model model = Load(Write("muse-glimmer", WeightType.F32));
        ModelAdapter head = model.LoadAdapter(LoraAdapters.Random(model.File, 1, wanted: n => n == "output.weight"));
        Assert.NotEqual(Runs.Logits(model, Tokens(1), Rows), Runs.Logits(model, Tokens(1), Rows, head));
        Assert.True(head.Bytes > 0);
    }

    [Fact]
    public void Refuses_adapters_of_another_model()
    {
        using Model model = Load(Write("llama", WeightType.F32)), other = Load(Write("qwen3", WeightType.F32));
        LoraAdapter adapter = LoraAdapters.Random(other.File, 1);
        Assert.Equal("adapter_mismatch", Assert.Throws<FlintException>(() => model.LoadAdapter(adapter)).Code);
        ModelAdapter loaded = other.LoadAdapter(adapter);
        Assert.Equal((FaultSide.Bug, "adapter_model"), Assert.Throws<FlintException>(() => Runs.Logits(model, Tokens(1), Rows, loaded)) is var f ? (f.Side, f.Code) : default);
    }

    [Fact]
    public void Merging_keeps_all_that_does_not_change()
    {
        string path = Write("llama", WeightType.Q8_0), target = Path.Combine(_folder, "m.gguf");
        using GgufFile model = GgufFile.Open(path);
        LoraAdapter adapter = LoraAdapters.Random(model, 1, wanted: n => n == "blk.1.ffn_up.weight");
        LoraMerge.Write(model, adapter, target);
        using GgufFile merged = GgufFile.Open(target);
        Assert.Equal(model.Metadata.Select(p => p.Key), merged.Metadata.Select(p => p.Key));
        foreach (TensorInfo tensor in model.Tensors)
        {
            TensorInfo other = merged.Tensors.Get(tensor.Name, tensor.Shape);
            Assert.Equal(tensor.Type, other.Type);
            Assert.Equal(tensor.Name != "blk.1.ffn_up.weight", Bytes(tensor).SequenceEqual(Bytes(other)));
        }

        Assert.Equal("target_is_source", Assert.Throws<FlintException>(() => LoraMerge.Write(model, adapter, path)).Code);
        LoraAdapter large = new("llama", 1, [new("blk.0.attn_k.weight", 1, TinyModel.Width, 64, [.. Enumerable.Repeat(1e20f, TinyModel.Width)], new float[64].Select(_ => 1e18f).ToArray())]);
        Assert.Equal("weight_range", Assert.Throws<FlintException>(() => LoraMerge.Write(model, large, Path.Combine(_folder, "l.gguf"))).Code);
        Assert.False(File.Exists(Path.Combine(_folder, "l.gguf")));
    }

    private static unsafe byte[] Bytes(TensorInfo tensor) => new ReadOnlySpan<byte>(tensor.Data, (int)tensor.Bytes).ToArray();

    private static int[] Tokens(int seed)
    {
        var random = new Random(seed + 100);
        return [.. Enumerable.Range(0, Rows).Select(_ => random.Next(TinyModel.VocabularySize))];
    }

    private string Write(string architecture, WeightType type)
    {
        string path = Path.Combine(_folder, $"{architecture}-{type}.gguf");
        TinyModel.Write(path, architecture, type);
        return path;
    }

    private static Model Load(string path, int threads = 1) => Model.Load(path, new ModelOptions { Threads = threads, MaxBatchRows = 512, MaxLogitRows = 512, ContextLength = 256 });

    private static double Distance(float[] expected, float[] actual)
    {
        double error = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            error += ((double)actual[i] - expected[i]) * ((double)actual[i] - expected[i]);
            norm += (double)expected[i] * expected[i];
        }

        return Math.Sqrt(error / norm);
    }

    /// <summary>All sequences in one batch after another, each a step of so many rows; sequence i starts i steps late.</summary>
    private static float[][] Together(Model model, int[][] tokens, ModelAdapter?[] adapters, int chunk)
    {
        using var pool = new KvPool(model.Config.KvShape, tokens.Length * KvPool.PagesFor(Rows));
        SequenceState[] states = [.. tokens.Select(_ => new SequenceState(pool, Rows))];
        float[][] logits = [.. tokens.Select(_ => new float[Rows * TinyModel.VocabularySize])];
        var batch = new Batch(512, tokens.Length, 512);
        for (int step = 0; states.Any(s => s.Length < Rows); step++)
        {
            batch.Clear();
            var rows = new List<(int Sequence, int Position)>();
            for (int i = 0; i < tokens.Length; i++)
            {
                int first = states[i].Length, count = Math.Min(chunk, Rows - first);
                if (i > step || count == 0) continue;
                Assert.True(states[i].TryReserve(count));
                int sequence = batch.AddSequence(states[i], adapters[i]);
                for (int p = first; p < first + count; p++)
                {
                    // Some rows go without logits, so that those that stay move.
                    bool wanted = (p + i) % 3 != 0;
                    batch.Add(sequence, tokens[i][p], p, wanted);
                    if (wanted) rows.Add((i, p));
                }
            }

            model.Forward(batch);
            for (int r = 0; r < rows.Count; r++)
                model.Logits(r).CopyTo(logits[rows[r].Sequence].AsSpan(rows[r].Position * TinyModel.VocabularySize));
        }

        return logits;
    }

    /// <summary>Compares the rows that <see cref="Together"/> asked for.</summary>
    private static void AssertRows(float[] expected, float[] actual, int sequence)
    {
        for (int p = 0; p < Rows; p++)
        {
            if ((p + sequence) % 3 != 0)
                Assert.Equal(expected.AsSpan(p * TinyModel.VocabularySize, TinyModel.VocabularySize), actual.AsSpan(p * TinyModel.VocabularySize, TinyModel.VocabularySize));
        }
    }
}
