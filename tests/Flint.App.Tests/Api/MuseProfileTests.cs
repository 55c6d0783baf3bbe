using System.Text.Json.Nodes;

namespace Flint.App.Tests.Api;

/// <summary>What Meta's Model API refuses is refused where that is asked for, and only there.</summary>
public sealed class MuseProfileTests(MuseProfileTests.Fixture fixture) : IClassFixture<MuseProfileTests.Fixture>
{
    private const string Chat = """ "model": "tiny", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}] """;
    private const string Tool = "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\"}}], ";
    private const string FlatTool = "\"tools\": [{\"type\": \"function\", \"name\": \"f\"}], ";

    public sealed class Fixture : IAsyncLifetime
    {
        internal TestServer Muse { get; private set; } = null!;

        internal TestServer Own { get; private set; } = null!;

        public async ValueTask InitializeAsync()
        {
            Muse = await TestServer.StartAsync(muse: true);
            Own = await TestServer.StartAsync();
        }

        public async ValueTask DisposeAsync()
        {
            await Muse.DisposeAsync();
            await Own.DisposeAsync();
        }
    }

    [Theory]
    [InlineData("\"stop\": [\"x\"]", "stop")]
    [InlineData("\"logprobs\": true", "logprobs")]
    [InlineData("\"logprobs\": true, \"top_logprobs\": 2", "top_logprobs")]
    [InlineData("\"logit_bias\": {\"5\": 1}", "logit_bias")]
    [InlineData("\"n\": 2", "n")]
    [InlineData("\"verbosity\": \"low\"", "verbosity")]
    [InlineData(Tool + "\"tool_choice\": \"none\"", "tool_choice")]
    [InlineData("\"enable_thinking\": true", "enable_thinking")]
    [InlineData("\"web_search_options\": {}", "web_search_options")]
    [InlineData("\"reasoning_effort\": \"none\"", "reasoning_effort")]
    [InlineData("\"top_p\": 0.009", "top_p")]
    [InlineData("\"grammar\": \"root ::= \\\"a\\\"\"", "grammar")]
    [InlineData("\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"a\", \"schema\": {\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}, \"additionalProperties\": false, \"maxProperties\": 0}}}", "response_format.json_schema.schema")]
    [InlineData("\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"a\", \"strict\": true, \"schema\": {\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}}, \"additionalProperties\": false}}}", "response_format.json_schema.schema")]
    [InlineData("\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"strict\": true, \"parameters\": {\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}}, \"required\": [\"a\"]}}}]", "tools[0].function.parameters")]
    public Task A_chat_is_refused(string field, string path) => RefusedAsync("/v1/chat/completions", "{" + Chat + ", " + field + "}", path);

    [Theory]
    [InlineData("\"truncation\": \"auto\"", "truncation")]
    [InlineData("\"max_output_tokens\": 15", "max_output_tokens")]
    [InlineData("\"reasoning\": {\"effort\": \"none\"}", "reasoning.effort")]
    [InlineData("\"top_logprobs\": 2", "top_logprobs")]
    [InlineData("\"stop\": \"x\"", "stop")]
    [InlineData(FlatTool + "\"tool_choice\": \"none\"", "tool_choice")]
    [InlineData("\"top_p\": 0.009", "top_p")]
    public Task A_response_is_refused(string field, string path) =>
        RefusedAsync("/v1/responses", """{"model": "tiny", "input": "hi", """ + field + (field.Contains("max_output_tokens", StringComparison.Ordinal) ? "}" : ", \"max_output_tokens\": 16}"), path);

    [Theory]
    [InlineData("\"tools\": [{\"name\": \"f\", \"input_schema\": {}}], \"tool_choice\": {\"type\": \"none\"}", "tool_choice.type")]
    [InlineData("\"top_p\": 0.009", "top_p")]
    public async Task A_message_is_refused(string field, string path)
    {
        string body = "{" + Chat + ", " + field + "}";
        await fixture.Own.AnswerAsync("/v1/messages", body);
        using HttpResponseMessage response = await fixture.Muse.PostAsync("/v1/messages", body);
        Assert.Equal(400, (int)response.StatusCode);
        Assert.Contains(path, (string?)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["error"]!["message"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_taken_there_is_taken_here()
    {
        await fixture.Muse.AnswerAsync("/v1/chat/completions", "{" + Chat + ", " + Tool + """ "tool_choice": "auto", "n": 1, "logprobs": false, "stop": null, "top_p": 0.01, "temperature": 2, "seed": 1, "presence_penalty": -2, "reasoning_effort": "minimal" }""");
        await fixture.Muse.AnswerAsync("/v1/responses", """{"model": "tiny", "input": "hi", "max_output_tokens": 16, "reasoning": {"effort": "xhigh"}, "truncation": "disabled", "include": ["reasoning.encrypted_content"], "store": false}""");
        await fixture.Muse.AnswerAsync("/v1/messages", "{" + Chat + "}");
        const string Schema = """{"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}, "c": {"$ref": "#/$defs/b"}}, "required": ["a", "c"], "additionalProperties": false, "$defs": {"b": {"enum": [1, 2]}}}""";
        await fixture.Muse.AnswerAsync("/v1/chat/completions", "{" + Chat + ", \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"a\", \"strict\": true, \"schema\": " + Schema + "}}}");
        await fixture.Muse.AnswerAsync("/v1/chat/completions", "{" + Chat + ", \"response_format\": {\"type\": \"json_object\"}}");
    }

    private async Task RefusedAsync(string route, string body, string path)
    {
        await fixture.Own.AnswerAsync(route, body);
        (int status, JsonNode error) = await fixture.Muse.RefusalAsync(route, body);
        Assert.Equal((400, "invalid_request_error", path), (status, (string?)error["type"], (string?)error["param"]));
    }
}
