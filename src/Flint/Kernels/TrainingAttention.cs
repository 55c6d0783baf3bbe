using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>One document's attention under one key/value head. Rows of queries, outputs and their gradients lie a stride apart; all strides in floats.</summary>
internal unsafe struct TrainingAttentionItem
{
    /// <summary>Queries of the group's first head, normed and turned: [token][stride].</summary>
    public float* Queries;

    public float* Keys;

    public float* Values;

    public long QueryStride;

    public long KeyStride;

    public long ValueStride;

    /// <summary>Outputs of the group's first head (read again by the backward pass).</summary>
    public float* Outputs;

    public long OutputStride;

    /// <summary>log Σ e^score of every query: [token][stride], the group's heads side by side.</summary>
    public float* LogSums;

    public long LogSumStride;

    /// <summary>Gradients, in the places and strides of what they are gradients of. Those of keys and values are overwritten.</summary>
    public float* OutputGradient;

    public float* QueryGradient;

    public float* KeyGradient;

    public float* ValueGradient;

    public int Tokens;

    /// <summary>Query heads of the group.</summary>
    public int Group;

    public int HeadLength;

    public int ValueLength;

    /// <summary>Keys that a query sees, its own included; 0 for all.</summary>
    public int Window;

    public float Scale;

    /// <summary>Soft-cap of the scores; 0 for none.</summary>
    public float Cap;
}

/// <summary>
/// Causal attention over whole documents, forward and backward, by blocks of queries: scores are computed again on the way
/// back, so nothing of the size tokens² is kept (after Dao et al., arXiv 2205.14135).
/// </summary>
internal static unsafe class TrainingAttention
{
    private const int QueryBlock = 64;

