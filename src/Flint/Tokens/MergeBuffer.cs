namespace Flint.Tokens;

/// <summary>
/// Merges the symbols of one piece, lowest rank first and leftmost among equals. Short pieces are searched;
/// long ones use a linked list and a heap, so n symbols cost n log n. Working space is kept between pieces.
/// </summary>
internal sealed class MergeBuffer
{
    // Up to here a search over the ranks beats the heap.
    private const int ShortPiece = 48;

    private int[] _symbols = new int[256];
    private int[] _ranks = new int[256];
    private int[] _merged = new int[256];
    private int[] _next = [];
    private int[] _previous = [];
    private ulong[] _heap = [];
    private int _heapCount;

    /// <summary>How many symbols there are.</summary>
    public int Count { get; private set; }

    /// <summary>The symbols, before or after <see cref="Merge"/>.</summary>
    public ReadOnlySpan<int> Symbols => _symbols.AsSpan(0, Count);

    /// <summary>Bytes held, for the limit on what is kept between calls.</summary>
    public long Bytes => 4L * (_symbols.Length + _ranks.Length + _merged.Length + _next.Length + _previous.Length) + 8L * _heap.Length;

    /// <summary>Begins a piece of at most <paramref name="most"/> symbols.</summary>
    public void Begin(int most)
    {
        Count = 0;
        if (most <= _symbols.Length) return;
        int length = Math.Max(most, (int)Math.Min(Array.MaxLength, _symbols.Length * 2L));
        _symbols = new int[length];
        _ranks = new int[length];
        _merged = new int[length];
    }

    /// <summary>Appends a symbol.</summary>
    public void Add(int symbol) => _symbols[Count++] = symbol;

    /// <summary>Merges until no pair merges.</summary>
    public void Merge(MergeTable table)
    {
        if (Count < 2) return;
        for (int i = 0; i + 1 < Count; i++) _ranks[i] = table.Rank(_symbols[i], _symbols[i + 1], out _merged[i]);
        if (Count <= ShortPiece) MergeShort(table);
        else MergeLong(table);
    }

    private void MergeShort(MergeTable table)
    {
        Span<int> symbols = _symbols, ranks = _ranks, merged = _merged;
        int count = Count;
        while (count > 1)
        {
            int best = 0;
            for (int i = 1; i < count - 1; i++)
                if (ranks[i] < ranks[best]) best = i;
            if (ranks[best] == MergeTable.NoMerge) break;
            symbols[best] = merged[best];
            count--;
            symbols.Slice(best + 2, count - best - 1).CopyTo(symbols[(best + 1)..]);
            ranks.Slice(best + 1, count - best - 1).CopyTo(ranks[best..]);
            merged.Slice(best + 1, count - best - 1).CopyTo(merged[best..]);
            if (best + 1 < count) ranks[best] = table.Rank(symbols[best], symbols[best + 1], out merged[best]);
            if (best > 0) ranks[best - 1] = table.Rank(symbols[best - 1], symbols[best], out merged[best - 1]);
        }
        Count = count;
    }

    private void MergeLong(MergeTable table)
    {
        int count = Count;
        if (_next.Length < count)
        {
            _next = new int[_symbols.Length];
            _previous = new int[_symbols.Length];
        }
        _heapCount = 0;
        _ranks[count - 1] = MergeTable.NoMerge;
        for (int i = 0; i < count; i++)
        {
            _next[i] = i + 1;
            _previous[i] = i - 1;
            Push(i);
        }
        while (_heapCount > 0)
        {
            ulong top = Pop();
            int left = (int)(uint)top, rank = (int)(top >> 32);
            // An entry is stale when its left symbol is gone or now pairs otherwise; gone symbols have no rank.
            if (_ranks[left] != rank) continue;
            int right = _next[left];
            _symbols[left] = _merged[left];
            _ranks[right] = MergeTable.NoMerge;
            int after = _next[right];
            _next[left] = after;
            if (after < count)
            {
                _previous[after] = left;
                _ranks[left] = table.Rank(_symbols[left], _symbols[after], out _merged[left]);
                Push(left);
            }
            else
            {
                _ranks[left] = MergeTable.NoMerge;
            }
            int before = _previous[left];
            if (before >= 0)
            {
                _ranks[before] = table.Rank(_symbols[before], _symbols[left], out _merged[before]);
                Push(before);
            }
        }
        int kept = 0;
        for (int i = 0; i < count; i = _next[i]) _symbols[kept++] = _symbols[i];
        Count = kept;
    }

    private void Push(int left)
    {
        int rank = _ranks[left];
        if (rank == MergeTable.NoMerge) return;
        if (_heapCount == _heap.Length) Array.Resize(ref _heap, Math.Max(256, _heap.Length * 2));
        ulong entry = ((ulong)(uint)rank << 32) | (uint)left;
        int at = _heapCount++;
        while (at > 0)
        {
            int parent = (at - 1) >> 2;
            if (_heap[parent] <= entry) break;
            _heap[at] = _heap[parent];
            at = parent;
        }
        _heap[at] = entry;
    }

    private ulong Pop()
    {
        ulong[] heap = _heap;
        ulong top = heap[0], last = heap[--_heapCount];
        int at = 0;
        while (true)
        {
            int child = 4 * at + 1;
            if (child >= _heapCount) break;
            int end = Math.Min(child + 4, _heapCount);
            for (int i = child + 1; i < end; i++)
                if (heap[i] < heap[child]) child = i;
            if (heap[child] >= last) break;
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = last;
        return top;
    }
}
