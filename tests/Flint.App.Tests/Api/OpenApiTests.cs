using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Flint.App.Accounts;
using Microsoft.AspNetCore.Routing;

namespace Flint.App.Tests.Api;

/// <summary>The OpenAPI document says what the server does: its routes, what they read, what they answer.</summary>
public sealed partial class OpenApiTests : IAsyncLifetime
{
    private TestServer _server = null!;
    private JsonNode _document = null!;
    private HttpClient _admin = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await TestServer.StartAsync();
        _document = JsonNode.Parse(await _server.Client.GetStringAsync("/openapi.json"))!;
        new Keys(_server.Store, TimeProvider.System).Create("worker");
        _admin = _server.NewClient(new Keys(_server.Store, TimeProvider.System).Create("admin", scopes: new KeyScopes { Admin = true }).Secret);
    }

    public ValueTask DisposeAsync()
    {
        _admin.Dispose();
        return _server.DisposeAsync();
    }

    [Fact]
    public async Task The_copy_in_docs_is_what_the_server_gives()
    {
        string written = await File.ReadAllTextAsync(Path.Combine(TestData.Root, "docs", "openapi.json"));
        Assert.True(written.ReplaceLineEndings("\n") == await _server.Client.GetStringAsync("/openapi.json"), "docs/openapi.json is not what GET /openapi.json answers");
    }

    [Fact]
    public void Every_route_is_in_it_and_nothing_else()
    {
        var mapped = new SortedSet<string>(StringComparer.Ordinal);
        foreach (RouteEndpoint route in _server.Server.Routes)
            mapped.UnionWith(route.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods.Select(method => $"{method} {route.RoutePattern.RawText!.Replace("**", "")}"));
        Assert.Equal(mapped.ToArray(), Operations().Select(one => $"{one.Method} {one.Path}").Order(StringComparer.Ordinal).ToArray());
        Assert.Equal(Flint.App.Api.OpenApiRoutes.All.Count, mapped.Count); // and each is described once
    }

    [Fact]
    public void Every_reference_leads_to_a_schema_and_every_schema_is_referred_to()
    {
        string[] schemas = [.. _document["components"]!["schemas"]!.AsObject().Select(entry => entry.Key)];
        string[] references = [.. Reference().Matches(_document.ToJsonString()).Select(match => match.Groups[1].Value).Distinct()];
        Assert.Equal(schemas.Order(StringComparer.Ordinal), references.Order(StringComparer.Ordinal));
        foreach ((string path, string method, JsonNode operation) in Operations())
        {
            string[] inPath = [.. Parameter().Matches(path).Select(match => match.Groups[1].Value)];
            Assert.Equal(inPath, operation["parameters"]?.AsArray().Where(one => (string?)one!["in"] == "path").Select(one => (string?)one!["name"]) ?? []);
            Assert.True(operation["security"] is JsonArray security && (security.Count > 0) != (path is "/health" or "/ready" or "/metrics" or "/openapi.json"), $"{method} {path}");
        }
    }

    // A field that is told and not read would take anything.
    [Fact]
    public async Task Every_field_of_a_request_is_read()
    {
        var faults = new List<string>();
        int tried = 0;
        foreach ((string path, string method, JsonNode operation) in Operations())
        {
            if (operation["requestBody"] is not { } body)
                continue;
            JsonObject schema = Resolve(body["content"]!["application/json"]!["schema"]!);
            foreach ((string name, JsonNode? property) in schema["properties"]!.AsObject())
            {
                if (Wrong(property!.AsObject()) is not JsonNode wrong)
                    continue;
                tried++;
                JsonObject request = Least(path);
                request[name] = wrong;
                (int status, string answer) = await SendAsync(method, path, request);
                if (status is not 400 || !answer.Contains(name, StringComparison.Ordinal))
                    faults.Add($"{method} {path}: {name} = {wrong.ToJsonString()} → {status} {answer}");
            }
        }

        Assert.True(tried > 150, $"{tried} fields were tried");
        Assert.Empty(faults);
    }

    [Fact]
    public async Task Every_answer_fits_its_schema()
    {
        string response = (string)(await _server.AnswerAsync("/v1/responses", """{"model": "tiny", "input": "hello", "max_output_tokens": 2}"""))["id"]!;
        var faults = new List<string>();
        int answered = 0;
        // What takes something away comes last, and a key is read before it ends.
        foreach ((string path, string method, JsonNode operation) in Operations().OrderBy(one => one.Method == "DELETE").ThenBy(one => one.Path.EndsWith("/revoke", StringComparison.Ordinal)).ThenBy(one => one.Method is "GET"))
        {
            if (path is "/metrics" or "/v1/requests/{id}/end_thinking" or "/v1/responses/{id}/cancel")
                continue; // text; and those that need a request under way have tests of their own
            (int status, string answer) = await SendAsync(method, path, operation["requestBody"] is null ? null : Least(path), response);
            KeyValuePair<string, JsonNode?> told = operation["responses"]!.AsObject().First();
            if (told.Key != status.ToString())
            {
                faults.Add($"{method} {path}: {status} {answer}");
                continue;
            }

            answered++;
            Check(JsonNode.Parse(answer), told.Value!["content"]!["application/json"]!["schema"]!.AsObject(), $"{method} {path}", faults);
        }

        Assert.True(answered > 40, $"{answered} routes answered");
        Assert.Empty(faults);
    }

    [Fact]
    public async Task Refusals_fit_their_schemas()
    {
        var faults = new List<string>();
        using HttpClient stranger = _server.NewClient();
        foreach (string path in (string[])["/v1/models", "/v1/messages", "/api/chat", "/admin/v1/keys"])
        {
            using HttpResponseMessage refused = path is "/v1/messages" or "/api/chat" ? await stranger.SendAsync(TestServer.Request(path, "{}")) : await stranger.GetAsync(path);
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
            JsonNode operation = _document["paths"]![path]![path is "/v1/messages" or "/api/chat" ? "post" : "get"]!;
            Check(JsonNode.Parse(await refused.Content.ReadAsStringAsync()), operation["responses"]!["default"]!["content"]!["application/json"]!["schema"]!.AsObject(), path, faults);
        }

        Assert.Empty(faults);
    }

    private IEnumerable<(string Path, string Method, JsonNode Operation)> Operations() =>
        _document["paths"]!.AsObject().SelectMany(path => path.Value!.AsObject().Select(entry => (path.Key, entry.Key.ToUpperInvariant(), entry.Value!)));

    private JsonObject Resolve(JsonNode schema) => (string?)schema["$ref"] is string reference ? _document["components"]!["schemas"]![reference.Split('/')[^1]]!.AsObject() : schema.AsObject();

    // The least body that a route takes.
    private static JsonObject Least(string path) => JsonNode.Parse(path switch
    {
        "/v1/chat/completions" => """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}""",
        "/v1/completions" => """{"model": "tiny", "prompt": "hello", "max_tokens": 2}""",
        "/v1/embeddings" or "/api/embed" => """{"model": "tiny", "input": "hello"}""",
        "/api/embeddings" => """{"model": "tiny", "prompt": "hello"}""",
        "/v1/responses" or "/v1/responses/input_tokens" => """{"model": "tiny", "input": "hello", "max_output_tokens": 2}""",
        "/v1/messages" or "/v1/messages/count_tokens" => """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}""",
        "/api/chat" => """{"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "stream": false, "options": {"num_predict": 2}}""",
        "/api/generate" => """{"model": "tiny", "prompt": "hello", "stream": false, "options": {"num_predict": 2}}""",
        "/api/show" => """{"model": "tiny"}""",
        "/admin/v1/organizations" or "/admin/v1/organizations/{organization}/projects" or "/admin/v1/keys" => """{"name": "another"}""",
        "/admin/v1/prices/{model}" => """{"input": 1, "output": 2.5}""",
        _ => "{}",
    })!.AsObject();

    private async Task<(int Status, string Answer)> SendAsync(string method, string path, JsonObject? body, string response = "x")
    {
        string at = path.Replace("/v1/models/{id}", "/v1/models/tiny").Replace("/v1/responses/{id}", "/v1/responses/" + response).Replace("{organization}", "default").Replace("{project}", "default").Replace("{key}", "worker").Replace("{model}", "tiny").Replace("{user}", "ada");
        using var request = new HttpRequestMessage(new HttpMethod(method), at) { Content = body is null ? null : new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json") };
        using HttpResponseMessage answer = await (path.StartsWith("/admin/", StringComparison.Ordinal) ? _admin : _server.Client).SendAsync(request);
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    // A value that no alternative of a schema takes; null where it takes anything.
    private JsonNode? Wrong(JsonObject schema)
    {
        schema = Resolve(schema);
        JsonObject[] alternatives = schema["anyOf"] is JsonArray any ? [.. any.Select(one => Resolve(one!))] : [schema];
        string?[] types = [.. alternatives.Select(one => (string?)one["type"])];
        if (types.Contains(null))
            return null;
        return types.Contains("boolean") || types.Contains("number") || types.Contains("integer") ? (types.Contains("object") ? null : new JsonObject { ["x"] = 1 }) : JsonValue.Create(true);
    }

    private void Check(JsonNode? value, JsonObject schema, string at, List<string> faults)
    {
        schema = Resolve(schema);
        if (schema["anyOf"] is JsonArray any)
        {
            if (!any.Any(one => Fits(value, one!.AsObject(), at)))
                faults.Add($"{at}: {value?.ToJsonString() ?? "null"} fits none of {any.ToJsonString()}");
            return;
        }

        JsonValueKind kind = value?.GetValueKind() ?? JsonValueKind.Null;
        bool fits = (string?)schema["type"] switch
        {
            null => true,
            "string" => kind == JsonValueKind.String && (schema["enum"] is not JsonArray words || words.Any(word => (string?)word == (string?)value)) && (schema["const"] is not { } word || (string?)word == (string?)value),
            "integer" => kind == JsonValueKind.Number && value!.AsValue().TryGetValue(out long _),
            "number" => kind == JsonValueKind.Number,
            "boolean" => kind is JsonValueKind.True or JsonValueKind.False,
            "null" => kind == JsonValueKind.Null,
            "array" => kind == JsonValueKind.Array,
            _ => kind == JsonValueKind.Object,
        };
        if (!fits)
        {
            faults.Add($"{at}: {value?.ToJsonString() ?? "null"} is not {schema.ToJsonString()}");
            return;
        }

        if (value is JsonArray items && schema["items"] is JsonObject item)
        {
            for (int i = 0; i < items.Count; i++)
                Check(items[i], item, $"{at}[{i}]", faults);
        }

        if (value is not JsonObject fields)
            return;
        foreach (JsonNode? required in schema["required"]?.AsArray() ?? [])
        {
            if (!fields.ContainsKey((string)required!))
                faults.Add($"{at}: {required} is missing");
        }

        foreach ((string name, JsonNode? field) in fields)
        {
            if (schema["properties"]?[name] is JsonObject property)
                Check(field, property, $"{at}.{name}", faults);
            else if (schema["properties"] is not null)
                faults.Add($"{at}.{name} is not told");
            else if (schema["additionalProperties"] is JsonObject more)
                Check(field, more, $"{at}.{name}", faults);
        }
    }

    private bool Fits(JsonNode? value, JsonObject schema, string at)
    {
        var faults = new List<string>();
        Check(value, schema, at, faults);
        return faults.Count == 0;
    }

    [GeneratedRegex("#/components/schemas/([A-Za-z]+)")]
    private static partial Regex Reference();

    [GeneratedRegex("\\{([a-z]+)\\}")]
    private static partial Regex Parameter();
}
