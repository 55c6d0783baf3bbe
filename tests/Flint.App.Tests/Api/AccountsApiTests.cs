using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>Keys' scopes, limits and budgets as clients meet them.</summary>
public sealed class AccountsApiTests(ITestOutputHelper output)
{
    private const string Completions = "/v1/completions", Chat = "/v1/chat/completions";
    private const string Short = """{"model": "tiny", "prompt": "hello", "max_tokens": 5, "ignore_eos": true}""";
    private const string Ask = """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}""";

    [Theory]
    [InlineData("models", Completions, Short, "the model 'tiny'")]
    [InlineData("routes", Completions, Short, "/v1/completions")]
    [InlineData("addresses", Completions, Short, "the address 127.0.0.1")]
    [InlineData("modes", Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "mode": "contemplating"}""", "the mode 'contemplating'")]
    [InlineData("modes", Chat, Ask, "the mode 'instant', which is this model's own way")]
    [InlineData("tools", Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "tools": [{"type": "function", "function": {"name": "f"}}]}""", "may not use tools")]
    public async Task A_scope_refuses_and_says_which(string scope, string route, string body, string expected)
    {
        await using TestServer server = await TestServer.StartAsync();
        var scopes = scope switch
        {
            "models" => new KeyScopes { Models = ["other", "tin"] },
            "routes" => new KeyScopes { Routes = ["/v1/chat/completions", "/v1/models*"] },
            "addresses" => new KeyScopes { Addresses = ["10.0.0.0/8", "::1"] },
            "modes" => new KeyScopes { Modes = ["thinking"] },
            _ => new KeyScopes { Tools = false },
        };
        using HttpClient client = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("scoped", scopes: scopes).Secret);
        using HttpResponseMessage response = await client.SendAsync(TestServer.Request(route, body));
        Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
        JsonNode error = TestServer.ErrorOf(await response.Content.ReadAsStringAsync());
        Assert.Equal("missing_scope", (string?)error["code"]);
        Assert.Contains(expected, (string?)error["message"], StringComparison.Ordinal);
        Assert.Contains($"'{scope}'", (string?)error["message"], StringComparison.Ordinal);
        Assert.Equal(0, server.Model.Engine.Statistics.PromptTokens);
        if (scope is "models" or "modes" or "tools")
            Assert.Equal(($"refused scope {scope}", 403, "missing_scope"), (server.Records()[0].Policy, server.Records()[0].Status, server.Records()[0].Finish));
        else
            Assert.Empty(server.Records()); // it never came in
    }

    [Fact]
    public async Task A_scoped_key_may_do_what_its_scopes_name()
    {
        await using TestServer server = await TestServer.StartAsync();
        var scopes = new KeyScopes { Models = ["ti*"], Routes = ["/v1/completions", "/v1/chat/*"], Modes = ["instant"], Tools = false, Addresses = ["127.0.0.0/8"] };
        using HttpClient client = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("scoped", scopes: scopes).Secret);
        foreach ((string route, string body) in new[] { (Completions, Short), (Chat, Ask), ("/V1/Completions", Short) })
            Assert.Equal(HttpStatusCode.OK, (await client.SendAsync(TestServer.Request(route, body))).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await client.GetAsync("/v1/models")).StatusCode);
    }

    [Fact]
    public async Task A_key_that_does_not_work_any_more_says_why()
    {
        var time = new FakeTime();
        await using TestServer server = await TestServer.StartAsync(time: time);
        var keys = new Keys(server.Store, time);
        (_, string secret) = keys.Create("other", expires: time.Now.AddHours(2).ToUnixTimeMilliseconds());
        (_, string next) = keys.Rotate("other", TimeSpan.FromHours(1));
        using HttpClient old = server.NewClient(secret), client = server.NewClient(next);
        Assert.Equal((200, 200), ((await CodeAsync(old)).Status, (await CodeAsync(client)).Status));
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal((401, "expired_api_key"), await CodeAsync(old));
        keys.Disable("other", disabled: true);
        Assert.Equal((401, "disabled_api_key"), await CodeAsync(client));
        keys.Disable("other", disabled: false);
        Assert.Equal((200, null), await CodeAsync(client));
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal((401, "expired_api_key"), await CodeAsync(client));
        keys.Revoke("other");
        Assert.Equal((401, "revoked_api_key"), await CodeAsync(client));

        static async Task<(int Status, string? Code)> CodeAsync(HttpClient client)
        {
            using HttpResponseMessage response = await client.GetAsync("/v1/models");
            return ((int)response.StatusCode, (string?)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["error"]?["code"]);
        }
    }

    [Fact]
    public async Task Limits_by_the_minute_are_told_in_headers()
    {
        var time = new FakeTime();
        await using TestServer server = await TestServer.StartAsync(time: time);
        Limits.Set(server.Store, new Owner(OwnerKind.Key, server.Key.Id), new Limits { RequestsPerMinute = 2, TokensPerMinute = 1000 });
        using HttpResponseMessage first = await server.PostAsync(Completions, Short);
        Assert.Equal(["2", "1", "50s"], Headers(first, "requests"));
        int prompt = (int)JsonNode.Parse(await first.Content.ReadAsStringAsync())!["usage"]!["prompt_tokens"]!;
        Assert.Equal(["1000", $"{1000 - prompt - 5}", "50s"], Headers(first, "tokens"));
        using HttpResponseMessage second = await server.PostAsync(Chat, Ask.Replace("\"max_tokens\"", "\"stream\": true, \"max_tokens\""));
        Assert.Equal("0", Headers(second, "requests")[1]);
        await second.Content.ReadAsStringAsync(); // to its end, so that its record comes before the next
        using HttpResponseMessage third = await server.PostAsync("/v1/messages", """{"model": "tiny", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}""");
        Assert.Equal(["2", "0", "2026-11-29T23:59:00Z"], ((string[])["limit", "remaining", "reset"]).Select(name => Assert.Single(third.Headers.GetValues($"anthropic-ratelimit-requests-{name}"))));
        using HttpResponseMessage refused = await server.PostAsync(Completions, Short);
        Assert.Equal((HttpStatusCode.TooManyRequests, "50"), (refused.StatusCode, Assert.Single(refused.Headers.GetValues("Retry-After"))));
        Assert.Equal(["2", "0", "50s"], Headers(refused, "requests"));
        JsonNode error = TestServer.ErrorOf(await refused.Content.ReadAsStringAsync());
        Assert.Equal(("rate_limit_error", "rate_limit_exceeded"), ((string?)error["type"], (string?)error["code"]));
        Assert.Equal((429, "refused key requests_per_minute"), (server.Records()[0].Status, server.Records()[0].Policy));
        time.Advance(TimeSpan.FromSeconds(50));
        Assert.Equal(HttpStatusCode.OK, (await server.PostAsync(Completions, Short)).StatusCode);
    }

    [Fact]
    public async Task A_budget_that_is_used_up_is_a_quota_as_clients_know_it()
    {
        await using TestServer server = await TestServer.StartAsync();
        new Prices(server.Store).Set(new Price { Model = "tiny", Input = 1_000_000, CachedInput = 1_000_000, Output = 2_000_000 });
        Limits.Set(server.Store, new Owner(OwnerKind.Organization, server.Key.OrganizationId), new Limits { MonthlyCost = 200 });
        JsonNode answer = await server.AnswerAsync(Completions, Short);
        long cost = (long)answer["usage"]!["prompt_tokens"]! + 2 * 5;
        Assert.Equal((cost, cost), (server.Records()[0].Cost, Spending.Of(server.Store, new Owner(OwnerKind.Key, server.Key.Id), DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[3].SettledCost));

        using HttpResponseMessage refused = await server.PostAsync(Completions, Short.Replace("\"max_tokens\": 5", "\"max_tokens\": 100"));
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.Equal("false", Assert.Single(refused.Headers.GetValues("x-should-retry")));
        JsonNode error = TestServer.ErrorOf(await refused.Content.ReadAsStringAsync());
        Assert.Equal(("insufficient_quota", "insufficient_quota"), ((string?)error["type"], (string?)error["code"]));
        Assert.Contains("of the organisation 'default' of 0.0002", (string?)error["message"], StringComparison.Ordinal);
        Assert.Equal((0, "refused organization monthly_cost", server.Model.Fingerprint), (server.Records()[0].OutputTokens, server.Records()[0].Policy, server.Records()[0].Fingerprint));
    }

    [Fact]
    public async Task An_answer_without_a_number_ends_where_its_share_of_the_budget_does()
    {
        await using TestServer server = await TestServer.StartAsync();
        Limits.Set(server.Store, new Owner(OwnerKind.Key, server.Key.Id), new Limits { DailyTokens = 200 });
        const string body = """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "ignore_eos": true, "n": 2}""";
        JsonNode answer = await server.AnswerAsync(Chat, body);
        int prompt = (int)answer["usage"]!["prompt_tokens"]!, each = (200 - prompt) / 2 / 2;
        Assert.Equal((2 * each, "length"), ((int)answer["usage"]!["completion_tokens"]!, (string?)answer["choices"]![1]!["finish_reason"]));
        Assert.Equal($"clipped key daily_tokens {each}", server.Records()[0].Policy);
    }

    [Theory]
    [InlineData("""{"rounds": 1, "agents": 3, "agent_tokens": 20}""", null)]
    [InlineData("""{"aggregation": "synthesis", "agents": 4, "agent_tokens": 12}""", 60)]
    [InlineData("""{"aggregation": "vote", "agents": 9, "agent_tokens": 30}""", null)]
    public async Task A_contemplation_keeps_to_what_was_reserved_for_all_its_agents(string options, int? maxTokens)
    {
        await using TestServer server = await TestServer.StartAsync();
        var owner = new Owner(OwnerKind.Key, server.Key.Id);
        Limits.Set(server.Store, owner, new Limits { DailyTokens = 3000 });
        string limit = maxTokens is null ? "" : $", \"max_tokens\": {maxTokens}";
        long settled = 0;
        for (int i = 0; i < 3; i++)
        {
            using HttpResponseMessage response = await server.PostAsync(Chat, $$"""{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "mode": "contemplating", "seed": {{i}}, "contemplation": {{options}}{{limit}}}""");
            Assert.Contains(response.StatusCode, (HttpStatusCode[])[HttpStatusCode.OK, HttpStatusCode.TooManyRequests]);
            Assert.True(i > 0 || response.IsSuccessStatusCode);
            UsageRecord record = server.Records()[0];
            settled += record.PromptTokens + record.OutputTokens;
            Spending day = Spending.Of(server.Store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[2];
            Assert.Equal((settled, 0), (day.SettledTokens, day.ReservedTokens));
            Assert.InRange(settled, 1, 3000);
            Assert.Equal("contemplating", record.Mode);
        }
    }

    [Theory]
    [InlineData(Completions, "openai", Short)]
    [InlineData(Chat, "openai", Ask)]
    [InlineData("/v1/responses", "openai", """{"model": "tiny", "input": "hello", "max_output_tokens": 4}""")]
    [InlineData("/v1/messages", "anthropic", """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}""")]
    [InlineData("/api/chat", "ollama", """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "stream": false, "options": {"num_predict": 4}}""")]
    [InlineData("/api/generate", "ollama", """{"model": "tiny", "prompt": "hello", "stream": false, "options": {"num_predict": 4}}""")]
    public async Task Every_route_spends_the_budget_and_is_refused_without(string route, string dialect, string body)
    {
        await using TestServer server = await TestServer.StartAsync();
        var owner = new Owner(OwnerKind.Key, server.Key.Id);
        using HttpResponseMessage first = await server.PostAsync(route, body);
        Assert.True(first.IsSuccessStatusCode, await first.Content.ReadAsStringAsync());
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((route, dialect, server.Model.Fingerprint), (record.Endpoint, record.Dialect, record.Fingerprint));
        Spending spent = Spending.Of(server.Store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[0];
        Assert.Equal((record.PromptTokens + record.OutputTokens, 0, 0), (spent.SettledTokens, spent.ReservedTokens, spent.Requests));

        Limits.Set(server.Store, owner, new Limits { MonthlyTokens = record.PromptTokens });
        using HttpResponseMessage refused = await server.PostAsync(route, body);
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.Contains("You exceeded your current quota", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(("refused key monthly_tokens", 0), (server.Records()[0].Policy, server.Records()[0].OutputTokens));
    }

    /// <summary>The runs are those of <see cref="BudgetRuns"/>.</summary>
    [Theory]
    [InlineData(StoreKind.Sqlite, 3)]
    [InlineData(StoreKind.Postgres, 1)]
    public Task Sixty_four_clients_never_take_more_than_their_key_has(StoreKind kind, int runs) => BudgetRuns.RunAsync(runs, output, seed => HammerAsync(kind, seed));

    // One server with a file, two that share a server's database.
    private static async Task<string> HammerAsync(StoreKind kind, int seed)
    {
        const long budget = 100_000;
        using TestStore? shared = kind == StoreKind.Postgres ? new TestStore(kind) : null;
        var options = new ServingOptions { Parallel = 64, Waiting = 256 };
        await using TestServer server = await TestServer.StartAsync(options, accounts: shared?.Address);
        await using TestServer? second = shared is null ? null : await TestServer.StartAsync(options, accounts: shared.Address, keyName: "other");
        HttpClient[] clients = second is null ? [server.Client] : [server.Client, second.NewClient(server.Secret)];
        var owner = new Owner(OwnerKind.Key, server.Key.Id);
        Limits.Set(server.Store, owner, new Limits { MonthlyTokens = budget });
        var watch = new BudgetWatch(server.Store, server.Key.Id);
        int[] answers = await Task.WhenAll(Enumerable.Range(0, 64).Select(client => ClientAsync(clients[client % clients.Length], server, new Random(64 * seed + client))));
        await TestServer.UntilAsync(() => Month().ReservedTokens == 0);

        Assert.True(answers.Sum() > 0);
        List<UsageRecord> records = server.Records();
        Assert.Equal(records.Count, records.Select(record => record.RequestId).Distinct().Count());
        Assert.Contains(records, record => record is { Status: 499, OutputTokens: > 0 }); // somebody left in the midst of an answer
        Assert.Equal(Month().SettledTokens, records.Sum(record => record.PromptTokens + record.OutputTokens));
        Assert.InRange(Month().SettledTokens, budget - 600, budget); // all but what no request fits into
        Assert.Equal(server.Model.Engine.Statistics.OutputTokens + (second?.Model.Engine.Statistics.OutputTokens ?? 0), records.Sum(record => record.OutputTokens));
        Assert.True(second is null || second.Model.Engine.Statistics.OutputTokens > 0);
        Assert.Null(AuditChain.Verify(server.Store).Fault);
        watch.Check(budget, Month().SettledTokens);
        return $"{answers.Sum()} answers, {records.Count(record => record.Status == 499)} left, {records.Count(record => record.Status == 429)} refused, {Month().SettledTokens} tokens";

        Spending Month() => Spending.Of(server.Store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[3];
    }

    // Asks until the budget is used up; some answers are whole, some are streams, some of these are left in their midst.
    private static async Task<int> ClientAsync(HttpClient client, TestServer server, Random random)
    {
        string text = string.Concat(Enumerable.Repeat("the hello ", 20));
        for (int answers = 0; ; answers++)
        {
            bool stream = random.Next(2) == 0, leaves = stream && random.Next(2) == 0;
            string body = TestServer.Json(new { model = "tiny", prompt = text + random.Next(1000), max_tokens = random.Next(1, 100), n = random.Next(1, 3), ignore_eos = true, stream });
            using HttpResponseMessage response = await client.SendAsync(TestServer.Request(Completions, body), HttpCompletionOption.ResponseHeadersRead);
            if (response.StatusCode == HttpStatusCode.TooManyRequests)
            {
                if ((string?)TestServer.ErrorOf(await response.Content.ReadAsStringAsync())["code"] == "insufficient_quota" && Spending.Of(server.Store, new Owner(OwnerKind.Key, server.Key.Id), 0)[0].ReservedTokens == 0)
                    return answers;
                await Task.Yield();
                continue;
            }

            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            if (leaves)
                _ = await (await response.Content.ReadAsStreamAsync()).ReadAsync(new byte[64]);
            else
                Assert.NotEmpty(await response.Content.ReadAsStringAsync());
        }
    }

    private static string[] Headers(HttpResponseMessage response, string of) =>
        [.. ((string[])["limit", "remaining", "reset"]).Select(what => Assert.Single(response.Headers.GetValues($"x-ratelimit-{what}-{of}")))];
}
