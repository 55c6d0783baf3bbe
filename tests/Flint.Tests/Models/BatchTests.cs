using Flint.Models;

namespace Flint.Tests.Models;

public sealed class BatchTests : IDisposable
{
    private readonly KvPool _pool = new(new KvShape(1, 1, 1, 1), 6);

    public void Dispose() => _pool.Dispose();

    [Fact]
    public void RowsAndLogitRowsKeepTheirOrder()
    {
        var batch = new Batch(4, 2, 2);
        SequenceState a = State(2), b = State(1);
        int first = batch.AddSequence(a);
        batch.Add(first, 7, 0, wantLogits: false);
        batch.Add(first, 8, 1, wantLogits: true);
        int second = batch.AddSequence(b);
        batch.Add(second, 9, 0, wantLogits: true);

        Assert.Equal([7, 8, 9], batch.Tokens.ToArray());
        Assert.Equal([0, 1, 0], batch.Positions.ToArray());
        Assert.Equal([0, 0, 1], batch.RowSequences.ToArray());
        Assert.Equal([1, 2], batch.LogitRowIndices.ToArray());
        Assert.Equal(2, batch.RowCount(first));
        Assert.Equal(2, batch.FirstRow(second));
        Assert.Same(b, batch.State(second));

        batch.Clear();
        Assert.Equal(0, batch.Rows + batch.Sequences + batch.LogitRows);
    }

    [Fact]
    public void FillingPastTheRoomOrOutOfOrderIsABug()
    {
        var batch = new Batch(2, 2, 1);
        SequenceState a = State(3), b = State(1);
        int first = batch.AddSequence(a);
        Assert.Throws<FlintException>(() => batch.AddSequence(a));
        Assert.Throws<FlintException>(() => batch.Add(first, 1, 1, false));
        batch.Add(first, 1, 0, true);
        Assert.Throws<FlintException>(() => batch.Add(first, 1, 1, true));
        batch.AddSequence(b);
        Assert.Throws<FlintException>(() => batch.Add(first, 1, 1, false));
        batch.Add(1, 1, 0, false);
        Assert.Throws<FlintException>(() => batch.Add(1, 1, 1, false));
        Assert.Throws<FlintException>(() => batch.AddSequence(State(1)));
    }

    [Fact]
    public void HiddenRowsStandBehindLogitRows()
    {
        var batch = new Batch(4, 2, 1);
        int first = batch.AddSequence(State(2));
        batch.Add(first, 7, 0, wantLogits: true);
        Assert.Throws<FlintException>(() => batch.Add(first, 8, 1, wantLogits: true, wantHidden: true));
        int second = batch.AddSequence(State(3));
        batch.Add(second, 9, 0, wantLogits: false, wantHidden: true);
        batch.Add(second, 9, 1, wantLogits: false);
        Assert.Throws<FlintException>(() => batch.Add(second, 9, 2, wantLogits: true));
        batch.Add(second, 9, 2, wantLogits: false, wantHidden: true);
        Assert.Equal([0], batch.LogitRowIndices.ToArray());
        Assert.Equal([1, 3], batch.HiddenRowIndices.ToArray());
        Assert.Equal([0, 1, 3], batch.OutputRowIndices.ToArray());
        batch.Clear();
        Assert.Equal(0, batch.HiddenRows);
    }

    [Fact]
    public void ARowNeedsAPageOfItsOwn()
    {
        var batch = new Batch(2, 2, 1);
        var empty = new SequenceState(_pool, 10);
        int index = batch.AddSequence(empty);
        Assert.Throws<FlintException>(() => batch.Add(index, 1, 0, false));

        SequenceState parent = State(3);
        parent.Advance(3);
        SequenceState fork = parent.Fork();
        index = batch.AddSequence(fork);
        Assert.Throws<FlintException>(() => batch.Add(index, 1, 3, false));
        Assert.True(fork.TryReserve(1));
        batch.Add(index, 1, 3, false);
    }

    private SequenceState State(int reserved)
    {
        var state = new SequenceState(_pool, 10);
        Assert.True(state.TryReserve(reserved));
        return state;
    }
}
