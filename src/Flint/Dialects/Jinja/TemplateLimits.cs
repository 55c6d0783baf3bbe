namespace Flint.Dialects;

/// <summary>What one template and one rendering may cost. A hostile template ends in an error at one of these, never in a hang.</summary>
internal static class TemplateLimits
{
    /// <summary>Characters of template source.</summary>
    public const int SourceLength = 1 << 20;

    /// <summary>Nesting of blocks, brackets and operators in the source.</summary>
    public const int Nesting = 200;

    /// <summary>Evaluation steps of one rendering: nodes run, items visited, and text handled in units of 16 characters.</summary>
    public const long Steps = 32_000_000;

    /// <summary>Characters of rendered output, and of any one string.</summary>
    public const int TextLength = 1 << 24;

    /// <summary>Memory created over a whole rendering, dropped values included, in characters.</summary>
    public const long Allocation = 1L << 27;

    /// <summary>Values in one list, tuple or mapping, counting what it nests.</summary>
    public const int Weight = 1 << 22;

    /// <summary>Macro calls and recursive loops inside one another.</summary>
    public const int CallDepth = 200;

    /// <summary>Numbers in one range, as in Jinja2's sandbox.</summary>
    public const int Range = 100_000;

    /// <summary>Bits of an integer.</summary>
    public const int IntegerBits = 1 << 16;

    /// <summary>Digits of an integer read from or printed as text, as in Python.</summary>
    public const int IntegerDigits = 4300;

    /// <summary>Digits after the point, and field widths that numbers are formatted with.</summary>
    public const int FormatPrecision = 1000;
}
