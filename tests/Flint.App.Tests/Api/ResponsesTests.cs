using System.Net;
using System.Net.Http.Headers;
using System.Net.ServerSentEvents;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>The Responses API as it is on the wire.</summary>
public sealed class ResponsesTests(CompletionsTests.Fixture fixture) : IClassFixture<CompletionsTests.Fixture>
{
    private const string Route = "/v1/responses", Chat = "/v1/chat/completions";
    private const string Ask = """ "model": "tiny", "input": "hi" """;
    private const string Parameters = """{"type": "object", "properties": {"city": {"type": "string"}}}""";
    private const string Tools = """, "tools": [{"type": "function", "name": "get_weather", "description": "d", "parameters": """ + Parameters + "}]";

    private static readonly string[] Thoughtful = ["<think>", "Let\u2581me", "\u2581see.", "</think>", "Hello", "\u2581there", "\u2581\u263a", "<|im_end|>"];

    private static readonly string[] Calling =
    [
        "Wait.", "<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581", "\"arguments\":\u2581{\"city\":\u2581\"Paris\"}}", "</tool_call>",
        "\u2581<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581\"arguments\":\u2581{\"city\":\u2581\"Oslo\"}}", "\u2581</tool_call>", "<|im_end|>",
    ];

    private static readonly string[] Text = ["response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.done", "response.content_part.done", "response.output_item.done"];
    private static readonly string[] Call = ["response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.output_item.done"];

