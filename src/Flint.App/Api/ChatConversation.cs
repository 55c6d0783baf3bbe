using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>The conversation of a chat request, in whichever API's words it came; and what reading one takes.</summary>
internal sealed partial record ChatConversation
{
    /// <summary>Writes text as it is.</summary>
    public static readonly JsonSerializerOptions Unescaped = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The messages, at least one but for a raw prompt.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>The functions offered; none where the caller wants no call.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Names of functions whose arguments must be of their schema.</summary>
    public IReadOnlyList<string> StrictTools { get; init; } = [];

    /// <summary>Whether the model may call functions, or must.</summary>
    public ToolChoice ToolChoice { get; init; } = new();

    /// <summary>A prompt that goes to the model as it is, in place of messages, and whose answer is read as it is; null for none.</summary>
    public string? RawPrompt { get; init; }

    /// <summary>The name of a tool whose fields these are.</summary>
    /// <param name="tool">Has <c>name</c> and, maybe, <c>strict</c>.</param>
    /// <param name="strict">Receives the name where <c>strict</c> is true.</param>
    /// <param name="maxLength">Of the name.</param>
    /// <param name="others">Tools that it must not be named like; null where that is no matter.</param>
    /// <exception cref="ApiException">The name does not do.</exception>
    public static string ReadToolName(JsonFields tool, List<string> strict, int maxLength, List<ToolDefinition>? others = null)
    {
        string name = tool.RequiredText("name"), path = tool.PathOf("name");
        if (name.Length > maxLength || !ToolName().IsMatch(name))
            throw ApiException.Invalid(path, "invalid_value", $"Invalid '{path}': a name has 1 to {maxLength} letters, digits, dots, dashes and underscores.");
        if (others?.Exists(other => other.Name == name) == true)
            throw ApiException.Invalid(path, "invalid_value", $"Invalid '{path}': two tools are named '{name}'.");
        if (tool.Flag("strict") == true)
            strict.Add(name);
        return name;
    }

    /// <summary>
    /// A call's arguments without escapes. Templates take them apart and print their strings; so they can be seen here as they
    /// will be there.
    /// </summary>
    public static string Unescape(string arguments)
    {
        if (!arguments.Contains('\\'))
            return arguments;
        try
        {
            return NodeOf(arguments)?.ToJsonString(Unescaped) ?? arguments;
        }
        catch (Exception error) when (error is InvalidOperationException or ArgumentException or JsonException)
        {
            return arguments; // not JSON: the template that needs it to be will say so
        }
    }

    /// <summary>A value as a node of its own.</summary>
    /// <exception cref="ApiException">A string in it is no Unicode, or a name comes twice in one object.</exception>
    public static JsonNode? NodeOf(JsonElement value, string path)
    {
        try
        {
            return NodeOf(value.GetRawText());
        }
        catch (Exception error) when (error is InvalidOperationException or ArgumentException or JsonException)
        {
            throw ApiException.Invalid(path, "invalid_value", $"Invalid '{path}': a string holds half of a surrogate pair, or an object has the same name twice.");
        }
    }

    private static JsonNode? NodeOf(string json)
    {
        JsonNode? node = JsonNode.Parse(json, null, new JsonDocumentOptions { MaxDepth = ApiLimits.MaxJsonDepth });
        Touch(node);
        return node;
    }

    // Nodes are read as needed; reading them all here makes a fault show while it can be told.
    private static void Touch(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject map:
                foreach (KeyValuePair<string, JsonNode?> entry in map)
                    Touch(entry.Value);
                break;
            case JsonArray array:
                foreach (JsonNode? one in array)
                    Touch(one);
                break;
            case JsonValue value when value.GetValueKind() == JsonValueKind.String:
                value.GetValue<string>();
                break;
        }
    }

    [GeneratedRegex(@"^[A-Za-z0-9_.\-]+\z")]
    private static partial Regex ToolName();
}
