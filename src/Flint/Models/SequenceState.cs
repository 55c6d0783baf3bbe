namespace Flint.Models;

/// <summary>The keys and values of one sequence: a list of pages, some perhaps shared, and how many tokens they hold.</summary>
/// <remarks>
/// Position <c>p</c> lies in <c>Pages[p / KvPool.PageTokens]</c>, slot <c>p % KvPool.PageTokens</c>. Only a page nobody else holds is
/// written: <see cref="TryReserve"/> copies a shared, partly filled last page before tokens are added to it.
/// Confined to the engine's owner thread, as the pool is. Nothing is allocated after construction.
/// </remarks>
public sealed class SequenceState
{
    private readonly int[] _pages;
    private int _pageCount;

    /// <summary>An empty state that may grow to <paramref name="maxTokens"/> tokens.</summary>
    public SequenceState(KvPool pool, int maxTokens)
    {
        if (maxTokens < 1)
            throw new FlintException(FaultSide.Bug, "sequence_state_size", $"A sequence holds at least 1 token; {maxTokens} were asked for.");
        Pool = pool;
        MaxTokens = maxTokens;
        _pages = new int[KvPool.PagesFor(maxTokens)];
    }

    /// <summary>Where the pages come from.</summary>
    public KvPool Pool { get; }

    /// <summary>The most tokens this state may hold.</summary>
    public int MaxTokens { get; }

    /// <summary>Tokens stored.</summary>
    public int Length { get; private set; }

    /// <summary>The pages in order of position; those past <see cref="Length"/> are reserved and not yet written.</summary>
    public ReadOnlySpan<int> Pages => _pages.AsSpan(0, _pageCount);

    /// <summary>Pages <see cref="TryReserve"/> would take from the pool now, the copy of a shared last page counted.</summary>
    public int PagesToReserve(int tokens)
    {
        if (tokens < 0 || tokens > MaxTokens - Length)
            throw Bug($"A sequence of {Length} tokens, at most {MaxTokens}, cannot reserve {tokens} more.");
        if (tokens == 0)
            return 0;
        return Math.Max(0, KvPool.PagesFor(Length + tokens) - _pageCount) + (LastPageIsShared ? 1 : 0);
    }

    /// <summary>
    /// Makes room for <paramref name="tokens"/> more tokens, and makes the page the next token falls in this state's own.
    /// False where the pool is short; then nothing has changed.
    /// </summary>
    public bool TryReserve(int tokens)
    {
        if (PagesToReserve(tokens) > Pool.FreePages)
            return false;
        if (tokens == 0)
            return true;
        if (LastPageIsShared)
        {
            int index = Length / KvPool.PageTokens;
            int copy = Pool.Rent();
            Pool.Copy(_pages[index], copy);
            Pool.Release(_pages[index]);
            _pages[index] = copy;
        }
        int needed = KvPool.PagesFor(Length + tokens);
        while (_pageCount < needed)
            _pages[_pageCount++] = Pool.Rent();
        return true;
    }

    /// <summary>
    /// Goes on from pages that hold the next <paramref name="tokens"/> tokens already, and retains them. The state is empty or
    /// ends on a page border, with no room reserved.
    /// </summary>
    public void Adopt(ReadOnlySpan<int> pages, int tokens)
    {
        if (Length != _pageCount * KvPool.PageTokens)
            throw Bug($"A state of {Length} tokens in {_pageCount} pages does not end on a page border and cannot adopt pages.");
        if (tokens < 0 || tokens > MaxTokens - Length || KvPool.PagesFor(tokens) != pages.Length)
            throw Bug($"{pages.Length} pages cannot be adopted as {tokens} tokens after {Length} of at most {MaxTokens}.");
        for (int i = 0; i < pages.Length; i++)
        {
            Pool.Retain(pages[i]);
            _pages[_pageCount++] = pages[i];
        }
        Length += tokens;
    }

    /// <summary>Exchanges a full page for another that holds the same tokens' same bits.</summary>
    public void Replace(int index, int page)
    {
        if (index < 0 || index >= Length / KvPool.PageTokens)
            throw Bug($"Page {index} of a sequence of {Length} tokens is not full.");
        Pool.Retain(page);
        Pool.Release(_pages[index]);
        _pages[index] = page;
    }

    /// <summary>Tokens that a forward pass has stored in reserved room; only the forward calls this.</summary>
    public void Advance(int tokens)
    {
        if (tokens < 0 || Length + tokens > _pageCount * KvPool.PageTokens || tokens > MaxTokens - Length)
            throw Bug($"A sequence of {Length} tokens in {_pageCount} pages cannot advance by {tokens}.");
        Length += tokens;
    }

    /// <summary>Drops the tokens at positions <paramref name="n"/> and above and releases the pages that leaves unused.</summary>
    public void Keep(int n)
    {
        if (n < 0 || n > Length)
            throw Bug($"A sequence of {Length} tokens cannot keep {n}.");
        int needed = KvPool.PagesFor(n);
        while (_pageCount > needed)
            Pool.Release(_pages[--_pageCount]);
        Length = n;
    }

    /// <summary>Another state with the same tokens, sharing every page. Room reserved ahead stays with this one.</summary>
    public SequenceState Fork()
    {
        var fork = new SequenceState(Pool, MaxTokens);
        ForkTo(fork);
        return fork;
    }

    /// <summary>As <see cref="Fork"/>, into an empty state made beforehand, so that nothing is allocated.</summary>
    public void ForkTo(SequenceState fork) => fork.Adopt(_pages.AsSpan(0, KvPool.PagesFor(Length)), Length);

    /// <summary>Releases every page. The state is empty and may be used again.</summary>
    public void Free() => Keep(0);

    private bool LastPageIsShared
    {
        get
        {
            int index = Length / KvPool.PageTokens;
            return Length % KvPool.PageTokens != 0 && Pool.References(_pages[index]) > 1;
        }
    }

    private static FlintException Bug(string message) => new(FaultSide.Bug, "sequence_state", message);
}
