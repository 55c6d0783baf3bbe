using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;

namespace Flint.App.Api;

/// <summary>
/// <c>GET /openapi.json</c>: the API in OpenAPI 3.1. Paths, parameters, keys and errors are those of the routes as they are mapped; what handlers read and
/// write is told by <see cref="OpenApiRoutes"/> and <see cref="OpenApiSchemas"/>, which tests hold to what the server does. Open, as it tells nothing of the server's own.
/// </summary>
/// <param name="routes">All routes of the server, once they are mapped.</param>
internal sealed class OpenApi(Func<IReadOnlyList<RouteEndpoint>> routes)
{
    /// <summary>Its path.</summary>
    public const string Path = "/openapi.json";

    private const string Key = "key", AdminKey = "admin_key", HeaderKey = "header_key";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private byte[]? _text;

    /// <summary>Answers with it.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        _text ??= [.. JsonSerializer.SerializeToUtf8Bytes(Document(), Indented), (byte)'\n'];
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = _text.Length;
        await context.Response.Body.WriteAsync(_text, context.RequestAborted);
    }

    private JsonObject Document()
    {
        var paths = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        foreach (RouteEndpoint route in routes())
        {
            string path = "/" + string.Join('/', route.RoutePattern.PathSegments.Select(segment => string.Concat(segment.Parts.Select(Text))));
            foreach (string method in route.Metadata.GetRequiredMetadata<HttpMethodMetadata>().HttpMethods)
            {
                if (!paths.TryGetValue(path, out JsonObject? item))
                    paths[path] = item = [];
                item[method.ToLowerInvariant()] = Operation(OpenApiRoutes.Find(method, path), route);
            }
        }

        var schemas = new JsonObject();
        foreach ((string name, string[] fields) in OpenApiSchemas.All.OrderBy(entry => entry.Key, StringComparer.Ordinal))
            schemas[name] = OpenApiSchema.Of(fields, OpenApiSchemas.Closed.Contains(name));
        return new JsonObject
        {
            ["openapi"] = "3.1.0",
            ["info"] = new JsonObject
            {
                ["title"] = "Flint",
                ["version"] = typeof(OpenApi).Assembly.GetName().Version?.ToString(3),
                ["description"] = "The APIs of OpenAI, Anthropic and Ollama over open models, and the admin API of the server's accounts.",
                ["license"] = new JsonObject { ["name"] = "Apache-2.0", ["identifier"] = "Apache-2.0" },
            },
            ["paths"] = new JsonObject(paths.Select(entry => KeyValuePair.Create(entry.Key, (JsonNode?)entry.Value))),
            ["components"] = new JsonObject
            {
                ["schemas"] = schemas,
                ["securitySchemes"] = new JsonObject
                {
                    [Key] = new JsonObject { ["type"] = "http", ["scheme"] = "bearer" },
                    [HeaderKey] = new JsonObject { ["type"] = "apiKey", ["in"] = "header", ["name"] = "x-api-key" },
                    [AdminKey] = new JsonObject { ["type"] = "http", ["scheme"] = "bearer", ["description"] = "A key made by flint keys create --admin." },
                },
            },
        };
    }

    private static JsonObject Operation(OpenApiRoute told, RouteEndpoint route)
    {
        bool isAdmin = told.Path.StartsWith(AdminApi.Path + "/", StringComparison.Ordinal), isOpen = told.Tag == OpenApiRoutes.Server;
        var operation = new JsonObject { ["summary"] = told.Summary, ["tags"] = new JsonArray(told.Tag) };
        var parameters = new JsonArray();
        foreach (RoutePatternParameterPart part in route.RoutePattern.Parameters)
            parameters.Add(Parameter("path", part.Name, "string", required: true));
        foreach (string query in told.Query)
            parameters.Add(Parameter("query", query[..query.IndexOf(' ', StringComparison.Ordinal)], query[(query.IndexOf(' ', StringComparison.Ordinal) + 1)..], required: false));
        if (parameters.Count > 0)
            operation["parameters"] = parameters;
        if (told.Request is not null)
            operation["requestBody"] = new JsonObject { ["required"] = true, ["content"] = Content("application/json", OpenApiSchema.Reference(told.Request)) };

        JsonObject content = Content(told.ContentType, told.Response is null ? OpenApiSchema.Type("string") : OpenApiSchema.Reference(told.Response));
        if (told.Stream is not null)
            content[told.Stream] = new JsonObject { ["schema"] = OpenApiSchema.Type("string") };
        var responses = new JsonObject { [told.Status.ToString()] = new JsonObject { ["description"] = told.Status == StatusCodes.Status201Created ? "Made." : "The answer.", ["content"] = content } };
        if (!isOpen)
            responses["default"] = new JsonObject { ["description"] = "Why not.", ["content"] = Content("application/json", OpenApiSchema.Reference(told.Errors)) };
        else if (told.Response is not null)
            responses["503"] = new JsonObject { ["description"] = "Not now.", ["content"] = Content("application/json", OpenApiSchema.Reference(told.Response)) };
        operation["responses"] = responses;
        operation["security"] = isOpen ? [] : isAdmin ? new JsonArray(Scheme(AdminKey)) : new JsonArray(Scheme(Key), Scheme(HeaderKey));
        return operation;
    }

    private static JsonObject Content(string type, JsonObject schema) => new() { [type] = new JsonObject { ["schema"] = schema } };

    private static JsonObject Scheme(string name) => new() { [name] = new JsonArray() };

    private static JsonObject Parameter(string place, string name, string type, bool required) =>
        new() { ["name"] = name, ["in"] = place, ["required"] = required, ["schema"] = OpenApiSchema.Type(type) };

    private static string Text(RoutePatternPart part) => part switch
    {
        RoutePatternParameterPart parameter => $"{{{parameter.Name}}}",
        RoutePatternLiteralPart literal => literal.Content,
        _ => ((RoutePatternSeparatorPart)part).Content,
    };
}
