using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Tests.Upstreams;
using Flint.App.Upstreams;

namespace Flint.App.Tests.Api;

/// <summary>Modes, choices and calls of chats that upstreams answer, what such chats cannot have, and a Flint that is another's upstream.</summary>
public sealed class UpstreamChatTests : IAsyncLifetime
{
    private const string Chat = "/v1/chat/completions";
    private const string Ask = """ "model": "big", "messages": [{"role": "user", "content": "hi"}] """;

    private FakeUpstream _upstream = null!;

    public async ValueTask InitializeAsync() => _upstream = await FakeUpstream.StartAsync();

    public ValueTask DisposeAsync() => _upstream.DisposeAsync();

    [Theory]
    [InlineData("/v1/chat/completions", """{"model": "big", "messages": [{"role": "user", "content": "hi"}], "logprobs": true}""", "logprobs")]
    [InlineData("/v1/completions", """{"model": "big", "prompt": ["hi", "ho"]}""", "prompt")]
    [InlineData("/v1/completions", """{"model": "big", "prompt": "hi", "logprobs": 1}""", "logprobs")]
    [InlineData("/v1/completions", """{"model": "big", "prompt": "hi", "echo": true}""", "echo")]
    [InlineData("/v1/completions", """{"model": "big", "prompt": "hi", "best_of": 2}""", "best_of")]
    [InlineData("/v1/chat/completions", """{"model": "big", "messages": [{"role": "user", "content": "hi"}], "grammar": "root ::= \"a\""}""", "grammar")]
    [InlineData("/v1/responses", """{"model": "big", "input": "hi", "truncation": "auto"}""", "truncation")]
    [InlineData("/v1/responses/input_tokens", """{"model": "big", "input": "hi"}""", "model")]
    [InlineData("/v1/messages/count_tokens", """{"model": "big", "messages": [{"role": "user", "content": "hi"}]}""", "model")]
    [InlineData("/api/generate", """{"model": "big", "prompt": "hi", "raw": true, "format": "json"}""", "format")]
    public async Task What_needs_an_engine_is_refused(string route, string body, string field)
    {
        await using TestServer server = await StartAsync(null, _upstream.Target());
        using HttpResponseMessage response = await server.PostAsync(route, body);
        string text = await response.Content.ReadAsStringAsync();
        Assert.Equal(System.Net.HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains($"'{field}'. The model 'big' is served by an upstream, which ", text, StringComparison.Ordinal);
        Assert.Empty(_upstream.Bodies);
        Assert.Equal((400, "unsupported_parameter"), (server.Records()[0].Status, server.Records()[0].Finish));
    }

    [Theory]
    [InlineData(UpstreamReasoning.Effort, "\"reasoning_effort\": \"high\"", "high", null, "thinking", null)]
    [InlineData(UpstreamReasoning.Effort, "\"mode\": \"instant\"", "none", null, "instant", null)]
    [InlineData(UpstreamReasoning.Effort, "\"thinking_budget\": 100", null, null, "thinking", "takes no limit of thoughts")]
    [InlineData(UpstreamReasoning.Template, "\"mode\": \"instant\"", null, "{\"enable_thinking\":false}", "instant", null)]
    [InlineData(UpstreamReasoning.Template, "\"mode\": \"thinking\"", null, "{\"enable_thinking\":true}", "thinking", null)]
    [InlineData(UpstreamReasoning.Template, "\"reasoning_effort\": \"high\"", null, "{\"enable_thinking\":true}", "thinking", "takes no effort")]
    [InlineData(UpstreamReasoning.None, "\"reasoning_effort\": \"low\"", null, null, "thinking", "answers at once")]
    [InlineData(UpstreamReasoning.Effort, "\"temperature\": 1", null, null, null, null)]
    public async Task Modes_are_told_as_the_upstream_knows_them(UpstreamReasoning reasoning, string field, string? effort, string? variables, string? mode, string? approximation)
    {
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(context, [FakeUpstream.Thought("Hm."), FakeUpstream.Text("Hello"), FakeUpstream.End(), FakeUpstream.Done]);
        await using TestServer server = await StartAsync(plain => plain with { Reasoning = reasoning }, _upstream.Target());
        using HttpResponseMessage response = await server.PostAsync(Chat, "{" + Ask + ", " + field + "}");
        JsonNode message = JsonNode.Parse(await response.Content.ReadAsStringAsync())!["choices"]![0]!["message"]!;
        JsonNode body = Assert.Single(_upstream.Bodies);
        Assert.Equal((effort, variables), ((string?)body["reasoning_effort"], body["chat_template_kwargs"]?.ToJsonString()));
        Assert.Equal(mode, response.Headers.TryGetValues("x-flint-mode", out IEnumerable<string>? modes) ? modes.Single() : null);
        Assert.Equal(approximation is not null, response.Headers.TryGetValues("x-flint-mode-approximation", out IEnumerable<string>? told));
        Assert.Contains(approximation ?? "", told?.Single() ?? "", StringComparison.Ordinal);
        Assert.Equal(mode == "instant" ? null : "Hm.", (string?)message["reasoning_content"]);
        Assert.Equal((mode ?? "", "Hello"), (server.Records()[0].Mode, (string?)message["content"]));
    }

    [Fact]
    public async Task A_key_without_a_mode_or_tools_is_refused_them()
    {
        await using TestServer server = await StartAsync(null, _upstream.Target());
        using HttpClient client = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("scoped", scopes: new KeyScopes { Modes = ["instant"], Tools = false }).Secret);
        Assert.Equal(403, (int)(await client.SendAsync(TestServer.Request(Chat, "{" + Ask + "}"))).StatusCode); // its own way may be to think
        Assert.Equal(403, (int)(await client.SendAsync(TestServer.Request(Chat, "{" + Ask + """, "mode": "instant", "tools": [{"type": "function", "function": {"name": "f"}}]}"""))).StatusCode);
        Assert.Empty(_upstream.Bodies);
        Assert.Equal(200, (int)(await client.SendAsync(TestServer.Request(Chat, "{" + Ask + ", \"mode\": \"instant\"}"))).StatusCode);
    }

