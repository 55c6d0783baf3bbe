using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Flint.App.Nano;

/// <summary>Whether a text is JSON of a schema, in the part of JSON Schema that nano's forms use; unknown properties are faults.</summary>
internal static class FormsSchema
{
    private const int MaxDepth = 16;

    /// <summary>Whether a text is JSON and keeps to the schema.</summary>
    internal static bool IsValid(string schema, string content) => Parse(content) is { } node && Fits(Parse(schema), node);

    /// <summary>The text as JSON; null when it is none, or has a name twice.</summary>
    internal static JsonNode? Parse(string text)
    {
        try
        {
            return JsonNode.Parse(text, documentOptions: new JsonDocumentOptions { MaxDepth = MaxDepth, AllowDuplicateProperties = false });
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static bool Fits(JsonNode? schema, JsonNode? node)
    {
        if (schema?["enum"] is JsonArray allowed && !allowed.Any(one => JsonNode.DeepEquals(one, node))) return false;
        switch ((string?)schema?["type"])
        {
            case "object":
                return node is JsonObject map
                    && (schema["required"] as JsonArray ?? []).All(name => map.ContainsKey((string)name!))
                    && map.All(p => schema["properties"]?[p.Key] is { } property && Fits(property, p.Value));
            case "array":
                return node is JsonArray list && list.All(one => Fits(schema["items"], one));
            case "string":
                return node?.GetValueKind() == JsonValueKind.String
                    && ((string?)schema["format"] != "date" || DateOnly.TryParseExact((string)node!, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out _));
            case "boolean":
                return node?.GetValueKind() is JsonValueKind.True or JsonValueKind.False;
            case "number":
                return node?.GetValueKind() == JsonValueKind.Number;
            case "integer":
                return node?.GetValueKind() == JsonValueKind.Number && long.TryParse(node.ToJsonString(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _);
            default:
                return true;
        }
    }
}
