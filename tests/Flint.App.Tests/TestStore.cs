using System.Data.Common;
using Dapper;
using Flint.App.Accounts;

namespace Flint.App.Tests;

/// <summary>The databases that accounts can live in.</summary>
public enum StoreKind
{
    /// <summary>A file.</summary>
    Sqlite,

    /// <summary>A server's.</summary>
    Postgres,
}

/// <summary>Accounts that are gone after the test; skips it, visibly, where their database is absent.</summary>
internal sealed class TestStore : IDisposable
{
    private readonly PostgresServer? _server;
    private readonly string? _database;
    private readonly TemporaryFolder _folder;

    internal TestStore(StoreKind kind, PostgresServer? server = null)
    {
        _server = kind == StoreKind.Postgres ? server ?? PostgresServer.Shared : null;
        _database = _server?.CreateDatabase();
        Address = _database is null ? null : _server!.AddressOf(_database);
        _folder = new TemporaryFolder();
    }

    /// <summary>The data directory.</summary>
    internal string Path => _folder.Path;

    /// <summary>The address; null for the file of the data directory.</summary>
    internal string? Address { get; }

    /// <summary>What names it on a command line.</summary>
    internal string[] Options => Address is null ? ["--data", Path] : ["--data", Path, "--store", Address];

    public void Dispose()
    {
        if (_database is not null)
        {
            new PostgresDatabase(Address!).Clear();
            _server!.DropDatabase(_database);
        }

        _folder.Dispose();
    }

    internal string File(string name) => _folder.File(name);

    /// <summary>The accounts, as one more process sees them.</summary>
    internal Store Open() => new(Path, Address);

    internal void Execute(string sql, object? values = null)
    {
        using DbConnection connection = Open().Open();
        connection.Execute(sql, values);
    }
}
