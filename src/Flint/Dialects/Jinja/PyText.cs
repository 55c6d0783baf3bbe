using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Flint.Dialects;

/// <summary>Python's view of strings: sequences of code points, with Unicode's own notion of space, case and digits.</summary>
internal static class PyText
{
    /// <summary>Characters whose upper case is several characters (Unicode SpecialCasing, unconditional): the character, then its mapping.</summary>
    private static readonly Dictionary<char, string> LongUpper = MakeLongUpper();

    private static readonly SearchValues<char> LongUpperSet = SearchValues.Create([.. LongUpper.Keys]);

    /// <summary>The text of a string or of markup.</summary>
    public static bool TryGet(object? value, [NotNullWhen(true)] out string? text)
    {
        text = value as string ?? (value as Markup)?.Text;
        return text is not null;
    }

    public static bool HasSurrogates(ReadOnlySpan<char> text) => text.IndexOfAnyInRange('\uD800', '\uDFFF') >= 0;

    /// <summary>The number of code points.</summary>
    public static int Length(string text)
    {
        if (!HasSurrogates(text))
            return text.Length;
        Budget.Scan(text.Length);
        int count = 0;
        for (int i = 0; i < text.Length; i += Width(text, i))
            count++;
        return count;
    }

    /// <summary>How many UTF-16 units the code point at <paramref name="i"/> takes.</summary>
    public static int Width(string text, int i) => i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]) ? 2 : 1;

    /// <summary>The UTF-16 position of a code point index; the length of the text for its end.</summary>
    public static int Offset(string text, int index)
    {
        if (!HasSurrogates(text))
            return Math.Min(index, text.Length);
        Budget.Scan(text.Length);
        int i = 0;
        for (; index > 0 && i < text.Length; index--)
            i += Width(text, i);
        return i;
    }

    /// <summary>The code point index of a UTF-16 position.</summary>
    public static int Index(string text, int offset) => HasSurrogates(text) ? Length(text[..offset]) : offset;

    public static IEnumerable<object?> Characters(string text)
    {
        for (int i = 0; i < text.Length;)
        {
            int width = Width(text, i);
            yield return width == 1 ? One(text[i]) : text.Substring(i, width);
            i += width;
        }
    }

    public static string One(char c) => c.ToString();

    /// <summary><c>text[start:stop:step]</c> over code points, with bounds already resolved.</summary>
    public static string Slice(string text, int start, int step, int count)
    {
        if (count == 0)
            return "";
        Budget.Text(count);
        if (!HasSurrogates(text))
        {
            if (step == 1)
                return text.Substring(start, count);
            return string.Create(count, (text, start, step), static (span, s) =>
            {
                for (int i = 0; i < span.Length; i++)
                    span[i] = s.text[s.start + (i * s.step)];
            });
        }

        if (step == 1)
        {
            int from = Offset(text, start);
            return text[from..Offset(text, start + count)];
        }

        Budget.Items(text.Length);
        List<object?> characters = [.. Characters(text)];
        var slice = new StringBuilder();
        for (int i = 0; i < count; i++)
            slice.Append((string)characters[start + (i * step)]!);
        return slice.ToString();
    }

    /// <summary>White space as <c>str.isspace</c> sees it: .NET's and the four information separators.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F';

    public static bool IsBlank(ReadOnlySpan<char> text)
    {
        foreach (char c in text)
        {
            if (!IsSpace(c))
                return false;
        }

        return true;
    }

    public static bool IsLineEnd(char c) => c is '\n' or '\r' or '\v' or '\f' or '\u001C' or '\u001D' or '\u001E' or '\u0085' or '\u2028' or '\u2029';

    public static string Trim(string text) => TrimEnd(TrimStart(text));

    public static string TrimStart(string text)
    {
        int i = 0;
        while (i < text.Length && IsSpace(text[i]))
            i++;
        return i == 0 ? text : text[i..];
    }

    public static string TrimEnd(string text)
    {
        int i = text.Length;
        while (i > 0 && IsSpace(text[i - 1]))
            i--;
        return i == text.Length ? text : text[..i];
    }

    /// <summary>The value of a digit in any radix up to 36, or 99; decimal digits of every script count.</summary>
    public static int DigitValue(char c) => c switch
    {
        >= '0' and <= '9' => c - '0',
        >= 'a' and <= 'z' => c - 'a' + 10,
        >= 'A' and <= 'Z' => c - 'A' + 10,
        _ => CharUnicodeInfo.GetDecimalDigitValue(c) is >= 0 and int digit ? digit : 99,
    };

    public static string Upper(string text)
    {
        Budget.Text(text.Length);
        string upper = text.ToUpperInvariant();
        if (Ascii.IsValid(text) || text.AsSpan().IndexOfAny(LongUpperSet) < 0)
            return upper;
        var result = new StringBuilder(text.Length + 8);
        for (int i = 0; i < text.Length; i++)
            result.Append(LongUpper.TryGetValue(text[i], out string? mapped) ? mapped : upper[i].ToString());
        return result.ToString();
    }

    public static string Lower(string text)
    {
        Budget.Text(text.Length);
        string lower = text.ToLowerInvariant();
        if (text.AsSpan().IndexOfAny('\u0130', '\u03A3') < 0)
            return lower;
        var result = new StringBuilder(text.Length + 8);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\u0130')
                result.Append("i\u0307");
            else if (text[i] == '\u03A3')
                result.Append(IsFinalSigma(text, i) ? '\u03C2' : '\u03C3');
            else
                result.Append(lower[i]);
        }

        return result.ToString();
    }

    /// <summary>The character at the start of a word in title case.</summary>
    public static string Title(string character)
    {
        char c = character[0];
        if (character.Length == 1)
        {
            if (c is >= '\u01C4' and <= '\u01CC' or >= '\u01F1' and <= '\u01F3')
                return One(c <= '\u01C6' ? '\u01C5' : c <= '\u01C9' ? '\u01C8' : c <= '\u01CC' ? '\u01CB' : '\u01F2');
            if (c is >= '\u10D0' and <= '\u10FF')
                return character;
            if (c is >= '\u1F80' and <= '\u1FAF')
                return One((char)(c | 8));
            if (LongUpper.TryGetValue(c, out string? mapped))
                return c == '\u0149' ? mapped : mapped[..1] + Lower(mapped[1..]);
        }

        return character.ToUpperInvariant();
    }

    public static bool IsCased(Rune rune) =>
        Rune.IsUpper(rune) || Rune.IsLower(rune) || Rune.GetUnicodeCategory(rune) == UnicodeCategory.TitlecaseLetter;

    private static bool IsFinalSigma(string text, int at)
    {
        int before = at - 1;
        while (before >= 0 && IsCaseIgnorable(text[before]))
            before--;
        if (before < 0 || !char.IsLetter(text[before]))
            return false;
        int after = at + 1;
        while (after < text.Length && IsCaseIgnorable(text[after]))
            after++;
        return after >= text.Length || !char.IsLetter(text[after]);
    }

    private static bool IsCaseIgnorable(char c) => c is '\'' or '.' or ':' or '^' or '`' or '\u00AD' or '\u00B7' or '\u2019'
        || char.GetUnicodeCategory(c) is UnicodeCategory.NonSpacingMark or UnicodeCategory.ModifierLetter or UnicodeCategory.ModifierSymbol or UnicodeCategory.Format;

    private static Dictionary<char, string> MakeLongUpper()
    {
        const string Mappings =
            "\u00DF\u0053\u0053|\u0149\u02BC\u004E|\u01F0\u004A\u030C|\u0390\u0399\u0308\u0301|\u03B0\u03A5\u0308\u0301|" +
            "\u0587\u0535\u0552|\u1E96\u0048\u0331|\u1E97\u0054\u0308|\u1E98\u0057\u030A|\u1E99\u0059\u030A|" +
            "\u1E9A\u0041\u02BE|\u1F50\u03A5\u0313|\u1F52\u03A5\u0313\u0300|\u1F54\u03A5\u0313\u0301|" +
            "\u1F56\u03A5\u0313\u0342|\u1FB2\u1FBA\u0399|\u1FB3\u0391\u0399|\u1FB4\u0386\u0399|\u1FB6\u0391\u0342|" +
            "\u1FB7\u0391\u0342\u0399|\u1FBC\u0391\u0399|\u1FC2\u1FCA\u0399|\u1FC3\u0397\u0399|\u1FC4\u0389\u0399|" +
            "\u1FC6\u0397\u0342|\u1FC7\u0397\u0342\u0399|\u1FCC\u0397\u0399|\u1FD2\u0399\u0308\u0300|" +
            "\u1FD3\u0399\u0308\u0301|\u1FD6\u0399\u0342|\u1FD7\u0399\u0308\u0342|\u1FE2\u03A5\u0308\u0300|" +
            "\u1FE3\u03A5\u0308\u0301|\u1FE4\u03A1\u0313|\u1FE6\u03A5\u0342|\u1FE7\u03A5\u0308\u0342|\u1FF2\u1FFA\u0399|" +
            "\u1FF3\u03A9\u0399|\u1FF4\u038F\u0399|\u1FF6\u03A9\u0342|\u1FF7\u03A9\u0342\u0399|\u1FFC\u03A9\u0399|" +
            "\uFB00\u0046\u0046|\uFB01\u0046\u0049|\uFB02\u0046\u004C|\uFB03\u0046\u0046\u0049|\uFB04\u0046\u0046\u004C|" +
            "\uFB05\u0053\u0054|\uFB06\u0053\u0054|\uFB13\u0544\u0546|\uFB14\u0544\u0535|\uFB15\u0544\u053B|" +
            "\uFB16\u054E\u0546|\uFB17\u0544\u053D";
        var map = new Dictionary<char, string>();
        foreach (string mapping in Mappings.Split('|'))
            map[mapping[0]] = mapping[1..];

        // Greek vowels with iota subscript: the capital vowel, then a capital iota.
        for (char c = '\u1F80'; c <= '\u1FAF'; c++)
            map[c] = $"{(char)(c switch { < '\u1F90' => 0x1F08, < '\u1FA0' => 0x1F28, _ => 0x1F68 } | (c & 7))}\u0399";
        return map;
    }
}