    /// <summary>Floats of scratch that a thread needs.</summary>
    public static long ScratchFloats(int maxTokens, int group, int headLength, int valueLength)
    {
        int length = Math.Max(headLength, valueLength), rows = group * QueryBlock, keys = Padded(maxTokens);
        return 2L * rows * keys // scores and their gradients
            + 4L * rows * length // queries, outputs' gradients, results
            + rows // row sums
            + Math.Max(DenseGemm.PanelFloats(length, keys), DenseGemm.PanelFloats(keys, length))
            + DenseGemm.PanelFloats(rows, length)
            + DenseGemm.ThreadFloats;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Forward<TLanes>(in TrainingAttentionItem t, float* scratch)
        where TLanes : struct, ILanes<TLanes>
    {
        var s = new Scratch(t, scratch);
        for (int q0 = 0; q0 < t.Tokens; q0 += QueryBlock)
        {
            var b = new Block(t, q0);
            Gather(t.Queries + q0 * t.QueryStride, t.QueryStride, t.HeadLength, t.Group, b.Rows, s.Queries);
            Scores<TLanes>(t, b, s);
            for (int row = 0; row < t.Group * b.Rows; row++)
            {
                float sum = Softmax<TLanes>(t, b, row % b.Rows, s.Scores + (long)row * b.Stride);
                t.LogSums[(q0 + row % b.Rows) * t.LogSumStride + row / b.Rows] = sum;
            }

            DenseGemm.RunAlone<TLanes>(
                new DenseProduct
                {
                    A = s.Scores, AStride = b.Stride,
                    B = t.Values + b.First * t.ValueStride, BStride = t.ValueStride,
                    C = s.Result, CStride = t.ValueLength,
                    M = t.Group * b.Rows, N = t.ValueLength, K = b.Keys,
                },
                s.Panels, s.Thread);
            Scatter(s.Result, t.ValueLength, t.Group, b.Rows, t.Outputs + q0 * t.OutputStride, t.OutputStride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Backward<TLanes>(in TrainingAttentionItem t, float* scratch)
        where TLanes : struct, ILanes<TLanes>
    {
        var s = new Scratch(t, scratch);
        for (int i = 0; i < t.Tokens; i++)
        {
            new Span<float>(t.KeyGradient + i * t.KeyStride, t.HeadLength).Clear();
            new Span<float>(t.ValueGradient + i * t.ValueStride, t.ValueLength).Clear();
        }

        for (int q0 = 0; q0 < t.Tokens; q0 += QueryBlock)
        {
            var b = new Block(t, q0);
            int rows = t.Group * b.Rows;
            Gather(t.Queries + q0 * t.QueryStride, t.QueryStride, t.HeadLength, t.Group, b.Rows, s.Queries);
            Gather(t.OutputGradient + q0 * t.OutputStride, t.OutputStride, t.ValueLength, t.Group, b.Rows, s.Gradient);
            Gather(t.Outputs + q0 * t.OutputStride, t.OutputStride, t.ValueLength, t.Group, b.Rows, s.Result);
            for (int row = 0; row < rows; row++)
            {
                float dot = 0;
                float* o = s.Result + row * t.ValueLength, g = s.Gradient + row * t.ValueLength;
                for (int d = 0; d < t.ValueLength; d++) dot += o[d] * g[d];
                s.RowSums[row] = dot;
            }

            Scores<TLanes>(t, b, s);
            // dP = dO·Vᵀ
            DenseGemm.RunAlone<TLanes>(
                new DenseProduct
                {
                    A = s.Gradient, AStride = t.ValueLength,
                    B = t.Values + b.First * t.ValueStride, BStride = t.ValueStride, BTransposed = true,
                    C = s.ScoreGradient, CStride = b.Stride,
                    M = rows, N = b.Keys, K = t.ValueLength,
                },
                s.Panels, s.Thread);
            for (int row = 0; row < rows; row++)
            {
                float logSum = t.LogSums[(q0 + row % b.Rows) * t.LogSumStride + row / b.Rows];
                ScoreGradient<TLanes>(t, b, row % b.Rows, s.Scores + (long)row * b.Stride, s.ScoreGradient + (long)row * b.Stride, logSum, s.RowSums[row]);
            }

            // dV += Pᵀ·dO, dK += dSᵀ·Q, dQ = dS·K
            KeyProduct<TLanes>(b, s.Scores, s.Gradient, t.ValueLength, rows, t.ValueGradient + b.First * t.ValueStride, t.ValueStride, s);
            KeyProduct<TLanes>(b, s.ScoreGradient, s.Queries, t.HeadLength, rows, t.KeyGradient + b.First * t.KeyStride, t.KeyStride, s);
            DenseGemm.RunAlone<TLanes>(
                new DenseProduct
                {
                    A = s.ScoreGradient, AStride = b.Stride,
                    B = t.Keys + b.First * t.KeyStride, BStride = t.KeyStride,
                    C = s.Result, CStride = t.HeadLength,
                    M = rows, N = t.HeadLength, K = b.Keys,
                },
                s.Panels, s.Thread);
            Scatter(s.Result, t.HeadLength, t.Group, b.Rows, t.QueryGradient + q0 * t.QueryStride, t.QueryStride);
        }
    }

    private static int Padded(int n) => (n + 15) / 16 * 16;

    private static void Scores<TLanes>(in TrainingAttentionItem t, in Block b, in Scratch s)
        where TLanes : struct, ILanes<TLanes> =>
        DenseGemm.RunAlone<TLanes>(
            new DenseProduct
            {
                A = s.Queries, AStride = t.HeadLength,
                B = t.Keys + b.First * t.KeyStride, BStride = t.KeyStride, BTransposed = true,
                C = s.Scores, CStride = b.Stride,
                M = t.Group * b.Rows, N = b.Keys, K = t.HeadLength,
            },
            s.Panels, s.Thread);

    private static void KeyProduct<TLanes>(in Block b, float* weights, float* rowsOf, int length, int rows, float* into, long stride, in Scratch s)
        where TLanes : struct, ILanes<TLanes> =>
        DenseGemm.RunAlone<TLanes>(
            new DenseProduct
            {
                A = weights, AStride = b.Stride, ATransposed = true,
                B = rowsOf, BStride = length,
                C = into, CStride = stride,
                M = b.Keys, N = length, K = rows,
                Accumulate = true,
            },
            s.Panels, s.Thread);

    /// <summary>A row of raw scores becomes probabilities; keys out of sight get 0.</summary>
    /// <returns>log Σ e^score.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Softmax<TLanes>(in TrainingAttentionItem t, in Block b, int query, float* row)
        where TLanes : struct, ILanes<TLanes>
    {
        b.InSight(t, query, out int from, out int to);
        Hide(row, from, to, b.Stride);
        int start = from / 16 * 16, end = Padded(to);
        TLanes scale = TLanes.Broadcast(t.Scale), top = TLanes.Broadcast(Hidden), sum = TLanes.Zero;
        if (t.Cap != 0) Elementwise.ScaleAndCap<TLanes>(row + from, to - from, t.Scale, t.Cap);
        for (int i = start; i < end; i += 16)
        {
            TLanes v = TLanes.Load(row + i);
            if (t.Cap == 0) v = TLanes.Mul(v, scale);
            TLanes.Store(v, row + i);
            top = TLanes.Max(top, v);
        }

        float max = TLanes.MaxAcross(top);
        top = TLanes.Broadcast(max);
        for (int i = start; i < end; i += 16)
        {
            TLanes p = Gradients.Probability(TLanes.Load(row + i), top);
            TLanes.Store(p, row + i);
            sum = TLanes.Add(sum, p);
        }

        float total = TLanes.Sum(sum);
        TLanes share = TLanes.Broadcast(1f / total);
        for (int i = start; i < end; i += 16) TLanes.Store(TLanes.Mul(TLanes.Load(row + i), share), row + i);
        new Span<float>(row, start).Clear();
        if (end < b.Stride) new Span<float>(row + end, b.Stride - end).Clear();
        return max + MathF.Log(total);
    }

    /// <summary>Raw scores become probabilities and dP becomes dS, of the raw scores.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ScoreGradient<TLanes>(in TrainingAttentionItem t, in Block b, int query, float* row, float* gradient, float logSum, float rowSum)
        where TLanes : struct, ILanes<TLanes>
    {
        b.InSight(t, query, out int from, out int to);
        Hide(row, from, to, b.Stride);
        Hide(gradient, from, to, b.Stride, 0f);
        int start = from / 16 * 16, end = Padded(to);
        TLanes scale = TLanes.Broadcast(t.Scale), shift = TLanes.Broadcast(logSum), less = TLanes.Broadcast(rowSum);
        TLanes inverse = TLanes.Broadcast(t.Cap == 0 ? 0f : 1f / t.Cap), one = TLanes.Broadcast(1f);
        if (t.Cap != 0) Elementwise.ScaleAndCap<TLanes>(row + from, to - from, t.Scale, t.Cap);
        for (int i = start; i < end; i += 16)
        {
            TLanes v = TLanes.Load(row + i);
            if (t.Cap == 0) v = TLanes.Mul(v, scale);
            TLanes p = Gradients.Probability(v, shift);
            TLanes d = TLanes.Mul(TLanes.Mul(p, TLanes.Sub(TLanes.Load(gradient + i), less)), scale);
            if (t.Cap != 0)
            {
                TLanes turned = TLanes.Mul(v, inverse);
                d = TLanes.Mul(d, TLanes.Sub(one, TLanes.Min(TLanes.Mul(turned, turned), one)));
            }

            TLanes.Store(p, row + i);
            TLanes.Store(d, gradient + i);
        }

        new Span<float>(row, start).Clear();
        new Span<float>(gradient, start).Clear();
        if (end < b.Stride)
        {
            new Span<float>(row + end, b.Stride - end).Clear();
            new Span<float>(gradient + end, b.Stride - end).Clear();
        }
    }

    private const float Hidden = -1e30f;

    private static void Hide(float* row, int from, int to, int stride, float with = Hidden)
    {
        int start = from / 16 * 16, end = Math.Min(Padded(to), stride);
        for (int i = start; i < from; i++) row[i] = with;
        for (int i = to; i < end; i++) row[i] = with;
    }

    /// <summary>[token][head][length] of a group → [head][token][length].</summary>
    private static void Gather(float* source, long stride, int length, int group, int rows, float* into)
    {
        for (int h = 0; h < group; h++)
        {
            for (int r = 0; r < rows; r++, into += length)
                Unsafe.CopyBlockUnaligned(into, source + r * stride + h * length, (uint)length * sizeof(float));
        }
    }

    private static void Scatter(float* source, int length, int group, int rows, float* into, long stride)
    {
        for (int h = 0; h < group; h++)
        {
            for (int r = 0; r < rows; r++, source += length)
                Unsafe.CopyBlockUnaligned(into + r * stride + h * length, source, (uint)length * sizeof(float));
        }
    }

    /// <summary>A block of queries and the keys that any of them sees.</summary>
    private readonly struct Block
    {
        public Block(in TrainingAttentionItem t, int query)
        {
            Query = query;
            Rows = Math.Min(QueryBlock, t.Tokens - query);
            First = t.Window > 0 ? Math.Max(0, query - t.Window + 1) : 0;
            Keys = query + Rows - First;
            Stride = Padded(Keys);
        }

        public int Query { get; }

        public int Rows { get; }

        public int First { get; }

        public int Keys { get; }

        /// <summary>Floats from one row of scores to the next.</summary>
        public int Stride { get; }

        /// <summary>The keys [from, to) that a query of the block sees, counted from the block's first key.</summary>
        public void InSight(in TrainingAttentionItem t, int query, out int from, out int to)
        {
            int position = Query + query;
            from = t.Window > 0 ? Math.Max(0, position - t.Window + 1) - First : 0;
            to = position + 1 - First;
        }
    }

    private readonly struct Scratch
    {
        public Scratch(in TrainingAttentionItem t, float* memory)
        {
            int length = Math.Max(t.HeadLength, t.ValueLength), rows = t.Group * QueryBlock, keys = Padded(t.Tokens);
            Scores = memory;
            ScoreGradient = Scores + (long)rows * keys;
            Queries = ScoreGradient + (long)rows * keys;
            Gradient = Queries + (long)rows * length;
            Result = Gradient + (long)rows * length;
            RowSums = Result + 2L * rows * length;
            Panels = RowSums + rows;
            Thread = Panels + Math.Max(DenseGemm.PanelFloats(length, keys), DenseGemm.PanelFloats(keys, length)) + DenseGemm.PanelFloats(rows, length);
        }

        public float* Scores { get; }

        public float* ScoreGradient { get; }

        public float* Queries { get; }

        public float* Gradient { get; }

        public float* Result { get; }

        public float* RowSums { get; }

        public float* Panels { get; }

        public float* Thread { get; }
    }
}
