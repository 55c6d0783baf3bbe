using System.Text.Json.Nodes;

namespace Flint.Dialects;

/// <summary>
/// Renders conversations so that control tokens written out in their texts can be told from the template's own. What the
/// template makes of marked texts must be, but for the marks, what it makes of the plain ones; where a template looks inside a
/// text and that is not so, fewer texts are marked, and as a last resort the conversation is refused.
/// </summary>
public static class PromptRenderer
{
    /// <summary>Renders a conversation.</summary>
    /// <returns>The prompt, and the mark in it; null where no text had to be marked.</returns>
    /// <exception cref="FlintException">Caller: the template refuses the conversation, or hides a control token written out in it.</exception>
    public static (string Prompt, char? Mark) Render(ChatTemplate template, TemplateInput input, ControlText controls)
    {
        char? mark = FindMark(template, input, controls);
        return (Render(template, input, controls, mark), mark);
    }

    /// <summary>A character that can mark the texts of a conversation; null where none of them has to be marked.</summary>
    /// <exception cref="FlintException">Caller: all candidates are taken.</exception>
    public static char? FindMark(ChatTemplate template, TemplateInput input, ControlText controls)
    {
        List<string> texts = [.. Texts(input)];
        if (!texts.Exists(controls.IsIn)) return null;
        return ControlText.FindMark(texts.Append(template.Source))
            ?? throw FlintException.Caller("control_token", "The conversation holds a control token of this model and every character that could mark it as text.");
    }

    /// <summary>Renders a conversation, marked by <paramref name="mark"/> where there is one.</summary>
    /// <exception cref="FlintException">Caller: the template refuses the conversation, or hides a control token written out in it.</exception>
    public static string Render(ChatTemplate template, TemplateInput input, ControlText controls, char? mark)
    {
        string plain = template.Render(input);
        if (mark is not char found) return plain;
        // A template may take an assistant's old message apart at tokens such as </think>: then that one stays as it is.
        foreach (bool assistants in (bool[])[true, false])
        {
            string marked = TryRender(template, Mark(input, text => controls.Mark(text, found), assistants));
            if (marked.Replace(found.ToString(), "") == plain) return marked;
        }

        throw FlintException.Caller("control_token", "A message holds a control token of this model, written out as text, where the model's chat template does not let it stay text.");
    }

    private static string TryRender(ChatTemplate template, TemplateInput input)
    {
        try
        {
            return template.Render(input);
        }
        catch (FlintException)
        {
            return "";
        }
    }

    private static IEnumerable<string> Texts(TemplateInput input)
    {
        foreach (ChatMessage message in input.Messages)
        {
            foreach (string? text in (string?[])[message.Content, message.ReasoningContent, message.Name, message.ToolCallId])
            {
                if (text is not null)
                    yield return text;
            }

            foreach (ContentPart part in message.Parts ?? [])
            {
                if (part.Text is not null)
                    yield return part.Text;
            }

            foreach (ToolCall call in message.ToolCalls ?? [])
            {
                yield return call.Id;
                yield return call.Name;
                yield return call.Arguments;
            }
        }

        foreach (ToolDefinition tool in input.Tools)
        {
            foreach (string text in Strings(tool.Json))
                yield return text;
        }

        foreach (object? value in input.Extra.Values)
        {
            foreach (string text in value is string own ? [own] : value is JsonNode node ? Strings(node) : [])
                yield return text;
        }
    }

    private static IEnumerable<string> Strings(JsonNode? node) => node switch
    {
        JsonObject map => map.SelectMany(entry => Strings(entry.Value).Prepend(entry.Key)),
        JsonArray array => array.SelectMany(Strings),
        JsonValue value when value.TryGetValue(out string? text) => [text],
        _ => [],
    };

    private static TemplateInput Mark(TemplateInput input, Func<string, string> mark, bool assistants) => new()
    {
        Messages = [.. input.Messages.Select(message => message.Role == "assistant" && !assistants ? message : Mark(message, mark))],
        Tools = [.. input.Tools.Select(tool => ToolDefinition.From(Mark(tool.Json, mark)))],
        Extra = input.Extra.ToDictionary(entry => entry.Key, entry => entry.Value switch
        {
            string text => mark(text),
            JsonNode node => Mark(node, mark),
            _ => entry.Value,
        }),
        AddGenerationPrompt = input.AddGenerationPrompt,
        BosToken = input.BosToken,
        EosToken = input.EosToken,
        Now = input.Now,
    };

    private static ChatMessage Mark(ChatMessage message, Func<string, string> mark) => new()
    {
        Role = message.Role,
        Content = Mark(message.Content, mark),
        Parts = message.Parts?.Select(part => part with { Text = Mark(part.Text, mark) }).ToList(),
        ReasoningContent = Mark(message.ReasoningContent, mark),
        Name = Mark(message.Name, mark),
        ToolCallId = Mark(message.ToolCallId, mark),
        ToolCalls = message.ToolCalls?.Select(call => new ToolCall(mark(call.Id), mark(call.Name), mark(call.Arguments))).ToList(),
        Extra = message.Extra,
    };

    private static string? Mark(string? text, Func<string, string> mark) => text is null ? null : mark(text);

    private static JsonNode? Mark(JsonNode? node, Func<string, string> mark) => node switch
    {
        JsonObject map => new JsonObject(map.Select(entry => KeyValuePair.Create(mark(entry.Key), Mark(entry.Value, mark)))),
        JsonArray array => new JsonArray([.. array.Select(one => Mark(one, mark))]),
        JsonValue value when value.TryGetValue(out string? text) => JsonValue.Create(mark(text)),
        _ => node?.DeepClone(),
    };
}
