using Flint.Models;

namespace Flint.Engine;

/// <summary>
/// The full pages whose contents are known by the tokens before and in them, so that a prompt that begins the same way need not
/// be computed again. A node is a page; its parent is the page before it.
/// </summary>
/// <remarks>
/// At most one node per page of the pool, so all of it lies in arrays made once. A sequence that holds a node holds its
/// ancestors too; hence every idle page has only idle pages below it and can be given up, leaves first, least recently used
/// first.
/// </remarks>
internal sealed class PrefixTree
{
    private const int PageTokens = KvPool.PageTokens;

    /// <summary>The parent of a first page.</summary>
    public const int Root = -1;

    private readonly KvPool _pool;
    private readonly int[] _tokens; // [page][PageTokens]
    private readonly int[] _parents;
    private readonly PrefixScope[] _scopes;
    private readonly int[] _children; // how many
    private readonly int[] _buckets; // first page of a chain, -1 for none
    private readonly int[] _chains; // next page of the chain
    private readonly int[] _older; // the list by last use; index Pages is its head and tail
    private readonly int[] _newer;

    /// <summary>An empty tree over a pool.</summary>
    public PrefixTree(KvPool pool)
    {
        _pool = pool;
        int pages = pool.Pages;
        _tokens = new int[(long)pages * PageTokens];
        _parents = new int[pages];
        _scopes = new PrefixScope[pages];
        _children = new int[pages];
        _buckets = new int[System.Numerics.BitOperations.RoundUpToPowerOf2((uint)pages)];
        Array.Fill(_buckets, -1);
        _chains = new int[pages];
        _older = new int[pages + 1];
        _newer = new int[pages + 1];
        _older[pages] = pages;
        _newer[pages] = pages;
    }

    /// <summary>Nodes.</summary>
    public int Count { get; private set; }

    /// <summary>The page that follows <paramref name="parent"/> with these <see cref="PageTokens"/> tokens; -1 where none is known.</summary>
    public int Find(int parent, PrefixScope scope, ReadOnlySpan<int> tokens)
    {
        for (int page = _buckets[Bucket(parent, scope, tokens)]; page >= 0; page = _chains[page])
        {
            if (_parents[page] == parent && _scopes[page] == scope && tokens.SequenceEqual(TokensOf(page)))
                return page;
        }
        return -1;
    }

    /// <summary>
    /// Makes a page somebody holds known as the one after <paramref name="parent"/> with these tokens, and has the cache hold it.
    /// Where such a page is known, that one stays.
    /// </summary>
    /// <returns>The page known now.</returns>
    public int Insert(int parent, PrefixScope scope, ReadOnlySpan<int> tokens, int page)
    {
        int known = Find(parent, scope, tokens);
        if (known >= 0)
            return known;
        _pool.Cache(page);
        tokens.CopyTo(TokensOf(page));
        _parents[page] = parent;
        _scopes[page] = scope;
        _children[page] = 0;
        if (parent != Root)
            _children[parent]++;
        int bucket = Bucket(parent, scope, tokens);
        _chains[page] = _buckets[bucket];
        _buckets[bucket] = page;
        LinkNewest(page);
        Count++;
        return page;
    }

    /// <summary>Marks the known ones among a sequence's pages as used last, its first page last of all.</summary>
    public void Touch(ReadOnlySpan<int> pages)
    {
        for (int i = pages.Length - 1; i >= 0; i--)
        {
            if (_pool.IsCached(pages[i]))
                Renew(pages[i]);
        }
    }

    /// <summary>Gives up the idle leaf that was used longest ago, which frees its page.</summary>
    /// <returns>False where no page is idle.</returns>
    public bool EvictOne()
    {
        if (_pool.IdlePages == 0)
            return false;
        int head = _pool.Pages;
        int page = _newer[head];
        for (int seen = Count; seen > 0; seen--)
        {
            int next = _newer[page];
            if (_pool.References(page) > 1)
            {
                Renew(page); // in use, so of recent use
            }
            else if (_children[page] == 0)
            {
                Remove(page);
                return true;
            }
            page = next;
        }
        throw new FlintException(
            FaultSide.Bug, "prefix_tree", $"{_pool.IdlePages} pages are idle and none of {Count} nodes is an idle leaf.");
    }

    /// <summary>Gives up every idle page.</summary>
    public void Clear()
    {
        while (EvictOne())
        {
        }
    }

    private Span<int> TokensOf(int page) => _tokens.AsSpan(page * PageTokens, PageTokens);

    private int Bucket(int parent, PrefixScope scope, ReadOnlySpan<int> tokens)
    {
        // FNV-1a over words; the multiplication carries low bits up, the final shift brings them down.
        ulong hash = (0xCBF29CE484222325 ^ scope.Hash) * 0x100000001B3;
        hash = (hash ^ (uint)parent) * 0x100000001B3;
        foreach (int token in tokens)
            hash = (hash ^ (uint)token) * 0x100000001B3;
        hash ^= hash >> 32;
        return (int)(hash & (ulong)(_buckets.Length - 1));
    }

    private void Remove(int page)
    {
        int bucket = Bucket(_parents[page], _scopes[page], TokensOf(page));
        if (_buckets[bucket] == page)
        {
            _buckets[bucket] = _chains[page];
        }
        else
        {
            int before = _buckets[bucket];
            while (_chains[before] != page)
                before = _chains[before];
            _chains[before] = _chains[page];
        }
        if (_parents[page] != Root)
            _children[_parents[page]]--;
        Unlink(page);
        Count--;
        _pool.Uncache(page);
    }

    private void Renew(int page)
    {
        Unlink(page);
        LinkNewest(page);
    }

    private void LinkNewest(int page)
    {
        int head = _pool.Pages;
        int newest = _older[head];
        _older[page] = newest;
        _newer[page] = head;
        _newer[newest] = page;
        _older[head] = page;
    }

    private void Unlink(int page)
    {
        _newer[_older[page]] = _newer[page];
        _older[_newer[page]] = _older[page];
    }
}
