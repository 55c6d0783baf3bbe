using System.Runtime.CompilerServices;
using Flint.Kernels;
using Flint.Memory;

namespace Flint.Models;

/// <summary>
/// A fixed number of reference-counted pages of keys and values, in one native allocation the system backs on first touch.
/// </summary>
/// <remarks>
/// A page holds <see cref="PageTokens"/> consecutive tokens of one sequence for every layer. In a page, layer by
/// layer: the keys, transposed, <c>[kvHead][dim][token]</c>, then the values, <c>[kvHead][token][dim]</c>. Every head's block
/// is a multiple of 64 bytes, so all blocks keep the alignment of the allocation.
/// A page the prefix cache keeps carries one reference of the cache's own (<see cref="Cache"/>).
/// The pool belongs to the engine's owner thread and takes no locks. All operations are O(1) and allocate nothing.
/// </remarks>
public sealed unsafe class KvPool : IDisposable
{
    /// <summary>Tokens a page holds.</summary>
    public const int PageTokens = KvPages.Tokens;

    /// <summary>The largest number of pages a pool may have.</summary>
    public const int MaxPages = 1 << 24;

    private readonly NativeBuffer _memory;
    private readonly byte* _bytes;
    private readonly int[] _references;
    private readonly bool[] _cached;
    private readonly int[] _free; // a stack; the first _freeCount entries are free pages
    private readonly long _pageBytes;
    private readonly long _layerBytes;
    private readonly long _keyHeadBytes;
    private readonly long _valueHeadBytes;
    private readonly long _valuesOffset; // of a layer's values from its keys
    private int _freeCount;

    /// <summary>Reserves address space for <paramref name="pages"/> pages.</summary>
    /// <exception cref="FlintException">Bug where a size is not positive or too large; Machine where there is no such memory.</exception>
    public KvPool(KvShape shape, int pages)
    {
        if (pages is < 1 or > MaxPages)
            throw new FlintException(FaultSide.Bug, "kv_pool_size", $"A key/value pool has 1 to {MaxPages} pages; {pages} were asked for.");
        if (shape.Layers < 1 || shape.KvHeads < 1 || shape.HeadLength < 1 || shape.ValueLength < 1)
            throw new FlintException(FaultSide.Bug, "kv_pool_shape", $"Every size of a key/value page is at least 1; found {shape}.");

        Shape = shape;
        Pages = pages;
        _keyHeadBytes = KvPages.Bytes(shape.Format, shape.HeadLength);
        _valueHeadBytes = KvPages.Bytes(shape.Format, shape.ValueLength);
        _valuesOffset = shape.KvHeads * _keyHeadBytes;
        _layerBytes = _valuesOffset + shape.KvHeads * _valueHeadBytes;
        _pageBytes = PageBytes(shape);

        _references = new int[pages];
        _free = new int[pages];
        for (int i = 0; i < pages; i++)
            _free[i] = pages - 1 - i; // low pages leave first, so a lightly used pool touches little memory
        _freeCount = pages;

        _cached = new bool[pages];
        // Zeroed, so that a slot nobody has written holds a finite number.
        _memory = new NativeBuffer(checked(pages * _pageBytes), zeroed: true, hugePages: true);
        _bytes = _memory.Pointer;
    }

    /// <summary>What a page is laid out for.</summary>
    public KvShape Shape { get; }

    /// <summary>Pages in all: free, idle and in use.</summary>
    public int Pages { get; }

    /// <summary>Pages nobody holds.</summary>
    public int FreePages => _freeCount;

    /// <summary>Pages the prefix cache alone holds, which it may give up at any time.</summary>
    public int IdlePages { get; private set; }

    /// <summary>Bytes of one page of this shape.</summary>
    public static long PageBytes(KvShape shape) =>
        checked(shape.Layers * (long)shape.KvHeads * (KvPages.Bytes(shape.Format, shape.HeadLength) + KvPages.Bytes(shape.Format, shape.ValueLength)));

    /// <summary>Pages that <paramref name="tokens"/> tokens fill, the last perhaps partly.</summary>
    public static int PagesFor(int tokens) => (int)(((long)tokens + PageTokens - 1) / PageTokens);

    /// <summary>Takes a free page, with one reference. Its contents are whatever was there before.</summary>
    /// <exception cref="FlintException">Bug where no page is free: ask <see cref="FreePages"/> first.</exception>
    public int Rent()
    {
        if (_freeCount == 0)
            throw new FlintException(FaultSide.Bug, "kv_pool_empty", $"None of the pool's {Pages} key/value pages is free to rent.");
        int page = _free[--_freeCount];
        _references[page] = 1;
        return page;
    }

    /// <summary>Adds a reference to a page somebody holds.</summary>
    /// <exception cref="FlintException">Bug where the page is free.</exception>
    public void Retain(int page)
    {
        if (_references[page] == 0)
            ThrowFree(page, "retained");
        if (_references[page]++ == 1 && _cached[page])
            IdlePages--;
    }

    /// <summary>Drops a reference; the page is free once nobody holds it.</summary>
    /// <exception cref="FlintException">Bug where the page is free already, or where the only reference left is the cache's.</exception>
    public void Release(int page)
    {
        int references = _references[page];
        if (references == (_cached[page] ? 1 : 0))
            ThrowFree(page, "released");
        _references[page] = references - 1;
        if (references == 1)
            _free[_freeCount++] = page;
        else if (references == 2 && _cached[page])
            IdlePages++;
    }

    /// <summary>Adds the prefix cache's reference to a page somebody holds.</summary>
    public void Cache(int page)
    {
        if (_references[page] == 0 || _cached[page])
            ThrowFree(page, "cached");
        _cached[page] = true;
        _references[page]++;
    }

    /// <summary>Drops the prefix cache's reference to an idle page, which frees it.</summary>
    public void Uncache(int page)
    {
        if (_references[page] != 1 || !_cached[page])
            ThrowFree(page, "uncached");
        _cached[page] = false;
        _references[page] = 0;
        IdlePages--;
        _free[_freeCount++] = page;
    }

    /// <summary>Whether the prefix cache holds a page.</summary>
    public bool IsCached(int page) => _cached[page];

    /// <summary>How many hold a page; 0 where it is free.</summary>
    public int References(int page) => _references[page];

    /// <summary>Keys of one head in one layer of a page, <c>[dim][token]</c> in the shape's format.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Keys(int page, int layer, int kvHead) =>
        _bytes + page * _pageBytes + layer * _layerBytes + kvHead * _keyHeadBytes;

    /// <summary>Values of one head in one layer of a page, <c>[token][dim]</c> in the shape's format.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Values(int page, int layer, int kvHead) =>
        _bytes + page * _pageBytes + layer * _layerBytes + _valuesOffset + kvHead * _valueHeadBytes;

    /// <summary>Copies all layers of a page.</summary>
    public void Copy(int from, int to)
    {
        if (_references[from] == 0 || _references[to] == 0)
            ThrowFree(_references[from] == 0 ? from : to, "copied");
        Buffer.MemoryCopy(_bytes + from * _pageBytes, _bytes + to * _pageBytes, _pageBytes, _pageBytes);
    }

    /// <summary>Gives the memory back. No page may be used afterwards.</summary>
    public void Dispose() => _memory.Dispose();

    private static void ThrowFree(int page, string verb) =>
        throw new FlintException(FaultSide.Bug, "kv_page_held", $"Key/value page {page} was {verb} while its holders do not allow it.");
}
