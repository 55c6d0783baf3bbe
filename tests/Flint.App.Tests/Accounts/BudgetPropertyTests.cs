using System.Data.Common;
using Dapper;
using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

/// <summary>
/// Random requests, cancellations and deaths of processes over one store, from a seed: at every step what is settled and reserved keeps
/// to every budget, and what the store says agrees with a plain account of what was done.
/// </summary>
public sealed class BudgetPropertyTests
{
    private const int Steps = 250;

    private sealed record Open(Reservation Reservation, Demand Demand);

    private sealed class Process(Store store, TimeProvider time) : IAsyncDisposable
    {
        public Ledger Ledger { get; } = new(store);

        public Reservations Reservations { get; private set; } = null!;

        public List<Open> Under { get; } = [];

        public bool IsDead { get; private set; }

        public Process Start()
        {
            Reservations = new Reservations(Ledger.Writer, time);
            return this;
        }

        public void Die()
        {
            Reservations.Node.Abandon();
            IsDead = true;
        }

        public async ValueTask DisposeAsync()
        {
            if (!IsDead)
                await Reservations.DisposeAsync();
            await Ledger.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(StoreKind.Sqlite, 1)]
    [InlineData(StoreKind.Sqlite, 2)]
    [InlineData(StoreKind.Sqlite, 3)]
    [InlineData(StoreKind.Sqlite, 4)]
    [InlineData(StoreKind.Postgres, 5)]
    [InlineData(StoreKind.Postgres, 6)]
    public async Task Budgets_hold_at_every_step(StoreKind kind, int seed)
    {
        using var accounts = new TestStore(kind);
        var random = new Random(seed);
        var time = new FakeTime();
        Store store = accounts.Open();
        Key[] keys = MakeKeys(store, time);
        new Prices(store).Set(new Price { Model = "*", Input = 1_500_000, CachedInput = 150_000, Output = 7_000_000 });
        Dictionary<string, Limits> limits = SetLimits(store, keys);

        var processes = new List<Process> { new Process(store, time).Start(), new Process(store, time).Start() };
        var settled = new List<(Reservation Reservation, UsageRecord Record)>();
        int number = 0, refused = 0, deaths = 0;
        try
        {
            for (int step = 0; step < Steps; step++)
            {
                Process process = processes[random.Next(processes.Count)];
                switch (random.Next(20))
                {
                    case < 10:
                        Demand demand = DrawDemand(random, keys, $"r{number++}");
                        Grant grant = await process.Reservations.ReserveAsync(demand);
                        if (grant.Reservation is { } reservation)
                            process.Under.Add(new Open(reservation, demand));
                        else
                            refused++;
                        break;
                    case < 18 when process.Under.Count > 0:
                        settled.Add(await SettleAsync(process, random));
                        break;
                    case 18:
                        // A process dies with all it had under way, and another starts.
                        process.Die();
                        await process.DisposeAsync();
                        processes[processes.IndexOf(process)] = new Process(store, time).Start();
                        deaths++;
                        break;
                    default:
                        time.Advance(TimeSpan.FromMinutes(random.Next(200)));
                        break;
                }

                Check(store, limits, keys, [.. processes.SelectMany(p => p.Under.Select(open => open.Reservation))], settled);
            }
        }
        finally
        {
            foreach (Process process in processes)
                await process.DisposeAsync();
        }

        Assert.True(settled.Count > 30 && refused > 10 && deaths > 2, $"{settled.Count} settled, {refused} refused, {deaths} deaths");
        Check(store, limits, keys, [], settled);
        Assert.Equal((settled.Count, null), ((int)AuditChain.Verify(store).Head.Count, AuditChain.Verify(store).Fault));
        Assert.Equal(
            settled.Select(s => (s.Record.RequestId, s.Record.OutputTokens, s.Record.Cost)).Order(),
            Ledger.Records(store, new UsageFilter()).Select(e => (e.Record.RequestId, e.Record.OutputTokens, e.Record.Cost)).Order());
    }

    [Theory]
    [InlineData(StoreKind.Sqlite)]
    [InlineData(StoreKind.Postgres)]
    public async Task Budgets_hold_at_every_instant_while_two_processes_race(StoreKind kind)
    {
        const long budget = 20_000;
        using var accounts = new TestStore(kind);
        Store store = accounts.Open();
        Key key = new Keys(store, TimeProvider.System).Create("ada").Key;
        var owner = new Owner(OwnerKind.Key, key.Id);
        Limits.Set(store, owner, new Limits { MonthlyTokens = budget });
        var time = new FakeTime();
        await using Process a = new Process(store, time).Start(), b = new Process(accounts.Open(), time).Start();

        var watch = new BudgetWatch(store, key.Id);
        await Task.WhenAll(Enumerable.Range(0, 64).Select(client => Task.Run(() => HammerAsync(client % 2 == 0 ? a : b, key, client))));

        Spending spent = Spending.Of(store, owner, time.Now.ToUnixTimeMilliseconds())[3];
        Assert.Equal((0, Ledger.Records(store, new UsageFilter()).Sum(e => e.Record.PromptTokens + e.Record.OutputTokens)), (spent.ReservedTokens, spent.SettledTokens));
        Assert.InRange(spent.SettledTokens, budget - 200, budget); // all but what no demand fits into
        watch.Check(budget, spent.SettledTokens);
        Assert.Null(AuditChain.Verify(store).Fault); // over the records of both
    }

