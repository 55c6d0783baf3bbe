using System.Data.Common;

namespace Flint.App.Accounts;

/// <summary>A row that a query has found; it is read before the next one is asked for.</summary>
public abstract class Row
{
    /// <summary>Whether a column is null.</summary>
    public abstract bool IsDBNull(int column);

    /// <summary>A whole number.</summary>
    public abstract long GetInt64(int column);

    /// <summary>A text.</summary>
    public abstract string GetString(int column);

    /// <summary>Bytes.</summary>
    public abstract byte[] GetBytes(int column);

    /// <summary>A whole number, or null.</summary>
    public long? Number(int column) => IsDBNull(column) ? null : GetInt64(column);
}

/// <summary>What a statement gives, once it is wanted.</summary>
public sealed class Reply<T>
{
    private readonly Action? _fetch;
    private T _value;
    private bool _isKnown;

    /// <summary>One that is known.</summary>
    internal Reply(T value) => (_value, _isKnown) = (value, true);

    /// <summary>One that <paramref name="fetch"/> brings.</summary>
    internal Reply(T unknown, Action fetch) => (_value, _fetch) = (unknown, fetch);

    /// <summary>The rows, or how many were changed.</summary>
    public T Value
    {
        get
        {
            if (!_isKnown)
                _fetch!();
            return _value;
        }
    }

    internal void Set(T value) => (_value, _isKnown) = (value, true);
}

/// <summary>
/// The statements of one connection, each prepared once however often it runs: preparing takes longer than running them. Values take
/// the places <c>$1</c>, <c>$2</c> and so on. Where the database is a server, statements wait until an answer is wanted, and go
/// together: what they cost is the way there and back.
/// </summary>
public abstract class Statements : IDisposable
{
    private protected Statements(DbConnection connection) => Connection = connection;

    /// <summary>The connection.</summary>
    public DbConnection Connection { get; }

    /// <summary>The transaction that they run in, where it was not begun here.</summary>
    public DbTransaction? Transaction { get; set; }

    /// <summary>Runs a statement.</summary>
    /// <returns>How many rows it changed.</returns>
    public int Execute(string sql, params ReadOnlySpan<object?> values) => Change(sql, values).Value;

    /// <summary>Runs a query.</summary>
    public List<T> Query<T>(string sql, Func<Row, T> read, params ReadOnlySpan<object?> values) => Ask(sql, read, values).Value;

    /// <summary>Runs a statement, at the latest when its answer is wanted, a later one's is, or the transaction is committed.</summary>
    /// <returns>How many rows it changed.</returns>
    public abstract Reply<int> Change(string sql, params ReadOnlySpan<object?> values);

    /// <summary>Runs a query, at the latest when its answer is wanted, a later one's is, or the transaction is committed.</summary>
    public abstract Reply<List<T>> Ask<T>(string sql, Func<Row, T> read, params ReadOnlySpan<object?> values);

    /// <summary>Begins a transaction that writes, as <see cref="Database.BeginWrite"/> does.</summary>
    internal abstract void Begin();

    /// <summary>Commits it. A connection whose transaction failed is closed instead.</summary>
    internal abstract void Commit();

    /// <inheritdoc/>
    public abstract void Dispose();
}
