using System.Net;
using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>The Anthropic API as it is on the wire.</summary>
public sealed class AnthropicMessagesTests(CompletionsTests.Fixture fixture) : IClassFixture<CompletionsTests.Fixture>
{
    private const string Route = "/v1/messages", Count = "/v1/messages/count_tokens";
    private const string Ask = """ "model": "tiny", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}] """;
    private const string Tools = """, "tools": [{"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}, "cache_control": {"type": "ephemeral"}}]""";
    private const string Adaptive = """, "thinking": {"type": "adaptive"}""";

    private static readonly string[] Thoughtful = ["<think>", "Let\u2581me", "\u2581see.", "</think>", "Hello", "\u2581there", "\u2581\u263a", "<|im_end|>"];

    private static readonly string[] Calling =
    [
        "Wait.", "<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581", "\"arguments\":\u2581{\"city\":\u2581\"Paris\"}}", "</tool_call>",
        "\u2581<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581\"arguments\":\u2581{\"city\":\u2581\"Oslo\"}}", "\u2581</tool_call>", "<|im_end|>",
    ];

    [Fact]
    public async Task A_message_has_blocks_and_thoughts_only_where_asked_for()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        JsonNode plain = await server.AnswerAsync(Route, "{" + Ask + "}");
        Assert.StartsWith("msg_", (string)plain["id"]!, StringComparison.Ordinal);
        Assert.Equal(("message", "assistant", "tiny", "end_turn"), ((string?)plain["type"], (string?)plain["role"], (string?)plain["model"], (string?)plain["stop_reason"]));
        Assert.Equal([("text", "Hello there \u263a")], Blocks(plain));
        JsonNode usage = plain["usage"]!;
        Assert.Equal((8, 2), ((int)usage["output_tokens"]!, (int)usage["output_tokens_details"]!["thinking_tokens"]!));

        UsageRecord record = server.Records()[0];
        Assert.Equal(((string)plain["id"]!, Route, "tiny", 200, "stop"), (record.RequestId, record.Endpoint, record.Model, record.Status, record.Finish));
        Assert.Equal((8, 2), (record.OutputTokens, record.ReasoningTokens));
        Assert.Equal(record.PromptTokens, (int)usage["input_tokens"]! + (int)usage["cache_read_input_tokens"]!);

        JsonNode thoughtful = await server.AnswerAsync(Route, "{" + Ask + Adaptive + "}");
        Assert.Equal([("thinking", "Let me see."), ("text", "Hello there \u263a")], Blocks(thoughtful));
        string signature = (string)thoughtful["content"]![0]!["signature"]!;
        Assert.NotEmpty(signature);
        JsonNode omitted = await server.AnswerAsync(Route, "{" + Ask + """, "thinking": {"type": "adaptive", "display": "omitted"} }""");
        Assert.Equal([("thinking", ""), ("text", "Hello there \u263a")], Blocks(omitted));
        Assert.Equal(signature, (string?)omitted["content"]![0]!["signature"]);
        Assert.Equal([("thinking", "Let me see."), ("text", "Hello there \u263a")], Blocks(await server.AnswerAsync(Route, "{" + Ask.Replace("\"tiny\"", "\"tiny:thinking\"") + "}")));

