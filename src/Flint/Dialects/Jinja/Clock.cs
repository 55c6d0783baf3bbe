using System.Globalization;
using System.Text;

namespace Flint.Dialects;

/// <summary>Python's <c>strftime</c> in the C locale, for a time without zone.</summary>
internal static class Clock
{
    public static object? Format(DateTimeOffset now, object? format)
    {
        if (!PyText.TryGet(format, out string? pattern))
            throw (format as Undefined)?.Fault() ?? TemplateFault.Type($"strftime() argument 1 must be str, not {Types.Name(format)}");
        Budget.Text(pattern.Length * 16L);
        return Expand(now.DateTime, pattern);
    }

    private static string Expand(DateTime time, string pattern)
    {
        var text = new StringBuilder();
        for (int i = 0; i < pattern.Length; i++)
        {
            if (pattern[i] != '%' || i + 1 >= pattern.Length)
            {
                text.Append(pattern[i]);
                continue;
            }

            // Flags of the GNU library: no padding, padding with spaces or zeros, upper case.
            int start = i++;
            char flag = pattern[i] is '-' or '_' or '0' or '^' && i + 1 < pattern.Length ? pattern[i++] : '\0';
            string? field = Field(time, pattern[i], flag);
            text.Append(field ?? pattern[start..(i + 1)]);
        }

        return text.ToString();
    }

    private static string? Field(DateTime t, char directive, char flag)
    {
        string Number(int value, int width, char pad = '0')
        {
            pad = flag == '0' ? '0' : flag == '_' ? ' ' : pad;
            string digits = value.ToString(CultureInfo.InvariantCulture);
            return flag == '-' ? digits : digits.PadLeft(width, pad);
        }

        string Word(string format) => flag == '^' ? t.ToString(format, CultureInfo.InvariantCulture).ToUpperInvariant() : t.ToString(format, CultureInfo.InvariantCulture);
        int hour12 = t.Hour % 12 == 0 ? 12 : t.Hour % 12;
        int weekday = (int)t.DayOfWeek;
        return directive switch
        {
            'a' => Word("ddd"),
            'A' => Word("dddd"),
            'b' or 'h' => Word("MMM"),
            'B' => Word("MMMM"),
            'c' => Expand(t, "%a %b %e %H:%M:%S %Y"),
            'C' => Number(t.Year / 100, 2),
            'd' => Number(t.Day, 2),
            'D' or 'x' => Expand(t, "%m/%d/%y"),
            'e' => Number(t.Day, 2, ' '),
            'f' => (t.Ticks % TimeSpan.TicksPerSecond / 10).ToString("000000", CultureInfo.InvariantCulture),
            'F' => Expand(t, "%Y-%m-%d"),
            'g' => Number(ISOWeek.GetYear(t) % 100, 2),
            'G' => Number(ISOWeek.GetYear(t), 4),
            'H' => Number(t.Hour, 2),
            'I' => Number(hour12, 2),
            'j' => Number(t.DayOfYear, 3),
            'k' => Number(t.Hour, 2, ' '),
            'l' => Number(hour12, 2, ' '),
            'm' => Number(t.Month, 2),
            'M' => Number(t.Minute, 2),
            'n' => "\n",
            'p' => t.Hour < 12 ? "AM" : "PM",
            'P' => t.Hour < 12 ? "am" : "pm",
            'r' => Expand(t, "%I:%M:%S %p"),
            'R' => Expand(t, "%H:%M"),
            's' => new DateTimeOffset(t, TimeSpan.Zero).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture),
            'S' => Number(t.Second, 2),
            't' => "\t",
            'T' or 'X' => Expand(t, "%H:%M:%S"),
            'u' => Number(weekday == 0 ? 7 : weekday, 1),
            'U' => Number((t.DayOfYear + 6 - weekday) / 7, 2),
            'V' => Number(ISOWeek.GetWeekOfYear(t), 2),
            'w' => Number(weekday, 1),
            'W' => Number((t.DayOfYear + 6 - ((weekday + 6) % 7)) / 7, 2),
            'y' => Number(t.Year % 100, 2),
            'Y' => Number(t.Year, flag == '\0' ? 1 : 4),
            'z' or 'Z' => "",
            '%' => "%",
            _ => null,
        };
    }
}
