namespace Flint.App.Policy;

/// <summary>What a rule looks for.</summary>
internal abstract class TextMatcher
{
    /// <summary>The longest span, in UTF-16 units: the most that is held back for it.</summary>
    public abstract int Reach { get; }

    /// <summary>Whether it is in a text.</summary>
    public abstract bool IsIn(string text);

    /// <summary>Begins to look for it in a text.</summary>
    /// <param name="from">The position before which no span begins. The buffer holds the character before it, if there is one.</param>
    public abstract TextScanner CreateScanner(int from);
}

/// <summary>A span that was found.</summary>
/// <param name="Start">Where it begins.</param>
/// <param name="End">The position behind it.</param>
/// <param name="IsCut">Whether it may go on: it is longer than spans are looked for.</param>
internal readonly record struct TextSpan(int Start, int End, bool IsCut = false);

/// <summary>Looks for spans in a text that grows. What it finds does not depend on the pieces in which the text comes.</summary>
internal abstract class TextScanner
{
    /// <summary>All spans that begin before this position are found.</summary>
    public int Settled { get; protected set; }

    /// <summary>Characters looked at so far, each as often as it was: the measure of the work.</summary>
    public long Steps { get; protected set; }

    /// <summary>Reads what is new in a text.</summary>
    /// <param name="text">The text. What stands two characters before <see cref="Settled"/> is not looked at again.</param>
    /// <param name="isWhole">Whether nothing follows.</param>
    /// <param name="into">Receives the spans found.</param>
    public abstract void Read(TextBuffer text, bool isWhole, List<TextSpan> into);
}
