using System.Globalization;

namespace Flint.Tokens;

/// <summary>
/// Unicode properties that pre-tokenizers ask for, one bit each, so that a run is a mask test per code unit.
/// An unassigned code point has no bit.
/// </summary>
internal static class CharClass
{
    /// <summary>\p{L}</summary>
    public const byte Letter = 1;

    /// <summary>\p{N}</summary>
    public const byte Number = 2;

    /// <summary>\s: Unicode White_Space. All of it lies in the basic plane.</summary>
    public const byte Space = 4;

    /// <summary>\p{P}</summary>
    public const byte Punctuation = 8;

    /// <summary>\p{S}</summary>
    public const byte Symbol = 16;

    /// <summary>\p{M}</summary>
    public const byte Mark = 32;

    /// <summary>\p{Lu} \p{Lt} \p{Lm} \p{Lo} \p{M}: what may begin a capitalised word.</summary>
    public const byte Upper = 64;

    /// <summary>\p{Ll} \p{Lm} \p{Lo} \p{M}: what may end a capitalised word.</summary>
    public const byte Lower = 128;

    private static readonly byte[] Basic = BuildBasicPlane();

    /// <summary>The properties of a code point.</summary>
    public static byte Of(int codePoint) => codePoint < 0x10000
        ? Basic[codePoint]
        : FromCategory(CharUnicodeInfo.GetUnicodeCategory(codePoint));

    /// <summary>
    /// Writes the properties of each code unit of <paramref name="text"/>; both halves of a surrogate pair get those of the pair.
    /// The text must hold no lone surrogate.
    /// </summary>
    public static void Classify(ReadOnlySpan<char> text, Span<byte> classes)
    {
        byte[] basic = Basic;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (!char.IsHighSurrogate(c) || i + 1 == text.Length)
            {
                classes[i] = basic[c];
                continue;
            }
            byte wide = Of(char.ConvertToUtf32(c, text[i + 1]));
            classes[i++] = wide;
            classes[i] = wide;
        }
    }

    private static byte[] BuildBasicPlane()
    {
        var table = new byte[0x10000];
        for (int c = 0; c < table.Length; c++)
            table[c] = char.IsWhiteSpace((char)c) ? Space : FromCategory(CharUnicodeInfo.GetUnicodeCategory((char)c));
        return table;
    }

    private static byte FromCategory(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter or UnicodeCategory.TitlecaseLetter => Letter | Upper,
        UnicodeCategory.LowercaseLetter => Letter | Lower,
        UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => Letter | Upper | Lower,
        UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark => Mark | Upper | Lower,
        UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Number,
        UnicodeCategory.ConnectorPunctuation or UnicodeCategory.DashPunctuation or UnicodeCategory.OpenPunctuation
            or UnicodeCategory.ClosePunctuation or UnicodeCategory.InitialQuotePunctuation
            or UnicodeCategory.FinalQuotePunctuation or UnicodeCategory.OtherPunctuation => Punctuation,
        UnicodeCategory.MathSymbol or UnicodeCategory.CurrencySymbol or UnicodeCategory.ModifierSymbol
            or UnicodeCategory.OtherSymbol => Symbol,
        _ => 0,
    };
}
