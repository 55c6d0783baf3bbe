using static Flint.Tokens.CharClass;

namespace Flint.Tokens;

/// <summary>One pass of a pre-tokenizer. The comment is the pattern whose matches, and the gaps between them, become pieces.</summary>
internal enum SplitPass
{
    /// <summary>The GPT-2 pattern.</summary>
    Gpt2Words,

    /// <summary>The Llama 3 pattern.</summary>
    Llama3Words,

    /// <summary>The Qwen 2 pattern.</summary>
    Qwen2Words,

    /// <summary>The Qwen 3.5 pattern.</summary>
    Qwen35Words,

    /// <summary>The GPT-4o pattern.</summary>
    Gpt4oWords,

    /// <summary>The Tekken pattern.</summary>
    TekkenWords,

    /// <summary>The DeepSeek V3 pattern (its third).</summary>
    DeepSeekV3Words,

    /// <summary>\p{N}</summary>
    Digit,

    /// <summary>\p{N}{1,3}</summary>
    DigitTriple,

    /// <summary>\p{N}+</summary>
    DigitRun,

    /// <summary>[0-9][0-9][0-9]</summary>
    AsciiTriple,

    /// <summary>[\r\n]</summary>
    Newline,

    /// <summary>\s+$</summary>
    TrailingSpace,

    /// <summary>[\p{P}$+&lt;=>^~|`]+</summary>
    FalconPunctuation,

    /// <summary>[\p{P}$+&lt;=>^~|]+</summary>
    DefaultPunctuation,

    /// <summary>\s?\p{L}+</summary>
    SpacedLetters,

    /// <summary>\s?\p{P}+</summary>
    SpacedPunctuation,

    /// <summary>\s? and letters with case, of the scripts DeepSeek LLM lists.</summary>
    DeepSeekLetters,

    /// <summary>\s?[!-/:-~！-／：-～‘-‟　-。]+ (which takes in ASCII and full-width letters after the colon).</summary>
    DeepSeekPunctuation,

    /// <summary>[一-龥ࠀ-一가-퟿]+</summary>
    DeepSeekIdeographs,

    /// <summary>[一-龥぀-ゟ゠-ヿ]+</summary>
    IdeographsAndKana,
}

/// <summary>Runs the passes of <see cref="PreTokenizer"/>. White space never counts as a member of a listed range.</summary>
internal static class SplitPasses
{
    // Letters with case that DeepSeek LLM's second pattern lists: first and last code point of each range.
    private static ReadOnlySpan<int> CasedLetters =>
    [
        0x41, 0x5A, 0x61, 0x7A, 0xB5, 0xB5, 0xC0, 0xD6, 0xD8, 0xF6, 0xF8, 0x1BA, 0x1BC, 0x1BF, 0x1C4, 0x293, 0x295, 0x2AF,
        0x370, 0x373, 0x376, 0x377, 0x37B, 0x37D, 0x37F, 0x37F, 0x386, 0x386, 0x388, 0x38A, 0x38C, 0x38C, 0x38E, 0x3A1,
        0x3A3, 0x3F5, 0x3F7, 0x481, 0x48A, 0x52F, 0x531, 0x556, 0x10A0, 0x10C5, 0x13A0, 0x13F5, 0x13F8, 0x13FD,
        0x1C90, 0x1CBA, 0x1CBD, 0x1CBF, 0x1D00, 0x1D2B, 0x1D6B, 0x1D77, 0x1D79, 0x1D9A, 0x1E00, 0x1F15, 0x1F18, 0x1F1D,
        0x1F20, 0x1F45, 0x1F48, 0x1F4D, 0x1F50, 0x1F57, 0x1F59, 0x1F59, 0x1F5B, 0x1F5B, 0x1F5D, 0x1F5D, 0x1F5F, 0x1F7D,
        0x1F80, 0x1FB4, 0x1FB6, 0x1FBC, 0x1FBE, 0x1FBE, 0x1FC2, 0x1FC4, 0x1FC6, 0x1FCC, 0x1FD0, 0x1FD3, 0x1FD6, 0x1FDB,
        0x1FE0, 0x1FEC, 0x1FF2, 0x1FF4, 0x1FF6, 0x1FFC, 0x2102, 0x2102, 0x2107, 0x2107, 0x210A, 0x2113, 0x2115, 0x2115,
        0x2119, 0x211D, 0x2124, 0x2124, 0x2126, 0x2126, 0x2128, 0x2128, 0x212A, 0x212D, 0x212F, 0x2134, 0x2139, 0x2139,
        0x213C, 0x213F, 0x2145, 0x2149, 0x214E, 0x214E, 0x2183, 0x2184, 0x2C00, 0x2C7B, 0x2C7E, 0x2CE4, 0x2CEB, 0x2CEE,
        0x2CF2, 0x2CF3, 0xA640, 0xA66D, 0xA680, 0xA69B, 0xA722, 0xA76F, 0xA771, 0xA787, 0xA78B, 0xA78E, 0xAB70, 0xABBF,
        0xFB00, 0xFB06, 0xFB13, 0xFB17, 0xFF21, 0xFF3A, 0xFF41, 0xFF5A, 0x10400, 0x1044F, 0x104B0, 0x104D3,
        0x104D8, 0x104FB, 0x10C80, 0x10CB2, 0x10CC0, 0x10CF2, 0x118A0, 0x118DF, 0x1E900, 0x1E943,
    ];

