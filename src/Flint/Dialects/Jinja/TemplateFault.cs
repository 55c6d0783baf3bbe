namespace Flint.Dialects;

/// <summary>An error a template raises while it is parsed or rendered, named as Python names it.</summary>
internal sealed class TemplateFault : Exception
{
    public TemplateFault(string kind, string message, int line = 0)
        : base(message)
    {
        Kind = kind;
        Line = line;
    }

    /// <summary>The Python exception's name, such as <c>TypeError</c> or <c>UndefinedError</c>.</summary>
    public string Kind { get; }

    /// <summary>The template line, from 1; 0 while unknown.</summary>
    public int Line { get; set; }

    /// <summary>A limit of <see cref="TemplateLimits"/> was met.</summary>
    public bool IsLimit => Kind == "LimitError";

    public static TemplateFault Syntax(string message, int line) => new("TemplateSyntaxError", message, line);

    public static TemplateFault Type(string message) => new("TypeError", message);

    public static TemplateFault Value(string message) => new("ValueError", message);

    public static TemplateFault Runtime(string message) => new("TemplateRuntimeError", message);

    public static TemplateFault FilterArgument(string message) => new("FilterArgumentError", message);

    public static TemplateFault Limit(string message) => new("LimitError", message);
}
