using System.Collections.Concurrent;
using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>The database goes away under load and comes back: requests fail closed meanwhile, nothing is lost, and no server is started anew.</summary>
public sealed class OutageTests
{
    private const string Completions = "/v1/completions";

    [Fact]
    public async Task Requests_fail_closed_and_nothing_is_lost_while_the_database_is_gone()
    {
        using var database = new PostgresServer();
        using var accounts = new TestStore(StoreKind.Postgres, database);
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { Parallel = 32 }, accounts: accounts.Address);
        var owner = new Owner(OwnerKind.Key, server.Key.Id);
        Limits.Set(server.Store, owner, new Limits { MonthlyTokens = Limits.Largest });
        var finished = new ConcurrentBag<string>();
        var refused = new ConcurrentBag<string>();
        using var stop = new CancellationTokenSource();
        Task clients = Task.WhenAll(Enumerable.Range(0, 24).Select(seed => ClientAsync(server, finished, refused, new Random(seed), stop.Token)));

        await TestServer.UntilAsync(() => finished.Count >= 50 || clients.IsCompleted);
        database.Stop();
        int before = refused.Count;
        await TestServer.UntilAsync(() => refused.Count >= before + 200 || clients.IsCompleted);
        await AssertDialectsAsync(server);
        int whole = finished.Count;
        database.Start();
        await TestServer.UntilAsync(() => finished.Count >= whole + 100 || clients.IsCompleted);
        await stop.CancelAsync();
        await clients;

        // What was answered while the database was gone is written in the background.
        await TestServer.UntilAsync(() => Spent().ReservedTokens == 0 && Directory.GetFiles(server.Folder, "unrecorded-*.jsonl").Length == 0);
        List<UsageRecord> records = server.Records();
        Assert.Equal(records.Count, records.Select(record => record.RequestId).Distinct().Count());
        Assert.Empty(finished.Except(records.Where(record => record.Status == 200).Select(record => record.RequestId)));
        Assert.All(records, record => Assert.Contains(record.Status, (int[])[200, 499, 503]));
        Assert.Equal(server.Model.Engine.Statistics.OutputTokens, records.Sum(record => record.OutputTokens));
        Assert.Equal((0, records.Sum(record => record.PromptTokens + record.OutputTokens)), (Spent().Requests, Spent().SettledTokens));
        Assert.Null(AuditChain.Verify(server.Store).Fault);

        Spending Spent() => server.Store.Use(statements => OwnerSpending.Find(statements, owner)?.Now ?? new Spending());
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

    // Every API says so in its own way.
    private static async Task AssertDialectsAsync(TestServer server)
    {
        (int status, JsonNode error) = await server.RefusalAsync(Completions, """{"model": "tiny", "prompt": "a", "max_tokens": 1}""");
        Assert.Equal((503, "server_error", Store.UnavailableCode), (status, (string?)error["type"], (string?)error["code"]));
        foreach ((string route, string at) in new[] { ("/v1/messages", "type"), ("/api/chat", "error"), ("/v1/responses/resp_1", "error") })
        {
            using HttpResponseMessage response = route.Contains("resp_", StringComparison.Ordinal)
                ? await server.Client.GetAsync(route)
                : await server.PostAsync(route, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}""");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            Assert.Equal("5", Assert.Single(response.Headers.GetValues("Retry-After")));
            JsonNode body = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
            Assert.NotNull(body[at]);
            if (route == "/v1/messages")
                Assert.Equal(("error", "overloaded_error"), ((string?)body["type"], (string?)body["error"]!["type"]));
        }
    }

    private static async Task ClientAsync(TestServer server, ConcurrentBag<string> finished, ConcurrentBag<string> refused, Random random, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            bool stream = random.Next(2) == 0, leaves = stream && random.Next(4) == 0;
            string body = TestServer.Json(new { model = "tiny", prompt = $"hello {random.Next(100)}", max_tokens = random.Next(1, 120), ignore_eos = true, stream });
            using HttpResponseMessage response = await server.PostAsync(Completions, body, CancellationToken.None);
            if (response.StatusCode == HttpStatusCode.ServiceUnavailable)
            {
                JsonNode error = TestServer.ErrorOf(await response.Content.ReadAsStringAsync(CancellationToken.None));
                Assert.Contains((string?)error["code"], (string[])[Store.UnavailableCode, StoreWriter.FailedCode]);
                refused.Add((string)error["code"]!);
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
                finished.Add((string)JsonNode.Parse(text)!["id"]!);
            else if (text.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal))
                finished.Add((string)JsonNode.Parse(text[6..text.IndexOf('\n')])!["id"]!);
            else
                Assert.Contains(StoreWriter.FailedCode, text, StringComparison.Ordinal);
        }
    }
}