    /// <summary>Cuts the piece [start, end) and appends what comes of it.</summary>
    public static void Run(SplitPass pass, ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int start, int end, PieceList into)
    {
        text = text[..end];
        classes = classes[..end];
        int gap = start;
        // Only the spaces at the end can match, so the search begins there: a piece costs one walk.
        int pos = pass == SplitPass.TrailingSpace ? RunBackOf(classes, start, Space) : start;
        while (pos < end)
        {
            int stop = Match(pass, text, classes, pos);
            if (stop < 0)
            {
                pos += WordScanner.Units(text[pos]);
                continue;
            }
            if (gap < pos) into.Add(pos);
            into.Add(stop);
            pos = gap = stop;
        }
        if (gap < end) into.Add(end);
    }

    /// <summary>Where the match that begins at <paramref name="pos"/> ends, or -1 where none begins there.</summary>
    private static int Match(SplitPass pass, ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos)
    {
        switch (pass)
        {
            case SplitPass.Gpt2Words: return WordScanner.Gpt2(text, classes, pos);
            case SplitPass.Llama3Words: return WordScanner.Llama3(text, classes, pos, 3, Letter);
            case SplitPass.Qwen2Words: return WordScanner.Llama3(text, classes, pos, 1, Letter);
            case SplitPass.Qwen35Words: return WordScanner.Llama3(text, classes, pos, 1, Letter | Mark);
            case SplitPass.Gpt4oWords: return WordScanner.Gpt4o(text, classes, pos, 3, contractions: true);
            case SplitPass.TekkenWords: return WordScanner.Gpt4o(text, classes, pos, 1, contractions: false);
            case SplitPass.DeepSeekV3Words: return WordScanner.DeepSeekV3(text, classes, pos);
            case SplitPass.Digit:
                return (classes[pos] & Number) != 0 ? pos + WordScanner.Units(text[pos]) : -1;
            case SplitPass.DigitTriple:
                return (classes[pos] & Number) != 0 ? WordScanner.Numbers(text, classes, pos, 3) : -1;
            case SplitPass.DigitRun:
                return (classes[pos] & Number) != 0 ? WordScanner.RunOf(classes, pos, Number) : -1;
            case SplitPass.AsciiTriple:
                return pos + 2 < text.Length && char.IsAsciiDigit(text[pos]) && char.IsAsciiDigit(text[pos + 1])
                    && char.IsAsciiDigit(text[pos + 2]) ? pos + 3 : -1;
            case SplitPass.Newline:
                return text[pos] is '\r' or '\n' ? pos + 1 : -1;
            case SplitPass.TrailingSpace:
                return classes.Length;
            case SplitPass.SpacedLetters:
            case SplitPass.SpacedPunctuation:
            case SplitPass.DeepSeekLetters:
            case SplitPass.DeepSeekPunctuation:
                return Spaced(pass, text, classes, pos);
            default:
                int stop = MemberRun(pass, text, classes, pos);
                return stop > pos ? stop : -1;
        }
    }

    /// <summary>Where the run with a bit of <paramref name="mask"/> that reaches the end begins, not before <paramref name="start"/>.</summary>
    private static int RunBackOf(ReadOnlySpan<byte> classes, int start, byte mask)
    {
        int pos = classes.Length;
        while (pos > start && (classes[pos - 1] & mask) != 0) pos--;
        return pos;
    }

    private static int Spaced(SplitPass pass, ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos)
    {
        int from = (classes[pos] & Space) != 0 ? pos + 1 : pos;
        int stop = MemberRun(pass, text, classes, from);
        return stop > from ? stop : -1;
    }

    private static int MemberRun(SplitPass pass, ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos)
    {
        while (pos < text.Length && IsMember(pass, text, classes, pos)) pos += WordScanner.Units(text[pos]);
        return pos;
    }

    private static bool IsMember(SplitPass pass, ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, int pos)
    {
        char c = text[pos];
        byte bits = classes[pos];
        return pass switch
        {
            SplitPass.SpacedLetters => (bits & Letter) != 0,
            SplitPass.SpacedPunctuation => (bits & Punctuation) != 0,
            SplitPass.FalconPunctuation => (bits & Punctuation) != 0 || c is '$' or '+' or '<' or '=' or '>' or '^' or '~' or '|' or '`',
            SplitPass.DefaultPunctuation => (bits & Punctuation) != 0 || c is '$' or '+' or '<' or '=' or '>' or '^' or '~' or '|',
            SplitPass.DeepSeekLetters => (bits & Letter) != 0 && IsCasedLetter(text, pos),
            SplitPass.DeepSeekPunctuation => (bits & Space) == 0 && c is (>= '!' and <= '/') or (>= ':' and <= '~')
                or (>= '\uFF01' and <= '\uFF0F') or (>= '\uFF1A' and <= '\uFF5E') or (>= '\u2018' and <= '\u201F')
                or '\u3001' or '\u3002',
            SplitPass.DeepSeekIdeographs => (bits & Space) == 0
                && c is (>= '\u0800' and <= '\u9FA5') or (>= '\uAC00' and <= '\uD7FF'),
            SplitPass.IdeographsAndKana => c is (>= '\u4E00' and <= '\u9FA5') or (>= '\u3040' and <= '\u30FF'),
            _ => throw new FlintException(FaultSide.Bug, "split_pass", $"pass {pass} has no members"),
        };
    }

    private static bool IsCasedLetter(ReadOnlySpan<char> text, int pos)
    {
        char c = text[pos];
        if (char.IsAscii(c)) return true;
        int codePoint = char.IsHighSurrogate(c) ? char.ConvertToUtf32(c, text[pos + 1]) : c;
        ReadOnlySpan<int> ranges = CasedLetters;
        int low = 0, high = ranges.Length / 2 - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            if (codePoint < ranges[2 * middle]) high = middle - 1;
            else if (codePoint > ranges[2 * middle + 1]) low = middle + 1;
            else return true;
        }
        return false;
    }
}
