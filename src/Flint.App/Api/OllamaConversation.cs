using System.Text.Json;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>Reads <c>messages</c> and <c>tools</c> of a request to <c>/api/chat</c>.</summary>
internal static class OllamaConversation
{
    /// <summary>Reads a request's body; null where it has no messages.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static ChatConversation? Read(JsonFields body)
    {
        var strict = new List<string>();
        List<ToolDefinition> tools = OpenAiConversation.ReadTools(body, strict);
        if (body.Array("messages", ApiLimits.MaxMessages) is not JsonElement array || array.GetArrayLength() == 0)
            return null;
        var messages = new List<ChatMessage>(array.GetArrayLength());
        var open = new List<ToolCall>(); // without a result yet
        foreach (JsonElement one in array.EnumerateArray())
        {
            JsonFields message = JsonFields.Object(one, $"messages[{messages.Count}]");
            string role = message.Choice("role", "system", "user", "assistant", "tool") ?? throw ApiException.Missing(message.PathOf("role"));
            RefuseImages(message);
            List<ToolCall>? calls = role == "assistant" ? ReadCalls(message, messages.Count) : null;
            if (calls is not null)
                open.AddRange(calls);
            string? tool = role == "tool" ? message.Text("tool_name") : null;
            messages.Add(new ChatMessage
            {
                Role = role,
                Content = message.Text("content") ?? "",
                ReasoningContent = role == "assistant" ? message.Text("thinking") : null,
                ToolCalls = calls,
                Name = tool,
                ToolCallId = role == "tool" ? message.Text("tool_call_id") ?? Take(open, tool) : null,
            });
        }

        return new ChatConversation { Messages = messages, Tools = tools, StrictTools = strict };
    }

    /// <summary>A conversation of one prompt.</summary>
    public static ChatConversation Of(string? system, string prompt)
    {
        var user = new ChatMessage { Role = "user", Content = prompt };
        return new ChatConversation { Messages = string.IsNullOrEmpty(system) ? [user] : [new ChatMessage { Role = "system", Content = system }, user] };
    }

    /// <summary>Refuses images.</summary>
    public static void RefuseImages(JsonFields holder)
    {
        if (holder.Array("images", int.MaxValue) is JsonElement images && images.GetArrayLength() > 0)
            throw ApiException.Unsupported(holder.PathOf("images"), $"Unsupported parameter: '{holder.PathOf("images")}'. This model reads text only.");
    }

    // Results need not say which call they answer: the first open one of that tool, else the first open one.
    private static string Take(List<ToolCall> open, string? tool)
    {
        int at = Math.Max(0, open.FindIndex(call => call.Name == tool));
        if (at >= open.Count)
            return tool ?? "call";
        string id = open[at].Id;
        open.RemoveAt(at);
        return id;
    }

    private static List<ToolCall>? ReadCalls(JsonFields message, int index)
    {
        if (message.Array("tool_calls", ApiLimits.MaxTools) is not JsonElement array || array.GetArrayLength() == 0)
            return null;
        var calls = new List<ToolCall>();
        foreach (JsonElement one in array.EnumerateArray())
        {
            JsonFields call = JsonFields.Object(one, $"{message.PathOf("tool_calls")}[{calls.Count}]");
            JsonFields function = call.Object("function") ?? throw ApiException.Missing(call.PathOf("function"));
            string arguments = function.Object("arguments") is JsonFields given ? ChatConversation.NodeOf(given.Element, given.Path)!.ToJsonString() : "{}";
            calls.Add(new ToolCall(call.Text("id") ?? $"call_{index}_{calls.Count}", function.RequiredText("name"), ChatConversation.Unescape(arguments)));
        }

        return calls;
    }
}
