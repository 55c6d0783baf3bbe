using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

/// <summary>Each limit, by itself: what it allows, what it refuses, and when it allows again.</summary>
public abstract class ReservationsTests : IAsyncDisposable
{
    private readonly TestStore _accounts;
    private readonly FakeTime _time = new();
    private readonly Store _store;
    private readonly Ledger _ledger;
    private readonly Reservations _reservations;
    private readonly Key _key;
    private int _requests;

    protected ReservationsTests(StoreKind kind)
    {
        _accounts = new TestStore(kind);
        _store = _accounts.Open();
        _ledger = new Ledger(_store);
        _reservations = new Reservations(_ledger.Writer, _time);
        _key = new Keys(_store, _time).Create("ada").Key;
    }

    public async ValueTask DisposeAsync()
    {
        await _reservations.DisposeAsync();
        await _ledger.DisposeAsync();
        _accounts.Dispose();
        GC.SuppressFinalize(this);
    }

    public static TheoryData<OwnerKind> Kinds => [OwnerKind.Key, OwnerKind.Project, OwnerKind.Organization];

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_budget_of_any_owner_holds_what_is_settled_and_reserved(OwnerKind kind)
    {
        Set(kind, new Limits { DailyTokens = 100 });
        Reservation first = await TakeAsync(10, 50);
        Reservation second = await TakeAsync(10, 30); // whole
        FlintException refusal = await RefusedAsync(1, 0);
        Assert.Equal((FaultSide.Limit, "insufficient_quota"), (refusal.Side, refusal.Code));
        Assert.Contains("daily budget", refusal.Message);
        Assert.Equal(TimeSpan.FromSeconds(110), refusal.RetryAfter); // until the day of UTC ends

        await SettleAsync(first, 10, 20);
        Assert.Equal((30, 40), (Day(kind).SettledTokens, Day(kind).ReservedTokens));
        await RefusedAsync(1, 30);
        Reservation third = await TakeAsync(1, 29);
        await SettleAsync(second, 10, 30);
        await SettleAsync(third, 1, 0);
        Assert.Equal((71, 0), (Day(kind).SettledTokens, Day(kind).ReservedTokens));
        _time.Advance(TimeSpan.FromSeconds(110));
        await TakeAsync(50, 50);
    }

    [Fact]
    public async Task The_weight_is_the_keys_else_its_projects_else_its_organisations()
    {
        Assert.Equal(1, await WeightAsync());
        Set(OwnerKind.Organization, new Limits { Weight = 2 });
        Assert.Equal(2, await WeightAsync());
        Set(OwnerKind.Project, new Limits { Weight = 3, DailyTokens = 100 });
        Assert.Equal(3, await WeightAsync());
        Set(OwnerKind.Key, new Limits { Weight = 1000 });
        Assert.Equal(1000, await WeightAsync());
        Set(OwnerKind.Key, new Limits { DailyTokens = 100 });
        Assert.Equal(3, await WeightAsync());
        Assert.Equal(3, Limits.Of(_store, OwnerOf(OwnerKind.Project)).Weight);
        foreach (long wrong in (long[])[0, 1001])
            Assert.Equal("invalid_limit", Assert.Throws<FlintException>(() => Set(OwnerKind.Key, new Limits { Weight = wrong })).Code);

        async Task<int> WeightAsync() =>
            (await _reservations.ReserveAsync(new Demand { RequestId = $"weighed-{++_requests}", Key = _key, Model = "m", PromptTokens = 1, OutputTokens = 1 })).Weight;
    }

    [Fact]
    public async Task What_a_request_uses_counts_where_it_began()
    {
        Set(OwnerKind.Key, new Limits { DailyTokens = 100, MonthlyTokens = 150 });
        Reservation late = await TakeAsync(10, 90);
        _time.Advance(TimeSpan.FromMinutes(5)); // the next day, which is still the same month
        Reservation early = await TakeAsync(10, 40);
        Assert.Contains("monthly budget", (await RefusedAsync(1, 0)).Message);
        await SettleAsync(late, 10, 90);
        Assert.Equal((0, 50), (Day(OwnerKind.Key).SettledTokens, Day(OwnerKind.Key).ReservedTokens));
        await SettleAsync(early, 10, 0);
        Assert.Equal(110, Spending.Of(_store, OwnerOf(OwnerKind.Key), Now)[3].SettledTokens);
        _time.Advance(TimeSpan.FromDays(1)); // December
        await TakeAsync(10, 90);

        // A clock that is set back opens no window that has ended.
        _time.Advance(TimeSpan.FromDays(-2));
        await RefusedAsync(1, 0);
    }

