using System.Numerics;
using System.Runtime.InteropServices;

namespace Flint.Tokens;

/// <summary>
/// The merges of a vocabulary: (left symbol, right symbol) → (rank, merged symbol). The lowest rank merges first.
/// An open-addressed table that is read-only once built.
/// </summary>
internal sealed class MergeTable
{
    /// <summary>The rank of a pair that does not merge.</summary>
    public const int NoMerge = int.MaxValue;

    // Longer tokens take no part in merges that are derived from the vocabulary: their splits would cost the square of the length.
    private const int LongestSplitToken = 1024;

    [StructLayout(LayoutKind.Sequential)]
    private struct Slot
    {
        public ulong Key;
        public int Rank;
        public int Merged;
    }

    private const ulong Empty = ulong.MaxValue;

    private Slot[] _slots;
    private int _shift;
    private int _count;

    /// <summary>An empty table with room for about that many merges.</summary>
    public MergeTable(int expected)
    {
        _slots = NewSlots(Math.Max(16, expected + expected / 2), out _shift);
    }

    /// <summary>How many merges there are.</summary>
    public int Count => _count;

    /// <summary>
    /// The merges of a vocabulary that has none written down: every way to cut a symbol into two symbols, ranked by the whole.
    /// SentencePiece BPE ranks by score, tiktoken by id.
    /// </summary>
    /// <param name="symbols">Text to symbol; its ids index <paramref name="ranks"/>.</param>
    /// <param name="ranks">The rank of each symbol; <see cref="NoMerge"/> for one that is never made by a merge.</param>
    public static MergeTable FromSplits(Dictionary<string, int> symbols, ReadOnlySpan<int> ranks)
    {
        var table = new MergeTable(symbols.Count * 4);
        var lookup = symbols.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach ((string text, int merged) in symbols)
        {
            int rank = ranks[merged];
            if (rank == NoMerge || text.Length > LongestSplitToken) continue;
            for (int cut = 1; cut < text.Length; cut++)
                if (!char.IsLowSurrogate(text[cut])
                    && lookup.TryGetValue(text.AsSpan(0, cut), out int left)
                    && lookup.TryGetValue(text.AsSpan(cut), out int right))
                    table.Add(left, right, rank, merged);
        }
        return table;
    }

    /// <summary>Adds a merge; of two for the same pair the first stays.</summary>
    public void Add(int left, int right, int rank, int merged)
    {
        if (_count * 3 > _slots.Length * 2) Grow();
        ulong key = KeyOf(left, right);
        ref Slot slot = ref Find(key);
        if (slot.Key == key) return;
        slot = new Slot { Key = key, Rank = rank, Merged = merged };
        _count++;
    }

    /// <summary>The rank of a pair, or <see cref="NoMerge"/>.</summary>
    public int Rank(int left, int right, out int merged)
    {
        ulong key = KeyOf(left, right);
        ref Slot slot = ref Find(key);
        merged = slot.Merged;
        return slot.Key == key ? slot.Rank : NoMerge;
    }

    private static ulong KeyOf(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    private ref Slot Find(ulong key)
    {
        Slot[] slots = _slots;
        int mask = slots.Length - 1;
        int i = (int)((key * 0x9E3779B97F4A7C15ul) >> _shift);
        while (slots[i].Key != key && slots[i].Key != Empty) i = (i + 1) & mask;
        return ref slots[i];
    }

    private void Grow()
    {
        Slot[] old = _slots;
        _slots = NewSlots(old.Length * 2, out _shift);
        foreach (Slot slot in old)
            if (slot.Key != Empty) Find(slot.Key) = slot;
    }

    private static Slot[] NewSlots(int atLeast, out int shift)
    {
        int bits = BitOperations.Log2((uint)atLeast - 1) + 1;
        shift = 64 - bits;
        var slots = new Slot[1 << bits];
        foreach (ref Slot slot in slots.AsSpan()) slot.Key = Empty;
        return slots;
    }
}
