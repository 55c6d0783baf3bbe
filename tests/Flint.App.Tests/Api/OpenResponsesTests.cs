using System.Net;
using System.Net.ServerSentEvents;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Flint.App.Tests.Api;

/// <summary>The cases by which Open Responses says that a server speaks its API: what is asked, and the schemas that answers and events must be of.</summary>
public sealed class OpenResponsesTests
{
    private const string Route = "/v1/responses";
    private const string Weather = """[{"type": "function", "name": "get_weather", "description": "Get the current weather for a location", "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}}]""";

    private static readonly string[] Saying = ["<think>", "Hm.", "</think>", "Hello", "\u2581there", "<|im_end|>"];
    private static readonly string[] Calling = ["<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581", "\"arguments\":\u2581{\"location\":\u2581\"Paris\"}}", "</tool_call>", "<|im_end|>"];

    // Fields of a response, of which none may be missing, and what each may be: a mark after a type stands for null.
    private static readonly string[] Response =
    [
        "id string", "object =response", "created_at integer", "completed_at integer?", "status string", "incomplete_details object?", "model string", "previous_response_id string?", "instructions string?",
        "output array", "error object?", "tools array", "tool_choice any", "truncation string", "parallel_tool_calls boolean", "text object", "top_p number", "presence_penalty number", "frequency_penalty number",
        "top_logprobs integer", "temperature number", "reasoning object?", "usage object?", "max_output_tokens integer?", "max_tool_calls integer?", "store boolean", "background boolean", "service_tier string",
        "metadata any", "safety_identifier string?", "prompt_cache_key string?",
    ];

    private static readonly Dictionary<string, string[]> Items = new()
    {
        ["message"] = ["id string", "status string", "role =assistant", "content array"],
        ["function_call"] = ["id string", "call_id string", "name string", "arguments string", "status string"],
        ["reasoning"] = ["id string", "summary array", "content array"],
    };

    private static readonly Dictionary<string, string[]> Parts = new()
    {
        ["output_text"] = ["text string", "annotations array", "logprobs array"],
        ["reasoning_text"] = ["text string"],
    };

    // Fields of events beside their numbers.
    private static readonly Dictionary<string, string[]> Events = new()
    {
        ["response.created"] = ["response object"],
        ["response.in_progress"] = ["response object"],
        ["response.completed"] = ["response object"],
        ["response.output_item.added"] = ["output_index integer", "item object"],
        ["response.output_item.done"] = ["output_index integer", "item object"],
        ["response.content_part.added"] = ["item_id string", "output_index integer", "content_index integer", "part object"],
        ["response.content_part.done"] = ["item_id string", "output_index integer", "content_index integer", "part object"],
        ["response.output_text.delta"] = ["item_id string", "output_index integer", "content_index integer", "delta string", "logprobs array"],
        ["response.output_text.done"] = ["item_id string", "output_index integer", "content_index integer", "text string", "logprobs array"],
        ["response.reasoning_text.delta"] = ["item_id string", "output_index integer", "content_index integer", "delta string"],
        ["response.reasoning_text.done"] = ["item_id string", "output_index integer", "content_index integer", "text string"],
        ["response.function_call_arguments.delta"] = ["item_id string", "output_index integer", "delta string"],
        ["response.function_call_arguments.done"] = ["item_id string", "output_index integer", "arguments string"],
    };

    [Theory]
    [InlineData("""[{"type": "message", "role": "user", "content": "Say hello in exactly 3 words."}]""")]
    [InlineData("""[{"type": "message", "role": "system", "content": "You are a pirate."}, {"type": "message", "role": "user", "content": "Say hello."}]""")]
    [InlineData("""[{"type": "message", "role": "user", "content": "My name is Alice."}, {"type": "message", "role": "assistant", "content": "Hello Alice!"}, {"type": "message", "role": "user", "content": "What is my name?"}]""")]
    public async Task Text_a_system_message_and_several_turns(string input)
    {
        await using TestServer server = await StartAsync(Saying);
        JsonNode response = await server.AnswerAsync(Route, $$"""{"model": "tiny", "input": {{input}}, "stream": false}""");
        Assert.Empty(FaultsOf(response));
        Assert.Equal("completed", (string?)response["status"]);
        Assert.Equal(["reasoning", "message"], response["output"]!.AsArray().Select(item => (string?)item!["type"]));
    }

    [Fact]
    public async Task A_stream()
    {
        await using TestServer server = await StartAsync(Saying);
        List<JsonNode> events = await StreamAsync(server, """{"model": "tiny", "stream": true, "input": [{"type": "message", "role": "user", "content": "Count from 1 to 5."}]}""");
        Assert.Equal("response.completed", (string?)events[^1]["type"]);
        Assert.Equal("completed", (string?)events[^1]["response"]!["status"]);
    }