    [Fact]
    public async Task Only_fields_that_the_vendor_knows_are_sent_where_that_is_asked()
    {
        await using TestServer server = await StartAsync(plain => plain with { Extensions = false, OutputField = "max_completion_tokens", ContinuousUsage = true }, _upstream.Target());
        await server.AnswerAsync("/api/chat", """{"model": "big", "messages": [{"role": "user", "content": "hi"}], "stream": false, "options": {"top_k": 3, "num_predict": 5}}""");
        JsonNode body = Assert.Single(_upstream.Bodies);
        Assert.Equal(["model", "messages", "stream", "stream_options", "max_completion_tokens", "temperature", "top_p"], body.AsObject().Select(field => field.Key));
        Assert.Equal((5, true), ((int)body["max_completion_tokens"]!, (bool)body["stream_options"]!["continuous_usage_stats"]!));
    }

    [Theory]
    [InlineData("/v1/chat/completions", """ "messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": {"type": "object"}}}""", """{"type":"json_schema","json_schema":{"name":"a","schema":{"type": "object"},"strict":true}}""")]
    [InlineData("/v1/chat/completions", """ "messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_object"}""", """{"type":"json_object"}""")]
    [InlineData("/v1/responses", """ "input": "hi", "text": {"format": {"type": "json_schema", "name": "b", "schema": {}}}""", """{"type":"json_schema","json_schema":{"name":"b","schema":{}}}""")]
    [InlineData("/v1/messages", """ "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "output_config": {"format": {"type": "json_schema", "schema": {}}}""", """{"type":"json_schema","json_schema":{"name":"answer","schema":{}}}""")]
    [InlineData("/api/chat", """ "stream": false, "messages": [{"role": "user", "content": "hi"}], "format": {"type": "object"}""", """{"type":"json_schema","json_schema":{"name":"answer","schema":{"type": "object"}}}""")]
    public async Task What_an_answer_is_held_to_is_told_the_upstream(string route, string fields, string expected)
    {
        await using TestServer server = await StartAsync(null, _upstream.Target());
        await server.AnswerAsync(route, "{\"model\": \"big\"," + fields + "}");
        Assert.Equal(JsonNode.Parse(expected)!.ToJsonString(), Assert.Single(_upstream.Bodies)["response_format"]?.ToJsonString());
    }

