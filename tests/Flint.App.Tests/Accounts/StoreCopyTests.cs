using Dapper;
using Flint.App.Accounts;
using Flint.App.Tests.Cli;

namespace Flint.App.Tests.Accounts;

/// <summary>Accounts that move from one database to another, and back, with nothing lost.</summary>
public sealed class StoreCopyTests
{
    private static readonly string[] Tables = ["organizations", "projects", "keys", "secrets", "limits", "prices", "spending", "usage", "responses", "chain"];

    [Theory]
    [InlineData(StoreKind.Sqlite, StoreKind.Postgres)]
    [InlineData(StoreKind.Postgres, StoreKind.Sqlite)]
    [InlineData(StoreKind.Postgres, StoreKind.Postgres)]
    public async Task All_of_it_arrives_and_goes_on_there(StoreKind from, StoreKind to)
    {
        using TestStore source = new(from), target = new(to);
        string secret = await FillAsync(source.Open());
        Dictionary<string, List<string>> before = Dump(source);
        CopiedStore copied = await StoreCopy.RunAsync(source.Open(), target.Open());
        Assert.Equal((2L, 30L, 1L), (copied.Keys, copied.Head.Count, copied.Responses));
        Assert.Equal(AuditChain.Head(source.Open()), copied.Head);
        foreach ((string table, List<string> rows) in Dump(target))
        {
            Assert.NotEmpty(rows);
            Assert.Equal(before[table], rows);
        }

        // Keys open, numbers go on, the chain goes on, and what was spent counts.
        Store store = target.Open();
        Assert.Null(AuditChain.Verify(store, copied.Head).Fault);
        var keys = new Keys(store, TimeProvider.System);
        (Key? key, KeyState state) = keys.Check(secret);
        Assert.Equal(KeyState.Works, state);
        Assert.Equal("key_name_taken", Assert.Throws<FlintException>(() => keys.Create("ada", new Organizations(store, TimeProvider.System).FindProject("acme/lab"))).Code);
        Assert.InRange(keys.Create("eve").Key.Id, 3, 4); // a number was lost with the name that is taken
        await using var ledger = new Ledger(store);
        await using var reservations = new Reservations(ledger.Writer, TimeProvider.System);
        var demand = new Demand { RequestId = "r-new", Key = key, Model = "m", PromptTokens = 10, OutputTokens = 800 };
        Assert.Equal("insufficient_quota", (await reservations.ReserveAsync(demand)).Refusal!.Code); // of 1000 monthly, 300 are spent
        Grant grant = await reservations.ReserveAsync(demand with { OutputTokens = 600 });
        Assert.Equal(3, grant.Weight);
        await ledger.RecordAsync(new UsageRecord { RequestId = "r-new", Endpoint = "/v1/completions", KeyId = key!.Id, ProjectId = key.ProjectId, OrganizationId = key.OrganizationId, PromptTokens = 10 }, grant.Reservation);
        AuditResult verified = AuditChain.Verify(store, copied.Head);
        Assert.Equal((31L, null), (verified.Head.Count, verified.Fault));
    }

    [Fact]
    public async Task A_target_that_is_used_a_source_in_use_and_an_altered_ledger_are_refused()
    {
        using TestStore source = new(StoreKind.Sqlite), target = new(StoreKind.Postgres), other = new(StoreKind.Sqlite);
        await FillAsync(source.Open());
        await FillAsync(other.Open());
        Assert.Equal("store_not_empty", (await RefusedAsync(source, other)).Code);
        Assert.Equal("same_store", (await RefusedAsync(source, source)).Code);
        foreach (string sql in (string[])["INSERT INTO organizations (name, created) VALUES ('x', 1)", "INSERT INTO limits (owner, weight) VALUES ('organization:1', 2)", "INSERT INTO prices VALUES ('m', 1, 1, 1)"])
        {
            using TestStore used = new(StoreKind.Postgres);
            used.Open();
            used.Execute(sql);
            Assert.Equal("store_not_empty", (await RefusedAsync(source, used)).Code);
        }

        await using (var ledger = new Ledger(source.Open()))
        await using (new Reservations(ledger.Writer, TimeProvider.System))
            Assert.Equal("store_in_use", (await RefusedAsync(source, target)).Code);
        source.Execute("UPDATE usage SET output_tokens = 0 WHERE request_id = 'r7'");
        FlintException altered = await RefusedAsync(source, target);
        Assert.Equal("ledger_altered", altered.Code);
        Assert.Contains("Record 8 (r7)", altered.Message, StringComparison.Ordinal);

        // Nothing has arrived.
        source.Execute("UPDATE usage SET output_tokens = 5 WHERE request_id = 'r7'");
        await StoreCopy.RunAsync(source.Open(), target.Open());

        static Task<FlintException> RefusedAsync(TestStore from, TestStore to) => Assert.ThrowsAsync<FlintException>(() => StoreCopy.RunAsync(from.Open(), to.Open()));
    }

