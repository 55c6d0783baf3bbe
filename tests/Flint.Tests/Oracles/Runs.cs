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

    /// <summary>The final hidden state after every token, [token][width], from batches of <paramref name="chunk"/> tokens.</summary>
    public static float[] Hidden(Model model, int[] tokens, int chunk, ModelAdapter? adapter = null)
    {
        using var pool = new KvPool(model.Config.KvShape, KvPool.PagesFor(tokens.Length));
        var state = new SequenceState(pool, tokens.Length);
        var batch = new Batch(chunk, 1, 1);
        int width = model.Config.EmbeddingLength;
        float[] hidden = new float[tokens.Length * width];
        for (int first = 0; first < tokens.Length; first += chunk)
        {
            int count = Math.Min(chunk, tokens.Length - first);
            Assert.True(state.TryReserve(count));
            batch.Clear();
            int sequence = batch.AddSequence(state, adapter);
            for (int i = 0; i < count; i++) batch.Add(sequence, tokens[first + i], first + i, wantLogits: false, wantHidden: true);
            model.Forward(batch);
            for (int i = 0; i < count; i++) model.Hidden(i).CopyTo(hidden.AsSpan((first + i) * width, width));
        }

        state.Free();
        return hidden;
    }
}
