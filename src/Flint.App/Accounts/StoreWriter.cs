using System.Threading.Channels;

namespace Flint.App.Accounts;

/// <summary>
/// Writes what many requests write at once. Whoever comes while nobody writes, writes in one transaction for all that have come: a
/// request alone wakes no other thread, and many share the cost of a transaction. Work that must survive the loss of power waits for
/// the disk after its commit, in the same manner, without holding up the transactions behind it.
/// </summary>
public sealed class StoreWriter : IAsyncDisposable
{
    /// <summary>Most pieces of work waiting; beyond it, requests wait their turn.</summary>
    public const int MaxWaiting = 4096;

    /// <summary>Most pieces of work in one transaction.</summary>
    public const int MaxBatch = 512;

    /// <summary>Pieces of work until what they have left is tidied up.</summary>
    public const int TidyAfter = 512;

    /// <summary>The code of the fault that something could not be written.</summary>
    public const string FailedCode = "metering_failed";

    private readonly Channel<Entry> _waiting = Channel.CreateBounded<Entry>(MaxWaiting);
    private readonly Channel<Entry> _unsynced = Channel.CreateUnbounded<Entry>(); // no more than the requests there are
    private readonly List<Entry> _batch = new(MaxBatch); // the writer's
    private readonly List<Entry> _syncing = new(MaxBatch); // the syncer's
    private Statements? _statements; // the writer's
    private int _writes; // 1 while somebody writes
    private int _syncs; // 1 while somebody waits for the disk
    private Task _tidying = Task.CompletedTask; // the writer's
    private int _untidied; // the writer's

    /// <summary>A writer of a store.</summary>
    public StoreWriter(Store store)
    {
        Store = store;
        Journal = new Journal(this);
    }

    /// <summary>The accounts it writes.</summary>
    public Store Store { get; }

    /// <summary>What it could not write and still has to.</summary>
    internal Journal Journal { get; }

    private abstract class Entry(bool durable)
    {
        private volatile bool _isWritten;

        public bool IsDurable => durable;

        public bool IsWritten { get => _isWritten; set => _isWritten = value; }

        public abstract bool IsDone { get; }

        public abstract void Run(Statements store);

        public abstract void Succeed();

        public abstract void Fail(Exception error);
    }

    private sealed class Entry<T>(Func<Statements, T> work, bool durable) : Entry(durable)
    {
        private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private T? _result;

        public Task<T> Done => _done.Task;

        public override bool IsDone => _done.Task.IsCompleted;

        public override void Run(Statements store) => _result = work(store);

        public override void Succeed() => _done.SetResult(_result!);

        public override void Fail(Exception error) => _done.SetException(error);
    }

    /// <summary>Completes with the work's result once it is committed.</summary>
    /// <param name="work">What to do in the transaction. What it throws undoes its own writes and no others'.</param>
    /// <param name="durable">Whether to wait until it survives the loss of power.</param>
    /// <exception cref="FlintException">Machine: it could not be written, and nothing was.</exception>
    public async Task<T> WriteAsync<T>(Func<Statements, T> work, bool durable)
    {
        var entry = new Entry<T>(work, durable);
        await _waiting.Writer.WriteAsync(entry);
        Write(entry);
        return await entry.Done;
    }

    /// <summary>
    /// Reads on the connection that writes, where nobody writes at this moment: what it wrote it has at hand, and other connections
    /// read it anew after every commit.
    /// </summary>
    /// <returns>Whether it could be read so; else it is read on another connection.</returns>
    internal bool TryRead<T>(Func<Statements, T> work, out T? result)
    {
        result = default;
        if (Store.Database.IsServer || Interlocked.CompareExchange(ref _writes, 1, 0) != 0)
            return false;
        bool isRead = false;
        try
        {
            if (_statements is not null)
            {
                result = work(_statements);
                isRead = true;
            }
        }
        catch (Exception error) when (Store.Database.IsFault(error))
        {
            Disconnect();
        }
        finally
        {
            Interlocked.Exchange(ref _writes, 0);
            if (_waiting.Reader.Count > 0)
                _ = Task.Run(() => Write(null)); // who came meanwhile found the place taken
        }

        return isRead;
    }

    /// <summary>Whether what could not be written can be written some time later.</summary>
    internal bool MayPass(FlintException unwritten) => unwritten.Code == FailedCode && unwritten.InnerException is { } cause && !Store.Database.IsConflict(cause);

