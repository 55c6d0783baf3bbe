using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Policy;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>A model that hands work to sub-agents while it answers.</summary>
public sealed class SubagentTests
{
    private const string Route = "/v1/chat/completions";
    private const string Ask = """ "model": "tiny", "temperature": 0, "seed": 3, "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}] """;
    private const string Told = "\n[2 sub-agents]\n[1: Tell of Paris] Hm. => Fine\n[2: Tell of Oslo] Hm. => Fine\n";
    private const string Weather = """{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}""";

    // Prompts end otherwise once there are results, and where nothing is offered.
    private const string Template =
        "{% if false %}<tool_call>{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ m.tool_calls | default('') | string }}<|im_end|>\n{% endfor %}{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
        + "<|im_start|>assistant{{ '+' if messages[-1].role == 'tool' else '\n' if tools else '-' }}";

    private const string Begin = "{\"name\":\u2581\"subagents.spawn\",\u2581", Cities = "\"arguments\":\u2581{\"message_template\":\u2581\"Tell\u2581of\u2581{item}\",\u2581\"items\":\u2581[\"Paris\",\u2581\"Oslo\"]}}";

    private static readonly string[] Spawns = ["Wait.", "<tool_call>", Begin, Cities, "</tool_call>", "<|im_end|>"];
    private static readonly string[] Agent = ["<think>", "Hm.", "</think>", "Fine", "<|im_end|>"];
    private static readonly string[] Answers = ["Both.", "<|im_end|>"];

    [Fact]
    public async Task Agents_are_told_as_reasoning_and_the_answer_goes_on()
    {
        await using TestServer server = await StartAsync(Spawns);
        int prompt = (int)(await server.AnswerAsync(Route, "{" + Ask + ", \"subagents\": true, \"max_tokens\": 1}"))["usage"]!["prompt_tokens"]!;
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + """, "subagents": true, "include": ["subagents"] }""");
        JsonNode choice = answer["choices"]![0]!, usage = answer["usage"]!, tree = answer["subagents"]!;
        Assert.Equal(("Wait.\n\nBoth.", Told, "stop"), ((string?)choice["message"]!["content"], (string?)choice["message"]!["reasoning_content"], (string?)choice["finish_reason"]));
        Assert.False(choice["message"]!.AsObject().ContainsKey("tool_calls"));

        JsonNode call = Assert.Single(tree["calls"]!.AsArray())!;
        Assert.Equal(["Paris", "Oslo"], call["agents"]!.AsArray().Select(agent => (string)agent!["plan"]!["item"]!));
        Assert.All(call["agents"]!.AsArray(), agent => Assert.Equal(("finished", "Hm.", "Fine", 5), ((string?)agent!["end"], (string?)agent["reasoning"], (string?)agent["content"], (int)agent["output_tokens"]!)));
        int prompts = call["agents"]!.AsArray().Sum(agent => (int)agent!["prompt_tokens"]!);
        Assert.Equal((prompts, 18, 0), ((int)tree["cost"]!["prompt_tokens"]!, (int)tree["cost"]!["output_tokens"]!, (int)tree["cost"]!["discarded_tokens"]!));
        Assert.Equal((prompt + prompts, 18, 10), ((int)usage["prompt_tokens"]!, (int)usage["completion_tokens"]!, (int)usage["completion_tokens_details"]!["reasoning_tokens"]!));
        UsageRecord record = server.Records()[0];
        Assert.Equal((prompt + prompts, 18, 10, 0), (record.PromptTokens, record.OutputTokens, record.ReasoningTokens, record.DiscardedTokens));
        Assert.Equal((200, "stop"), (record.Status, record.Finish));

        // A stream joins to the same, the agents' thoughts before the answer; a tool of that type asks for them too.
        List<JsonNode> chunks = await server.StreamAsync(Route, "{" + Ask + """, "tools": [{"type": "subagents"}], "tool_choice": "auto", "stream": true, "include": ["subagents"] }""");
        List<JsonNode> choices = [.. chunks.SelectMany(chunk => chunk["choices"]!.AsArray()).Select(one => one!)];
        Assert.Equal((Told, "Wait.\n\nBoth."), (Join(choices, "reasoning_content"), Join(choices, "content")));
        Assert.Single(choices, one => one["finish_reason"] is not null);
        Assert.Equal(tree.ToJsonString(), chunks.Single(chunk => chunk["subagents"] is not null)["subagents"]!.ToJsonString());
        string[] known = ["id", "object", "created", "model", "system_fingerprint", "choices"];
        chunks = await server.StreamAsync(Route, "{" + Ask + """, "subagents": {}, "stream": true }""");
        Assert.All(chunks, chunk => Assert.Equal(known, chunk.AsObject().Select(field => field.Key)));

