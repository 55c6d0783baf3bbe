using Flint.Models;

namespace Flint.Engine;

/// <summary>
/// The pages whose contents are known by the tokens before and in them, so that a prompt that begins the same way need not
/// be computed again. A node is a page; its parent is the page before it. Pages are full, but for the last ones of sequences
/// that are gone: of those, as of any page, a later sequence copies what its own tokens begin with.
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

    /// <summary>The fewest tokens of a page that are worth a copy of it.</summary>
    public const int LeastTokens = 4;

    private const int NoToken = -1; // where a page is not full

    private readonly KvPool _pool;
    private readonly int[] _tokens; // [page][PageTokens]
    private readonly int[] _parents;
    private readonly PrefixScope[] _scopes;
    private readonly int[] _children; // how many
    private readonly int[] _buckets; // first page of a chain, -1 for none
    private readonly int[] _chains; // next page of the chain
    private readonly int[] _starts; // as _buckets and _chains, by a page's first tokens alone
    private readonly int[] _startChains;
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
        _starts = new int[_buckets.Length];
        Array.Fill(_starts, -1);
        _startChains = new int[pages];
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
        Link(parent, scope, page);
        return page;
    }

    /// <summary>
    /// As <see cref="Insert"/>, of a page that holds fewer tokens, which nobody adds to any more: at least <see cref="LeastTokens"/>.
    /// </summary>
    public void InsertTail(int parent, PrefixScope scope, ReadOnlySpan<int> tokens, int page)
    {
        if (LongestStart(parent, scope, tokens, out _) == tokens.Length)
            return;
        _pool.Cache(page);
        TokensOf(page).Fill(NoToken);
        tokens.CopyTo(TokensOf(page));
        Link(parent, scope, page);
    }

    /// <summary>Of the pages that follow <paramref name="parent"/>, the one that begins with most of <paramref name="tokens"/>.</summary>
    /// <returns>How many it begins with; 0 where fewer than <see cref="LeastTokens"/>, and <paramref name="page"/> is -1.</returns>
    public int LongestStart(int parent, PrefixScope scope, ReadOnlySpan<int> tokens, out int page)
    {
        int longest = 0;
        page = -1;
        if (tokens.Length < LeastTokens)
            return 0;
        for (int other = _starts[StartBucket(parent, scope, tokens)]; other >= 0; other = _startChains[other])
        {
            if (_parents[other] != parent || _scopes[other] != scope)
                continue;
            int common = tokens.CommonPrefixLength(TokensOf(other));
            if (common >= LeastTokens && common > longest)
                (longest, page) = (common, other);
        }
        return longest;
    }

    private void Link(int parent, PrefixScope scope, int page)
    {
        _parents[page] = parent;
        _scopes[page] = scope;
        _children[page] = 0;
        if (parent != Root)
            _children[parent]++;
        Push(_buckets, _chains, Bucket(parent, scope, TokensOf(page)), page);
        Push(_starts, _startChains, StartBucket(parent, scope, TokensOf(page)), page);
        LinkNewest(page);
        Count++;
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

    private int StartBucket(int parent, PrefixScope scope, ReadOnlySpan<int> tokens) => Bucket(parent, scope, tokens[..LeastTokens]);

    private static void Push(int[] buckets, int[] chains, int bucket, int page)
    {
        chains[page] = buckets[bucket];
        buckets[bucket] = page;
    }

    private static void Pull(int[] buckets, int[] chains, int bucket, int page)
    {
        if (buckets[bucket] == page)
        {
            buckets[bucket] = chains[page];
            return;
        }
        int before = buckets[bucket];
        while (chains[before] != page)
            before = chains[before];
        chains[before] = chains[page];
    }

    private void Remove(int page)
    {
        Pull(_buckets, _chains, Bucket(_parents[page], _scopes[page], TokensOf(page)), page);
        Pull(_starts, _startChains, StartBucket(_parents[page], _scopes[page], TokensOf(page)), page);
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
