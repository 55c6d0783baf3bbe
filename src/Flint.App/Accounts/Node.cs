namespace Flint.App.Accounts;

/// <summary>
/// A process that reserves. It holds a lock as long as it lives, so that others know, without a clock and without a lease that a
/// sleeping process could miss, whose reservations nobody will settle any more.
/// </summary>
internal abstract class Node : IDisposable
{
    /// <summary>Its number; none is given twice.</summary>
    public abstract long Id { get; }

    /// <summary>The registered processes that have died, within the transaction that frees what they left.</summary>
    public abstract List<long> Dead(Statements statements);

    /// <summary>Takes note that what a dead process left is freed.</summary>
    public virtual void Forget(long id)
    {
    }

    /// <summary>Lets go of the lock and of nothing else, as the death of the process does.</summary>
    public abstract void Abandon();

    /// <summary>Says that this process reserves no more.</summary>
    public abstract void Dispose();

    /// <summary>Makes a process known, and gives its number.</summary>
    internal static long Insert(Statements statements, long now) =>
        statements.Query("INSERT INTO nodes (started) VALUES ($1) RETURNING id", static row => row.GetInt64(0), now)[0];
}
