using Flint.Engine;
using Flint.Models;

namespace Flint.Tests.Simulation;

/// <summary>
/// A forward without weights. A row stores its token and a hash of the whole sequence up to it in its slot of the page; its logits
/// come from a hash of everything read back from the pages. A wrong page, slot or order becomes a fault or another token.
/// </summary>
internal sealed unsafe class SimulatedForward : ForwardPass
{
    private readonly float[] _logits;
    private readonly float[] _hidden;

    public SimulatedForward(int contextLength = 256, int maxBatchRows = 40, int maxSequences = 8, int maxLogitRows = 8, int vocabulary = 64)
    {
        ContextLength = contextLength;
        MaxBatchRows = maxBatchRows;
        MaxSequences = maxSequences;
        MaxLogitRows = maxLogitRows;
        VocabularySize = vocabulary;
        _logits = new float[maxLogitRows * vocabulary];
        _hidden = new float[maxBatchRows * HiddenLength];
    }

    public override int VocabularySize { get; }

    public override int HiddenLength => 3;

    public override int ContextLength { get; }

    public override KvShape Shape => new(Layers: 2, KvHeads: 1, HeadLength: 1, ValueLength: 1);

    public override int MaxBatchRows { get; }

    public override int MaxSequences { get; }

    public override int MaxLogitRows { get; }

    /// <summary>Called before each forward; may throw.</summary>
    public Action<Batch>? Before { get; set; }

    /// <summary>Rows computed so far.</summary>
    public long Rows { get; private set; }

    public override bool Has(ModelAdapter adapter) => false;

    public override void Forward(Batch batch)
    {
        Before?.Invoke(batch);
        Rows += batch.Rows;
        int logitRow = 0, hiddenRow = 0;
        for (int s = 0; s < batch.Sequences; s++)
        {
            SequenceState state = batch.State(s);
            for (int row = batch.FirstRow(s); row < batch.FirstRow(s) + batch.RowCount(s); row++)
            {
                ulong hash = Store(state, batch.Positions[row], batch.Tokens[row]);
                if (logitRow < batch.LogitRows && batch.LogitRowIndices[logitRow] == row)
                    FillLogits(hash, _logits.AsSpan(logitRow++ * VocabularySize, VocabularySize));
                if (hiddenRow < batch.HiddenRows && batch.HiddenRowIndices[hiddenRow] == row)
                    FillLogits(~hash, _hidden.AsSpan(hiddenRow++ * HiddenLength, HiddenLength));
            }
            state.Advance(batch.RowCount(s));
        }
        if (logitRow != batch.LogitRows || hiddenRow != batch.HiddenRows)
            throw new InvalidOperationException("Logit rows or hidden rows are out of order.");
    }

    public override ReadOnlySpan<float> Logits(int logitRow) => _logits.AsSpan(logitRow * VocabularySize, VocabularySize);

    public override ReadOnlySpan<float> Hidden(int hiddenRow) => _hidden.AsSpan(hiddenRow * HiddenLength, HiddenLength);

    /// <summary>The hash of a sequence of tokens, as <see cref="Forward"/> builds it from pages.</summary>
    public static ulong Hash(ReadOnlySpan<int> tokens)
    {
        ulong hash = 0;
        foreach (int token in tokens)
            hash = Next(hash, token);
        return hash;
    }

    /// <summary>The logits after a sequence of that hash.</summary>
    public static void FillLogits(ulong hash, Span<float> logits)
    {
        for (int i = 0; i < logits.Length; i++)
        {
            hash = Next(hash, i);
            logits[i] = (hash >> 40) * (8f / (1 << 24));
        }
    }

    private static ulong Store(SequenceState state, int position, int token)
    {
        ulong hash = 0;
        for (int p = 0; p < position; p++)
        {
            hash = Next(hash, *(int*)Key(state, p, 0));
            if ((uint)hash != *(uint*)Key(state, p, 1))
                throw new InvalidOperationException($"Position {p} does not hold what was stored there.");
        }
        hash = Next(hash, token);
        *(int*)Key(state, position, 0) = token;
        *(uint*)Key(state, position, 1) = (uint)hash;
        return hash;
    }

    private static float* Key(SequenceState state, int position, int layer) =>
        (float*)state.Pool.Keys(state.Pages[position / KvPool.PageTokens], layer, 0) + position % KvPool.PageTokens;

    private static ulong Next(ulong hash, int token)
    {
        hash = (hash ^ (uint)token) * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019;
        return hash ^ (hash >> 29);
    }
}
