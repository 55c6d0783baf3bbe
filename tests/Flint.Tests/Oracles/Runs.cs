using Flint.Models;

namespace Flint.Tests.Oracles;

/// <summary>Ways to run a model over tokens.</summary>
internal static class Runs
{
    /// <summary>The logits after every token, [token][vocabulary], from batches of <paramref name="chunk"/> tokens.</summary>
    public static float[] Logits(Model model, int[] tokens, int chunk, ModelAdapter? adapter = null)
    {
        using var pool = new KvPool(model.Config.KvShape, KvPool.PagesFor(tokens.Length));
        var state = new SequenceState(pool, tokens.Length);
        var batch = new Batch(Math.Max(chunk, 1), 1, Math.Max(chunk, 1));
        int vocabulary = model.Config.VocabularySize;
        float[] logits = new float[tokens.Length * vocabulary];
        for (int first = 0; first < tokens.Length; first += chunk)
        {
            int count = Math.Min(chunk, tokens.Length - first);
            Assert.True(state.TryReserve(count));
            batch.Clear();
            int sequence = batch.AddSequence(state, adapter);
            for (int i = 0; i < count; i++) batch.Add(sequence, tokens[first + i], first + i, true);
            model.Forward(batch);
            for (int i = 0; i < count; i++) model.Logits(i).CopyTo(logits.AsSpan((first + i) * vocabulary, vocabulary));
        }

        state.Free();
        return logits;
    }
}
