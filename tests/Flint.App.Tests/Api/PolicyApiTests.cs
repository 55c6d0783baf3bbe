using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Policy;

namespace Flint.App.Tests.Api;

/// <summary>Policies as clients of every API meet them.</summary>
public sealed class PolicyApiTests
{
    private const string Chat = "/v1/chat/completions", Messages = "/v1/messages", Ollama = "/api/chat";
    private const string User = """ "model": "tiny", "messages": [{"role": "user", "content": "hi you"}] """;
    private const string Tools = """, "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]""";

    private static readonly string[] Thoughtful = ["<think>", "Let\u2581me", "\u2581see.", "</think>", "Hello", "\u2581the", "re", "\u2581\u263a", "<|im_end|>"];

    private static readonly string[] Calling = ["Wait.", "<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581", "\"arguments\":\u2581{\"city\":\u2581\"Pa", "ris\"}}", "</tool_call>", "<|im_end|>"];

    private static readonly string[] Formal = ["<think>", "Hm.", "</think>", "{\"city\":", "\u2581\"Rome", "\"}", "<|im_end|>"];

    public static TheoryData<string, string> Apis => new()
    {
        { Chat, "" },
        { Messages, """, "max_tokens": 100""" },
        { Ollama, """, "options": {"num_predict": 100, "temperature": 0}""" },
    };

    [Theory]
    [MemberData(nameof(Apis))]
    public async Task A_request_is_denied_before_anything_is_computed(string route, string fields)
    {
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house") { Input = [Rule("greetings", RuleAction.Deny, "you")] });
        using HttpResponseMessage response = await server.PostAsync(route, "{" + User + fields + "}");
        JsonNode body = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        string? message = route switch
        {
            Chat => (string?)TestServer.ErrorOf(body.ToJsonString())["message"],
            Messages => (string?)body["error"]!["message"],
            _ => (string?)body["error"],
        };
        Assert.Contains("messages[0].content", message, StringComparison.Ordinal);
        Assert.Contains("'greetings'", message, StringComparison.Ordinal);
        if (route == Chat)
            Assert.Equal("content_policy_violation", (string?)body["error"]!["code"]);
        Assert.Equal(("denied greetings messages[0].content:3", 400, "content_policy_violation"), (server.Records()[0].Policy, server.Records()[0].Status, server.Records()[0].Finish));
        Assert.Equal(0, server.Model.Engine.Statistics.PromptTokens);
    }

