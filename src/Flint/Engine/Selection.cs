namespace Flint.Engine;

/// <summary>Finds how far down an order a sum of weights is reached, without sorting.</summary>
internal static class Selection
{
    /// <summary>
    /// In the order of keys descending, positions ascending among equals: the first element at which the weights from the top
    /// add up to <paramref name="target"/>; the last where they never do.
    /// </summary>
    /// <remarks>
    /// Quickselect (Hoare, 1961) over weights: expected linear time. Pivots come from a fixed sequence, so the same input gives
    /// the same sums in the same order.
    /// </remarks>
    /// <param name="keys">Not NaN; at least one.</param>
    /// <param name="weights">Not negative.</param>
    /// <param name="target">The sum to reach.</param>
    /// <param name="order">Scratch of the same length.</param>
    public static int Boundary(ReadOnlySpan<float> keys, ReadOnlySpan<float> weights, double target, Span<int> order)
    {
        for (int i = 0; i < keys.Length; i++)
            order[i] = i;
        int low = 0;
        int high = keys.Length; // the boundary lies in order[low..high], with `above` the weight of everything before
        double above = 0;
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
