using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.Dialects;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// Reads the items of a request to <c>/v1/responses</c>, and those of the responses it goes on from, into messages: thoughts, text and
/// calls that follow one another are one message of the assistant's.
/// </summary>
/// <param name="stored">The responses kept.</param>
/// <param name="key">The key that asks.</param>
/// <param name="id">The id of the response asked for.</param>
internal sealed class ResponsesInput(Responses stored, long? key, string id)
{
    /// <summary>How what is kept is read: a body's fields stand deeper in a response than in the body.</summary>
    public static readonly JsonDocumentOptions Deep = new() { MaxDepth = 2 * ApiLimits.MaxJsonDepth };

    private readonly List<ChatMessage> _messages = [];
    private readonly HashSet<string> _calls = new(StringComparer.Ordinal);
    private readonly List<ToolCall> _made = []; // of the assistant's message being gathered, as are the next two
    private readonly StringBuilder _thoughts = new();
    private StringBuilder? _text;
    private int _items;

    /// <summary>The items of the request itself, each with an id, as they are kept and listed.</summary>
    public JsonArray Items { get; } = [];

    /// <summary>All messages.</summary>
    public IReadOnlyList<ChatMessage> Messages
    {
        get
        {
            EndAssistant();
            return _messages;
        }
    }

    /// <summary>Reads <c>instructions</c>, <c>previous_response_id</c> and <c>input</c>.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public void Read(JsonFields body)
    {
        if (body.Text("instructions") is string instructions)
            _messages.Add(new ChatMessage { Role = "system", Content = instructions });
        if (body.Text("previous_response_id") is string previous)
            AddChain(previous);
        if (!body.TryGet("input", out JsonElement input))
            throw ApiException.Missing("input");
        if (input.ValueKind == JsonValueKind.String)
        {
            using JsonDocument message = JsonDocument.Parse(new JsonObject { ["role"] = "user", ["content"] = JsonFields.Text(input, "input") }.ToJsonString());
            Items.Add(Add(JsonFields.Object(message.RootElement, "input")));
            return;
        }

        if (input.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType("input", "a string or an array of items", input);
        foreach (JsonElement one in JsonFields.Array(input, "input", ApiLimits.MaxMessages, minLength: 1).EnumerateArray())
            Items.Add(Add(JsonFields.Object(one, $"input[{Items.Count}]")));
    }

    /// <summary>The items of a response that is kept: what was asked, then what was answered.</summary>
    public static (JsonDocument Input, JsonDocument Response) Parse(StoredResponse response) =>
        (JsonDocument.Parse(response.Input, Deep), JsonDocument.Parse(response.Json, Deep));

    private void AddChain(string previous)
    {
        const string path = "previous_response_id";
        IReadOnlyList<StoredResponse> chain = stored.Chain(previous, key)
            ?? throw ApiException.Request(StatusCodes.Status404NotFound, "previous_response_not_found", $"Previous response with id '{ApiException.Shorten(previous)}' not found.", path);
        foreach (StoredResponse one in chain)
        {
            (JsonDocument input, JsonDocument response) = Parse(one);
            using (input)
            using (response)
            {
                string? status = response.RootElement.GetProperty("status").GetString();
                if (status is not ("completed" or "incomplete"))
                    throw ApiException.Invalid(path, "invalid_value", $"Invalid '{path}': the response '{one.Id}' is {status}, and only one that is completed or incomplete can be gone on from.");
                foreach (JsonElement item in input.RootElement.EnumerateArray().Concat(response.RootElement.GetProperty("output").EnumerateArray()))
                    Add(JsonFields.Object(item, path));
            }
        }
    }

    // Gives back the item as it is kept.
    private JsonObject Add(JsonFields item)
    {
        if (++_items > ApiLimits.MaxMessages)
            throw ApiException.Invalid("input", "array_above_max_length", $"Invalid 'input': with the responses before it there are more than {ApiLimits.MaxMessages} items.");
        string type = TypeOf(item);
        switch (type)
        {
            case "message":
                return AddMessage(item);
            case "reasoning":
                return AddReasoning(item);
            case "function_call":
                return AddCall(item);
            case "function_call_output":
                return AddResult(item);
            case "item_reference":
                return AddReference(item);
            case "file_search_call" or "web_search_call" or "computer_call" or "computer_call_output" or "image_generation_call" or "code_interpreter_call"
                or "local_shell_call" or "local_shell_call_output" or "shell_call" or "shell_call_output" or "apply_patch_call" or "apply_patch_call_output"
                or "mcp_list_tools" or "mcp_approval_request" or "mcp_approval_response" or "mcp_call" or "custom_tool_call" or "custom_tool_call_output" or "compaction":
                throw ApiException.Unsupported(item.PathOf("type"), $"Unsupported value: an item of type '{type}', of a tool that this server does not have. Functions are its only tools.");
            default:
                throw JsonFields.InvalidChoice(item.PathOf("type"), type, ["message", "reasoning", "function_call", "function_call_output", "item_reference"]);
        }
    }

    private static string TypeOf(JsonFields item)
    {
        if (item.Text("type") is string type)
            return type;
        if (item.TryGet("role", out _))
            return "message";
        return item.TryGet("id", out _) ? "item_reference" : throw ApiException.Missing(item.PathOf("type"));
    }

    private JsonObject AddMessage(JsonFields item)
    {
        string role = item.RequiredText("role");
        if (role is not ("user" or "assistant" or "system" or "developer"))
            throw JsonFields.InvalidChoice(item.PathOf("role"), role, ["user", "assistant", "system", "developer"]);
        if (!item.TryGet("content", out JsonElement content))
            throw ApiException.Missing(item.PathOf("content"));
        bool isAssistant = role == "assistant";
        List<string> texts = ReadTexts(content, item.PathOf("content"), isAssistant);
        if (isAssistant)
        {
            if (_text is not null)
                EndAssistant(); // another message of its own
            (_text ??= new StringBuilder()).AppendJoin("", texts);
        }
        else
        {
            EndAssistant();
            _messages.Add(texts.Count == 1
                ? new ChatMessage { Role = role, Content = texts[0] }
                : new ChatMessage { Role = role, Parts = [.. texts.Select(ContentPart.OfText)] });
        }

        var parts = new JsonArray();
        foreach (string text in texts)
            parts.Add(isAssistant ? new JsonObject { ["type"] = "output_text", ["text"] = text, ["annotations"] = new JsonArray(), ["logprobs"] = new JsonArray() } : TextPart(text));
        return new JsonObject { ["id"] = IdOf(item, "msg_"), ["type"] = "message", ["status"] = "completed", ["role"] = role, ["content"] = parts };
    }

    // Thoughts are readable here; a summary, or thoughts that only another server can read, are nothing to go on from.
    private JsonObject AddReasoning(JsonFields item)
    {
        List<string> thoughts = [];
        foreach (JsonFields part in PartsOf(item, "content"))
        {
            CheckType(part, "reasoning_text");
            thoughts.Add(part.RequiredText("text"));
        }

        var summary = new JsonArray();
        foreach (JsonFields part in PartsOf(item, "summary"))
        {
            CheckType(part, "summary_text");
            summary.Add(new JsonObject { ["type"] = "summary_text", ["text"] = part.RequiredText("text") });
        }

        item.Text("encrypted_content");
        if (_text is not null || _made.Count > 0)
            EndAssistant(); // thoughts come first
        _thoughts.AppendJoin("", thoughts);
        var content = new JsonArray();
        foreach (string thought in thoughts)
            content.Add(new JsonObject { ["type"] = "reasoning_text", ["text"] = thought });
        return new JsonObject { ["id"] = IdOf(item, "rs_"), ["type"] = "reasoning", ["status"] = "completed", ["summary"] = summary, ["content"] = content };
    }

    private JsonObject AddCall(JsonFields item)
    {
        string call = item.RequiredText("call_id"), name = item.RequiredText("name"), arguments = item.RequiredText("arguments");
        if (_made.Count == ApiLimits.MaxTools)
            throw ApiException.Invalid(item.Path, "array_above_max_length", $"Invalid '{item.Path}': more than {ApiLimits.MaxTools} calls follow one another.");
        _made.Add(new ToolCall(call, name, ChatConversation.Unescape(arguments)));
        _calls.Add(call);
        return new JsonObject { ["id"] = IdOf(item, "fc_"), ["type"] = "function_call", ["status"] = "completed", ["call_id"] = call, ["name"] = name, ["arguments"] = arguments };
    }

    private JsonObject AddResult(JsonFields item)
    {
        string call = item.RequiredText("call_id"), path = item.PathOf("output");
        if (!_calls.Contains(call))
            throw ApiException.Invalid(item.PathOf("call_id"), "invalid_value", $"No tool call found for function call output with call_id {ApiException.Shorten(call)}.");
        if (!item.TryGet("output", out JsonElement output))
            throw ApiException.Missing(path);
        List<string> texts = ReadTexts(output, path, isAssistant: false);
        EndAssistant();
        _messages.Add(new ChatMessage { Role = "tool", Content = string.Join('\n', texts), ToolCallId = call });
        JsonNode kept = output.ValueKind == JsonValueKind.String ? JsonValue.Create(texts[0]) : new JsonArray([.. texts.Select(TextPart)]);
        return new JsonObject { ["id"] = IdOf(item, "fco_"), ["type"] = "function_call_output", ["status"] = "completed", ["call_id"] = call, ["output"] = kept };
    }

    private JsonObject AddReference(JsonFields item)
    {
        string wanted = item.RequiredText("id");
        if (ResponseItem.TryParseId(wanted, out string response, out int place) && stored.Find(response, key) is { } found)
        {
            (JsonDocument input, JsonDocument output) = Parse(found);
            using (input)
            using (output)
            {
                JsonElement element = input.RootElement.EnumerateArray().Concat(output.RootElement.GetProperty("output").EnumerateArray()).ElementAtOrDefault(place);
                if (element.ValueKind == JsonValueKind.Object && element.TryGetProperty("id", out JsonElement its) && its.ValueEquals(wanted))
                    return Add(JsonFields.Object(element, item.Path));
            }
        }

        throw ApiException.Request(StatusCodes.Status404NotFound, "item_not_found", $"Item with id '{ApiException.Shorten(wanted)}' not found. Items are not kept where 'store' is false.", item.PathOf("id"));
    }

    private void EndAssistant()
    {
        if (_text is null && _made.Count == 0 && _thoughts.Length == 0)
            return;
        _messages.Add(new ChatMessage
        {
            Role = "assistant",
            Content = _text?.ToString() ?? (_made.Count > 0 ? null : ""),
            ReasoningContent = _thoughts.Length > 0 ? _thoughts.ToString() : null,
            ToolCalls = _made.Count > 0 ? [.. _made] : null,
        });
        _text = null;
        _thoughts.Clear();
        _made.Clear();
    }

    // A string, or parts of text.
    private static List<string> ReadTexts(JsonElement content, string path, bool isAssistant)
    {
        if (content.ValueKind == JsonValueKind.String)
            return [JsonFields.Text(content, path)];
        if (content.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType(path, "a string or an array of content parts", content);
        var texts = new List<string>();
        foreach (JsonElement one in JsonFields.Array(content, path, ApiLimits.MaxParts, minLength: isAssistant ? 0 : 1).EnumerateArray())
        {
            JsonFields part = JsonFields.Object(one, $"{path}[{texts.Count}]");
            string type = part.RequiredText("type");
            texts.Add(type switch
            {
                "input_text" or "output_text" or "text" => part.RequiredText("text"),
                "refusal" when isAssistant => part.RequiredText("refusal"),
                "input_image" or "input_file" or "input_audio" or "computer_screenshot" =>
                    throw ApiException.Unsupported(part.PathOf("type"), $"Unsupported value: content of type '{type}'. This model reads text only."),
                _ when isAssistant => throw JsonFields.InvalidChoice(part.PathOf("type"), type, ["output_text", "refusal"]),
                _ => throw JsonFields.InvalidChoice(part.PathOf("type"), type, ["input_text"]),
            });
        }

        return texts;
    }

    private static IEnumerable<JsonFields> PartsOf(JsonFields item, string name)
    {
        if (item.Array(name, ApiLimits.MaxParts) is not JsonElement array)
            yield break;
        int index = 0;
        foreach (JsonElement one in array.EnumerateArray())
            yield return JsonFields.Object(one, $"{item.PathOf(name)}[{index++}]");
    }

    private static void CheckType(JsonFields part, string type)
    {
        if (part.RequiredText("type") is var found && found != type)
            throw JsonFields.InvalidChoice(part.PathOf("type"), found, [type]);
    }

    private static JsonObject TextPart(string text) => new() { ["type"] = "input_text", ["text"] = text };

    private string IdOf(JsonFields item, string prefix)
    {
        string? given = item.Text("id");
        if (given?.Length > ApiLimits.MaxLabel)
            throw ApiException.Invalid(item.PathOf("id"), "string_above_max_length", $"Invalid '{item.PathOf("id")}': string too long. Expected at most {ApiLimits.MaxLabel} characters.");
        return given is { Length: > 0 } ? given : ResponseItem.NewId(prefix, id, Items.Count);
    }
}
