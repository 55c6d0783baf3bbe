using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>Answers and calls that are held to a schema, through every API: by flint-nano, and by a tiny model that writes anything.</summary>
public sealed class StructuredOutputTests(StructuredOutputTests.Servers servers) : IClassFixture<StructuredOutputTests.Servers>
{
    private const string Schema = """{"type": "object", "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}, "count": {"type": "integer", "minimum": 3, "maximum": 12}, "tags": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 2}}, "required": ["colour", "count", "tags"], "additionalProperties": false}""";
    private const string Parameters = """{"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 7}}, "required": ["city", "days"], "additionalProperties": false}""";
    private const string Tools = """ "tools": [{"type": "function", "function": {"name": "weather", "parameters": """ + Parameters + """, "strict": true}}, {"type": "function", "function": {"name": "ping"}}] """;
    private const string Messages = """ "messages": [{"role": "user", "content": "How many red apples are there?"}] """;

    public sealed class Servers : IAsyncLifetime
    {
        internal TestServer Nano { get; private set; } = null!;

        internal TestServer Tiny { get; private set; } = null!;

        /// <summary>Begins to think, and never ends that by itself.</summary>
        internal TestServer Thinker { get; private set; } = null!;

        public async ValueTask InitializeAsync()
        {
            Nano = await TestServer.StartAsync(write: path => File.Copy(Path.Combine(TestData.Root, "models/nano/flint-nano.gguf"), path));
            Tiny = await TestServer.StartAsync(new ServingOptions { Parallel = 8, Waiting = 64 });
            Thinker = await TestServer.StartAsync(write: path => TinyModel.Write(path, TinyModel.ChatMl.Replace("assistant\n{% endif", "assistant\n<think>\n{% endif", StringComparison.Ordinal)));
        }

        public async ValueTask DisposeAsync()
        {
            await Nano.DisposeAsync();
            await Tiny.DisposeAsync();
            await Thinker.DisposeAsync();
        }
    }

    private TestServer ServerOf(bool nano) => nano ? servers.Nano : servers.Tiny;

    private static void IsOfSchema(string? text)
    {
        JsonObject value = JsonNode.Parse(text!)!.AsObject();
        Assert.Equal(["colour", "count", "tags"], value.Select(member => member.Key));
        Assert.Contains((string?)value["colour"], (string[])["red", "blue"]);
        Assert.InRange((int)value["count"]!, 3, 12);
        Assert.InRange(value["tags"]!.AsArray().Count, 0, 2);
        Assert.All(value["tags"]!.AsArray(), tag => Assert.InRange(((string)tag!).EnumerateRunes().Count(), 0, 4));
    }

    private static void IsCall(string? name, JsonNode? arguments)
    {
        if (name == "ping")
            return;
        Assert.Equal("weather", name);
        Assert.Equal(["city", "days"], arguments!.AsObject().Select(member => member.Key));
        Assert.Contains((string?)arguments["city"], (string[])["Oslo", "Rome"]);
        Assert.InRange((int)arguments["days"]!, 1, 7);
    }

    [Theory]
    [InlineData(true, 0, false)]
    [InlineData(true, 1, true)]
    [InlineData(false, 1, false)]
    [InlineData(false, 1, true)]
    public async Task A_chat_answers_in_json_of_a_schema(bool nano, int temperature, bool streams)
    {
        string body = "{\"model\": \"tiny\", " + Messages + ", \"seed\": 5, \"temperature\": " + temperature + ", \"max_tokens\": 2000, \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"apples\", \"strict\": true, \"schema\": " + Schema + "}}";
        if (streams)
        {
            List<JsonNode> choices = [.. (await ServerOf(nano).StreamAsync("/v1/chat/completions", body + ", \"stream\": true}")).SelectMany(chunk => chunk["choices"]!.AsArray()).Select(one => one!)];
            IsOfSchema(string.Concat(choices.Select(one => (string?)one["delta"]!["content"])));
            Assert.Equal("stop", (string?)choices[^1]["finish_reason"]);
            return;
        }

        JsonNode choice = (await ServerOf(nano).AnswerAsync("/v1/chat/completions", body + "}"))["choices"]![0]!;
        IsOfSchema((string?)choice["message"]!["content"]);
        Assert.Equal("stop", (string?)choice["finish_reason"]);
    }