    private static async Task HammerAsync(Process process, Key key, int client)
    {
        var random = new Random(client);
        for (int i = 0; ; i++)
        {
            var demand = new Demand { RequestId = $"c{client}-{i}", Key = key, Model = "m", PromptTokens = random.Next(1, 60), OutputTokens = random.Next(1, 140) };
            if ((await process.Reservations.ReserveAsync(demand)).Reservation is not { } reservation)
            {
                if (Spending.Of(process.Ledger.Writer.Store, new Owner(OwnerKind.Key, key.Id), 0)[0].ReservedTokens == 0)
                    return; // nothing will be given back any more
                await Task.Yield();
                continue;
            }

            await process.Ledger.RecordAsync(new UsageRecord { RequestId = demand.RequestId, Endpoint = "/", KeyId = key.Id, PromptTokens = demand.PromptTokens, OutputTokens = random.Next((int)demand.OutputTokens + 1) }, reservation);
        }
    }

    private static Key[] MakeKeys(Store store, TimeProvider time)
    {
        var organizations = new Organizations(store, time);
        Project other = organizations.CreateProject("default", "other");
        organizations.Create("acme");
        Project far = organizations.CreateProject("acme", "far");
        var keys = new Keys(store, time);
        return [keys.Create("a").Key, keys.Create("b").Key, keys.Create("c", other).Key, keys.Create("d", far).Key];
    }

    private static Dictionary<string, Limits> SetLimits(Store store, Key[] keys)
    {
        var limits = new Dictionary<Owner, Limits>
        {
            [new(OwnerKind.Key, keys[0].Id)] = new() { DailyTokens = 3000, ConcurrentRequests = 4, RequestsPerMinute = 6 },
            [new(OwnerKind.Key, keys[3].Id)] = new() { MonthlyCost = 40_000, TokensPerMinute = 2000 },
            [new(OwnerKind.Project, keys[0].ProjectId)] = new() { DailyTokens = 5000, MonthlyTokens = 30_000 },
            [new(OwnerKind.Organization, keys[0].OrganizationId)] = new() { DailyCost = 50_000, ConcurrentRequests = 9 },
        };
        foreach ((Owner owner, Limits own) in limits)
            Limits.Set(store, owner, own);
        return limits.ToDictionary(entry => entry.Key.ToString(), entry => entry.Value);
    }

    private static Demand DrawDemand(Random random, Key[] keys, string id) => new()
    {
        RequestId = id, Key = keys[random.Next(keys.Length)], Model = "m", PromptTokens = random.Next(1, 400), OutputTokens = random.Next(0, 800),
        Choices = random.Next(1, 4), IsElastic = random.Next(2) == 0,
    };

    private static async Task<(Reservation, UsageRecord)> SettleAsync(Process process, Random random)
    {
        int at = random.Next(process.Under.Count);
        (Reservation reservation, Demand demand) = process.Under[at];
        process.Under.RemoveAt(at);
        int prompt = random.Next(3) == 0 ? 0 : (int)demand.PromptTokens; // cancelled before its prompt was computed
        int cached = random.Next(prompt + 1), output = prompt == 0 ? 0 : random.Next((int)(reservation.OutputTokens * demand.Choices) + 1);
        var record = new UsageRecord
        {
            RequestId = demand.RequestId, Endpoint = "/", KeyId = demand.Key!.Id, PromptTokens = prompt, CachedTokens = cached, OutputTokens = output,
            Cost = reservation.Price!.Of(prompt, cached, output),
        };
        Assert.InRange(record.Cost, 0, reservation.Cost);
        await process.Ledger.RecordAsync(record, reservation);
        return (reservation, record);
    }

    private static void Check(Store store, Dictionary<string, Limits> limits, Key[] keys, Reservation[] under, List<(Reservation Reservation, UsageRecord Record)> settled)
    {
        using DbConnection connection = store.Open();
        using DbTransaction transaction = store.Database.BeginRead(connection);
        using Statements statements = store.Database.On(connection);
        foreach (Key key in keys)
        {
            string[] owners = [.. Owner.Of(key).Select(owner => owner.ToString())];
            foreach (Spending row in OwnerSpending.Ask(statements, owners).Value.SelectMany(all => (Spending[])[all.Now, all.Minute, all.Day, all.Month]))
            {
                bool Counts(Reservation r) => Owner.Of(r.Key!).Any(owner => owner.ToString() == row.Owner)
                    && row.Start == (row.Period switch { "minute" => r.Windows.Minute, "day" => r.Windows.Day, "month" => r.Windows.Month, _ => 0 });

                Reservation[] held = [.. under.Where(Counts)];
                UsageRecord[] paid = [.. settled.Where(s => Counts(s.Reservation)).Select(s => s.Record)];
                Assert.Equal((held.Sum(r => r.Tokens), held.Sum(r => r.Cost)), (row.ReservedTokens, row.ReservedCost));
                Assert.Equal((paid.Sum(r => r.PromptTokens + r.OutputTokens), paid.Sum(r => r.Cost)), (row.SettledTokens, row.SettledCost));
                Limits own = limits.GetValueOrDefault(row.Owner) ?? new Limits();
                Assert.True(
                    row.Period switch
                    {
                        "minute" => Within(row.Requests, own.RequestsPerMinute) && Within(row.Tokens, own.TokensPerMinute),
                        "day" => Within(row.Tokens, own.DailyTokens) && Within(row.Cost, own.DailyCost),
                        "month" => Within(row.Tokens, own.MonthlyTokens) && Within(row.Cost, own.MonthlyCost),
                        _ => Within(row.Requests, own.ConcurrentRequests) && row.Requests == held.Length,
                    },
                    row.ToString());
            }
        }

        Assert.Equal(under.Length, connection.ExecuteScalar<int>("SELECT count(*) FROM reservations", transaction: transaction));
    }

    private static bool Within(long amount, long? limit) => limit is null || amount <= limit;
}
