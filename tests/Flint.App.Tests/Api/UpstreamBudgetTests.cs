using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Tests.Upstreams;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Tests.Api;

/// <summary>A budget holds against upstreams that fail, break off, say nothing of what they used, or too much, and clients that leave.</summary>
public sealed class UpstreamBudgetTests(ITestOutputHelper output)
{
    private const string Chat = "/v1/chat/completions";
    private const long Budget = 20_000;

    /// <summary>The runs are those of <see cref="BudgetRuns"/>.</summary>
    [Fact]
    public Task No_upstream_takes_more_than_a_key_has() => BudgetRuns.RunAsync(2, output, HammerAsync);

    private static async Task<string> HammerAsync(int seed)
    {
        int asked = 0;
        await using FakeUpstream one = await FakeUpstream.StartAsync(AnswerAsync), two = await FakeUpstream.StartAsync(AnswerAsync);
        await using TestServer server = await TestServer.StartAsync(upstreams: FakeUpstream.Serve(
            null, plain => plain with { PromptOverhead = 20, CircuitFailures = 1000 }, one.Target(), two.Target("two")));
        var owner = new Owner(OwnerKind.Key, server.Key.Id);
        Limits.Set(server.Store, owner, new Limits { MonthlyTokens = Budget });
        var watch = new BudgetWatch(server.Store, server.Key.Id);
        await Task.WhenAll(Enumerable.Range(0, 16).Select(client => ClientAsync(server, new Random(16 * seed + client))));
        await TestServer.UntilAsync(() => Month().ReservedTokens == 0);

        List<UsageRecord> records = server.Records();
        Assert.Equal(records.Count, records.Select(record => record.RequestId).Distinct().Count());
        Assert.Equal(Month().SettledTokens, records.Sum(record => record.PromptTokens + record.OutputTokens));
        Assert.InRange(Month().SettledTokens, Budget - 250, Budget); // all but what no request fits into
        Assert.Contains(records, record => record.Status == 200 && record.Policy.StartsWith("exceeded upstream ", StringComparison.Ordinal));
        Assert.Contains(records, record => record.Status == 200 && record.Policy.StartsWith("failed upstream ", StringComparison.Ordinal));
        Assert.Contains(records, record => record.Status == 502 && record.OutputTokens > 0);
        Assert.Contains(records, record => record.Status == 499);
        Assert.Null(AuditChain.Verify(server.Store).Fault);
        watch.Check(Budget, Month().SettledTokens);
        return $"{records.Count(record => record.Status == 200)} answers, {records.Count(record => record.Status == 429)} refused, {Month().SettledTokens} tokens";

        Spending Month() => Spending.Of(server.Store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[3];

        Task AnswerAsync(HttpContext context, JsonNode body)
        {
            var random = new Random(7919 * seed + Interlocked.Increment(ref asked));
            int most = (int)body["max_tokens"]!;
            string text = new('x', random.Next(1, 3 * most));
            if (((string)body["messages"]![0]!["content"]!).StartsWith("leave", StringComparison.Ordinal))
                return StallAsync(context, text);
            return random.Next(6) switch
            {
                0 => FakeUpstream.RefuseAsync(context, 500),
                1 => FakeUpstream.SayAsync(context, [FakeUpstream.Text(text)]), // and breaks off
                2 => FakeUpstream.SayAsync(context, [FakeUpstream.Text(text), FakeUpstream.End(), FakeUpstream.Done]), // says nothing of its usage
                3 => FakeUpstream.SayAsync(context, [FakeUpstream.Text(text), FakeUpstream.End(), FakeUpstream.Usage(500, 3 * most), FakeUpstream.Done]),
                _ => FakeUpstream.SayAsync(context, [FakeUpstream.Text(text), FakeUpstream.Text(text), FakeUpstream.End("length"), FakeUpstream.Usage(random.Next(10, 60), random.Next(1, most + 1)), FakeUpstream.Done]),
            };
        }
    }

    private static async Task StallAsync(HttpContext context, string text)
    {
        await FakeUpstream.SayAsync(context, [FakeUpstream.Text(text)]);
        await FakeUpstream.StallAsync(context);
    }

    // Asks until the budget is used up; some answers are whole, some are streams, some of these are left in their midst.
    private static async Task ClientAsync(TestServer server, Random random)
    {
        bool unreserved = false;
        while (true)
        {
            bool stream = random.Next(2) == 0, leaves = stream && random.Next(3) == 0;
            string body = TestServer.Json(new { model = "big", messages = new[] { new { role = "user", content = $"{(leaves ? "leave" : "the hello")} {random.Next(1000)}" } }, max_tokens = random.Next(1, 100), stream });
            using HttpResponseMessage response = await server.PostAsync(Chat, body);
            if (response.StatusCode == HttpStatusCode.TooManyRequests)
            {
                string? code = (string?)TestServer.ErrorOf(await response.Content.ReadAsStringAsync())["code"];
                if (code == "insufficient_quota" && unreserved)
                    return;
                // Refused once more with nothing set aside before: then the last client leaves nothing that it could have used.
                unreserved = code == "insufficient_quota"
                    && Spending.Of(server.Store, new Owner(OwnerKind.Key, server.Key.Id), DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[3].ReservedTokens == 0;
                await Task.Yield();
                continue;
            }

            unreserved = false;
            if (leaves)
                continue; // once it has begun
            Assert.NotEmpty(await response.Content.ReadAsStringAsync());
        }
    }
}
