using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>The queries of one work item: some rows of a batch, the query heads of one key/value head.</summary>
internal unsafe struct AttentionItem
{
    /// <summary>The rows, in any order: of one sequence, or of several that perhaps share their first pages.</summary>
    public int* Rows;

    public int RowCount;

    /// <summary>The position of every row of the batch.</summary>
    public int* Positions;

    /// <summary>The sequence of every row of the batch.</summary>
    public int* RowSequences;

    /// <summary>The pages of every sequence, in order of position.</summary>
    public int* Pages;

    /// <summary>Numbers from one sequence's pages to the next's.</summary>
    public int PagesPerSequence;

    /// <summary>How keys and values are kept.</summary>
    public KvFormat Format;

    /// <summary>Keys of this layer and head in page 0 of the pool, as <see cref="KvPages"/> has them.</summary>
    public byte* Keys;

    /// <summary>Values likewise.</summary>
    public byte* Values;

    /// <summary>Bytes from one page of the pool to the next.</summary>
    public long PageStride;

    /// <summary>The group's first head in row 0 of the batch. Outputs stand likewise.</summary>
    public float* Queries;

    public float* Outputs;

    /// <summary>Floats from one row to the next.</summary>
    public int QueryStride;

    public int OutputStride;

    /// <summary>Query heads that share the key/value head.</summary>
    public int Group;

    public int HeadLength;

    public int ValueLength;

    /// <summary>Keys a row sees, itself included; 0 for all.</summary>
    public int Window;

    public float Scale;

    /// <summary>Soft-cap of the scores; 0 for none.</summary>
    public float Cap;
}

/// <summary>
/// Causal attention over pages of 32 tokens, softmax and sum in one pass. A query meets the pages in order: a page's scores (each
/// one chain of fused multiply-adds over the dimensions), their maximum, their exponentials, then the values token by token. A page
/// border is a fixed position, so a query's bits depend on its keys alone, however its batch, its chunk or its threads are cut. All
/// queries of an item meet a page before the next: one that sequences share comes from memory once, and is widened once.
/// </summary>
internal static unsafe class Attention
{
    public const int PageTokens = KvPages.Tokens;

    /// <summary>The most queries one item may hold.</summary>
    public const int MaxQueries = 64;

    private const int Together = 4;
    private const int Lanes = 16;

    /// <summary>A page as it is computed with: keys [dim][32], values [32][dim].</summary>
    private struct Page
    {
        public int Slot;
        public float* Keys;
        public float* Values;
    }

    private struct Query
    {
        public float* Values;
        public int* Pages;
        public int Position;
    }

    /// <summary>Bytes of scratch a thread needs.</summary>
    public static long ScratchBytes(int headLength, int valueLength) =>
        (MaxQueries * (Padded(valueLength) + headLength + 2L) + (EightQueries.Count + headLength + valueLength) * (long)PageTokens) * sizeof(float);

    /// <summary>Rows that one item takes, for a group of so many heads.</summary>
    public static int RowsPerItem(int group) => Math.Max(1, Math.Min(16, MaxQueries / group));

    private static int Padded(int length) => (length + 15) & ~15;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<TLanes>(in AttentionItem item, float* scratch)
        where TLanes : struct, ILanes<TLanes>
    {
        Query* list = stackalloc Query[MaxQueries];
        int queries = List(item, list, out int firstPage, out int lastPage);
        int padded = Padded(item.ValueLength);
        float* sums = scratch;
        float* maxima = sums + MaxQueries * padded;
        float* totals = maxima + MaxQueries;
        float* scores = totals + MaxQueries;
        float* eights = scores + EightQueries.Count * PageTokens;
        float* widened = eights + MaxQueries * item.HeadLength;
        new Span<float>(sums, queries * padded).Clear();
        new Span<float>(maxima, queries).Fill(float.NegativeInfinity);
        new Span<float>(totals, queries).Clear();
        int most = EightQueries.Fit<TLanes>() && item.ValueLength % (2 * Lanes) == 0 ? EightQueries.Count : Together;
        if (most == EightQueries.Count) Interleave(list, queries, item.HeadLength, eights);

        for (int page = firstPage; page <= lastPage; page++)
        {
            Page open = new() { Slot = -1 };
            int query = 0;
            while (query < queries)
            {
                Range(item, list[query].Position, page, out int from, out int to);
                int count = 1;
                if (from < to)
                {
                    int slot = list[query].Pages[page];
                    if (open.Slot != slot)
                    {
                        int next = page < list[query].Position / PageTokens ? list[query].Pages[page + 1] : slot;
                        open = Open<TLanes>(item, slot, next, widened);
                    }

                    int full = query % most == 0 ? most : Together;
                    while (count < full && query + count < queries && Sees(item, list + query + count, page, from, to, slot)) count++;
                    if (count == EightQueries.Count)
                    {
                        Page8<TLanes>(item, open, eights + query * item.HeadLength, from, to, sums + query * padded, maxima + query, totals + query, scores);
                    }
                    else if (count >= Together)
                    {
                        count = Together;
                        Page4<TLanes>(item, open, list + query, from, to, sums + query * padded, maxima + query, totals + query, scores);
                    }
                    else
                    {
                        for (int i = query; i < query + count; i++)
                            Page1<TLanes>(item, open, list[i].Values, from, to, sums + i * padded, maxima + i, totals + i, scores);
                    }
                }

                query += count;
            }
        }

        for (int query = 0; query < queries; query++)
        {
            float* output = item.Outputs + (long)item.Rows[query / item.Group] * item.OutputStride + query % item.Group * item.ValueLength;
            TLanes total = TLanes.Broadcast(totals[query]);
            for (int d = 0; d < item.ValueLength; d += 16)
            {
                TLanes v = TLanes.Div(TLanes.Load(sums + query * padded + d), total);
                if (d + 16 <= item.ValueLength) TLanes.Store(v, output + d);
                else Elementwise.StorePart(v, output + d, item.ValueLength - d);
            }
        }
    }

