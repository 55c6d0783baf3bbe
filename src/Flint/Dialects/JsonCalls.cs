using System.Text;
using System.Text.Json;

namespace Flint.Dialects;

/// <summary>Finds the end of a JSON object in streamed text, one character at a time.</summary>
internal struct JsonScanner
{
    private int depth;
    private bool inString;
    private bool escaped;

    /// <summary>Reads a character; true at the brace that closes the outermost object or array.</summary>
    public bool Read(char c)
    {
        if (inString)
        {
            if (escaped)
                escaped = false;
            else if (c == '\\')
                escaped = true;
            else if (c == '"')
                inString = false;
            return false;
        }

        switch (c)
        {
            case '"': inString = true; break;
            case '{' or '[': depth++; break;
            case '}' or ']': return --depth <= 0;
        }

        return false;
    }
}

/// <summary>Calls written as JSON objects.</summary>
internal static class JsonCalls
{
    public static bool IsObject(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return document.RootElement.ValueKind == JsonValueKind.Object;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>
    /// Reads <c>{"name": ..., "arguments" or "parameters": {...}}</c>, the same inside <c>"function"</c>, and arguments that are
    /// JSON text in a string; no arguments count as none.
    /// </summary>
    public static bool TryRead(string text, out string name, out string arguments)
    {
        name = "";
        arguments = "{}";
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement call = document.RootElement;
            if (call.ValueKind != JsonValueKind.Object)
                return false;
            if (call.TryGetProperty("function", out JsonElement inner) && inner.ValueKind == JsonValueKind.Object)
                call = inner;
            if (!call.TryGetProperty("name", out JsonElement named) || named.ValueKind != JsonValueKind.String)
                return false;
            name = named.GetString()!;
            if (!call.TryGetProperty("arguments", out JsonElement given) && !call.TryGetProperty("parameters", out given))
                return true;
            arguments = given.ValueKind switch
            {
                JsonValueKind.Object => given.GetRawText(),
                JsonValueKind.String when IsObject(given.GetString()!) => given.GetString()!,
                JsonValueKind.Null => "{}",
                _ => "",
            };
            return arguments.Length > 0;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>Reads <c>name.call(key="value", ...)</c> or <c>name(key=value)</c>, values being JSON or single-quoted strings.</summary>
    public static bool TryReadCode(string code, out string name, out string arguments)
    {
        code = code.Trim();
        int open = code.IndexOf('(');
        name = open > 0 ? code[..open] : "";
        arguments = "";
        if (open <= 0 || !code.EndsWith(')'))
            return false;
        if (name.EndsWith(".call", StringComparison.Ordinal))
            name = name[..^5];
        var json = new StringBuilder("{");
        string inside = code[(open + 1)..^1];
        int i = 0;
        while (i < inside.Length)
        {
            int equals = inside.IndexOf('=', i);
            if (equals < 0)
                return string.IsNullOrWhiteSpace(inside[i..]) && Close(json, out arguments);
            string key = inside[i..equals].Trim();
            int end = ValueEnd(inside, equals + 1);
            string value = inside[(equals + 1)..end].Trim();
            if (value.Length > 1 && value[0] == '\'' && value[^1] == '\'')
                value = ToolSchemas.Quote(value[1..^1].Replace("\\'", "'", StringComparison.Ordinal));
            json.Append(json.Length > 1 ? ", " : "").Append(ToolSchemas.Quote(key)).Append(": ").Append(value);
            i = end + 1;
        }

        return Close(json, out arguments);
    }

    private static bool Close(StringBuilder json, out string arguments)
    {
        arguments = json.Append('}').ToString();
        return IsObject(arguments);
    }

    /// <summary>The comma that ends a value, or the end of the text.</summary>
    private static int ValueEnd(string text, int start)
    {
        int depth = 0;
        char quote = '\0';
        for (int i = start; i < text.Length; i++)
        {
            char c = text[i];
            if (quote != 0)
            {
                if (c == '\\')
                    i++;
                else if (c == quote)
                    quote = '\0';
            }
            else if (c is '"' or '\'')
            {
                quote = c;
            }
            else if (c is '[' or '{' or '(')
            {
                depth++;
            }
            else if (c is ']' or '}' or ')')
            {
                depth--;
            }
            else if (c == ',' && depth == 0)
            {
                return i;
            }
        }

        return text.Length;
    }
}
