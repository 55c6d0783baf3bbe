using static Flint.Tokens.CharClass;

namespace Flint.Tokens;

/// <summary>
/// The word patterns of the pre-tokenizers, by hand. Each method returns where the match that begins at <c>pos</c> ends.
/// Positions count UTF-16 code units; text ends at its last unit, and holds no lone surrogate.
/// </summary>
internal static class WordScanner
{
    /// <summary>How many code units the character that begins with this one has.</summary>
    public static int Units(char c) => char.IsHighSurrogate(c) ? 2 : 1;

    /// <summary>Where the run of characters with a bit of <paramref name="mask"/> ends.</summary>
    public static int RunOf(ReadOnlySpan<byte> classes, int pos, byte mask)
    {
        while (pos < classes.Length && (classes[pos] & mask) != 0) pos++;
        return pos;
    }

    /// <summary>Where the run of characters without a bit of <paramref name="mask"/> ends.</summary>
    public static int RunWithout(ReadOnlySpan<byte> classes, int pos, byte mask)
    {
        while (pos < classes.Length && (classes[pos] & mask) == 0) pos++;
        return pos;
    }

    /// <summary>Where the run of at most <paramref name="most"/> numbers ends.</summary>
    public static int Numbers(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos, int most)
    {
        while (most-- > 0 && pos < classes.Length && (classes[pos] & Number) != 0) pos += Units(text[pos]);
        return pos;
    }

    /// <summary>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</summary>
    public static int Gpt2(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos)
    {
        char c = text[pos];
        if (c == '\'')
        {
            int stop = Contraction(text, pos, foldCase: false);
            if (stop > pos) return stop;
        }
        int from = c == ' ' && pos + 1 < classes.Length ? pos + 1 : pos;
        byte bits = classes[from];
        if ((bits & Letter) != 0) return RunOf(classes, from, Letter);
        if ((bits & Number) != 0) return RunOf(classes, from, Number);
        if ((bits & Space) == 0) return RunWithout(classes, from, Space | Letter | Number);
        return Spaces(classes, pos, RunOf(classes, pos, Space));
    }

    /// <summary>
    /// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?W+|\p{N}{1,n}| ?[^\sW\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
    /// where W is letters, or letters and marks.
    /// </summary>
    public static int Llama3(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos, int digits, byte word)
    {
        char c = text[pos];
        byte bits = classes[pos];
        if ((bits & word) != 0) return RunOf(classes, pos, word);
        if (c == '\'')
        {
            int stop = Contraction(text, pos, foldCase: true);
            if (stop > pos) return stop;
        }
        if ((bits & Number) != 0) return Numbers(text, classes, pos, digits);
        int next = pos + Units(c);
        if (c is not ('\r' or '\n') && next < classes.Length && (classes[next] & word) != 0)
            return RunOf(classes, next, word);
        byte other = (byte)(Space | Number | word);
        int from = c == ' ' && next < classes.Length ? next : pos;
        if ((classes[from] & other) == 0)
        {
            from = RunWithout(classes, from, other);
            while (from < text.Length && text[from] is '\r' or '\n') from++;
            return from;
        }
        return SpacesOrLines(text, classes, pos);
    }

    /// <summary>
    /// X?U*L+C?|X?U+L*C?|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+ where X is [^\r\n\p{L}\p{N}],
    /// U and L are the sides of a capitalised word, and C the case-insensitive contractions.
    /// </summary>
    public static int Gpt4o(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos, int digits, bool contractions)
    {
        char c = text[pos];
        byte bits = classes[pos];
        int stop = CapitalisedWord(text, classes, pos);
        if (stop > pos)
        {
            if (!contractions || stop == text.Length || text[stop] != '\'') return stop;
            return Contraction(text, stop, foldCase: true);
        }
        if ((bits & Number) != 0) return Numbers(text, classes, pos, digits);
        const byte other = Space | Number | Letter;
        int from = c == ' ' && pos + 1 < classes.Length ? pos + 1 : pos;
        if ((classes[from] & other) == 0)
        {
            from = RunWithout(classes, from, other);
            while (from < text.Length && text[from] is '\r' or '\n' or '/') from++;
            return from;
        }
        return SpacesOrLines(text, classes, pos);
    }

