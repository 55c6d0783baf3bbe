using System.Data;
using System.Data.Common;
using Dapper;
using Npgsql;

namespace Flint.App.Accounts;

/// <summary>
/// A database of a PostgreSQL server, which several machines may use at once. Writing transactions take a lock that all of them know,
/// so that what is sound with the one writer of a file is sound here; each is on the server's disk when its commit returns.
/// </summary>
internal sealed class PostgresDatabase : Database
{
    /// <summary>Most connections of a process, the one that writes among them; one more says that the process lives.</summary>
    public const int MaxConnections = 20;

    /// <summary>Seconds to wait for a connection.</summary>
    public const int ConnectSeconds = 5;

    /// <summary>Seconds to wait for an answer.</summary>
    public const int CommandSeconds = 15;

    // The names of the locks, "Flint" in ASCII: numbers of 64 bits name one kind, pairs of 32 bits another.
    private const long WriterLock = 0x466C696E74;
    private const int NodeLock = 0x466C696E;

    // Who sleeps amid a transaction holds up all the others: the server ends it. No wait for another's write is longer than that.
    private const string SessionOptions = "-c lock_timeout=10000 -c idle_in_transaction_session_timeout=10000";

    // A machine that is gone without a word is found out by its connection within half a minute: by probes, and where the server has
    // sent something meanwhile, for which it would wait a quarter of an hour without probing, by the time it may wait.
    private const string GuardOptions = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=25000";

    private readonly string _connection, _guard;

    /// <summary>The database of an address.</summary>
    public PostgresDatabase(string address)
    {
        NpgsqlConnectionStringBuilder settings = PostgresAddress.Parse(address);
        Name = PostgresAddress.NameOf(settings);
        settings.ApplicationName = "flint";
        settings.GssEncryptionMode = GssEncryptionMode.Disable;
        settings.Enlist = false;
        settings.Timeout = ConnectSeconds;
        settings.CommandTimeout = CommandSeconds;
        settings.MaxPoolSize = MaxConnections;
        settings.NoResetOnClose = true; // no connection is left otherwise than it was
        settings.MaxAutoPrepare = 64;
        settings.AutoPrepareMinUsages = 2;
        settings.Options = SessionOptions;
        _connection = settings.ToString();
        settings.Pooling = false;
        settings.KeepAlive = 5;
        settings.Options = $"{SessionOptions} {GuardOptions}";
        _guard = settings.ToString();
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override bool IsServer => true;

    /// <inheritdoc/>
    public override void Create()
    {
        using DbConnection connection = Open(synced: true);
        Migrations.Run(this, connection);
    }

    /// <summary>A connection from the pool. All are synced.</summary>
    public override DbConnection Open(bool synced) => Open(_connection);

    /// <summary>A connection that lasts, and finds out when it is cut.</summary>
    public NpgsqlConnection OpenGuard() => Open(_guard);

    /// <inheritdoc/>
    public override DbTransaction BeginWrite(DbConnection connection)
    {
        DbTransaction transaction = connection.BeginTransaction(IsolationLevel.ReadCommitted); // each statement sees what was committed before it
        try
        {
            connection.Execute($"SELECT pg_advisory_xact_lock({WriterLock})", transaction: transaction);
            return transaction;
        }
        catch
        {
            transaction.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override DbTransaction BeginRead(DbConnection connection) => connection.BeginTransaction(IsolationLevel.RepeatableRead);

    /// <inheritdoc/>
    public override DbParameter Parameter(int place) => new NpgsqlParameter(); // known by its place alone

    /// <inheritdoc/>
    public override Statements Take() => Connect(synced: true);

    /// <inheritdoc/>
    public override void Give(Statements statements) => Close(statements); // into the pool

    /// <inheritdoc/>
    public override void Clear()
    {
        using var any = new NpgsqlConnection(_connection);
        NpgsqlConnection.ClearPool(any);
    }

    /// <inheritdoc/>
    public override void Sync()
    {
        // A commit has done it.
    }

    /// <inheritdoc/>
    public override long ReadVersion(DbConnection connection, DbTransaction transaction)
    {
        if (connection.ExecuteScalar<bool>("SELECT to_regclass('schema_version') IS NULL", transaction: transaction))
            connection.Execute("CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (0)", transaction: transaction);
        return connection.ExecuteScalar<long>("SELECT version FROM schema_version", transaction: transaction);
    }

    /// <inheritdoc/>
    public override void WriteVersion(DbConnection connection, DbTransaction transaction, long version) =>
        connection.Execute("UPDATE schema_version SET version = @version", new { version }, transaction);

    /// <inheritdoc/>
    public override Node Register(Statements statements, long now) => new PostgresNode(this, Node.Insert(statements, now));

    /// <inheritdoc/>
    public override bool IsConflict(Exception error) => error is PostgresException { SqlState: ['2', '2' or '3', ..] }; // what data are, and what they must agree with

    /// <inheritdoc/>
    public override string Explain(Exception error) => error is PostgresException told ? $"{told.MessageText} ({told.SqlState})" : error.Message;

    /// <summary>Takes the lock that says that a process lives, for as long as the connection does.</summary>
    /// <returns>Whether nobody had it.</returns>
    public static bool TryLock(DbConnection connection, long node) => connection.ExecuteScalar<bool>($"SELECT pg_try_advisory_lock({NodeLock}, @node)", new { node = checked((int)node) });

    /// <summary>The registered processes whose lock nobody has; until the transaction ends, none of them can take it.</summary>
    public static List<long> Dead(Statements statements, long own) => statements.Query(
        $"SELECT id FROM (SELECT id FROM nodes WHERE id <> $1 ORDER BY id OFFSET 0) AS others WHERE pg_try_advisory_xact_lock({NodeLock}, id::int)",
        static row => row.GetInt64(0), own);

    private static NpgsqlConnection Open(string settings)
    {
        var connection = new NpgsqlConnection(settings);
        try
        {
            connection.Open();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }
}