        JsonNode one = await server.AnswerAsync(Route, "{" + Ask + """, "subagents": true, "parallel_tool_calls": false }""");
        Assert.Equal((Told, "Wait.\n\nBoth."), ((string?)one["choices"]![0]!["message"]!["reasoning_content"], (string?)one["choices"]![0]!["message"]!["content"]));
    }

    [Fact]
    public async Task Who_does_not_ask_for_them_has_none()
    {
        await using TestServer server = await StartAsync(Spawns);
        foreach (string without in (string[])["", ", \"subagents\": false", ", \"subagents\": true, \"tool_choice\": \"none\"", ", \"tools\": [{\"type\": \"subagents\"}], \"tool_choice\": \"none\""])
        {
            JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + without + "}");
            Assert.Equal(("Hm.", "Fine"), ((string?)answer["choices"]![0]!["message"]!["reasoning_content"], (string?)answer["choices"]![0]!["message"]!["content"]));
            Assert.Equal(5, (int)answer["usage"]!["completion_tokens"]!);
        }
    }

    [Fact]
    public async Task A_wrong_call_and_one_over_the_limit_are_told_to_the_model()
    {
        await using TestServer server = await StartAsync(Spawns);
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + """, "subagents": {"max": 1}, "include": ["subagents"] }""");
        Assert.Equal("2 agents are asked for, and 1 may still be started.", (string?)answer["subagents"]!["calls"]![0]!["fault"]);
        Assert.Equal("Wait.\n\nBoth.", (string?)answer["choices"]![0]!["message"]!["content"]);
        Assert.Equal(8, (int)answer["usage"]!["completion_tokens"]!);

        await using TestServer wrong = await StartAsync(["<tool_call>", Begin, "\"arguments\":\u2581{\"items\":\u2581[1]}}", "</tool_call>", "<|im_end|>"]);
        answer = await wrong.AnswerAsync(Route, "{" + Ask + """, "subagents": true, "include": ["subagents"] }""");
        Assert.Contains("'message_template'", (string?)answer["subagents"]!["calls"]![0]!["fault"]);
        Assert.Contains("no sub-agents: 'message_template'", (string?)answer["choices"]![0]!["message"]!["reasoning_content"]);
        Assert.Equal("Both.", (string?)answer["choices"]![0]!["message"]!["content"]);
    }

    [Fact]
    public async Task A_model_that_only_calls_comes_to_an_end()
    {
        string[] again = ["\u2581<tool_call>", "{\"name\":\u2581\"subagents.spawn\",\u2581\"arguments\":\u2581{}}", "\u2581</tool_call>", "<|im_end|>"];
        await using TestServer server = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, Template, 1 << 15, ('\n', Spawns), ('-', Agent), ('+', again)));
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + """, "subagents": true, "include": ["subagents"] }""");
        Assert.Equal("length", (string?)answer["choices"]![0]!["finish_reason"]);
        JsonArray calls = answer["subagents"]!["calls"]!.AsArray();
        Assert.Equal(33, calls.Count);
        Assert.All(calls.Skip(1).SkipLast(1), call => Assert.NotNull(call!["fault"]));
        Assert.StartsWith("Not run: after 32", (string?)calls[32]!["fault"], StringComparison.Ordinal);
        Assert.Equal(6 + 2 * 5 + 32 * 4, (int)answer["usage"]!["completion_tokens"]!);
    }

    [Fact]
    public async Task Beside_a_function_of_the_client_s_only_that_one_is_called()
    {
        await using TestServer server = await StartAsync([.. Spawns[..5], "\u2581<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581\"arguments\":\u2581{\"city\":\u2581\"Bonn\"}}", "\u2581</tool_call>", "<|im_end|>"]);
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + ", \"subagents\": true, \"include\": [\"subagents\"], \"tools\": [" + Weather + "]}");
        JsonNode choice = answer["choices"]![0]!;
        Assert.Equal("tool_calls", (string?)choice["finish_reason"]);
        Assert.Equal("get_weather", (string?)Assert.Single(choice["message"]!["tool_calls"]!.AsArray())!["function"]!["name"]);
        Assert.StartsWith("Not run", (string?)answer["subagents"]!["calls"]![0]!["fault"], StringComparison.Ordinal);
        List<JsonNode> chunks = await server.StreamAsync(Route, "{" + Ask + ", \"subagents\": true, \"stream\": true, \"tools\": [" + Weather + "]}");
        Assert.Equal([0], chunks.SelectMany(chunk => chunk["choices"]![0]!["delta"]!["tool_calls"]?.AsArray() ?? []).Select(call => (int)call!["index"]!).Distinct());
    }

    [Fact]
    public async Task Agents_spawn_agents_where_depth_and_number_allow()
    {
        await using TestServer server = await StartAsync(Spawns);
        JsonNode deep = await server.AnswerAsync(Route, "{" + Ask + """, "subagents": {"depth": 2}, "include": ["subagents"] }""");
        string reasoning = (string)deep["choices"]![0]!["message"]!["reasoning_content"]!;
        string One(int agent) => $"[{agent}: Tell of {(agent == 1 ? "Paris" : "Oslo")}] \n[2 sub-agents]\n[{agent}.1: Tell of Paris] Hm. => Fine\n[{agent}.2: Tell of Oslo] Hm. => Fine\n => Both.\n";
        Assert.Equal($"\n[2 sub-agents]\n{One(1)}{One(2)}", reasoning);
        Assert.Equal(6 + 2 * (6 + 2 * 5 + 2) + 2, (int)deep["usage"]!["completion_tokens"]!);
        Assert.Equal(2, deep["subagents"]!["calls"]![0]!["agents"]![1]!["calls"]![0]!["agents"]!.AsArray().Count);
        JsonNode few = await server.AnswerAsync(Route, "{" + Ask + """, "subagents": {"depth": 2, "max": 5}, "include": ["subagents"] }""");
        Assert.Equal(2 * (8 + 0) + 8, (int)few["usage"]!["completion_tokens"]!); // one agent is left to each, and two are asked for
        Assert.Contains("1 may still be started", (string?)few["subagents"]!["calls"]![0]!["agents"]![0]!["calls"]![0]!["fault"]);
    }

    [Fact]
    public async Task The_most_tokens_hold_for_the_whole_tree()
    {
        await using TestServer server = await StartAsync(Spawns);
        int whole = 0;
        for (int most = 1; most <= 40; most++)
        {
            JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + $$""", "max_completion_tokens": {{most}}, "subagents": {"depth": 2, "agent_tokens": 9}, "include": ["subagents"] }""");
            int used = (int)answer["usage"]!["completion_tokens"]!;
            Assert.InRange(used, 1, most);
            Assert.Equal((used, most), ((int)answer["subagents"]!["cost"]!["output_tokens"]!, (int)answer["subagents"]!["cost"]!["budget"]!));
            string finish = (string)answer["choices"]![0]!["finish_reason"]!;
            Assert.True(finish == "stop" || used == most, finish);
            whole += finish == "stop" ? 1 : 0;
        }

        Assert.InRange(whole, 10, 35);
    }

    [Fact]
    public async Task All_chats_have_them()
    {
        await using TestServer server = await StartAsync(Spawns);
        JsonNode message = await server.AnswerAsync("/v1/messages", """{"model": "tiny", "max_tokens": 99, "temperature": 0, "thinking": {"type": "adaptive"}, "subagents": true, "messages": [{"role": "user", "content": "hi"}] }""");
        Assert.Equal(["Wait.", Told, "\n\nBoth."], message["content"]!.AsArray().Select(block => (string?)block!["text"] ?? (string?)block["thinking"]));
        JsonNode chat = await server.AnswerAsync("/api/chat", """{"model": "tiny", "stream": false, "options": {"temperature": 0}, "subagents": true, "messages": [{"role": "user", "content": "hi"}] }""");
        Assert.Equal(("Wait.\n\nBoth.", Told), ((string?)chat["message"]!["content"], (string?)chat["message"]!["thinking"]));
        JsonNode response = await server.AnswerAsync("/v1/responses", """{"model": "tiny", "temperature": 0, "tools": [{"type": "subagents"}], "include": ["subagents"], "input": "hi" }""");
        Assert.Equal(["Wait.", Told, "\n\nBoth."], response["output"]!.AsArray().Select(item => (string?)item!["content"]![0]!["text"]));
        Assert.Equal(2, response["subagents"]!["calls"]![0]!["agents"]!.AsArray().Count);
        Assert.Equal("subagents", (string?)response["tools"]![0]!["type"]);
        Assert.All(server.Records(), record => Assert.Equal(18, record.OutputTokens));
    }

    [Fact]
    public async Task What_does_not_go_with_them_is_refused()
    {
        await using TestServer server = await StartAsync(Spawns);
        foreach ((string fields, string parameter) in ((string, string)[])
        [
            ("\"subagents\": true, \"mode\": \"contemplating\"", "subagents"), ("\"subagents\": true, \"n\": 2", "n"), ("\"subagents\": true, \"ignore_eos\": true", "ignore_eos"),
            ("\"subagents\": 1", "subagents"), ("\"subagents\": {\"max\": 65}", "subagents.max"), ("\"subagents\": {\"depth\": 4}", "subagents.depth"), ("\"subagents\": {\"agent_tokens\": 0}", "subagents.agent_tokens"),
            ("\"subagents\": true, \"tools\": [{\"type\": \"subagents\"}]", "tools[0]"), ("\"tools\": [{\"type\": \"subagents\", \"depth\": 0}]", "tools[0].depth"),
            ("\"subagents\": true, \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"subagents.spawn\"}}]", "tools"), ("\"tool_choice\": \"auto\"", "tool_choice"),
        ])
            Assert.Equal(parameter, (string?)(await server.RefusalAsync(Route, "{" + Ask + ", " + fields + "}")).Error["param"]);
    }

    [Fact]
    public async Task A_client_that_leaves_ends_all_agents_and_is_recorded()
    {
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 1 << 18 }, write: path =>
            ScriptedModel.Write(path, Template, 1 << 18, ('\n', Spawns), ('-', ["<think>", "la", "la"]), ('+', Answers)));
        using (HttpResponseMessage response = await server.PostAsync(Route, "{" + Ask + """, "subagents": {"agent_tokens": 200000}, "stream": true }"""))
        using (var lines = new StreamReader(await response.Content.ReadAsStreamAsync()))
        {
            while (!(await lines.ReadLineAsync())!.Contains("la", StringComparison.Ordinal))
            {
            }
        }

        await TestServer.UntilAsync(() => server.Records().Count == 1);
        UsageRecord record = server.Records()[0];
        Assert.Equal((499, "cancelled"), (record.Status, record.Finish));
        Assert.Equal((server.Model.Engine.Statistics.OutputTokens, record.OutputTokens - 6), (record.OutputTokens, record.DiscardedTokens));
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics is { Running: 0, Waiting: 0 } s && s.FreePages + s.CachedPages == s.TotalPages);
    }

    [Fact]
    public async Task A_deadline_ends_all_agents_and_what_was_said_before_is_the_answer()
    {
        var time = new FakeTime();
        await using TestServer server = await TestServer.StartAsync(
            new ServingOptions { ContextLength = 1 << 18 }, write: path => ScriptedModel.Write(path, Template, 1 << 18, ('\n', Spawns), ('-', ["<think>", "la", "la"]), ('+', Answers)), time: time);
        Task<JsonNode> asked = server.AnswerAsync(Route, "{" + Ask + """, "subagents": {"agent_tokens": 200000}, "deadline_seconds": 10 }""");
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics.OutputTokens > 3000);
        time.Advance(TimeSpan.FromSeconds(10));
        JsonNode answer = await asked, choice = answer["choices"]![0]!;
        Assert.Equal(("Wait.", "length", true), ((string?)choice["message"]!["content"], (string?)choice["finish_reason"], (bool)answer["deadline_passed"]!));
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((200, "length"), (record.Status, record.Finish));
        Assert.Equal((server.Model.Engine.Statistics.OutputTokens, record.OutputTokens - 6), (record.OutputTokens, record.DiscardedTokens));
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics is { Running: 0, Waiting: 0 });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_rule_ends_the_answer_among_the_thoughts_of_agents(bool stream)
    {
        var policies = new Policies();
        policies.Replace(new PolicyTable(new Dictionary<string, PolicyRules> { ["p"] = new PolicyRules("p") { Output = [new TextRule("fine", RuleAction.Deny, new WordList(["fine"]))] } }, "p"));
        await using TestServer server = await StartAsync(Spawns, policies);
        string body = "{" + Ask + ", \"subagents\": true" + (stream ? ", \"stream\": true}" : "}");
        List<JsonNode> choices = stream
            ? [.. (await server.StreamAsync(Route, body)).SelectMany(chunk => chunk["choices"]!.AsArray()).Select(one => one!)]
            : [(await server.AnswerAsync(Route, body))["choices"]![0]!];
        string told = string.Concat(choices.Select(one => (string?)one[stream ? "delta" : "message"]!["reasoning_content"]));
        Assert.EndsWith("=> ", told, StringComparison.Ordinal);
        Assert.StartsWith(told, Told, StringComparison.Ordinal);
        Assert.Equal("content_filter", (string?)choices[^1]["finish_reason"]);
        UsageRecord record = server.Records()[0];
        Assert.Equal((200, "content_filter", $"denied fine reasoning:{told.Length}"), (record.Status, record.Finish, record.Policy));
        (int status, JsonNode error) = await server.RefusalAsync(Route, "{" + Ask + ", \"subagents\": true, \"include\": [\"subagents\"]}");
        Assert.Equal((400, "include"), (status, (string?)error["param"]));
    }

    private static Task<TestServer> StartAsync(string[] spawns, Policies? policies = null) => TestServer.StartAsync(
        write: path => ScriptedModel.Write(path, Template, 4096, ('\n', spawns), ('-', Agent), ('+', Answers)), policies: policies);

    private static string Join(IEnumerable<JsonNode> choices, string field) => string.Concat(choices.Select(choice => (string?)choice["delta"]![field]));
}
