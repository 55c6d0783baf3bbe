using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Accounts;

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
    [InlineData("\"output_config\": {\"effort\": \"none\"}", "output_config.effort")]
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

    [Fact]
    public async Task A_key_has_a_profile_of_its_own()
    {
        const string refused = "{" + Chat + """, "stop": ["x"]}""";
        foreach ((TestServer server, string profile, int status) in new[] { (fixture.Own, KeyScopes.MuseProfile, 400), (fixture.Muse, KeyScopes.OpenProfile, 200) })
        {
            var keys = new Keys(server.Store, TimeProvider.System);
            using HttpClient client = server.NewClient(keys.Create(profile, scopes: new KeyScopes { Profile = profile }).Secret);
            using HttpResponseMessage response = await client.SendAsync(TestServer.Request("/v1/chat/completions", refused));
            Assert.Equal(status, (int)response.StatusCode);
            keys.SetProfile(profile, null); // in the running server too
            using HttpResponseMessage other = await client.SendAsync(TestServer.Request("/v1/chat/completions", refused));
            Assert.Equal(status == 400 ? 200 : 400, (int)other.StatusCode);
            keys.Revoke(profile);
        }
    }

    [Theory]
    [InlineData("POST", "/v1/completions", 404)]
    [InlineData("POST", "/v1/embeddings", 404)]
    [InlineData("GET", "/v1/requests", 404)]
    [InlineData("GET", "/api/tags", 404)]
    [InlineData("GET", "/v1/models", 200)]
    [InlineData("GET", "/v1/models/tiny", 200)]
    [InlineData("GET", "/muse-code/models", 200)]
    [InlineData("POST", "/v1/responses/input_tokens", 200)]
    [InlineData("GET", "/health", 200)]
    public async Task Its_routes_are_there_and_no_others(string method, string route, int status)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), route) { Content = method == "POST" ? new StringContent("""{"model": "tiny", "input": "a"}""", Encoding.UTF8, "application/json") : null };
        using HttpResponseMessage response = await fixture.Muse.Client.SendAsync(request);
        Assert.Equal(status, (int)response.StatusCode);
        if (status == 404 && route.StartsWith("/v1", StringComparison.Ordinal))
            Assert.Equal("unknown_url", (string?)TestServer.ErrorOf(await response.Content.ReadAsStringAsync())["code"]);
    }

    [Fact]
    public async Task Failures_have_its_statuses_and_codes()
    {
        await using TestServer server = await TestServer.StartAsync(muse: true);
        using HttpClient stranger = server.NewClient("sk-flint-none");
        using HttpResponseMessage unknown = await stranger.SendAsync(TestServer.Request("/v1/chat/completions", "{" + Chat + "}"));
        JsonNode error = TestServer.ErrorOf(await unknown.Content.ReadAsStringAsync());
        Assert.Equal((401, "authentication_error", "invalid_api_key"), ((int)unknown.StatusCode, (string?)error["type"], (string?)error["code"]));
        Limits.Set(server.Store, new Owner(OwnerKind.Key, server.Key.Id), new Limits { DailyTokens = 1 });
        (int status, error) = await server.RefusalAsync("/v1/chat/completions", "{" + Chat + "}");
        Assert.Equal((402, "insufficient_quota", 402), (status, (string?)error["code"], server.Records()[0].Status));
        using HttpResponseMessage message = await server.PostAsync("/v1/messages", "{" + Chat + "}");
        Assert.Equal((402, "billing_error"), ((int)message.StatusCode, (string?)JsonNode.Parse(await message.Content.ReadAsStringAsync())!["error"]!["type"]));
        Limits.Set(server.Store, new Owner(OwnerKind.Key, server.Key.Id), new Limits { RequestsPerMinute = 0 });
        (status, error) = await server.RefusalAsync("/v1/chat/completions", "{" + Chat + "}");
        Assert.Equal((429, "rate_limit_error"), (status, (string?)error["type"]));
        (status, error) = await server.RefusalAsync("/v1/chat/completions", "{" + Chat.Replace("tiny", "none", StringComparison.Ordinal) + "}");
        Assert.Equal((404, "model_not_found"), (status, (string?)error["code"]));
    }

    [Fact]
    public async Task Its_client_finds_the_models_of_its_key()
    {
        JsonNode list = JsonNode.Parse(await fixture.Own.Client.GetStringAsync("/muse-code/models"))!;
        JsonNode row = Assert.Single(list["data"]!.AsArray())!;
        JsonNode told = row["metadata"]!["muse-code"]!;
        Assert.Equal(("tiny", "model", false, TinyModel.Context), ((string?)row["id"], (string?)row["object"], (bool)told["is_hidden"]!, (int)told["limit"]!["context"]!));
        Assert.Equal(("text", false, 0), ((string?)told["modalities"]!["input"]![0], (bool)told["reasoning"]!, told["variants"]!.AsObject().Count));
        using HttpClient stranger = fixture.Own.NewClient();
        Assert.Equal(401, (int)(await stranger.GetAsync("/muse-code/models")).StatusCode);
        using HttpClient scoped = fixture.Own.NewClient(new Keys(fixture.Own.Store, TimeProvider.System).Create("few", scopes: new KeyScopes { Models = ["other"] }).Secret);
        Assert.Empty(JsonNode.Parse(await scoped.GetStringAsync("/muse-code/models"))!["data"]!.AsArray());
    }

    private async Task RefusedAsync(string route, string body, string path)
    {
        await fixture.Own.AnswerAsync(route, body);
        (int status, JsonNode error) = await fixture.Muse.RefusalAsync(route, body);
        Assert.Equal((400, "invalid_request_error", path), (status, (string?)error["type"], (string?)error["param"]));
    }
}
