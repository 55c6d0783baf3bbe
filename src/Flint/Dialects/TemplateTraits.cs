using System.Text.Json.Nodes;

namespace Flint.Dialects;

/// <summary>
/// What a template can take, found by rendering small conversations with it: templates differ in whether call arguments are
/// mappings or JSON text, and whether content may be a list of parts.
/// </summary>
internal sealed class TemplateTraits
{
    private const string Needle = "qzneedleqz";

    private readonly Func<TemplateInput, TemplateTraits, string> render;

    private TemplateTraits(Func<TemplateInput, TemplateTraits, string> render) => this.render = render;

    /// <summary>Call arguments are handed over as the JSON text they came as.</summary>
    public bool ArgumentsAsText { get; private set; }

    /// <summary>Content in parts is joined to one string.</summary>
    public bool ContentAsText { get; private set; }

    /// <summary>Content in one string is made a list of one part.</summary>
    public bool ContentAsParts { get; private set; }

    /// <summary>The template knows the developer's role itself.</summary>
    public bool KnowsDeveloper { get; private init; }

    /// <summary>Examines a template; <paramref name="render"/> renders an input under assumed traits and throws on failure.</summary>
    public static TemplateTraits Examine(IReadOnlySet<string> constants, Func<TemplateInput, TemplateTraits, string> render)
    {
        var traits = new TemplateTraits(render) { KnowsDeveloper = constants.Contains("developer") };
        ChatMessage text = new() { Role = "user", Content = Needle };
        ChatMessage parts = new() { Role = "user", Parts = [ContentPart.OfText(Needle)] };
        bool takesText = traits.Shows(text);
        bool takesParts = traits.Shows(parts);
        traits.ContentAsParts = !takesText && takesParts;
        traits.ContentAsText = takesText && !takesParts;
        if (!traits.ShowsCall())
        {
            traits.ArgumentsAsText = true;
            traits.ArgumentsAsText = traits.ShowsCall();
        }

        return traits;
    }

    private bool Shows(ChatMessage message) => Try(new TemplateInput { Messages = [message] }) is { } text && text.Contains(Needle) && !text.Contains("'" + Needle);

    private bool ShowsCall()
    {
        ToolDefinition tool = ToolDefinition.Create("probe", "Probe.", new JsonObject
        {
            ["type"] = "object",
            ["properties"] = new JsonObject { ["key"] = new JsonObject { ["type"] = "string", ["description"] = "Key." } },
            ["required"] = new JsonArray("key"),
        });
        string? text = Try(new TemplateInput
        {
            Messages =
            [
                new ChatMessage { Role = "user", Content = "Go." },
                new ChatMessage { Role = "assistant", Content = "", ToolCalls = [new ToolCall("call00001", "probe", $"{{\"key\": \"{Needle}\"}}")] },
                new ChatMessage { Role = "tool", Name = "probe", ToolCallId = "call00001", Content = "Done." },
            ],
            Tools = [tool],
        });

        // Python's own notation of a mapping, or JSON quoted twice, is what a template prints that expects the other form.
        return text is not null && text.Contains(Needle) && !text.Contains("'" + Needle + "'}") && !text.Contains("\\\"" + Needle);
    }

    private string? Try(TemplateInput input)
    {
        try
        {
            return render(input, this);
        }
        catch (TemplateFault)
        {
            return null;
        }
    }
}