    [Fact]
    public async Task A_response_has_items_and_tells_its_parameters_back()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + """, "instructions": "Be brief.", "max_output_tokens": 50, "temperature": 0.7, "metadata": {"a": "b"}, "user": "u", "reasoning": {"effort": "low"} }""");
        Assert.Matches("^resp_[0-9a-f]{32}$", (string?)answer["id"]);
        Assert.Equal(("response", "completed", "tiny"), ((string?)answer["object"], (string?)answer["status"], (string?)answer["model"]));
        Assert.Equal([("reasoning", "Let me see."), ("message", "Hello there \u263a")], Items(answer));
        JsonNode reasoning = answer["output"]![0]!, message = answer["output"]![1]!;
        Assert.Equal(("completed", 0, "reasoning_text"), ((string?)reasoning["status"], reasoning["summary"]!.AsArray().Count, (string?)reasoning["content"]![0]!["type"]));
        Assert.Equal(("completed", "assistant", 0, 0), ((string?)message["status"], (string?)message["role"], message["content"]![0]!["annotations"]!.AsArray().Count, message["content"]![0]!["logprobs"]!.AsArray().Count));
        Assert.StartsWith("rs_", (string?)reasoning["id"], StringComparison.Ordinal);
        Assert.StartsWith("msg_", (string?)message["id"], StringComparison.Ordinal);
        Assert.Equal(("Be brief.", 50, 0.7, "u", "b", "low"), ((string?)answer["instructions"], (int)answer["max_output_tokens"]!, (double)answer["temperature"]!, (string?)answer["user"], (string?)answer["metadata"]!["a"], (string?)answer["reasoning"]!["effort"]));
        Assert.Equal((true, false, "auto", "disabled", "text"), ((bool)answer["store"]!, (bool)answer["background"]!, (string?)answer["tool_choice"], (string?)answer["truncation"], (string?)answer["text"]!["format"]!["type"]));
        Assert.All((string[])["error", "incomplete_details", "previous_response_id"], name => Assert.True(answer.AsObject().ContainsKey(name) && answer[name] is null));

        UsageRecord record = server.Records()[0];
        Assert.Equal(((string)answer["id"]!, Route, "tiny", 200, "stop"), (record.RequestId, record.Endpoint, record.Model, record.Status, record.Finish));
        JsonNode usage = answer["usage"]!;
        Assert.Equal((8, 2, record.PromptTokens), ((int)usage["output_tokens"]!, (int)usage["output_tokens_details"]!["reasoning_tokens"]!, (long)usage["input_tokens"]!));
        Assert.Equal((int)usage["total_tokens"]!, (int)usage["input_tokens"]! + 8);

        JsonNode cut = await server.AnswerAsync(Route, "{" + Ask + """, "max_output_tokens": 6 }""");
        Assert.Equal(("incomplete", "max_output_tokens", "incomplete"), ((string?)cut["status"], (string?)cut["incomplete_details"]!["reason"], (string?)cut["output"]![1]!["status"]));
        JsonNode scored = await server.AnswerAsync(Route, "{" + Ask + """, "include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "top_logprobs": 2 }""");
        JsonArray scores = scored["output"]![1]!["content"]![0]!["logprobs"]!.AsArray();
        Assert.Equal("Hello there \u263a", string.Concat(scores.Select(score => (string?)score!["token"])).TrimStart());
        Assert.All(scores, score => Assert.Equal(2, score!["top_logprobs"]!.AsArray().Count));
    }

    [Fact]
    public async Task A_stream_tells_every_step_in_order()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        JsonNode whole = await server.AnswerAsync(Route, "{" + Ask + "}");
        List<JsonNode> events = await StreamAsync(server, "{" + Ask + ", \"stream\": true}");
        Assert.Equal(
            ["response.created", "response.in_progress", .. Text.Select(type => type.Replace("output_text", "reasoning_text")), .. Text, "response.completed"], Types(events));
        Assert.Equal(("in_progress", 0), ((string?)events[0]["response"]!["status"], events[0]["response"]!["output"]!.AsArray().Count));
        JsonNode last = events[^1]["response"]!;
        Assert.Equal(Items(whole), Items(last));
        Assert.Equal((int)whole["usage"]!["output_tokens"]!, (int)last["usage"]!["output_tokens"]!);
        Assert.Equal((string)last["id"]!, server.Records()[0].RequestId);
        AssertItemsCameAbout(events);
        Assert.True(JsonNode.DeepEquals(last, await GetAsync(server, $"{Route}/{(string)last["id"]!}")));

        events = await StreamAsync(server, "{" + Ask + ", \"max_output_tokens\": 6, \"stream\": true}");
        Assert.Equal(("response.incomplete", "incomplete"), ((string?)events[^1]["type"], (string?)events[^2]["item"]!["status"]));
    }

    [Fact]
    public async Task Calls_are_items_and_their_results_go_back()
    {
        await using TestServer server = await StartAsync(Calling);
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + Tools + "}");
        Assert.Equal(["message", "function_call", "function_call"], answer["output"]!.AsArray().Select(item => (string?)item!["type"]));
        JsonNode[] calls = [.. answer["output"]!.AsArray().Skip(1).Select(call => call!)];
        Assert.Equal(["Paris", "Oslo"], calls.Select(call => (string?)JsonNode.Parse((string)call["arguments"]!)!["city"]));
        Assert.All(calls, call => Assert.Matches("^call_[0-9a-f]{24}$", (string?)call["call_id"]));
        Assert.All(calls, call => Assert.StartsWith("fc_", (string?)call["id"], StringComparison.Ordinal));
        Assert.Equal((false, "get_weather"), ((bool)answer["tools"]![0]!["strict"]!, (string?)answer["tools"]![0]!["name"]));
        List<JsonNode> events = await StreamAsync(server, "{" + Ask + Tools + ", \"stream\": true}");
        Assert.Equal(["response.created", "response.in_progress", .. Text, .. Call, .. Call, "response.completed"], Types(events));
        AssertItemsCameAbout(events);
        Assert.Equal(2, (await server.AnswerAsync(Route, "{" + Ask + Tools + ", \"parallel_tool_calls\": false}"))["output"]!.AsArray().Count);

        // However the calls and their results go back, the model reads what a chat would read.
        JsonArray results = [.. calls.Select(call => (JsonNode)new JsonObject { ["type"] = "function_call_output", ["call_id"] = (string?)call["call_id"], ["output"] = "rain" })];
        JsonNode next = await server.AnswerAsync(Route, Body(results.DeepClone(), Tools, (string)answer["id"]!));
        JsonNode given = await server.AnswerAsync(Route, Body(new JsonArray([User("hi"), .. answer["output"]!.AsArray().Select(item => item!.DeepClone()), .. results.Select(item => item!.DeepClone())]), Tools));
        var messages = new JsonArray(
            User("hi"),
            new JsonObject
            {
                ["role"] = "assistant", ["content"] = "Wait.",
                ["tool_calls"] = new JsonArray([.. calls.Select(call => (JsonNode)new JsonObject { ["id"] = (string?)call["call_id"], ["type"] = "function", ["function"] = new JsonObject { ["name"] = "get_weather", ["arguments"] = (string?)call["arguments"] } })]),
            },
            Message("tool", "rain", (string)calls[0]["call_id"]!),
            Message("tool", "rain", (string)calls[1]["call_id"]!));
        JsonNode chat = await server.AnswerAsync(Chat, new JsonObject { ["model"] = "tiny", ["messages"] = messages, ["tools"] = JsonNode.Parse("""[{"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": """ + Parameters + "}}]") }.ToJsonString());
        Assert.Equal((int)chat["usage"]!["prompt_tokens"]!, InputTokens(next));
        Assert.Equal((int)chat["usage"]!["prompt_tokens"]!, InputTokens(given));
        Assert.Equal("No tool call found for function call output with call_id call_no.", (string?)(await server.RefusalAsync(Route, """{"model": "tiny", "input": [{"type": "function_call_output", "call_id": "call_no", "output": "x"}]}""")).Error["message"]);
    }

    [Fact]
    public async Task A_response_goes_on_from_another_of_its_key()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        JsonNode first = await server.AnswerAsync(Route, "{" + Ask + """, "instructions": "Be brief." }""");
        string id = (string)first["id"]!;
        JsonNode second = await server.AnswerAsync(Route, Body("more", previous: id));
        Assert.Equal(id, (string?)second["previous_response_id"]);
        JsonNode third = await server.AnswerAsync(Route, Body("and more", previous: (string)second["id"]!));
        Assert.Equal(await ChatTokensAsync(server, User("hi"), Message("assistant", "Hello there \u263a"), User("more")), InputTokens(second)); // instructions are not inherited
        Assert.Equal(await ChatTokensAsync(server, User("hi"), Message("assistant", "Hello there \u263a"), User("more"), Message("assistant", "Hello there \u263a"), User("and more")), InputTokens(third));

        // An item is enough, too.
        JsonNode referring = await server.AnswerAsync(Route, Body(new JsonArray(new JsonObject { ["type"] = "item_reference", ["id"] = (string?)first["output"]![1]!["id"] }, User("more"))));
        Assert.Equal(await ChatTokensAsync(server, Message("assistant", "Hello there \u263a"), User("more")), InputTokens(referring));
        JsonNode listed = (await GetAsync(server, $"{Route}/{id}/input_items"))["data"]![0]!;
        Assert.Equal(("message", "user", "hi"), ((string?)listed["type"], (string?)listed["role"], (string?)listed["content"]![0]!["text"]));
        JsonNode asked = await server.AnswerAsync(Route, Body(new JsonArray(new JsonObject { ["id"] = (string?)listed["id"] }, User("more"))));
        Assert.Equal(await ChatTokensAsync(server, User("hi"), User("more")), InputTokens(asked));

        // What is not there, or not this key's, is not found.
        string passing = (string)(await server.AnswerAsync(Route, "{" + Ask + """, "store": false }"""))["id"]!;
        foreach (string unknown in (string[])["resp_none", passing])
        {
            (int status, JsonNode error) = await server.RefusalAsync(Route, Body("more", previous: unknown));
            Assert.Equal((404, "previous_response_not_found", "previous_response_id"), (status, (string?)error["code"], (string?)error["param"]));
            Assert.Equal(HttpStatusCode.NotFound, await StatusAsync(server.Client, HttpMethod.Get, $"{Route}/{unknown}"));
        }

        (_, string secret) = new Keys(server.Store, TimeProvider.System).Create("other");
        using HttpClient other = server.NewClient();
        other.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);
        foreach ((HttpMethod method, string path) in ((HttpMethod, string)[])[(HttpMethod.Get, ""), (HttpMethod.Get, "/input_items"), (HttpMethod.Post, "/cancel"), (HttpMethod.Delete, "")])
            Assert.Equal(HttpStatusCode.NotFound, await StatusAsync(other, method, $"{Route}/{id}{path}"));
        foreach (string body in (string[])[Body("more", previous: id), Body(new JsonArray(new JsonObject { ["type"] = "item_reference", ["id"] = (string?)first["output"]![1]!["id"] }))])
        {
            using HttpResponseMessage refused = await other.SendAsync(TestServer.Request(Route, body));
            Assert.Equal(HttpStatusCode.NotFound, refused.StatusCode);
        }

        Assert.Equal(HttpStatusCode.BadRequest, await StatusAsync(server.Client, HttpMethod.Post, $"{Route}/{id}/cancel"));
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(server.Client, HttpMethod.Delete, $"{Route}/{id}"));
        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync(server.Client, HttpMethod.Delete, $"{Route}/{id}"));
        Assert.Equal(404, (await server.RefusalAsync(Route, Body("more", previous: (string)second["id"]!))).Status);
    }

    [Fact]
    public async Task Input_items_come_in_pages()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        string id = (string)(await server.AnswerAsync(Route, Body(new JsonArray([.. Enumerable.Range(0, 5).Select(i => (JsonNode)User($"{i}"))]))))["id"]!;
        async Task<(string Texts, bool More, string? Last)> PageAsync(string query)
        {
            JsonNode page = await GetAsync(server, $"{Route}/{id}/input_items?{query}");
            Assert.Equal("list", (string?)page["object"]);
            return (string.Concat(page["data"]!.AsArray().Select(item => (string?)item!["content"]![0]!["text"])), (bool)page["has_more"]!, (string?)page["last_id"]);
        }

        Assert.Equal(("43210", false), Two(await PageAsync("")));
        (string Texts, bool More, string? Last) first = await PageAsync("order=asc&limit=2");
        Assert.Equal(("01", true), Two(first));
        Assert.Equal(("234", false), Two(await PageAsync($"order=asc&after={first.Last}")));
        foreach (string wrong in (string[])["limit=0", $"limit={ApiLimits.MaxPage + 1}", "order=up", "after=none"])
            Assert.Equal(HttpStatusCode.BadRequest, await StatusAsync(server.Client, HttpMethod.Get, $"{Route}/{id}/input_items?{wrong}"));
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(server.Client, HttpMethod.Get, $"{Route}/{id}/input_items?limit={ApiLimits.MaxPage}"));

        static (string, bool) Two((string Texts, bool More, string? Last) page) => (page.Texts, page.More);
    }

    [Fact]
    public async Task Modes_and_the_tree_are_told_where_asked_for()
    {
        await using TestServer server = await StartAsync("<think>", "Six\u2581times\u2581seven.", "</think>", "42", "<|im_end|>");
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + """, "seed": 3, "reasoning": {"effort": "contemplating"}, "include": ["contemplation"] }""");
        Assert.Equal(("completed", "contemplating"), ((string?)answer["status"], (string?)answer["mode"]!["name"]));
        Assert.Equal("42", Items(answer)[^1].Text);
        Assert.StartsWith("[1] Six times seven. => 42\n", Items(answer)[0].Text, StringComparison.Ordinal);
        Assert.NotNull(answer["contemplation"]!["agents"]);
        Assert.Equal((int)answer["usage"]!["output_tokens"]!, (int)server.Records()[0].OutputTokens);
        List<JsonNode> events = await StreamAsync(server, "{" + Ask + """, "seed": 3, "mode": "contemplating", "include": ["contemplation"], "stream": true }""");
        Assert.Equal(Items(answer), Items(events[^1]["response"]!));
        Assert.Contains(events, e => (string?)e["type"] == "response.contemplation_event" && e["contemplation_event"] is not null);
        Assert.Equal([("message", "42")], Items(await server.AnswerAsync(Route, "{" + Ask + """, "mode": "instant" }""")).Where(item => item.Type == "message"));
    }

    [Fact]
    public async Task A_conversation_that_is_too_long_loses_its_beginning_only_where_asked_for()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        string filler = new('x', 1000);
        JsonArray input = [Message("system", "hello"), .. Enumerable.Range(0, 10).Select(i => (JsonNode)User(filler))];
        (int status, JsonNode error) = await server.RefusalAsync(Route, Body(input.DeepClone()));
        Assert.Equal((400, "context_length_exceeded", "input"), (status, (string?)error["code"], (string?)error["param"]));
        JsonNode answer = await server.AnswerAsync(Route, Body(input.DeepClone(), ", \"truncation\": \"auto\", \"max_output_tokens\": 100"));
        int one = await ChatTokensAsync(server, Message("system", "hello"), User(filler));
        int another = await ChatTokensAsync(server, Message("system", "hello"), User(filler), User(filler)) - one;
        int kept = one + (4096 - 100 - one) / another * another;
        Assert.True(kept > one);
        Assert.Equal(kept, InputTokens(answer));
        Assert.Equal(("auto", 11), ((string?)answer["truncation"], (await GetAsync(server, $"{Route}/{(string)answer["id"]!}/input_items"))["data"]!.AsArray().Count));
        Assert.Equal(400, (await server.RefusalAsync(Route, Body(new string('x', 5000), ", \"truncation\": \"auto\""))).Status);
    }

    [Fact]
    public async Task A_failure_in_a_stream_is_its_last_event_and_kept()
    {
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 1 << 18 });
        using HttpResponseMessage response = await server.PostAsync(Route, BackgroundTests.Endless.Replace("\"background\": true", "\"stream\": true"));
        server.Model.Engine.Dispose();
        List<JsonNode> events = await EventsAsync(response);
        Assert.Equal(["error", "response.failed"], events[^2..].Select(e => (string?)e["type"]));
        Assert.Equal(("server_stopping", "failed", "server_stopping"), ((string?)events[^2]["code"], (string?)events[^1]["response"]!["status"], (string?)events[^1]["response"]!["error"]!["code"]));
        Assert.Equal(503, Assert.Single(server.Records()).Status);
        Assert.Equal("failed", (string?)(await GetAsync(server, $"{Route}/{server.Records()[0].RequestId}"))["status"]);
        Assert.Equal("previous_response_id", (string?)(await server.RefusalAsync(Route, Body("more", previous: server.Records()[0].RequestId))).Error["param"]);
    }

    [Theory]
    [InlineData("""{"input": "a"}""", "model")]
    [InlineData("""{"model": "tiny"}""", "input")]
    [InlineData("""{"model": "tiny", "input": 3}""", "input")]
    [InlineData("""{"model": "tiny", "input": []}""", "input")]
    [InlineData("""{"model": "tiny", "input": [3]}""", "input[0]")]
    [InlineData("""{"model": "tiny", "input": [{}]}""", "input[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"type": "frob"}]}""", "input[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"type": "web_search_call", "id": "ws_1"}]}""", "input[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"role": "king", "content": "a"}]}""", "input[0].role")]
    [InlineData("""{"model": "tiny", "input": [{"role": "user"}]}""", "input[0].content")]
    [InlineData("""{"model": "tiny", "input": [{"role": "user", "content": 3}]}""", "input[0].content")]
    [InlineData("""{"model": "tiny", "input": [{"role": "user", "content": []}]}""", "input[0].content")]
    [InlineData("""{"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_text"}]}]}""", "input[0].content[0].text")]
    [InlineData("""{"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/x.png"}]}]}""", "input[0].content[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]}""", "input[0].content[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_audio"}]}]}""", "input[0].content[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"role": "user", "content": [{"type": "refusal", "refusal": "no"}]}]}""", "input[0].content[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"type": "function_call", "call_id": "c", "name": "f"}]}""", "input[0].arguments")]
    [InlineData("""{"model": "tiny", "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}""", "input[0].call_id")]
    [InlineData("""{"model": "tiny", "input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": 3}]}""", "input[1].output")]
    [InlineData("""{"model": "tiny", "input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]}""", "input[1].output[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"type": "reasoning", "content": [{"type": "x", "text": "a"}]}]}""", "input[0].content[0].type")]
    [InlineData("""{"model": "tiny", "input": [{"type": "reasoning", "summary": "x"}]}""", "input[0].summary")]
    [InlineData("""{"model": "tiny", "input": "\ud800"}""", "input")]
    public async Task A_wrong_body_is_refused_by_path(string body, string path) => await RefusedAsync(body, path);

    [Theory]
    [InlineData("\"instructions\": 3", "instructions")]
    [InlineData("\"previous_response_id\": 3", "previous_response_id")]
    [InlineData("\"stream\": \"yes\"", "stream")]
    [InlineData("\"stream_options\": {}", "stream_options")]
    [InlineData("\"store\": 1", "store")]
    [InlineData("\"background\": \"x\"", "background")]
    [InlineData("\"background\": true, \"store\": false", "background")]
    [InlineData("\"max_output_tokens\": 0", "max_output_tokens")]
    [InlineData("\"max_tool_calls\": 0", "max_tool_calls")]
    [InlineData("\"temperature\": 2.5", "temperature")]
    [InlineData("\"top_p\": 2", "top_p")]
    [InlineData("\"top_logprobs\": 21", "top_logprobs")]
    [InlineData("\"logit_bias\": {\"99999\": 1}", "logit_bias")]
    [InlineData("\"reasoning\": {\"effort\": \"heroic\"}", "reasoning.effort")]
    [InlineData("\"reasoning\": {\"summary\": \"long\"}", "reasoning.summary")]
    [InlineData("\"text\": {\"format\": {\"type\": \"xml\"}}", "text.format.type")]
    [InlineData("\"text\": {\"verbosity\": \"chatty\"}", "text.verbosity")]
    [InlineData("\"truncation\": \"some\"", "truncation")]
    [InlineData("\"include\": [\"everything\"]", "include[0]")]
    [InlineData("\"service_tier\": \"first\"", "service_tier")]
    [InlineData("\"conversation\": \"conv_1\"", "conversation")]
    [InlineData("\"prompt\": {\"id\": \"p\"}", "prompt")]
    [InlineData("\"metadata\": {\"a\": 3}", "metadata.a")]
    [InlineData("\"tools\": [{\"type\": \"web_search\"}]", "tools[0].type")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"name\": \"a b\"}]", "tools[0].name")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"name\": \"a\", \"parameters\": 3}]", "tools[0].parameters")]
    [InlineData("\"text\": {\"format\": {\"type\": \"json_schema\", \"name\": \"a\"}}", "text.format.schema")]
    [InlineData("\"text\": {\"format\": {\"type\": \"json_schema\", \"name\": \"a\", \"schema\": {\"uniqueItems\": true}}}", "text.format.schema")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"name\": \"a\"}, {\"type\": \"function\", \"name\": \"a\"}]", "tools[1].name")]
    [InlineData("\"tool_choice\": \"required\"", "tool_choice")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"name\": \"a\"}], \"tool_choice\": {\"type\": \"function\", \"name\": \"b\"}", "tool_choice.name")]
    public async Task A_wrong_field_is_named(string field, string path) => await RefusedAsync("{" + Ask + ", " + field + "}", path);

    [Fact]
    public async Task Counts_have_limits()
    {
        static string Metadata(int pairs, int name, int value) =>
            "{" + Ask.Replace("tiny", "none") + ", \"metadata\": " + TestServer.Json(Enumerable.Range(0, pairs).ToDictionary(i => $"{i}".PadLeft(name, 'k'), _ => new string('v', value))) + "}";
        Assert.Equal(404, (await fixture.Server.RefusalAsync(Route, Metadata(ApiLimits.MaxMetadata, ApiLimits.MaxMetadataName, ApiLimits.MaxLabel))).Status);
        await RefusedAsync(Metadata(ApiLimits.MaxMetadata + 1, 2, 1), "metadata");
        string name = new('k', ApiLimits.MaxMetadataName + 1);
        await RefusedAsync(Metadata(1, ApiLimits.MaxMetadataName + 1, 1), $"metadata.{name[..^1]}0");
        await RefusedAsync(Metadata(1, 1, ApiLimits.MaxLabel + 1), "metadata.0");

        static string Kept(int bytes, bool store) => "{" + Ask.Replace("tiny", "none").Replace("\"hi\"", $"[{{\"role\": \"user\", \"content\": \"{new string('x', bytes)}\"}}]") + $", \"store\": {(store ? "true" : "false")}}}";
        const int frame = 200; // more than the item's own fields take
        Assert.Equal(404, (await fixture.Server.RefusalAsync(Route, Kept(ApiLimits.MaxStoredInputBytes - frame, store: true))).Status);
        Assert.Equal(404, (await fixture.Server.RefusalAsync(Route, Kept(ApiLimits.MaxStoredInputBytes, store: false))).Status);
        await RefusedAsync(Kept(ApiLimits.MaxStoredInputBytes, store: true), "input");
    }

    [Fact]
    public async Task Counting_is_metered_and_generates_nothing()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        JsonNode count = await server.AnswerAsync(Route + "/input_tokens", "{" + Ask + Tools + "}");
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((Route + "/input_tokens", "tiny", 200, "counted", 0), (record.Endpoint, record.Model, record.Status, record.Finish, record.OutputTokens));
        Assert.Equal(("response.input_tokens", InputTokens(await server.AnswerAsync(Route, "{" + Ask + Tools + "}"))), ((string?)count["object"], (int)count["input_tokens"]!));
    }

    internal static async Task<JsonNode> GetAsync(TestServer server, string path)
    {
        using HttpResponseMessage response = await server.Client.GetAsync(path);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        return JsonNode.Parse(text)!;
    }

    internal static async Task<HttpStatusCode> StatusAsync(HttpClient client, HttpMethod method, string path)
    {
        using var request = new HttpRequestMessage(method, path);
        using HttpResponseMessage response = await client.SendAsync(request);
        return response.StatusCode;
    }

    /// <summary>The events of a stream, numbered from one on.</summary>
    internal static async Task<List<JsonNode>> EventsAsync(HttpResponseMessage response, int first = 0)
    {
        Assert.True(response.IsSuccessStatusCode, response.IsSuccessStatusCode ? "" : await response.Content.ReadAsStringAsync());
        var events = new List<JsonNode>();
        await foreach (SseItem<string> item in SseParser.Create(await response.Content.ReadAsStreamAsync()).EnumerateAsync())
        {
            events.Add(JsonNode.Parse(item.Data)!);
            Assert.Equal((item.EventType, first++), ((string)events[^1]["type"]!, (int)events[^1]["sequence_number"]!));
        }

        return events;
    }

    internal static Task<TestServer> StartAsync(params string[] script) =>
        TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', script));

    // The types of events; deltas come in as many pieces as there were steps.
    internal static IEnumerable<string?> Types(List<JsonNode> events) =>
        events.Select(e => (string?)e["type"]).Where((type, i) => i == 0 || type != (string?)events[i - 1]["type"]);

    // Type and text; of a call, name and arguments.
    internal static List<(string? Type, string? Text)> Items(JsonNode response) => [.. response["output"]!.AsArray().Select(item => (string?)item!["type"] switch
    {
        "function_call" => ((string?)item["name"], (string?)item["arguments"]),
        var type => (type, (string?)item["content"]![0]!["text"]),
    })];

    internal static async Task<List<JsonNode>> StreamAsync(TestServer server, string body)
    {
        using HttpResponseMessage response = await server.PostAsync(Route, body);
        return await EventsAsync(response);
    }

    internal static string Body(JsonNode? input, string fields = "", string? previous = null) =>
        "{\"model\": \"tiny\", \"input\": " + input!.ToJsonString() + fields + (previous is null ? "" : $", \"previous_response_id\": \"{previous}\"") + "}";

    // Every item and its text, put together from the events as a client does, is what the response tells in the end.
    private static void AssertItemsCameAbout(List<JsonNode> events)
    {
        JsonArray output = events[^1]["response"]!["output"]!.AsArray();
        JsonNode[] done = [.. events.Where(e => (string?)e["type"] == "response.output_item.done")];
        Assert.Equal(Enumerable.Range(0, output.Count), done.Select(e => (int)e["output_index"]!));
        for (int i = 0; i < output.Count; i++)
        {
            Assert.True(JsonNode.DeepEquals(output[i], done[i]["item"]));
            string told = string.Concat(events.Where(e => e["delta"] is not null && (int)e["output_index"]! == i).Select(e => (string?)e["delta"]));
            Assert.Equal((string?)(output[i]!["arguments"] ?? output[i]!["content"]![0]!["text"]), told);
            Assert.All(events.Where(e => e["item_id"] is not null && (int)e["output_index"]! == i), e => Assert.Equal((string?)output[i]!["id"], (string?)e["item_id"]));
        }
    }

    private static JsonObject User(string content) => Message("user", content);

    private static JsonObject Message(string role, string content, string? call = null)
    {
        var message = new JsonObject { ["role"] = role, ["content"] = content };
        if (call is not null)
            message["tool_call_id"] = call;
        return message;
    }

    private static int InputTokens(JsonNode response) => (int)response["usage"]!["input_tokens"]!;

    private static async Task<int> ChatTokensAsync(TestServer server, params JsonNode[] messages) =>
        (int)(await server.AnswerAsync(Chat, new JsonObject { ["model"] = "tiny", ["max_tokens"] = 1, ["messages"] = new JsonArray(messages) }.ToJsonString()))["usage"]!["prompt_tokens"]!;

    private async Task RefusedAsync(string body, string path)
    {
        (int status, JsonNode error) = await fixture.Server.RefusalAsync(Route, body);
        Assert.Equal((400, "invalid_request_error", path), (status, (string?)error["type"], (string?)error["param"]));
    }
}
