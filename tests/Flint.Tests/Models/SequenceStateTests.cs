using Flint.Models;

namespace Flint.Tests.Models;

public sealed unsafe class SequenceStateTests : IDisposable
{
    private readonly KvPool _pool = new(new KvShape(2, 1, 1, 1), 6);

    public void Dispose() => _pool.Dispose();

    [Fact]
    public void ReservesAdvancesKeepsAndFrees()
    {
        var state = new SequenceState(_pool, 100);
        Assert.True(state.TryReserve(33));
        Assert.Equal(2, state.Pages.Length);
        Assert.Equal(0, state.Length);
        state.Advance(33);
        Assert.Equal(0, state.PagesToReserve(31));
        Assert.Equal(1, state.PagesToReserve(32));
        state.Keep(32);
        Assert.Equal(1, state.Pages.Length);
        Assert.Equal(5, _pool.FreePages);
        state.Free();
        Assert.Equal(6, _pool.FreePages);
        Assert.Equal(0, state.Length);
    }

    [Fact]
    public void AShortPoolChangesNothing()
    {
        var big = new SequenceState(_pool, 1000);
        Assert.True(big.TryReserve(5 * 32));
        var small = new SequenceState(_pool, 1000);
        Assert.False(small.TryReserve(33));
        Assert.Equal(0, small.Pages.Length);
        Assert.Equal(1, _pool.FreePages);
        Assert.True(small.TryReserve(32));
    }

    [Fact]
    public void AForkCopiesThePartialPageOnTheFirstWriteOfEitherSide()
    {
        var parent = new SequenceState(_pool, 100);
        Assert.True(parent.TryReserve(40));
        for (int p = 0; p < 40; p++)
            Write(parent, p, p);
        parent.Advance(40);
        SequenceState fork = parent.Fork();
        Assert.Equal(40, fork.Length);
        Assert.True(parent.Pages.SequenceEqual(fork.Pages));
        Assert.Equal(4, _pool.FreePages);

        Assert.Equal(1, fork.PagesToReserve(1));
        Assert.True(fork.TryReserve(1));
        Assert.Equal(parent.Pages[0], fork.Pages[0]);
        Assert.NotEqual(parent.Pages[1], fork.Pages[1]);
        Write(fork, 40, 1000);
        fork.Advance(1);

        // The parent is alone on its page now and writes it in place.
        Assert.Equal(0, parent.PagesToReserve(1));
        Assert.True(parent.TryReserve(1));
        Write(parent, 40, 2000);
        parent.Advance(1);
        for (int p = 0; p < 40; p++)
            Assert.Equal(Read(parent, p), Read(fork, p));
        Assert.Equal(1000f, Read(fork, 40));
        Assert.Equal(2000f, Read(parent, 40));

        parent.Free();
        fork.Free();
        Assert.Equal(6, _pool.FreePages);
    }

    [Fact]
    public void AForkAtAPageBorderCopiesNothingAndLeavesReservedRoomBehind()
    {
        var parent = new SequenceState(_pool, 100);
        Assert.True(parent.TryReserve(64));
        parent.Advance(32);
        SequenceState fork = parent.Fork();
        Assert.Equal(1, fork.Pages.Length);
        Assert.Equal(0, parent.PagesToReserve(1));
        Assert.Equal(1, fork.PagesToReserve(1));
        Assert.True(fork.TryReserve(1));
        Assert.NotEqual(parent.Pages[1], fork.Pages[1]);
    }

    [Fact]
    public void RewindingIntoASharedPageCopiesIt()
    {
        var parent = new SequenceState(_pool, 100);
        Assert.True(parent.TryReserve(32));
        parent.Advance(32);
        var other = new SequenceState(_pool, 100);
        other.Adopt(parent.Pages, 32);
        other.Keep(10);
        Assert.True(other.TryReserve(1));
        Assert.NotEqual(parent.Pages[0], other.Pages[0]);
    }

    [Fact]
    public void PagesAreAdoptedAtABorderAndReplaced()
    {
        var first = new SequenceState(_pool, 100);
        Assert.True(first.TryReserve(64));
        first.Advance(64);
        var second = new SequenceState(_pool, 100);
        second.Adopt(first.Pages[..1], 32);
        second.Adopt(first.Pages[1..], 32);
        Assert.Equal(64, second.Length);
        Assert.True(first.Pages.SequenceEqual(second.Pages));

        var third = new SequenceState(_pool, 100);
        Assert.True(third.TryReserve(32));
        third.Advance(32);
        Assert.Equal(3, _pool.FreePages);
        third.Replace(0, first.Pages[0]);
        Assert.Equal(first.Pages[0], third.Pages[0]);
        Assert.Equal(4, _pool.FreePages);
        Assert.Equal(3, _pool.References(first.Pages[0]));
    }

    [Fact]
    public void MisuseIsABug()
    {
        var state = new SequenceState(_pool, 64);
        Assert.Throws<FlintException>(() => state.TryReserve(65));
        Assert.Throws<FlintException>(() => state.Advance(1));
        Assert.Throws<FlintException>(() => state.Keep(1));
        Assert.True(state.TryReserve(1));
        Assert.Throws<FlintException>(() => state.Adopt([0], 32));
        Assert.Throws<FlintException>(() => state.Replace(0, 0));
        Assert.Throws<FlintException>(() => new SequenceState(_pool, 64).Adopt([0], 33));
    }

    private unsafe void Write(SequenceState state, int position, float value) =>
        ((float*)_pool.Keys(state.Pages[position / 32], 1, 0))[position % 32] = value;

    private unsafe float Read(SequenceState state, int position) => ((float*)_pool.Keys(state.Pages[position / 32], 1, 0))[position % 32];
}
