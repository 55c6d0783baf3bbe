using System.Text.Json;

namespace Flint.App.Api;

/// <summary>What Meta's Model API refuses of JSON schemas and this server by itself would take.</summary>
internal static class MuseSchemas
{
    private const int MaxDepth = 64;

    /// <summary>Checks the format of an answer: no schema may hold itself, and one that is strict lists all its properties as required.</summary>
    /// <exception cref="ApiException">It is refused.</exception>
    public static void CheckFormat(JsonFields? format)
    {
        if (format is not { } fields)
            return;
        JsonFields holder = fields.Object("json_schema") ?? fields;
        Check(holder, "schema");
    }

    /// <summary>Checks functions: the parameters of strict ones list all their properties as required.</summary>
    /// <exception cref="ApiException">One is refused.</exception>
    public static void CheckTools(JsonFields body, string schema)
    {
        if (!body.TryGet("tools", out JsonElement tools) || tools.ValueKind != JsonValueKind.Array)
            return;
        int index = 0;
        foreach (JsonElement one in tools.EnumerateArray())
        {
            string path = $"tools[{index++}]";
            if (one.ValueKind != JsonValueKind.Object)
                continue;
            var tool = new JsonFields(one, path);
            Check(tool.TryGet("function", out JsonElement function) && function.ValueKind == JsonValueKind.Object ? new JsonFields(function, $"{path}.function") : tool, schema);
        }
    }

    private static void Check(JsonFields holder, string name)
    {
        if (!holder.TryGet(name, out JsonElement schema) || schema.ValueKind != JsonValueKind.Object)
            return;
        string path = holder.PathOf(name);
        if (HoldsItself(schema, schema, [], 0))
            throw ApiException.Unsupported(path, $"Unsupported value: '{path}' refers to itself.");
        if (holder.TryGet("strict", out JsonElement strict) && strict.ValueKind == JsonValueKind.True)
            CheckStrict(schema, path, 0);
    }

    // References along the way down; one that is met again leads round.
    private static bool HoldsItself(JsonElement schema, JsonElement root, HashSet<string> open, int depth)
    {
        if (depth > MaxDepth)
            return true;
        switch (schema.ValueKind)
        {
            case JsonValueKind.Array:
                return schema.EnumerateArray().Any(one => HoldsItself(one, root, open, depth + 1));
            case JsonValueKind.Object:
                if (schema.TryGetProperty("$ref", out JsonElement reference) && reference.ValueKind == JsonValueKind.String && Find(root, reference.GetString()!) is JsonElement target)
                {
                    if (!open.Add(reference.GetString()!))
                        return true;
                    if (HoldsItself(target, root, open, depth + 1))
                        return true;
                    open.Remove(reference.GetString()!);
                }

                return schema.EnumerateObject().Any(one => one.Name is not ("$defs" or "definitions" or "enum" or "const" or "default" or "examples") && HoldsItself(one.Value, root, open, depth + 1));
            default:
                return false;
        }
    }

    private static JsonElement? Find(JsonElement root, string reference)
    {
        if (!reference.StartsWith('#'))
            return null;
        JsonElement found = root;
        foreach (string part in reference[1..].Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (found.ValueKind != JsonValueKind.Object || !found.TryGetProperty(part.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal), out found))
                return null;
        }

        return found;
    }

    private static void CheckStrict(JsonElement schema, string path, int depth)
    {
        if (depth > MaxDepth || schema.ValueKind is not (JsonValueKind.Object or JsonValueKind.Array))
            return;
        if (schema.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement one in schema.EnumerateArray())
                CheckStrict(one, path, depth + 1);
            return;
        }

        if (schema.TryGetProperty("properties", out JsonElement properties) && properties.ValueKind == JsonValueKind.Object)
        {
            bool isClosed = schema.TryGetProperty("additionalProperties", out JsonElement others) && others.ValueKind == JsonValueKind.False;
            HashSet<string?> required = schema.TryGetProperty("required", out JsonElement list) && list.ValueKind == JsonValueKind.Array
                ? [.. list.EnumerateArray().Where(one => one.ValueKind == JsonValueKind.String).Select(one => one.GetString())] : [];
            if (!isClosed || properties.EnumerateObject().Any(one => !required.Contains(one.Name)))
                throw ApiException.Unsupported(path, $"Unsupported value: '{path}' is strict; every property must be listed in 'required', and 'additionalProperties' must be false.");
        }

        foreach (JsonProperty one in schema.EnumerateObject().Where(one => one.Name is not ("enum" or "const" or "default" or "examples")))
            CheckStrict(one.Value, path, depth + 1);
    }
}
