using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>Reads <c>system</c>, <c>messages</c>, <c>tools</c> and <c>tool_choice</c> of a request to <c>/v1/messages</c>.</summary>
internal static class AnthropicConversation
{
    private const string Text = "text", Thinking = "thinking", Use = "tool_use", Result = "tool_result";

    /// <summary>A block of content; the text of a call is its arguments.</summary>
    private readonly record struct Block(string Type, string Text, string Path, string Id = "", string Name = "");

    private sealed record Turn(string Role, List<Block> Blocks);

    /// <summary>Reads a request's body.</summary>
    /// <returns>The conversation, and whether one answer may call several tools.</returns>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static (ChatConversation Conversation, bool ParallelToolCalls) Read(JsonFields body)
    {
        var messages = new List<ChatMessage>();
        if (body.TryGet("system", out _))
            messages.Add(new ChatMessage { Role = "system", Content = Lines(ReadContent(body, "system", "system")) });
        var calls = new HashSet<string>(StringComparer.Ordinal);
        foreach (Turn turn in ReadTurns(body))
        {
            if (turn.Role == "system")
                messages.Add(new ChatMessage { Role = "system", Content = Lines(turn.Blocks) });
            else if (turn.Role == "user")
                AddUser(messages, turn, calls);
            else
                messages.Add(Assistant(turn, calls));
        }

        var strict = new List<string>();
        List<ToolDefinition> tools = ReadTools(body, strict);
        ToolChoice choice = ReadToolChoice(body, tools, out bool parallel);
        return (new ChatConversation { Messages = messages, Tools = choice.Offers ? tools : [], StrictTools = choice.Offers ? strict : [], ToolChoice = choice }, parallel);
    }

    // Neighbours of one role are one turn.
    private static List<Turn> ReadTurns(JsonFields body)
    {
        if (body.Array("messages", ApiLimits.MaxMessages, minLength: 1) is not JsonElement array)
            throw ApiException.Missing("messages");
        var turns = new List<Turn>();
        int index = 0;
        foreach (JsonElement one in array.EnumerateArray())
        {
            JsonFields message = JsonFields.Object(one, $"messages[{index++}]");
            string role = message.Choice("role", "user", "assistant", "system") ?? throw ApiException.Missing(message.PathOf("role"));
            if (!message.TryGet("content", out _))
                throw ApiException.Missing(message.PathOf("content"));
            List<Block> blocks = ReadContent(message, "content", role);
            if (turns.Count == 0 || turns[^1].Role != role)
            {
                turns.Add(new Turn(role, blocks));
                continue;
            }

            if (turns[^1].Blocks is [.., { Type: Text }] && blocks is [{ Type: Text }, ..])
                turns[^1].Blocks.Add(new Block(Text, "\n", ""));
            turns[^1].Blocks.AddRange(blocks);
        }

        if (turns[^1].Role == "assistant")
            throw ApiException.Unsupported("messages", "Unsupported value: the last of 'messages' is the assistant's, and this server cannot go on with an answer begun by the caller. It must be the user's.");
        return turns;
    }

