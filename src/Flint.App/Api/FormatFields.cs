using System.Text.Json;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>What an answer is to be held to, in whichever API's words it is asked for.</summary>
/// <param name="Format">What it is held to.</param>
/// <param name="Path">The field that asks for it.</param>
internal sealed record FormatFields(ResponseFormat Format, string Path)
{
    /// <summary>What the caller calls the schema; null for nothing.</summary>
    public string? Name { get; init; }

    /// <summary>Whether the caller says that the answer must be of the schema; null where it says nothing. Here it is either way.</summary>
    public bool? IsStrict { get; init; }

    /// <summary>The field of this server's own that has a grammar.</summary>
    public const string GrammarName = "grammar";

    private const int MaxName = 64;

    /// <summary>Reads <c>response_format</c>, <c>text.format</c>, <c>output_config.format</c> and <c>grammar</c>.</summary>
    /// <param name="body">The request's body.</param>
    /// <param name="format">The field that has the format; null where the request has none.</param>
    /// <param name="types">The types that it may have.</param>
    /// <returns>Null where the answer may be any text.</returns>
    /// <exception cref="ApiException">A field has a wrong type or value, or two of them ask for something.</exception>
    public static FormatFields? Read(JsonFields body, JsonFields? format, params ReadOnlySpan<string> types)
    {
        FormatFields? found = null;
        if (format is { } fields)
        {
            string type = fields.RequiredText("type");
            if (!types.Contains(type))
                throw JsonFields.InvalidChoice(fields.PathOf("type"), type, types);
            found = type switch
            {
                "json_object" => new FormatFields(new ResponseFormat(ResponseFormatKind.JsonObject), fields.Path),
                "json_schema" => ReadSchema(fields),
                _ => null,
            };
        }

        return ReadGrammar(body, found);
    }

    /// <summary>Reads Ollama's <c>format</c>, and <c>grammar</c>.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or two of them ask for something.</exception>
    public static FormatFields? ReadOllama(JsonFields body)
    {
        FormatFields? found = null;
        if (body.TryGet("format", out JsonElement format))
        {
            found = format.ValueKind switch
            {
                JsonValueKind.Object => OfSchema(new JsonFields(format, "format")),
                JsonValueKind.String when format.ValueEquals("") => null,
                JsonValueKind.String when format.ValueEquals("json") => new FormatFields(new ResponseFormat(ResponseFormatKind.JsonObject), "format"),
                JsonValueKind.String => throw JsonFields.InvalidChoice("format", JsonFields.Text(format, "format"), ["json"]),
                _ => throw JsonFields.WrongType("format", "'json' or a JSON schema", format),
            };
        }

        return ReadGrammar(body, found);
    }

    // The Responses API and Anthropic's have the schema's fields beside the type, chat completions one level deeper.
    private static FormatFields ReadSchema(JsonFields format)
    {
        JsonFields holder = format.Object("json_schema") ?? format;
        if (holder.Text("name") is { } name && (name.Length is 0 or > MaxName || name.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('_' or '-'))))
            throw ApiException.Invalid(holder.PathOf("name"), "invalid_value", $"Invalid '{holder.PathOf("name")}': a name has 1 to {MaxName} letters, digits, dashes and underscores.");
        holder.Text("description");
        bool? strict = holder.Flag("strict");
        JsonFields schema = holder.Object("schema") ?? throw ApiException.Missing(holder.PathOf("schema"));
        return OfSchema(schema) with { Name = holder.Text("name"), IsStrict = strict };
    }

    private static FormatFields OfSchema(JsonFields schema)
    {
        ChatConversation.NodeOf(schema.Element, schema.Path); // names that are no Unicode, or come twice
        return new FormatFields(new ResponseFormat(ResponseFormatKind.JsonSchema, schema.Element.GetRawText()), schema.Path);
    }

    private static FormatFields? ReadGrammar(JsonFields body, FormatFields? found)
    {
        if (body.Text(GrammarName) is not { Length: > 0 } grammar)
            return found;
        if (found is not null)
            throw ApiException.Invalid(GrammarName, "invalid_value", $"Invalid '{GrammarName}': '{found.Path}' says already what the answer must be.");
        return new FormatFields(new ResponseFormat(ResponseFormatKind.Grammar, grammar), GrammarName);
    }
}
