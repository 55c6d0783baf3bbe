using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Flint.Engine;

/// <summary>The passes over a whole row of logits. Each has a scalar body and a 16-lane one with the same bits.</summary>
/// <remarks>
/// Sums run in 16 double accumulators, element i in accumulator i mod 16, added up in the order 0 to 15 at the end: the order
/// does not depend on the instruction set. Every product that is added goes through an explicit fused multiply-add or none.
/// </remarks>
internal static class Reductions
{
    private const int Lanes = 16;

    /// <summary>Elements whose exponentials are summed apart, so that a draw need not walk the whole row.</summary>
    public const int SumBlock = 1024;

    private static bool Vectorized => Vector256.IsHardwareAccelerated;

    /// <summary>The index of the largest logit, the lowest among equals; -1 where a logit is not a number or none is finite.</summary>
    public static int ArgMax(ReadOnlySpan<float> x) => Vectorized ? ArgMaxVector(x) : ArgMaxScalar(x);

    /// <inheritdoc cref="ArgMax"/>
    public static int ArgMaxScalar(ReadOnlySpan<float> x)
    {
        int best = -1;
        float max = float.NegativeInfinity;
        for (int i = 0; i < x.Length; i++)
        {
            if (float.IsNaN(x[i]))
                return -1;
            if (x[i] > max)
            {
                max = x[i];
                best = i;
            }
        }
        return float.IsPositiveInfinity(max) ? -1 : best;
    }

    /// <inheritdoc cref="ArgMax"/>
    public static int ArgMaxVector(ReadOnlySpan<float> x)
    {
        // First the largest value, in four independent chains; Max passes a NaN on. Then the first place it stands at.
        ref float first = ref MemoryMarshal.GetReference(x);
        Vector512<float> a = Vector512.Create(float.NegativeInfinity);
        Vector512<float> b = a, c = a, d = a;
        int i = 0;
        for (; i <= x.Length - 4 * Lanes; i += 4 * Lanes)
        {
            a = Vector512.Max(a, Vector512.LoadUnsafe(ref first, (nuint)i));
            b = Vector512.Max(b, Vector512.LoadUnsafe(ref first, (nuint)(i + Lanes)));
            c = Vector512.Max(c, Vector512.LoadUnsafe(ref first, (nuint)(i + 2 * Lanes)));
            d = Vector512.Max(d, Vector512.LoadUnsafe(ref first, (nuint)(i + 3 * Lanes)));
        }
        a = Vector512.Max(Vector512.Max(a, b), Vector512.Max(c, d));
        float max = float.NegativeInfinity;
        for (int lane = 0; lane < Lanes; lane++)
            max = MathF.Max(max, a[lane]);
        for (; i < x.Length; i++)
            max = MathF.Max(max, x[i]);
        return float.IsFinite(max) ? FirstOf(x, max) : -1;
    }

    private static int FirstOf(ReadOnlySpan<float> x, float value)
    {
        ref float first = ref MemoryMarshal.GetReference(x);
        Vector512<float> sought = Vector512.Create(value);
        int i = 0;
        for (; i <= x.Length - Lanes; i += Lanes)
        {
            Vector512<float> equal = Vector512.Equals(Vector512.LoadUnsafe(ref first, (nuint)i), sought);
            if (equal.AsInt32() != Vector512<int>.Zero)
                return i + BitOperations.TrailingZeroCount(equal.ExtractMostSignificantBits());
        }
        while (x[i] != value)
            i++;
        return i;
    }

    /// <summary>
    /// <c>weights[i] = exp((x[i] - max) · scale)</c> for x at most max, and their sums over blocks of <see cref="SumBlock"/>.
    /// </summary>
    /// <returns>The sum of all weights: that of the block sums in order.</returns>
    public static double Exp(ReadOnlySpan<float> x, float max, float scale, Span<float> weights, Span<double> blockSums)
    {
        double sum = 0;
        for (int start = 0, block = 0; start < x.Length; start += SumBlock, block++)
        {
            int length = Math.Min(SumBlock, x.Length - start);
            ReadOnlySpan<float> from = x.Slice(start, length);
            Span<float> to = weights.Slice(start, length);
            double blockSum = Vectorized ? ExpVector(from, max, scale, to) : ExpScalar(from, max, scale, to);
            blockSums[block] = blockSum;
            sum += blockSum;
        }
        return sum;
    }

