using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Flint.App.Accounts;

namespace Flint.App.Tests.Api;

public sealed class KillTests(ITestOutputHelper output)
{
    private const long Budget = 100_000;

    [Theory]
    [InlineData(StoreKind.Sqlite)]
    [InlineData(StoreKind.Postgres)]
    public async Task A_killed_server_has_recorded_every_response_that_finished_once(StoreKind kind)
    {
        using var accounts = new TestStore(kind);
        string model = accounts.File("tiny.gguf");
        TinyModel.Write(model);
        Store store = accounts.Open();
        (Key key, string secret) = new Keys(store, TimeProvider.System).Create("test");
        var owner = new Owner(OwnerKind.Key, key.Id);
        Limits.Set(store, owner, new Limits { DailyTokens = Limits.Largest, MonthlyTokens = Limits.Largest });
        using (var server = new ServerProcess([model, .. accounts.Options]))
        {
            await server.StartAsync();
            using var client = new HttpClient { BaseAddress = await server.Address, Timeout = TimeSpan.FromMinutes(5) };
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);

            var finished = new ConcurrentBag<string>();
            Task[] requests = [.. Enumerable.Range(0, 100).Select(i => RequestAsync(client, i, finished))];
            await TestServer.UntilAsync(() => finished.Count >= 30 || requests.All(request => request.IsCompleted));
            await server.KillAsync();
            await Task.WhenAll(requests);

            Assert.InRange(finished.Count, 30, 99);
            List<string> recorded = [.. Ledger.Records(store, new UsageFilter()).Where(record => record.Record.Status == 200).Select(record => record.Record.RequestId)];
            Assert.Equal(recorded.Count, recorded.Distinct().Count());
            Assert.Empty(finished.Except(recorded));
            Assert.Equal(finished.Count, finished.Distinct().Count());
        }

        // The store goes on where it was: what the dead server had set aside is free, what it used is spent.
        await using var ledger = new Ledger(accounts.Open());
        Assert.True(Spent().ReservedTokens > 0);
        await using (var reservations = new Reservations(ledger.Writer, TimeProvider.System))
        {
            Assert.Equal((0, 0), (Spent().Requests, Spent().ReservedTokens));
            Assert.Equal(Ledger.Records(store, new UsageFilter()).Sum(entry => entry.Record.PromptTokens + entry.Record.OutputTokens), Spent().SettledTokens);
        }

        await ledger.RecordAsync(new UsageRecord { RequestId = "after", Endpoint = "/v1/completions" });
        Assert.Null(AuditChain.Verify(store).Fault);

        Spending Spent() => Spending.Of(store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[0];
    }

    /// <summary>One server with a file, two that share a server's database. They, and the accounts, go on from run to run of <see cref="BudgetRuns"/>.</summary>
    [Theory]
    [InlineData(StoreKind.Sqlite)]
    [InlineData(StoreKind.Postgres)]
    public async Task A_budget_holds_while_servers_are_killed(StoreKind kind)
    {
        using var accounts = new TestStore(kind);
        string model = accounts.File("tiny.gguf");
        TinyModel.Write(model);
        ServerProcess[] nodes = kind == StoreKind.Sqlite
            ? [new(model, "--data", accounts.Path)]
            : [.. Enumerable.Range(0, 2).Select(i => new ServerProcess(model, "--data", Path.Combine(accounts.Path, $"node{i}"), "--store", accounts.Address!))];
        Store store = accounts.Open();
        try
        {
            foreach (ServerProcess node in nodes)
                await node.StartAsync();
            await BudgetRuns.RunAsync(1, output, seed => HammerAsync(store, nodes, seed));
        }
        finally
        {
            foreach (ServerProcess node in nodes)
                node.Dispose();
        }

        Assert.Null(AuditChain.Verify(store).Fault);
    }

