using System.Collections.Concurrent;
using System.Data.Common;
using Dapper;
using Microsoft.Data.Sqlite;

namespace Flint.App.Accounts;

/// <summary>
/// One SQLite file in the data directory, opened in write-ahead-log mode, so that any number of readers (other processes too) work
/// beside the one writer. A committed transaction survives the death of the process and, with <c>synchronous=FULL</c>, the loss of power.
/// </summary>
internal sealed class SqliteDatabase : Database
{
    /// <summary>How long a statement waits for another process's write to finish.</summary>
    public const int BusyTimeoutMilliseconds = 10_000;

    /// <summary>Name of the database inside the data directory.</summary>
    public const string FileName = "accounts.db";

    private readonly string _directory, _path, _connection;
    private readonly ConcurrentBag<Statements> _idle = []; // as many as have read at once

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
    public override DbParameter Parameter(int place) => new SqliteParameter { ParameterName = $"${place}" };

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
        try
        {
            using Microsoft.Win32.SafeHandles.SafeFileHandle log = File.OpenHandle(_path + "-wal", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            RandomAccess.FlushToDisk(log);
        }
        catch (FileNotFoundException)
        {
            // Whoever closed the log last has brought it into the database, and that to the disk.
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
}