    [Fact]
    public async Task Money_is_reserved_at_the_dearest_and_settled_at_what_it_cost()
    {
        var prices = new Prices(_store);
        prices.Set(new Price { Model = "m", Input = 2_000_000, CachedInput = 500_000, Output = 10_000_000 });
        Set(OwnerKind.Project, new Limits { MonthlyCost = 1000 });
        Reservation held = await TakeAsync(100, 80);
        Assert.Equal(1000, held.Cost);
        prices.Set(new Price { Model = "m", Input = 1, CachedInput = 1, Output = 1 }); // for requests from now on
        Assert.Contains("monthly budget of the project 'default' of 0.001 has 0.00 left", (await RefusedAsync(1, 0)).Message);
        await SettleAsync(held, 100, 7, cached: 60);
        Assert.Equal(40 * 2 + 30 + 70, Assert.Single(Ledger.Records(_store, new UsageFilter())).Record.Cost);
        Assert.Equal((180, 0), (Spending.Of(_store, OwnerOf(OwnerKind.Project), Now)[3].SettledCost, Spending.Of(_store, OwnerOf(OwnerKind.Project), Now)[3].ReservedCost));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Requests_of_a_minute_are_counted_whatever_becomes_of_them(OwnerKind kind)
    {
        Set(kind, new Limits { RequestsPerMinute = 2 });
        Grant first = await ReserveAsync(1, 1);
        Assert.Equal(new RateState(2, 1, TimeSpan.FromSeconds(50)), first.Requests);
        await SettleAsync(first.Reservation!, 1, 0);
        await TakeAsync(1, 1);
        Grant refused = await ReserveAsync(1, 1);
        Assert.Equal(("rate_limit_exceeded", TimeSpan.FromSeconds(50)), (refused.Refusal!.Code, refused.Refusal.RetryAfter));
        Assert.Equal(0, refused.Requests!.Value.Remaining);
        Assert.Equal($"refused {OwnerOf(kind).KindName} requests_per_minute", refused.Decision);
        _time.Advance(TimeSpan.FromSeconds(50));
        Assert.Equal(1, (await ReserveAsync(1, 1)).Requests!.Value.Remaining);
    }

    [Fact]
    public async Task Tokens_of_a_minute_are_reserved_and_given_back()
    {
        Set(OwnerKind.Key, new Limits { TokensPerMinute = 100 });
        Set(OwnerKind.Organization, new Limits { TokensPerMinute = 90 });
        Grant grant = await ReserveAsync(10, 70);
        Assert.Equal((90, 10), (grant.Tokens!.Value.Limit, grant.Tokens.Value.Remaining)); // the tighter one is told
        Assert.Contains("of which 10 are left", (await RefusedAsync(10, 1)).Message);
        await SettleAsync(grant.Reservation!, 10, 5);
        Assert.Equal(0, (await ReserveAsync(15, 60)).Tokens!.Value.Remaining);
        FlintException never = await RefusedAsync(50, 51);
        Assert.Contains("this request alone may use 101; ask for fewer", never.Message);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Requests_at_once_are_those_not_settled(OwnerKind kind)
    {
        Set(kind, new Limits { ConcurrentRequests = 2 });
        Reservation first = await TakeAsync(1, 1);
        await TakeAsync(1, 1);
        Assert.Equal("rate_limit_exceeded", (await RefusedAsync(1, 1)).Code);
        _time.Advance(TimeSpan.FromDays(40)); // no window frees them
        await RefusedAsync(1, 1);
        await SettleAsync(first, 1, 1);
        await TakeAsync(1, 1);
    }

    [Fact]
    public async Task A_demand_without_a_number_takes_half_of_what_is_left()
    {
        Set(OwnerKind.Key, new Limits { DailyTokens = 1000 });
        Grant first = await ReserveAsync(100, 100_000, elastic: true);
        Assert.Equal((450, 550, "clipped key daily_tokens 450"), (first.Reservation!.OutputTokens, first.Reservation.Tokens, first.Decision));
        Assert.Equal(175, (await ReserveAsync(100, 100_000, elastic: true)).Reservation!.OutputTokens);
        Grant three = await ReserveAsync(24, 100_000, choices: 3, elastic: true);
        Assert.Equal((25, 24 + 75), (three.Reservation!.OutputTokens, three.Reservation.Tokens)); // of 75 left behind the prompt, an equal share each
        Assert.Equal(1, (await ReserveAsync(74, 100_000, elastic: true)).Reservation!.OutputTokens);
        await SettleAsync(first.Reservation, 100, 10);
        Grant whole = await ReserveAsync(10, 30, elastic: true);
        Assert.Equal((30, ""), (whole.Reservation!.OutputTokens, whole.Decision));
    }

    [Fact]
    public async Task Without_a_key_or_a_limit_all_passes()
    {
        Grant grant = await _reservations.ReserveAsync(new Demand { RequestId = "x", Key = null, Model = "m", PromptTokens = 5, OutputTokens = 1 << 30 });
        Assert.Equal((1 << 30, null, ""), (grant.Reservation!.OutputTokens, grant.Refusal, grant.Decision));
        Assert.Null((await ReserveAsync(1 << 20, 1 << 30, choices: 128)).Refusal);
    }

    [Fact]
    public async Task What_a_dead_process_had_reserved_is_free_for_the_living()
    {
        Set(OwnerKind.Key, new Limits { DailyTokens = 100, ConcurrentRequests = 3 });
        await using var ledger = new Ledger(_accounts.Open());
        await using var other = new Reservations(ledger.Writer, _time);
        Demand demand = Demand(10, 50);
        Assert.NotNull((await other.ReserveAsync(demand)).Reservation);
        await RefusedAsync(10, 50); // it lives
        other.Node.Abandon(); // as the death of its process does
        Reservation taken = await TakeAsync(10, 90);
        Assert.Equal((0, 100), (Day(OwnerKind.Key).SettledTokens, Day(OwnerKind.Key).ReservedTokens));
        await SettleAsync(taken, 10, 5);

        // One that starts frees too.
        await using var third = new Reservations(ledger.Writer, _time);
        Assert.NotNull((await third.ReserveAsync(Demand(10, 50))).Reservation);
        third.Node.Abandon();
        await using var fourth = new Reservations(ledger.Writer, _time);
        Assert.Equal((15, 0), (Day(OwnerKind.Key).SettledTokens, Day(OwnerKind.Key).ReservedTokens));
    }

    [Fact]
    public async Task A_process_that_ends_leaves_nothing_behind()
    {
        var other = new Reservations(_ledger.Writer, _time);
        await other.ReserveAsync(Demand(10, 50));
        Assert.Equal(2, Nodes());
        await other.DisposeAsync();
        Assert.Equal(1, Nodes());
        Assert.Equal((0, 0), (Day(OwnerKind.Key).ReservedTokens, Spending.Of(_store, OwnerOf(OwnerKind.Key), Now)[0].Requests));
    }

    [Theory]
    [InlineData(0, true)] // no budget
    [InlineData(100, true)]
    [InlineData(60, false)]
    public async Task Who_was_wrongly_taken_for_dead_is_charged_where_there_is_room(long budget, bool isCharged)
    {
        Set(OwnerKind.Key, budget == 0 ? new Limits() : new Limits { DailyTokens = 100 });
        await using var ledger = new Ledger(_accounts.Open());
        await using var other = new Reservations(ledger.Writer, _time);
        Reservation lost = (await other.ReserveAsync(Demand(10, 50))).Reservation!;
        other.Node.Abandon(); // as a cut connection does
        await using (new Reservations(_ledger.Writer, _time))
            Assert.Equal((0, 0), (Day(OwnerKind.Key).ReservedTokens, Spending.Of(_store, OwnerOf(OwnerKind.Key), Now)[0].Requests));
        Reservation taken = await TakeAsync(10, budget == 60 ? 60 : 30);

        UsageRecord used = Used(lost, 10, 25);
        if (isCharged)
            await ledger.RecordAsync(used, lost);
        else
            Assert.Equal(Reservations.LostCode, (await Assert.ThrowsAsync<FlintException>(() => ledger.RecordAsync(used with { Status = 200, Policy = "x" }, lost))).Code);
        UsageRecord record = Assert.Single(Ledger.Records(_store, new UsageFilter())).Record;
        if (isCharged)
            Assert.Equal(used, record);
        else
            Assert.Equal((503, Reservations.LostCode, 0, 0, 0, "x; not charged: reservation lost, 10 prompt and 25 output tokens"), (record.Status, record.Finish, record.PromptTokens, record.OutputTokens, record.Cost, record.Policy));
        Assert.Equal((isCharged ? 35 : 0, taken.Tokens), (Day(OwnerKind.Key).SettledTokens, Day(OwnerKind.Key).ReservedTokens));
        await SettleAsync(taken, 10, 1);
        Assert.Equal((isCharged ? 46 : 11, 0, 0), (Day(OwnerKind.Key).SettledTokens, Day(OwnerKind.Key).ReservedTokens, Spending.Of(_store, OwnerOf(OwnerKind.Key), Now)[0].Requests));
        Assert.Null(AuditChain.Verify(_store).Fault);
    }

    [Fact]
    public void A_limit_has_a_range()
    {
        Assert.Equal("invalid_limit", Assert.Throws<FlintException>(() => Set(OwnerKind.Key, new Limits { DailyTokens = -1 })).Code);
        Assert.Equal("invalid_limit", Assert.Throws<FlintException>(() => Set(OwnerKind.Key, new Limits { MonthlyCost = Limits.Largest + 1 })).Code);
        var limits = new Limits { DailyTokens = 0, MonthlyCost = Limits.Largest };
        Set(OwnerKind.Key, limits);
        Assert.Equal(limits, Limits.Of(_store, OwnerOf(OwnerKind.Key)));
        Assert.Equal(new Limits(), Limits.Of(_store, OwnerOf(OwnerKind.Project)));
    }

    private long Now => _time.Now.ToUnixTimeMilliseconds();

    private Owner OwnerOf(OwnerKind kind) => Owner.Of(_key).Single(owner => owner.Kind == kind);

    private Spending Day(OwnerKind kind) => Spending.Of(_store, OwnerOf(kind), Now)[2];

    private void Set(OwnerKind kind, Limits limits) => Limits.Set(_store, OwnerOf(kind), limits);

    private Demand Demand(long prompt, long output, int choices = 1, bool elastic = false) =>
        new() { RequestId = $"r{_requests++}", Key = _key, Model = "m", PromptTokens = prompt, OutputTokens = output, Choices = choices, IsElastic = elastic };

    private Task<Grant> ReserveAsync(long prompt, long output, int choices = 1, bool elastic = false) => _reservations.ReserveAsync(Demand(prompt, output, choices, elastic));

    private async Task<Reservation> TakeAsync(long prompt, long output)
    {
        Grant grant = await ReserveAsync(prompt, output);
        Assert.Equal((null, ""), (grant.Refusal?.Message, grant.Decision));
        Assert.Equal(output, grant.Reservation!.OutputTokens);
        return grant.Reservation;
    }

    private async Task<FlintException> RefusedAsync(long prompt, long output)
    {
        Grant grant = await ReserveAsync(prompt, output);
        Assert.Null(grant.Reservation);
        return grant.Refusal!;
    }

    private Task SettleAsync(Reservation reservation, long prompt, long output, long cached = 0) => _ledger.RecordAsync(Used(reservation, prompt, output, cached), reservation);

    private UsageRecord Used(Reservation reservation, long prompt, long output, long cached = 0) => new()
    {
        RequestId = reservation.RequestId, Endpoint = "/v1/completions", KeyId = _key.Id, PromptTokens = prompt, CachedTokens = cached, OutputTokens = output,
        Cost = reservation.Price?.Of(prompt, cached, output) ?? 0,
    };

    private int Nodes() => _accounts.Address is null
        ? Directory.GetFiles(_accounts.Path, "node-*.lock").Length
        : _store.Use(store => store.Query("SELECT id FROM nodes", static row => row.GetInt64(0)).Count);
}

public sealed class SqliteReservationsTests() : ReservationsTests(StoreKind.Sqlite);

public sealed class PostgresReservationsTests() : ReservationsTests(StoreKind.Postgres);
