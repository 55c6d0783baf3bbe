using System.Collections.Concurrent;
using Dapper;
using Microsoft.Data.Sqlite;

namespace Flint.App.Accounts;

/// <summary>
/// The accounts database: one SQLite file in the data directory, opened in write-ahead-log mode, so that any number of
/// readers (other processes too) work beside the one writer. A committed transaction survives the death of the process
/// and, with <c>synchronous=FULL</c>, the loss of power.
/// </summary>
public sealed class Store
{
    /// <summary>How long a statement waits for another process's write to finish.</summary>
    public const int BusyTimeoutMilliseconds = 10_000;

    /// <summary>Name of the database inside the data directory.</summary>
    public const string FileName = "accounts.db";

    private readonly string _connection;
    private readonly ConcurrentBag<Statements> _readers = []; // as many as have read at once

    /// <summary>Opens the accounts of a data directory, creating both where absent and migrating an older file.</summary>
    /// <param name="directory">The data directory.</param>
    /// <exception cref="FlintException">The directory or the file cannot be used, or a newer Flint wrote it.</exception>
    public Store(string directory)
    {
        SQLitePCL.Batteries_V2.Init();
        Directory = System.IO.Path.GetFullPath(directory);
        Path = System.IO.Path.Combine(Directory, FileName);
        _connection = ConnectionTo(Path);
        try
        {
            CreatePrivately();
            using SqliteConnection connection = Open();
            connection.Execute("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF"); // steps rebuild tables that others refer to
            Migrations.Run(connection, Path);
        }
        catch (Exception error) when (error is SqliteException or IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "store_unusable", $"Cannot open the accounts in {Path}: {error.Message}", error);
        }
    }

    /// <summary>The data directory, absolute.</summary>
    public string Directory { get; }

    /// <summary>The database file.</summary>
    public string Path { get; }

    /// <summary>The connection string of a database; it names the pool as well.</summary>
    // No pool: the one of this library's version is pruned by a timer that may meet connections being opened, which ends the process.
    internal static string ConnectionTo(string path) => new SqliteConnectionStringBuilder { DataSource = path, Pooling = false, DefaultTimeout = 30 }.ToString();

    /// <summary>A connection from the pool, ready for use; the caller disposes it.</summary>
    /// <param name="synced">
    /// Whether a commit is on the disk when it returns. One that is not is seen by every process at once and outlives this one; the
    /// loss of power can undo it until <see cref="Sync"/>.
    /// </param>
    public SqliteConnection Open(bool synced = true)
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

    /// <summary>Reads with statements that stay prepared, for what every request asks.</summary>
    internal T Read<T>(Func<Statements, T> read)
    {
        Statements reader = _readers.TryTake(out Statements? idle) ? idle : new Statements(Open());
        try
        {
            T result = read(reader);
            _readers.Add(reader);
            return result;
        }
        catch
        {
            reader.Dispose();
            reader.Connection.Dispose();
            throw;
        }
    }

    /// <summary>Brings all that is committed to the disk, while others go on writing: nobody waits for this but who asks for it.</summary>
    public void Sync()
    {
        try
        {
            using Microsoft.Win32.SafeHandles.SafeFileHandle log = File.OpenHandle(Path + "-wal", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            RandomAccess.FlushToDisk(log);
        }
        catch (FileNotFoundException)
        {
            // Whoever closed the log last has brought it into the database, and that to the disk.
        }
    }

    // Key hashes and usage are the owner's business: on Unix nobody else may read them.
    private void CreatePrivately()
    {
        if (OperatingSystem.IsWindows())
        {
            System.IO.Directory.CreateDirectory(Directory);
            return;
        }

        const UnixFileMode owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        System.IO.Directory.CreateDirectory(Directory, owner | UnixFileMode.UserExecute);
        if (!File.Exists(Path))
            using (new FileStream(Path, new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write, Share = FileShare.ReadWrite, UnixCreateMode = owner })) { }
    }
}
