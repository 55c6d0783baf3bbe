using System.Text.Json.Nodes;
using Flint.App.Api;

namespace Flint.App.Tests.Api;

public sealed class ChatRequestTests(CompletionsTests.Fixture fixture) : IClassFixture<CompletionsTests.Fixture>
{
    private const string Route = "/v1/chat/completions";
    private const string User = """ "messages": [{"role": "user", "content": "hello"}] """;

    private TestServer Server => fixture.Server;

    [Fact]
    public async Task An_answer_has_the_form_of_the_api()
    {
        JsonNode answer = await Server.AnswerAsync(Route, """{"model": "tiny", "messages": [{"role": "developer", "content": "hello"}, {"role": "user", "content": "the", "name": "ada"}], "max_tokens": 5, "n": 2, "seed": 1}""");
        Assert.Equal(["id", "object", "created", "model", "system_fingerprint", "choices", "usage"], answer.AsObject().Select(entry => entry.Key));
        Assert.Equal("chat.completion", (string?)answer["object"]);
        JsonArray choices = answer["choices"]!.AsArray();
        Assert.Equal([0, 1], choices.Select(choice => (int)choice!["index"]!));
        Assert.Equal("assistant", (string?)choices[0]!["message"]!["role"]);
        Assert.NotEqual(choices[0]!["message"]!["content"]!.ToJsonString(), choices[1]!["message"]!["content"]!.ToJsonString());
    }

    [Fact]
    public async Task Parts_of_text_are_the_text()
    {
        JsonNode text = await Server.AnswerAsync(Route, """{"model": "tiny", "messages": [{"role": "user", "content": "hello the"}], "max_tokens": 9, "seed": 4}""");
        JsonNode parts = await Server.AnswerAsync(Route, """{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "text", "text": " the"}]}], "max_tokens": 9, "seed": 4}""");
        Assert.Equal((string?)text["choices"]![0]!["message"]!["content"], (string?)parts["choices"]![0]!["message"]!["content"]);
    }

