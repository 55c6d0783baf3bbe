using Flint.Engine;
using Flint.Models;

namespace Flint.Tests.Engine;

public sealed class PrefixTreeTests : IDisposable
{
    private readonly KvPool _pool = new(new KvShape(1, 1, 1, 1), 8);
    private readonly PrefixTree _tree;

    public PrefixTreeTests() => _tree = new PrefixTree(_pool);

    public void Dispose() => _pool.Dispose();

    [Fact]
    public void PagesAreFoundByParentSaltAndTokens()
    {
        int a = _pool.Rent(), b = _pool.Rent();
        Assert.Equal(a, _tree.Insert(PrefixTree.Root, Scope(7), Page(1), a));
        Assert.Equal(b, _tree.Insert(a, Scope(7), Page(2), b));
        Assert.Equal(a, _tree.Find(PrefixTree.Root, Scope(7), Page(1)));
        Assert.Equal(b, _tree.Find(a, Scope(7), Page(2)));
        Assert.Equal(-1, _tree.Find(PrefixTree.Root, Scope(8), Page(1)));
        Assert.Equal(-1, _tree.Find(PrefixTree.Root, Scope(7), Page(2)));
        Assert.Equal(-1, _tree.Find(b, Scope(7), Page(2)));
        Assert.Equal(2, _pool.References(a));
        Assert.Equal(2, _tree.Count);
    }

    [Fact]
    public void APageKnownAlreadyStays()
    {
        int a = _pool.Rent(), twin = _pool.Rent();
        _tree.Insert(PrefixTree.Root, Scope(0), Page(1), a);
        Assert.Equal(a, _tree.Insert(PrefixTree.Root, Scope(0), Page(1), twin));
        Assert.Equal(1, _pool.References(twin));
        Assert.Equal(1, _tree.Count);
    }

    [Fact]
    public void LeavesGoFirstLeastRecentlyUsedFirstAndNeverWhatIsHeld()
    {
        // root - a - b - c, a - d, e
        int a = Add(PrefixTree.Root, 1), b = Add(a, 2), c = Add(b, 3), d = Add(a, 4), e = Add(PrefixTree.Root, 5);
        Assert.False(_tree.EvictOne()); // all are held
        _tree.Touch([a, b, c]);
        Release(a, b, c);
        _tree.Touch([e]);
        Release(e);
        _pool.Retain(a); // d's holder holds a too
        Assert.Equal(3, _pool.IdlePages);
        Assert.Equal([c, b, e], Evict(3));
        Assert.False(_tree.EvictOne());
        Release(d);
        Release(a);
        _tree.Touch([a, d]);
        Assert.Equal([d, a], Evict(2));
        Assert.Equal(8, _pool.FreePages);
        Assert.Equal(0, _tree.Count);
        Assert.Equal(-1, _tree.Find(PrefixTree.Root, Scope(0), Page(1)));
    }

    [Fact]
    public void FillingAndEmptyingAtRandomKeepsWhatIsFoundTrue()
    {
        var random = new Random(3);
        var known = new Dictionary<(int Parent, int Content), int>();
        var parents = new Dictionary<int, (int Parent, int Content)>();
        for (int step = 0; step < 5000; step++)
        {
            if (_pool.FreePages == 0 || random.Next(3) == 0)
            {
                int[] before = [.. parents.Keys];
                Assert.Equal(before.Length > 0, _tree.EvictOne());
                foreach (int gone in before.Where(p => !_pool.IsCached(p)))
                {
                    known.Remove(parents[gone]);
                    parents.Remove(gone);
                    Assert.DoesNotContain(parents.Values, v => v.Parent == gone);
                }
                continue;
            }
            int parent = random.Next(2) == 0 || parents.Count == 0 ? PrefixTree.Root : parents.Keys.ElementAt(random.Next(parents.Count));
            int content = random.Next(4);
            int page = _pool.Rent();
            int stored = _tree.Insert(parent, Scope(0), Page(content), page);
            Assert.Equal(known.GetValueOrDefault((parent, content), page), stored);
            _pool.Release(page);
            known[(parent, content)] = stored;
            parents[stored] = (parent, content);
            foreach (((int p, int c), int at) in known)
                Assert.Equal(at, _tree.Find(p, Scope(0), Page(c)));
        }
        _tree.Clear();
        Assert.Equal(8, _pool.FreePages);
    }

    [Fact]
    public void TheLongestBeginningIsFoundAmongFullPagesAndTails()
    {
        int a = Add(PrefixTree.Root, 1), b = Add(a, 2), tail = _pool.Rent(), other = _pool.Rent();
        _tree.InsertTail(a, Scope(0), [.. Page(2)[..10], 7, 7], tail);
        Assert.Equal(10, _tree.LongestStart(a, Scope(0), [.. Page(2)[..10], 9, 9], out _));
        Assert.Equal((12, tail), (_tree.LongestStart(a, Scope(0), [.. Page(2)[..10], 7, 7, 7], out int page), page));
        Assert.Equal((11, b), (_tree.LongestStart(a, Scope(0), [.. Page(2)[..11], 7], out page), page));
        Assert.Equal((0, -1), (_tree.LongestStart(a, Scope(0), Page(2).AsSpan(0, 3), out page), page));
        Assert.Equal((0, -1), (_tree.LongestStart(a, Scope(0), [.. Page(2)[..3], 7, 7], out page), page));
        Assert.Equal((0, -1), (_tree.LongestStart(b, Scope(0), Page(2), out page), page));
        Assert.Equal((0, -1), (_tree.LongestStart(a, Scope(1), Page(2), out page), page));
        Assert.Equal(-1, _tree.Find(a, Scope(0), [.. Page(2)[..10], 7, 7]));

        _tree.InsertTail(a, Scope(0), Page(2).AsSpan(0, 20), other); // known: a full page begins with it
        Assert.False(_pool.IsCached(other));
        Release(other, tail, b, a);
        Assert.Equal(3, _pool.IdlePages);
        _tree.Clear();
        Assert.Equal(0, _tree.LongestStart(a, Scope(0), Page(2), out _));
        Assert.Equal(8, _pool.FreePages);
    }

    private static PrefixScope Scope(ulong salt) => new(null, salt);

    private static int[] Page(int content) => [.. Enumerable.Range(content * 100, KvPool.PageTokens)];

    private int Add(int parent, int content)
    {
        int page = _pool.Rent();
        return _tree.Insert(parent, Scope(0), Page(content), page);
    }

    private void Release(params int[] pages)
    {
        foreach (int page in pages)
            _pool.Release(page);
    }

    private int[] Evict(int count)
    {
        var gone = new List<int>();
        for (int i = 0; i < count; i++)
        {
            int[] before = [.. Enumerable.Range(0, 8).Where(_pool.IsCached)];
            Assert.True(_tree.EvictOne());
            gone.Add(before.Single(p => !_pool.IsCached(p)));
        }
        return [.. gone];
    }
}