    [Theory]
    [InlineData(Chat, "", true)]
    [InlineData(Chat, "", false)]
    [InlineData(Messages, """, "max_tokens": 100, "thinking": {"type": "adaptive"}""", true)]
    [InlineData(Messages, """, "max_tokens": 100, "thinking": {"type": "adaptive"}""", false)]
    [InlineData(Ollama, "", true)]
    [InlineData(Ollama, "", false)]
    public async Task An_answer_ends_before_what_is_denied(string route, string fields, bool stream)
    {
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house") { Output = [Rule("places", RuleAction.Deny, "there"), Rule("sight", RuleAction.Redact, "see")] });
        string temperature = route == Ollama ? """, "options": {"temperature": 0}""" : """, "temperature": 0""";
        using HttpResponseMessage response = await server.PostAsync(route, "{" + User + fields + temperature + ", \"stream\": " + (stream ? "true}" : "false}"));
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, body);
        Assert.DoesNotContain("there", body, StringComparison.Ordinal);
        Assert.DoesNotContain("the\"", body, StringComparison.Ordinal);
        Assert.DoesNotContain("see", body, StringComparison.Ordinal);
        Assert.Contains("[redacted]", body, StringComparison.Ordinal);
        Assert.Contains("Hello", body, StringComparison.Ordinal);
        Assert.Contains(route switch { Chat => "\"finish_reason\":\"content_filter\"", Messages => "\"stop_reason\":\"refusal\"", _ => "\"done_reason\":\"content_filter\"" }, body, StringComparison.Ordinal);
        UsageRecord record = server.Records()[0];
        Assert.Equal((200, "content_filter", "redacted sight reasoning:7; denied places content:6"), (record.Status, record.Finish, record.Policy));
    }

    [Fact]
    public async Task What_is_redacted_does_not_stop_the_answer()
    {
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house")
        {
            Input = [Rule("greetings", RuleAction.Redact, "you")],
            Output = [new TextRule("places", RuleAction.Redact, new Pattern("the..")) { Replacement = "X" }],
        });
        JsonNode answer = await server.AnswerAsync(Chat, "{" + User + ", \"temperature\": 0}");
        Assert.Equal(("Hello X ☺", "stop"), ((string?)answer["choices"]![0]!["message"]!["content"], (string?)answer["choices"]![0]!["finish_reason"]));
        Assert.Equal("redacted greetings messages[0].content:3; redacted places content:6", server.Records()[0].Policy);

        List<JsonNode> chunks = await server.StreamAsync(Chat, "{" + User + ", \"temperature\": 0, \"stream\": true}");
        Assert.Equal("Hello X ☺", string.Concat(chunks.Select(chunk => (string?)chunk["choices"]![0]!["delta"]!["content"])));
        Assert.Equal("stop", (string?)chunks[^1]["choices"]![0]!["finish_reason"]);
    }

    [Fact]
    public async Task Arguments_of_calls_are_looked_at()
    {
        await using TestServer server = await StartAsync(Calling, new PolicyRules("house") { Output = [Rule("cities", RuleAction.Redact, "paris")] });
        JsonNode answer = await server.AnswerAsync(Chat, "{" + User + Tools + ", \"temperature\": 0}");
        JsonNode function = answer["choices"]![0]!["message"]!["tool_calls"]![0]!["function"]!;
        Assert.Equal("[redacted]", (string?)JsonNode.Parse((string)function["arguments"]!)!["city"]);
        Assert.Equal("tool_calls", (string?)answer["choices"]![0]!["finish_reason"]);
        Assert.StartsWith("redacted cities tool_calls[0].arguments:", server.Records()[0].Policy, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Responses_are_filtered_and_kept_as_they_are_told()
    {
        const string route = "/v1/responses";
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house") { Input = [Rule("greetings", RuleAction.Deny, "you")], Output = [Rule("places", RuleAction.Deny, "there")] });
        (int status, JsonNode error) = await server.RefusalAsync(route, """{"model": "tiny", "input": "hi you"}""");
        Assert.Equal((400, "content_policy_violation"), (status, (string?)error["code"]));
        Assert.Equal("denied greetings messages[0].content:3", server.Records()[0].Policy);

        JsonNode answer = await server.AnswerAsync(route, """{"model": "tiny", "input": "hi", "temperature": 0}""");
        Assert.Equal(("incomplete", "content_filter"), ((string?)answer["status"], (string?)answer["incomplete_details"]!["reason"]));
        Assert.Equal("Hello ", (string?)answer["output"]!.AsArray()[^1]!["content"]![0]!["text"]);
        Assert.Equal("content_filter", server.Records()[0].Finish);
        using HttpResponseMessage kept = await server.Client.GetAsync($"{route}/{(string?)answer["id"]}");
        string json = await kept.Content.ReadAsStringAsync();
        Assert.True(kept.IsSuccessStatusCode, json);
        Assert.DoesNotContain("there", json, StringComparison.Ordinal);

        using HttpResponseMessage stream = await server.PostAsync(route, """{"model": "tiny", "input": "hi", "temperature": 0, "stream": true}""");
        string events = await stream.Content.ReadAsStringAsync();
        Assert.DoesNotContain("there", events, StringComparison.Ordinal);
        Assert.Contains("event: response.incomplete", events, StringComparison.Ordinal);
        Assert.Contains("\"reason\":\"content_filter\"", events, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Plain_completions_are_filtered()
    {
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house") { Input = [Rule("greetings", RuleAction.Deny, "you")], Output = [Rule("sight", RuleAction.Deny, "see")] });
        (int status, JsonNode error) = await server.RefusalAsync("/v1/completions", """{"model": "tiny", "prompt": "hi you"}""");
        Assert.Equal((400, "content_policy_violation", "prompt"), (status, (string?)error["code"], (string?)error["param"]));
        int[] ids = server.Model.Encode("hi you");
        (status, error) = await server.RefusalAsync("/v1/completions", TestServer.Json(new { model = "tiny", prompt = ids }));
        Assert.Equal((400, "content_policy_violation"), (status, (string?)error["code"]));
        (status, error) = await server.RefusalAsync("/v1/completions", """{"model": "tiny", "prompt": "hi\n", "logprobs": 1}""");
        Assert.Equal((400, "unsupported_parameter", "logprobs"), (status, (string?)error["code"], (string?)error["param"]));

        const string body = """{"model": "tiny", "prompt": "hi\n", "temperature": 0, "max_tokens": 50, "echo": true """;
        JsonNode answer = await server.AnswerAsync("/v1/completions", body + "}");
        Assert.EndsWith("Let me ", (string?)answer["choices"]![0]!["text"], StringComparison.Ordinal);
        Assert.Equal("content_filter", (string?)answer["choices"]![0]!["finish_reason"]);
        List<JsonNode> chunks = await server.StreamAsync("/v1/completions", body + ", \"stream\": true}");
        Assert.Equal((string?)answer["choices"]![0]!["text"], string.Concat(chunks.Select(chunk => (string?)chunk["choices"]![0]!["text"])));
        Assert.Equal("content_filter", (string?)chunks[^1]["choices"]![0]!["finish_reason"]);
    }

    [Fact]
    public async Task Agents_that_contemplate_are_filtered()
    {
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house") { Output = [Rule("sight", RuleAction.Deny, "see")] });
        const string contemplating = """, "mode": "contemplating", "contemplation": {"agents": 2, "agent_tokens": 30} """;
        List<JsonNode> chunks = await server.StreamAsync(Chat, "{" + User + contemplating + ", \"stream\": true}");
        Assert.DoesNotContain("see", string.Concat(chunks.Select(chunk => chunk.ToJsonString())), StringComparison.Ordinal);
        Assert.Equal("content_filter", (string?)chunks[^1]["choices"]![0]!["finish_reason"]);
        Assert.StartsWith("denied sight reasoning:", server.Records()[0].Policy, StringComparison.Ordinal);
        (int status, JsonNode error) = await server.RefusalAsync(Chat, "{" + User + contemplating + ", \"include\": [\"contemplation\"]}");
        Assert.Equal((400, "include"), (status, (string?)error["param"]));
    }

    [Fact]
    public async Task Where_rules_allow_one_must()
    {
        var allow = new TextRule("short", RuleAction.Allow, new Pattern("^[a-z ]{1,10}$")) { Roles = ["user"] };
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house") { Allow = [allow] });
        await server.AnswerAsync(Chat, "{" + User + "}");
        await server.AnswerAsync(Chat, """{"model": "tiny", "messages": [{"role": "system", "content": "Be brief, and mind 1."}, {"role": "user", "content": "hi you"}]}""");
        (int status, JsonNode error) = await server.RefusalAsync(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "hi you 1"}]}""");
        Assert.Equal((400, "messages[0].content"), (status, (string?)error["param"]));
        Assert.Equal("denied allow messages[0].content", server.Records()[0].Policy);
    }

    [Theory]
    [InlineData(Chat, "", true)]
    [InlineData(Chat, "", false)]
    [InlineData(Messages, """, "max_tokens": 100""", true)]
    [InlineData(Ollama, "", false)]
    public async Task An_answer_that_is_not_of_the_form_is_not_told(string route, string fields, bool stream)
    {
        string body = "{" + User + fields + (route == Ollama ? """, "options": {"temperature": 0}""" : """, "temperature": 0""") + ", \"stream\": " + (stream ? "true}" : "false}");
        await using TestServer server = await StartAsync(Formal, new PolicyRules("house") { Schemas = [Form("city", "{\"properties\": {\"city\": {\"maxLength\": 3}}}")] });
        using HttpResponseMessage denied = await server.PostAsync(route, body);
        string told = await denied.Content.ReadAsStringAsync();
        Assert.True(denied.IsSuccessStatusCode, told);
        Assert.DoesNotContain("Rome", told, StringComparison.Ordinal);
        Assert.DoesNotContain("city", told, StringComparison.Ordinal);
        Assert.Equal(("content_filter", "denied city content:9"), (server.Records()[0].Finish, server.Records()[0].Policy));

        await using TestServer passing = await StartAsync(Formal, new PolicyRules("house") { Schemas = [Form("city", "{\"required\": [\"city\"]}")], Output = [Rule("places", RuleAction.Redact, "rome")] });
        using HttpResponseMessage passed = await passing.PostAsync(route, body);
        Assert.Contains("[redacted]", await passed.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(("stop", "redacted places content:10"), (passing.Records()[0].Finish, passing.Records()[0].Policy));
    }

    [Theory]
    [InlineData("get_weather", "{\"properties\": {\"city\": {\"const\": \"Paris\"}}}", false, null)]
    [InlineData("get_weather", "{\"properties\": {\"city\": {\"const\": \"Rome\"}}}", false, "denied form tool_calls[0].arguments:9")]
    [InlineData("get_weather", "{\"required\": [\"city\"]}", true, "denied form tool_calls[0].arguments:0")]
    [InlineData("get_time", "{\"required\": [\"city\"]}", true, null)]
    public async Task Calls_are_told_once_their_arguments_are_of_the_form(string function, string schema, bool denies, string? decision)
    {
        var rule = new SchemaRule("form", denies ? RuleAction.Deny : RuleAction.Allow, new TextSchema(schema)) { OnOutput = true, OnArguments = true, Functions = [function] };
        await using TestServer server = await StartAsync(Calling, new PolicyRules("house") { Schemas = [rule] });
        foreach (string stream in (string[])["false", "true"])
        {
            using HttpResponseMessage response = await server.PostAsync(Chat, "{" + User + Tools + ", \"temperature\": 0, \"stream\": " + stream + "}");
            string told = await response.Content.ReadAsStringAsync();
            Assert.Contains("Wait.", told, StringComparison.Ordinal);
            Assert.Equal(decision is null, told.Contains("get_weather", StringComparison.Ordinal));
            Assert.Equal(decision is null, told.Contains("Paris", StringComparison.Ordinal));
            Assert.Contains(decision is null ? "\"finish_reason\":\"tool_calls\"" : "\"finish_reason\":\"content_filter\"", told, StringComparison.Ordinal);
            Assert.Equal(decision ?? "", server.Records()[0].Policy);
        }
    }

    [Theory]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "{\"a\": 1}"}]}""", null)]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "{\"a\": \"x\"}"}]}""", "denied form messages[0].content:6")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}""", null)]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "hello?"}]}""", "denied form messages[0].content:0")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "1"}, {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"b\": 7}"}}]}, {"role": "tool", "tool_call_id": "a", "content": "?"}]}""", "denied calls messages[1].tool_calls[0].arguments:0")]
    public async Task Requests_are_held_to_forms_and_patterns_together(string body, string? decision)
    {
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house")
        {
            Allow = [new TextRule("words", RuleAction.Allow, new Pattern("^[a-z]+$")) { Roles = ["user"] }],
            Schemas =
            [
                new SchemaRule("form", RuleAction.Allow, new TextSchema("{\"properties\": {\"a\": {\"type\": \"number\"}}}")) { OnInput = true, Roles = ["user"] },
                new SchemaRule("calls", RuleAction.Deny, new TextSchema("{\"properties\": {\"b\": {\"const\": 7}}}")) { OnInput = true, OnArguments = true },
            ],
        });
        using HttpResponseMessage response = await server.PostAsync(Chat, body);
        Assert.Equal(decision is null ? HttpStatusCode.OK : HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal(decision ?? "", server.Records()[0].Policy);
    }

    [Fact]
    public async Task Numbers_are_kept_within_their_bounds()
    {
        var bounds = new Bounds { MaxTokens = 3, Sampling = new Dictionary<string, Bound> { ["temperature"] = new(null, 0.5f), ["top_k"] = new(null, 10) } };
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house") { Bounds = bounds });
        using HttpResponseMessage response = await server.PostAsync(Chat, "{" + User + ", \"temperature\": 1.5, \"max_tokens\": 100}");
        JsonNode answer = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        Assert.Equal((3, "length"), ((int)answer["usage"]!["completion_tokens"]!, (string?)answer["choices"]![0]!["finish_reason"]));
        string names = Assert.Single(response.Headers.GetValues("x-flint-bounded"));
        Assert.Equal(["max_tokens", "temperature", "top_k"], names.Split(", ").Order(StringComparer.Ordinal));
        Assert.Equal("bounded " + names, server.Records()[0].Policy);
        using HttpResponseMessage within = await server.PostAsync(Chat, "{" + User + ", \"temperature\": 0.1, \"top_k\": 5, \"max_tokens\": 2}");
        Assert.False(within.Headers.Contains("x-flint-bounded"));
    }

    [Fact]
    public async Task A_key_has_the_policy_it_names()
    {
        var policies = new Policies();
        policies.Replace(Table(null, new PolicyRules("strict") { Input = [Rule("greetings", RuleAction.Deny, "you")] }));
        await using TestServer server = await TestServer.StartAsync(policies: policies);
        var keys = new Keys(server.Store, TimeProvider.System);
        (_, string strict) = keys.Create("strict", scopes: new KeyScopes { Policy = "strict" });
        (_, string lost) = keys.Create("lost", scopes: new KeyScopes { Policy = "gone" });
        const string body = "{" + User + ", \"max_tokens\": 2}";
        Assert.Equal((200, null), await PostAsync(server.Client));
        using HttpClient strictly = server.NewClient(strict), lostly = server.NewClient(lost);
        Assert.Equal((400, "content_policy_violation"), await PostAsync(strictly));
        Assert.Equal((403, "policy_not_found"), await PostAsync(lostly));
        Assert.Equal("refused scope policy", server.Records()[0].Policy);
        keys.SetPolicy("strict", null);
        Assert.Equal((200, null), await PostAsync(strictly));
        policies.Replace(Table("strict", new PolicyRules("strict") { Input = [Rule("greetings", RuleAction.Deny, "you")] }));
        Assert.Equal((400, "content_policy_violation"), await PostAsync(strictly));

        async Task<(int Status, string? Code)> PostAsync(HttpClient client)
        {
            using HttpResponseMessage response = await client.SendAsync(TestServer.Request(Chat, body));
            return ((int)response.StatusCode, (string?)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["error"]?["code"]);
        }
    }

    [Theory]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi y"}, {"type": "text", "text": "ou"}]}]}""", "messages[0].content:3")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "hi", "name": "you"}]}""", "messages[0].name:0")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": \"\\u0079ou\"}"}}]}, {"role": "tool", "tool_call_id": "a", "content": "1"}]}""", "messages[1].tool_calls[0].arguments:")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": {"name": "f", "description": "for you"}}]}""", "tools[0]:")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "chat_template_kwargs": {"note": "you"}}""", "chat_template_kwargs.note:")]
    public async Task Every_text_of_a_request_is_looked_at(string body, string where)
    {
        await using TestServer server = await StartAsync(Thoughtful, new PolicyRules("house") { Input = [Rule("greetings", RuleAction.Deny, "you")] });
        (int status, JsonNode error) = await server.RefusalAsync(Chat, body);
        Assert.Equal((400, "content_policy_violation"), (status, (string?)error["code"]));
        Assert.StartsWith("denied greetings " + where, server.Records()[0].Policy, StringComparison.Ordinal);
    }

    private static SchemaRule Form(string name, string schema) => new(name, RuleAction.Allow, new TextSchema(schema)) { OnOutput = true };

    private static TextRule Rule(string name, RuleAction action, string word) => new(name, action, new WordList([word]));

    private static PolicyTable Table(string? standard, PolicyRules rules) => new(new Dictionary<string, PolicyRules> { [rules.Name] = rules }, standard);

    private static Task<TestServer> StartAsync(string[] script, PolicyRules rules)
    {
        var policies = new Policies();
        policies.Replace(Table(rules.Name, rules));
        return TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', script), policies: policies);
    }
}
