using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Dapper;
using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

/// <summary>A store that any earlier Flint wrote opens, with all that was in it.</summary>
public sealed class MigrationTests : IDisposable
{
    private const string Secret = Keys.SecretPrefix + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

    private const long Moment = 1_795_437_296_000;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<int> Earlier => [.. Enumerable.Range(1, Migrations.Latest - 1)];

    [Theory]
    [MemberData(nameof(Earlier))]
    public async Task Keys_still_work_and_records_still_verify(int version)
    {
        AuditHead? noted = WriteEarlier(version);
        var store = new Store(_folder.Path);
        var keys = new Keys(store, TimeProvider.System);

        Key key = keys.Find(Secret)!;
        Assert.Equal((1L, "ada", Secret[..16], 5L, "default", "default"), (key.Id, key.Name, key.Prefix, key.Created, key.Project, key.Organization));
        Assert.Equal(KeyScopes.All, key.Scopes);
        Assert.Equal((2, 9L), (keys.List().Count, keys.List()[1].Revoked));
        Assert.Equal("key_name_taken", Assert.Throws<FlintException>(() => keys.Create("ada")).Code);

        AssertSpent(store, isSpent: version >= 3);
        AuditResult verified = AuditChain.Verify(store, noted);
        Assert.Equal((3L, null), (verified.Head.Count, verified.Fault));
        IReadOnlyList<UsageEntry> records = Ledger.Records(store, new UsageFilter());
        Assert.Equal([("r3", null, null), ("r2", "bob", "default"), ("r1", "ada", "default")], records.Select(r => (r.Record.RequestId, r.Key, r.Project)));
        Assert.Equal((1, 11L, 2.5), (records[2].Record.Form, records[2].Record.OutputTokens, records[2].Record.TotalMs));

        // The chain goes on over old records and new ones.
        await using (var ledger = new Ledger(store))
            await ledger.RecordAsync(new UsageRecord { RequestId = "r4", Endpoint = "/v1/completions", KeyId = key.Id, ProjectId = key.ProjectId, OrganizationId = key.OrganizationId });
        Assert.Equal((4L, null), (AuditChain.Verify(store, noted).Head.Count, AuditChain.Verify(store, verified.Head).Fault));
        Assert.Equal(2, Ledger.Totals(store, new UsageFilter { Key = "ada" }).Single().Requests);

        using DbConnection connection = store.Open();
        Assert.Empty(connection.Query("PRAGMA foreign_key_check"));
        Assert.Equal("ok", connection.ExecuteScalar<string>("PRAGMA integrity_check"));
        connection.Execute("UPDATE usage SET cost = 5 WHERE request_id = 'r2'"); // which its form does not cover
        Assert.Contains("Record 2 (r2)", AuditChain.Verify(store).Fault);
    }

    [Theory]
    [MemberData(nameof(Earlier))]
    public void Of_a_server_too(int version)
    {
        using var accounts = new TestStore(StoreKind.Postgres);
        var database = new PostgresDatabase(accounts.Address!);
        using (DbConnection connection = database.Open(synced: true))
        {
            MigrateTo(version, database, connection, firstToSpend: 4);
            Assert.Equal(version, connection.ExecuteScalar<int>("SELECT version FROM schema_version"));
        }

        Store store = accounts.Open();
        var keys = new Keys(store, TimeProvider.System);
        Assert.NotNull(keys.Find(keys.Create("ada").Secret));
        AssertSpent(store, isSpent: version >= 4);
    }

    [Fact]
    public void Processes_that_start_at_once_migrate_a_server_once()
    {
        using var accounts = new TestStore(StoreKind.Postgres);
        Parallel.For(0, 8, _ => Assert.NotNull(accounts.Open()));
        Assert.Single(new Organizations(accounts.Open(), TimeProvider.System).List());
    }

    [Fact]
    public void Two_processes_that_start_at_once_migrate_once()
    {
        WriteEarlier(1);
        Parallel.For(0, 8, _ => Assert.NotNull(new Store(_folder.Path)));
        Assert.NotNull(new Keys(new Store(_folder.Path), TimeProvider.System).Find(Secret));
    }

    /// <summary>A store as that version left it, with two keys, one of them revoked, and three records.</summary>
    private AuditHead? WriteEarlier(int version)
    {
        var database = new SqliteDatabase(_folder.Path);
        using DbConnection connection = database.Open(synced: true);
        connection.Execute("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF");
        Migrations.Run(database, connection, 1);
        connection.Execute(
            "INSERT INTO keys (id, name, prefix, hash, created, revoked) VALUES (1, 'ada', @prefix, @hash, 5, NULL), (2, 'bob', 'sk-flint-xxxxxxx', x'00', 6, 9)",
            new { prefix = Secret[..16], hash = SHA256.HashData(Encoding.UTF8.GetBytes(Secret)) });
        foreach ((string id, long? key) in new (string, long?)[] { ("r1", 1), ("r2", 2), ("r3", null) })
        {
            connection.Execute(
                "INSERT INTO usage (request_id, key_id, endpoint, model, started, status, finish, prompt_tokens, cached_tokens, output_tokens, reasoning_tokens, queue_ms, first_token_ms, total_ms) VALUES (@id, @key, '/v1/completions', 'm', 7, 200, 'stop', 3, 2, 11, 1, 0.5, 1.5, 2.5)",
                new { id, key });
        }

        MigrateTo(version, database, connection, firstToSpend: 3);
        Assert.Equal(version, connection.ExecuteScalar<int>("PRAGMA user_version"));
        if (version == 1)
            return null;
        (long count, byte[] hash) = connection.QuerySingle<(long, byte[])>("SELECT records, hash FROM chain");
        return new AuditHead(count, Convert.ToHexStringLower(hash));
    }

    // What is spent had a row for each kind of window until version 6.
    private static void MigrateTo(int version, Database database, DbConnection connection, int firstToSpend)
    {
        Migrations.Run(database, connection, Math.Min(version, 6));
        if (version >= firstToSpend)
        {
            connection.Execute(
                "INSERT INTO spending (owner, period, start, requests, settled_tokens, reserved_tokens, settled_cost, reserved_cost) VALUES (@Owner, @Period, @Start, @Requests, @SettledTokens, @ReservedTokens, @SettledCost, @ReservedCost)",
                Owners.SelectMany(Spent));
        }

        Migrations.Run(database, connection, version);
    }

    private static void AssertSpent(Store store, bool isSpent)
    {
        foreach (Owner owner in Owners)
            Assert.Equal(Spent(owner).Select(row => isSpent ? row : new Spending { Owner = row.Owner, Period = row.Period, Start = row.Start }), Spending.Of(store, owner, Moment));
    }

    private static Owner[] Owners => [new(OwnerKind.Key, 1), new(OwnerKind.Project, 1), new(OwnerKind.Organization, 1)];

    // No two amounts are the same.
    private static Spending[] Spent(Owner owner)
    {
        var windows = Flint.App.Accounts.Windows.At(Moment);
        (string Period, long Start)[] kinds = [("now", 0), ("minute", windows.Minute), ("day", windows.Day), ("month", windows.Month)];
        return [.. kinds.Select((window, i) => new Spending
        {
            Owner = owner.ToString(), Period = window.Period, Start = window.Start, Requests = 1 + i + 10 * (int)owner.Kind, SettledTokens = 101 + i,
            ReservedTokens = 201 + i, SettledCost = 301 + i, ReservedCost = 401 + i,
        })];
    }
}
