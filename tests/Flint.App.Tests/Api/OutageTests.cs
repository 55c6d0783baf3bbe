using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>
/// The database goes away under load and comes back: requests fail closed meanwhile, nothing is lost, and no server is started anew. An
/// outage is over after so many refusals; <c>FLINT_OUTAGE_SECONDS=60</c> makes it last so long by the clock, with load for a sixth of that
/// before and after it. What was seen is printed.
/// </summary>
[Collection(nameof(SoakTests.Alone))]
public sealed class OutageTests(ITestOutputHelper output)
{
    private const string Completions = "/v1/completions";
    private const int Clients = 24;
    private const long HeapGrowthAllowed = 32 << 20;

    private static readonly TimeSpan Duration = TimeSpan.FromSeconds(double.Parse(Environment.GetEnvironmentVariable("FLINT_OUTAGE_SECONDS") ?? "0", CultureInfo.InvariantCulture));

    // What the clients were told.
    private sealed class Seen
    {
        private long _refused, _broken;

        public ConcurrentBag<string> Finished { get; } = [];

        public long Refused => Interlocked.Read(ref _refused);

        public long Broken => Interlocked.Read(ref _broken);

        public void Refuse() => Interlocked.Increment(ref _refused);

        public void Break() => Interlocked.Increment(ref _broken);

        public override string ToString() => $"{Finished.Count} answered, {Refused} refused with 503, {Broken} streams ended with the error, resident {Environment.WorkingSet >> 20} MiB";
    }

