using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>Reads <c>messages</c>, <c>tools</c> and <c>tool_choice</c> of a chat request.</summary>
internal sealed partial class ChatConversation
{
    private static readonly JsonSerializerOptions Unescaped = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The messages, at least one.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>The functions offered; none where <c>tool_choice</c> is <c>none</c>.</summary>
    public required IReadOnlyList<ToolDefinition> Tools { get; init; }

    /// <summary>Reads a request's body.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static ChatConversation Read(JsonFields body)
    {
        if (body.Array("messages", ApiLimits.MaxMessages, minLength: 1) is not JsonElement array)
            throw ApiException.Missing("messages");
        var messages = new List<ChatMessage>(array.GetArrayLength());
        foreach (JsonElement one in array.EnumerateArray())
            messages.Add(ReadMessage(JsonFields.Object(one, $"messages[{messages.Count}]")));
        List<ToolDefinition> tools = ReadTools(body);
        return new ChatConversation { Messages = messages, Tools = OffersTools(body, tools) ? tools : [] };
    }

    private static ChatMessage ReadMessage(JsonFields message)
    {
        string role = message.RequiredText("role");
        if (role == "function")
            throw ApiException.Unsupported(message.PathOf("role"), "Unsupported value: messages of the role 'function'. Use 'tool' with 'tool_call_id' instead.");
        if (role is not ("system" or "developer" or "user" or "assistant" or "tool"))
            throw JsonFields.InvalidChoice(message.PathOf("role"), role, ["system", "developer", "user", "assistant", "tool"]);

        (string? text, List<ContentPart>? parts) = ReadContent(message);
        List<ToolCall>? calls = role == "assistant" ? ReadToolCalls(message) : null;
        if (text is null && parts is null && role != "assistant")
            throw ApiException.Missing(message.PathOf("content"));
        if (text is null && parts is null && calls is null && message.Text("reasoning_content") is null)
            throw ApiException.Invalid(message.PathOf("content"), "missing_required_parameter", $"Invalid '{message.PathOf("content")}': an assistant message has content or tool calls.");
        return new ChatMessage
        {
            Role = role,
            Content = text,
            Parts = parts,
            Name = message.Text("name"),
            ReasoningContent = role == "assistant" ? message.Text("reasoning_content") : null,
            ToolCalls = calls,
            ToolCallId = role == "tool" ? message.RequiredText("tool_call_id") : null,
        };
    }

    private static (string? Text, List<ContentPart>? Parts) ReadContent(JsonFields message)
    {
        string path = message.PathOf("content");
        if (!message.TryGet("content", out JsonElement content))
            return (null, null);
        if (content.ValueKind == JsonValueKind.String)
            return (JsonFields.Text(content, path), null);
        if (content.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType(path, "a string or an array of content parts", content);
        var parts = new List<ContentPart>();
        foreach (JsonElement one in JsonFields.Array(content, path, ApiLimits.MaxParts, minLength: 1).EnumerateArray())
            parts.Add(ReadPart(JsonFields.Object(one, $"{path}[{parts.Count}]")));
        return (null, parts);
    }

    private static ContentPart ReadPart(JsonFields part)
    {
        string type = part.RequiredText("type");
        return type switch
        {
            "text" => ContentPart.OfText(part.RequiredText("text")),
            "refusal" => ContentPart.OfText(part.RequiredText("refusal")),
            "image_url" or "input_audio" or "file" or "video_url" =>
                throw ApiException.Unsupported(part.PathOf("type"), $"Unsupported value: content of type '{type}'. This model reads text only."),
            _ => throw JsonFields.InvalidChoice(part.PathOf("type"), type, ["text"]),
        };
    }

    private static List<ToolCall>? ReadToolCalls(JsonFields message)
    {
        if (message.Array("tool_calls", ApiLimits.MaxTools) is not JsonElement array || array.GetArrayLength() == 0)
            return null;
        var calls = new List<ToolCall>();
        foreach (JsonElement one in array.EnumerateArray())
        {
            JsonFields call = JsonFields.Object(one, $"{message.PathOf("tool_calls")}[{calls.Count}]");
            CheckType(call);
            JsonFields function = call.Object("function") ?? throw ApiException.Missing(call.PathOf("function"));
            calls.Add(new ToolCall(call.RequiredText("id"), function.RequiredText("name"), Unescape(function.RequiredText("arguments"))));
        }

        return calls;
    }

    // Templates take arguments apart and print their strings; written without escapes, they can be seen here as they will be there.
    private static string Unescape(string arguments)
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

    private static List<ToolDefinition> ReadTools(JsonFields body)
    {
        var tools = new List<ToolDefinition>();
        if (body.Array("tools", ApiLimits.MaxTools) is not JsonElement array)
            return tools;
        foreach (JsonElement one in array.EnumerateArray())
        {
            JsonFields tool = JsonFields.Object(one, $"tools[{tools.Count}]");
            CheckType(tool);
            JsonFields function = tool.Object("function") ?? throw ApiException.Missing(tool.PathOf("function"));
            string name = function.RequiredText("name");
            if (name.Length > ApiLimits.MaxToolName || !ToolName().IsMatch(name))
                throw ApiException.Invalid(function.PathOf("name"), "invalid_value", $"Invalid '{function.PathOf("name")}': a name has 1 to {ApiLimits.MaxToolName} letters, digits, dots, dashes and underscores.");
            function.Text("description");
            function.Object("parameters");
            if (function.Flag("strict") == true)
                throw ApiException.Unsupported(function.PathOf("strict"), $"Unsupported value: '{function.PathOf("strict")}' is true, and this server cannot yet hold arguments to a schema.");
            tools.Add(ToolDefinition.From(NodeOf(one, tool.Path)));
        }

        return tools;
    }

    // A request that forces a call would need the answer held to a grammar; asking the model nicely would not be the same.
    private static bool OffersTools(JsonFields body, List<ToolDefinition> tools)
    {
        const string path = "tool_choice";
        if (!body.TryGet(path, out JsonElement choice))
            return true;
        if (choice.ValueKind == JsonValueKind.Object)
            throw ApiException.Unsupported(path, "Unsupported value: 'tool_choice' names a tool, and this server cannot yet force a call. Supported values are: 'auto', 'none'.");
        string value = JsonFields.Text(choice, path);
        if (value == "required")
            throw ApiException.Unsupported(path, "Unsupported value: 'tool_choice' is 'required', and this server cannot yet force a call. Supported values are: 'auto', 'none'.");
        if (value is not ("auto" or "none"))
            throw JsonFields.InvalidChoice(path, value, ["auto", "none"]);
        if (tools.Count == 0 && value == "auto")
            throw ApiException.Invalid(path, "invalid_value", "Invalid 'tool_choice': it is only allowed when 'tools' are specified.");
        return value == "auto";
    }

    private static void CheckType(JsonFields value)
    {
        string type = value.RequiredText("type");
        if (type != "function")
            throw JsonFields.InvalidChoice(value.PathOf("type"), type, ["function"]);
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
