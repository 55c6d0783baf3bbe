using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Policy;
using Flint.App.Tests.Upstreams;
using Flint.App.Upstreams;

namespace Flint.App.Tests.Api;

/// <summary>Models that upstreams serve, as clients meet them: the same keys, budgets, policies and records as for any other.</summary>
public sealed class UpstreamApiTests : IAsyncLifetime
{
    private const string Chat = "/v1/chat/completions";
    private const string Ask = """ "model": "big", "messages": [{"role": "user", "content": "hi"}] """;

    private readonly TemporaryFolder _folder = new();
    private FakeUpstream _upstream = null!;

    public async ValueTask InitializeAsync() => _upstream = await FakeUpstream.StartAsync();

    public async ValueTask DisposeAsync()
    {
        await _upstream.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task An_answer_is_asked_of_the_upstream_in_its_words_and_with_its_key()
    {
        File.WriteAllText(_folder.File("key"), "sk-theirs\n");
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(
            context, [FakeUpstream.Thought("Let me see."), FakeUpstream.Text("Hello"), FakeUpstream.Call(0, "x", "f", "{\"a\""), FakeUpstream.Call(0, null, null, ":1}"), FakeUpstream.End(), FakeUpstream.Usage(21, 8, 5), FakeUpstream.Done]);
        await using TestServer server = await StartAsync(null, _upstream.Target() with { KeyFile = _folder.File("key") });
        JsonNode answer = await server.AnswerAsync(Chat, """
            {"model": "big", "messages": [{"role": "developer", "content": "brief"}, {"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}, {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "1"}],
             "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "max_tokens": 99, "temperature": 0.7, "top_k": 5, "seed": -3, "stop": ["END"], "reasoning_effort": "low", "logit_bias": {"7": -1.5}, "chat_template_kwargs": {"deep": true}}
            """);
        JsonNode message = answer["choices"]![0]!["message"]!;
        Assert.Equal(("Let me see.", "Hello", "tool_calls"), ((string?)message["reasoning_content"], (string?)message["content"], (string?)answer["choices"]![0]!["finish_reason"]));
        JsonNode call = Assert.Single(message["tool_calls"]!.AsArray())!;
        Assert.Equal(("f", "{\"a\":1}"), ((string?)call["function"]!["name"], (string?)call["function"]!["arguments"]));
        Assert.StartsWith("call_", (string?)call["id"], StringComparison.Ordinal);
        Assert.Equal((21, 8, 5), ((int)answer["usage"]!["prompt_tokens"]!, (int)answer["usage"]!["completion_tokens"]!, (int)answer["usage"]!["prompt_tokens_details"]!["cached_tokens"]!));

        Assert.Equal("Bearer sk-theirs", Assert.Single(_upstream.Keys));
        Assert.Equal(JsonNode.Parse("""
            {"model": "their/model", "messages": [{"role": "system", "content": "brief"}, {"role": "user", "content": "hi"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "content": "1", "tool_call_id": "c"}],
             "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 99, "stop": ["END"], "temperature": 0.7, "top_p": 1,
             "seed": -3, "logit_bias": {"7": -1.5}, "reasoning_effort": "low", "top_k": 5, "chat_template_kwargs": {"deep": true}}
            """)!.ToJsonString(), Assert.Single(_upstream.Bodies).ToJsonString());
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal(("big", "upstream:one", 200, "tool_calls", 21, 5, 8), (record.Model, record.Fingerprint, record.Status, record.Finish, record.PromptTokens, record.CachedTokens, record.OutputTokens));
        Assert.InRange(record.ReasoningTokens, 1, 7); // the upstream does not tell: by their share of the bytes
        Assert.True(record.TotalMs >= record.FirstTokenMs && record.FirstTokenMs > 0);
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"model": "big", "messages": [{"role": "user", "content": "hi"}], "stream": STREAM}""")]
    [InlineData("/v1/responses", """{"model": "big", "input": "hi", "stream": STREAM}""")]
    [InlineData("/v1/messages", """{"model": "big", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "stream": STREAM}""")]
    [InlineData("/api/chat", """{"model": "big", "messages": [{"role": "user", "content": "hi"}], "stream": STREAM}""")]
    [InlineData("/api/generate", """{"model": "big", "prompt": "hi", "stream": STREAM}""")]
    public async Task Every_chat_is_answered_refused_and_recorded_in_its_own_words(string route, string body)
    {
        await using TestServer server = await StartAsync(null, _upstream.Target());
        foreach (string stream in (string[])["false", "true"])
        {
            using HttpResponseMessage response = await server.PostAsync(route, body.Replace("STREAM", stream));
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, text);
            Assert.Contains("Hello", text, StringComparison.Ordinal);
            Assert.Contains(" there", text, StringComparison.Ordinal);
            Assert.Equal((200, "stop", 9, 4), (server.Records()[0].Status, server.Records()[0].Finish, server.Records()[0].PromptTokens, server.Records()[0].OutputTokens));
        }

        _upstream.Answer = (context, _) => FakeUpstream.RefuseAsync(context, 503, "secret");
        using HttpResponseMessage failed = await server.PostAsync(route, body.Replace("STREAM", "true"));
        Assert.Equal(HttpStatusCode.BadGateway, failed.StatusCode);
        Assert.Contains("The upstream of the model 'big' answered with status 503.", await failed.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal((502, UpstreamFault.FailedCode, 0, "failed upstream one upstream_failed"), (server.Records()[0].Status, server.Records()[0].Finish, server.Records()[0].PromptTokens, server.Records()[0].Policy));
    }

    [Theory]
    [InlineData(500)]
    [InlineData(429)]
    [InlineData(401)]
    [InlineData(307)] // to the other one, and not followed
    [InlineData(200)] // and then nothing
    public async Task Until_something_is_told_another_target_is_asked(int status)
    {
        await using FakeUpstream other = await FakeUpstream.StartAsync();
        _upstream.Answer = (context, _) =>
        {
            context.Response.Headers.Location = new Uri(other.Address, "chat/completions").ToString();
            return status == 200 ? FakeUpstream.SayAsync(context, [FakeUpstream.Delta(new { role = "assistant", content = "" })]) : FakeUpstream.RefuseAsync(context, status);
        };
        await using TestServer server = await StartAsync(null, _upstream.Target(), other.Target("two"));
        List<JsonNode> chunks = await server.StreamAsync(Chat, "{" + Ask + ", \"stream\": true}");
        Assert.Equal("Hello there", string.Concat(chunks.Select(chunk => (string?)chunk["choices"]![0]!["delta"]!["content"])));
        Assert.Equal((1, 1), (_upstream.Bodies.Count, other.Bodies.Count));
        Assert.Equal("upstream:two", server.Records()[0].Fingerprint);
        Assert.StartsWith("failed upstream one upstream_", server.Records()[0].Policy, StringComparison.Ordinal);
        string metrics = await server.Client.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
        foreach (string line in (string[])["requests_total{model=\"big\",target=\"one\"} 1", "failures_total{model=\"big\",target=\"one\"} 1", "failures_total{model=\"big\",target=\"two\"} 0", "up{model=\"big\",target=\"two\"} 1", "circuit_open{model=\"big\",target=\"one\"} 0", "in_flight{model=\"big\",target=\"two\"} 0"])
            Assert.Contains("\nflint_upstream_" + line + "\n", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_listens_there_and_another_target_is_asked()
    {
        await using TestServer server = await StartAsync(null, _upstream.Target("gone") with { BaseUrl = new Uri("http://127.0.0.1:1/v1/") }, _upstream.Target());
        Assert.Equal("Hello there", (string?)(await server.AnswerAsync(Chat, "{" + Ask + "}"))["choices"]![0]!["message"]!["content"]);
        Assert.Equal("failed upstream gone upstream_unavailable", server.Records()[0].Policy);
    }

    [Theory]
    [InlineData("aborts")]
    [InlineData("ends")]
    [InlineData("tells")]
    public async Task An_answer_that_breaks_off_is_not_begun_anew(string how)
    {
        var begun = new TaskCompletionSource();
        await using FakeUpstream other = await FakeUpstream.StartAsync();
        _upstream.Answer = async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Text("12345678")]);
            await begun.Task;
            if (how == "aborts")
                context.Abort();
            else if (how == "tells")
                await FakeUpstream.SayAsync(context, [FakeUpstream.Event(new { error = new { message = "secret" } })]);
        };
        await using TestServer server = await StartAsync(null, _upstream.Target(), other.Target("two"));
        using HttpResponseMessage response = await server.PostAsync(Chat, "{" + Ask + ", \"stream\": true}");
        begun.SetResult();
        string text = await response.Content.ReadAsStringAsync();
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Contains("12345678", text, StringComparison.Ordinal);
        Assert.Contains(UpstreamFault.FailedCode, text, StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", text, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
        Assert.Empty(other.Bodies);
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((502, UpstreamFault.FailedCode, "upstream:one"), (record.Status, record.Finish, record.Fingerprint));
        Assert.Equal((16, 4), (record.PromptTokens, record.OutputTokens)); // a token for two bytes
    }

    [Fact]
    public async Task An_answer_that_is_whole_needs_nothing_behind_it()
    {
        var time = new FakeTime();
        _upstream.Answer = async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Event(new { choices = new[] { new { index = 0, delta = new { content = "Hello" }, finish_reason = "stop" } } })]);
            await FakeUpstream.StallAsync(context);
        };
        await using TestServer server = await StartAsync(null, time, _upstream.Target());
        Task<JsonNode> asked = server.AnswerAsync(Chat, "{" + Ask + "}");
        await TestServer.UntilAsync(() => _upstream.Bodies.Count == 1 && time.UntilNext == TimeSpan.FromSeconds(60));
        time.Advance(TimeSpan.FromSeconds(60)); // it reads on until nothing comes
        Assert.Equal("Hello", (string?)(await asked)["choices"]![0]!["message"]!["content"]);
        Assert.Equal((200, "stop", 3), (server.Records()[0].Status, server.Records()[0].Finish, server.Records()[0].OutputTokens));
    }

    [Fact]
    public async Task What_the_caller_can_mend_is_told_without_what_is_not_the_callers_to_know()
    {
        File.WriteAllText(_folder.File("key"), "sk-theirs");
        _upstream.Answer = (context, _) => FakeUpstream.RefuseAsync(context, 400, $"their/model at {_upstream.Address}x ({_upstream.Address.Authority}), key sk-theirs:\nmax_tokens is too large");
        await using FakeUpstream other = await FakeUpstream.StartAsync();
        await using TestServer server = await StartAsync(null, _upstream.Target() with { KeyFile = _folder.File("key") }, other.Target("two"));
        (int status, JsonNode error) = await server.RefusalAsync(Chat, "{" + Ask + ", \"stream\": true}");
        Assert.Equal((400, UpstreamFault.RefusedCode), (status, (string?)error["code"]));
        Assert.Equal("The upstream refused the request: big at [address] ([address]), key [key]: max_tokens is too large", (string?)error["message"]);
        Assert.Empty(other.Bodies);
        Assert.Equal((400, 0), (server.Records()[0].Status, server.Records()[0].PromptTokens));
    }

    [Fact]
    public async Task Nobody_answers_and_the_caller_is_told_when_to_come_back()
    {
        _upstream.Answer = (context, _) =>
        {
            context.Response.Headers.RetryAfter = "17";
            return FakeUpstream.RefuseAsync(context, 429);
        };
        await using TestServer server = await StartAsync(null, _upstream.Target());
        using HttpResponseMessage busy = await server.PostAsync(Chat, "{" + Ask + "}");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "17"), (busy.StatusCode, Assert.Single(busy.Headers.GetValues("Retry-After"))));
        Assert.Equal(UpstreamFault.UnavailableCode, (string?)TestServer.ErrorOf(await busy.Content.ReadAsStringAsync())["code"]);
    }

    [Fact]
    public async Task A_target_that_fails_again_and_again_is_left_alone_for_a_while()
    {
        var time = new FakeTime();
        _upstream.Answer = (context, _) => FakeUpstream.RefuseAsync(context, 500);
        await using TestServer server = await StartAsync(plain => plain with { CircuitFailures = 2 }, time, _upstream.Target());
        foreach (int status in (int[])[502, 502, 503, 503])
            Assert.Equal(status, (await server.RefusalAsync(Chat, "{" + Ask + "}")).Status);
        Assert.Equal(2, _upstream.Bodies.Count);
        time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(502, (await server.RefusalAsync(Chat, "{" + Ask + "}")).Status);
        Assert.Equal(503, (await server.RefusalAsync(Chat, "{" + Ask + "}")).Status);
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(context, [FakeUpstream.Text("Hello"), FakeUpstream.End(), FakeUpstream.Done]);
        time.Advance(TimeSpan.FromSeconds(30));
        for (int i = 0; i < 3; i++)
            await server.AnswerAsync(Chat, "{" + Ask + "}");
        Assert.Equal(6, _upstream.Bodies.Count);
    }

    [Theory]
    [InlineData(false, 120)]
    [InlineData(true, 60)]
    public async Task Waits_have_an_end(bool afterFirst, int seconds)
    {
        var time = new FakeTime();
        _upstream.Answer = async (context, _) =>
        {
            if (afterFirst)
                await FakeUpstream.SayAsync(context, [FakeUpstream.Text("Hello")]);
            await FakeUpstream.StallAsync(context);
        };
        await using TestServer server = await StartAsync(null, time, _upstream.Target());
        Task<HttpResponseMessage> asked = server.PostAsync(Chat, "{" + Ask + ", \"stream\": true}");
        HttpResponseMessage? response = afterFirst ? await asked : null;
        await TestServer.UntilAsync(() => _upstream.Bodies.Count == 1 && time.UntilNext == TimeSpan.FromSeconds(seconds));
        time.Advance(TimeSpan.FromSeconds(seconds));
        response ??= await asked;
        string text = await response.Content.ReadAsStringAsync();
        Assert.Equal(afterFirst ? HttpStatusCode.OK : HttpStatusCode.GatewayTimeout, response.StatusCode);
        Assert.Contains(UpstreamFault.TimeoutCode, text, StringComparison.Ordinal);
        await TestServer.UntilAsync(() => server.Records().Count == 1);
        Assert.Equal((504, UpstreamFault.TimeoutCode), (server.Records()[0].Status, server.Records()[0].Finish));
        await TestServer.UntilAsync(() => _upstream.Aborted == 1);
        response.Dispose();
    }

    [Fact]
    public async Task A_client_that_leaves_ends_the_upstreams_work_and_is_recorded()
    {
        _upstream.Answer = async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Text("Hello there")]);
            await FakeUpstream.StallAsync(context);
        };
        await using TestServer server = await StartAsync(null, _upstream.Target() with { Concurrency = 1 });
        HttpResponseMessage response = await server.PostAsync(Chat, "{" + Ask + ", \"stream\": true}");
        Assert.True(await (await response.Content.ReadAsStreamAsync()).ReadAsync(new byte[100]) > 0);
        Assert.Equal((429, UpstreamFault.BusyCode), await CodeAsync());
        response.Dispose();
        await TestServer.UntilAsync(() => server.Records().Count == 2 && _upstream.Aborted == 1);
        UsageRecord record = server.Records()[0];
        Assert.Equal((499, "cancelled", "upstream:one", 6), (record.Status, record.Finish, record.Fingerprint, record.OutputTokens));
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(context, [FakeUpstream.Text("x"), FakeUpstream.End(), FakeUpstream.Done]);
        await server.AnswerAsync(Chat, "{" + Ask + "}"); // the place is free again

        async Task<(int, string?)> CodeAsync()
        {
            (int status, JsonNode error) = await server.RefusalAsync(Chat, "{" + Ask + "}");
            return (status, (string?)error["code"]);
        }
    }

    [Fact]
    public async Task Budgets_hold_by_the_most_that_an_upstream_may_use()
    {
        await using TestServer server = await StartAsync(plain => plain with { PromptOverhead = 100, MaxOutput = 50 }, _upstream.Target());
        var owner = new Owner(OwnerKind.Key, server.Key.Id);
        Limits.Set(server.Store, owner, new Limits { MonthlyTokens = 150 }); // the prompt's bytes are more than none
        (int status, JsonNode error) = await server.RefusalAsync(Chat, "{" + Ask + ", \"max_tokens\": 50}");
        Assert.Equal((429, "insufficient_quota"), (status, (string?)error["code"]));
        Assert.Empty(_upstream.Bodies);

        // What an upstream says beyond that is not taken from the budget, and is told.
        Limits.Set(server.Store, owner, new Limits { MonthlyTokens = 300 });
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(context, [FakeUpstream.Text("x"), FakeUpstream.End("length"), FakeUpstream.Usage(1000, 77), FakeUpstream.Done]);
        JsonNode answer = await server.AnswerAsync(Chat, "{" + Ask + ", \"max_tokens\": 90}"); // no more than the configuration has
        Assert.Equal(50, (int)_upstream.Bodies[0]["max_tokens"]!);
        UsageRecord record = server.Records()[0];
        Assert.InRange(record.PromptTokens, 101, 200);
        Assert.Equal((50, $"exceeded upstream one {1000 - record.PromptTokens + 27}"), (record.OutputTokens, record.Policy));
        Assert.Equal(50, (int)answer["usage"]!["completion_tokens"]!);
        Spending spent = Spending.Of(server.Store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[3];
        Assert.Equal((record.PromptTokens + 50, 0), (spent.SettledTokens, spent.ReservedTokens));
    }

    [Fact]
    public async Task A_target_with_a_price_is_settled_at_it_and_reserved_at_the_dearest()
    {
        var cheap = new Price { Input = 1_000_000, CachedInput = 500_000, Output = 2_000_000 };
        await using TestServer server = await StartAsync(plain => plain with { PromptOverhead = 0, MaxOutput = 10 }, _upstream.Target() with { Price = cheap });
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(context, [FakeUpstream.Text("x"), FakeUpstream.End(), FakeUpstream.Usage(10, 4, 4), FakeUpstream.Done]);
        new Prices(server.Store).Set(new Price { Model = "big", Input = 9_000_000, CachedInput = 1, Output = 1 });
        await server.AnswerAsync(Chat, "{" + Ask + "}");
        Assert.Equal(6 + 2 + 8, server.Records()[0].Cost);
        var owner = new Owner(OwnerKind.Key, server.Key.Id);
        int bytes = """[{"role":"user","content":"hi"}]""".Length;
        Limits.Set(server.Store, owner, new Limits { MonthlyCost = 16 + 9 * bytes + 2 * 3 - 1 });
        Assert.Equal(429, (await server.RefusalAsync(Chat, "{" + Ask + ", \"max_tokens\": 3}")).Status);
        Limits.Set(server.Store, owner, new Limits { MonthlyCost = 16 + 9 * bytes + 2 * 3 });
        await server.AnswerAsync(Chat, "{" + Ask + ", \"max_tokens\": 3}");
    }

    [Fact]
    public async Task Rules_hold_for_what_upstreams_write()
    {
        var policies = new Policies();
        policies.Replace(new PolicyTable(new Dictionary<string, PolicyRules>
        {
            ["house"] = new("house")
            {
                Input = [new("greetings", RuleAction.Redact, new WordList(["hi"]))],
                Output = [new("birds", RuleAction.Deny, new WordList(["kestrel"]))],
            },
        }, "house"));
        _upstream.Answer = async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Text("A kes"), FakeUpstream.Text("trel "), FakeUpstream.Text("flies")]);
            await FakeUpstream.StallAsync(context);
        };
        await using TestServer server = await TestServer.StartAsync(policies: policies, upstreams: FakeUpstream.Serve(null, null, _upstream.Target()));
        List<JsonNode> chunks = await server.StreamAsync(Chat, "{" + Ask + ", \"stream\": true}");
        Assert.Equal("A ", string.Concat(chunks.Select(chunk => (string?)chunk["choices"]![0]!["delta"]!["content"])));
        Assert.Equal("content_filter", (string?)chunks[^1]["choices"]![0]!["finish_reason"]);
        Assert.Equal("[redacted]", (string?)_upstream.Bodies[0]["messages"]![0]!["content"]);
        Assert.Equal("redacted greetings messages[0].content:0; denied birds content:2", server.Records()[0].Policy);
        await TestServer.UntilAsync(() => _upstream.Aborted == 1);

        // A filter of the upstream's is told as one of this server's.
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(context, [FakeUpstream.Text("A"), FakeUpstream.End("content_filter"), FakeUpstream.Done]);
        JsonNode response = await server.AnswerAsync("/v1/responses", """{"model": "big", "input": "hi"}""");
        Assert.Equal(("incomplete", "content_filter"), ((string?)response["status"], (string?)response["incomplete_details"]!["reason"]));
    }

    private static Task<TestServer> StartAsync(Func<UpstreamOptions, UpstreamOptions>? options, params TargetOptions[] targets) => StartAsync(options, null, targets);

    private static Task<TestServer> StartAsync(Func<UpstreamOptions, UpstreamOptions>? options, FakeTime? time, params TargetOptions[] targets) =>
        TestServer.StartAsync(upstreams: FakeUpstream.Serve(time, options, targets));
}