    /// <summary>
    /// [ASCII punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+;
    /// -1 where nothing matches.
    /// </summary>
    public static int DeepSeekV3(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos)
    {
        char c = text[pos];
        byte bits = classes[pos];
        int next = pos + Units(c);
        if ((bits & (Letter | Mark)) != 0) return RunOf(classes, pos, Letter | Mark);
        if (next < text.Length)
        {
            if (char.IsAscii(c) && (bits & (Punctuation | Symbol)) != 0 && char.IsAsciiLetter(text[next]))
            {
                while (next < text.Length && char.IsAsciiLetter(text[next])) next++;
                return next;
            }
            if (c is not ('\r' or '\n') && (bits & (Punctuation | Symbol)) == 0 && (classes[next] & (Letter | Mark)) != 0)
                return RunOf(classes, next, Letter | Mark);
        }
        int from = c == ' ' && next < text.Length ? next : pos;
        if ((classes[from] & (Punctuation | Symbol)) != 0)
        {
            from = RunOf(classes, from, Punctuation | Symbol);
            while (from < text.Length && text[from] is '\r' or '\n') from++;
            return from;
        }
        return (bits & Space) != 0 ? SpacesOrLines(text, classes, pos) : -1;
    }

    /// <summary>Where X?U*L+|X?U+L* that begins at <paramref name="pos"/> ends, or <paramref name="pos"/> where it does not match.</summary>
    private static int CapitalisedWord(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos)
    {
        char c = text[pos];
        byte bits = classes[pos];
        bool prefix = (bits & (Letter | Number)) == 0 && c is not ('\r' or '\n');
        if (prefix)
        {
            int from = pos + Units(c);
            int stop = UpperThenLower(text, classes, from);
            if (stop > from) return stop;
            // Only a mark can be both the optional first character and part of the word.
            if ((bits & Mark) != 0) return from;
            stop = RunOf(classes, from, Upper);
            return stop > from ? stop : pos;
        }
        if ((bits & Letter) == 0) return pos;
        int end = UpperThenLower(text, classes, pos);
        return end > pos ? end : RunOf(classes, pos, Upper);
    }

    /// <summary>U*L+ with the back-tracking of a greedy U*: where it ends, or <paramref name="from"/> where it does not match.</summary>
    private static int UpperThenLower(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int from)
    {
        int upper = RunOf(classes, from, Upper);
        int lower = RunOf(classes, upper, Lower);
        if (lower > upper) return lower;
        // No lower-case letter follows: L+ must come out of U*, at the last character that is of both sides.
        while (upper > from && (classes[upper - 1] & Lower) == 0) upper--;
        return upper;
    }

    /// <summary>Where the contraction at the apostrophe ends, or <paramref name="pos"/> where there is none.</summary>
    private static int Contraction(ReadOnlySpan<char> text, int pos, bool foldCase)
    {
        if (pos + 1 >= text.Length) return pos;
        char first = foldCase ? Fold(text[pos + 1]) : text[pos + 1];
        if (first is 's' or 't' or 'm' or 'd') return pos + 2;
        if (pos + 2 >= text.Length || first is not ('r' or 'v' or 'l')) return pos;
        char second = foldCase ? Fold(text[pos + 2]) : text[pos + 2];
        return second == (first == 'l' ? 'l' : 'e') ? pos + 3 : pos;
    }

    // Unicode case folding, as far as the letters of the contractions are concerned: U+017F folds to s.
    private static char Fold(char c) => c is >= 'A' and <= 'Z' ? (char)(c | 0x20) : c == '\u017F' ? 's' : c;

    /// <summary>\s*[\r\n]+|\s+(?!\S)|\s+</summary>
    private static int SpacesOrLines(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos)
    {
        int end = RunOf(classes, pos, Space);
        int line = text[pos..end].LastIndexOfAny('\r', '\n');
        return line >= 0 ? pos + line + 1 : Spaces(classes, pos, end);
    }

    /// <summary>\s+(?!\S)|\s+ over a run of white space that ends at <paramref name="end"/>: all but the space before a word.</summary>
    private static int Spaces(ReadOnlySpan<byte> classes, int pos, int end) =>
        end < classes.Length && end - pos > 1 ? end - 1 : end;
}
