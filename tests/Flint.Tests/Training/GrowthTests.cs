using Flint.Formats;
using Flint.Models;
using Flint.Tests.Models;
using Flint.Training;
using Flint.Weights;

namespace Flint.Tests.Training;

/// <summary>A model with more heads of keys and values answers as before, in every format.</summary>
public sealed class GrowthTests : IDisposable
{
    private const int Rows = 70;

    private readonly string _folder = Directory.CreateTempSubdirectory("flint-growth-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    [Theory]
    [InlineData("llama", WeightType.Q8_0, 4)]
    [InlineData("qwen3", WeightType.F32, 8)]
    [InlineData("muse-glimmer", WeightType.F32, 4)]
    [InlineData("muse-glimmer", WeightType.Q4_K, 8)]
    public void A_grown_model_answers_as_before(string architecture, WeightType type, int kvHeads)
    {
        string small = Path.Combine(_folder, "small.gguf"), grown = Path.Combine(_folder, "grown.gguf");
        TinyModel.Write(small, architecture, type);
        Growth.Write(grown, small, kvHeads);
        float[] expected = Logits(small, 2), actual = Logits(grown, kvHeads);
        float largest = expected.Max(Math.Abs);
        Assert.True(largest > 0);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-5f * largest);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(6)]
    [InlineData(16)]
    public void Heads_that_cannot_come_of_those_there_are_are_refused(int kvHeads)
    {
        string small = Path.Combine(_folder, "small.gguf"), grown = Path.Combine(_folder, "grown.gguf");
        TinyModel.Write(small);
        Assert.Equal("cannot_grow", Assert.Throws<FlintException>(() => Growth.Write(grown, small, kvHeads)).Code);
        Assert.False(File.Exists(grown));
    }

    private static float[] Logits(string path, int kvHeads)
    {
        using Model model = Model.Load(path, new ModelOptions { Threads = 1, MaxLogitRows = Rows });
        Assert.Equal(kvHeads, model.Config.KvHeads);
        using var pool = new KvPool(model.Config.KvShape, KvPool.PagesFor(Rows));
        var state = new SequenceState(pool, Rows);
        Assert.True(state.TryReserve(Rows));
        var batch = new Batch(Rows, 1, Rows);
        int sequence = batch.AddSequence(state);
        for (int i = 0; i < Rows; i++) batch.Add(sequence, i * 7 % TinyModel.VocabularySize, i, wantLogits: true);
        model.Forward(batch);
        float[] logits = [.. Enumerable.Range(0, Rows).SelectMany(row => model.Logits(row).ToArray())];
        state.Free();
        return logits;
    }
}
