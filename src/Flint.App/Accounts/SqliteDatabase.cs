using System.Collections.Concurrent;
using System.Data.Common;
using System.Runtime.InteropServices;
using Dapper;
using Microsoft.Data.Sqlite;
using Microsoft.Win32.SafeHandles;

namespace Flint.App.Accounts;

/// <summary>
/// One SQLite file in the data directory, opened in write-ahead-log mode, so that any number of readers (other processes too) work
/// beside the one writer. A committed transaction survives the death of the process and, with <c>synchronous=FULL</c> or from the next
/// <see cref="Sync"/> on, the loss of power; of those that do not survive it, there is none before one that does.
/// </summary>
internal sealed partial class SqliteDatabase : Database
{
    /// <summary>How long a statement waits for another process's write to finish.</summary>
    public const int BusyTimeoutMilliseconds = 10_000;

    /// <summary>
    /// Pages of the log from which on a request's commit moves them into the database itself. Before that <see cref="Tidy"/> does,
    /// which nobody waits for.
    /// </summary>
    public const int MaxLogPages = 16_384;

    /// <summary>How often <see cref="Tidy"/> goes after what was written while it moved pages: a log that has none left begins anew.</summary>
    public const int TidyRounds = 4;

    /// <summary>KiB of pages that the connection that writes has at hand: what tens of thousands of keys have spent, and their limits.</summary>
    public const int CacheKilobytes = 16_384;

    /// <summary>Name of the database inside the data directory.</summary>
    public const string FileName = "accounts.db";

    private readonly string _directory, _path, _connection;
    private readonly ConcurrentBag<Statements> _idle = []; // as many as have read at once

    // The log of the last connection that writes without syncing. While it is open, nobody takes its log away; where a log is gone,
    // whoever closed it last has brought it into the database, and that to the disk, so that syncing it does no harm and no good.
    private volatile SafeFileHandle? _log;

    /// <summary>The database of a data directory.</summary>
    public SqliteDatabase(string directory)
    {
        SQLitePCL.Batteries_V2.Init();
        _directory = directory;
        _path = Path.Combine(directory, FileName);
        // No pool: the one of this library's version is pruned by a timer that may meet connections being opened, which ends the process.
        _connection = new SqliteConnectionStringBuilder { DataSource = _path, Pooling = false, DefaultTimeout = 30 }.ToString();
    }

    /// <inheritdoc/>
    public override string Name => _path;

    /// <inheritdoc/>
    public override bool IsServer => false;

    /// <summary>What <see cref="Sync"/> brings to the disk.</summary>
    internal SafeFileHandle? Log => _log;

    /// <inheritdoc/>
    public override void Create()
    {
        // Key hashes and usage are the owner's business: on Unix nobody else may read them.
        const UnixFileMode owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        if (!OperatingSystem.IsWindows() && !File.Exists(_path))
            using (new FileStream(_path, new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write, Share = FileShare.ReadWrite, UnixCreateMode = owner })) { }
        using DbConnection connection = Open(synced: true);
        connection.Execute("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF"); // steps rebuild tables that others refer to
        Migrations.Run(this, connection);
    }

    /// <inheritdoc/>
    public override DbConnection Open(bool synced)
    {
        var connection = new SqliteConnection(_connection);
        try
        {
            connection.Open();
            connection.Execute($"PRAGMA busy_timeout = {BusyTimeoutMilliseconds}; PRAGMA synchronous = {(synced ? "FULL" : "NORMAL")}; PRAGMA foreign_keys = ON");
            if (synced)
                return connection;
            connection.Execute($"PRAGMA wal_autocheckpoint = {MaxLogPages}; PRAGMA cache_size = -{CacheKilobytes}");
            connection.ExecuteScalar<long>("PRAGMA user_version"); // from the first read on the log is there
            _log = OpenLog();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override DbTransaction BeginWrite(DbConnection connection) => ((SqliteConnection)connection).BeginTransaction(deferred: false);

    /// <inheritdoc/>
    public override DbTransaction BeginRead(DbConnection connection) => ((SqliteConnection)connection).BeginTransaction(deferred: true);

    /// <inheritdoc/>
    public override Statements On(DbConnection connection) => new SqliteStatements((SqliteConnection)connection);

    /// <inheritdoc/>
    public override Statements Take() => _idle.TryTake(out Statements? idle) ? idle : Connect(synced: true);

    /// <inheritdoc/>
    public override void Give(Statements statements) => _idle.Add(statements);

    /// <inheritdoc/>
    public override void Clear()
    {
        while (_idle.TryTake(out Statements? idle))
            Close(idle);
    }

    /// <summary>Brings all that is committed to the disk, while others go on writing: nobody waits for this but who asks for it.</summary>
    public override void Sync()
    {
        if (_log is { } log)
            Sync(log);
    }

    /// <inheritdoc/>
    public override void SyncRead()
    {
        try
        {
            using SafeFileHandle log = OpenLog(); // of its own: the system tells a fault to each handle once, and the writer's must hear of it
            Sync(log);
        }
        catch (FileNotFoundException)
        {
            // All of it is in the database itself.
        }
    }

    /// <summary>Moves all that the log has into the database itself, which is synced then.</summary>
    public override void SyncAnew()
    {
        Statements statements = Connect(synced: true);
        try
        {
            if (!TryMoveLog(statements))
                throw new IOException($"{_path}-wal cannot be moved into the database while others read it");
            _log = OpenLog(); // the one that has failed is not trusted again
        }
        finally
        {
            Close(statements);
        }
    }

    /// <summary>Moves what the log has into the database itself.</summary>
    public override void Tidy()
    {
        try
        {
            Statements statements = Connect(synced: true);
            try
            {
                for (int round = 0; round < TidyRounds && !TryMoveLog(statements); round++) { }
            }
            finally
            {
                Close(statements);
            }
        }
        catch (Exception error) when (IsFault(error))
        {
            // The next time, or a commit, does it.
        }
    }

    /// <inheritdoc/>
    public override long ReadVersion(DbConnection connection, DbTransaction transaction) => connection.ExecuteScalar<long>("PRAGMA user_version", transaction: transaction);

    /// <inheritdoc/>
    public override void WriteVersion(DbConnection connection, DbTransaction transaction, long version) => connection.Execute($"PRAGMA user_version = {version}", transaction: transaction);

    /// <inheritdoc/>
    public override Node Register(Statements statements, long now) => new SqliteNode(_directory, Node.Insert(statements, now));

    /// <inheritdoc/>
    public override bool IsConflict(Exception error) => error is SqliteException { SqliteErrorCode: SQLitePCL.raw.SQLITE_CONSTRAINT };

    private void Sync(SafeFileHandle log)
    {
        if (!OperatingSystem.IsLinux())
            RandomAccess.FlushToDisk(log);
        else if (SyncData(log) != 0) // but not the time of the last write, which costs one more write to the disk
            throw new IOException($"Cannot sync {_path}-wal: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    // Whether nothing is left in it.
    private static bool TryMoveLog(Statements statements)
    {
        (long refused, long pages, long moved) = statements.Query("PRAGMA wal_checkpoint(PASSIVE)", static row => (row.GetInt64(0), row.GetInt64(1), row.GetInt64(2)))[0];
        return refused == 0 && moved == pages;
    }

    private SafeFileHandle OpenLog() => File.OpenHandle(_path + "-wal", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int SyncData(SafeFileHandle file);
}
