using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>Ollama's API as it is on the wire.</summary>
public sealed class OllamaTests(CompletionsTests.Fixture fixture) : IClassFixture<CompletionsTests.Fixture>
{
    private const string Chat = "/api/chat", Generate = "/api/generate";
    private const string Ask = """ "model": "tiny", "messages": [{"role": "user", "content": "hi"}] """;
    private const string Whole = """, "stream": false """;
    private const string Tools = """, "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]""";

    private static readonly string[] Thoughtful = ["<think>", "Let\u2581me", "\u2581see.", "</think>", "Hello", "\u2581there", "\u2581\u263a", "<|im_end|>"];

    private static readonly string[] Calling =
    [
        "Wait.", "<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581", "\"arguments\":\u2581{\"city\":\u2581\"Paris\"}}", "</tool_call>",
        "\u2581<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581\"arguments\":\u2581{\"city\":\u2581\"Oslo\"}}", "\u2581</tool_call>", "<|im_end|>",
    ];

    [Fact]
    public async Task A_chat_streams_lines_that_join_to_the_whole()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        JsonNode whole = await server.AnswerAsync(Chat, "{" + Ask + Whole + "}");
        Assert.Equal(
            ["model", "created_at", "message", "done", "done_reason", "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"],
            whole.AsObject().Select(field => field.Key));
        Assert.Equal(("assistant", "Hello there \u263a", "Let me see."), ((string?)whole["message"]!["role"], (string?)whole["message"]!["content"], (string?)whole["message"]!["thinking"]));
        Assert.Equal((true, "stop", 8), ((bool)whole["done"]!, (string?)whole["done_reason"], (int)whole["eval_count"]!));
        Assert.True((long)whole["total_duration"]! >= (long)whole["prompt_eval_duration"]! + (long)whole["eval_duration"]! && (long)whole["prompt_eval_duration"]! > 0);
        UsageRecord record = server.Records()[0];
        Assert.Equal((Chat, "tiny", 200, "stop", 8, 2), (record.Endpoint, record.Model, record.Status, record.Finish, record.OutputTokens, record.ReasoningTokens));
        Assert.Equal(record.PromptTokens, (int)whole["prompt_eval_count"]!);