    private static int Start(in AttentionItem item, int position) => item.Window == 0 ? 0 : Math.Max(0, position + 1 - item.Window);

    /// <summary>A page's keys and values in float32: where they stand, or widened into the scratch. The page that comes next is asked for.</summary>
    private static Page Open<TLanes>(in AttentionItem item, int slot, int next, float* scratch)
        where TLanes : struct, ILanes<TLanes>
    {
        byte* keys = item.Keys + slot * item.PageStride, values = item.Values + slot * item.PageStride;
        byte* nextKeys = item.Keys + next * item.PageStride, nextValues = item.Values + next * item.PageStride;
        if (item.Format == KvFormat.F32)
        {
            if (next != slot)
            {
                KvPages.Ask(nextKeys, KvPages.Bytes(item.Format, item.HeadLength));
                KvPages.Ask(nextValues, KvPages.Bytes(item.Format, item.ValueLength));
            }

            return new Page { Slot = slot, Keys = (float*)keys, Values = (float*)values };
        }

        float* wideValues = scratch + item.HeadLength * PageTokens;
        KvPages.WidenKeys<TLanes>(item.Format, keys, nextKeys, item.HeadLength, scratch);
        KvPages.WidenValues<TLanes>(item.Format, values, nextValues, item.ValueLength, wideValues);
        return new Page { Slot = slot, Keys = scratch, Values = wideValues };
    }

    /// <summary>The item's queries, row by row, and the pages they see.</summary>
    private static int List(in AttentionItem item, Query* list, out int firstPage, out int lastPage)
    {
        (firstPage, lastPage) = (int.MaxValue, 0);
        int queries = 0;
        for (int r = 0; r < item.RowCount; r++)
        {
            int row = item.Rows[r], position = item.Positions[row];
            firstPage = Math.Min(firstPage, Start(item, position) / PageTokens);
            lastPage = Math.Max(lastPage, position / PageTokens);
            for (int head = 0; head < item.Group; head++)
            {
                list[queries++] = new Query
                {
                    Values = item.Queries + (long)row * item.QueryStride + head * item.HeadLength,
                    Pages = item.Pages + (long)item.RowSequences[row] * item.PagesPerSequence,
                    Position = position,
                };
            }
        }

        return queries;
    }

    /// <summary>The tokens [from, to) of a page that a query sees; empty where from ≥ to.</summary>
    private static void Range(in AttentionItem item, int position, int page, out int from, out int to)
    {
        from = Math.Max(0, Start(item, position) - page * PageTokens);
        to = Math.Min(PageTokens, position + 1 - page * PageTokens);
    }