    // Clients ask until the budget of a new key is used up; meanwhile each server is killed once.
    private static async Task<string> HammerAsync(Store store, ServerProcess[] nodes, int seed)
    {
        var random = new Random(seed);
        string name = $"run-{seed}";
        (Key key, string secret) = new Keys(store, TimeProvider.System).Create(name);
        var owner = new Owner(OwnerKind.Key, key.Id);
        Limits.Set(store, owner, new Limits { MonthlyTokens = Budget });
        var watch = new BudgetWatch(store, key.Id);
        using HttpClient client = TestServer.ClientOf(null);
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);
        var finished = new ConcurrentBag<string>();
        int[] seeds = [.. Enumerable.Range(0, 64).Select(_ => random.Next())];
        Task all = Task.WhenAll(seeds.Select((own, i) => ClientAsync(client, nodes[i % nodes.Length], () => Month().ReservedTokens, finished, new Random(own))));
        foreach (ServerProcess node in nodes)
        {
            int due = finished.Count + random.Next(1, 400 / nodes.Length);
            await TestServer.UntilAsync(() => finished.Count >= due || all.IsCompleted);
            await node.KillAsync();
            await node.StartAsync();
        }

        await all;
        Spending month = Month();
        Assert.Equal((0, 0), (month.ReservedTokens, Spending.Of(store, owner, 0)[0].Requests));
        List<UsageRecord> records = [.. Ledger.Records(store, new UsageFilter { Key = name }).Select(entry => entry.Record)];
        string[] whole = [.. records.Where(record => record.Status == 200).Select(record => record.RequestId)];
        Assert.Equal(records.Count, records.Select(record => record.RequestId).Distinct().Count());
        Assert.Equal(finished.Count, finished.Distinct().Count());
        Assert.Empty(finished.Except(whole));
        Assert.Contains(records, record => record is { Status: 499, OutputTokens: > 0 }); // somebody left in the midst of an answer
        Assert.Equal(month.SettledTokens, records.Sum(record => record.PromptTokens + record.OutputTokens));
        Assert.InRange(month.SettledTokens, Budget - 600, Budget); // all but what no request fits into
        watch.Check(Budget, month.SettledTokens);
        return $"{finished.Count} answers read to their end, {records.Count(record => record.Status == 499)} left, {records.Count(record => record.Status == 429)} refused, {month.SettledTokens} tokens";

        Spending Month() => Spending.Of(store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[3];
    }

    // Some answers are whole, some are streams, some of these are left in their midst; some are cut off by the death of their server.
    private static async Task ClientAsync(HttpClient client, ServerProcess node, Func<long> reserved, ConcurrentBag<string> finished, Random random)
    {
        string text = string.Concat(Enumerable.Repeat("the hello ", 20));
        while (true)
        {
            bool stream = random.Next(2) == 0, leaves = stream && random.Next(2) == 0;
            string body = TestServer.Json(new { model = "tiny", prompt = text + random.Next(1000), max_tokens = random.Next(1, 100), n = random.Next(1, 3), ignore_eos = true, stream });
            Uri address = await node.Address;
            try
            {
                using HttpResponseMessage response = await client.SendAsync(TestServer.Request(new Uri(address, "/v1/completions").ToString(), body), HttpCompletionOption.ResponseHeadersRead);
                if (response.StatusCode == HttpStatusCode.TooManyRequests)
                {
                    if ((string?)TestServer.ErrorOf(await response.Content.ReadAsStringAsync())["code"] == "insufficient_quota" && reserved() == 0)
                        return;
                    await Task.Yield();
                    continue;
                }

                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
                if (leaves)
                    _ = await (await response.Content.ReadAsStreamAsync()).ReadAsync(new byte[64]);
                else
                    Finish(await response.Content.ReadAsStringAsync(), stream, finished);
            }
            catch (Exception cut) when (cut is HttpRequestException or IOException && !node.HasFailed)
            {
                // The server was killed under it; another is on its way.
            }
        }
    }

    private static void Finish(string text, bool stream, ConcurrentBag<string> finished)
    {
        if (!stream)
            finished.Add((string)JsonNode.Parse(text)!["id"]!);
        else if (text.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal))
            finished.Add((string)JsonNode.Parse(text[6..text.IndexOf('\n')])!["id"]!);
    }

    private static async Task RequestAsync(HttpClient client, int number, ConcurrentBag<string> finished)
    {
        bool stream = number % 2 == 0;
        string body = TestServer.Json(new { model = "tiny", prompt = $"hello {number}", max_tokens = 10 + number * 4, ignore_eos = true, stream });
        try
        {
            using HttpResponseMessage response = await client.SendAsync(TestServer.Request("/v1/completions", body), HttpCompletionOption.ResponseHeadersRead);
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, text);
            Finish(text, stream, finished);
        }
        catch (Exception cut) when (cut is HttpRequestException or IOException)
        {
            // The server died under it.
        }
    }
}