    [Theory]
    [InlineData("/v1/chat/completions", """ "messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object"}}}], "tool_choice": "required" """, "\"required\"")]
    [InlineData("/v1/responses", """ "input": "hi", "tools": [{"type": "function", "name": "f", "strict": true, "parameters": {"type": "object"}}], "tool_choice": {"type": "function", "name": "f"} """, """{"type":"function","function":{"name":"f"}}""")]
    [InlineData("/v1/messages", """ "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "f", "strict": true, "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "f"} """, """{"type":"function","function":{"name":"f"}}""")]
    public async Task Forced_calls_and_strict_functions_are_told_the_upstream(string route, string fields, string expected)
    {
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(context, [FakeUpstream.Call(0, "a", "f", "{}"), FakeUpstream.End(), FakeUpstream.Done]);
        await using TestServer server = await StartAsync(null, _upstream.Target());
        await server.AnswerAsync(route, "{\"model\": \"big\"," + fields + "}");
        JsonNode body = Assert.Single(_upstream.Bodies);
        Assert.Equal((expected, true), (body["tool_choice"]?.ToJsonString(), (bool)body["tools"]![0]!["function"]!["strict"]!));
        Assert.Equal("tool_calls", server.Records()[0].Finish);
    }

    [Fact]
    public async Task A_plain_prompt_is_completed()
    {
        string? path = null;
        _upstream.Answer = (context, _) =>
        {
            path = context.Request.Path;
            return FakeUpstream.SayAsync(context, [FakeUpstream.Event(new { choices = new[] { new { index = 0, text = "Once" } } }), FakeUpstream.Event(new { choices = new[] { new { index = 0, text = " more", finish_reason = "length" } } }), FakeUpstream.Usage(3, 2), FakeUpstream.Done]);
        };
        await using TestServer server = await StartAsync(null, _upstream.Target());
        JsonNode whole = await server.AnswerAsync("/v1/completions", """{"model": "big", "prompt": "Tell \u00e9", "max_tokens": 2, "stop": "X", "seed": 5}""");
        Assert.Equal(("text_completion", "Once more", "length", 3, 2), ((string?)whole["object"], (string?)whole["choices"]![0]!["text"], (string?)whole["choices"]![0]!["finish_reason"], (int)whole["usage"]!["prompt_tokens"]!, (int)whole["usage"]!["completion_tokens"]!));
        JsonNode body = _upstream.Bodies[0];
        Assert.Equal(("/v1/completions", "Tell \u00e9", 2, "X", 5, null), (path, (string?)body["prompt"], (int)body["max_tokens"]!, (string?)body["stop"]![0], (int)body["seed"]!, body["messages"]));
        List<JsonNode> chunks = await server.StreamAsync("/v1/completions", """{"model": "big", "prompt": "Tell", "stream": true, "stream_options": {"include_usage": true}}""");
        Assert.Equal("Once more", string.Concat(chunks.SelectMany(chunk => chunk["choices"]!.AsArray()).Select(choice => (string?)choice!["text"])));
        Assert.Equal(("length", 2), ((string?)chunks[^2]["choices"]![0]!["finish_reason"], (int)chunks[^1]["usage"]!["completion_tokens"]!));
        JsonNode raw = await server.AnswerAsync("/api/generate", """{"model": "big", "prompt": "Tell", "raw": true, "stream": false}""");
        Assert.Equal(("Once more", "length"), ((string?)raw["response"], (string?)raw["done_reason"]));
        Assert.All(server.Records(), record => Assert.Equal((200, "upstream:one", 3L, 2L), (record.Status, record.Fingerprint, record.PromptTokens, record.OutputTokens)));
    }

    [Fact]
    public async Task Choices_come_side_by_side()
    {
        _upstream.Answer = (context, body) => FakeUpstream.SayAsync(
            context, [FakeUpstream.Text("a", 0), FakeUpstream.Text("b", (int)body["n"]! - 1), FakeUpstream.Text("c", 0), FakeUpstream.End("length", 1), FakeUpstream.Text("d", 0), FakeUpstream.End("stop", 0), FakeUpstream.Usage(5, 4), FakeUpstream.Done]);
        await using TestServer server = await StartAsync(null, _upstream.Target());
        List<JsonNode> chunks = await server.StreamAsync(Chat, "{" + Ask + """, "n": 2, "stream": true, "stream_options": {"include_usage": true}}""");
        List<JsonNode> choices = [.. chunks.SelectMany(chunk => chunk["choices"]!.AsArray()).Select(choice => choice!)];
        Assert.Equal(["acd", "b"], ((int[])[0, 1]).Select(index => string.Concat(choices.Where(choice => (int)choice["index"]! == index).Select(choice => (string?)choice["delta"]!["content"]))));
        Assert.Equal("length,stop", server.Records()[0].Finish);
        Assert.Equal((5, 4), ((int)chunks[^1]["usage"]!["prompt_tokens"]!, (int)chunks[^1]["usage"]!["completion_tokens"]!));
    }