    [Fact]
    public async Task A_call_whole_and_as_a_stream()
    {
        await using TestServer server = await StartAsync(Calling);
        const string body = $$"""{"model": "tiny", "tools": {{Weather}}, "input": [{"type": "message", "role": "user", "content": "What's the weather like in San Francisco?"}], "stream": """;
        JsonNode response = await server.AnswerAsync(Route, body + "false}");
        Assert.Empty(FaultsOf(response));
        Assert.Contains(response["output"]!.AsArray(), item => (string?)item!["type"] == "function_call");
        List<JsonNode> events = await StreamAsync(server, body + "true}");
        Assert.All((string[])["response.output_item.added", "response.output_item.done"], type => Assert.Contains(events, one => (string?)one["type"] == type && (string?)one["item"]!["type"] == "function_call"));
        Assert.All((string[])["response.function_call_arguments.delta", "response.function_call_arguments.done"], type => Assert.Contains(events, one => (string?)one["type"] == type));
    }

    // Until a model can see, the case of an image is one of a refusal that names the part.
    [Fact]
    public async Task An_image_is_refused_by_its_place()
    {
        await using TestServer server = await StartAsync(Saying);
        (int status, JsonNode error) = await server.RefusalAsync(Route, """{"model": "tiny", "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What do you see?"}, {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}]}]}""");
        Assert.Equal((400, "input[0].content[1].type"), (status, (string?)error["param"]));
        Assert.DoesNotContain(server.Records(), record => record.OutputTokens > 0);
    }

    private static Task<TestServer> StartAsync(string[] script) => TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', script));

    // Every event is of its schema, is named as its type, and has the next number.
    private static async Task<List<JsonNode>> StreamAsync(TestServer server, string body)
    {
        using HttpResponseMessage response = await server.PostAsync(Route, body);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var events = new List<JsonNode>();
        var faults = new List<string>();
        await foreach (SseItem<string> item in SseParser.Create(await response.Content.ReadAsStreamAsync()).EnumerateAsync())
        {
            JsonNode told = JsonNode.Parse(item.Data)!;
            string type = (string)told["type"]!;
            Assert.Equal((type, events.Count), (item.EventType, (int)told["sequence_number"]!));
            events.Add(told);
            Check(told, Events.GetValueOrDefault(type, ["known =" + type]), type, faults);
            if (told["response"] is { } whole)
                faults.AddRange(FaultsOf(whole));
            if (told["item"] is { } one)
                CheckTyped(one, Items, type, faults);
            if (told["part"] is { } part)
                CheckTyped(part, Parts, type, faults);
        }

        Assert.Empty(faults);
        return events;
    }

    private static List<string> FaultsOf(JsonNode response)
    {
        var faults = new List<string>();
        Check(response, Response, "response", faults);
        foreach (JsonNode? item in response["output"]!.AsArray())
        {
            CheckTyped(item!, Items, "output", faults);
            foreach (JsonNode? part in item!["content"]?.AsArray() ?? [])
                CheckTyped(part!, Parts, "content", faults);
        }

        foreach (JsonNode? tool in response["tools"]!.AsArray())
            Check(tool!, ["type =function", "name string", "description string?", "parameters object?", "strict boolean?"], "tool", faults);
        if (response["usage"] is { } usage)
        {
            Check(usage, ["input_tokens integer", "output_tokens integer", "total_tokens integer", "input_tokens_details object", "output_tokens_details object"], "usage", faults);
            Check(usage["input_tokens_details"]!, ["cached_tokens integer"], "usage", faults);
            Check(usage["output_tokens_details"]!, ["reasoning_tokens integer"], "usage", faults);
        }

        return faults;
    }

    private static void CheckTyped(JsonNode value, Dictionary<string, string[]> schemas, string at, List<string> faults)
    {
        string type = (string?)value["type"] ?? "";
        Check(value, schemas.GetValueOrDefault(type, ["known =" + type]), $"{at} {type}", faults);
    }

    private static void Check(JsonNode value, string[] fields, string at, List<string> faults)
    {
        foreach (string field in fields)
        {
            string[] parts = field.Split(' ');
            if (!value.AsObject().TryGetPropertyValue(parts[0], out JsonNode? found) || !Fits(found, parts[1]))
                faults.Add($"{at}: {field} is {found?.ToJsonString() ?? "missing or null"}");
        }
    }

    private static bool Fits(JsonNode? value, string type)
    {
        JsonValueKind kind = value?.GetValueKind() ?? JsonValueKind.Null;
        if (type.EndsWith('?'))
            return kind == JsonValueKind.Null || Fits(value, type[..^1]);
        return type switch
        {
            "any" => true,
            "string" => kind == JsonValueKind.String,
            "integer" => kind == JsonValueKind.Number && value!.AsValue().TryGetValue(out long _),
            "number" => kind == JsonValueKind.Number,
            "boolean" => kind is JsonValueKind.True or JsonValueKind.False,
            "array" => kind == JsonValueKind.Array,
            "object" => kind == JsonValueKind.Object,
            _ => kind == JsonValueKind.String && (string?)value == type[1..],
        };
    }
}
