using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Flint.Dialects;

/// <summary>The functions offered, by name, and how their arguments are typed.</summary>
internal sealed class ToolSchemas
{
    private const int MaxReferences = 16;

    private readonly Dictionary<string, ToolDefinition> tools = [];

    public ToolSchemas(IEnumerable<ToolDefinition> definitions)
    {
        foreach (ToolDefinition tool in definitions)
            tools[tool.Name] = tool;
    }

    public bool IsEmpty => tools.Count == 0;

    public bool Contains(string name) => tools.ContainsKey(name);

    /// <summary>
    /// The function that a model means by a name: the exact one, else <c>ns.fn</c> for a function <c>fn</c> whose own namespace is
    /// <c>ns</c>, as <c>read.read</c> for <c>read</c>. Null when there is none; a suffix alone never matches.
    /// </summary>
    public string? Resolve(string name)
    {
        if (tools.ContainsKey(name))
            return name;
        int dot = name.IndexOf('.');
        if (dot <= 0)
            return null;
        string function = name[(dot + 1)..];
        return tools.ContainsKey(function) && Namespace(function) == name[..dot] ? function : null;
    }

    /// <summary>Splits <c>fn.parameter</c> of a declared function and one of its parameters.</summary>
    public bool TrySplitParameter(string name, out string function, out string parameter)
    {
        for (int dot = name.IndexOf('.'); dot > 0; dot = name.IndexOf('.', dot + 1))
        {
            function = name[..dot];
            parameter = name[(dot + 1)..];
            if (HasParameter(function, parameter))
                return true;
        }

        function = parameter = "";
        return false;
    }

    public bool HasParameter(string function, string parameter) => Schema(function, parameter) is not null;

    /// <summary>Whether a parameter takes strings only, so that its text stands as it is.</summary>
    public bool IsString(string function, string parameter)
    {
        HashSet<string>? types = Types(function, parameter);
        return types is { Count: 1 } && types.Contains("string");
    }

    /// <summary>
    /// The JSON of an argument written as text: strings verbatim, other types decoded where the text is JSON of an allowed type,
    /// and verbatim again otherwise.
    /// </summary>
    public string Encode(string function, string parameter, string text)
    {
        HashSet<string>? types = Types(function, parameter);
        if (types is { Count: 1 } && types.Contains("string"))
            return Quote(text);
        string trimmed = text.Trim();
        try
        {
            using JsonDocument document = JsonDocument.Parse(trimmed);
            if (types is null || !types.Contains("string") || types.Contains(TypeOf(document.RootElement)) || types.Contains("number") && TypeOf(document.RootElement) == "integer")
                return trimmed;
        }
        catch (JsonException)
        {
            // Not JSON: a string after all.
        }

        return Quote(text);
    }

    /// <summary>The text as a JSON string.</summary>
    public static string Quote(string text)
    {
        var json = new StringBuilder(text.Length + 2).Append('"');
        Escape(text, json);
        return json.Append('"').ToString();
    }

    /// <summary>Appends text as it stands inside a JSON string; character by character, so that pieces join.</summary>
    public static void Escape(ReadOnlySpan<char> text, StringBuilder json)
    {
        foreach (char c in text)
        {
            switch (c)
            {
                case '"' or '\\': json.Append('\\').Append(c); break;
                case '\n': json.Append("\\n"); break;
                case '\r': json.Append("\\r"); break;
                case '\t': json.Append("\\t"); break;
                case < ' ': json.Append($"\\u{(int)c:x4}"); break;
                default: json.Append(c); break;
            }
        }
    }

    private static string Namespace(string name) => name.IndexOf('.') is > 0 and int dot ? name[..dot] : name;

    private static string TypeOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => "string",
        JsonValueKind.Number => value.GetRawText().AsSpan().IndexOfAny(".eE") < 0 ? "integer" : "number",
        JsonValueKind.True or JsonValueKind.False => "boolean",
        JsonValueKind.Null => "null",
        JsonValueKind.Array => "array",
        _ => "object",
    };

    private JsonObject? Schema(string function, string parameter) =>
        tools.TryGetValue(function, out ToolDefinition? tool) && tool.Parameters?["properties"] is JsonObject properties
            ? properties[parameter] as JsonObject : null;

    /// <summary>The JSON types that a parameter allows; null when its schema does not say.</summary>
    private HashSet<string>? Types(string function, string parameter)
    {
        if (Schema(function, parameter) is not { } schema)
            return null;
        var types = new HashSet<string>();
        int budget = MaxReferences;
        return Collect(schema, tools[function].Parameters!, types, ref budget) ? types : null;
    }

    private static bool Collect(JsonObject schema, JsonObject root, HashSet<string> types, ref int budget)
    {
        if (--budget < 0)
            return false;
        switch (schema["type"])
        {
            case JsonValue one when one.TryGetValue(out string? name):
                types.Add(name);
                return true;
            case JsonArray several:
                types.UnionWith(several.OfType<JsonValue>().Select(v => v.ToString()));
                return types.Count > 0;
        }

        if (schema["$ref"] is JsonValue reference && reference.TryGetValue(out string? path) && path.StartsWith("#/", StringComparison.Ordinal))
        {
            JsonNode? target = path[2..].Split('/').Aggregate((JsonNode?)root, (node, part) => (node as JsonObject)?[part]);
            return target is JsonObject found && Collect(found, root, types, ref budget);
        }

        if ((schema["anyOf"] ?? schema["oneOf"]) is JsonArray choices)
        {
            foreach (JsonNode? choice in choices)
            {
                if (choice is not JsonObject option || !Collect(option, root, types, ref budget))
                    return false;
            }

            return choices.Count > 0;
        }

        JsonNode?[] values = schema["enum"] is JsonArray listed ? [.. listed] : schema.ContainsKey("const") ? [schema["const"]] : [];
        types.UnionWith(values.Select(v => v is null ? "null" : TypeOf(JsonSerializer.SerializeToElement(v))));
        return values.Length > 0;
    }
}