    [Fact]
    public async Task Requests_fail_closed_and_nothing_is_lost_while_the_database_is_gone()
    {
        using var database = new PostgresServer();
        using var accounts = new TestStore(StoreKind.Postgres, database);
        var options = new ServingOptions { Parallel = 32 };
        await using TestServer one = await TestServer.StartAsync(options, accounts: accounts.Address);
        await using TestServer two = await TestServer.StartAsync(options, accounts: accounts.Address, keyName: "other");
        using HttpClient other = two.NewClient(one.Secret);
        var owner = new Owner(OwnerKind.Key, one.Key.Id);
        Limits.Set(one.Store, owner, new Limits { MonthlyTokens = Limits.Largest });
        var seen = new Seen();
        using var stop = new CancellationTokenSource();
        long heap = SoakTests.Settled();
        Task clients = Task.WhenAll(Enumerable.Range(0, Clients).Select(seed => ClientAsync(seed % 2 == 0 ? one.Client : other, seen, new Random(seed), stop.Token)));

        await LastAsync(Duration / 6, () => seen.Finished.Count >= 50 || clients.IsCompleted);
        output.WriteLine($"before: {seen}");
        database.Stop();
        long before = seen.Refused;
        await LastAsync(Duration, () => seen.Refused >= before + 200 || clients.IsCompleted);
        await AssertDialectsAsync(one.Client);
        await AssertDialectsAsync(other);
        output.WriteLine($"gone:   {seen}");
        int whole = seen.Finished.Count;
        long begun = Stopwatch.GetTimestamp();
        database.Start();
        await TestServer.UntilAsync(() => seen.Finished.Count > whole || clients.IsCompleted);
        output.WriteLine($"the first answer {Stopwatch.GetElapsedTime(begun).TotalSeconds:F1} s after the start of the database");
        await LastAsync(Duration / 6, () => seen.Finished.Count >= whole + 100 || clients.IsCompleted);
        await stop.CancelAsync();
        await clients;
        output.WriteLine($"after:  {seen}");

        // What was answered while the database was gone is written in the background.
        await TestServer.UntilAsync(() => Spent().ReservedTokens == 0 && ((TestServer[])[one, two]).All(server => Directory.GetFiles(server.Folder, "unrecorded-*.jsonl").Length == 0));
        List<UsageRecord> records = one.Records();
        Assert.Equal(records.Count, records.Select(record => record.RequestId).Distinct().Count());
        Assert.Empty(seen.Finished.Except(records.Where(record => record.Status == 200).Select(record => record.RequestId)));
        Assert.All(records, record => Assert.Contains(record.Status, (int[])[200, 499, 503]));
        Assert.True(two.Model.Engine.Statistics.OutputTokens > 0);
        Assert.Equal(one.Model.Engine.Statistics.OutputTokens + two.Model.Engine.Statistics.OutputTokens, records.Sum(record => record.OutputTokens));
        Assert.Equal((0, records.Sum(record => record.PromptTokens + record.OutputTokens)), (Spent().Requests, Spent().SettledTokens));
        Assert.Null(AuditChain.Verify(one.Store).Fault);
        long grown = SoakTests.Settled() - heap;
        output.WriteLine($"ledger: {string.Join(", ", records.CountBy(record => record.Status).OrderBy(pair => pair.Key).Select(pair => $"{pair.Value} of {pair.Key}"))}; heap grown by {grown >> 10} KiB");
        Assert.True(grown < HeapGrowthAllowed, $"the managed heap grew by {grown} bytes");

        Spending Spent() => one.Store.Use(statements => OwnerSpending.Find(statements, owner)?.Now ?? new Spending());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Requests_fail_closed_while_the_disk_does_not_take_what_is_written(bool waitsForDisk)
    {
        var errors = new StringWriter();
        var finished = new List<string>();
        await using (TestServer server = await TestServer.StartAsync(adjust: options => options with { WaitsForDisk = waitsForDisk, Log = new ServerLog(isJson: false, TextWriter.Null, errors, TimeProvider.System) }))
        {
            const string body = """{"model": "tiny", "prompt": "a", "max_tokens": 1}""";
            Assert.True(await AskAsync());
            using (FailingDisk.Break(server.Store))
            {
                while (await AskAsync()) { } // whose records are committed, and one is the first that does not come to the disk
                Assert.True(!waitsForDisk || finished.Count == 1);
                (int status, JsonNode error) = await server.RefusalAsync(Completions, body);
                Assert.Equal((503, StoreWriter.FailedCode), (status, (string?)error["code"]));
                Assert.Empty(finished.Except(Recorded()));
            }

            Assert.True(await AskAsync());
            Assert.Empty(finished.Except(Recorded()));
            Assert.InRange(Recorded().Count - finished.Count, 0, waitsForDisk ? 1 : 0); // that one of which nobody could say that it was written
            Assert.Null(AuditChain.Verify(server.Store).Fault);

            async Task<bool> AskAsync()
            {
                using HttpResponseMessage response = await server.PostAsync(Completions, body);
                if (response.StatusCode != HttpStatusCode.OK)
                    return false;
                finished.Add((string)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["id"]!);
                return true;
            }

            List<string> Recorded() => [.. server.Records().Where(record => record.Status == 200).Select(record => record.RequestId)];
        }

        Assert.Equal(2, errors.ToString().Split(SqliteDatabase.FileName).Count(part => part.StartsWith(" cannot be brought to the disk", StringComparison.Ordinal) || part.StartsWith(" is on the disk", StringComparison.Ordinal)));
    }

    private static async Task LastAsync(TimeSpan least, Func<bool> condition)
    {
        await Task.Delay(least, TestContext.Current.CancellationToken);
        await TestServer.UntilAsync(condition);
    }

    // Every API says so in its own way.
    private static async Task AssertDialectsAsync(HttpClient client)
    {
        foreach ((string route, string at) in new[] { (Completions, "error"), ("/v1/messages", "type"), ("/api/chat", "error"), ("/v1/responses/resp_1", "error") })
        {
            using HttpResponseMessage response = route.Contains("resp_", StringComparison.Ordinal)
                ? await client.GetAsync(route)
                : await client.SendAsync(TestServer.Request(route, """{"model": "tiny", "prompt": "a", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}"""));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            Assert.Equal("5", Assert.Single(response.Headers.GetValues("Retry-After")));
            JsonNode body = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
            Assert.NotNull(body[at]);
            if (route == Completions)
                Assert.Equal(("server_error", Store.UnavailableCode), ((string?)body["error"]!["type"], (string?)body["error"]!["code"]));
            if (route == "/v1/messages")
                Assert.Equal(("error", "overloaded_error"), ((string?)body["type"], (string?)body["error"]!["type"]));
        }
    }

    private static async Task ClientAsync(HttpClient client, Seen seen, Random random, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            bool stream = random.Next(2) == 0, leaves = stream && random.Next(4) == 0;
            string body = TestServer.Json(new { model = "tiny", prompt = $"hello {random.Next(100)}", max_tokens = random.Next(1, 120), ignore_eos = true, stream });
            using HttpResponseMessage response = await client.SendAsync(TestServer.Request(Completions, body), HttpCompletionOption.ResponseHeadersRead, CancellationToken.None);
            if (response.StatusCode == HttpStatusCode.ServiceUnavailable)
            {
                JsonNode error = TestServer.ErrorOf(await response.Content.ReadAsStringAsync(CancellationToken.None));
                Assert.Contains((string?)error["code"], (string[])[Store.UnavailableCode, StoreWriter.FailedCode]);
                seen.Refuse();
                await Task.Delay(2, CancellationToken.None);
                continue;
            }

            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            if (leaves)
            {
                _ = await (await response.Content.ReadAsStreamAsync(CancellationToken.None)).ReadAsync(new byte[64], CancellationToken.None);
                continue;
            }

            string text = await response.Content.ReadAsStringAsync(CancellationToken.None);
            if (!stream)
                seen.Finished.Add((string)JsonNode.Parse(text)!["id"]!);
            else if (text.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal))
                seen.Finished.Add((string)JsonNode.Parse(text[6..text.IndexOf('\n')])!["id"]!);
            else
            {
                Assert.Contains(StoreWriter.FailedCode, text, StringComparison.Ordinal);
                seen.Break();
            }
        }
    }
}
