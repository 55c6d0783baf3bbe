namespace Flint.App.Accounts;

/// <summary>
/// A process that reserves. It holds the lock of a file as long as it lives, so that others know, without a clock and without a
/// lease that a sleeping process could miss, whose reservations nobody will settle any more.
/// </summary>
internal sealed class Node : IDisposable
{
    private readonly Store _store;

    private Node(Store store, long id, FileStream alive)
    {
        _store = store;
        Id = id;
        Lock = alive;
    }

    /// <summary>Its number; none is given twice.</summary>
    public long Id { get; }

    /// <summary>The file whose lock says that it lives.</summary>
    internal FileStream Lock { get; }

    /// <summary>Registers this process, within the transaction that makes it known.</summary>
    public static Node Register(Store store, Statements statements, long now)
    {
        statements.Execute("INSERT INTO nodes (started) VALUES (?1)", now);
        long id = statements.Query("SELECT last_insert_rowid()", static row => row.GetInt64(0))[0];
        return new Node(store, id, Open(store, id, FileMode.Create));
    }

    /// <summary>The registered processes that have died.</summary>
    public static List<long> Dead(Store store, Statements statements) =>
        [.. statements.Query("SELECT id FROM nodes", static row => row.GetInt64(0)).Where(id => !IsAlive(store, id))];

    /// <summary>Removes the file of a process that has died.</summary>
    public static void DeleteLock(Store store, long id) => File.Delete(PathOf(store, id));

    /// <summary>Says that this process reserves no more.</summary>
    public void Dispose()
    {
        Lock.Dispose();
        DeleteLock(_store, Id);
    }

    private static bool IsAlive(Store store, long id)
    {
        try
        {
            Open(store, id, FileMode.Open).Dispose();
            return false;
        }
        catch (FileNotFoundException)
        {
            return false;
        }
        catch (Exception held) when (held is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }

    private static FileStream Open(Store store, long id, FileMode mode) => new(PathOf(store, id), mode, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);

    private static string PathOf(Store store, long id) => Path.Combine(store.Directory, $"node-{id}.lock");
}