        // An earlier answer goes back as it came.
        JsonNode next = new JsonObject
        {
            ["model"] = "tiny", ["max_tokens"] = 9,
            ["messages"] = new JsonArray(Message("user", "hi"), Message("assistant", thoughtful["content"]!.DeepClone()), Message("user", "and?")),
        };
        await server.AnswerAsync(Route, next.ToJsonString());
    }

    [Fact]
    public async Task A_stream_tells_the_same_blocks_in_order()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        JsonNode whole = await server.AnswerAsync(Route, "{" + Ask + Adaptive + "}");
        List<JsonNode> events = await StreamAsync(server, "{" + Ask + Adaptive + ", \"stream\": true}");
        Assert.Equal(
            ["message_start", "ping", "content_block_start", "content_block_delta", "content_block_stop", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"],
            events.Select(Type).Where((type, i) => i == 0 || type != Type(events[i - 1])));
        JsonNode start = events[0]["message"]!;
        Assert.Equal((server.Records()[0].RequestId, 0, 0), ((string?)start["id"], start["content"]!.AsArray().Count, (int)start["usage"]!["output_tokens"]!));
        Assert.Null(start["stop_reason"]);
        Assert.Equal(Blocks(whole), Joined(events));
        Assert.Equal((string?)whole["content"]![0]!["signature"], (string?)events.Single(e => (string?)e["delta"]?["type"] == "signature_delta")["delta"]!["signature"]);
        JsonNode end = events[^2];
        Assert.Equal("end_turn", (string?)end["delta"]!["stop_reason"]);
        foreach (string field in (string[])["output_tokens", "cache_creation_input_tokens"])
            Assert.Equal((int)whole["usage"]![field]!, (int)end["usage"]![field]!);
        Assert.Equal((int)start["usage"]!["input_tokens"]!, (int)end["usage"]!["input_tokens"]! + (int)end["usage"]!["cache_read_input_tokens"]!);
        Assert.Equal(200, server.Records()[0].Status);
    }

    [Fact]
    public async Task Calls_are_blocks_with_their_input()
    {
        await using TestServer server = await StartAsync(Calling);
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + Tools + "}");
        Assert.Equal("tool_use", (string?)answer["stop_reason"]);
        Assert.Equal(["text", "tool_use", "tool_use"], answer["content"]!.AsArray().Select(block => (string?)block!["type"]));
        JsonNode[] calls = [.. answer["content"]!.AsArray().Skip(1).Select(call => call!)];
        Assert.Equal(["Paris", "Oslo"], calls.Select(call => (string?)call["input"]!["city"]));
        Assert.All(calls, call => Assert.Matches("^toolu_[0-9a-f]{24}$", (string?)call["id"]));
        Assert.Equal("tool_calls", server.Records()[0].Finish);
        Assert.Equal(Blocks(answer), Joined(await StreamAsync(server, "{" + Ask + Tools + ", \"stream\": true}")));
        JsonNode one = await server.AnswerAsync(Route, "{" + Ask + Tools + """, "tool_choice": {"type": "auto", "disable_parallel_tool_use": true} }""");
        Assert.Equal(["text", "tool_use"], one["content"]!.AsArray().Select(block => (string?)block!["type"]));

        // Results go back, and that one is an error reaches the model.
        async Task<int> CountAsync(string result, string id) => (int)(await server.AnswerAsync(Count, new JsonObject
        {
            ["model"] = "tiny",
            ["messages"] = new JsonArray(Message("user", "hi"), Message("assistant", answer["content"]!.DeepClone()), Message("user", new JsonArray(
                JsonNode.Parse("{\"type\": \"tool_result\", \"tool_use_id\": \"" + id + "\", " + result + "}")))),
        }.ToJsonString()))["input_tokens"]!;
        string known = (string)calls[0]["id"]!;
        int plain = await CountAsync("\"content\": \"rain\"", known);
        Assert.Equal(plain, await CountAsync("\"content\": [{\"type\": \"text\", \"text\": \"rain\"}]", known));
        Assert.Equal(plain + Encoding.UTF8.GetByteCount("Error:\u2581"), await CountAsync("\"content\": \"rain\", \"is_error\": true", known));
        (int status, JsonNode error) = await RefusalAsync(server, """{"model": "tiny", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_no", "content": "x"}]}]}""");
        Assert.Equal(400, status);
        Assert.Contains("messages[0].content[0].tool_use_id", (string?)error["message"], StringComparison.Ordinal);

        // Cut off inside the call, its text is not lost.
        JsonNode cut = await server.AnswerAsync(Route, "{" + Ask.Replace("50", "2") + Tools + "}");
        Assert.Equal("max_tokens", (string?)cut["stop_reason"]);
        int with = await LengthAsync(Tools), none = await LengthAsync(Tools + """, "tool_choice": {"type": "none"} """), without = await LengthAsync("");
        Assert.True(with > none && none == without);

        async Task<int> LengthAsync(string fields) => (int)(await server.AnswerAsync(Count, "{" + Ask + fields + "}"))["input_tokens"]!;
    }

    [Fact]
    public async Task Why_it_stopped()
    {
        await using TestServer server = await StartAsync("One.", "\u2581Two.", "\u2581Three.", "<|im_end|>");
        JsonNode stopped = await server.AnswerAsync(Route, "{" + Ask + """, "stop_sequences": ["Th", "four"] }""");
        Assert.Equal(("stop_sequence", "Th"), ((string?)stopped["stop_reason"], (string?)stopped["stop_sequence"]));
        Assert.Equal([("text", "One. Two. ")], Blocks(stopped));
        JsonNode end = (await StreamAsync(server, "{" + Ask + """, "stop_sequences": ["Th"], "stream": true }"""))[^2];
        Assert.Equal(("stop_sequence", "Th"), ((string?)end["delta"]!["stop_reason"], (string?)end["delta"]!["stop_sequence"]));
        JsonNode cut = await server.AnswerAsync(Route, "{" + Ask.Replace("50", "2") + "}");
        Assert.Equal(("max_tokens", 2), ((string?)cut["stop_reason"], (int)cut["usage"]!["output_tokens"]!));
        Assert.Null(cut["stop_sequence"]);

        await using TestServer small = await TestServer.StartAsync(new ServingOptions { ContextLength = 64 });
        JsonNode full = await small.AnswerAsync(Route, "{" + Ask.Replace("50", "1000") + """, "logit_bias": {"2": -100, "260": -100} }""");
        Assert.Equal("model_context_window_exceeded", (string?)full["stop_reason"]);
    }

    [Fact]
    public async Task A_budget_of_thoughts_holds_to_the_token()
    {
        const string template = TinyModel.ChatMl + "{# enable_thinking #}";
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 4096 }, write: path => TinyModel.Write(path, template));
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask.Replace("50", "1100") + """, "seed": 3, "logit_bias": {"0": -100, "1": -100, "2": -100, "259": -100, "260": -100}, "thinking": {"type": "enabled", "budget_tokens": 1024} }""");
        Assert.Equal((1024, 1100, "max_tokens"), ((int)answer["usage"]!["output_tokens_details"]!["thinking_tokens"]!, (int)answer["usage"]!["output_tokens"]!, (string?)answer["stop_reason"]));
        Assert.Equal(["thinking", "text"], answer["content"]!.AsArray().Select(block => (string?)block!["type"]));
    }

    [Fact]
    public async Task Modes_by_field_and_by_name()
    {
        await using TestServer server = await StartAsync("<think>", "Six\u2581times\u2581seven.", "</think>", "42", "<|im_end|>");
        async Task<(string? Mode, JsonNode Answer)> ModeAsync(string body)
        {
            using HttpResponseMessage response = await server.PostAsync(Route, "{" + body + "}");
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, text);
            return (response.Headers.TryGetValues("x-flint-mode", out IEnumerable<string>? values) ? values.Single() : null, JsonNode.Parse(text)!);
        }

        Assert.Null((await ModeAsync(Ask)).Mode);
        Assert.Equal("instant", (await ModeAsync(Ask + """, "thinking": {"type": "disabled"} """)).Mode);
        Assert.Equal("thinking", (await ModeAsync(Ask + """, "output_config": {"effort": "low"} """)).Mode);
        Assert.Equal("thinking", (await ModeAsync(Ask.Replace("50", "2000") + """, "thinking": {"type": "enabled", "budget_tokens": 1024} """)).Mode);
        Assert.Equal("instant", (await ModeAsync(Ask.Replace("\"tiny\"", "\"tiny:instant\"") + Adaptive)).Mode);

        string contemplating = Ask.Replace("\"tiny\"", "\"tiny:contemplating\"").Replace("50", "2000") + """, "seed": 3, "thinking": {"type": "enabled", "budget_tokens": 1024} """;
        (string? mode, JsonNode answer) = await ModeAsync(contemplating);
        Assert.Equal("contemplating", mode);
        Assert.Equal(["thinking", "text"], answer["content"]!.AsArray().Select(block => (string?)block!["type"]));
        Assert.StartsWith("[1] Six times seven. => 42\n", (string?)answer["content"]![0]!["thinking"]);
        Assert.Equal("42", (string?)answer["content"]![1]!["text"]);
        Assert.Equal((20, 20), ((int)answer["usage"]!["output_tokens"]!, (int)server.Records()[0].OutputTokens));
        Assert.Equal(Blocks(answer), Joined(await StreamAsync(server, "{" + contemplating + ", \"stream\": true}")));
    }

    [Theory]
    [InlineData("""{"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}""", "model")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "a"}]}""", "max_tokens")]
    [InlineData("""{"model": "tiny", "max_tokens": 0, "messages": [{"role": "user", "content": "a"}]}""", "max_tokens")]
    [InlineData("""{"model": "tiny", "max_tokens": 1}""", "messages")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": []}""", "messages")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "king", "content": "a"}]}""", "messages[0].role")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user"}]}""", "messages[0].content")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": 3}]}""", "messages[0].content")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "text"}]}]}""", "messages[0].content[0].text")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com/x.png"}}]}]}""", "messages[0].content[0].type")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}""", "messages[0].content[0].type")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}]}""", "messages[0].content[0].type")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}""", "messages")]
    [InlineData("""{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": "{}"}]}]}""", "messages[1].content[0].input")]
    public async Task A_wrong_body_is_refused_by_path(string body, string path) => await RefusedAsync(body, path);

    [Theory]
    [InlineData("\"system\": 3", "system")]
    [InlineData("\"system\": [{\"type\": \"image\"}]", "system[0].type")]
    [InlineData("\"stop_sequences\": \"a\"", "stop_sequences")]
    [InlineData("\"stop_sequences\": [\"\"]", "stop_sequences[0]")]
    [InlineData("\"temperature\": 2.5", "temperature")]
    [InlineData("\"top_k\": \"x\"", "top_k")]
    [InlineData("\"stream\": \"yes\"", "stream")]
    [InlineData("\"metadata\": {\"user_id\": 3}", "metadata.user_id")]
    [InlineData("\"logit_bias\": {\"99999\": 1}", "logit_bias")]
    [InlineData("\"frobnicate\": 1", "frobnicate")]
    [InlineData("\"n\": 2", "n")]
    [InlineData("\"tools\": [{\"type\": \"web_search_20250305\", \"name\": \"web_search\"}]", "tools[0].type")]
    [InlineData("\"tools\": [{\"name\": \"a b\", \"input_schema\": {}}]", "tools[0].name")]
    [InlineData("\"tools\": [{\"name\": \"a\"}]", "tools[0].input_schema")]
    [InlineData("\"tools\": [{\"name\": \"a\", \"input_schema\": {\"$dynamicRef\": \"#a\"}, \"strict\": true}]", "$dynamicRef")]
    [InlineData("\"tools\": [{\"name\": \"a\", \"input_schema\": {}}, {\"name\": \"a\", \"input_schema\": {}}]", "tools[1].name")]
    [InlineData("\"tool_choice\": {\"type\": \"any\"}", "tool_choice")]
    [InlineData("\"tools\": [{\"name\": \"a\", \"input_schema\": {}}], \"tool_choice\": {\"type\": \"tool\", \"name\": \"b\"}", "tool_choice.name")]
    [InlineData("\"tool_choice\": {\"type\": \"auto\"}", "tool_choice")]
    [InlineData("\"thinking\": {\"type\": \"deep\"}", "thinking.type")]
    [InlineData("\"thinking\": {\"type\": \"enabled\"}", "thinking.budget_tokens")]
    [InlineData("\"thinking\": {\"type\": \"enabled\", \"budget_tokens\": 1023}", "thinking.budget_tokens")]
    [InlineData("\"thinking\": {\"type\": \"enabled\", \"budget_tokens\": 2000}", "thinking.budget_tokens")]
    [InlineData("\"output_config\": {\"effort\": \"heroic\"}", "output_config.effort")]
    [InlineData("\"output_config\": {\"format\": {\"type\": \"json_schema\"}}", "output_config.format.schema")]
    public async Task A_wrong_field_is_named(string field, string path) => await RefusedAsync("{" + Ask.Replace("50", "2000") + ", " + field + "}", path);

    [Fact]
    public async Task A_tools_name_has_a_longest()
    {
        string Named(int length) => "{" + Ask.Replace("tiny", "none") + ", \"tools\": [{\"name\": \"" + new string('a', length) + "\", \"input_schema\": {}}]}";
        Assert.Equal(404, (await RefusalAsync(fixture.Server, Named(ApiLimits.MaxAnthropicToolName))).Status);
        await RefusedAsync(Named(ApiLimits.MaxAnthropicToolName + 1), "tools[0].name");
    }

    [Fact]
    public async Task Keys_come_in_either_header_and_refusals_in_this_shape()
    {
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 1 << 18, Parallel = 1, Waiting = 1 });
        using HttpClient client = server.NewClient();
        async Task<(HttpStatusCode Status, string? Type)> SendAsync(HttpMethod method, string path, string header, string value, string? body = null)
        {
            using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
            request.Headers.TryAddWithoutValidation(header, value);
            request.Headers.Add("anthropic-version", "2023-06-01");
            request.Headers.ExpectContinue = body?.Length > ApiLimits.MaxBodyBytes; // so that the refusal is read before the body is sent
            using HttpResponseMessage response = await client.SendAsync(request);
            string text = await response.Content.ReadAsStringAsync();
            return (response.StatusCode, response.IsSuccessStatusCode ? null : (string?)ErrorOf(text)["type"]);
        }

        foreach ((string header, string value) in ((string, string)[])[("x-api-key", server.Secret), ("Authorization", "Bearer " + server.Secret)])
            Assert.Equal((HttpStatusCode.OK, null), await SendAsync(HttpMethod.Post, Route, header, value, "{" + Ask.Replace("50", "1") + "}"));
        foreach (string wrong in (string[])["", " ", "sk-flint-wrong"])
            Assert.Equal((HttpStatusCode.Unauthorized, "authentication_error"), await SendAsync(HttpMethod.Post, Route, "x-api-key", wrong, "{}"));
        Assert.Equal((HttpStatusCode.NotFound, "not_found_error"), await SendAsync(HttpMethod.Post, Route, "x-api-key", server.Secret, "{" + Ask.Replace("tiny", "none") + "}"));
        Assert.Equal((HttpStatusCode.NotFound, "not_found_error"), await SendAsync(HttpMethod.Get, "/v1/none", "x-api-key", server.Secret));
        Assert.Equal((HttpStatusCode.MethodNotAllowed, "invalid_request_error"), await SendAsync(HttpMethod.Get, Route, "x-api-key", server.Secret));
        Assert.Equal((HttpStatusCode.RequestEntityTooLarge, "request_too_large"), await SendAsync(HttpMethod.Post, Route, "x-api-key", server.Secret, new string(' ', ApiLimits.MaxBodyBytes + 1)));

        // A full queue, and an engine that ends under a stream.
        string endless = "{" + Ask.Replace("50", "250000") + """, "logit_bias": {"2": -100, "260": -100}, "stream": true }""";
        using HttpResponseMessage running = await server.PostAsync(Route, endless);
        using HttpResponseMessage waiting = await server.PostAsync(Route, endless);
        Assert.Equal((HttpStatusCode.TooManyRequests, "rate_limit_error"), await SendAsync(HttpMethod.Post, Route, "x-api-key", server.Secret, endless));
        server.Model.Engine.Dispose();
        string events = await running.Content.ReadAsStringAsync();
        int last = events.LastIndexOf("event: error\ndata: ", StringComparison.Ordinal);
        Assert.True(last > 0);
        Assert.Equal("overloaded_error", (string?)ErrorOf(events[(last + "event: error\ndata: ".Length)..])["type"]);
    }

    [Fact]
    public async Task A_refusal_names_its_record()
    {
        await using TestServer server = await TestServer.StartAsync();
        using HttpResponseMessage response = await server.PostAsync(Route, "{}");
        string id = Assert.Single(response.Headers.GetValues("request-id"));
        Assert.Equal(id, (string?)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["request_id"]);
        Assert.Equal((id, 400, "missing_required_parameter"), (server.Records()[0].RequestId, server.Records()[0].Status, server.Records()[0].Finish));
    }

    [Fact]
    public async Task Counting_is_metered_and_generates_nothing()
    {
        await using TestServer server = await TestServer.StartAsync();
        int count = (int)(await server.AnswerAsync(Count, """{"model": "tiny", "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": "there"}]}"""))["input_tokens"]!;
        Assert.Equal((Count, "tiny", 200, "counted", 0), (server.Records()[0].Endpoint, server.Records()[0].Model, server.Records()[0].Status, server.Records()[0].Finish, server.Records()[0].OutputTokens));
        JsonNode message = await server.AnswerAsync(Route, """{"model": "tiny", "max_tokens": 1, "system": "a\nb", "messages": [{"role": "user", "content": "hi\nthere"}]}""");
        Assert.Equal((int)message["usage"]!["input_tokens"]!, count);
        Assert.True((int)(await server.AnswerAsync(Count, "{" + Ask.Replace("hi", new string('x', 5000)) + "}"))["input_tokens"]! > TinyModel.Context);
    }

    [Fact]
    public async Task Models_have_the_shape_of_the_client_that_asks()
    {
        await using TestServer server = await TestServer.StartAsync();
        async Task<JsonNode> GetAsync(string path)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.Add("anthropic-version", "2023-06-01");
            using HttpResponseMessage response = await server.Client.SendAsync(request);
            return JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        }

        JsonNode list = await GetAsync("/v1/models");
        Assert.Equal((false, "tiny", "tiny"), ((bool)list["has_more"]!, (string?)list["first_id"], (string?)list["last_id"]));
        JsonNode one = Assert.Single(list["data"]!.AsArray())!;
        Assert.Equal(("tiny", "model", "tiny"), ((string?)one["id"], (string?)one["type"], (string?)one["display_name"]));
        Assert.Matches("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$", (string?)one["created_at"]);
        Assert.Equal(one.ToJsonString(), (await GetAsync("/v1/models/tiny")).ToJsonString());
        Assert.Equal("not_found_error", (string?)(await GetAsync("/v1/models/none"))["error"]!["type"]);
    }

    private static JsonObject Message(string role, JsonNode content) => new() { ["role"] = role, ["content"] = content };

    private static Task<TestServer> StartAsync(params string[] script) =>
        TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', script));

    private static string? Type(JsonNode value) => (string?)value["type"];

    // Kind and text; of a call, name and input.
    private static List<(string?, string?)> Blocks(JsonNode message) => [.. message["content"]!.AsArray().Select(block => Type(block!) switch
    {
        "thinking" => ("thinking", (string?)block!["thinking"]),
        "text" => ("text", (string?)block!["text"]),
        _ => ((string?)block!["name"], block["input"]!.ToJsonString()),
    })];

    private static List<(string?, string?)> Joined(List<JsonNode> events)
    {
        var blocks = new List<(string? Kind, string? Text)>();
        foreach (JsonNode next in events)
        {
            if (Type(next) == "content_block_start")
            {
                Assert.Equal(blocks.Count, (int)next["index"]!);
                blocks.Add((Type(next["content_block"]!) == "tool_use" ? (string?)next["content_block"]!["name"] : Type(next["content_block"]!), ""));
            }

            if (Type(next) != "content_block_delta" || Type(next["delta"]!) == "signature_delta")
                continue;
            Assert.Equal(blocks.Count - 1, (int)next["index"]!);
            blocks[^1] = (blocks[^1].Kind, blocks[^1].Text + (string?)(next["delta"]!["text"] ?? next["delta"]!["thinking"] ?? next["delta"]!["partial_json"]));
        }

        return [.. blocks.Select(block => (block.Kind, block.Kind is "text" or "thinking" ? block.Text : JsonNode.Parse(block.Text!)!.ToJsonString()))];
    }

    private static async Task<List<JsonNode>> StreamAsync(TestServer server, string body)
    {
        using HttpResponseMessage response = await server.PostAsync(Route, body);
        Assert.True(response.IsSuccessStatusCode, response.IsSuccessStatusCode ? "" : await response.Content.ReadAsStringAsync());
        var events = new List<JsonNode>();
        await foreach (SseItem<string> item in SseParser.Create(await response.Content.ReadAsStreamAsync()).EnumerateAsync())
        {
            events.Add(JsonNode.Parse(item.Data)!);
            Assert.Equal(item.EventType, Type(events[^1]));
        }

        Assert.Equal("message_stop", Type(events[^1]));
        return events;
    }

    private static async Task<(int Status, JsonNode Error)> RefusalAsync(TestServer server, string body)
    {
        using HttpResponseMessage response = await server.PostAsync(Route, body);
        return ((int)response.StatusCode, ErrorOf(await response.Content.ReadAsStringAsync()));
    }

    private static JsonObject ErrorOf(string body)
    {
        JsonNode answer = JsonNode.Parse(body)!;
        Assert.Equal(["type", "error", "request_id"], answer.AsObject().Select(entry => entry.Key));
        Assert.Equal("error", Type(answer));
        JsonObject error = answer["error"]!.AsObject();
        Assert.Equal(["type", "message"], error.Select(entry => entry.Key));
        Assert.NotEmpty(error["message"]!.GetValue<string>());
        return error;
    }

    private async Task RefusedAsync(string body, string path)
    {
        (int status, JsonNode error) = await RefusalAsync(fixture.Server, body);
        Assert.Equal((400, "invalid_request_error"), (status, Type(error)));
        Assert.Contains(path, (string?)error["message"], StringComparison.Ordinal);
    }
}
