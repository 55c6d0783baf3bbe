using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Policy;
using Flint.App.Serving;
using Flint.Contemplate;
using static Flint.App.Tests.Api.ChatDialects;

namespace Flint.App.Tests.Api;

/// <summary>Modes are asked for, and told, in the same words in the chats of every API.</summary>
public sealed class ModeDialectTests
{
    private static readonly string[] Thoughtful = ["<think>", "Six\u2581times\u2581seven.", "</think>", "42", "<|im_end|>"];

    public static TheoryData<string> Routes => All;

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task A_mode_is_named_by_field_then_by_the_models_name_then_by_effort(string route)
    {
        await using TestServer server = await StartAsync();
        async Task<(string? Mode, string? Approximation, JsonNode Answer)> AskAsync(string model, string fields)
        {
            using HttpResponseMessage response = await server.PostAsync(route, Body(route, model, fields));
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, text);
            string? Header(string name) => response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.Single() : null;
            return (Header("x-flint-mode"), Header("x-flint-mode-approximation"), JsonNode.Parse(text)!);
        }

        async Task<string?> ModeAsync(string model, string fields) => (await AskAsync(model, fields)).Mode;

        Assert.Null(await ModeAsync("tiny", ""));
        Assert.Equal("instant", await ModeAsync("tiny", ", \"mode\": \"instant\""));
        Assert.Equal("instant", await ModeAsync("tiny:thinking", ", \"mode\": \"instant\""));
        Assert.Equal("thinking", await ModeAsync("tiny:thinking", Effort(route, "contemplating")));
        Assert.Equal("instant", await ModeAsync("tiny:instant", Effort(route, "high")));
        Assert.Equal("instant", await ModeAsync("tiny", Effort(route, "none")));
        foreach (string effort in (string[])["minimal", "low", "medium", "high", "xhigh", "max"])
            Assert.Equal("thinking", await ModeAsync("tiny", Effort(route, effort)));

        (string? mode, _, JsonNode answer) = await AskAsync("tiny", ", \"mode\": \"contemplating\"");
        (string reasoning, string content, _) = Read(route, answer);
        Assert.Equal(("contemplating", "42", "contemplating"), (mode, content, (string?)answer["mode"]!["name"]));
        Assert.StartsWith("[1] Six times seven. => 42\n", reasoning, StringComparison.Ordinal);
        Assert.Equal("contemplating", await ModeAsync("tiny", Effort(route, "contemplating")));
        Assert.False((await AskAsync("tiny:contemplating", "")).Answer.AsObject().ContainsKey("mode")); // unless the caller shows to know of it

