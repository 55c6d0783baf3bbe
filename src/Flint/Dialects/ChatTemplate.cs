
namespace Flint.Dialects;

/// <summary>
/// A model's chat template: Jinja2 as the Transformers library sets it up (<c>trim_blocks</c>, <c>lstrip_blocks</c>, loop
/// controls, the <c>generation</c> tag, an immutable sandbox). Immutable and safe to share between threads.
/// </summary>
public sealed class ChatTemplate
{
    private readonly CompiledTemplate template;
    private readonly Lazy<TemplateTraits> traits;

    private ChatTemplate(string source)
    {
        Source = source;
        template = CompiledTemplate.Compile(source);
        traits = new Lazy<TemplateTraits>(() => TemplateTraits.Examine(template.Constants, RenderWith));
    }

    /// <summary>The template's text.</summary>
    public string Source { get; }

    /// <summary>Parses a template.</summary>
    /// <exception cref="FlintException">Caller: the text is not a template, with the line where it fails.</exception>
    public static ChatTemplate Parse(string source)
    {
        try
        {
            return new ChatTemplate(source);
        }
        catch (TemplateFault fault)
        {
            throw Translate(fault);
        }
    }

    /// <summary>
    /// Renders a conversation. Call arguments, content parts and the developer's role are given to the template in the form that
    /// it handles.
    /// </summary>
    /// <exception cref="FlintException">Caller: the template raised, cannot take the conversation, or met a limit.</exception>
    public string Render(TemplateInput input)
    {
        try
        {
            return RenderWith(input, traits.Value);
        }
        catch (TemplateFault fault)
        {
            throw Translate(fault);
        }
    }

    /// <summary>Renders with variables as they are.</summary>
    internal string Render(Func<IEnumerable<KeyValuePair<string, object?>>> variables, DateTimeOffset now) => template.Render(variables, now);

    private string RenderWith(TemplateInput input, TemplateTraits assumed) => template.Render(() => TemplateVariables.Of(input, assumed), input.Now);

    private static FlintException Translate(TemplateFault fault)
    {
        string where = fault.Line > 0 ? $" at line {fault.Line}" : "";
        string code = fault.IsLimit ? "template_limit" : fault.Kind is "TemplateSyntaxError" or "TemplateAssertionError" ? "template_syntax" : "template_error";
        string what = fault.Kind is "TemplateError" || fault.IsLimit ? fault.Message : $"{fault.Kind}: {fault.Message}";
        return new FlintException(FaultSide.Caller, code, $"the chat template fails{where}: {what}", fault);
    }
}
