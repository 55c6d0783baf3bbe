using System.Text;

namespace Flint.Tests.Tokens;

/// <summary>Seeded random texts that mix scripts, white space, contractions, digits and odd characters.</summary>
internal static class Samples
{
    // Each entry is one draw; letters of every case class, marks, numbers, spaces, punctuation, symbols, controls, unassigned.
    private static readonly string[] Basic =
    [
        "a", "b", "s", "t", "re", "ll", "hello", "World", "HTML", "iPhone", "A", "Z", "É", "ß", "ñ", "ǅ", "ʰ", "ª", "ƻ", "ſ",
        "Ω", "ж", "Я", "Привет", "א", "ש", "م", "ـ", "क", "ि", "ก", "็", "가", "ᄀ", "中", "文字", "の", "ト", "ー", "〇",
        "\u0301", "\u0308", "\u20DD", "\u093E", "\u200D", "\uFE0F", "0", "1", "23", "456", "7890", "٣", "३", "Ⅷ", "½", "²",
        " ", " ", " ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\r", "\u00A0", "\u3000", "\u2028", "\u0085", "\u000B",
        "'", "'s", "'S", "'ſ", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'lL", "'d", "''", "\u2019s",
        "!", "?", ".", ",", "...", "/", "//", "-", "_", "(", ")", "#", "@", "\"", "«", "“", "”", "、", "。", "！", "：", "Ａ", "～",
        "$", "+", "<", "=", ">", "^", "~", "|", "`", "€", "☃", "→", "\0", "\u0007", "\u001F", "\u007F", "\u0378", "\uE000", "\uFFFD", "\uFEFF",
    ];

    private static readonly string[] Wide = ["😀", "👨‍👩‍👧", "🇩🇪", "𝐀", "𝐚", "𝟎", "𠀀", "𐐀", "𐐨", "\U0001D165", "\U0003FFFF"];

    /// <summary>A text of the basic plane.</summary>
    public static string BasicPlane(Random random, int draws) => Draw(random, draws, Basic.Length);

    /// <summary>A text of all planes.</summary>
    public static string AllPlanes(Random random, int draws) => Draw(random, draws, Basic.Length + Wide.Length);

    private static string Draw(Random random, int draws, int from)
    {
        var text = new StringBuilder();
        for (int i = 0; i < draws; i++)
        {
            int pick = random.Next(from);
            string piece = pick < Basic.Length ? Basic[pick] : Wide[pick - Basic.Length];
            int times = random.Next(12) == 0 ? random.Next(2, 6) : 1;
            for (int k = 0; k < times; k++) text.Append(piece);
        }
        return text.ToString();
    }
}
