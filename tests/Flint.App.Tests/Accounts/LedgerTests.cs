using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

public abstract class LedgerTests : IDisposable
{
    private readonly TestStore _accounts;
    private readonly Store _store;

    protected LedgerTests(StoreKind kind)
    {
        _accounts = new TestStore(kind);
        _store = _accounts.Open();
    }

    public void Dispose()
    {
        _accounts.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task What_is_recorded_is_read_back_whole()
    {
        (Key key, _) = new Keys(_store, TimeProvider.System).Create("ada");
        UsageRecord record = Record("r1", key.Id) with
        {
            Model = "m", Status = 200, Finish = "stop", PromptTokens = 5, CachedTokens = 4, OutputTokens = 3, ReasoningTokens = 2,
            QueueMs = 0.5, FirstTokenMs = 1.5, TotalMs = 2.5, ProjectId = key.ProjectId, OrganizationId = key.OrganizationId, Fingerprint = "fp",
            Dialect = "openai", Mode = "thinking", DiscardedTokens = 1, CpuMs = 0.25, Cost = 7, Policy = "clipped key daily_tokens 3",
        };
        await using (var ledger = new Ledger(_store))
            await ledger.RecordAsync(record);

        UsageEntry read = Assert.Single(Ledger.Records(_store, new UsageFilter()));
        Assert.Equal(record, read.Record);
        Assert.Equal(("ada", "default", "default", 32), (read.Key, read.Project, read.Organization, read.Hash.Length));
        var exported = new List<UsageEntry>();
        Ledger.Export(_store, exported.Add);
        Assert.Equal((record, AuditChain.Head(_store).Hash), (Assert.Single(exported).Record, Convert.ToHexStringLower(exported[0].Hash)));
    }

    [Fact]
    public async Task Many_writers_at_once_lose_and_double_nothing()
    {
        const int count = 1500;
        await using (var ledger = new Ledger(_store))
            await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (i, _) => await ledger.RecordAsync(Record($"r{i}", null)));
        Assert.Equal(count, Ledger.Records(_store, new UsageFilter()).Select(r => r.Record.RequestId).Distinct().Count());
    }

    [Fact]
    public async Task A_completed_record_is_committed_before_the_ledger_ends()
    {
        await using var ledger = new Ledger(_store);
        await ledger.RecordAsync(Record("r1", null));
        Assert.Single(Ledger.Records(_store, new UsageFilter()));
    }

    [Fact]
    public async Task A_record_that_cannot_be_stored_fails_alone()
    {
        await using var ledger = new Ledger(_store);
        await ledger.RecordAsync(Record("same", null));
        Task[] tasks = [.. Enumerable.Range(0, 50).Select(i => ledger.RecordAsync(Record(i == 25 ? "same" : $"r{i}", null)))];
        FlintException fault = await Assert.ThrowsAsync<FlintException>(() => tasks[25]);
        Assert.Equal(("metering_failed", 0), (fault.Code, ledger.Writer.Journal.Count)); // another time it would be no better
        await Task.WhenAll(tasks.Where((_, i) => i != 25));
        Assert.Equal(50, Ledger.Records(_store, new UsageFilter()).Count);
    }

    [Fact]
    public async Task Work_that_throws_undoes_what_it_wrote_and_nothing_else()
    {
        await using var ledger = new Ledger(_store);
        Task<int>[] tasks = [.. Enumerable.Range(0, 50).Select(i => Task.Run(() => ledger.Writer.WriteAsync(store =>
        {
            int written = store.Execute("INSERT INTO organizations (name, created) VALUES ($2, $1)", (long)i, $"o{i}");
            return i % 10 == 5 ? throw new InvalidOperationException("no") : written;
        }, (Safety)(i % 3))))];
        Assert.Equal(StoreWriter.FailedCode, (await Assert.ThrowsAsync<FlintException>(() => Task.WhenAll(tasks))).Code);
        Assert.Equal(Enumerable.Range(0, 50).Select(i => i % 10 != 5), tasks.Select(task => task.IsCompletedSuccessfully));
        Assert.All(tasks.Where(task => !task.IsFaulted), task => Assert.Equal(1, task.Result));
        Assert.Equal(
            Enumerable.Range(0, 50).Where(i => i % 10 != 5).Select(i => ($"o{i}", (long)i)),
            new Organizations(_store, TimeProvider.System).List().Where(o => o.Name != "default").Select(o => (o.Name, o.Created)).OrderBy(o => o.Created));
    }

