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

    /// <summary>Opens the accounts of a data directory, creating both where absent and migrating an older file.</summary>
    /// <param name="directory">The data directory.</param>
    /// <exception cref="FlintException">The directory or the file cannot be used, or a newer Flint wrote it.</exception>
    public Store(string directory)
    {
        SQLitePCL.Batteries_V2.Init();
        Directory = System.IO.Path.GetFullPath(directory);
        Path = System.IO.Path.Combine(Directory, FileName);
        _connection = new SqliteConnectionStringBuilder { DataSource = Path, Pooling = true, DefaultTimeout = 30 }.ToString();
        try
        {
            CreatePrivately();
            using SqliteConnection connection = Open();
            connection.Execute("PRAGMA journal_mode = WAL");
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

    /// <summary>A connection from the pool, ready for use; the caller disposes it.</summary>
    public SqliteConnection Open()
    {
        var connection = new SqliteConnection(_connection);
        try
        {
            connection.Open();
            connection.Execute($"PRAGMA busy_timeout = {BusyTimeoutMilliseconds}; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
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