    private static List<Block> ReadContent(JsonFields holder, string name, string role)
    {
        string path = holder.PathOf(name);
        holder.TryGet(name, out JsonElement content);
        if (content.ValueKind == JsonValueKind.String)
            return [new Block(Text, JsonFields.Text(content, path), path)];
        if (content.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType(path, "a string or an array of content blocks", content);
        var blocks = new List<Block>();
        int index = 0;
        foreach (JsonElement one in JsonFields.Array(content, path, ApiLimits.MaxParts).EnumerateArray())
        {
            if (ReadBlock(JsonFields.Object(one, $"{path}[{index++}]"), role) is Block block)
                blocks.Add(block);
        }

        return blocks;
    }

    private static Block? ReadBlock(JsonFields block, string role)
    {
        string type = block.RequiredText("type");
        switch (type, role)
        {
            case (Text, _):
                return new Block(Text, block.RequiredText("text"), block.Path);
            case (Thinking, "assistant"):
                return new Block(Thinking, block.RequiredText("thinking"), block.Path);
            case ("redacted_thinking", "assistant"):
                return null; // for another server's eyes
            case (Use, "assistant"):
                JsonFields input = block.Object("input") ?? throw ApiException.Missing(block.PathOf("input"));
                string arguments = ChatConversation.NodeOf(input.Element, input.Path)!.ToJsonString();
                return new Block(Use, ChatConversation.Unescape(arguments), block.Path, block.RequiredText("id"), block.RequiredText("name"));
            case (Result, "user"):
                string text = block.TryGet("content", out _) ? Lines(ReadContent(block, "content", Result)) : "";
                if (block.Flag("is_error") == true)
                    text = text.Length == 0 ? "Error" : $"Error: {text}";
                return new Block(Result, text, block.Path, block.RequiredText("tool_use_id"));
            case ("image" or "document" or "search_result" or "container_upload" or "server_tool_use" or "web_search_tool_result" or "web_fetch_tool_result"
                or "code_execution_tool_result" or "mcp_tool_use" or "mcp_tool_result" or "tool_reference", _):
                throw ApiException.Unsupported(block.PathOf("type"), $"Unsupported value: content of type '{type}'. This model reads text only.");
            default:
                throw JsonFields.InvalidChoice(block.PathOf("type"), type, role switch
                {
                    "assistant" => [Text, Thinking, "redacted_thinking", Use],
                    "user" => [Text, Result],
                    _ => [Text],
                });
        }
    }

    private static void AddUser(List<ChatMessage> messages, Turn turn, HashSet<string> calls)
    {
        var parts = new List<ContentPart>();
        foreach (Block block in turn.Blocks)
        {
            if (block.Type == Text)
            {
                parts.Add(ContentPart.OfText(block.Text));
                continue;
            }

            if (!calls.Contains(block.Id))
                throw ApiException.Invalid($"{block.Path}.tool_use_id", "invalid_value", $"Invalid '{block.Path}.tool_use_id': no 'tool_use' block before it has the id '{ApiException.Shorten(block.Id)}'.");
            Flush();
            messages.Add(new ChatMessage { Role = "tool", Content = block.Text, ToolCallId = block.Id });
        }

        if (parts.Count > 0 || turn.Blocks.Count == 0)
            Flush(always: true);

        void Flush(bool always = false)
        {
            if (parts.Count > 1)
                messages.Add(new ChatMessage { Role = "user", Parts = [.. parts] });
            else if (parts.Count == 1 || always)
                messages.Add(new ChatMessage { Role = "user", Content = parts.Count == 1 ? parts[0].Text : "" });
            parts.Clear();
        }
    }

    private static ChatMessage Assistant(Turn turn, HashSet<string> calls)
    {
        string[] Of(string type) => [.. turn.Blocks.Where(block => block.Type == type).Select(block => block.Text)];
        ToolCall[] made = [.. turn.Blocks.Where(block => block.Type == Use).Select(block => new ToolCall(block.Id, block.Name, block.Text))];
        foreach (ToolCall call in made)
            calls.Add(call.Id);
        return new ChatMessage
        {
            Role = "assistant",
            Content = Of(Text) is { Length: > 0 } texts ? string.Concat(texts) : made.Length > 0 ? null : "",
            ReasoningContent = Of(Thinking) is { Length: > 0 } thoughts ? string.Concat(thoughts) : null,
            ToolCalls = made.Length > 0 ? made : null,
        };
    }

    private static string Lines(IEnumerable<Block> blocks) => string.Join('\n', blocks.Select(block => block.Text));

    private static List<ToolDefinition> ReadTools(JsonFields body, List<string> strict)
    {
        var tools = new List<ToolDefinition>();
        if (body.Array("tools", ApiLimits.MaxTools) is not JsonElement array)
            return tools;
        foreach (JsonElement one in array.EnumerateArray())
        {
            JsonFields tool = JsonFields.Object(one, $"tools[{tools.Count}]");
            if (tool.Text("type") is { } type && type != "custom")
                throw ApiException.Unsupported(tool.PathOf("type"), $"Unsupported value: tools of type '{ApiException.Shorten(type)}', which this server does not have. Supported values are: 'custom'.");
            string name = ChatConversation.ReadToolName(tool, strict, ApiLimits.MaxAnthropicToolName, tools);
            JsonFields schema = tool.Object("input_schema") ?? throw ApiException.Missing(tool.PathOf("input_schema"));
            tools.Add(ToolDefinition.Create(name, tool.Text("description"), (JsonObject)ChatConversation.NodeOf(schema.Element, schema.Path)!));
        }

        return tools;
    }

    private static ToolChoice ReadToolChoice(JsonFields body, List<ToolDefinition> tools, out bool parallel)
    {
        parallel = true;
        if (body.Object(ToolChoice.Field) is not JsonFields choice)
            return new ToolChoice();
        string type = choice.RequiredText("type");
        parallel = choice.Flag("disable_parallel_tool_use") != true;
        switch (type)
        {
            case "none":
                return new ToolChoice(Offers: false);
            case "any":
                return ToolChoice.Forced(tools, null, choice.PathOf("type"));
            case "tool":
                return ToolChoice.Forced(tools, choice.RequiredText("name"), choice.PathOf("name"));
            case "auto" when tools.Count == 0 && SubagentFields.Find(body) is null:
                throw ApiException.Invalid("tool_choice", "invalid_value", "Invalid 'tool_choice': it is only allowed when 'tools' are specified.");
            case "auto":
                return new ToolChoice();
            default:
                throw JsonFields.InvalidChoice(choice.PathOf("type"), type, ["auto", "none", "any", "tool"]);
        }
    }
}