    [Fact]
    public async Task Statements_of_a_transaction_see_those_before_them()
    {
        await using var ledger = new Ledger(_store);
        (int none, int one, List<string> names, int gone) = await ledger.Writer.WriteAsync(store =>
        {
            Reply<int> none = store.Change("DELETE FROM prices WHERE model = $1", "m");
            store.Change("INSERT INTO prices (model, input, cached_input, output) VALUES ($4, $3, $2, $1)", 1L, 2L, 3L, "m");
            Reply<int> one = store.Change("UPDATE prices SET input = $1 WHERE model = $2", 7L, "m");
            Reply<List<string>> names = store.Ask("SELECT model, input, output FROM prices", static row => $"{row.GetString(0)} {row.GetInt64(1)} {row.GetInt64(2)}");
            store.Change("INSERT INTO prices (model, input, cached_input, output) VALUES ($1, 0, 0, 0)", "n");
            int gone = store.Execute("DELETE FROM prices WHERE model = $1", "n");
            return (none.Value, one.Value, names.Value, gone);
        }, Safety.Synced);
        Assert.Equal((0, 1, 1), (none, one, gone));
        Assert.Equal(["m 7 1"], names);
        Assert.Equal(new Price { Model = "m", Input = 7, CachedInput = 2, Output = 1 }, Assert.Single(new Prices(_store).List()));
    }

    [Fact]
    public async Task Sums_are_per_key_and_since()
    {
        var keys = new Keys(_store, TimeProvider.System);
        (Key ada, _) = keys.Create("ada");
        (Key bob, _) = keys.Create("bob");
        await using (var ledger = new Ledger(_store))
        {
            await ledger.RecordAsync(Record("a", ada.Id) with { Started = 100, PromptTokens = 1, OutputTokens = 10, Status = 200 });
            await ledger.RecordAsync(Record("b", ada.Id) with { Started = 200, PromptTokens = 2, OutputTokens = 20, Status = 400 });
            await ledger.RecordAsync(Record("c", bob.Id) with { Started = 300, PromptTokens = 4, ReasoningTokens = 3, CachedTokens = 2, Status = 200 });
            await ledger.RecordAsync(Record("d", null) with { Started = 400, Status = 200 });
        }

        IReadOnlyList<UsageTotal> totals = Ledger.Totals(_store, new UsageFilter());
        Assert.Equal([null, "ada", "bob"], totals.Select(t => t.Key));
        UsageTotal sum = totals[1];
        Assert.Equal((2, 1, 3, 30), (sum.Requests, sum.Failed, sum.PromptTokens, sum.OutputTokens));
        Assert.Equal((4, 2, 3), (totals[2].PromptTokens, totals[2].CachedTokens, totals[2].ReasoningTokens));
        Assert.Equal(20, Assert.Single(Ledger.Totals(_store, new UsageFilter { Since = 150, Key = "ada" })).OutputTokens);
        Assert.Equal(["c"], Ledger.Records(_store, new UsageFilter { Since = 150, Key = bob.Prefix }).Select(r => r.Record.RequestId));
        Assert.Equal(["d", "c"], Ledger.Records(_store, new UsageFilter(), limit: 2).Select(r => r.Record.RequestId));
    }

    [Fact]
    public async Task Sums_are_per_project_and_organisation_too()
    {
        var organizations = new Organizations(_store, TimeProvider.System);
        var keys = new Keys(_store, TimeProvider.System);
        organizations.Create("acme");
        Project lab = organizations.CreateProject("acme", "lab");
        Project shop = organizations.CreateProject("acme", "shop");
        (Key, string)[] made = [keys.Create("a", lab), keys.Create("b", lab), keys.Create("c", shop), keys.Create("d")];
        await using (var ledger = new Ledger(_store))
        {
            for (int i = 0; i < made.Length; i++)
            {
                Key key = made[i].Item1;
                await ledger.RecordAsync(Record($"r{i}", key.Id) with { ProjectId = key.ProjectId, OrganizationId = key.OrganizationId, Cost = 1 << i, DiscardedTokens = i });
            }
        }

        Assert.Equal([(null, "default", 8), ("acme", "lab", 3), ("acme", "shop", 4)],
            Ledger.Totals(_store, new UsageFilter(), OwnerKind.Project).Select(t => (t.Organization == "default" ? null : t.Organization, t.Project, t.Cost)));
        Assert.Equal([("default", 8L, 3L), ("acme", 7L, 3L)], Ledger.Totals(_store, new UsageFilter(), OwnerKind.Organization).Select(t => (t.Organization!, t.Cost, t.DiscardedTokens)));
        Assert.Equal(["r2", "r1", "r0"], Ledger.Records(_store, new UsageFilter { Organization = "acme" }).Select(r => r.Record.RequestId));
        Assert.Equal(["r1", "r0"], Ledger.Records(_store, new UsageFilter { Project = "acme/lab" }).Select(r => r.Record.RequestId));
        Assert.Equal(["r2"], Ledger.Records(_store, new UsageFilter { Project = "shop" }).Select(r => r.Record.RequestId));
    }

    private static UsageRecord Record(string id, long? key) => new() { RequestId = id, KeyId = key, Endpoint = "/v1/completions", Started = 1 };
}

public sealed class SqliteLedgerTests() : LedgerTests(StoreKind.Sqlite);

public sealed class PostgresLedgerTests() : LedgerTests(StoreKind.Postgres);
