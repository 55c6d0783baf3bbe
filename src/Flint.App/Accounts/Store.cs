using System.Data.Common;
using System.Net.Sockets;

namespace Flint.App.Accounts;

/// <summary>The accounts database: an SQLite file in the data directory, or a database of a PostgreSQL server that several nodes share.</summary>
public sealed class Store
{
    /// <summary>Before the name of a file that holds an address.</summary>
    public const string FilePrefix = "file:";

    /// <summary>The code of the fault that the database cannot be used now.</summary>
    public const string UnavailableCode = "store_unavailable";

    /// <summary>Opens accounts, creating them where absent and migrating older ones.</summary>
    /// <param name="directory">The data directory.</param>
    /// <param name="address">
    /// The address of a PostgreSQL database, <c>postgres://USER:PASSWORD@HOST:PORT/DATABASE</c>, or <c>file:PATH</c> of a file that
    /// holds one; null for the file of the data directory.
    /// </param>
    /// <exception cref="FlintException">Caller: the address cannot be understood. Machine: the directory or the database cannot be used, or a newer Flint wrote it.</exception>
    public Store(string directory, string? address = null)
    {
        Directory = Path.GetFullPath(directory);
        string name = Directory;
        try
        {
            CreatePrivately();
            if (address?.StartsWith(FilePrefix, StringComparison.Ordinal) == true)
                address = File.ReadAllText(address[FilePrefix.Length..]).Trim();
            Database = address is null ? new SqliteDatabase(Directory) : new PostgresDatabase(address);
            name = Database.Name;
            Database.Create();
        }
        catch (Exception error) when (error is DbException or IOException or UnauthorizedAccessException or SocketException or TimeoutException)
        {
            throw new FlintException(FaultSide.Machine, "store_unusable", $"Cannot open the accounts in {name}: {Database?.Explain(error) ?? error.Message}", error);
        }
    }

    /// <summary>The data directory, absolute.</summary>
    public string Directory { get; }

    /// <summary>The database, as messages name it: never with a password.</summary>
    public string Name => Database.Name;

    /// <summary>The database.</summary>
    internal Database Database { get; }

    /// <summary>Checks the form of the address of a PostgreSQL database.</summary>
    /// <exception cref="FlintException">Caller: it cannot be understood.</exception>
    public static void CheckAddress(string address) => PostgresAddress.Parse(address);

    /// <summary>A connection, ready for use; the caller disposes it.</summary>
    public DbConnection Open() => Database.Open(synced: true);

    /// <summary>
    /// Does on a connection that may have been idle what may be done twice: where such a one turns out to be cut, it is done again on
    /// a new one. The statements stay prepared.
    /// </summary>
    /// <exception cref="FlintException">Machine: the database cannot be used now.</exception>
    internal T Use<T>(Func<Statements, T> work)
    {
        for (bool isFirst = true; ; isFirst = false)
        {
            Statements? statements = null;
            try
            {
                statements = Database.Take();
                T result = work(statements);
                Database.Give(statements);
                return result;
            }
            catch (Exception error)
            {
                if (statements is not null)
                    Database.Close(statements);
                if (!Database.IsFault(error))
                    throw;
                Database.Clear();
                if (!isFirst || statements is null || !Database.IsServer)
                    throw new FlintException(FaultSide.Machine, UnavailableCode, $"The accounts in {Name} cannot be used: {Database.Explain(error)}", error);
            }
        }
    }

    // Key hashes and usage are the owner's business: on Unix nobody else may read them.
    private void CreatePrivately()
    {
        if (OperatingSystem.IsWindows())
            System.IO.Directory.CreateDirectory(Directory);
        else
            System.IO.Directory.CreateDirectory(Directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }
}
