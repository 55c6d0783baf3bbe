namespace Flint.Tokens;

/// <summary>A growing list of token ids that is reused from call to call.</summary>
internal sealed class IdBuffer
{
    private int[] _ids = new int[1024];

    /// <summary>How many ids there are.</summary>
    public int Count { get; private set; }

    /// <summary>The ids.</summary>
    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, Count);

    /// <summary>Bytes held, for the limit on what is kept between calls.</summary>
    public long Bytes => _ids.Length * 4L;

    /// <summary>Forgets all ids.</summary>
    public void Clear() => Count = 0;

    /// <summary>Appends an id.</summary>
    public void Add(int id)
    {
        if (Count == _ids.Length) Array.Resize(ref _ids, Count * 2);
        _ids[Count++] = id;
    }

    /// <summary>Appends ids.</summary>
    public void Add(ReadOnlySpan<int> ids)
    {
        if (Count + ids.Length > _ids.Length) Array.Resize(ref _ids, Math.Max(_ids.Length * 2, Count + ids.Length));
        for (int i = 0; i < ids.Length; i++) _ids[Count + i] = ids[i];
        Count += ids.Length;
    }
}
