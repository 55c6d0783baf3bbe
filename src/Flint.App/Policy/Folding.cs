using System.Globalization;

namespace Flint.App.Policy;

/// <summary>
/// Letters as word lists compare them: small, and without accents. The runtime knows no decompositions here (its globalization is
/// invariant), so the letters of Latin, Greek and Cyrillic that have any stand in tables: the base letters of their canonical
/// decompositions (Unicode 15), and of the strokes of ø, ł, đ and ħ.
/// </summary>
internal static class Folding
{
    /// <summary>What marks fold to: they are passed over.</summary>
    public const char Nothing = '\0';

    private const string Latin = // U+00C0 to U+024F
        "aaaaaaæceeeeiiiiðnooooo×ouuuuyþßaaaaaaæceeeeiiiiðnooooo÷ouuuuyþyaaaaaaccccccccddddeeeeeeeeeegggg"
        + "gggghhhhiiiiiiiiiiĳĳjjkkĸllllllŀŀllnnnnnnŉŋŋooooooœœrrrrrrssssssssttttŧŧuuuuuuuuuuuuwwyyyzzzzzzſ"
        + "ƀɓƃƃƅƅɔƈƈɖɗƌƌƍǝəɛƒƒɠɣƕɩɨƙƙƚƛɯɲƞɵooƣƣƥƥʀƨƨʃƪƫƭƭʈuuʊʋƴƴƶƶʒƹƹƺƻƽƽƾƿǀǁǂǃǆǆǆǉǉǉǌǌǌaaiioouuuuuuuuuuǝaa"
        + "aaææǥǥggkkooooʒʒjǳǳǳggƕƿnnaaææooaaaaeeeeiiiioooorrrruuuussttȝȝhhƞȡȣȣȥȥaaeeooooooooyyȴȵȶȷȸȹⱥȼȼƚⱦȿ"
        + "ɀɂɂƀʉʌɇɇɉɉɋɋɍɍɏɏ";

    private const string LatinAdditional = // U+1E00 to U+1EFF
        "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooopppprrrrrrrr"
        + "ssssssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwyẚſẜẝßẟaaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee"
        + "eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyyỻỻỽỽỿỿ";

    private const string Greek = // U+0386 to U+03CE
        "α·εηι ο υωιαβγδεζηθικλμνξοπρ στυφχψωιυαεηιυαβγδεζηθικλμνξοπρσστυφχψωιυουω";

    private const string Cyrillic = // U+0400 to U+045F
        "ееђгєѕііјљњћкиуџабвгдежзииклмнопрстуфхцчшщъыьэюяабвгдежзииклмнопрстуфхцчшщъыьэюяееђгєѕііјљњћкиуџ";

    /// <summary>
    /// A character as it is compared; <see cref="Nothing"/> for combining marks and for what takes no room, such as a soft hyphen.
    /// White space is a blank, full-width letters and digits are those of ASCII.
    /// </summary>
    public static char Of(char c)
    {
        if (c < 0x80)
            return c is >= 'A' and <= 'Z' ? (char)(c | 0x20) : c is '\0' ? ' ' : char.IsWhiteSpace(c) ? ' ' : c;
        switch (c)
        {
            case >= '\u00C0' and <= '\u024F':
                return Latin[c - 0xC0];
            case >= '\u1E00' and <= '\u1EFF':
                return LatinAdditional[c - 0x1E00];
            case >= '\u0386' and <= '\u03CE':
                return Greek[c - 0x386];
            case >= '\u0400' and <= '\u045F':
                return Cyrillic[c - 0x400];
            case >= '\uFF01' and <= '\uFF5E':
                return Of((char)(c - 0xFF01 + '!'));
        }

        return CharUnicodeInfo.GetUnicodeCategory(c) switch
        {
            UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format => Nothing,
            UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => ' ',
            _ => char.ToLowerInvariant(c),
        };
    }

    /// <summary>Whether a folded character is part of a word.</summary>
    public static bool IsWord(char c) => char.IsLetterOrDigit(c) || c == '_';
}