    /// <summary>Whether a query sees these tokens of its page, and its page lies in this slot of the pool.</summary>
    private static bool Sees(in AttentionItem item, Query* query, int page, int from, int to, int slot)
    {
        Range(item, query->Position, page, out int otherFrom, out int otherTo);
        return otherFrom == from && otherTo == to && query->Pages[page] == slot;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Page1<TLanes>(in AttentionItem item, in Page page, float* q, int from, int to, float* sum, float* maximum, float* total, float* scores)
        where TLanes : struct, ILanes<TLanes>
    {
        float* keys = page.Keys;
        TLanes low = TLanes.Zero, high = TLanes.Zero;
        for (int d = 0; d < item.HeadLength; d++, keys += PageTokens)
        {
            TLanes x = TLanes.Broadcast(q[d]);
            low = TLanes.Fma(x, TLanes.Load(keys), low);
            high = TLanes.Fma(x, TLanes.Load(keys + 16), high);
        }

        TLanes.Store(low, scores);
        TLanes.Store(high, scores + 16);
        float rescale = Weigh<TLanes>(item, scores, from, to, maximum, total);
        float* values = page.Values;
        TLanes factor = TLanes.Broadcast(rescale);
        for (int d = 0; d < item.ValueLength; d += 16)
        {
            int count = item.ValueLength - d;
            TLanes v = TLanes.Mul(TLanes.Load(sum + d), factor);
            if (count >= 16)
            {
                for (int t = from; t < to; t++) v = TLanes.Fma(TLanes.Broadcast(scores[t]), TLanes.Load(values + t * item.ValueLength + d), v);
            }
            else
            {
                for (int t = from; t < to; t++)
                    v = TLanes.Fma(TLanes.Broadcast(scores[t]), Elementwise.LoadPart<TLanes>(values + t * item.ValueLength + d, count), v);
            }

            TLanes.Store(v, sum + d);
        }
    }

    /// <summary>As four <see cref="Page1"/>, reading keys and values once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Page4<TLanes>(in AttentionItem item, in Page page, Query* queries, int from, int to, float* sum, float* maxima, float* totals, float* scores)
        where TLanes : struct, ILanes<TLanes>
    {
        float* q0 = queries[0].Values, q1 = queries[1].Values, q2 = queries[2].Values, q3 = queries[3].Values;
        for (int half = 0; half < PageTokens; half += 16)
        {
            float* keys = page.Keys + half;
            TLanes s0 = TLanes.Zero, s1 = TLanes.Zero, s2 = TLanes.Zero, s3 = TLanes.Zero;
            for (int d = 0; d < item.HeadLength; d++, keys += PageTokens)
            {
                TLanes k = TLanes.Load(keys);
                s0 = TLanes.Fma(TLanes.Broadcast(q0[d]), k, s0);
                s1 = TLanes.Fma(TLanes.Broadcast(q1[d]), k, s1);
                s2 = TLanes.Fma(TLanes.Broadcast(q2[d]), k, s2);
                s3 = TLanes.Fma(TLanes.Broadcast(q3[d]), k, s3);
            }

            TLanes.Store(s0, scores + half);
            TLanes.Store(s1, scores + PageTokens + half);
            TLanes.Store(s2, scores + 2 * PageTokens + half);
            TLanes.Store(s3, scores + 3 * PageTokens + half);
        }

        float* factors = stackalloc float[Together];
        for (int i = 0; i < Together; i++) factors[i] = Weigh<TLanes>(item, scores + i * PageTokens, from, to, maxima + i, totals + i);
        float* values = page.Values;
        AddValues4<TLanes>(values, item.ValueLength, from, to, scores, factors, sum);
        if (item.ValueLength % 16 != 0) AddLastValues4<TLanes>(values, item.ValueLength, from, to, scores, factors, sum);
    }

    /// <summary>As eight <see cref="Page1"/>, where values are whole pairs of vectors.</summary>
    private static void Page8<TLanes>(in AttentionItem item, in Page page, float* queries, int from, int to, float* sum, float* maxima, float* totals, float* scores)
        where TLanes : struct, ILanes<TLanes>
    {
        EightQueries.Score(queries, page.Keys, item.HeadLength, scores);
        float* factors = stackalloc float[EightQueries.Count];
        for (int i = 0; i < EightQueries.Count; i++) factors[i] = Weigh<TLanes>(item, scores + i * PageTokens, from, to, maxima + i, totals + i);
        float* values = page.Values + (long)from * item.ValueLength;
        for (int d = 0; d < item.ValueLength; d += 2 * Lanes)
            EightQueries.AddValues(values + d, item.ValueLength, to - from, scores + from, factors, sum + d, item.ValueLength);
    }

    /// <summary>Lays each eight queries out as [dim][8]; queries after the last whole eight are not needed.</summary>
    private static void Interleave(Query* list, int queries, int length, float* eights)
    {
        for (int first = 0; first + EightQueries.Count <= queries; first += EightQueries.Count, eights += EightQueries.Count * length)
        {
            for (int i = 0; i < EightQueries.Count; i++)
            {
                float* query = list[first + i].Values;
                for (int d = 0; d < length; d++) eights[d * EightQueries.Count + i] = query[d];
            }
        }
    }

    /// <summary>Rescales the sums of four queries and adds a page's weighed values, 16 dimensions at a time, to the last whole 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddValues4<TLanes>(float* values, int length, int from, int to, float* scores, float* factors, float* sum)
        where TLanes : struct, ILanes<TLanes>
    {
        int padded = Padded(length);
        for (int d = 0; d + 16 <= length; d += 16, sum += 16)
        {
            float* s0 = scores + from, value = values + (long)from * length + d;
            TLanes v0 = TLanes.Mul(TLanes.Load(sum), TLanes.Broadcast(factors[0]));
            TLanes v1 = TLanes.Mul(TLanes.Load(sum + padded), TLanes.Broadcast(factors[1]));
            TLanes v2 = TLanes.Mul(TLanes.Load(sum + 2 * padded), TLanes.Broadcast(factors[2]));
            TLanes v3 = TLanes.Mul(TLanes.Load(sum + 3 * padded), TLanes.Broadcast(factors[3]));
            for (int t = from; t < to; t++, s0++, value += length)
            {
                TLanes v = TLanes.Load(value);
                v0 = TLanes.Fma(TLanes.Broadcast(s0[0]), v, v0);
                v1 = TLanes.Fma(TLanes.Broadcast(s0[PageTokens]), v, v1);
                v2 = TLanes.Fma(TLanes.Broadcast(s0[2 * PageTokens]), v, v2);
                v3 = TLanes.Fma(TLanes.Broadcast(s0[3 * PageTokens]), v, v3);
            }

            TLanes.Store(v0, sum);
            TLanes.Store(v1, sum + padded);
            TLanes.Store(v2, sum + 2 * padded);
            TLanes.Store(v3, sum + 3 * padded);
        }
    }

    /// <summary>The same for the dimensions after the last whole 16; apart, since a call in the loop keeps no sum in a register.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddLastValues4<TLanes>(float* values, int length, int from, int to, float* scores, float* factors, float* sum)
        where TLanes : struct, ILanes<TLanes>
    {
        int padded = Padded(length), d = length & ~15;
        for (int i = 0; i < Together; i++, scores += PageTokens, sum += padded)
        {
            TLanes v = TLanes.Mul(TLanes.Load(sum + d), TLanes.Broadcast(factors[i]));
            for (int t = from; t < to; t++)
                v = TLanes.Fma(TLanes.Broadcast(scores[t]), Elementwise.LoadPart<TLanes>(values + (long)t * length + d, length - d), v);
            TLanes.Store(v, sum + d);
        }
    }

    /// <summary>Turns a page's raw scores into weights relative to the new maximum, and gives the factor of all earlier sums.</summary>
    /// <remarks>Never inlined: copies of it use up what the JIT inlines in one method, and the loops beside them would call every fused multiply-add.</remarks>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Weigh<TLanes>(in AttentionItem item, float* scores, int from, int to, float* maximum, float* total)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes scale = TLanes.Broadcast(item.Scale);
        TLanes low = TLanes.Mul(TLanes.Load(scores), scale), high = TLanes.Mul(TLanes.Load(scores + 16), scale);
        if (item.Cap != 0)
        {
            TLanes cap = TLanes.Broadcast(item.Cap), inverse = TLanes.Broadcast(1f / item.Cap);
            low = TLanes.Mul(cap, Elementwise.Tanh(TLanes.Mul(low, inverse)));
            high = TLanes.Mul(cap, Elementwise.Tanh(TLanes.Mul(high, inverse)));
        }

        if (to - from < PageTokens)
        {
            // Slots nobody has written yet hold anything, NaN included: they are replaced, not computed with.
            TLanes.Store(low, scores);
            TLanes.Store(high, scores + 16);
            for (int t = 0; t < from; t++) scores[t] = float.NegativeInfinity;
            for (int t = to; t < PageTokens; t++) scores[t] = float.NegativeInfinity;
            low = TLanes.Load(scores);
            high = TLanes.Load(scores + 16);
        }

        float before = *maximum;
        float now = MathF.Max(before, TLanes.MaxAcross(TLanes.Max(low, high)));
        TLanes top = TLanes.Broadcast(now);
        low = Elementwise.Exp(TLanes.Sub(low, top));
        high = Elementwise.Exp(TLanes.Sub(high, top));
        TLanes.Store(low, scores);
        TLanes.Store(high, scores + 16);
        if (to - from < PageTokens)
        {
            for (int t = 0; t < from; t++) scores[t] = 0;
            for (int t = to; t < PageTokens; t++) scores[t] = 0;
            low = TLanes.Load(scores);
            high = TLanes.Load(scores + 16);
        }

        float rescale = before == now ? 1f : before == float.NegativeInfinity ? 0f : ExpOne<TLanes>(before - now);
        *total = MathF.FusedMultiplyAdd(*total, rescale, TLanes.Sum(TLanes.Add(low, high)));
        *maximum = now;
        return rescale;
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float ExpOne<TLanes>(float x)
        where TLanes : struct, ILanes<TLanes>
    {
        float* one = stackalloc float[16];
        TLanes.Store(Elementwise.Exp(TLanes.Broadcast(x)), one);
        return one[0];
    }
}
