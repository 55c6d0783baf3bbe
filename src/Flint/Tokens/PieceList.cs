namespace Flint.Tokens;

/// <summary>Where the pieces of a text end, in order; piece i runs from the end of piece i-1 (or 0) to <c>Ends[i]</c>.</summary>
internal sealed class PieceList
{
    private int[] _ends = new int[256];

    /// <summary>How many pieces there are.</summary>
    public int Count { get; private set; }

    /// <summary>The ends, as offsets into the text.</summary>
    public ReadOnlySpan<int> Ends => _ends.AsSpan(0, Count);

    /// <summary>Bytes held, for the limit on what is kept between calls.</summary>
    public long Bytes => _ends.Length * 4L;

    /// <summary>Forgets all pieces.</summary>
    public void Clear() => Count = 0;

    /// <summary>Appends a piece that ends at <paramref name="end"/>.</summary>
    public void Add(int end)
    {
        if (Count == _ends.Length) Array.Resize(ref _ends, Count * 2);
        _ends[Count++] = end;
    }
}