    /// <summary>Does what is waiting and stops.</summary>
    public async ValueTask DisposeAsync()
    {
        await Journal.DisposeAsync();
        _waiting.Writer.TryComplete();
        Write(null);
        while (_waiting.Reader.Count + _unsynced.Reader.Count + Volatile.Read(ref _writes) + Volatile.Read(ref _syncs) > 0)
            await Task.Delay(1);
        await _tidying;
        Disconnect();
    }

    // Who leaves the place looks again for what came meanwhile, and who comes looks for the place after coming: nothing is left lying.
    private void Write(Entry? own)
    {
        while (_waiting.Reader.Count > 0 && Interlocked.CompareExchange(ref _writes, 1, 0) == 0)
        {
            WriteBatch();
            Interlocked.Exchange(ref _writes, 0);
            if (own is not { IsWritten: true })
                continue;
            if (_waiting.Reader.Count > 0)
                _ = Task.Run(() => Write(null)); // the others' work is not this request's to wait for
            break;
        }

        if (own is null or { IsDurable: true })
            Sync(own);
        else if (_unsynced.Reader.Count > 0)
            _ = Task.Run(() => Sync(null));
    }

    private void Sync(Entry? own)
    {
        while (_unsynced.Reader.Count > 0 && Interlocked.CompareExchange(ref _syncs, 1, 0) == 0)
        {
            SyncBatch();
            Interlocked.Exchange(ref _syncs, 0);
            if (own is not { IsDone: true })
                continue;
            if (_unsynced.Reader.Count > 0)
                _ = Task.Run(() => Sync(null));
            break;
        }
    }

    private void WriteBatch()
    {
        Gather(_waiting.Reader, _batch);
        (Exception? fault, bool mayRepeat) = Commit(_batch);
        // What cannot be stored must not take the others of its batch with it: each is then written by itself.
        bool isEach = fault is not null && mayRepeat && _batch.Count > 1;
        foreach (Entry entry in _batch)
        {
            if (isEach)
                (fault, isEach) = Commit([entry]);
            entry.IsWritten = true;
            if (fault is not null)
                entry.Fail(Wrap(fault));
            else if (entry.IsDurable)
                _unsynced.Writer.TryWrite(entry);
            else
                entry.Succeed();
        }

        Tidy(_batch.Count);
    }

    // No request waits for it.
    private void Tidy(int written)
    {
        _untidied += written;
        if (_untidied < TidyAfter || !_tidying.IsCompleted)
            return;
        _untidied = 0;
        _tidying = Task.Run(Store.Database.Tidy);
    }

    private void SyncBatch()
    {
        Gather(_unsynced.Reader, _syncing);
        Exception? failure = null;
        try
        {
            Store.Database.Sync();
        }
        catch (Exception error)
        {
            failure = Wrap(error);
        }

        foreach (Entry entry in _syncing)
        {
            if (failure is null)
                entry.Succeed();
            else
                entry.Fail(failure);
        }
    }

    private static void Gather(ChannelReader<Entry> reader, List<Entry> batch)
    {
        batch.Clear();
        while (batch.Count < MaxBatch && reader.TryRead(out Entry? entry))
            batch.Add(entry);
    }

    // A server may have ended and begun again since the last batch: what it did not commit for sure is done once more on a new connection.
    // What comes back besides a fault is whether the store is there, and has for sure not committed what failed.
    private (Exception? Fault, bool MayRepeat) Commit(List<Entry> batch)
    {
        for (bool isFirst = _statements is not null && Store.Database.IsServer; ; isFirst = false)
        {
            bool isThere = false, isCommitting = false;
            try
            {
                _statements ??= Store.Database.Connect(synced: false);
                _statements.Begin();
                isThere = true;
                foreach (Entry entry in batch)
                    entry.Run(_statements);
                isCommitting = true;
                _statements.Commit();
                return (null, true);
            }
            catch (Exception error)
            {
                Disconnect(); // what is wrong with the store may pass; the connection that met it is not trusted again
                if (!isFirst || isCommitting)
                    return (error, isThere && (!isCommitting || Store.Database.IsConflict(error)));
                Store.Database.Clear();
            }
        }
    }

    private void Disconnect()
    {
        if (_statements is { } statements)
            Database.Close(statements);
        _statements = null;
    }

    private FlintException Wrap(Exception error) => error as FlintException
        ?? new FlintException(FaultSide.Machine, FailedCode, $"The usage of this request could not be recorded in {Store.Name}: {Store.Database.Explain(error)}", error);
}