    [Theory]
    [InlineData("""{"messages": []}""", "model", "missing_required_parameter")]
    [InlineData("""{"model": "tiny"}""", "messages", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "messages": []}""", "messages", "empty_array")]
    [InlineData("""{"model": "tiny", "messages": "hello"}""", "messages", "invalid_type")]
    [InlineData("""{"model": "tiny", "messages": [3]}""", "messages[0]", "invalid_type")]
    [InlineData("""{"model": "tiny", "messages": [{"content": "a"}]}""", "messages[0].role", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "king", "content": "a"}]}""", "messages[0].role", "invalid_value")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user"}]}""", "messages[0].content", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": 3}]}""", "messages[0].content", "invalid_type")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": []}]}""", "messages[0].content", "empty_array")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "text"}]}]}""", "messages[0].content[0].text", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "poem", "text": "a"}]}]}""", "messages[0].content[0].type", "invalid_value")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]}""", "messages[0].content[0].type", "unsupported_parameter")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "user", "content": "\ud800"}]}""", "messages[0].content", "invalid_string")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "assistant"}]}""", "messages[0].content", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "tool", "content": "a"}]}""", "messages[0].tool_call_id", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]}]}""", "messages[0].tool_calls[0].function.arguments", "missing_required_parameter")]
    [InlineData("""{"model": "tiny", "messages": [{"role": "function", "name": "f", "content": "a"}]}""", "messages[0].role", "unsupported_parameter")]
    public async Task A_wrong_conversation_is_refused_by_path(string body, string parameter, string code) => await RefusedAsync(body, parameter, code);

    [Theory]
    [InlineData("\"max_tokens\": 0", "max_tokens", "integer_below_min_value")]
    [InlineData("\"max_completion_tokens\": \"9\"", "max_completion_tokens", "invalid_type")]
    [InlineData("\"logprobs\": 2", "logprobs", "invalid_type")]
    [InlineData("\"top_logprobs\": 2", "top_logprobs", "invalid_value")]
    [InlineData("\"logprobs\": true, \"top_logprobs\": 21", "top_logprobs", "integer_above_max_value")]
    [InlineData("\"reasoning_effort\": \"heroic\"", "reasoning_effort", "invalid_value")]
    [InlineData("\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {}}", "response_format.json_schema.schema", "missing_required_parameter")]
    [InlineData("\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"a b\", \"schema\": {}}}", "response_format.json_schema.name", "invalid_value")]
    [InlineData("\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"schema\": {\"uniqueItems\": true}}}", "response_format.json_schema.schema", "unsupported_schema")]
    [InlineData("\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"schema\": {\"type\": \"colour\"}}}", "response_format.json_schema.schema", "invalid_schema")]
    [InlineData("\"response_format\": {\"type\": \"json_object\"}, \"grammar\": \"root ::= \\\"a\\\"\"", "grammar", "invalid_value")]
    [InlineData("\"response_format\": {\"type\": \"json_object\"}, \"ignore_eos\": true", "ignore_eos", "unsupported_parameter")]
    [InlineData("\"grammar\": \"root = 1\"", "grammar", "invalid_grammar")]
    [InlineData("\"response_format\": {\"type\": \"xml\"}", "response_format.type", "invalid_value")]
    [InlineData("\"response_format\": \"text\"", "response_format", "invalid_type")]
    [InlineData("\"functions\": []", "functions", "unsupported_parameter")]
    [InlineData("\"function_call\": \"auto\"", "function_call", "unsupported_parameter")]
    [InlineData("\"modalities\": [\"audio\"]", "modalities", "unsupported_parameter")]
    [InlineData("\"tools\": {}", "tools", "invalid_type")]
    [InlineData("\"tools\": [{\"type\": \"web\"}]", "tools[0].type", "invalid_value")]
    [InlineData("\"tools\": [{\"type\": \"function\"}]", "tools[0].function", "missing_required_parameter")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a b\"}}]", "tools[0].function.name", "invalid_value")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a\", \"parameters\": []}}]", "tools[0].function.parameters", "invalid_type")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a\", \"strict\": true, \"parameters\": {\"type\": \"array\", \"uniqueItems\": true}}}]", "tools", "unsupported_schema")]
    [InlineData("\"tool_choice\": \"required\"", "tool_choice", "invalid_value")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a\"}}], \"tool_choice\": {\"type\": \"function\", \"function\": {\"name\": \"b\"}}", "tool_choice.function.name", "invalid_value")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"a\"}}], \"tool_choice\": {\"type\": \"custom\"}", "tool_choice.type", "unsupported_parameter")]
    [InlineData("\"tool_choice\": \"auto\"", "tool_choice", "invalid_value")]
    [InlineData("\"tool_choice\": 3", "tool_choice", "invalid_type")]
    [InlineData("\"parallel_tool_calls\": \"no\"", "parallel_tool_calls", "invalid_type")]
    [InlineData("\"chat_template_kwargs\": []", "chat_template_kwargs", "invalid_type")]
    [InlineData("\"chat_template_kwargs\": {\"x\": \"\\ud800\"}", "chat_template_kwargs.x", "invalid_value")]
    [InlineData("\"temperature\": 2.5", "temperature", "decimal_above_max_value")]
    [InlineData("\"n\": 129", "n", "integer_above_max_value")]
    public async Task A_wrong_field_is_named(string field, string parameter, string code) => await RefusedAsync("{\"model\": \"tiny\", " + field + "," + User + "}", parameter, code);

    [Fact]
    public async Task Limits_hold_at_the_limit_and_one_past_it()
    {
        string Messages(int count) => TestServer.Json(new { model = "none", messages = Enumerable.Repeat(new { role = "user", content = "" }, count) });
        Assert.Equal(404, (await Server.RefusalAsync(Route, Messages(ApiLimits.MaxMessages))).Status);
        Assert.Equal("array_above_max_length", (string?)(await Server.RefusalAsync(Route, Messages(ApiLimits.MaxMessages + 1))).Error["code"]);

        string Tools(int count) => TestServer.Json(new { model = "none", messages = new[] { new { role = "user", content = "" } }, tools = Enumerable.Repeat(new { type = "function", function = new { name = "f" } }, count) });
        Assert.Equal(404, (await Server.RefusalAsync(Route, Tools(ApiLimits.MaxTools))).Status);
        Assert.Equal("array_above_max_length", (string?)(await Server.RefusalAsync(Route, Tools(ApiLimits.MaxTools + 1))).Error["code"]);

        (int status, JsonNode error) = await Server.RefusalAsync(Route, TestServer.Json(new { model = "tiny", messages = new[] { new { role = "user", content = new string('x', 5000) } } }));
        Assert.Equal((400, "context_length_exceeded", "messages"), (status, (string?)error["code"], (string?)error["param"]));
        Assert.Contains($"{TinyModel.Context}", (string?)error["message"], StringComparison.Ordinal);
        Assert.Matches("50[0-9][0-9]", (string?)error["message"]);
    }

    [Fact]
    public async Task A_stop_string_and_choices_in_a_stream()
    {
        List<JsonNode> chunks = await Server.StreamAsync(Route, "{\"model\": \"tiny\", \"stream\": true, \"n\": 3, \"seed\": 2, \"max_tokens\": 12, \"stop\": [\"\\u0000never\"]," + User + "}");
        JsonNode whole = await Server.AnswerAsync(Route, "{\"model\": \"tiny\", \"n\": 3, \"seed\": 2, \"max_tokens\": 12," + User + "}");
        for (int index = 0; index < 3; index++)
        {
            IEnumerable<JsonNode?> mine = chunks.SelectMany(chunk => chunk["choices"]!.AsArray()).Where(choice => (int)choice!["index"]! == index);
            Assert.Equal((string?)whole["choices"]![index]!["message"]!["content"], string.Concat(mine.Select(choice => (string?)choice!["delta"]!["content"])));
            Assert.Single(mine, choice => choice!["finish_reason"] is not null);
        }
    }

    [Fact]
    public async Task A_template_that_refuses_a_conversation_is_the_caller_s_fault()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => TinyModel.Write(path, "{{ raise_exception('no system messages here') }}"));
        (int status, JsonNode error) = await server.RefusalAsync(Route, "{\"model\": \"tiny\"," + User + "}");
        Assert.Equal((400, "messages"), (status, (string?)error["param"]));
        Assert.Contains("no system messages here", (string?)error["message"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_model_without_a_template_continues_the_messages()
    {
        await using TestServer server = await TestServer.StartAsync(write: path => TinyModel.Write(path, template: null));
        JsonNode chat = await server.AnswerAsync(Route, "{\"model\": \"tiny\", \"seed\": 3, \"max_tokens\": 8," + User + "}");
        JsonNode plain = await server.AnswerAsync("/v1/completions", """{"model": "tiny", "prompt": "hello", "seed": 3, "max_tokens": 8}""");
        Assert.Equal((string?)plain["choices"]![0]!["text"], (string?)chat["choices"]![0]!["message"]!["content"]);
        Assert.Equal((int)plain["usage"]!["prompt_tokens"]!, (int)chat["usage"]!["prompt_tokens"]!);
    }

    private async Task RefusedAsync(string body, string parameter, string code)
    {
        (int status, JsonNode error) = await Server.RefusalAsync(Route, body);
        Assert.Equal((400, "invalid_request_error", parameter, code), (status, (string?)error["type"], (string?)error["param"], (string?)error["code"]));
        if (code is "invalid_type" or "missing_required_parameter") // others name the value instead
            Assert.Contains(parameter, (string?)error["message"], StringComparison.Ordinal);
    }
}
