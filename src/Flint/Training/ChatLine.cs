using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Dialects;

namespace Flint.Training;

/// <summary>
/// One line of a file of conversations: <c>{"messages": [...], "tools": [...], "reasoning_strength": "low"}</c>, messages and tools
/// as in the OpenAI chat API, an assistant's message with <c>"weight": 0</c> if it is not to be learnt; further keys are left alone.
/// </summary>
internal sealed class ChatLine
{
    /// <summary>The most messages of a conversation.</summary>
    public const int MaxMessages = 4096;

    /// <summary>The most functions of a conversation, and the most calls of a message.</summary>
    public const int MaxTools = 256;

    private static readonly JsonSerializerOptions Unescaped = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The messages, with at least one of the assistant to be learnt.</summary>
    public required ChatMessage[] Messages { get; init; }

    /// <summary>For each message, whether it is one of the assistant's to be learnt: those of weight 0 are history only.</summary>
    public required bool[] Trained { get; init; }

    /// <summary>The functions offered.</summary>
    public required ToolDefinition[] Tools { get; init; }

    /// <summary>The strength of reasoning, if said: a reasoning effort of the OpenAI API.</summary>
    public string? Strength { get; init; }

    /// <summary>Reads a line.</summary>
    /// <param name="utf8">The line, without its end.</param>
    /// <exception cref="FlintException">Caller: it is not such a conversation; the message names the place.</exception>
    public static ChatLine Read(ReadOnlyMemory<byte> utf8)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(utf8);
            return Read(document.RootElement);
        }
        catch (JsonException e)
        {
            throw FlintException.Caller("invalid_json", $"not JSON at byte {(e.BytePositionInLine ?? 0) + 1}");
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            // A string is decoded, and the names of an object are compared, when they are asked for.
            throw FlintException.Caller("invalid_json", "a string is not Unicode, or an object has the same name twice");
        }
    }

    private static ChatLine Read(JsonElement line)
    {
        if (line.ValueKind != JsonValueKind.Object) throw WrongType("the line", "an object", line);
        if (Find(line, "messages") is not { } list) throw Missing("messages");
        var messages = new ChatMessage[Array(list, "messages", MaxMessages)];
        var trained = new bool[messages.Length];
        int at = 0, calls = 0;
        foreach (JsonElement one in list.EnumerateArray())
        {
            messages[at] = ReadMessage(one, $"messages[{at}]", ref calls);
            trained[at] = messages[at].Role == "assistant" && ReadWeight(one, $"messages[{at}].weight") == 1;
            at++;
        }
        if (!trained.AsSpan().Contains(true)) throw FlintException.Caller("no_assistant_message", "no message of the assistant to be learnt");
        return new ChatLine { Messages = messages, Trained = trained, Tools = ReadTools(line), Strength = Text(line, "reasoning_strength", "") };
    }

    private static ChatMessage ReadMessage(JsonElement message, string path, ref int calls)
    {
        if (message.ValueKind != JsonValueKind.Object) throw WrongType(path, "an object", message);
        string role = Text(message, "role", path) ?? throw Missing($"{path}.role");
        if (role is not ("system" or "developer" or "user" or "assistant" or "tool"))
            throw FlintException.Caller("unknown_role", $"{path}.role is '{Short(role)}'; expected system, developer, user, assistant or tool");
        string? content = ReadContent(message, $"{path}.content");
        string? reasoning = Text(message, "reasoning_content", path);
        ToolCall[]? made = ReadCalls(message, path, ref calls);
        string? answers = Text(message, "tool_call_id", path), name = Text(message, "name", path);
        if (role != "assistant")
        {
            if (content is null) throw Missing($"{path}.content");
            if (made is not null || reasoning is not null)
                throw FlintException.Caller("wrong_role", $"{path} has {(made is null ? "reasoning_content" : "tool_calls")}, which only the assistant has");
            if (role == "tool" && answers is null && name is null) throw Missing($"{path}.tool_call_id");
        }
        else if (made is null && string.IsNullOrEmpty(content))
        {
            throw FlintException.Caller("empty_answer", $"{path} has neither content nor tool_calls");
        }
        return new ChatMessage { Role = role, Content = content, ReasoningContent = reasoning, ToolCalls = made, ToolCallId = answers, Name = name };
    }

    // As in OpenAI's fine-tuning files: 0 for a turn that is only shown.
    private static int ReadWeight(JsonElement message, string path)
    {
        if (Find(message, "weight") is not { } weight) return 1;
        return weight.ValueKind == JsonValueKind.Number && weight.TryGetInt32(out int value) && value is 0 or 1 ? value
            : throw FlintException.Caller("invalid_weight", $"{path} is {Short(weight.GetRawText())}; expected 0 or 1");
    }

    private static string? ReadContent(JsonElement message, string path)
    {
        if (Find(message, "content") is not { } content) return null;
        if (content.ValueKind == JsonValueKind.String) return content.GetString();
        if (content.ValueKind != JsonValueKind.Array) throw WrongType(path, "a string or a list of text parts", content);
        string text = "";
        int at = 0;
        foreach (JsonElement part in content.EnumerateArray())
        {
            string place = $"{path}[{at++}]";
            if (part.ValueKind != JsonValueKind.Object) throw WrongType(place, "an object", part);
            string? type = Text(part, "type", place);
            if (type != "text") throw FlintException.Caller("unsupported_content", $"{place}.type is '{Short(type ?? "null")}'; expected text");
            text += Text(part, "text", place) ?? throw Missing($"{place}.text");
        }
        return text;
    }

    private static ToolCall[]? ReadCalls(JsonElement message, string path, ref int calls)
    {
        if (Find(message, "tool_calls") is not { } list) return null;
        path += ".tool_calls";
        var made = new ToolCall[Array(list, path, MaxTools)];
        int at = 0;
        foreach (JsonElement one in list.EnumerateArray())
        {
            string place = $"{path}[{at}]";
            if (one.ValueKind != JsonValueKind.Object) throw WrongType(place, "an object", one);
            if (Find(one, "function") is not { } function) throw Missing($"{place}.function");
            if (function.ValueKind != JsonValueKind.Object) throw WrongType($"{place}.function", "an object", function);
            string name = Text(function, "name", $"{place}.function") is { Length: > 0 } given ? given : throw Missing($"{place}.function.name");
            string id = Text(one, "id", place) ?? $"call_{calls}";
            made[at++] = new ToolCall(id, name, ReadArguments(function, $"{place}.function.arguments"));
            calls++;
        }
        return made.Length == 0 ? null : made;
    }

    // Written without escapes where there were any, so that what templates print can be seen in the text.
    private static string ReadArguments(JsonElement function, string path)
    {
        if (Find(function, "arguments") is not { } arguments) return "{}";
        string text = arguments.ValueKind switch
        {
            JsonValueKind.String => arguments.GetString()!,
            JsonValueKind.Object => arguments.GetRawText(),
            _ => throw WrongType(path, "JSON text of an object", arguments),
        };
        JsonNode? node;
        try
        {
            node = JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            throw FlintException.Caller("invalid_tool_arguments", $"{path} is not JSON");
        }
        if (node is not JsonObject) throw FlintException.Caller("invalid_tool_arguments", $"{path} is JSON, but not of an object");
        Touch(node);
        return text.Contains('\\') ? node.ToJsonString(Unescaped) : text;
    }

    private static ToolDefinition[] ReadTools(JsonElement line)
    {
        if (Find(line, "tools") is not { } list) return [];
        var tools = new ToolDefinition[Array(list, "tools", MaxTools)];
        int at = 0;
        foreach (JsonElement one in list.EnumerateArray())
        {
            if (one.ValueKind != JsonValueKind.Object) throw WrongType($"tools[{at}]", "an object", one);
            try
            {
                JsonNode? node = JsonNode.Parse(one.GetRawText());
                Touch(node);
                tools[at] = ToolDefinition.From(node);
            }
            catch (FlintException)
            {
                throw FlintException.Caller("invalid_tool", $"tools[{at}] is not a function with a name");
            }
            at++;
        }
        return tools;
    }

    // Nodes are read as needed; reading them all here makes a fault show while its line is known.
    private static void Touch(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject map:
                foreach ((string _, JsonNode? value) in map) Touch(value);
                break;
            case JsonArray array:
                foreach (JsonNode? one in array) Touch(one);
                break;
            case JsonValue value when value.GetValueKind() == JsonValueKind.String:
                value.GetValue<string>();
                break;
        }
    }

    private static JsonElement? Find(JsonElement owner, string name) =>
        owner.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static string? Text(JsonElement owner, string name, string path)
    {
        if (Find(owner, name) is not { } value) return null;
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw WrongType(path.Length == 0 ? name : $"{path}.{name}", "a string", value);
    }

    private static int Array(JsonElement value, string path, int most)
    {
        if (value.ValueKind != JsonValueKind.Array) throw WrongType(path, "a list", value);
        int count = value.GetArrayLength();
        return count <= most ? count : throw FlintException.Caller("too_many", $"{path} has {count} entries; the most is {most}");
    }

    private static FlintException Missing(string path) => FlintException.Caller("missing", $"{path} is missing");

    private static FlintException WrongType(string path, string expected, JsonElement found) =>
        FlintException.Caller("wrong_type", $"{path} is {Name(found.ValueKind)}; expected {expected}");

    private static string Name(JsonValueKind kind) => kind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.Null => "null",
        _ => "a truth value",
    };

    private static string Short(string text) => text.Length <= 40 ? text : text[..40] + "…";
}
