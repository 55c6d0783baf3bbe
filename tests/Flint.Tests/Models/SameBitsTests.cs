using Flint.Formats;
using Flint.Kernels;
using Flint.Models;
using Flint.Tests.Isa;
using Flint.Tests.Oracles;

namespace Flint.Tests.Models;

/// <summary>
/// Invariant 2: a sequence's logits have the same bits alone, in a crowd, in any chunks, on any number of threads, from shared
/// pages, after a fork, after being computed again, and on every instruction set.
/// </summary>
public sealed class SameBitsTests : IDisposable
{
    private const int Length = 150;
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-bits-").FullName;

    public static TheoryData<string, WeightType, KvFormat> Models
    {
        get
        {
            var data = new TheoryData<string, WeightType, KvFormat>();
            int n = 0;
            foreach (string architecture in new[] { "llama", "qwen3", "qwen3moe", "muse-glimmer" })
            {
                foreach (WeightType type in new[] { WeightType.F32, WeightType.F16, WeightType.Q8_0, WeightType.Q4_0, WeightType.Q4_K, WeightType.Q6_K })
                    data.Add(architecture, type, (KvFormat)(n++ % 3));
            }

            return data;
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Models))]
    public void ChunksThreadsAndCrowdsChangeNothing(string architecture, WeightType type, KvFormat kept)
    {
        int[] tokens = Tokens(7, Length);
        using Model one = Load(architecture, type, 1, kept);
        float[] expected = Runs.Logits(one, tokens, 1);
        Assert.All(expected, value => Assert.True(float.IsFinite(value)));
        Assert.True(expected.Distinct().Count() > 1000, "the model says the same whatever it reads");
        using Model two = Load(architecture, type, 2, kept);
        foreach (Model model in new[] { one, two })
        {
            foreach (int chunk in new[] { 7, 64, Length }) Assert.Equal(expected, Runs.Logits(model, tokens, chunk));
            Assert.Equal(expected, InACrowd(model, tokens, 13));
        }
    }

    [Theory]
    [InlineData("llama", WeightType.F32, KvFormat.F32)]
    [InlineData("llama", WeightType.F32, KvFormat.Q8)]
    [InlineData("qwen3", WeightType.Q8_0, KvFormat.F16)]
    [InlineData("qwen3moe", WeightType.Q6_K, KvFormat.F32)]
    [InlineData("muse-glimmer", WeightType.Q4_K, KvFormat.F16)]
    [InlineData("muse-glimmer", WeightType.Q4_K, KvFormat.Q8)]
    [Trait("Isa", "yes")]
    public void EveryInstructionSetGivesTheseBits(string architecture, WeightType type, KvFormat kept)
    {
        using Model model = Load(architecture, type, 2, kept);
        float[] logits = Runs.Logits(model, Tokens(7, 40), 40);
        IsaDigest.Record($"model {architecture} {type} {kept}", logits);
        Assert.All(logits, value => Assert.True(float.IsFinite(value)));
    }

    [Theory]
    [InlineData("llama", KvFormat.F16)]
    [InlineData("qwen3moe", KvFormat.F32)]
    [InlineData("muse-glimmer", KvFormat.Q8)]
    public void SharedPagesForksAndRecomputationChangeNothing(string architecture, KvFormat kept)
    {
        int[] tokens = Tokens(3, Length);
        using Model model = Load(architecture, WeightType.Q4_K, 2, kept);
        float[] expected = Runs.Logits(model, tokens, Length);
        using var pool = new KvPool(model.Config.KvShape, 32);
        var batch = new Batch(Length, 4, Length);

        var first = new SequenceState(pool, Length + 8);
        Feed(model, batch, first, tokens, 0, Length, expected);
        var prefix = new SequenceState(pool, Length + 8);
        prefix.Adopt(first.Pages[..3], 3 * KvPool.PageTokens);
        Feed(model, batch, prefix, tokens, 3 * KvPool.PageTokens, Length, expected);

        first.Keep(100);
        SequenceState fork = first.Fork();
        Feed(model, batch, fork, Tokens(9, Length), 100, 120, null); // the fork goes elsewhere
        Feed(model, batch, first, tokens, 100, Length, expected);

        first.Free(); // preempted: all is computed again, in other chunks
        Feed(model, batch, first, tokens, 0, 41, expected);
        Feed(model, batch, first, tokens, 41, Length, expected);
        first.Free();
        fork.Free();
        prefix.Free();
        Assert.Equal(pool.Pages, pool.FreePages);
    }

    /// <summary>Sequences that go on from one prompt step together, in any order and beside strangers, as each would alone.</summary>
    [Theory]
    [InlineData("llama", 1, KvFormat.F32)]
    [InlineData("llama", 3, KvFormat.F16)]
    [InlineData("muse-glimmer", 2, KvFormat.Q8)]
    public void SequencesThatSharePagesStepTogether(string architecture, int threads, KvFormat kept)
    {
        const int shared = 2 * KvPool.PageTokens + 9, forks = 23, steps = 30;
        int[] prompt = Tokens(3, shared);
        int[][] tokens = [.. Enumerable.Range(0, forks).Select(i => prompt.Concat(Tokens(50 + i, steps)).ToArray())];
        using Model model = Load(architecture, WeightType.Q8_0, threads, kept);
        int vocabulary = model.Config.VocabularySize;
        float[][] alone = [.. tokens.Select(t => Runs.Logits(model, t, t.Length))];
        using var pool = new KvPool(model.Config.KvShape, 4 * forks);
        var batch = new Batch(128, forks + 2, 128);
        var first = new SequenceState(pool, Length);
        Feed(model, batch, first, prompt, 0, shared, null);
        var states = Enumerable.Range(0, forks).Select(i => new SequenceState(pool, Length)).ToArray();
        foreach (SequenceState state in states) first.ForkTo(state);
        var stranger = new SequenceState(pool, Length);
        var reader = new SequenceState(pool, Length); // of a prompt, two rows a step
        for (int step = 0; step < steps; step++)
        {
            batch.Clear();
            for (int n = 0; n < forks; n++)
            {
                if (n == 11) Row(stranger, Tokens(77, Length), 1);
                int i = (n * 7 + step) % forks; // another order every time
                Row(states[i], tokens[i], 1);
            }
            Row(reader, Tokens(78, Length), 2);
            model.Forward(batch);
            for (int n = 0; n < forks; n++)
            {
                int i = (n * 7 + step) % forks;
                Assert.Equal(alone[i].AsSpan((shared + step) * vocabulary, vocabulary).ToArray(), model.Logits(n < 11 ? n : n + 1).ToArray());
            }
        }

        void Row(SequenceState state, int[] text, int count)
        {
            Assert.True(state.TryReserve(count));
            int from = state.Length, sequence = batch.AddSequence(state);
            for (int t = 0; t < count; t++) batch.Add(sequence, text[from + t], from + t, t == count - 1);
        }
    }

    /// <summary>The sequence among others of other lengths, its rows between theirs, some of them single steps and some chunks.</summary>
    private static float[] InACrowd(Model model, int[] tokens, int sequences)
    {
        using var pool = new KvPool(model.Config.KvShape, sequences * KvPool.PagesFor(tokens.Length));
        var states = Enumerable.Range(0, sequences).Select(_ => new SequenceState(pool, tokens.Length)).ToArray();
        int[][] others = [.. Enumerable.Range(0, sequences).Select(i => i == sequences / 2 ? tokens : Tokens(100 + i, tokens.Length))];
        var batch = new Batch(256, sequences, 256);
        int vocabulary = model.Config.VocabularySize;
        float[] logits = new float[tokens.Length * vocabulary];
        for (int step = 0; states[sequences / 2].Length < tokens.Length; step++)
        {
            batch.Clear();
            int wanted = 0, wantedFrom = 0, wantedCount = 0;
            for (int i = 0; i < sequences; i++)
            {
                int from = states[i].Length;
                int count = Math.Min((step + i) % 5 == 0 ? 17 : 1, tokens.Length - from);
                if (count == 0) continue;
                Assert.True(states[i].TryReserve(count));
                int sequence = batch.AddSequence(states[i]);
                bool mine = i == sequences / 2;
                if (mine) (wanted, wantedFrom, wantedCount) = (batch.LogitRows, from, count);
                for (int t = 0; t < count; t++) batch.Add(sequence, others[i][from + t], from + t, mine || t == count - 1);
            }

            model.Forward(batch);
            for (int t = 0; t < wantedCount; t++) model.Logits(wanted + t).CopyTo(logits.AsSpan((wantedFrom + t) * vocabulary, vocabulary));
        }

        return logits;
    }

    private static void Feed(Model model, Batch batch, SequenceState state, int[] tokens, int from, int to, float[]? expected)
    {
        Assert.Equal(from, state.Length);
        Assert.True(state.TryReserve(to - from));
        batch.Clear();
        int sequence = batch.AddSequence(state);
        for (int i = from; i < to; i++) batch.Add(sequence, tokens[i], i, true);
        model.Forward(batch);
        int vocabulary = model.Config.VocabularySize;
        for (int i = from; expected is not null && i < to; i++)
            Assert.Equal(expected.AsSpan(i * vocabulary, vocabulary), model.Logits(i - from));
    }

    private static int[] Tokens(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(TinyModel.VocabularySize))];
    }

    private Model Load(string architecture, WeightType type, int threads, KvFormat kept)
    {
        string path = Path.Combine(_folder, $"{architecture}-{type}.gguf");
        if (!File.Exists(path)) TinyModel.Write(path, architecture, type);
        return Model.Load(path, new ModelOptions { Threads = threads, MaxBatchRows = 256, MaxLogitRows = 256, KvFormat = kept });
    }
}
