using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Tests.Cli;

namespace Flint.App.Tests.Api;

public sealed class KillTests
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
        using Process server = Start(model, accounts);
        try
        {
            using var client = new HttpClient { BaseAddress = await AddressAsync(server), Timeout = TimeSpan.FromMinutes(5) };
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);

            var finished = new ConcurrentBag<string>();
            Task[] requests = [.. Enumerable.Range(0, 100).Select(i => RequestAsync(client, i, finished))];
            await TestServer.UntilAsync(() => finished.Count >= 30 || requests.All(request => request.IsCompleted));
            server.Kill(); // SIGKILL on Unix: nothing of the process runs after it
            await Task.WhenAll(requests);
            await server.WaitForExitAsync();

            Assert.InRange(finished.Count, 30, 99);
            List<string> recorded = [.. Ledger.Records(store, new UsageFilter()).Where(record => record.Record.Status == 200).Select(record => record.Record.RequestId)];
            Assert.Equal(recorded.Count, recorded.Distinct().Count());
            Assert.Empty(finished.Except(recorded));
            Assert.Equal(finished.Count, finished.Distinct().Count());
        }
        finally
        {
            if (!server.HasExited)
                server.Kill();
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

    /// <summary><c>FLINT_BUDGET_RUNS</c> sets how often.</summary>
    [Theory]
    [InlineData(StoreKind.Sqlite)]
    [InlineData(StoreKind.Postgres)]
    public async Task A_budget_holds_while_servers_are_killed(StoreKind kind)
    {
        int runs = int.TryParse(Environment.GetEnvironmentVariable("FLINT_BUDGET_RUNS"), out int wanted) ? wanted : 1;
        for (int run = 0; run < runs; run++)
            await HammerAsync(kind, new Random(run));
    }

    // One server with a file, two that share a server's database. Clients ask until the budget is used up; meanwhile each server is killed once.
    private static async Task HammerAsync(StoreKind kind, Random random)
    {
        using var accounts = new TestStore(kind);
        string model = accounts.File("tiny.gguf");
        TinyModel.Write(model);
        Store store = accounts.Open();
        (Key key, string secret) = new Keys(store, TimeProvider.System).Create("test");
        var owner = new Owner(OwnerKind.Key, key.Id);
        Limits.Set(store, owner, new Limits { MonthlyTokens = Budget });
        var watch = new BudgetWatch(() => Month().Tokens, Budget);
        var nodes = new Process[kind == StoreKind.Sqlite ? 1 : 2];
        var addresses = new Uri[nodes.Length];
        using var client = new HttpClient { Timeout = TimeSpan.FromMinutes(5) };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);
        var finished = new ConcurrentBag<string>();
        try
        {
            for (int i = 0; i < nodes.Length; i++)
                await StartAsync(i);
            int[] seeds = [.. Enumerable.Range(0, 64).Select(_ => random.Next())];
            Task all = Task.WhenAll(seeds.Select(seed => ClientAsync(client, () => addresses[seed % nodes.Length], () => Month().ReservedTokens, finished, new Random(seed))));
            for (int i = 0; i < nodes.Length; i++)
            {
                int due = finished.Count + random.Next(10, 60);
                await TestServer.UntilAsync(() => finished.Count >= due || all.IsCompleted);
                nodes[i].Kill();
                await nodes[i].WaitForExitAsync();
                nodes[i].Dispose();
                await StartAsync(i);
            }

            await all;
            Assert.Equal(0, Month().ReservedTokens);
            watch.End();
        }
        finally
        {
            foreach (Process node in nodes.Where(node => node is not null))
            {
                node.Kill();
                node.Dispose();
            }
        }

        List<UsageRecord> records = [.. Ledger.Records(store, new UsageFilter()).Select(entry => entry.Record)];
        Assert.Equal(records.Count, records.Select(record => record.RequestId).Distinct().Count());
        Assert.Empty(finished.Except(records.Where(record => record.Status == 200).Select(record => record.RequestId)));
        Assert.Equal(Month().SettledTokens, records.Sum(record => record.PromptTokens + record.OutputTokens));
        Assert.InRange(Month().SettledTokens, Budget - 600, Budget); // all but what no request fits into
        Assert.Null(AuditChain.Verify(store).Fault);

        Spending Month() => Spending.Of(store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[3];

        async Task StartAsync(int node)
        {
            nodes[node] = Start(model, accounts);
            addresses[node] = await AddressAsync(nodes[node]);
        }
    }

    // Some answers are whole, some are streams, some of these are left in their midst; some are cut off by the death of their server.
    private static async Task ClientAsync(HttpClient client, Func<Uri> address, Func<long> reserved, ConcurrentBag<string> finished, Random random)
    {
        string text = string.Concat(Enumerable.Repeat("the hello ", 20));
        while (true)
        {
            bool stream = random.Next(2) == 0, leaves = stream && random.Next(2) == 0;
            string body = TestServer.Json(new { model = "tiny", prompt = text + random.Next(1000), max_tokens = random.Next(1, 100), n = random.Next(1, 3), ignore_eos = true, stream });
            try
            {
                using HttpResponseMessage response = await client.SendAsync(TestServer.Request(new Uri(address(), "/v1/completions").ToString(), body), HttpCompletionOption.ResponseHeadersRead);
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
            catch (Exception cut) when (cut is HttpRequestException or IOException)
            {
                await Task.Delay(5); // the server died under it; another is on its way
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

    private static Process Start(string model, TestStore accounts) =>
        Process.Start(FlintProcess.Told(["serve", model, "--port", "0", "--threads", "1", .. accounts.Options]))!;

    private static async Task<Uri> AddressAsync(Process server)
    {
        const string mark = "Listening at ";
        while (await server.StandardOutput.ReadLineAsync() is string line)
        {
            if (line.StartsWith(mark, StringComparison.Ordinal))
                return new Uri(line[mark.Length..]);
        }

        throw new InvalidOperationException("the server ended before it listened");
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
