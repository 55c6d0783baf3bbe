using System.Text.Json.Nodes;

namespace Flint.App.Api;

/// <summary>
/// JSON schemas out of a short notation. A field is <c>name type</c>, <c>name! type</c> where it must be there. A type is <c>string</c>,
/// <c>integer</c>, <c>number</c>, <c>boolean</c>, <c>null</c>, <c>any</c>, <c>[type]</c>, <c>{type}</c> (an object of such values), <c>'word'</c>, the name of
/// another schema, or several of these with bars between them.
/// </summary>
internal static class OpenApiSchema
{
    /// <summary>The schema of an object.</summary>
    /// <param name="fields">Its fields.</param>
    /// <param name="isClosed">Whether it may have no others.</param>
    public static JsonObject Of(IReadOnlyList<string> fields, bool isClosed)
    {
        var properties = new JsonObject();
        var required = new JsonArray();
        foreach (string field in fields)
        {
            int space = field.IndexOf(' ', StringComparison.Ordinal);
            string name = field[..space].TrimEnd('!');
            if (field[space - 1] == '!')
                required.Add(name);
            properties[name] = Type(field[(space + 1)..]);
        }

        var schema = new JsonObject { ["type"] = "object", ["properties"] = properties };
        if (required.Count > 0)
            schema["required"] = required;
        if (isClosed)
            schema["additionalProperties"] = false;
        return schema;
    }

    /// <summary>The schema of a type.</summary>
    public static JsonObject Type(string text)
    {
        List<string> parts = Split(text);
        if (parts.Count > 1 && parts.TrueForAll(part => part[0] == '\''))
            return new JsonObject { ["type"] = "string", ["enum"] = new JsonArray([.. parts.Select(part => JsonValue.Create(part.Trim('\'')))]) };
        return parts.Count > 1 ? new JsonObject { ["anyOf"] = new JsonArray([.. parts.Select(One)]) } : One(text);
    }

    private static JsonObject One(string text) => text switch
    {
        "any" => [],
        ['[', .. var item, ']'] => new JsonObject { ["type"] = "array", ["items"] = Type(item) },
        ['{', .. var value, '}'] => new JsonObject { ["type"] = "object", ["additionalProperties"] = Type(value) },
        ['\'', .. var word, '\''] => new JsonObject { ["type"] = "string", ["const"] = word },
        _ when char.IsUpper(text[0]) => Reference(text),
        _ => new JsonObject { ["type"] = text },
    };

    /// <summary>A reference to a schema of the document.</summary>
    public static JsonObject Reference(string name) => new() { ["$ref"] = $"#/components/schemas/{name}" };

    // At the bars outside of brackets.
    private static List<string> Split(string text)
    {
        var parts = new List<string>();
        int depth = 0, from = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i == text.Length || (text[i] == '|' && depth == 0))
            {
                parts.Add(text[from..i]);
                from = i + 1;
                continue;
            }

            depth += text[i] is '[' or '{' ? 1 : text[i] is ']' or '}' ? -1 : 0;
        }

        return parts;
    }
}
