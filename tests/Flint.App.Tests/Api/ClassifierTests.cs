using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Policy;
using Flint.App.Tests.Upstreams;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Tests.Api;

/// <summary>Rules that ask a model, as clients meet them.</summary>
public sealed class ClassifierTests : IAsyncLifetime
{
    private const string Chat = "/v1/chat/completions", Completions = "/v1/completions";
    private const string User = """ "model": "tiny", "messages": [{"role": "system", "content": "brief"}, {"role": "user", "content": "hi you"}], "temperature": 0 """;

    private static readonly string[] Script = ["<think>", "Well.", "</think>", "Take\u2581the", "\u2581sec", "ret\u2581road", "\u2581home", "<|im_end|>"];

    private FakeUpstream _judge = null!;

    // It denies texts with a word in them.
    public async ValueTask InitializeAsync() => _judge = await FakeUpstream.StartAsync((context, body) =>
        FakeUpstream.SayAsync(context, [FakeUpstream.Text(((string)body["messages"]![0]!["content"]!).Contains("secret", StringComparison.Ordinal) ? "Yes." : "no, it does not"), FakeUpstream.End(), FakeUpstream.Usage(30, 2), FakeUpstream.Done]));

    public ValueTask DisposeAsync() => _judge.DisposeAsync();

    [Fact]
    public async Task Input_is_judged_before_the_answer_and_the_operator_pays()
    {
        await using TestServer server = await StartAsync(Rule() with { OnInput = true, Roles = ["user"] });
        new Prices(server.Store).Set(new Price { Model = "big", Input = 1_000_000, CachedInput = 1_000_000, Output = 1_000_000 });
        JsonNode answer = await server.AnswerAsync(Chat, "{" + User + "}");
        Assert.Equal("Take the secret road home", (string?)answer["choices"]![0]!["message"]!["content"]);
        Assert.Equal("Judge: hi you!", (string?)Assert.Single(_judge.Bodies)["messages"]![0]!["content"]);
        Assert.Equal((0f, 16), ((float)_judge.Bodies[0]["temperature"]!, (int)_judge.Bodies[0]["max_tokens"]!));
        UsageRecord[] records = [.. server.Records()];
        Assert.Equal([Chat, Classifier.Route], records.Select(record => record.Endpoint));
        Assert.Equal((null, "big", "upstream:one", 30L, 2L, 32L, 200), (records[1].KeyId, records[1].Model, records[1].Fingerprint, records[1].PromptTokens, records[1].OutputTokens, records[1].Cost, records[1].Status));
        Assert.Equal($"allowed harm messages[1].content:0 of {records[0].RequestId}", records[1].Policy);
        Assert.Equal((0L, ""), (records[0].Cost, records[0].Policy));
        Assert.NotNull(records[0].KeyId);

        long computed = server.Model.Engine.Statistics.PromptTokens;
        (int status, JsonNode error) = await server.RefusalAsync(Chat, "{" + User.Replace("hi you", "the secret?") + "}");
        Assert.Equal((400, "content_policy_violation", "messages[1].content"), (status, (string?)error["code"], (string?)error["param"]));
        records = [.. server.Records()];
        Assert.Equal(("denied harm messages[1].content:0", "content_policy_violation"), (records[0].Policy, records[0].Finish));
        Assert.StartsWith("denied harm", records[1].Policy, StringComparison.Ordinal);
        Assert.Equal(computed, server.Model.Engine.Statistics.PromptTokens);

        // What was judged before is not asked again.
        await server.AnswerAsync(Chat, "{" + User + "}");
        await server.RefusalAsync(Chat, "{" + User.Replace("hi you", "the secret?") + "}");
        Assert.Equal(2, _judge.Bodies.Count);
    }

