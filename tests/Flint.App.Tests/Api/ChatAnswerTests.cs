using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text;
using System.Text.Json.Nodes;
using OpenAI;
using OpenAI.Chat;

namespace Flint.App.Tests.Api;

/// <summary>Thoughts, answers and calls, from the tokens of a model to the fields of an answer.</summary>
public sealed class ChatAnswerTests
{
    private const string Route = "/v1/chat/completions";
    private const string Ask = """ "model": "tiny", "temperature": 0, "messages": [{"role": "user", "content": "hi"}] """;
    private const string Tools = """, "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]""";

    private static readonly string[] Thoughtful = ["<think>", "Let\u2581me", "\u2581see.", "</think>", "Hello", "\u2581there", "\u2581\u263a", "<|im_end|>"];

    private static readonly string[] Calling =
    [
        "Wait.", "<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581", "\"arguments\":\u2581{\"city\":\u2581\"Paris\"}}", "</tool_call>",
        "\u2581<tool_call>", "{\"name\":\u2581\"get_weather\",\u2581\"arguments\":\u2581{\"city\":\u2581\"Oslo\"}}", "\u2581</tool_call>", "<|im_end|>",
    ];

    [Fact]
    public async Task Thoughts_and_answer_come_apart()
    {
        await using TestServer server = await StartAsync(ScriptedModel.ChatMl, '\n', Thoughtful);
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + ", \"logprobs\": true, \"top_logprobs\": 1}");
        JsonNode choice = answer["choices"]![0]!;
        Assert.Equal("Let me see.", (string?)choice["message"]!["reasoning_content"]);
        Assert.Equal("Hello there ☺", (string?)choice["message"]!["content"]);
        Assert.Equal("stop", (string?)choice["finish_reason"]);
        Assert.False(choice["message"]!.AsObject().ContainsKey("tool_calls"));
        Assert.Equal(["Hello", " there", " ☺"], choice["logprobs"]!["content"]!.AsArray().Select(score => (string)score!["token"]!));
        Assert.Equal(Encoding.UTF8.GetBytes(" ☺").Select(b => (int)b), choice["logprobs"]!["content"]![2]!["bytes"]!.AsArray().Select(b => (int)b!));
        Assert.Equal((8, 2), ((int)answer["usage"]!["completion_tokens"]!, (int)answer["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!));
        Assert.Equal((8, 2), (server.Records()[0].OutputTokens, server.Records()[0].ReasoningTokens));
    }

    [Fact]
    public async Task A_stream_of_thoughts_and_answer_joins_to_the_whole()
    {
        await using TestServer server = await StartAsync(ScriptedModel.ChatMl, '\n', Thoughtful);
        List<JsonNode> chunks = await server.StreamAsync(Route, "{" + Ask + """, "stream": true, "logprobs": true, "stream_options": {"include_usage": true}}""");
        Assert.Equal("assistant", (string?)chunks[0]["choices"]![0]!["delta"]!["role"]);
        List<JsonNode> choices = [.. chunks.SelectMany(chunk => chunk["choices"]!.AsArray()).Select(choice => choice!)];
        Assert.Equal("Let me see.", Join(choices, "reasoning_content"));
        Assert.Equal("Hello there ☺", Join(choices, "content"));
        Assert.Equal(["Hello", " there", " ☺"], choices.SelectMany(choice => choice["logprobs"]!["content"]!.AsArray()).Select(score => (string)score!["token"]!));
        Assert.Equal("stop", (string?)choices[^1]["finish_reason"]);
        Assert.Single(choices, choice => choice["finish_reason"] is not null);
        Assert.Equal(2, (int)chunks[^1]["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!);
    }

    [Fact]
    public async Task Calls_are_told_as_calls()
    {
        await using TestServer server = await StartAsync(ScriptedModel.ChatMl, '\n', Calling);
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + Tools + "}");
        JsonNode message = answer["choices"]![0]!["message"]!;
        Assert.Equal("tool_calls", (string?)answer["choices"]![0]!["finish_reason"]);
        Assert.Equal("Wait.", ((string?)message["content"])!.Trim());
        JsonArray calls = message["tool_calls"]!.AsArray();
        Assert.Equal(2, calls.Count);
        Assert.All(calls, call => Assert.Equal(("function", "get_weather"), ((string?)call!["type"], (string?)call["function"]!["name"])));
        Assert.Equal(["Paris", "Oslo"], calls.Select(City));
        Assert.Equal(2, calls.Select(call => (string)call!["id"]!).Distinct().Count());

        // The calls and their results go back as the client got them.
        JsonNode next = new JsonObject
        {
            ["model"] = "tiny",
            ["messages"] = new JsonArray(
                new JsonObject { ["role"] = "user", ["content"] = "hi" },
                message.DeepClone(),
                new JsonObject { ["role"] = "tool", ["tool_call_id"] = (string)calls[0]!["id"]!, ["content"] = "rain" }),
        };
        await server.AnswerAsync(Route, next.ToJsonString());
    }

    [Fact]
    public async Task A_stream_of_calls_joins_to_the_calls()
    {
        await using TestServer server = await StartAsync(ScriptedModel.ChatMl, '\n', Calling);
        List<JsonNode> chunks = await server.StreamAsync(Route, "{" + Ask + Tools + ", \"stream\": true}");
        var names = new string[2];
        var arguments = new string[] { "", "" };
        foreach (JsonNode? call in chunks.SelectMany(chunk => chunk["choices"]!.AsArray()).SelectMany(choice => choice!["delta"]!["tool_calls"]?.AsArray() ?? []))
        {
            int index = (int)call!["index"]!;
            if (call["id"] is not null)
            {
                Assert.Null(names[index]);
                names[index] = (string)call["function"]!["name"]!;
            }

            arguments[index] += (string)call["function"]!["arguments"]!;
        }

        Assert.Equal(["get_weather", "get_weather"], names);
        Assert.Equal(["Paris", "Oslo"], arguments.Select(json => (string)JsonNode.Parse(json)!["city"]!));
        Assert.Equal("tool_calls", (string?)chunks[^1]["choices"]![0]!["finish_reason"]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Without_parallel_calls_the_answer_ends_with_the_first(bool stream)
    {
        await using TestServer server = await StartAsync(ScriptedModel.ChatMl, '\n', Calling);
        string body = "{" + Ask + Tools + ", \"parallel_tool_calls\": false, \"stream\": " + (stream ? "true}" : "false}");
        if (stream)
        {
            List<JsonNode> chunks = await server.StreamAsync(Route, body);
            Assert.Equal([0], chunks.SelectMany(chunk => chunk["choices"]![0]!["delta"]!["tool_calls"]?.AsArray() ?? []).Select(call => (int)call!["index"]!).Distinct());
            Assert.Equal("tool_calls", (string?)chunks[^1]["choices"]![0]!["finish_reason"]);
        }
        else
        {
            JsonNode answer = await server.AnswerAsync(Route, body);
            Assert.Equal("Paris", City(Assert.Single(answer["choices"]![0]!["message"]!["tool_calls"]!.AsArray())));
            Assert.Equal("tool_calls", (string?)answer["choices"]![0]!["finish_reason"]);
        }

        Assert.Equal((200, "tool_calls"), (server.Records()[0].Status, server.Records()[0].Finish));
    }

    [Fact]
    public async Task The_official_client_reads_calls()
    {
        await using TestServer server = await StartAsync(ScriptedModel.ChatMl, '\n', Calling);
        var client = new ChatClient("tiny", new ApiKeyCredential(server.Secret), new OpenAIClientOptions { Endpoint = new Uri(server.Address, "v1"), RetryPolicy = new ClientRetryPolicy(0) });
        var options = new ChatCompletionOptions { Temperature = 0, Tools = { ChatTool.CreateFunctionTool("get_weather", "Weather.", BinaryData.FromString("""{"type": "object", "properties": {"city": {"type": "string"}}}""")) } };
        ChatCompletion answer = await client.CompleteChatAsync([new UserChatMessage("hi")], options);
        Assert.Equal(ChatFinishReason.ToolCalls, answer.FinishReason);
        Assert.Equal(["Paris", "Oslo"], answer.ToolCalls.Select(call => (string)JsonNode.Parse(call.FunctionArguments)!["city"]!));

        ChatCompletion second = await client.CompleteChatAsync([new UserChatMessage("hi"), new AssistantChatMessage(answer), new ToolChatMessage(answer.ToolCalls[0].Id, "rain")], options);
        Assert.NotEmpty(second.ToolCalls);

        var pieces = new StringBuilder();
        await foreach (StreamingChatCompletionUpdate update in client.CompleteChatStreamingAsync([new UserChatMessage("hi")], options))
        {
            foreach (StreamingChatToolCallUpdate call in update.ToolCallUpdates.Where(call => call.Index == 1))
                pieces.Append(call.FunctionArgumentsUpdate?.ToString());
        }

        Assert.Equal("Oslo", (string)JsonNode.Parse(pieces.ToString())!["city"]!);
    }

    [Fact]
    public async Task A_tool_choice_of_none_offers_none()
    {
        await using TestServer server = await StartAsync(ScriptedModel.ChatMl, '\n', Thoughtful);
        JsonNode with = await server.AnswerAsync(Route, "{" + Ask + Tools + "}");
        JsonNode none = await server.AnswerAsync(Route, "{" + Ask + Tools + ", \"tool_choice\": \"none\"}");
        JsonNode without = await server.AnswerAsync(Route, "{" + Ask + "}");
        Assert.Equal((int)without["usage"]!["prompt_tokens"]!, (int)none["usage"]!["prompt_tokens"]!);
        Assert.True((int)with["usage"]!["prompt_tokens"]! > (int)none["usage"]!["prompt_tokens"]!);
    }

    [Fact]
    public async Task Channels_of_muse_glimmer()
    {
        await using TestServer server = await StartAsync(ScriptedModel.MuseGlimmer, 't', "\u2581to=user", "<|message|>", "Hello", "\u2581there", "<|eot|>");
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + ", \"logprobs\": true}");
        JsonNode choice = answer["choices"]![0]!;
        Assert.Equal("Hello there", (string?)choice["message"]!["content"]);
        Assert.False(choice["message"]!.AsObject().ContainsKey("reasoning_content"));
        Assert.Equal(["Hello", " there"], choice["logprobs"]!["content"]!.AsArray().Select(score => (string)score!["token"]!));
        Assert.Equal(0, (int)answer["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!);
    }

    [Fact]
    public async Task Thoughts_cut_off_stay_thoughts_and_can_be_hidden()
    {
        await using TestServer server = await StartAsync(ScriptedModel.MuseGlimmer, 't', "\u2581to=self", "<|message|>", "One.", "\u2581Two.", "\u2581Three.", "<|eot|>");
        JsonNode answer = await server.AnswerAsync(Route, "{" + Ask + ", \"max_completion_tokens\": 4}");
        JsonNode choice = answer["choices"]![0]!;
        Assert.Equal(("One. Two.", "", "length"), ((string?)choice["message"]!["reasoning_content"], (string?)choice["message"]!["content"], (string?)choice["finish_reason"]));
        Assert.Equal(2, (int)answer["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!);

        JsonNode hidden = await server.AnswerAsync(Route, "{" + Ask + ", \"reasoning_effort\": \"none\"}");
        Assert.False(hidden["choices"]![0]!["message"]!.AsObject().ContainsKey("reasoning_content"));
        Assert.Equal(3, (int)hidden["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!);
    }

    [Fact]
    public async Task Effort_and_template_variables_reach_the_template()
    {
        await using TestServer server = await StartAsync(ScriptedModel.MuseGlimmer, 't', "\u2581to=user", "<|message|>", "Hello", "<|eot|>");
        async Task<int> Length(string field) => (int)(await server.AnswerAsync(Route, "{" + Ask + field + "}"))["usage"]!["prompt_tokens"]!;
        int high = await Length("");
        Assert.Equal(high - 1, await Length(""", "reasoning_effort": "low" """));
        Assert.Equal(high + 1, await Length(""", "reasoning_effort": "max" """)); // xhigh
        Assert.Equal(high + 2, await Length(""", "reasoning_effort": "low", "chat_template_kwargs": {"reasoning_strength": "medium"} """));

        await using TestServer thinking = await StartAsync(ScriptedModel.ChatMl, '\n', Thoughtful);
        JsonNode quick = await thinking.AnswerAsync(Route, "{" + Ask + ", \"chat_template_kwargs\": {\"enable_thinking\": false}}");
        JsonNode slow = await thinking.AnswerAsync(Route, "{" + Ask + ", \"chat_template_kwargs\": {\"enable_thinking\": true}}");
        Assert.Equal((int)slow["usage"]!["prompt_tokens"]! + Encoding.UTF8.GetByteCount("\u2581quick"), (int)quick["usage"]!["prompt_tokens"]!);
    }

    private static string Join(IEnumerable<JsonNode> choices, string field) =>
        string.Concat(choices.Select(choice => (string?)choice["delta"]![field]));

    private static string City(JsonNode? call) => (string)JsonNode.Parse((string)call!["function"]!["arguments"]!)!["city"]!;

    private static Task<TestServer> StartAsync(string template, char last, string[] script) =>
        TestServer.StartAsync(write: path => ScriptedModel.Write(path, template, last, script));

    private static Task<TestServer> StartAsync(string template, char last, string first, params string[] rest) => StartAsync(template, last, [first, .. rest]);
}
