using Flint.Kernels;
using Flint.Models;

namespace Flint.Tests.Models;

public sealed class KvPoolTests
{
    private static readonly KvShape Shape = new(Layers: 3, KvHeads: 2, HeadLength: 4, ValueLength: 6);

    [Fact]
    public void PageBytesCountKeysAndValuesOfEveryLayer()
    {
        Assert.Equal(3L * 2 * (4 + 6) * 32 * 4, KvPool.PageBytes(Shape));
        Assert.Equal(3L * 2 * (4 + 6) * 32 * 2, KvPool.PageBytes(Shape with { Format = KvFormat.F16 }));
        Assert.Equal(3L * 2 * ((4 + 6) * 32 + 2 * 128), KvPool.PageBytes(Shape with { Format = KvFormat.Q8 }));
        Assert.Equal(9L * (1 << 10), KvPool.PageBytes(new KvShape(1, 1, 128, 128, KvFormat.Q8)));
        Assert.Equal(0, KvPool.PagesFor(0));
        Assert.Equal(1, KvPool.PagesFor(32));
        Assert.Equal(2, KvPool.PagesFor(33));
    }

    [Theory]
    [InlineData(KvFormat.F32, 4, 6)]
    [InlineData(KvFormat.F16, 4, 7)]
    [InlineData(KvFormat.Q8, 33, 5)]
    public unsafe void BlocksAreAlignedDisjointAndTileThePool(KvFormat format, int headLength, int valueLength)
    {
        KvShape shape = Shape with { Format = format, HeadLength = headLength, ValueLength = valueLength };
        using var pool = new KvPool(shape, 5);
        var blocks = new List<(long Start, long Length)>();
        for (int page = 0; page < 5; page++)
        {
            for (int layer = 0; layer < 3; layer++)
            {
                for (int head = 0; head < 2; head++)
                {
                    blocks.Add(((long)pool.Keys(page, layer, head), KvPages.Bytes(format, headLength)));
                    blocks.Add(((long)pool.Values(page, layer, head), KvPages.Bytes(format, valueLength)));
                }
            }
        }
        Assert.All(blocks, b => Assert.Equal(0, b.Start % 64));
        blocks.Sort();
        for (int i = 1; i < blocks.Count; i++)
            Assert.Equal(blocks[i - 1].Start + blocks[i - 1].Length, blocks[i].Start);
        Assert.Equal(5 * KvPool.PageBytes(shape), blocks[^1].Start + blocks[^1].Length - blocks[0].Start);
    }

    [Fact]
    public void ReferencesAreCountedAndMisuseIsABug()
    {
        using var pool = new KvPool(Shape, 2);
        int a = pool.Rent();
        int b = pool.Rent();
        Assert.NotEqual(a, b);
        Assert.Equal(0, pool.FreePages);
        Assert.Equal("kv_pool_empty", Assert.Throws<FlintException>(() => pool.Rent()).Code);
        pool.Retain(a);
        Assert.Equal(2, pool.References(a));
        pool.Release(a);
        Assert.Equal(0, pool.FreePages);
        pool.Release(a);
        Assert.Equal(1, pool.FreePages);
        FlintException fault = Assert.Throws<FlintException>(() => pool.Release(a));
        Assert.Equal(FaultSide.Bug, fault.Side);
        Assert.Throws<FlintException>(() => pool.Retain(a));
        Assert.Equal(1, pool.FreePages);
        Assert.Equal(a, pool.Rent());
    }

    [Fact]
    public void TheCachesReferenceIsCountedApart()
    {
        using var pool = new KvPool(Shape, 2);
        int page = pool.Rent();
        pool.Cache(page);
        Assert.Equal(2, pool.References(page));
        Assert.Equal(0, pool.IdlePages);
        Assert.Throws<FlintException>(() => pool.Cache(page));
        Assert.Throws<FlintException>(() => pool.Uncache(page));
        pool.Release(page);
        Assert.Equal(1, pool.IdlePages);
        Assert.Throws<FlintException>(() => pool.Release(page));
        pool.Retain(page);
        Assert.Equal(0, pool.IdlePages);
        pool.Release(page);
        pool.Uncache(page);
        Assert.Equal(0, pool.IdlePages);
        Assert.Equal(2, pool.FreePages);
    }

    [Fact]
    public void SizesOutsideTheLimitsAreRefused()
    {
        Assert.Throws<FlintException>(() => new KvPool(Shape, 0));
        Assert.Throws<FlintException>(() => new KvPool(Shape, KvPool.MaxPages + 1));
        Assert.Throws<FlintException>(() => new KvPool(Shape with { Layers = 0 }, 1));
    }
}