        List<JsonNode> lines = await StreamAsync(server, Chat, "{" + Ask + "}");
        Assert.Equal(("Hello there \u263a", "Let me see."), (Join(lines, "content"), Join(lines, "thinking")));
        Assert.Single(lines, line => (bool)line["done"]!);
        Assert.Equal((8, "stop", ""), ((int)lines[^1]["eval_count"]!, (string?)lines[^1]["done_reason"], (string?)lines[^1]["message"]!["content"]));
        Assert.All(lines.SkipLast(1), line => Assert.False(line.AsObject().ContainsKey("eval_count")));
    }

    [Fact]
    public async Task A_prompt_with_and_without_the_template()
    {
        await using TestServer server = await StartAsync(Thoughtful);
        JsonNode whole = await server.AnswerAsync(Generate, """{"model": "tiny:latest", "prompt": "hi", "stream": false}""");
        Assert.Equal(("tiny:latest", "Hello there \u263a", "Let me see."), ((string?)whole["model"], (string?)whole["response"], (string?)whole["thinking"]));
        List<JsonNode> lines = await StreamAsync(server, Generate, """{"model": "tiny", "prompt": "hi"}""");
        Assert.Equal("Hello there \u263a", string.Concat(lines.Select(line => (string?)line["response"])));
        Assert.Equal((Generate, 200), (server.Records()[0].Endpoint, server.Records()[0].Status));
        JsonNode system = await server.AnswerAsync(Generate, """{"model": "tiny", "prompt": "hi", "system": "be", "stream": false}""");
        Assert.True((int)system["prompt_eval_count"]! > (int)whole["prompt_eval_count"]!);

        // As it is: no template before, nothing read out of the answer.
        JsonNode raw = await server.AnswerAsync(Generate, """{"model": "tiny", "prompt": "hi\n", "raw": true, "stream": false}""");
        Assert.Equal("<think>Let me see.</think>Hello there \u263a", (string?)raw["response"]);
        Assert.False(raw.AsObject().ContainsKey("thinking"));
        Assert.True((int)raw["prompt_eval_count"]! < (int)whole["prompt_eval_count"]!);

        foreach ((string route, string body) in ((string, string)[])[(Generate, """{"model": "tiny"}"""), (Chat, """{"model": "tiny", "messages": [], "keep_alive": "5m"}""")])
        {
            Assert.Equal((true, "load"), ((bool)(await server.AnswerAsync(route, body))["done"]!, server.Records()[0].Finish));
            Assert.Equal(0, server.Records()[0].OutputTokens);
        }
    }

    [Fact]
    public async Task Calls_are_told_whole_and_their_results_go_back()
    {
        await using TestServer server = await StartAsync(Calling);
        JsonNode whole = await server.AnswerAsync(Chat, "{" + Ask + Tools + Whole + "}");
        JsonArray calls = whole["message"]!["tool_calls"]!.AsArray();
        Assert.Equal(["Paris", "Oslo"], calls.Select(City));
        Assert.Equal([0, 1], calls.Select(call => (int)call!["function"]!["index"]!));
        Assert.All(calls, call => Assert.Equal("get_weather", (string?)call!["function"]!["name"]));
        Assert.Equal("stop", (string?)whole["done_reason"]);
        List<JsonNode> lines = await StreamAsync(server, Chat, "{" + Ask + Tools + "}");
        Assert.Equal(["Paris", "Oslo"], lines.SelectMany(line => line["message"]!["tool_calls"]?.AsArray() ?? []).Select(City));

        async Task<int> LengthAsync(string call, string result) => (int)(await server.AnswerAsync(Chat,
            $$"""{"model": "tiny", "stream": false, "options": {"num_predict": 1}, "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "", "tool_calls": [{{call}}]}, {{result}}]}"""))["prompt_eval_count"]!;
        const string made = """{"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}""";
        int named = await LengthAsync(made, """{"role": "tool", "tool_name": "get_weather", "content": "rain"}""");
        Assert.Equal(named, await LengthAsync(made, """{"role": "tool", "content": "rain"}"""));

        static string City(JsonNode? call) => (string)call!["function"]!["arguments"]!["city"]!;
    }

    [Fact]
    public async Task Thinking_and_modes()
    {
        await using TestServer server = await StartAsync("<think>", "Six\u2581times\u2581seven.", "</think>", "42", "<|im_end|>");
        async Task<(string? Mode, JsonNode Answer)> ModeAsync(string body)
        {
            using HttpResponseMessage response = await server.PostAsync(Chat, "{" + body + Whole + "}");
            string text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, text);
            return (response.Headers.TryGetValues("x-flint-mode", out IEnumerable<string>? values) ? values.Single() : null, JsonNode.Parse(text)!);
        }

        Assert.Null((await ModeAsync(Ask)).Mode);
        Assert.Equal("thinking", (await ModeAsync(Ask + ", \"think\": true")).Mode);
        Assert.Equal("thinking", (await ModeAsync(Ask + ", \"think\": \"high\"")).Mode);
        Assert.Equal("instant", (await ModeAsync(Ask + ", \"think\": false")).Mode);
        Assert.Equal("instant", (await ModeAsync(Ask.Replace("\"tiny\"", "\"tiny:instant\"") + ", \"think\": true")).Mode);
        (string? mode, JsonNode answer) = await ModeAsync(Ask.Replace("\"tiny\"", "\"tiny:contemplating\"") + ", \"think\": false, \"options\": {\"seed\": 3}");
        Assert.Equal(("contemplating", "42", 20), (mode, (string?)answer["message"]!["content"], (int)answer["eval_count"]!));
        Assert.StartsWith("[1] Six times seven. => 42\n", (string?)answer["message"]!["thinking"]);
    }

    [Fact]
    public async Task Options_reach_the_engine()
    {
        async Task<JsonNode> AskAsync(string options) => await fixture.Server.AnswerAsync(Chat, "{" + Ask + Whole + ", \"options\": {" + options + "}}");
        JsonNode cut = await AskAsync("\"num_predict\": 3, \"temperature\": 0, \"logit_bias\": {\"260\": -100}");
        Assert.Equal(("length", 3), ((string?)cut["done_reason"], (int)cut["eval_count"]!));
        string text = (string)(await AskAsync("\"num_predict\": 20, \"temperature\": 0"))["message"]!["content"]!;
        Assert.Equal(text, (string?)(await AskAsync("\"num_predict\": 20, \"top_k\": 1"))["message"]!["content"]);
        Assert.Equal(text, (string?)(await AskAsync("\"num_predict\": 20, \"temperature\": 0, \"repeat_penalty\": 9, \"repeat_last_n\": 0"))["message"]!["content"]);
        Assert.Equal(
            (string?)(await AskAsync("\"num_predict\": 20, \"seed\": 5"))["message"]!["content"],
            (string?)(await AskAsync("\"num_predict\": 20, \"seed\": 5, \"keep_alive\": 3"))["message"]!["content"]);
        JsonNode scored = await fixture.Server.AnswerAsync(Chat, "{" + Ask + Whole + ", \"logprobs\": true, \"top_logprobs\": 2, \"options\": {\"num_predict\": 4, \"seed\": 5, \"logit_bias\": {\"260\": -100}}}");
        Assert.All(scored["logprobs"]!.AsArray(), score => Assert.Equal(2, score!["top_logprobs"]!.AsArray().Count));

        await using TestServer server = await StartAsync("One.", "\u2581Two.", "\u2581Three.", "<|im_end|>");
        JsonNode stopped = await server.AnswerAsync(Chat, "{" + Ask + Whole + ", \"options\": {\"stop\": [\"Th\"]}}");
        Assert.Equal("One. Two. ", (string?)stopped["message"]!["content"]);
    }

    [Theory]
    [InlineData(Chat, """{"messages": [{"role": "user", "content": "a"}]}""", "model")]
    [InlineData(Chat, """{"model": "tiny", "messages": "a"}""", "messages")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "king", "content": "a"}]}""", "messages[0].role")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": ["a"]}]}""", "messages[0].content")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a", "images": ["aGk="]}]}""", "messages[0].images")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}]}""", "messages[0].tool_calls[0].function.name")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "tools": [{"type": "web"}]}""", "tools[0].type")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "think": "deeply"}""", "think")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "think": 3}""", "think")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "format": "xml"}""", "json")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "format": {"uniqueItems": true, "type": "array"}}""", "uniqueItems")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "keep_alive": []}""", "keep_alive")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "options": {"temperature": "hot"}}""", "options.temperature")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "options": {"mirostat": 2}}""", "options.mirostat")]
    [InlineData(Chat, """{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "options": {"stop": [""]}}""", "options.stop[0]")]
    [InlineData(Generate, """{"model": "tiny", "prompt": "a", "images": ["aGk="]}""", "images")]
    [InlineData(Generate, """{"model": "tiny", "prompt": "a", "suffix": "b"}""", "suffix")]
    [InlineData(Generate, """{"model": "tiny", "prompt": "a", "template": "b"}""", "template")]
    [InlineData(Generate, """{"model": "tiny", "prompt": "a", "context": [1]}""", "context")]
    [InlineData(Generate, """{"model": "tiny:contemplating", "prompt": "a", "raw": true}""", "raw")]
    [InlineData("/api/show", """{}""", "model")]
    public async Task A_wrong_field_is_named(string route, string body, string path)
    {
        using HttpResponseMessage response = await fixture.Server.PostAsync(route, body);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains(path, ErrorOf(await response.Content.ReadAsStringAsync()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Models_are_listed_and_shown()
    {
        TestServer server = fixture.Server;
        foreach (string route in (string[])["/api/tags", "/api/ps"])
        {
            JsonNode one = Assert.Single(JsonNode.Parse(await server.Client.GetStringAsync(route))!["models"]!.AsArray())!;
            Assert.Equal(("tiny:latest", "tiny:latest", "llama", "gguf", "F32"), ((string?)one["name"], (string?)one["model"], (string?)one["details"]!["family"], (string?)one["details"]!["format"], (string?)one["details"]!["quantization_level"]));
            Assert.Matches("^[0-9a-f]{64}$", (string?)one["digest"]);
            Assert.Equal(server.Model.Model.File.FileBytes, (long)one["size"]!);
        }

        foreach (string name in (string[])["tiny", "tiny:latest"])
        {
            JsonNode shown = await server.AnswerAsync("/api/show", $$"""{"model": "{{name}}"}""");
            Assert.Equal(TinyModel.ChatMl, (string?)shown["template"]);
            Assert.Equal(TinyModel.Context, (int)shown["model_info"]!["llama.context_length"]!);
            Assert.Null(shown["model_info"]!["tokenizer.ggml.tokens"]);
            Assert.Equal(["completion"], shown["capabilities"]!.AsArray().Select(one => (string?)one));
        }

        JsonNode verbose = await server.AnswerAsync("/api/show", """{"name": "tiny", "verbose": true}""");
        Assert.Equal(TinyModel.Vocabulary, verbose["model_info"]!["tokenizer.ggml.tokens"]!.AsArray().Count);
        Assert.NotNull(JsonNode.Parse(await server.Client.GetStringAsync("/api/version"))!["version"]);
    }

    [Fact]
    public async Task Keys_and_refusals()
    {
        await using TestServer server = await TestServer.StartAsync(new ServingOptions { ContextLength = 1 << 18 });
        using HttpClient stranger = server.NewClient();
        foreach (string route in (string[])["/api/tags", "/api/version", "/api/none", Chat])
        {
            using HttpResponseMessage refused = await stranger.GetAsync(route);
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
            ErrorOf(await refused.Content.ReadAsStringAsync());
        }

        foreach ((string route, string body, HttpStatusCode status) in ((string, string, HttpStatusCode)[])
            [(Chat, "{" + Ask.Replace("tiny", "none") + "}", HttpStatusCode.NotFound), ("/api/none", "{}", HttpStatusCode.NotFound), ("/api/tags", "{}", HttpStatusCode.MethodNotAllowed), (Chat, "nonsense", HttpStatusCode.BadRequest)])
        {
            using HttpResponseMessage refused = await server.PostAsync(route, body);
            Assert.Equal(status, refused.StatusCode);
            ErrorOf(await refused.Content.ReadAsStringAsync());
        }

        // Where the stream has begun, its last line says what happened.
        using HttpResponseMessage running = await server.PostAsync(Chat, "{" + Ask + ", \"options\": {\"logit_bias\": {\"2\": -100, \"260\": -100}}}");
        using var lines = new StreamReader(await running.Content.ReadAsStreamAsync());
        Assert.False((bool)JsonNode.Parse((await lines.ReadLineAsync())!)!["done"]!);
        server.Model.Engine.Dispose();
        ErrorOf((await lines.ReadToEndAsync()).TrimEnd('\n').Split('\n')[^1]);
        Assert.Equal(503, server.Records()[0].Status);
    }

    private static Task<TestServer> StartAsync(params string[] script) =>
        TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', script));

    private static string Join(IEnumerable<JsonNode> lines, string field) => string.Concat(lines.Select(line => (string?)line["message"]![field]));

    private static async Task<List<JsonNode>> StreamAsync(TestServer server, string route, string body)
    {
        using HttpResponseMessage response = await server.PostAsync(route, body);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        Assert.Equal("application/x-ndjson", response.Content.Headers.ContentType!.MediaType);
        Assert.EndsWith("}\n", text, StringComparison.Ordinal);
        List<JsonNode> lines = [.. text.TrimEnd('\n').Split('\n').Select(line => JsonNode.Parse(line)!)];
        Assert.True((bool)lines[^1]["done"]!);
        return lines;
    }

    private static string ErrorOf(string body)
    {
        JsonObject answer = JsonNode.Parse(body)!.AsObject();
        Assert.Equal(["error"], answer.Select(entry => entry.Key));
        string message = answer["error"]!.GetValue<string>();
        Assert.NotEmpty(message);
        return message;
    }
}