    [Theory]
    [InlineData(Chat, "{" + User + "}", "\"finish_reason\":\"content_filter\"")]
    [InlineData(Chat, "{" + User + """, "stream": true, "n": 2}""", "\"finish_reason\":\"content_filter\"")]
    [InlineData("/v1/messages", "{" + User + """, "max_tokens": 50, "stream": true}""", "\"stop_reason\":\"refusal\"")]
    [InlineData("/v1/responses", """{"model": "tiny", "input": "hi you", "temperature": 0, "stream": true}""", "\"reason\":\"content_filter\"")]
    [InlineData("/api/chat", """{"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "options": {"temperature": 0}}""", "\"done_reason\":\"content_filter\"")]
    [InlineData(Completions, """{"model": "tiny", "prompt": "hi\n", "temperature": 0, "max_tokens": 30, "stream": true}""", "\"finish_reason\":\"content_filter\"")]
    [InlineData(Chat, "{" + User + """, "mode": "contemplating", "contemplation": {"agents": 2, "agent_tokens": 30}, "stream": true}""", "\"finish_reason\":\"content_filter\"")]
    public async Task An_answer_ends_before_what_is_denied(string route, string body, string end)
    {
        await using TestServer server = await StartAsync(Rule() with { OnOutput = true, Window = 14, Overlap = 7 });
        using HttpResponseMessage response = await server.PostAsync(route, body);
        string told = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, told);
        Assert.Contains(end, told, StringComparison.Ordinal);
        foreach (string part in (string[])["secre", "ret road", "home"])
            Assert.DoesNotContain(part, told, StringComparison.Ordinal);
        UsageRecord record = server.Records().First(one => one.Endpoint != Classifier.Route);
        Assert.Equal("content_filter", record.Finish);
        Assert.Contains("denied harm ", record.Policy, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_told_before_is_what_was_judged_with_what_follows()
    {
        await using TestServer server = await StartAsync(Rule() with { OnOutput = true, Window = 14, Overlap = 7 });
        JsonNode answer = await server.AnswerAsync(Chat, "{" + User + "}");
        // The first window has "Take the secre", the second begins at 7.
        Assert.Equal(("Take th", "Well."), ((string?)answer["choices"]![0]!["message"]!["content"], (string?)answer["choices"]![0]!["message"]!["reasoning_content"]));
        Assert.Equal("denied harm content:7", server.Records().First(one => one.Endpoint == Chat).Policy);
        await using TestServer passing = await StartAsync(Rule() with { OnOutput = true, Window = 14, Overlap = 7, Denies = ["never"] });
        answer = await passing.AnswerAsync(Chat, "{" + User + ", \"max_tokens\": 4}");
        Assert.Equal("length", (string?)answer["choices"]![0]!["finish_reason"]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_cannot_be_judged_passes_or_not_as_the_rule_says(bool open)
    {
        _judge.Answer = (context, _) => FakeUpstream.RefuseAsync(context, StatusCodes.Status500InternalServerError);
        await using TestServer server = await StartAsync(Rule() with { OnInput = true, Roles = ["user"], FailsOpen = open });
        using HttpResponseMessage response = await server.PostAsync(Chat, "{" + User + "}");
        UsageRecord record = server.Records().First(one => one.Endpoint == Chat), judged = server.Records().First(one => one.Endpoint == Classifier.Route);
        Assert.Equal((503, "upstream_failed"), (judged.Status, judged.Finish));
        Assert.Equal($"{(open ? "passed" : "failed")} harm messages[1].content:0 upstream_failed", record.Policy);
        Assert.Equal(open ? HttpStatusCode.OK : HttpStatusCode.ServiceUnavailable, response.StatusCode);
        if (open)
            return;
        Assert.True(response.Headers.Contains("Retry-After"));
        Assert.Equal((503, Classifier.FailedCode), (record.Status, record.Finish));

        // An answer that means nothing, and none at all in time.
        _judge.Answer = (context, _) => FakeUpstream.SayAsync(context, [FakeUpstream.Text("Nobody knows"), FakeUpstream.End(), FakeUpstream.Usage(1, 2), FakeUpstream.Done]);
        await server.RefusalAsync(Chat, "{" + User + "}");
        Assert.EndsWith(" classifier_unclear", server.Records().First(one => one.Endpoint == Chat).Policy, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_answer_that_cannot_be_judged_fails()
    {
        await using TestServer server = await StartAsync(Rule() with { OnOutput = true, Window = 14, Overlap = 7 });
        _judge.Answer = (context, body) => ((string)body["messages"]![0]!["content"]!).Contains("Well", StringComparison.Ordinal)
            ? FakeUpstream.SayAsync(context, [FakeUpstream.Text("no"), FakeUpstream.End(), FakeUpstream.Usage(1, 1), FakeUpstream.Done])
            : FakeUpstream.RefuseAsync(context, StatusCodes.Status503ServiceUnavailable);
        using HttpResponseMessage response = await server.PostAsync(Chat, "{" + User + ", \"stream\": true}");
        string told = await response.Content.ReadAsStringAsync();
        Assert.DoesNotContain("Take", told, StringComparison.Ordinal);
        Assert.Contains(Classifier.FailedCode, told, StringComparison.Ordinal);
        UsageRecord record = server.Records().First(one => one.Endpoint == Chat);
        Assert.Equal((503, Classifier.FailedCode), (record.Status, record.Finish));
        Assert.True(record.OutputTokens > 3); // which are paid
    }

    [Fact]
    public async Task A_late_judge_is_not_waited_for()
    {
        var time = new FakeTime();
        _judge.Answer = (context, _) => FakeUpstream.StallAsync(context);
        await using TestServer server = await StartAsync(Rule() with { OnInput = true, Roles = ["user"], Timeout = TimeSpan.FromSeconds(3) }, time);
        Task<HttpResponseMessage> asked = server.PostAsync(Chat, "{" + User + "}");
        await TestServer.UntilAsync(() => _judge.Bodies.Count == 1 && time.UntilNext is not null);
        time.Advance(TimeSpan.FromSeconds(3));
        using HttpResponseMessage response = await asked;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.Equal("failed harm messages[1].content:0 classifier_timeout", server.Records().First(one => one.Endpoint == Chat).Policy);
    }

    [Fact]
    public async Task Who_is_over_a_limit_has_nothing_judged()
    {
        await using TestServer server = await StartAsync(Rule() with { OnInput = true });
        Limits.Set(server.Store, new Owner(OwnerKind.Key, 1), new Limits { DailyTokens = 1 });
        (int status, _) = await server.RefusalAsync(Chat, "{" + User + "}");
        Assert.Equal(429, status);
        Assert.Empty(_judge.Bodies);
    }

    [Fact]
    public async Task A_model_of_the_server_judges_and_is_not_judged_itself()
    {
        // The last character of a prompt decides what is said: of the question's, and of those of two rules.
        (char, string[])[] scripts = [('?', ["All", "\u2581is", "\u2581good", "<|im_end|>"]), ('~', ["safe", "<|im_end|>"]), ('#', ["unsafe", "<|im_end|>"])];
        var policies = new Policies();
        policies.Replace(Table(Rule() with { Model = "tiny", Prompt = "Is it? {text}", Denies = ["unsafe"], Allows = ["safe"], OnInput = true, OnOutput = true }));
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, "{% for m in messages %}{{ m.content }}{% endfor %}", 512, scripts), policies: policies);
        (int status, JsonNode error) = await server.RefusalAsync(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "#"}], "temperature": 0}""");
        Assert.Equal((400, "content_policy_violation"), (status, (string?)error["code"]));
        UsageRecord judged = server.Records().Single(one => one.Endpoint == Classifier.Route);
        Assert.Equal((server.Model.Fingerprint, 2L, null), (judged.Fingerprint, judged.OutputTokens, judged.KeyId));
        Assert.True(judged is { PromptTokens: > 0, CpuMs: > 0 });

        policies.Replace(Table(Rule() with { Model = "tiny", Prompt = "Is it? {text}~", Denies = ["unsafe"], Allows = ["safe"], OnOutput = true }));
        JsonNode answer = await server.AnswerAsync(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "Well?"}], "temperature": 0}""");
        Assert.Equal("All is good", (string?)answer["choices"]![0]!["message"]!["content"]);
        Assert.Equal(2, server.Records().Count(one => one.Endpoint == Classifier.Route));
    }

    private static ClassifierRule Rule() => new("harm", "big", "Judge: {text}!") { Denies = ["yes"], Allows = ["no"] };

    private static PolicyTable Table(ClassifierRule rule) => new(new Dictionary<string, PolicyRules> { ["house"] = new("house") { Classifiers = [rule] } }, "house");

    private Task<TestServer> StartAsync(ClassifierRule rule, FakeTime? time = null)
    {
        var policies = new Policies();
        policies.Replace(Table(rule));
        return TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', Script), policies: policies, upstreams: FakeUpstream.Serve(null, null, _judge.Target()), time: time);
    }
}
