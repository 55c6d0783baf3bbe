using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Flint.Kernels;

/// <summary>
/// What <see cref="Attention"/> does for one query on a page, for eight at once and on 32 registers of 512 bits: sixteen sums run beside
/// each other, where four leave a multiply-add's latency unhidden. Every sum is the chain it is for one query, so the bits are the same.
/// </summary>
internal static unsafe class EightQueries
{
    public const int Count = 8;

    private const int Lanes = 16;

    /// <summary>Whether a body of the kernels has the registers.</summary>
    public static bool Fit<TLanes>()
        where TLanes : struct, ILanes<TLanes> => typeof(TLanes) == typeof(Lanes512);

    /// <summary>Scores of eight queries on a page, neither scaled nor masked.</summary>
    /// <param name="queries">[length][8].</param>
    /// <param name="keys">[length][<see cref="KvPages.Tokens"/>].</param>
    /// <param name="length">Dimensions of a head.</param>
    /// <param name="scores">Gets [8][<see cref="KvPages.Tokens"/>].</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Score(float* queries, float* keys, int length, float* scores)
    {
        Vector512<float> a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
        Vector512<float> b0 = default, b1 = default, b2 = default, b3 = default, b4 = default, b5 = default, b6 = default, b7 = default;
        for (float* end = queries + (long)length * Count; queries < end; queries += Count, keys += KvPages.Tokens)
        {
            Vector512<float> low = Vector512.Load(keys), high = Vector512.Load(keys + Lanes);
            Add(queries[0], low, high, ref a0, ref b0);
            Add(queries[1], low, high, ref a1, ref b1);
            Add(queries[2], low, high, ref a2, ref b2);
            Add(queries[3], low, high, ref a3, ref b3);
            Add(queries[4], low, high, ref a4, ref b4);
            Add(queries[5], low, high, ref a5, ref b5);
            Add(queries[6], low, high, ref a6, ref b6);
            Add(queries[7], low, high, ref a7, ref b7);
        }

        Store(a0, b0, scores);
        Store(a1, b1, scores + KvPages.Tokens);
        Store(a2, b2, scores + 2 * KvPages.Tokens);
        Store(a3, b3, scores + 3 * KvPages.Tokens);
        Store(a4, b4, scores + 4 * KvPages.Tokens);
        Store(a5, b5, scores + 5 * KvPages.Tokens);
        Store(a6, b6, scores + 6 * KvPages.Tokens);
        Store(a7, b7, scores + 7 * KvPages.Tokens);
    }

    /// <summary>Rescales 32 neighbouring dimensions of eight sums and adds a page's weighed values, token by token.</summary>
    /// <param name="values">The dimensions in the first token that is seen; <paramref name="length"/> floats from one token to the next.</param>
    /// <param name="length">Dimensions of a head's values.</param>
    /// <param name="tokens">Tokens that are seen.</param>
    /// <param name="weights">[8][<see cref="KvPages.Tokens"/>], from the first token that is seen.</param>
    /// <param name="factors">What each query's sums are multiplied with beforehand.</param>
    /// <param name="sums">The dimensions in the first query's sums.</param>
    /// <param name="stride">Floats from one query's sums to the next's.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void AddValues(float* values, int length, int tokens, float* weights, float* factors, float* sums, int stride)
    {
        Begin(sums, factors[0], out Vector512<float> a0, out Vector512<float> b0);
        Begin(sums + stride, factors[1], out Vector512<float> a1, out Vector512<float> b1);
        Begin(sums + 2 * stride, factors[2], out Vector512<float> a2, out Vector512<float> b2);
        Begin(sums + 3 * stride, factors[3], out Vector512<float> a3, out Vector512<float> b3);
        Begin(sums + 4 * stride, factors[4], out Vector512<float> a4, out Vector512<float> b4);
        Begin(sums + 5 * stride, factors[5], out Vector512<float> a5, out Vector512<float> b5);
        Begin(sums + 6 * stride, factors[6], out Vector512<float> a6, out Vector512<float> b6);
        Begin(sums + 7 * stride, factors[7], out Vector512<float> a7, out Vector512<float> b7);
        for (float* end = weights + tokens; weights < end; weights++, values += length)
        {
            Vector512<float> low = Vector512.Load(values), high = Vector512.Load(values + Lanes);
            Add(weights[0], low, high, ref a0, ref b0);
            Add(weights[KvPages.Tokens], low, high, ref a1, ref b1);
            Add(weights[2 * KvPages.Tokens], low, high, ref a2, ref b2);
            Add(weights[3 * KvPages.Tokens], low, high, ref a3, ref b3);
            Add(weights[4 * KvPages.Tokens], low, high, ref a4, ref b4);
            Add(weights[5 * KvPages.Tokens], low, high, ref a5, ref b5);
            Add(weights[6 * KvPages.Tokens], low, high, ref a6, ref b6);
            Add(weights[7 * KvPages.Tokens], low, high, ref a7, ref b7);
        }

        Store(a0, b0, sums);
        Store(a1, b1, sums + stride);
        Store(a2, b2, sums + 2 * stride);
        Store(a3, b3, sums + 3 * stride);
        Store(a4, b4, sums + 4 * stride);
        Store(a5, b5, sums + 5 * stride);
        Store(a6, b6, sums + 6 * stride);
        Store(a7, b7, sums + 7 * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(float factor, Vector512<float> low, Vector512<float> high, ref Vector512<float> a, ref Vector512<float> b)
    {
        Vector512<float> x = Vector512.Create(factor);
        a = Vector512.FusedMultiplyAdd(x, low, a);
        b = Vector512.FusedMultiplyAdd(x, high, b);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Begin(float* sums, float factor, out Vector512<float> a, out Vector512<float> b)
    {
        Vector512<float> x = Vector512.Create(factor);
        a = Vector512.Load(sums) * x;
        b = Vector512.Load(sums + Lanes) * x;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector512<float> a, Vector512<float> b, float* to)
    {
        a.Store(to);
        b.Store(to + Lanes);
    }
}