    [Fact]
    public async Task Without_parallel_calls_the_upstream_is_left_after_the_first()
    {
        _upstream.Answer = async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Call(0, "a", "f", "{}"), FakeUpstream.Call(1, "b", "f", "{}")]);
            await FakeUpstream.StallAsync(context);
        };
        await using TestServer server = await StartAsync(null, _upstream.Target());
        JsonNode answer = await server.AnswerAsync("/v1/messages", """{"model": "big", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}""");
        JsonNode block = Assert.Single(answer["content"]!.AsArray())!;
        Assert.Equal(("tool_use", "f", "tool_use"), ((string?)block["type"], (string?)block["name"], (string?)answer["stop_reason"]));
        Assert.StartsWith("toolu_", (string?)block["id"], StringComparison.Ordinal);
        Assert.False((bool)_upstream.Bodies[0]["parallel_tool_calls"]!);
        await TestServer.UntilAsync(() => _upstream.Aborted == 1);
    }

    [Theory]
    [InlineData("stop_reason")]
    [InlineData("matched_stop")]
    public async Task A_stop_string_that_the_upstream_names_is_told(string field)
    {
        _upstream.Answer = (context, _) => FakeUpstream.SayAsync(
            context, [FakeUpstream.Text("Hello"), FakeUpstream.End().Replace("\"finish_reason\"", $"\"{field}\":\"END\",\"finish_reason\"", StringComparison.Ordinal), FakeUpstream.Done]);
        await using TestServer server = await StartAsync(null, _upstream.Target());
        JsonNode answer = await server.AnswerAsync("/v1/messages", """{"model": "big", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "stop_sequences": ["END"]}""");
        Assert.Equal(("stop_sequence", "END"), ((string?)answer["stop_reason"], (string?)answer["stop_sequence"]));
    }

    [Fact]
    public async Task An_answer_that_is_broken_off_is_settled_by_the_usage_told_with_its_chunks()
    {
        _upstream.Answer = async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Event(new { choices = new[] { new { index = 0, delta = new { content = "Hello there" } } }, usage = new { prompt_tokens = 8, completion_tokens = 2 } })]);
            await FakeUpstream.StallAsync(context);
        };
        await using TestServer server = await StartAsync(plain => plain with { ContinuousUsage = true }, _upstream.Target());
        HttpResponseMessage response = await server.PostAsync(Chat, "{" + Ask + ", \"stream\": true}");
        response.Dispose();
        await TestServer.UntilAsync(() => server.Records().Count == 1);
        Assert.Equal((499, 8, 2), (server.Records()[0].Status, server.Records()[0].PromptTokens, server.Records()[0].OutputTokens));
    }

    [Fact]
    public async Task Models_of_upstreams_are_listed()
    {
        await using TestServer server = await StartAsync(plain => plain with { Context = 777 }, _upstream.Target());
        JsonNode list = JsonNode.Parse(await server.Client.GetStringAsync("/v1/models", TestContext.Current.CancellationToken))!;
        Assert.Equal([("tiny", "flint"), ("big", "upstream")], list["data"]!.AsArray().Select(model => ((string)model!["id"]!, (string)model["owned_by"]!)));
        Assert.Equal(777, (int)list["data"]![1]!["max_model_len"]!);
        JsonNode tags = JsonNode.Parse(await server.Client.GetStringAsync("/api/tags", TestContext.Current.CancellationToken))!;
        Assert.Equal(["tiny:latest", "big:latest"], tags["models"]!.AsArray().Select(model => (string)model!["name"]!));
        JsonNode show = await server.AnswerAsync("/api/show", """{"model": "big"}""");
        Assert.Equal("""["completion","tools","thinking"]""", show["capabilities"]!.ToJsonString());
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models/big") { Headers = { { "anthropic-version", "2023-06-01" } } };
        JsonNode model = JsonNode.Parse(await (await server.Client.SendAsync(request)).Content.ReadAsStringAsync())!;
        Assert.Equal(("big", 777), ((string?)model["id"], (int)model["max_tokens"]!));
        Assert.DoesNotContain(_upstream.Address.Authority, list.ToJsonString() + tags.ToJsonString() + show.ToJsonString() + await server.Client.GetStringAsync("/metrics"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_new_configuration_holds_for_new_requests()
    {
        var going = new TaskCompletionSource();
        _upstream.Answer = async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Text("old ")]);
            await going.Task;
            await FakeUpstream.SayAsync(context, [FakeUpstream.Text("still"), FakeUpstream.End(), FakeUpstream.Done]);
        };
        UpstreamModels models = FakeUpstream.Serve(null, null, _upstream.Target());
        await using TestServer server = await TestServer.StartAsync(upstreams: models);
        HttpResponseMessage old = await server.PostAsync(Chat, "{" + Ask + ", \"stream\": true}");
        await using FakeUpstream other = await FakeUpstream.StartAsync();
        models.Replace(models.Prepare([new UpstreamOptions { Name = "big", Targets = [other.Target("two")], HealthInterval = TimeSpan.Zero }]));
        await server.AnswerAsync(Chat, "{" + Ask + "}");
        Assert.Single(other.Bodies);
        going.SetResult();
        Assert.Contains("still", await old.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        models.Replace([]);
        Assert.Equal(404, (await server.RefusalAsync(Chat, "{" + Ask + "}")).Status);
        old.Dispose();
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"model": "NAME", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "temperature": 0, "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true}}""")]
    [InlineData("/v1/responses", """{"model": "NAME", "input": "hello", "max_output_tokens": 12, "temperature": 0, "ignore_eos": true, "stream": true}""")]
    [InlineData("/v1/messages", """{"model": "NAME", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "temperature": 0, "stream": true}""")]
    [InlineData("/api/chat", """{"model": "NAME", "messages": [{"role": "user", "content": "hello"}], "options": {"num_predict": 12, "temperature": 0}}""")]
    public async Task One_Flint_answers_through_another_as_it_does_itself(string route, string body)
    {
        using var folder = new TemporaryFolder();
        await using TestServer back = await TestServer.StartAsync();
        File.WriteAllText(folder.File("key"), back.Secret);
        var models = new UpstreamModels();
        models.Replace(models.Prepare(
        [
            new UpstreamOptions
            {
                Name = "far",
                Targets = [new TargetOptions { Name = "back", BaseUrl = new Uri(back.Address, "v1/"), Model = TestServer.ModelName, KeyFile = folder.File("key") }],
            },
        ]));
        await using TestServer front = await TestServer.StartAsync(upstreams: models);
        string told = await TextAsync(front, "far"), own = await TextAsync(back, TestServer.ModelName);
        Assert.NotEmpty(own);
        Assert.Equal(own, told);
        await TestServer.UntilAsync(() => back.Records().Count == 2);
        UsageRecord record = Assert.Single(front.Records());
        Assert.Equal(("far", "upstream:back", 200), (record.Model, record.Fingerprint, record.Status));
        foreach (UsageRecord behind in back.Records())
            Assert.Equal((record.Finish, record.PromptTokens, record.OutputTokens), (behind.Finish, behind.PromptTokens, behind.OutputTokens));
        Assert.Equal(0, front.Model.Engine.Statistics.PromptTokens);

        // All text of the stream, in whichever words.
        async Task<string> TextAsync(TestServer server, string name)
        {
            using HttpResponseMessage response = await server.PostAsync(route, body.Replace("NAME", name));
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, text);
            return string.Concat(text.Split('\n').Select(line => line.StartsWith("data: ", StringComparison.Ordinal) ? line["data: ".Length..] : line)
                .Where(line => line.StartsWith('{')).Select(line => JsonNode.Parse(line)!).Select(Piece));
        }

        static string? Piece(JsonNode told) => (string?)told["type"] switch
        {
            "response.output_text.delta" => (string?)told["delta"],
            "content_block_delta" => (string?)told["delta"]!["text"],
            null => (string?)(told["message"]?["content"] ?? told["choices"]?.AsArray().FirstOrDefault()?["delta"]!["content"]),
            _ => null,
        };
    }

    private static Task<TestServer> StartAsync(Func<UpstreamOptions, UpstreamOptions>? options, params TargetOptions[] targets) =>
        TestServer.StartAsync(upstreams: FakeUpstream.Serve(null, options, targets));
}
