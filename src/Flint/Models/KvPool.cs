using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Flint.Models;

/// <summary>
/// A fixed number of reference-counted pages of keys and values, in one native allocation the system backs on first touch.
/// </summary>
/// <remarks>
/// A page holds <see cref="PageTokens"/> consecutive tokens of one sequence for every layer, as float32. In a page, layer by
/// layer: the keys, transposed, <c>[kvHead][dim][token]</c>, then the values, <c>[kvHead][token][dim]</c>. Every head's block
/// is a multiple of 128 bytes, so all blocks keep the 64-byte alignment of the allocation.
/// The pool belongs to the engine's owner thread and takes no locks. All operations are O(1) and allocate nothing.
/// </remarks>
public sealed unsafe class KvPool : IDisposable
{
    /// <summary>Tokens a page holds.</summary>
    public const int PageTokens = 32;

    /// <summary>The largest number of pages a pool may have.</summary>
    public const int MaxPages = 1 << 24;

    private const int Alignment = 64;

    private readonly int[] _references;
    private readonly int[] _free; // a stack; the first _freeCount entries are free pages
    private readonly long _pageFloats;
    private readonly long _layerFloats;
    private readonly long _keyHeadFloats;
    private readonly long _valueHeadFloats;
    private readonly long _valuesOffset; // of a layer's values from its keys
    private int _freeCount;
    private float* _memory;

    /// <summary>Reserves address space for <paramref name="pages"/> pages.</summary>
    /// <exception cref="FlintException">Bug where a size is not positive or too large; Machine where the memory cannot be reserved.</exception>
    public KvPool(KvShape shape, int pages)
    {
        if (pages is < 1 or > MaxPages)
            throw new FlintException(FaultSide.Bug, "kv_pool_size", $"A key/value pool has 1 to {MaxPages} pages; {pages} were asked for.");
        if (shape.Layers < 1 || shape.KvHeads < 1 || shape.HeadLength < 1 || shape.ValueLength < 1)
            throw new FlintException(FaultSide.Bug, "kv_pool_shape", $"Every size of a key/value page is at least 1; found {shape}.");

        Shape = shape;
        Pages = pages;
        long pageBytes = PageBytes(shape);
        _keyHeadFloats = (long)shape.HeadLength * PageTokens;
        _valueHeadFloats = (long)shape.ValueLength * PageTokens;
        _valuesOffset = shape.KvHeads * _keyHeadFloats;
        _layerFloats = _valuesOffset + shape.KvHeads * _valueHeadFloats;
        _pageFloats = pageBytes / sizeof(float);

        _references = new int[pages];
        _free = new int[pages];
        for (int i = 0; i < pages; i++)
            _free[i] = pages - 1 - i; // low pages leave first, so a lightly used pool touches little memory
        _freeCount = pages;

        try
        {
            _memory = (float*)NativeMemory.AlignedAlloc(checked((nuint)pages * (nuint)pageBytes), Alignment);
        }
        catch (Exception e) when (e is OutOfMemoryException or OverflowException)
        {
            throw new FlintException(
                FaultSide.Machine, "kv_pool_memory",
                $"The key/value pool needs {pages} pages of {pageBytes} bytes and the machine refused that much memory.", e);
        }
    }

    /// <summary>Frees the memory where <see cref="Dispose"/> was not called.</summary>
    ~KvPool() => FreeMemory();

    /// <summary>What a page is laid out for.</summary>
    public KvShape Shape { get; }

    /// <summary>Pages in all.</summary>
    public int Pages { get; }

    /// <summary>Pages nobody holds.</summary>
    public int FreePages => _freeCount;

    /// <summary>Bytes of one page of this shape.</summary>
    public static long PageBytes(KvShape shape) =>
        checked((long)shape.Layers * shape.KvHeads * ((long)shape.HeadLength + shape.ValueLength) * PageTokens * sizeof(float));

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
        _references[page]++;
    }

    /// <summary>Drops a reference; the page is free once nobody holds it.</summary>
    /// <exception cref="FlintException">Bug where the page is free already.</exception>
    public void Release(int page)
    {
        if (_references[page] == 0)
            ThrowFree(page, "released");
        if (--_references[page] == 0)
            _free[_freeCount++] = page;
    }

    /// <summary>How many hold a page; 0 where it is free.</summary>
    public int References(int page) => _references[page];

    /// <summary>Keys of one head in one layer of a page: <c>HeadLength × PageTokens</c> floats, <c>[dim][token]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* Keys(int page, int layer, int kvHead) =>
        _memory + page * _pageFloats + layer * _layerFloats + kvHead * _keyHeadFloats;

    /// <summary>Values of one head in one layer of a page: <c>PageTokens × ValueLength</c> floats, <c>[token][dim]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* Values(int page, int layer, int kvHead) =>
        _memory + page * _pageFloats + layer * _layerFloats + _valuesOffset + kvHead * _valueHeadFloats;

    /// <summary>Copies all layers of a page.</summary>
    public void Copy(int from, int to)
    {
        if (_references[from] == 0 || _references[to] == 0)
            ThrowFree(_references[from] == 0 ? from : to, "copied");
        long bytes = _pageFloats * sizeof(float);
        Buffer.MemoryCopy(_memory + from * _pageFloats, _memory + to * _pageFloats, bytes, bytes);
    }

    /// <summary>Gives the memory back. No page may be used afterwards.</summary>
    public void Dispose()
    {
        FreeMemory();
        GC.SuppressFinalize(this);
    }

    private static void ThrowFree(int page, string verb) =>
        throw new FlintException(FaultSide.Bug, "kv_page_free", $"Key/value page {page} was {verb} while nobody holds it.");

    private void FreeMemory()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }
}