        // Of this template's words there is none for the effort.
        (mode, string? approximation, answer) = await AskAsync("tiny", ", \"mode\": \"thinking\"" + Effort(route, "high"));
        Assert.Equal("thinking", mode);
        Assert.Contains("no effort 'high'", approximation, StringComparison.Ordinal);
        Assert.Equal(("thinking", approximation), ((string?)answer["mode"]!["name"], (string?)answer["mode"]!["approximation"]));
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task A_budget_of_thoughts_is_a_field_of_every_api(string route)
    {
        // The script is entered behind every line's end: the prompt's, the thoughts' opening and their closing.
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', "One.", "\u2581Two.", "<|im_end|>"));
        (string reasoning, string content, _) = Read(route, await server.AnswerAsync(route, Body(route, "tiny", ", \"thinking_budget\": 1")));
        Assert.Equal(("One.", "One. Two."), (reasoning, content));
        Assert.Equal(("thinking", 1L), (server.Records()[0].Mode, server.Records()[0].ReasoningTokens));
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task A_tree_is_told_whole_and_as_it_grows(string route)
    {
        await using TestServer server = await StartAsync();
        string seed = route == OllamaRoute ? "" : ", \"seed\": 3";
        string asked = ", \"mode\": \"contemplating\", \"include\": [\"contemplation\"]" + seed;
        JsonNode whole = await server.AnswerAsync(route, Body(route, "tiny", asked));
        var tree = ContemplationTrace.FromJson(whole["contemplation"]!.ToJsonString());
        Assert.Equal((4, "42"), (tree.Agents.Count, tree.Answer.Content));

        List<JsonNode> stream = await StreamAsync(server, route, Body(route, "tiny", asked, stream: true));
        var told = ContemplationTrace.FromJson(Last(route, stream)["contemplation"]!.ToJsonString());
        Assert.Equal(tree.Agents.Select(a => a.Content), told.Agents.Select(a => a.Content));
        if (seed.Length > 0)
            Assert.Equal(tree.ToJson(), told.ToJson());
        List<string?> kinds = [.. stream.Select(one => one["contemplation_event"]).OfType<JsonNode>().Select(news => (string?)news["kind"])];
        Assert.Equal((4, 20, 4, 1), (Count("agent_started"), Count("agent_wrote"), Count("agent_ended"), Count("counted")));

        // Who does not ask meets nothing of it.
        Assert.DoesNotContain("contemplation", string.Concat((await StreamAsync(server, route, Body(route, "tiny:contemplating", stream: true))).Select(one => one.ToJsonString())), StringComparison.Ordinal);
        int Count(string kind) => kinds.Count(one => one == kind);
    }

    [Fact]
    public async Task A_tree_is_the_same_beside_other_requests()
    {
        await using TestServer server = await TestServer.StartAsync();
        const string asked = """{"model": "tiny:contemplating", "messages": [{"role": "user", "content": "the hello"}], "seed": 3, "include": ["contemplation"], "contemplation": {"agent_tokens": 40, "stop_error": 0, "rounds": 1, "subset": 2, "prune_percentile": 50}}""";
        const string other = """{"model": "tiny", "messages": [{"role": "user", "content": "hello the"}], "n": 4, "max_tokens": 60, "ignore_eos": true, "seed": 5}""";
        async Task<string> TreeAsync() => (await server.AnswerAsync(ChatRoute, asked))["contemplation"]!.ToJsonString();
        string alone = await TreeAsync();
        Task[] load = [.. Enumerable.Range(0, 6).Select(_ => server.AnswerAsync(ChatRoute, other))];
        string[] beside = await Task.WhenAll(TreeAsync(), TreeAsync());
        await Task.WhenAll(load);
        Assert.Equal([alone, alone], beside);
        Assert.Equal(8, ContemplationTrace.FromJson(alone).Agents.Count(agent => agent.Plan.Stage == AgentStage.Explore));
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task A_policy_gives_a_mode_to_who_names_none(string route)
    {
        var policies = new Policies();
        policies.Replace(new PolicyTable(new Dictionary<string, PolicyRules> { ["house"] = new("house") { Mode = "contemplating" } }, "house"));
        await using TestServer server = await StartAsync(policies);
        async Task<(string? Mode, JsonNode Answer)> AskAsync(string model, string fields)
        {
            using HttpResponseMessage response = await server.PostAsync(route, Body(route, model, fields));
            return (response.Headers.TryGetValues("x-flint-mode", out IEnumerable<string>? values) ? values.Single() : null, JsonNode.Parse(await response.Content.ReadAsStringAsync())!);
        }

        (string? mode, JsonNode answer) = await AskAsync("tiny", "");
        (string reasoning, string content, _) = Read(route, answer);
        Assert.Equal(("contemplating", "42", "contemplating"), (mode, content, server.Records()[0].Mode));
        Assert.Equal(route == MessageRoute, reasoning.Length == 0); // there who does not ask for thoughts is told none
        Assert.Equal("instant", (await AskAsync("tiny", ", \"mode\": \"instant\"")).Mode);
        Assert.Equal("thinking", (await AskAsync("tiny:thinking", "")).Mode);
        Assert.Equal("thinking", (await AskAsync("tiny", Effort(route, "low"))).Mode);
    }

    [Fact]
    public async Task Code_is_put_to_the_operators_checker()
    {
        var checkers = new Dictionary<string, CodeChecker> { ["sh"] = new(["/bin/sh"], TimeSpan.FromSeconds(60)) };
        await using TestServer server = await TestServer.StartAsync(
            write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', "ready=yes", "<|im_end|>"), adjust: options => options with { Checkers = checkers });
        static string Checked(string tests) => Body(ChatRoute, "tiny:contemplating", $", \"include\": [\"contemplation\"], \"contemplation\": {{\"checker\": \"sh\", \"tests\": \"{tests}\"}}");
        async Task<ContemplationTrace> ThinkAsync(string tests) => ContemplationTrace.FromJson((await server.AnswerAsync(ChatRoute, Checked(tests)))["contemplation"]!.ToJsonString());

        ContemplationTrace right = await ThinkAsync("[ $ready = yes ]"), wrong = await ThinkAsync("[ $ready = no ]");
        Assert.Equal((true, "ready=yes", AnswerKind.Checked, 4), (right.Answer.Passed == true, right.Answer.Content, right.Answer.Kind!.Value, right.Agents.Count));
        Assert.Equal((true, "ready=yes", 8, 0), (wrong.Answer.Passed == false, wrong.Answer.Content, wrong.Agents.Count(a => a.Plan.Stage == AgentStage.Explore), wrong.Ballots[^1].Voters));
        Assert.Contains("(fails its check)", (string?)(await server.AnswerAsync(ChatRoute, Checked("false")))["choices"]![0]!["message"]!["reasoning_content"], StringComparison.Ordinal);
        Assert.Equal("contemplation.checker", (string?)(await server.RefusalAsync(ChatRoute, Checked("x").Replace("\"sh\"", "\"zsh\""))).Error["param"]);
        Assert.Equal("contemplation.checker", (string?)(await server.RefusalAsync(ChatRoute, Body(ChatRoute, "tiny:contemplating", ", \"contemplation\": {\"tests\": \"x\"}"))).Error["param"]);
        using HttpClient without = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("plain", scopes: new KeyScopes { Tools = false }).Secret);
        Assert.Equal(403, (int)(await without.SendAsync(TestServer.Request(ChatRoute, Checked("true")))).StatusCode);
        Assert.Equal(200, (int)(await without.SendAsync(TestServer.Request(ChatRoute, Body(ChatRoute, "tiny:contemplating")))).StatusCode);
    }

    [Theory]
    [InlineData(MessageRoute, "\"mode\": \"deep\"", "mode")]
    [InlineData(OllamaRoute, "\"mode\": \"deep\"", "mode")]
    [InlineData(MessageRoute, "\"include\": [\"all\"]", "include[0]")]
    [InlineData(OllamaRoute, "\"include\": [\"all\"]", "include[0]")]
    [InlineData(MessageRoute, "\"deadline_seconds\": 0", "deadline_seconds")]
    [InlineData(OllamaRoute, "\"thinking_budget\": -1", "thinking_budget")]
    public async Task Wrong_values_are_named(string route, string field, string named)
    {
        await using TestServer server = await StartAsync();
        using HttpResponseMessage response = await server.PostAsync(route, Body(route, "tiny", ", " + field));
        Assert.Equal(400, (int)response.StatusCode);
        Assert.Contains(named, await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    private static Task<TestServer> StartAsync(Policies? policies = null) =>
        TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', Thoughtful), policies: policies);
}
