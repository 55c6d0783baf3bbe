using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Flint.App.Accounts;

/// <summary>Statements on a file, which run at once, without what an <see cref="SqliteCommand"/> does around each.</summary>
internal sealed class SqliteStatements(SqliteConnection connection) : Statements(connection)
{
    private readonly Dictionary<string, Prepared> _prepared = [];

    private sealed class Prepared(sqlite3_stmt statement) : Row
    {
        private readonly List<int> _places = []; // of $1, $2 and so on

        public sqlite3_stmt Statement => statement;

        public void Bind(ReadOnlySpan<object?> values)
        {
            for (int i = 0; i < values.Length; i++)
            {
                if (_places.Count == i)
                    _places.Add(raw.sqlite3_bind_parameter_index(statement, $"${i + 1}"));
                Bind(_places[i], values[i]);
            }
        }

        public override bool IsDBNull(int column) => raw.sqlite3_column_type(statement, column) == raw.SQLITE_NULL;

        public override long GetInt64(int column) => raw.sqlite3_column_int64(statement, column);

        public override string GetString(int column) => raw.sqlite3_column_text(statement, column).utf8_to_string();

        public override byte[] GetBytes(int column) => raw.sqlite3_column_blob(statement, column).ToArray();

        private int Bind(int place, object? value) => value switch
        {
            null => raw.sqlite3_bind_null(statement, place),
            long number => raw.sqlite3_bind_int64(statement, place, number),
            int number => raw.sqlite3_bind_int64(statement, place, number),
            double number => raw.sqlite3_bind_double(statement, place, number),
            string text => raw.sqlite3_bind_text(statement, place, text),
            byte[] bytes => raw.sqlite3_bind_blob(statement, place, bytes),
            _ => throw new FlintException(FaultSide.Bug, "no_such_value", $"A statement takes no {value.GetType()}."),
        };
    }

    /// <inheritdoc/>
    public override Reply<int> Change(string sql, params ReadOnlySpan<object?> values)
    {
        Run(sql, static (_, _) => { }, 0, values);
        return new Reply<int>(raw.sqlite3_changes(connection.Handle!));
    }

    /// <inheritdoc/>
    public override Reply<List<T>> Ask<T>(string sql, Func<Row, T> read, params ReadOnlySpan<object?> values)
    {
        var rows = new List<T>();
        Run(sql, static (row, into) => into.rows.Add(into.read(row)), (rows, read), values);
        return new Reply<List<T>>(rows);
    }

    /// <inheritdoc/>
    internal override void Begin() => Change("BEGIN IMMEDIATE");

    /// <inheritdoc/>
    internal override void Commit() => Change("COMMIT");

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (Prepared prepared in _prepared.Values)
            prepared.Statement.Dispose();
        _prepared.Clear();
    }

    private void Run<T>(string sql, Action<Row, T> take, T state, ReadOnlySpan<object?> values)
    {
        if (!_prepared.TryGetValue(sql, out Prepared? prepared))
        {
            Check(raw.sqlite3_prepare_v2(connection.Handle!, sql, out sqlite3_stmt statement));
            _prepared.Add(sql, prepared = new Prepared(statement));
        }

        prepared.Bind(values);
        try
        {
            int result;
            while ((result = raw.sqlite3_step(prepared.Statement)) == raw.SQLITE_ROW)
                take(prepared, state);
            Check(result);
        }
        finally
        {
            raw.sqlite3_reset(prepared.Statement);
        }
    }

    private void Check(int result) => SqliteException.ThrowExceptionForRC(result, connection.Handle);
}
