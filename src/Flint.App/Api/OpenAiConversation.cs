using System.Text.Json;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>Reads <c>messages</c>, <c>tools</c> and <c>tool_choice</c> of a request to <c>/v1/chat/completions</c>.</summary>
internal static class OpenAiConversation
{
    /// <summary>Reads a request's body.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static ChatConversation Read(JsonFields body)
    {
        if (body.Array("messages", ApiLimits.MaxMessages, minLength: 1) is not JsonElement array)
            throw ApiException.Missing("messages");
        var messages = new List<ChatMessage>(array.GetArrayLength());
        foreach (JsonElement one in array.EnumerateArray())
            messages.Add(ReadMessage(JsonFields.Object(one, $"messages[{messages.Count}]")));
        var strict = new List<string>();
        List<ToolDefinition> tools = ReadTools(body, strict);
        ToolChoice choice = ToolChoice.Read(body, tools);
        if (choice.Offers && tools.Count == 0 && body.TryGet("tool_choice", out _) && SubagentFields.Find(body) is null)
            throw ApiException.Invalid("tool_choice", "invalid_value", "Invalid 'tool_choice': it is only allowed when 'tools' are specified.");
        return new ChatConversation { Messages = messages, Tools = choice.Offers ? tools : [], StrictTools = choice.Offers ? strict : [], ToolChoice = choice };
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
            calls.Add(new ToolCall(call.RequiredText("id"), function.RequiredText("name"), ChatConversation.Unescape(function.RequiredText("arguments"))));
        }

        return calls;
    }

    /// <summary>Reads <c>tools</c>, of any API that has them in this shape.</summary>
    /// <param name="body">The request's body.</param>
    /// <param name="strict">Receives the names of those whose arguments must be of their schema.</param>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static List<ToolDefinition> ReadTools(JsonFields body, List<string> strict)
    {
        var tools = new List<ToolDefinition>();
        int index = 0;
        if (body.Array("tools", ApiLimits.MaxTools) is not JsonElement array)
            return tools;
        foreach (JsonElement one in array.EnumerateArray())
        {
            JsonFields tool = JsonFields.Object(one, $"tools[{index++}]");
            if (tool.RequiredText("type") == SubagentFields.Name)
                continue; // read with the field of that name
            CheckType(tool);
            JsonFields function = tool.Object("function") ?? throw ApiException.Missing(tool.PathOf("function"));
            ChatConversation.ReadToolName(function, strict, ApiLimits.MaxToolName);
            function.Text("description");
            function.Object("parameters");
            tools.Add(ToolDefinition.From(ChatConversation.NodeOf(one, tool.Path)));
        }

        return tools;
    }

    private static void CheckType(JsonFields value)
    {
        string type = value.RequiredText("type");
        if (type != "function")
            throw JsonFields.InvalidChoice(value.PathOf("type"), type, ["function"]);
    }
}
