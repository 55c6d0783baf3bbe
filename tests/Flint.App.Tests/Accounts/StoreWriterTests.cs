using System.Collections.Concurrent;
using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

/// <summary>What is told to be written, and what becomes of it when the power or the disk fails.</summary>
public sealed class StoreWriterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly FakeTime _time = new();
    private readonly ConcurrentQueue<string> _told = [];
    private readonly Store _store;
    private readonly Key _key;

    public StoreWriterTests()
    {
        _store = new Store(_folder.Path);
        _key = new Keys(_store, _time).Create("ada").Key;
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_record_does_not_wait_for_the_disk_and_a_disk_that_fails_has_all_that_follow_fail()
    {
        await using var ledger = new Ledger(_store, waitsForDisk: false, _told.Enqueue);
        await using var reservations = new Reservations(ledger.Writer, _time);
        await ledger.RecordAsync(Used("a"));
        await ledger.Writer.WriteAsync(_ => 0, Safety.Synced); // nothing is on its way any more
        using (FailingDisk.Break(_store))
        {
            Grant grant = await reservations.ReserveAsync(Demand("b"));
            await ledger.RecordAsync(Used("b"), grant.Reservation);
            await UntilAsync(() => !_told.IsEmpty); // nobody waited for its disk, and it was asked
            Assert.Contains("cannot be brought to the disk", Assert.Single(_told), StringComparison.Ordinal);
            for (int i = 0; i < 3; i++)
            {
                await FailsAsync(() => reservations.ReserveAsync(Demand("c")));
                await FailsAsync(() => ledger.RecordAsync(Used("d")));
                await FailsAsync(() => ledger.Writer.WriteAsync(_ => 0, Safety.Synced));
            }

            Assert.Equal(["a", "b"], Records());
            Assert.Equal((0, 0, 12), (Spent().Requests, Spent().ReservedTokens, Spent().SettledTokens)); // nothing of what failed was done
        }

        await UntilAsync(() => ledger.Writer.Journal.Count == 0); // which tries again by itself
        Assert.Equal((2, true), (_told.Count, _told.Last().Contains("is on the disk", StringComparison.Ordinal)));
        Assert.Equal(["a", "b", "d"], Records()); // once, however often it was tried
        Assert.NotNull((await reservations.ReserveAsync(Demand("e"))).Reservation);
        await ledger.RecordAsync(Used("f"));
        await ledger.Writer.WriteAsync(_ => 0, Safety.Synced);
        Assert.Equal((2, 4L, null), (_told.Count, AuditChain.Head(_store).Count, AuditChain.Verify(_store).Fault));
    }

    [Fact]
    public async Task A_record_that_waits_for_the_disk_fails_with_it_and_is_there_once()
    {
        await using var ledger = new Ledger(_store, waitsForDisk: true, _told.Enqueue);
        await ledger.RecordAsync(Used("a"));
        using (FailingDisk.Break(_store))
        {
            await FailsAsync(() => ledger.RecordAsync(Used("b")));
            Assert.Single(_told);
            Assert.Equal(1, ledger.Writer.Journal.Count);
        }

        await UntilAsync(() => ledger.Writer.Journal.Count == 0);
        await ledger.RecordAsync(Used("c"));
        Assert.Equal((2, 3L, null), (_told.Count, AuditChain.Head(_store).Count, AuditChain.Verify(_store).Fault));
        Assert.Equal(["a", "b", "c"], Records());
    }

    /// <summary>What the log has on the disk when the power goes is its beginning, or that and something that was never written.</summary>
    [Fact]
    public async Task Of_a_log_that_was_cut_off_whole_records_are_left_and_they_verify()
    {
        const int count = 40, cuts = 24;
        var random = new Random(1);
        byte[] file, log;
        await using (var ledger = new Ledger(_store))
        await using (var reservations = new Reservations(ledger.Writer, _time))
        {
            for (int i = 0; i < count; i++)
                await ledger.RecordAsync(Used($"r{i:00}"), (await reservations.ReserveAsync(Demand($"r{i:00}"))).Reservation);
            file = Read(_folder.File(SqliteDatabase.FileName));
            log = Read(_folder.File(SqliteDatabase.FileName) + "-wal");
        }

        var lengths = new HashSet<int>();
        for (int cut = 0; cut < cuts; cut++)
        {
            using var other = new TemporaryFolder();
            int length = cut == 0 ? log.Length : random.Next(log.Length);
            byte[] left = cut % 2 == 0 ? log[..length] : [.. log[..length], .. new byte[log.Length - length]];
            File.WriteAllBytes(other.File(SqliteDatabase.FileName), file);
            File.WriteAllBytes(other.File(SqliteDatabase.FileName) + "-wal", left);
            var store = new Store(other.Path);
            await using var ledger = new Ledger(store);
            await using var reservations = new Reservations(ledger.Writer, _time); // which frees what was under way
            List<string> records = [.. Ledger.Records(store, new UsageFilter()).Select(entry => entry.Record.RequestId).Reverse()];
            lengths.Add(records.Count);
            Assert.Equal(Enumerable.Range(0, records.Count).Select(i => $"r{i:00}"), records);
            Assert.Equal((records.Count, null), ((int)AuditChain.Head(store).Count, AuditChain.Verify(store).Fault));
            Spending[] spent = Spending.Of(store, new Owner(OwnerKind.Key, _key.Id), _time.Now.ToUnixTimeMilliseconds());
            Assert.All(spent, window => Assert.Equal((12 * records.Count, 0), (window.SettledTokens, window.ReservedTokens)));
        }

        Assert.Contains(count, lengths);
        Assert.True(lengths.Count > 5, $"{lengths.Count} lengths");
    }

    private static byte[] Read(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    private List<string> Records() => [.. Ledger.Records(_store, new UsageFilter()).Select(entry => entry.Record.RequestId).Reverse()];

    private Spending Spent() => Spending.Of(_store, new Owner(OwnerKind.Key, _key.Id), _time.Now.ToUnixTimeMilliseconds())[0];

    private Demand Demand(string request) => new() { RequestId = request, Key = _key, Model = "m", PromptTokens = 5, OutputTokens = 10 };

    private UsageRecord Used(string request) => new() { RequestId = request, Endpoint = "/", KeyId = _key.Id, Status = 200, Finish = "stop", PromptTokens = 5, OutputTokens = 7 };

    private static async Task FailsAsync(Func<Task> work) => Assert.Equal(StoreWriter.FailedCode, (await Assert.ThrowsAsync<FlintException>(work)).Code);

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
            await Task.Delay(5, TestContext.Current.CancellationToken);
    }
}
