using System.Data.Common;
using System.Net.Sockets;

namespace Flint.App.Accounts;

/// <summary>What differs between the databases that hold accounts. A statement that is in neither of them serves both.</summary>
internal abstract class Database
{
    /// <summary>The database as messages name it: a path, or an address without its password.</summary>
    public abstract string Name { get; }

    /// <summary>Whether it is a server, which may end, or lose what it did not bring to its disk, while this process lives.</summary>
    public abstract bool IsServer { get; }

    /// <summary>Makes it where it is absent, and brings it to the present shape.</summary>
    public abstract void Create();

    /// <summary>A connection, ready for use; the caller disposes it.</summary>
    /// <param name="synced">Whether a commit is on the disk when it returns; else it may be so from <see cref="Sync"/> on only.</param>
    public abstract DbConnection Open(bool synced);

    /// <summary>
    /// A transaction that writes. Of all of them, in all processes, there is one at a time: what it reads nobody changes until it
    /// ends, records have one order, and there are no deadlocks.
    /// </summary>
    public abstract DbTransaction BeginWrite(DbConnection connection);

    /// <summary>A transaction that reads one state, whatever is written meanwhile.</summary>
    public abstract DbTransaction BeginRead(DbConnection connection);

    /// <summary>Statements on a connection.</summary>
    public abstract Statements On(DbConnection connection);

    /// <summary>A connection for a short use, one that has been idle where there is one.</summary>
    public abstract Statements Take();

    /// <summary>Takes back what <see cref="Take"/> gave, where nothing went wrong with it.</summary>
    public abstract void Give(Statements statements);

    /// <summary>Lets go of all idle connections.</summary>
    public abstract void Clear();

    /// <summary>Brings all that is committed to the disk.</summary>
    public abstract void Sync();

    /// <summary>
    /// Brings all that is committed to the disk after <see cref="Sync"/> has failed. A system may count as written what it could not
    /// write, so that the same once more would say nothing: it is written anew.
    /// </summary>
    public virtual void SyncAnew() => Sync();

    /// <summary>Brings to the disk what was read, whoever wrote it.</summary>
    /// <exception cref="IOException">It cannot be brought there.</exception>
    public virtual void SyncRead()
    {
    }

    /// <summary>Puts in order what many transactions have left, beside those that go on; what is amiss is left to the next time.</summary>
    public virtual void Tidy()
    {
    }

    /// <summary>How many steps of <see cref="Migrations"/> it has.</summary>
    public abstract long ReadVersion(DbConnection connection, DbTransaction transaction);

    /// <summary>Notes how many steps it has.</summary>
    public abstract void WriteVersion(DbConnection connection, DbTransaction transaction, long version);

    /// <summary>Makes this process known as one that reserves, within the transaction that frees what dead ones left.</summary>
    public abstract Node Register(Statements statements, long now);

    /// <summary>Whether it refused what was to be written, as it would another time: a name is taken, an owner is not there.</summary>
    public abstract bool IsConflict(Exception error);

    /// <summary>Whether something is wrong with the database or the way to it, which may pass.</summary>
    public bool IsFault(Exception error) => error is DbException or IOException or SocketException or TimeoutException && !IsConflict(error);

    /// <summary>What went wrong, in a line.</summary>
    public virtual string Explain(Exception error) => error.Message;

    /// <summary>Statements on a connection of their own.</summary>
    public Statements Connect(bool synced) => On(Open(synced));

    /// <summary>Closes statements and their connection.</summary>
    public static void Close(Statements statements)
    {
        statements.Dispose();
        statements.Connection.Dispose();
    }
}