    [Fact]
    public async Task What_a_dead_server_had_set_aside_is_free_in_the_copy()
    {
        using TestStore source = new(StoreKind.Sqlite), target = new(StoreKind.Postgres);
        Key key = new Keys(source.Open(), TimeProvider.System).Create("ada").Key;
        await using (var ledger = new Ledger(source.Open()))
        {
            var reservations = new Reservations(ledger.Writer, TimeProvider.System);
            await reservations.ReserveAsync(new Demand { RequestId = "r", Key = key, Model = "m", PromptTokens = 10, OutputTokens = 90 });
            reservations.Node.Abandon();
        }

        await StoreCopy.RunAsync(source.Open(), target.Open());
        List<string> spending = Dump(target)["spending"];
        Assert.NotEmpty(spending);
        Assert.All(spending, row => Assert.Equal(16, System.Text.RegularExpressions.Regex.Count(row, "(settled|reserved)_(tokens|cost)=0(;|$)")));
    }

    [Fact]
    public async Task The_command_does_it()
    {
        using TestStore source = new(StoreKind.Sqlite), target = new(StoreKind.Postgres);
        string secret = await FillAsync(source.Open());
        File.WriteAllText(target.File("store.url"), target.Address);
        FlintProcess.Result run = FlintProcess.Run(["store", "copy", source.Path, "file:" + target.File("store.url"), "--data", target.Path]);
        Assert.True(run.Code == 0, run.Errors);
        Assert.StartsWith("2 keys, 30 records, all as they were written, and 1 kept responses. Head: 30:", run.Output, StringComparison.Ordinal);
        Assert.NotNull(new Keys(target.Open(), TimeProvider.System).Find(secret));
        run = FlintProcess.Run(["store", "copy", source.Path, target.Address!, "--data", target.Path]);
        Assert.Equal((1, ""), (run.Code, run.Output));
        Assert.Contains("already", run.Complaint, StringComparison.Ordinal);
    }

    private static async Task<string> FillAsync(Store store)
    {
        var organizations = new Organizations(store, TimeProvider.System);
        organizations.Create("acme");
        Project lab = organizations.CreateProject("acme", "lab");
        var keys = new Keys(store, TimeProvider.System);
        (Key key, string secret) = keys.Create("ada", lab, scopes: new KeyScopes { Models = ["tiny", "ll*"], Policy = "house" });
        keys.Create("bob");
        keys.Revoke("bob");
        Limits.Set(store, new Owner(OwnerKind.Key, key.Id), new Limits { MonthlyTokens = 1000, DailyCost = 2_500_000 });
        Limits.Set(store, new Owner(OwnerKind.Project, lab.Id), new Limits { Weight = 3 });
        new Prices(store).Set(new Price { Model = "m*", Input = 1, CachedInput = 1, Output = 2 });
        await using (var ledger = new Ledger(store))
        await using (var reservations = new Reservations(ledger.Writer, TimeProvider.System))
        {
            for (int i = 0; i < 30; i++)
            {
                Grant grant = await reservations.ReserveAsync(new Demand { RequestId = $"r{i}", Key = key, Model = "m", PromptTokens = 5, OutputTokens = 20 });
                await ledger.RecordAsync(new UsageRecord
                {
                    RequestId = $"r{i}", Endpoint = "/v1/chat/completions", Model = "m \u00e9\u4e2d", KeyId = i == 3 ? null : key.Id, ProjectId = key.ProjectId, OrganizationId = key.OrganizationId,
                    PromptTokens = 5, OutputTokens = 5, Cost = 1, Status = 200, Finish = "stop", TotalMs = i / 3.0, CpuMs = i == 4 ? 0 : 7, Policy = i == 5 ? "denied x content:7" : "",
                }, grant.Reservation);
            }
        }

        new Responses(store, TimeProvider.System).Save(new StoredResponse("resp_1", key.Id, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), null, "{\"a\": \"\u00e9\"}", "[]"));
        return secret;
    }

    // Every row of every table as text, columns by name.
    private static Dictionary<string, List<string>> Dump(TestStore accounts)
    {
        using var connection = accounts.Open().Open();
        return Tables.ToDictionary(table => table, table => connection.Query($"SELECT * FROM {table}").Cast<IDictionary<string, object?>>()
            .Select(row => string.Join(';', row.OrderBy(column => column.Key, StringComparer.Ordinal).Select(column => $"{column.Key}={(column.Value is byte[] bytes ? Convert.ToHexString(bytes) : column.Value)}")))
            .Order(StringComparer.Ordinal).ToList());
    }
}
