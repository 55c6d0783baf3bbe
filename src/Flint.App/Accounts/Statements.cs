using System.Data.Common;

namespace Flint.App.Accounts;

/// <summary>
/// The statements of one connection, each prepared once however often it runs: preparing takes longer than running them. Values take
/// the places <c>$1</c>, <c>$2</c> and so on.
/// </summary>
public sealed class Statements : IDisposable
{
    private readonly Database _database;
    private readonly Dictionary<string, DbCommand> _commands = [];

    /// <summary>The statements of a connection.</summary>
    internal Statements(DbConnection connection, Database database)
    {
        Connection = connection;
        _database = database;
    }

    /// <summary>The connection.</summary>
    public DbConnection Connection { get; }

    /// <summary>The transaction that they run in.</summary>
    public DbTransaction? Transaction { get; set; }

    /// <summary>Runs a statement.</summary>
    /// <returns>How many rows it changed.</returns>
    public int Execute(string sql, params ReadOnlySpan<object?> values) => Command(sql, values).ExecuteNonQuery();

    /// <summary>Runs a query.</summary>
    public List<T> Query<T>(string sql, Func<DbDataReader, T> read, params ReadOnlySpan<object?> values)
    {
        using DbDataReader reader = Command(sql, values).ExecuteReader();
        var rows = new List<T>();
        while (reader.Read())
            rows.Add(read(reader));
        return rows;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (DbCommand command in _commands.Values)
            command.Dispose();
    }

    private DbCommand Command(string sql, ReadOnlySpan<object?> values)
    {
        if (!_commands.TryGetValue(sql, out DbCommand? command))
        {
            command = Connection.CreateCommand();
#pragma warning disable CA2100 // the texts are this assembly's own; what comes from outside is a value
            command.CommandText = sql;
#pragma warning restore CA2100
            for (int place = 1; place <= values.Length; place++)
                command.Parameters.Add(_database.Parameter(place));
            _commands.Add(sql, command);
        }

        command.Transaction = Transaction;
        for (int i = 0; i < values.Length; i++)
            command.Parameters[i].Value = values[i] ?? DBNull.Value;
        return command;
    }
}