    /// <summary>As <see cref="Exp"/>, one block.</summary>
    public static double ExpScalar(ReadOnlySpan<float> x, float max, float scale, Span<float> weights)
    {
        Span<double> sums = stackalloc double[Lanes];
        sums.Clear();
        for (int i = 0; i < x.Length; i++)
        {
            float w = ExpNegative((x[i] - max) * scale);
            weights[i] = w;
            sums[i % Lanes] += w;
        }
        return AddLanes(sums);
    }

    /// <summary>As <see cref="Exp"/>, one block. Lane j of <c>low</c> sums elements j mod 16, of <c>high</c> j + 8; the tail joins the lanes it falls in.</summary>
    public static double ExpVector(ReadOnlySpan<float> x, float max, float scale, Span<float> weights)
    {
        ref float first = ref MemoryMarshal.GetReference(x);
        ref float target = ref MemoryMarshal.GetReference(weights);
        Vector512<float> vMax = Vector512.Create(max);
        Vector512<float> vScale = Vector512.Create(scale);
        Vector512<double> low = Vector512<double>.Zero;
        Vector512<double> high = Vector512<double>.Zero;
        int i = 0;
        for (; i <= x.Length - Lanes; i += Lanes)
        {
            Vector512<float> w = ExpNegative((Vector512.LoadUnsafe(ref first, (nuint)i) - vMax) * vScale);
            w.StoreUnsafe(ref target, (nuint)i);
            (Vector512<double> lower, Vector512<double> upper) = Vector512.Widen(w);
            low += lower;
            high += upper;
        }
        Span<double> sums = stackalloc double[Lanes];
        low.CopyTo(sums);
        high.CopyTo(sums[8..]);
        for (; i < x.Length; i++)
        {
            float w = ExpNegative((x[i] - max) * scale);
            weights[i] = w;
            sums[i % Lanes] += w;
        }
        return AddLanes(sums);
    }

    /// <summary>The indices of elements at least <paramref name="least"/>, ascending.</summary>
    /// <returns>How many.</returns>
    public static int AtLeast(ReadOnlySpan<float> x, float least, Span<int> indices)
    {
        ref float first = ref MemoryMarshal.GetReference(x);
        Vector512<float> vLeast = Vector512.Create(least);
        int count = 0;
        int i = 0;
        if (Vectorized)
        {
            for (; i <= x.Length - Lanes; i += Lanes)
            {
                Vector512<float> hit = Vector512.GreaterThanOrEqual(Vector512.LoadUnsafe(ref first, (nuint)i), vLeast);
                for (ulong bits = hit.ExtractMostSignificantBits(); bits != 0; bits &= bits - 1)
                    indices[count++] = i + BitOperations.TrailingZeroCount(bits);
            }
        }
        for (; i < x.Length; i++)
        {
            if (x[i] >= least)
                indices[count++] = i;
        }
        return count;
    }

    /// <summary>
    /// The <paramref name="indices"/>.Length largest elements, lower indices first among equals, in no order but that the last
    /// in order comes first. There are at least so many elements.
    /// </summary>
    public static void Largest(ReadOnlySpan<float> x, Span<int> indices)
    {
        int k = indices.Length;
        for (int i = 0; i < k; i++)
            indices[i] = i;
        for (int i = k / 2 - 1; i >= 0; i--)
            SiftDown(x, indices, i);

        ref float first = ref MemoryMarshal.GetReference(x);
        int at = k;
        if (Vectorized)
        {
            for (; at <= x.Length - Lanes; at += Lanes)
            {
                Vector512<float> above = Vector512.GreaterThan(
                    Vector512.LoadUnsafe(ref first, (nuint)at), Vector512.Create(x[indices[0]]));
                for (ulong bits = above.ExtractMostSignificantBits(); bits != 0; bits &= bits - 1)
                    Offer(x, indices, at + BitOperations.TrailingZeroCount(bits));
            }
        }
        for (; at < x.Length; at++)
            Offer(x, indices, at);
    }

