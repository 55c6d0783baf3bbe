using System.Text.Json.Nodes;

namespace Flint.Dialects;

/// <summary>The variables that a template sees, made from a conversation.</summary>
internal static class TemplateVariables
{
    /// <summary>All variables of a rendering.</summary>
    public static IEnumerable<KeyValuePair<string, object?>> Of(TemplateInput input, TemplateTraits traits)
    {
        yield return new("messages", PySequence.Make([.. input.Messages.Select(m => Message(m, traits))], false));
        yield return new("tools", input.Tools.Count == 0 ? null : PySequence.Make([.. input.Tools.Select(t => JsonValues.From((object?)t.Json))], false));
        yield return new("documents", null);
        yield return new("add_generation_prompt", Integers.Box(input.AddGenerationPrompt));
        if (input.BosToken is not null)
            yield return new("bos_token", input.BosToken);
        if (input.EosToken is not null)
            yield return new("eos_token", input.EosToken);
        foreach (KeyValuePair<string, object?> extra in input.Extra)
            yield return new(extra.Key, JsonValues.From(extra.Value));
    }

    private static PyDict Message(ChatMessage message, TemplateTraits traits)
    {
        bool developer = message.Role == "developer" && !traits.KnowsDeveloper;
        var dict = new PyDict { ["role"] = developer ? "system" : message.Role, ["content"] = Content(message, traits) };
        if (message.ReasoningContent is not null)
            dict["reasoning_content"] = message.ReasoningContent;
        if (message.ToolCalls is { Count: > 0 } calls)
            dict["tool_calls"] = PySequence.Make([.. calls.Select(c => Call(c, traits))], false);
        if (message.ToolCallId is not null)
            dict["tool_call_id"] = message.ToolCallId;
        if (message.Name is not null)
            dict["name"] = message.Name;
        if (message.Extra is null)
            return dict;
        foreach (KeyValuePair<string, JsonNode?> extra in message.Extra)
        {
            if (!dict.Contains(extra.Key))
                dict[extra.Key] = JsonValues.From((object?)extra.Value);
        }

        return dict;
    }

    private static object? Content(ChatMessage message, TemplateTraits traits)
    {
        if (message.Parts is null)
            return message.Content is not null && traits.ContentAsParts ? PySequence.List(Part(ContentPart.OfText(message.Content))) : message.Content;
        if (!traits.ContentAsText)
            return PySequence.Make([.. message.Parts.Select(Part)], false);
        ContentPart? other = message.Parts.FirstOrDefault(p => p.Type != "text");
        if (other is not null)
            throw FlintException.Caller("unsupported_content", $"this model's template takes text only, and a {message.Role} message has a part of type {other.Type}");
        return string.Concat(message.Parts.Select(p => p.Text));
    }

    private static PyDict Part(ContentPart part)
    {
        var dict = new PyDict { ["type"] = part.Type };
        if (part.Text is not null)
            dict["text"] = part.Text;
        return dict;
    }

    private static PyDict Call(ToolCall call, TemplateTraits traits)
    {
        object? arguments = call.Arguments;
        if (!traits.ArgumentsAsText)
        {
            if (!JsonValues.TryParse(string.IsNullOrWhiteSpace(call.Arguments) ? "{}" : call.Arguments, out arguments) || arguments is not PyDict)
                throw FlintException.Caller("invalid_tool_arguments", $"the arguments of call {call.Id} to {call.Name} must be a JSON object");
        }

        return new PyDict
        {
            ["id"] = call.Id,
            ["type"] = "function",
            ["function"] = new PyDict { ["name"] = call.Name, ["arguments"] = arguments },
        };
    }
}
