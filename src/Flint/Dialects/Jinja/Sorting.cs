namespace Flint.Dialects;

/// <summary>Python's stable sort, which orders by <c>&lt;</c> alone.</summary>
internal static class Sorting
{
    /// <summary>Sorts <paramref name="items"/> by <paramref name="keys"/>; equal keys keep their order, also when reversed.</summary>
    public static object?[] Sort(object?[] items, object?[] keys, bool reverse)
    {
        int[] order = new int[items.Length];
        for (int i = 0; i < order.Length; i++)
            order[i] = reverse ? order.Length - 1 - i : i;
        int[] scratch = new int[order.Length];
        Merge(order, scratch, 0, order.Length, keys);
        if (reverse)
            Array.Reverse(order);
        return [.. order.Select(i => items[i])];
    }

    public static IEnumerable<KeyValuePair<object?, object?>> ByKey(PyDict dict)
    {
        object?[] indices = [.. Enumerable.Range(0, dict.Count).Select(i => (object?)i)];
        return Sort(indices, [.. dict.Keys], false).Select(i => dict.At((int)i!));
    }

    private static void Merge(int[] order, int[] scratch, int start, int end, object?[] keys)
    {
        if (end - start < 2)
            return;
        int middle = (start + end) / 2;
        Merge(order, scratch, start, middle, keys);
        Merge(order, scratch, middle, end, keys);
        int i = start, j = middle;
        for (int k = start; k < end; k++)
        {
            Budget.Charge(1);
            bool takeRight = i >= middle || (j < end && Operators.Order("<", keys[order[j]], keys[order[i]]));
            scratch[k] = order[takeRight ? j++ : i++];
        }

        Array.Copy(scratch, start, order, start, end - start);
    }
}
