using System.Globalization;

namespace Flint.Grammar;

/// <summary>A set of Unicode's code points, surrogates never among them: ranges in order that do not touch.</summary>
internal sealed class CodePoints
{
    /// <summary>The greatest code point.</summary>
    public const int Last = 0x10FFFF;

    private const int FirstSurrogate = 0xD800, LastSurrogate = 0xDFFF;

    private static readonly Dictionary<string, CodePoints> Categories = [];

    private CodePoints(List<(int Low, int High)> ranges) => Ranges = ranges;

    /// <summary>All of them.</summary>
    public static CodePoints All { get; } = Of((0, Last));

    /// <summary>The digits 0 to 9.</summary>
    public static CodePoints Digits { get; } = Of(('0', '9'));

    /// <summary>Letters without accents, digits, the underscore.</summary>
    public static CodePoints WordCharacters { get; } = Of(('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_'));

    /// <summary>ECMAScript's white space.</summary>
    public static CodePoints Spaces { get; } = Of(
        ('\t', '\r'), (' ', ' '), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF));

    /// <summary>Everything but the ends of lines.</summary>
    public static CodePoints Dot { get; } = Of(('\n', '\n'), ('\r', '\r'), (0x2028, 0x2029)).Complement();

    /// <summary>The ranges.</summary>
    public IReadOnlyList<(int Low, int High)> Ranges { get; }

    /// <summary>A set of ranges in any order.</summary>
    public static CodePoints Of(params IEnumerable<(int Low, int High)> ranges)
    {
        var joined = new List<(int Low, int High)>();
        foreach ((int low, int high) in ranges.SelectMany(WithoutSurrogates).Order())
        {
            if (joined.Count > 0 && low <= joined[^1].High + 1)
                joined[^1] = (joined[^1].Low, Math.Max(high, joined[^1].High));
            else
                joined.Add((low, high));
        }

        return new CodePoints(joined);
    }

    /// <summary>The code points of a general category by its short or long name, such as <c>L</c>, <c>Lu</c> or <c>Letter</c>; null for an unknown one.</summary>
    public static CodePoints? Category(string name)
    {
        string? prefix = name switch
        {
            "Letter" => "L",
            "Uppercase_Letter" => "Lu",
            "Lowercase_Letter" => "Ll",
            "Mark" => "M",
            "Number" => "N",
            "Decimal_Number" or "digit" => "Nd",
            "Punctuation" or "punct" => "P",
            "Symbol" => "S",
            "Separator" => "Z",
            "Space_Separator" => "Zs",
            "Other" => "C",
            "Control" => "Cc",
            _ when name.Length is 1 or 2 && Array.Exists(ShortNames, known => known.StartsWith(name, StringComparison.Ordinal)) => name,
            _ => null,
        };
        if (prefix is null)
            return null;
        lock (Categories)
        {
            if (!Categories.TryGetValue(prefix, out CodePoints? set))
                Categories[prefix] = set = Scan(prefix);
            return set;
        }
    }

    /// <summary>Whether a code point is in it.</summary>
    public bool Has(int c) => Ranges.Any(range => c >= range.Low && c <= range.High);

    /// <summary>What is in either.</summary>
    public CodePoints Or(CodePoints other) => Of(Ranges.Concat(other.Ranges));

    /// <summary>What is not in it.</summary>
    public CodePoints Complement()
    {
        var rest = new List<(int, int)>();
        int from = 0;
        foreach ((int low, int high) in Ranges)
        {
            if (low > from)
                rest.Add((from, low - 1));
            from = high + 1;
        }

        if (from <= Last)
            rest.Add((from, Last));
        return Of(rest);
    }

    /// <summary>What is in both.</summary>
    public CodePoints And(CodePoints other) => Complement().Or(other.Complement()).Complement();

    // By the numbers of UnicodeCategory.
    private static readonly string[] ShortNames =
    [
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Cn",
    ];

    private static CodePoints Scan(string prefix)
    {
        var ranges = new List<(int, int)>();
        int from = -1;
        for (int c = 0; c <= Last + 1; c++)
        {
            bool isIn = c <= Last && ShortNames[(int)CharUnicodeInfo.GetUnicodeCategory(c)].StartsWith(prefix, StringComparison.Ordinal);
            if (isIn && from < 0)
                from = c;
            if (!isIn && from >= 0)
            {
                ranges.Add((from, c - 1));
                from = -1;
            }
        }

        return Of(ranges);
    }

    private static IEnumerable<(int Low, int High)> WithoutSurrogates((int Low, int High) range)
    {
        if (range.High < FirstSurrogate || range.Low > LastSurrogate)
        {
            yield return range;
            yield break;
        }

        if (range.Low < FirstSurrogate)
            yield return (range.Low, FirstSurrogate - 1);
        if (range.High > LastSurrogate)
            yield return (LastSurrogate + 1, range.High);
    }
}
