using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

/// <summary>What could not be recorded when it ended is recorded once, as soon as that can be.</summary>
public abstract class JournalTests : IAsyncDisposable
{
    private readonly TestStore _accounts;
    private readonly FakeTime _time = new();
    private readonly Store _store;
    private readonly Key _key;

    protected JournalTests(StoreKind kind)
    {
        _accounts = new TestStore(kind);
        _store = _accounts.Open();
        _key = new Keys(_store, _time).Create("ada").Key;
    }

    public ValueTask DisposeAsync()
    {
        _accounts.Dispose();
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task A_record_waits_on_the_disk_until_the_store_takes_it()
    {
        await using var ledger = new Ledger(_store);
        await using var reservations = new Reservations(ledger.Writer, _time);
        Reservation reservation = await ReserveAsync(reservations, "a");
        Break();
        await FailsAsync(() => ledger.RecordAsync(Used("a"), reservation));
        await FailsAsync(() => ledger.RecordAsync(Used("b") with { Status = 499, Finish = "cancelled" }));
        Assert.Equal(2, ledger.Writer.Journal.Count);
        Assert.True(new FileInfo(Assert.Single(Files())).Length > 0);
        Assert.False(await ledger.Writer.Journal.WriteAsync());
        Assert.Empty(Records());
        Assert.Equal(15, Spent().ReservedTokens); // as long as it is not settled

        Mend();
        await UntilAsync(() => ledger.Writer.Journal.Count == 0);
        Assert.Equal([("a", 503, StoreWriter.FailedCode, 7L), ("b", 499, "cancelled", 7L)], Records().Select(r => (r.RequestId, r.Status, r.Finish, r.OutputTokens)).Order());
        Assert.Equal((0, 12), (Spent().ReservedTokens, Spent().SettledTokens));
        await UntilAsync(() => Files().Length == 0);
        Assert.Null(AuditChain.Verify(_store).Fault);
    }

    [Fact]
    public async Task The_next_process_records_what_is_left()
    {
        var ledger = new Ledger(_store);
        var reservations = new Reservations(ledger.Writer, _time);
        Reservation reservation = await ReserveAsync(reservations, "a");
        Break();
        await FailsAsync(() => ledger.RecordAsync(Used("a"), reservation));
        reservations.Node.Abandon();
        await ledger.DisposeAsync();
        string file = Assert.Single(Files());
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        File.AppendAllText(file, """{"RequestId":"torn","Record":{"Requ"""); // its death came amid a line

        await using var next = new Ledger(_accounts.Open());
        await using var other = new Ledger(_accounts.Open()); // which leaves alone what another has taken up
        Assert.Equal((1, 0), (next.Writer.Journal.Count, other.Writer.Journal.Count));
        Mend();
        await using var free = new Reservations(next.Writer, _time); // settled before it would be freed
        Assert.Equal(["a"], Records().Select(record => record.RequestId));
        Assert.Equal((0, 0, 12), (Spent().Requests, Spent().ReservedTokens, Spent().SettledTokens));
        Assert.Empty(Files());
    }

    [Fact]
    public async Task What_was_recorded_though_nobody_could_say_so_is_recorded_once()
    {
        await using var ledger = new Ledger(_store);
        await using var reservations = new Reservations(ledger.Writer, _time);
        Reservation reservation = await ReserveAsync(reservations, "a");
        await ledger.RecordAsync(Used("a"), reservation);
        ledger.Writer.Journal.Keep(Used("a") with { Status = 503 }, reservation);
        ledger.Writer.Journal.Release("a");
        Assert.True(await ledger.Writer.Journal.WriteAsync());
        Assert.Equal(200, Assert.Single(Records()).Status);
        Assert.Equal((0, 0, 12), (Spent().Requests, Spent().ReservedTokens, Spent().SettledTokens));
    }

    [Fact]
    public async Task What_may_have_been_reserved_for_a_request_that_was_turned_away_is_freed()
    {
        await using var ledger = new Ledger(_store);
        await using var reservations = new Reservations(ledger.Writer, _time);
        await ReserveAsync(reservations, "a");
        await ReserveAsync(reservations, "b");
        ledger.Writer.Journal.Release("a");
        Assert.True(await ledger.Writer.Journal.WriteAsync());
        Assert.Equal((1, 15, 0), (Spent().Requests, Spent().ReservedTokens, Spent().SettledTokens));
        Assert.Equal((0, 0), (Files().Length, Records().Count));

        _accounts.Execute("ALTER TABLE reservations RENAME TO gone_too");
        Break();
        await FailsAsync(() => ReserveAsync(reservations, "c"));
        Assert.Equal(1, ledger.Writer.Journal.Count);
        await FailsAsync(() => ledger.RecordAsync(Used("c") with { Status = 503, Finish = StoreWriter.FailedCode })); // it never came in
        Assert.Equal(1, ledger.Writer.Journal.Count);
        Mend();
        _accounts.Execute("ALTER TABLE gone_too RENAME TO reservations");
        await UntilAsync(() => ledger.Writer.Journal.Count == 0);
        Assert.Equal((1, 15, 0), (Spent().Requests, Spent().ReservedTokens, Spent().SettledTokens));
        Assert.Empty(Records());
    }

    private void Break() => _accounts.Execute("ALTER TABLE chain RENAME TO gone");

    private void Mend() => _accounts.Execute("ALTER TABLE gone RENAME TO chain");

    private string[] Files() => Directory.GetFiles(_accounts.Path, "unrecorded-*.jsonl");

    private List<UsageRecord> Records() => [.. Ledger.Records(_store, new UsageFilter()).Select(entry => entry.Record)];

    private Spending Spent() => Spending.Of(_store, new Owner(OwnerKind.Key, _key.Id), _time.Now.ToUnixTimeMilliseconds())[0];

    private async Task<Reservation> ReserveAsync(Reservations reservations, string request) =>
        (await reservations.ReserveAsync(new Demand { RequestId = request, Key = _key, Model = "m", PromptTokens = 5, OutputTokens = 10 })).Reservation!;

    private UsageRecord Used(string request) => new() { RequestId = request, Endpoint = "/", KeyId = _key.Id, Status = 200, Finish = "stop", PromptTokens = 5, OutputTokens = 7, TotalMs = 1 / 3.0 };

    private static async Task FailsAsync(Func<Task> work) => Assert.Equal(StoreWriter.FailedCode, (await Assert.ThrowsAsync<FlintException>(work)).Code);

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
            await Task.Delay(5, TestContext.Current.CancellationToken);
    }
}

public sealed class SqliteJournalTests() : JournalTests(StoreKind.Sqlite);

public sealed class PostgresJournalTests() : JournalTests(StoreKind.Postgres);
