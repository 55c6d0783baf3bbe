namespace Flint.Engine;

/// <summary>Finds how far down an order a sum of weights is reached, without sorting.</summary>
internal static class Selection
{
    private const int Few = 256; // up to here a histogram is not worth it
    private const int Buckets = 1024;

    /// <summary>
    /// In the order of keys descending, positions ascending among equals: the first element at which the weights from the top
    /// add up to <paramref name="target"/>; the last where they never do.
    /// </summary>
    /// <remarks>
    /// A histogram of the keys finds the narrow range the boundary lies in, then quickselect (Hoare, 1961) over weights the element:
    /// expected linear time. Pivots come from a fixed sequence, so the same input gives the same sums in the same order.
    /// </remarks>
    /// <param name="keys">Not NaN; at least one, and the largest finite.</param>
    /// <param name="weights">Not negative.</param>
    /// <param name="target">The sum to reach.</param>
    /// <param name="order">Scratch of the same length.</param>
    public static int Boundary(ReadOnlySpan<float> keys, ReadOnlySpan<float> weights, double target, Span<int> order)
    {
        double above = 0;
        int count;
        if (keys.Length > Few)
        {
            count = Narrow(keys, weights, target, order, out above);
        }
        else
        {
            count = keys.Length;
            for (int i = 0; i < count; i++)
                order[i] = i;
        }
        return Select(keys, weights, target, order[..count], above);
    }

    /// <summary>
    /// A bound on the logits of those whose weights add up to <paramref name="target"/>: of all elements in order, everything to the
    /// boundary and little after it is at least this.
    /// </summary>
    /// <param name="logits">A row.</param>
    /// <param name="max">Its largest.</param>
    /// <param name="scale">What the distance from the largest is multiplied by in the exponent.</param>
    /// <param name="weights">Its weights; those of a scaled distance above <paramref name="range"/> are not needed for the sum.</param>
    /// <param name="range">At least 1.</param>
    /// <param name="target">The sum to reach.</param>
    public static float Bound(
        ReadOnlySpan<float> logits, float max, float scale, ReadOnlySpan<float> weights, float range, double target)
    {
        Span<double> sums = stackalloc double[Buckets];
        sums.Clear();
        float perUnit = Buckets / range;
        for (int i = 0; i < logits.Length; i++)
        {
            float place = (max - logits[i]) * scale * perUnit;
            if (place < Buckets)
                sums[(int)place] += weights[i];
        }
        double sum = 0;
        int bucket = 0;
        while (bucket < Buckets && sum < target)
            sum += sums[bucket++];
        // One bucket more than needed, for rounding.
        return max - (bucket + 1) / perUnit / scale;
    }

    /// <summary>Puts the elements of the histogram's bucket in which the sum is reached into the order, and sums what comes before.</summary>
    private static int Narrow(ReadOnlySpan<float> keys, ReadOnlySpan<float> weights, double target, Span<int> order, out double above)
    {
        float top = float.NegativeInfinity, bottom = float.PositiveInfinity;
        foreach (float key in keys)
        {
            top = Math.Max(top, key);
            if (key > float.NegativeInfinity)
                bottom = Math.Min(bottom, key);
        }
        // From key to bucket every operation is monotone: a larger key is never in a later bucket, equal ones share theirs.
        float scale = top > bottom ? (Buckets - 1) / (top - bottom) : 0;
        Span<double> sums = stackalloc double[Buckets];
        sums.Clear();
        for (int i = 0; i < keys.Length; i++)
            sums[Bucket(top, keys[i], scale)] += weights[i];

        above = 0;
        int bucket = 0;
        for (; bucket < Buckets - 1 && above + sums[bucket] < target; bucket++)
            above += sums[bucket];
        // Where the sum is not reached at all, the last bucket may be empty; the elements before it end the order then.
        int count = 0;
        while (true)
        {
            for (int i = 0; i < keys.Length; i++)
            {
                if (Bucket(top, keys[i], scale) == bucket)
                    order[count++] = i;
            }
            if (count > 0)
                return count;
            above -= sums[--bucket];
        }
    }

    private static int Bucket(float top, float key, float scale) =>
        key > float.NegativeInfinity ? (int)Math.Min((top - key) * scale, Buckets - 1) : Buckets - 1;

    private static int Select(ReadOnlySpan<float> keys, ReadOnlySpan<float> weights, double target, Span<int> order, double above)
    {
        int low = 0;
        int high = order.Length; // the boundary lies in order[low..high], with `above` the weight of everything before
        uint random = 0x9E3779B9;
        while (high - low > 1)
        {
            random = random * 1664525 + 1013904223;
            int pivot = Partition(keys, order, low, high, low + (int)((ulong)random * (uint)(high - low) >> 32));
            double before = above;
            for (int i = low; i < pivot; i++)
                before += weights[order[i]];
            double through = before + weights[order[pivot]];
            if (before >= target && pivot > low)
            {
                high = pivot;
            }
            else if (through >= target || pivot == high - 1)
            {
                return order[pivot];
            }
            else
            {
                above = through;
                low = pivot + 1;
            }
        }
        return order[low];
    }

    private static int Partition(ReadOnlySpan<float> keys, Span<int> order, int low, int high, int pivot)
    {
        int element = order[pivot];
        order[pivot] = order[high - 1];
        order[high - 1] = element;
        int at = low;
        for (int i = low; i < high - 1; i++)
        {
            int other = order[i];
            if (Before(keys, other, element))
            {
                order[i] = order[at];
                order[at++] = other;
            }
        }
        order[high - 1] = order[at];
        order[at] = element;
        return at;
    }

    private static bool Before(ReadOnlySpan<float> keys, int a, int b) =>
        keys[a] > keys[b] || (keys[a] == keys[b] && a < b);
}
