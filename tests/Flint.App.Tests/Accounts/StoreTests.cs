using System.Data.Common;
using System.Text;
using Dapper;
using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

/// <summary>What is a file's own.</summary>
public sealed class SqliteStoreTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_secret_is_stored_nowhere()
    {
        (Key key, string secret) = new Keys(new Store(_folder.Path), TimeProvider.System).Create("ada");
        foreach (string file in Directory.GetFiles(_folder.Path))
        {
            string content = Encoding.Latin1.GetString(File.ReadAllBytes(file));
            Assert.DoesNotContain(secret, content, StringComparison.Ordinal);
            Assert.DoesNotContain(secret[key.Prefix.Length..], content, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_newer_store_is_refused_and_left_alone()
    {
        Store store = new(_folder.Path);
        using (DbConnection connection = store.Open())
            connection.Execute("PRAGMA user_version = 999");
        FlintException fault = Assert.Throws<FlintException>(() => new Store(_folder.Path));
        Assert.Equal("store_too_new", fault.Code);
        Assert.Contains("999", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_store_is_named()
    {
        File.WriteAllText(_folder.File(SqliteDatabase.FileName), new string('x', 5000));
        FlintException fault = Assert.Throws<FlintException>(() => new Store(_folder.Path));
        Assert.Equal(FaultSide.Machine, fault.Side);
        Assert.Contains(SqliteDatabase.FileName, fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_store_that_cannot_be_read_any_more_is_unavailable()
    {
        var store = new Store(_folder.Path);
        var keys = new Keys(store, TimeProvider.System);
        (_, string secret) = keys.Create("ada");
        using (DbConnection connection = store.Open())
            connection.Execute("ALTER TABLE secrets RENAME TO gone");
        FlintException fault = Assert.Throws<FlintException>(() => keys.Check(secret));
        Assert.Equal((FaultSide.Machine, Store.UnavailableCode), (fault.Side, fault.Code));
        using (DbConnection connection = store.Open())
            connection.Execute("ALTER TABLE gone RENAME TO secrets");
        Assert.Equal(KeyState.Works, keys.Check(secret).State);
    }

    [Fact]
    public void Only_the_owner_may_read_the_store()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("file modes are Unix's");
            return;
        }

        string directory = _folder.File("home");
        _ = new Store(directory);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(directory));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(directory, SqliteDatabase.FileName)));
    }

    [Fact]
    public void The_log_is_written_ahead_and_synced()
    {
        using DbConnection connection = new Store(_folder.Path).Open();
        Assert.Equal("wal", connection.ExecuteScalar<string>("PRAGMA journal_mode"));
        Assert.Equal(2, connection.ExecuteScalar<int>("PRAGMA synchronous"));
    }
}

/// <summary>What is a server's own.</summary>
public sealed class PostgresStoreTests : IDisposable
{
    // Those of processes: two numbers name them.
    private const string Locks = "pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

    private readonly TestStore _accounts = new(StoreKind.Postgres);

    public void Dispose() => _accounts.Dispose();

    [Fact]
    public void An_address_may_be_in_a_file()
    {
        File.WriteAllText(_accounts.File("store.url"), _accounts.Address + "\n");
        (_, string secret) = new Keys(_accounts.Open(), TimeProvider.System).Create("ada");
        var store = new Store(_accounts.Path, Store.FilePrefix + _accounts.File("store.url"));
        Assert.NotNull(new Keys(store, TimeProvider.System).Find(secret));
        Assert.StartsWith("postgres://postgres@", store.Name, StringComparison.Ordinal);
        Assert.False(File.Exists(_accounts.File(SqliteDatabase.FileName)));
    }

    [Fact]
    public void A_newer_store_is_refused_and_left_alone()
    {
        _accounts.Execute("UPDATE schema_version SET version = 999");
        FlintException fault = Assert.Throws<FlintException>(() => _accounts.Open());
        Assert.Equal("store_too_new", fault.Code);
        Assert.Contains("999", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_node_that_is_gone_without_a_word_is_found_out_within_half_a_minute()
    {
        var free = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        free.Start();
        int port = ((System.Net.IPEndPoint)free.LocalEndpoint).Port;
        free.Stop();
        using var server = new PostgresServer(port); // over a socket of Unix nobody is ever gone without a word
        var database = new PostgresDatabase(server.AddressOf(server.CreateDatabase()));
        using DbConnection guard = database.OpenGuard();
        int Seconds(string setting) => (int)TimeSpan.FromMilliseconds(guard.ExecuteScalar<long>($"SELECT setting::bigint * CASE unit WHEN 's' THEN 1000 ELSE 1 END FROM pg_settings WHERE name = '{setting}'")).TotalSeconds;
        int probes = guard.ExecuteScalar<int>("SELECT setting::int FROM pg_settings WHERE name = 'tcp_keepalives_count'");
        Assert.InRange(Seconds("tcp_keepalives_idle") + probes * Seconds("tcp_keepalives_interval"), 5, 29); // where nothing is under way
        Assert.InRange(Seconds("tcp_user_timeout"), 5, 29); // where the server has sent something
    }

    [Fact]
    public async Task A_process_whose_connection_is_cut_takes_its_lock_again_and_keeps_what_it_reserved()
    {
        var time = new FakeTime();
        Store store = _accounts.Open();
        Key key = new Keys(store, time).Create("ada").Key;
        await using var ledger = new Ledger(store);
        await using var reservations = new Reservations(ledger.Writer, time);
        long id = reservations.Node.Id;
        Assert.NotNull((await reservations.ReserveAsync(Demand("a"))).Reservation);
        string before = Holders("pid");

        // Nobody can write while the lock is free: so it looks to others as if nothing had happened.
        using (DbConnection connection = store.Open())
        using (DbTransaction transaction = store.Database.BeginWrite(connection))
        {
            Assert.Equal(1, Cut(connection));
            transaction.Commit();
        }

        await UntilAsync(() => Holders("pid") != before && Holders("objid") == $"{id}");
        Assert.Equal((id, 1), (reservations.Node.Id, Reserved()));

        // Taken for dead, it has a new number, and nothing of what it had reserved.
        using (DbConnection connection = store.Open())
        using (DbTransaction transaction = store.Database.BeginWrite(connection))
        {
            connection.Execute("DELETE FROM reservations; DELETE FROM nodes; DELETE FROM spending");
            Cut(connection);
            transaction.Commit();
        }

        await UntilAsync(() => reservations.Node.Id != id && Holders("objid") == $"{reservations.Node.Id}");
        Assert.NotNull((await reservations.ReserveAsync(Demand("b"))).Reservation);
        Assert.Equal(1, Reserved());

        Demand Demand(string request) => new() { RequestId = request, Key = key, Model = "m", PromptTokens = 1, OutputTokens = 1 };

        int Reserved() => store.Use(statements => statements.Query("SELECT request_id FROM reservations", static row => row.GetString(0)).Count);

        string Holders(string column) => store.Use(statements => string.Join(' ', statements.Query($"SELECT {column}::bigint FROM {Locks}", static row => row.GetInt64(0))));
    }

    [Fact]
    public async Task Connections_that_were_cut_while_they_were_idle_fail_nothing()
    {
        Store store = _accounts.Open();
        var keys = new Keys(store, TimeProvider.System);
        (_, string secret) = keys.Create("ada");
        await using var ledger = new Ledger(store);
        for (int i = 0; i < 5; i++)
        {
            await ledger.RecordAsync(new UsageRecord { RequestId = $"r{i}", Endpoint = "/" });
            Assert.NotNull(keys.Find(secret));
            using DbConnection connection = new PostgresDatabase(_accounts.Address!).OpenGuard();
            Assert.NotEmpty(connection.Query<bool>("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"));
        }

        Assert.NotNull(keys.Find(secret));
        await ledger.RecordAsync(new UsageRecord { RequestId = "last", Endpoint = "/" });
        Assert.Equal((0, 6L), (ledger.Writer.Journal.Count, AuditChain.Verify(store).Head.Count));
    }

    [Theory]
    [InlineData("postgres://flint:p%40ss@db.example:6543/accounts?sslmode=verify-full", "db.example", 6543, "flint", "p@ss", "accounts")]
    [InlineData("postgresql://[::1]/a%2Fb", "::1", 5432, null, null, "a/b")]
    [InlineData("postgres://ada@/accounts?host=/run/postgresql", "/run/postgresql", 5432, "ada", null, "accounts")]
    [InlineData("postgres://a:b@c@/d", "localhost", 5432, "a", "b@c", "d")]
    public void An_address_is_read(string address, string host, int port, string? user, string? password, string database)
    {
        Npgsql.NpgsqlConnectionStringBuilder read = PostgresAddress.Parse(address);
        Assert.Equal((host, port, user, password, database), (read.Host, read.Port, read.Username, read.Password, read.Database));
        Assert.DoesNotContain("@ss", PostgresAddress.NameOf(read), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("mysql://flint:secret@host/db")]
    [InlineData("postgres://flint:secret@host")]
    [InlineData("postgres://flint:secret@host/")]
    [InlineData("postgres://flint:secret@host:x/db")]
    [InlineData("postgres://flint:secret@host:70000/db")]
    [InlineData("postgres://flint:secret@host/db?sslmode=maybe")]
    [InlineData("postgres://flint:secret@host/db?pool=1")]
    public void An_address_that_is_none_is_refused_without_being_repeated(string address)
    {
        FlintException fault = Assert.Throws<FlintException>(() => new Store(_accounts.Path, address));
        Assert.Equal((FaultSide.Caller, "invalid_store"), (fault.Side, fault.Code));
        Assert.DoesNotContain("secret", fault.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_that_is_not_there_is_named_without_its_password()
    {
        FlintException fault = Assert.Throws<FlintException>(() => new Store(_accounts.Path, $"postgres://flint:secret@/db?host={_accounts.Path}"));
        Assert.Equal((FaultSide.Machine, "store_unusable"), (fault.Side, fault.Code));
        Assert.Contains("postgres://flint@", fault.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", fault.ToString(), StringComparison.Ordinal);
    }

    // Ends the connections that hold a process's lock.
    private static int Cut(DbConnection connection) => connection.Query<bool>($"SELECT pg_terminate_backend(pid) FROM {Locks}").Count();

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
            await Task.Delay(5, TestContext.Current.CancellationToken);
    }
}