    [Fact]
    public async Task Choices_side_by_side_are_all_of_the_schema_and_a_seed_repeats_them()
    {
        string body = "{\"model\": \"tiny\", " + Messages + ", \"seed\": 9, \"n\": 6, \"max_tokens\": 2000, \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"a\", \"schema\": " + Schema + "}}}";
        string?[] first = [.. (await servers.Tiny.AnswerAsync("/v1/chat/completions", body))["choices"]!.AsArray().Select(one => (string?)one!["message"]!["content"])];
        Assert.All(first, IsOfSchema);
        Assert.True(first.Distinct().Count() > 1);
        Assert.Equal(first, (await servers.Tiny.AnswerAsync("/v1/chat/completions", body))["choices"]!.AsArray().Select(one => (string?)one!["message"]!["content"]));
    }

    [Theory]
    [InlineData("/v1/responses", "\"text\": {\"format\": {\"type\": \"json_schema\", \"name\": \"a\", \"schema\": SCHEMA}}, \"temperature\": 0, \"max_output_tokens\": 2000, \"input\": \"How many?\"")]
    [InlineData("/v1/messages", "\"output_config\": {\"format\": {\"type\": \"json_schema\", \"schema\": SCHEMA}}, \"temperature\": 0, \"max_tokens\": 2000, " + Messages)]
    [InlineData("/api/chat", "\"format\": SCHEMA, \"options\": {\"num_predict\": 2000, \"temperature\": 0}, \"stream\": false, " + Messages)]
    [InlineData("/api/generate", "\"format\": SCHEMA, \"options\": {\"num_predict\": 2000, \"temperature\": 0}, \"stream\": false, \"prompt\": \"How many?\"")]
    [InlineData("/api/generate", "\"format\": SCHEMA, \"options\": {\"num_predict\": 2000, \"temperature\": 0}, \"stream\": false, \"raw\": true, \"prompt\": \"How many?\"")]
    public async Task Every_api_holds_an_answer_to_a_schema(string route, string body)
    {
        foreach (bool nano in (bool[])[true, false])
        {
            JsonNode answer = await ServerOf(nano).AnswerAsync(route, "{\"model\": \"tiny\", " + body.Replace("SCHEMA", Schema, StringComparison.Ordinal) + "}");
            IsOfSchema(route switch
            {
                "/v1/responses" => (string?)answer["output"]!.AsArray().Single(item => (string?)item!["type"] == "message")!["content"]![0]!["text"],
                "/v1/messages" => (string?)answer["content"]!.AsArray().Single(block => (string?)block!["type"] == "text")!["text"],
                "/api/chat" => (string?)answer["message"]!["content"],
                _ => (string?)answer["response"],
            });
            if (route == "/v1/responses")
                Assert.Equal("json_schema", (string?)answer["text"]!["format"]!["type"]);
        }
    }

    [Theory]
    [InlineData("\"mode\": \"instant\"")]
    [InlineData("\"mode\": \"thinking\"")]
    [InlineData("\"thinking_budget\": 5")]
    [InlineData("\"reasoning_effort\": \"low\"")]
    [InlineData("\"mode\": \"contemplating\", \"contemplation\": {\"agents\": 3, \"agent_tokens\": 1000}")]
    public async Task An_answer_in_any_mode_is_of_the_schema(string mode)
    {
        JsonNode answer = await servers.Nano.AnswerAsync("/v1/chat/completions",
            "{\"model\": \"tiny\", " + Messages + ", \"seed\": 3, \"temperature\": 0, " + mode + ", \"max_tokens\": 3000, \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"a\", \"schema\": " + Schema + "}}}");
        IsOfSchema((string?)answer["choices"]![0]!["message"]!["content"]);
    }

