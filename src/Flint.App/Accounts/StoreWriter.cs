using System.Threading.Channels;

namespace Flint.App.Accounts;

/// <summary>
/// Writes what many requests write at once. Whoever comes while nobody writes, writes in one transaction for all that have come: a
/// request alone wakes no other thread, and many share the cost of a transaction. Work that must survive the loss of power waits for
/// the disk after its commit, in the same manner, without holding up the transactions behind it; work that need not wait for that has
/// the disk asked as soon as it is free. What a server has committed is on its disk.
/// <para>
/// A disk that has failed to take what is committed leaves in doubt what it has: from then on all work fails, and nothing of it is
/// done, until all that is committed has been brought there anew.
/// </para>
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
    private readonly Channel<Entry> _unsynced = Channel.CreateUnbounded<Entry>(); // who waits for the disk: no more than the requests there are
    private readonly List<Entry> _batch = new(MaxBatch); // the writer's
    private readonly List<Entry> _syncing = new(MaxBatch); // the syncer's
    private readonly Lock _disk = new(); // of whoever brings something there
    private readonly Action<string> _log;
    private Statements? _statements; // the writer's
    private int _writes; // 1 while somebody writes
    private int _syncs; // 1 while somebody brings to the disk what is committed
    private int _isBehind; // 1 while something is committed that nobody waits for, and that is not on its way there
    private volatile Exception? _doubt; // what the disk has failed with
    private Task _tidying = Task.CompletedTask; // the writer's
    private int _untidied; // the writer's

    /// <summary>A writer of a store.</summary>
    /// <param name="store">The store.</param>
    /// <param name="log">Told, in a line, when the disk fails and when it takes again what is written; nobody where null.</param>
    public StoreWriter(Store store, Action<string>? log = null)
    {
        Store = store;
        _log = log ?? (static _ => { });
        Journal = new Journal(this);
    }

    /// <summary>The accounts it writes.</summary>
    public Store Store { get; }

    /// <summary>What it could not write and still has to.</summary>
    internal Journal Journal { get; }

    private abstract class Entry(Safety safety)
    {
        private volatile bool _isWritten;

        public Safety Safety => safety;

        public bool IsWritten { get => _isWritten; set => _isWritten = value; }

        public abstract bool IsDone { get; }

        public abstract void Run(Statements store);

        public abstract void Succeed();

        public abstract void Fail(Exception error);
    }

    private sealed class Entry<T>(Func<Statements, T> work, Safety safety) : Entry(safety)
    {
        private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private T? _result;

        public Task<T> Done => _done.Task;

        public override bool IsDone => _done.Task.IsCompleted;

        public override void Run(Statements store) => _result = work(store);

        public override void Succeed() => _done.SetResult(_result!);

        public override void Fail(Exception error) => _done.SetException(error);
    }

    /// <summary>Completes with the work's result once it is as safe as it is to be.</summary>
    /// <param name="work">What to do in the transaction. What it throws undoes its own writes and no others'.</param>
    /// <param name="safety">What it is to survive.</param>
    /// <exception cref="FlintException">Machine: it could not be written. Nothing was, or nobody can say.</exception>
    public async Task<T> WriteAsync<T>(Func<Statements, T> work, Safety safety)
    {
        var entry = new Entry<T>(work, safety);
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
        while (_waiting.Reader.Count > 0 || IsUnsynced || Volatile.Read(ref _writes) + Volatile.Read(ref _syncs) > 0)
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

        if (own is null or { Safety: Safety.Synced })
            Sync(own);
        else if (IsUnsynced && Volatile.Read(ref _syncs) == 0) // who is at it looks again before it leaves
            _ = Task.Run(() => Sync(null));
    }

    private bool IsUnsynced => _unsynced.Reader.Count > 0 || Volatile.Read(ref _isBehind) != 0;

    private void Sync(Entry? own)
    {
        while (IsUnsynced && Interlocked.CompareExchange(ref _syncs, 1, 0) == 0)
        {
            SyncBatch();
            Interlocked.Exchange(ref _syncs, 0);
            if (own is not { IsDone: true })
                continue;
            if (IsUnsynced)
                _ = Task.Run(() => Sync(null));
            break;
        }
    }

    private void WriteBatch()
    {
        Gather(_waiting.Reader, _batch);
        (Exception? fault, bool mayRepeat) = _doubt is not null && Bring() is { } still ? (still, false) : Commit(_batch);
        // What cannot be stored must not take the others of its batch with it: each is then written by itself.
        bool isEach = fault is not null && mayRepeat && _batch.Count > 1;
        foreach (Entry entry in _batch)
        {
            if (isEach)
                (fault, isEach) = Commit([entry]);
            entry.IsWritten = true;
            if (fault is null)
                PassOn(entry);
            else
                entry.Fail(Wrap(fault));
        }

        Tidy(_batch.Count);
    }

    private void PassOn(Entry entry)
    {
        Safety safety = Store.Database.IsServer ? Safety.Committed : entry.Safety; // a server's commit is on its disk
        if (safety == Safety.Syncing)
            Interlocked.Exchange(ref _isBehind, 1);
        if (safety == Safety.Synced)
            _unsynced.Writer.TryWrite(entry);
        else
            entry.Succeed();
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
        Interlocked.Exchange(ref _isBehind, 0); // what is committed from here on has another one
        Gather(_unsynced.Reader, _syncing);
        Exception? fault = Bring();
        foreach (Entry entry in _syncing)
        {
            if (fault is null)
                entry.Succeed();
            else
                entry.Fail(Wrap(fault));
        }
    }

    // Brings to the disk what is committed, and gives what it failed with.
    private Exception? Bring()
    {
        lock (_disk)
        {
            bool wasInDoubt = _doubt is not null;
            _doubt = TryBring(anew: wasInDoubt);
            if (_doubt is { } fault && !wasInDoubt)
                _log($"{Store.Name} cannot be brought to the disk, and requests are refused until it is there: {Store.Database.Explain(fault)}");
            else if (_doubt is null && wasInDoubt)
                _log($"{Store.Name} is on the disk, and requests are taken again.");
            return _doubt;
        }
    }

    private Exception? TryBring(bool anew)
    {
        try
        {
            if (anew)
                Store.Database.SyncAnew();
            else
                Store.Database.Sync();
            return null;
        }
        catch (Exception error)
        {
            return error;
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
