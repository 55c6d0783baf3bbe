using System.Data.Common;
using Npgsql;

namespace Flint.App.Accounts;

/// <summary>
/// A process that reserves in a server's database: what it holds is a lock of a connection of its own, which the server lets go with
/// it. Where the connection is cut while the process lives, it connects again and takes the lock of its number, or a new number where
/// others have taken it for dead; what it had under way then is settled only as far as the budgets have room for it.
/// </summary>
internal sealed class PostgresNode : Node
{
    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(500);

    private readonly PostgresDatabase _database;
    private readonly CancellationTokenSource _end = new();
    private readonly Task _watch;
    private NpgsqlConnection _guard;
    private long _id;

    /// <summary>Takes the lock.</summary>
    public PostgresNode(PostgresDatabase database, long id)
    {
        _database = database;
        _id = id;
        _guard = database.OpenGuard();
        if (!PostgresDatabase.TryLock(_guard, id))
        {
            _guard.Dispose();
            throw new FlintException(FaultSide.Bug, "node_exists", $"The lock of the new node {id} is taken in {database.Name}.");
        }

        _watch = Task.Run(WatchAsync);
    }

    /// <inheritdoc/>
    public override long Id => Volatile.Read(ref _id);

    /// <inheritdoc/>
    public override List<long> Dead(Statements statements) => PostgresDatabase.Dead(statements, Id);

    /// <inheritdoc/>
    public override void Abandon() => Dispose();

    /// <inheritdoc/>
    public override void Dispose()
    {
        _end.Cancel();
        _watch.GetAwaiter().GetResult();
        try
        {
            PostgresDatabase.Unlock(_guard, Id); // a server takes its time to find out that a connection is closed
        }
        catch (Exception error) when (_database.IsFault(error) || error is InvalidOperationException)
        {
            // It is cut: the server lets go of the lock with it.
        }

        _guard.Dispose();
    }

    private async Task WatchAsync()
    {
        while (!_end.IsCancellationRequested)
        {
            try
            {
                while (true)
                    await _guard.WaitAsync(_end.Token); // nothing ever comes; a cut connection throws
            }
            catch (Exception) when (!_end.IsCancellationRequested)
            {
                while (!_end.IsCancellationRequested && !TryReturn())
                    await Task.Delay(RetryDelay, _end.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception)
            {
                return; // it ends
            }
        }
    }

    // Among the writers, so that nobody frees what this process had set aside while it takes its lock again.
    private bool TryReturn()
    {
        _guard.Dispose();
        try
        {
            _guard = _database.OpenGuard();
            using DbTransaction transaction = _database.BeginWrite(_guard);
            using Statements statements = _database.On(_guard);
            long id = Id;
            if (statements.Query("SELECT id FROM nodes WHERE id = $1", static row => row.GetInt64(0), id).Count == 0)
                id = Insert(statements, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
            if (!PostgresDatabase.TryLock(_guard, id))
                return false; // the server has not yet found out that the connection before this one is cut
            transaction.Commit();
            Volatile.Write(ref _id, id);
            return true;
        }
        catch (Exception error) when (_database.IsFault(error) || error is InvalidOperationException)
        {
            return false;
        }
    }
}