    [Fact]
    public async Task Any_object_is_an_object()
    {
        foreach (bool nano in (bool[])[true, false])
        {
            JsonNode choice = (await ServerOf(nano).AnswerAsync("/v1/chat/completions", "{\"model\": \"tiny\", " + Messages + ", \"seed\": 2, \"max_tokens\": 2000, \"response_format\": {\"type\": \"json_object\"}}"))["choices"]![0]!;
            string content = (string?)choice["message"]!["content"] ?? "";
            Assert.StartsWith("{", content, StringComparison.Ordinal);
            if ((string?)choice["finish_reason"] == "stop")
                Assert.Equal(JsonValueKind.Object, JsonNode.Parse(content)!.GetValueKind());
            else
                Assert.Equal("length", (string?)choice["finish_reason"]);
        }
    }

    [Fact]
    public async Task An_answer_that_meets_its_limit_says_so()
    {
        JsonNode choice = (await servers.Tiny.AnswerAsync("/v1/chat/completions", "{\"model\": \"tiny\", " + Messages + ", \"max_tokens\": 3, \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"a\", \"schema\": " + Schema + "}}}"))["choices"]![0]!;
        Assert.Equal("length", (string?)choice["finish_reason"]);
        Assert.StartsWith("{", (string?)choice["message"]!["content"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_grammar_says_what_an_answer_is()
    {
        foreach (bool nano in (bool[])[true, false])
        {
            JsonNode answer = await ServerOf(nano).AnswerAsync("/v1/chat/completions", "{\"model\": \"tiny\", " + Messages + ", \"grammar\": \"root ::= (\\\"yes\\\" | \\\"no\\\") \\\", \\\" [0-9]{2}\"}");
            Assert.Matches("^(yes|no), [0-9]{2}$", (string?)answer["choices"]![0]!["message"]!["content"]);
        }
    }

    [Theory]
    [InlineData("\"required\"", null)]
    [InlineData("{\"type\": \"function\", \"function\": {\"name\": \"weather\"}}", "weather")]
    [InlineData("{\"type\": \"function\", \"function\": {\"name\": \"ping\"}}", "ping")]
    public async Task A_forced_call_is_made(string choice, string? name)
    {
        foreach (bool nano in (bool[])[true, false])
        {
            JsonNode answer = (await ServerOf(nano).AnswerAsync("/v1/chat/completions", "{\"model\": \"tiny\", " + Messages + ", " + Tools + ", \"seed\": 4, \"max_tokens\": 2000, \"parallel_tool_calls\": false, \"mode\": \"instant\", \"tool_choice\": " + choice + "}"))["choices"]![0]!;
            if ((string?)answer["finish_reason"] == "length")
                continue; // free arguments of a model that writes anything
            Assert.Equal("tool_calls", (string?)answer["finish_reason"]);
            JsonNode call = Assert.Single(answer["message"]!["tool_calls"]!.AsArray())!["function"]!;
            Assert.True(name is null || name == (string?)call["name"]);
            IsCall((string?)call["name"], JsonNode.Parse((string)call["arguments"]!));
        }
    }

    [Fact]
    public async Task Forced_calls_of_the_other_apis_are_made()
    {
        string flat = """ "tools": [{"type": "function", "name": "weather", "parameters": """ + Parameters + ", \"strict\": true}]";
        JsonNode response = await servers.Nano.AnswerAsync("/v1/responses", "{\"model\": \"tiny\", \"input\": \"Weather?\", " + flat + ", \"tool_choice\": {\"type\": \"function\", \"name\": \"weather\"}, \"max_output_tokens\": 2000, \"temperature\": 0}");
        JsonNode item = response["output"]!.AsArray().Single(one => (string?)one!["type"] == "function_call")!;
        IsCall((string?)item["name"], JsonNode.Parse((string)item["arguments"]!));
        Assert.Equal(("weather", true), ((string?)response["tool_choice"]!["name"], (bool)response["tools"]![0]!["strict"]!));

        string own = """ "tools": [{"name": "weather", "input_schema": """ + Parameters + "}]";
        foreach (string choice in (string[])["{\"type\": \"any\"}", "{\"type\": \"tool\", \"name\": \"weather\"}"])
        {
            JsonNode message = await servers.Nano.AnswerAsync("/v1/messages", "{\"model\": \"tiny\", \"temperature\": 0, \"max_tokens\": 2000, " + Messages + ", " + own + ", \"tool_choice\": " + choice + "}");
            JsonNode use = message["content"]!.AsArray().First(block => (string?)block!["type"] == "tool_use")!;
            IsCall((string?)use["name"], use["input"]);
            Assert.Equal("tool_use", (string?)message["stop_reason"]);
        }
    }

    // Whatever is drawn: half of the tokens are the call's, and behind thoughts that are ended come no others.
    [Theory]
    [InlineData("{\"type\": \"any\", \"disable_parallel_tool_use\": true}")]
    [InlineData("{\"type\": \"tool\", \"name\": \"weather\", \"disable_parallel_tool_use\": true}")]
    public async Task A_forced_call_is_made_whatever_the_model_thinks(string choice)
    {
        string body = "{\"model\": \"tiny\", \"temperature\": 1, \"max_tokens\": 400, \"thinking\": {\"type\": \"adaptive\"}, " + Messages + ", \"tools\": [{\"name\": \"weather\", \"input_schema\": " + Parameters + "}], \"tool_choice\": " + choice + ", \"seed\": ";
        foreach (TestServer server in (TestServer[])[servers.Thinker, servers.Nano])
        {
            bool thinks = false;
            for (int seed = 1; seed <= 10; seed++)
            {
                JsonNode message = await server.AnswerAsync("/v1/messages", body + seed + "}");
                Assert.True((string?)message["stop_reason"] == "tool_use", $"{seed}: {message}");
                JsonNode use = message["content"]!.AsArray().First(block => (string?)block!["type"] == "tool_use")!;
                IsCall((string?)use["name"], use["input"]);
                Assert.InRange((int)message["usage"]!["output_tokens"]!, 10, 400);
                thinks |= message["content"]!.AsArray().Any(block => (string?)block!["type"] == "thinking");
            }

            Assert.True(thinks || server != servers.Thinker);
        }
    }

    [Fact]
    public async Task An_answer_has_room_behind_thoughts()
    {
        for (int seed = 1; seed <= 4; seed++)
        {
            JsonNode choice = (await servers.Thinker.AnswerAsync("/v1/chat/completions", "{\"model\": \"tiny\", " + Messages + ", \"max_tokens\": 400, \"seed\": " + seed + ", \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"a\", \"schema\": " + Schema + "}}}"))["choices"]![0]!;
            Assert.Equal("stop", (string?)choice["finish_reason"]);
            IsOfSchema((string?)choice["message"]!["content"]);
        }

        // A limit that is asked for stays, and what it leaves no room for is not there.
        JsonNode cut = (await servers.Thinker.AnswerAsync("/v1/chat/completions", "{\"model\": \"tiny\", " + Messages + ", \"max_tokens\": 40, \"thinking_budget\": 39, \"response_format\": {\"type\": \"json_object\"}}"))["choices"]![0]!;
        Assert.Equal("length", (string?)cut["finish_reason"]);
    }

    [Fact]
    public async Task What_an_answer_is_held_to_goes_with_an_engine_and_without_sub_agents()
    {
        (int status, JsonNode error) = await servers.Tiny.RefusalAsync("/v1/chat/completions", "{\"model\": \"tiny\", " + Messages + ", \"subagents\": true, \"response_format\": {\"type\": \"json_object\"}}");
        Assert.Equal((400, "response_format"), (status, (string?)error["param"]));
        using HttpResponseMessage large = await servers.Tiny.PostAsync("/v1/chat/completions", "{\"model\": \"tiny\", " + Messages + ", \"grammar\": \"root ::= " + string.Concat(Enumerable.Repeat("(", 101)) + "\"}");
        Assert.Equal(HttpStatusCode.BadRequest, large.StatusCode);
    }
}