    /// <summary>exp(x) for x ≤ 0, relative error below 2e-7; 0 below -87.</summary>
    /// <remarks>x = n·ln 2 + r with |r| ≤ ln 2 / 2 (ln 2 in two parts), exp(r) by its Taylor series to r⁷, times 2ⁿ by the exponent's bits.</remarks>
    public static float ExpNegative(float x)
    {
        if (!(x >= MinExponent))
            return 0;
        float n = MathF.Round(x * Log2E, MidpointRounding.ToEven);
        float r = MathF.FusedMultiplyAdd(n, -Ln2High, x);
        r = MathF.FusedMultiplyAdd(n, -Ln2Low, r);
        float p = C7;
        p = MathF.FusedMultiplyAdd(p, r, C6);
        p = MathF.FusedMultiplyAdd(p, r, C5);
        p = MathF.FusedMultiplyAdd(p, r, C4);
        p = MathF.FusedMultiplyAdd(p, r, C3);
        p = MathF.FusedMultiplyAdd(p, r, C2);
        p = MathF.FusedMultiplyAdd(p, r, 1);
        p = MathF.FusedMultiplyAdd(p, r, 1);
        return BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(p) + ((int)n << 23));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> ExpNegative(Vector512<float> x)
    {
        Vector512<float> inRange = Vector512.GreaterThanOrEqual(x, Vector512.Create(MinExponent));
        Vector512<float> n = Vector512.Round(x * Vector512.Create(Log2E), MidpointRounding.ToEven);
        Vector512<float> r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-Ln2High), x);
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-Ln2Low), r);
        Vector512<float> p = Vector512.Create(C7);
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(C6));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(C5));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(C4));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(C3));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(C2));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512<float>.One);
        p = Vector512.FusedMultiplyAdd(p, r, Vector512<float>.One);
        Vector512<int> scaled = p.AsInt32() + Vector512.ShiftLeft(Vector512.ConvertToInt32(n), 23);
        return scaled.AsSingle() & inRange;
    }

    private const float MinExponent = -87;
    private const float Log2E = 1.44269504088896341f;
    private const float Ln2High = 0.693359375f; // 355/512: n times it is exact
    private const float Ln2Low = -2.12194440e-4f; // ln 2 - 355/512
    private const float C2 = 1f / 2;
    private const float C3 = 1f / 6;
    private const float C4 = 1f / 24;
    private const float C5 = 1f / 120;
    private const float C6 = 1f / 720;
    private const float C7 = 1f / 5040;

    private static double AddLanes(ReadOnlySpan<double> lanes)
    {
        double sum = 0;
        foreach (double lane in lanes)
            sum += lane;
        return sum;
    }

    // The heap's root is the last in order: the smallest value, the highest index among equals.
    private static bool Before(ReadOnlySpan<float> x, int a, int b) => x[a] > x[b] || (x[a] == x[b] && a < b);

    private static void Offer(ReadOnlySpan<float> x, Span<int> heap, int index)
    {
        if (!Before(x, index, heap[0]))
            return;
        heap[0] = index;
        SiftDown(x, heap, 0);
    }

    private static void SiftDown(ReadOnlySpan<float> x, Span<int> heap, int at)
    {
        while (true)
        {
            int last = at;
            for (int child = 2 * at + 1; child <= 2 * at + 2 && child < heap.Length; child++)
            {
                if (Before(x, heap[last], heap[child]))
                    last = child;
            }
            if (last == at)
                return;
            (heap[at], heap[last]) = (heap[last], heap[at]);
            at = last;
        }
    }
}
