using Npgsql;

namespace Flint.App.Accounts;

/// <summary>Statements on a server, which wait for one another and go there together.</summary>
internal sealed class PostgresStatements(NpgsqlConnection connection) : Statements(connection)
{
    private readonly List<Waiting> _waiting = [];
    private bool _isOpen; // a transaction was begun here
    private bool _isBegun; // the server knows of it

    private abstract class Waiting(string sql, object?[] values)
    {
        public NpgsqlBatchCommand Command { get; } = MakeCommand(sql, values);

        public virtual bool HasRows => false;

        public virtual void Take(PostgresRow row)
        {
        }

        public abstract void End();

        private static NpgsqlBatchCommand MakeCommand(string sql, object?[] values)
        {
#pragma warning disable CA2100 // the texts are this assembly's own; what comes from outside is a value
            var command = new NpgsqlBatchCommand(sql);
#pragma warning restore CA2100
            foreach (object? value in values)
                command.Parameters.Add(new NpgsqlParameter { Value = value ?? DBNull.Value }); // known by its place alone
            return command;
        }
    }

    private sealed class WaitingChange : Waiting
    {
        public WaitingChange(PostgresStatements statements, string sql, object?[] values)
            : base(sql, values) => Reply = new Reply<int>(0, statements.Send);

        public Reply<int> Reply { get; }

        public override void End() => Reply.Set(Command.RecordsAffected);
    }

    private sealed class WaitingQuery<T> : Waiting
    {
        private readonly Func<Row, T> _read;
        private readonly List<T> _rows = [];

        public WaitingQuery(PostgresStatements statements, string sql, Func<Row, T> read, object?[] values)
            : base(sql, values)
        {
            _read = read;
            Reply = new Reply<List<T>>(_rows, statements.Send);
        }

        public Reply<List<T>> Reply { get; }

        public override bool HasRows => true;

        public override void Take(PostgresRow row) => _rows.Add(_read(row));

        public override void End() => Reply.Set(_rows);
    }

    private sealed class PostgresRow(NpgsqlDataReader reader) : Row
    {
        public override bool IsDBNull(int column) => reader.IsDBNull(column);

        public override long GetInt64(int column) => reader.GetInt64(column);

        public override string GetString(int column) => reader.GetString(column);

        public override byte[] GetBytes(int column) => reader.GetFieldValue<byte[]>(column);
    }

    /// <inheritdoc/>
    public override Reply<int> Change(string sql, params ReadOnlySpan<object?> values)
    {
        var change = new WaitingChange(this, sql, values.ToArray());
        _waiting.Add(change);
        if (!_isOpen)
            Send(); // nobody may come who sends it
        return change.Reply;
    }

    /// <inheritdoc/>
    public override Reply<List<T>> Ask<T>(string sql, Func<Row, T> read, params ReadOnlySpan<object?> values)
    {
        var query = new WaitingQuery<T>(this, sql, read, values.ToArray());
        _waiting.Add(query);
        return query.Reply;
    }

    /// <inheritdoc/>
    internal override void Begin()
    {
        _isOpen = true;
        _isBegun = false;
        Change(PostgresDatabase.BeginText);
        Ask(PostgresDatabase.LockText, static _ => 0);
    }

    /// <inheritdoc/>
    internal override void Commit()
    {
        if (!_isBegun)
            Send(); // so that a connection that turns out to be cut leaves no doubt whether it was committed
        Change("COMMIT");
        Send();
        _isOpen = false;
    }

    /// <inheritdoc/>
    public override void Dispose() => _waiting.Clear();

    private void Send()
    {
        using var batch = new NpgsqlBatch(connection);
        try
        {
            foreach (Waiting one in _waiting)
                batch.BatchCommands.Add(one.Command);
            using (NpgsqlDataReader reader = batch.ExecuteReader())
            {
                var row = new PostgresRow(reader);
                foreach (Waiting one in _waiting)
                {
                    if (!one.HasRows)
                        continue;
                    while (reader.Read())
                        one.Take(row);
                    reader.NextResult(); // which throws what those without rows have met
                }
            }

            foreach (Waiting one in _waiting)
                one.End();
            _isBegun = true;
        }
        finally
        {
            _waiting.Clear();
        }
    }
}
