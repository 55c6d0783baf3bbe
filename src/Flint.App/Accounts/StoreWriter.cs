using System.Threading.Channels;
using Dapper;
using Microsoft.Data.Sqlite;

namespace Flint.App.Accounts;

/// <summary>
/// One writer for what many requests write at once: while one transaction is under way the next batch gathers, so that its cost is
/// shared. Work that must survive the loss of power waits for the disk after its commit, without holding up the transactions behind it.
/// </summary>
public sealed class StoreWriter : IAsyncDisposable
{
    /// <summary>Most pieces of work waiting; beyond it, requests wait their turn.</summary>
    public const int MaxWaiting = 4096;

    /// <summary>Most pieces of work in one transaction.</summary>
    public const int MaxBatch = 512;

    private readonly Channel<Entry> _waiting = Channel.CreateBounded<Entry>(new BoundedChannelOptions(MaxWaiting) { SingleReader = true });
    private readonly Channel<Entry> _unsynced = Channel.CreateBounded<Entry>(new BoundedChannelOptions(MaxWaiting) { SingleReader = true, SingleWriter = true });
    private readonly Task _writer;
    private readonly Task _syncer;

    /// <summary>Starts a store's writer.</summary>
    public StoreWriter(Store store)
    {
        Store = store;
        _writer = Task.Run(WriteAsync);
        _syncer = Task.Run(SyncAsync);
    }

    /// <summary>The accounts it writes.</summary>
    public Store Store { get; }

    private abstract class Entry(bool durable)
    {
        public bool Durable => durable;

        public Exception? Fault { get; set; }

        public abstract void Run(SqliteConnection connection, SqliteTransaction transaction);

        public abstract void Succeed();

        public abstract void Fail(Exception error);
    }

    private sealed class Entry<T>(Func<SqliteConnection, SqliteTransaction, T> work, bool durable) : Entry(durable)
    {
        private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private T? _result;

        public Task<T> Done => _done.Task;

        public override void Run(SqliteConnection connection, SqliteTransaction transaction) => _result = work(connection, transaction);

        public override void Succeed() => _done.SetResult(_result!);

        public override void Fail(Exception error) => _done.SetException(error);
    }

    /// <summary>Completes with the work's result once it is committed.</summary>
    /// <param name="work">What to do in the transaction. What it throws undoes its own writes and no others'.</param>
    /// <param name="durable">Whether to wait until it survives the loss of power.</param>
    /// <exception cref="FlintException">Machine: it could not be written, and nothing was.</exception>
    public async Task<T> WriteAsync<T>(Func<SqliteConnection, SqliteTransaction, T> work, bool durable)
    {
        var entry = new Entry<T>(work, durable);
        await _waiting.Writer.WriteAsync(entry);
        return await entry.Done;
    }

    /// <summary>Does what is waiting and stops.</summary>
    public async ValueTask DisposeAsync()
    {
        _waiting.Writer.TryComplete();
        await _writer;
        await _syncer;
    }

    private async Task WriteAsync()
    {
        var batch = new List<Entry>(MaxBatch);
        while (await _waiting.Reader.WaitToReadAsync())
        {
            Gather(_waiting.Reader, batch);
            Exception? failure = Commit(batch);
            foreach (Entry entry in batch)
            {
                if ((failure ?? entry.Fault) is { } fault)
                    entry.Fail(Wrap(fault));
                else if (entry.Durable)
                    await _unsynced.Writer.WriteAsync(entry);
                else
                    entry.Succeed();
            }
        }

        _unsynced.Writer.Complete();
    }

    private async Task SyncAsync()
    {
        var batch = new List<Entry>(MaxBatch);
        while (await _unsynced.Reader.WaitToReadAsync())
        {
            Gather(_unsynced.Reader, batch);
            Exception? failure = null;
            try
            {
                Store.Sync();
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                failure = Wrap(error);
            }

            foreach (Entry entry in batch)
            {
                if (failure is null)
                    entry.Succeed();
                else
                    entry.Fail(failure);
            }
        }
    }

    private static void Gather(ChannelReader<Entry> reader, List<Entry> batch)
    {
        batch.Clear();
        while (batch.Count < MaxBatch && reader.TryRead(out Entry? entry))
            batch.Add(entry);
    }

    private Exception? Commit(List<Entry> batch)
    {
        try
        {
            using SqliteConnection connection = Store.Open(synced: false);
            using SqliteTransaction transaction = connection.BeginTransaction(deferred: false);
            foreach (Entry entry in batch)
                Run(entry, connection, transaction);
            transaction.Commit();
            return null;
        }
        catch (Exception error)
        {
            return error;
        }
    }

    // What cannot be stored must not take the others of its batch with it.
    private static void Run(Entry entry, SqliteConnection connection, SqliteTransaction transaction)
    {
        connection.Execute("SAVEPOINT entry", transaction: transaction);
        try
        {
            entry.Run(connection, transaction);
        }
        catch (Exception error)
        {
            entry.Fault = error;
            connection.Execute("ROLLBACK TO entry", transaction: transaction);
        }

        connection.Execute("RELEASE entry", transaction: transaction);
    }

    private FlintException Wrap(Exception error) => error as FlintException
        ?? new FlintException(FaultSide.Machine, "metering_failed", $"The usage of this request could not be recorded in {Store.Path}: {error.Message}", error);
}
