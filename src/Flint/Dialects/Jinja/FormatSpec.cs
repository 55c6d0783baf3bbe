using System.Globalization;
using System.Numerics;
using System.Text;

namespace Flint.Dialects;

/// <summary>Python's format specification mini-language: <c>[[fill]align][sign][z][#][0][width][,|_][.precision][type]</c>.</summary>
internal sealed class FormatSpec
{
    private string fill = " ";
    private char align;
    private char sign = '-';
    private bool alternate;
    private int width;
    private char grouping;
    private int precision = -1;
    private char kind;

    /// <summary>Formats <paramref name="value"/> as <c>format(value, spec)</c> does.</summary>
    public static string Apply(object? value, string spec)
    {
        if (spec.Length == 0)
            return Printer.Str(value);
        if (value is not (string or Markup) && !Operators.IsNumber(value))
            throw TemplateFault.Type($"unsupported format string passed to {Types.Name(value)}.__format__");
        FormatSpec parsed = Parse(spec, value);
        Budget.Text(parsed.width);
        return value switch
        {
            double real => parsed.FormatReal(real),
            bool flag when parsed.kind == 0 && parsed.grouping == 0 => parsed.Pad(flag ? "1" : "0", '>'),
            long or BigInteger or bool => parsed.FormatInteger(Integers.Big(value)),
            _ => parsed.FormatText(Printer.Str(value)),
        };
    }

    /// <summary>A precision within the limit.</summary>
    public static int CheckPrecision(int precision) => precision <= TemplateLimits.FormatPrecision ? precision
        : throw TemplateFault.Limit($"a number may be formatted with {TemplateLimits.FormatPrecision} digits");

    /// <summary>Puts the sign that <paramref name="flags"/> asks for before a number.</summary>
    public static string Sign(string number, string flags) =>
        number[0] == '-' ? number : flags.Contains('+') ? "+" + number : flags.Contains(' ') ? " " + number : number;

    /// <summary>An integer in radix 16, 8 or 2 as the letter says, a minus before it, with its prefix when asked.</summary>
    public static string Radix(BigInteger value, char kind, bool prefix)
    {
        BigInteger magnitude = BigInteger.Abs(value);
        string digits;
        if (kind is 'x' or 'X')
        {
            digits = magnitude.ToString(kind == 'x' ? "x" : "X", CultureInfo.InvariantCulture).TrimStart('0');
        }
        else
        {
            int bits = kind == 'o' ? 3 : 1;
            var text = new StringBuilder();
            for (; !magnitude.IsZero; magnitude >>= bits)
                text.Insert(0, (char)('0' + (int)(magnitude & ((1 << bits) - 1))));
            digits = text.ToString();
            Budget.Charge((long)digits.Length * digits.Length >> 5);
        }

        if (digits.Length == 0)
            digits = "0";
        return (value.Sign < 0 ? "-" : "") + (prefix ? "0" + kind : "") + digits;
    }

    /// <summary>A float by one of the letters e, f, g and their capitals.</summary>
    public static string Real(double value, char kind, int precision, bool alternate)
    {
        string text = (kind | 32) switch
        {
            'f' => FloatText.Fixed(value, precision),
            'e' => FloatText.Scientific(value, precision),
            _ => FloatText.General(value, precision, alternate),
        };
        if (alternate && !text.Contains('.') && double.IsFinite(value))
        {
            int e = text.IndexOf('e', StringComparison.Ordinal);
            text = e < 0 ? text + "." : text.Insert(e, ".");
        }

        return char.IsUpper(kind) ? text.ToUpperInvariant() : text;
    }

    private static FormatSpec Parse(string spec, object? value)
    {
        var parsed = new FormatSpec();
        int i = 0;
        int fillWidth = PyText.Width(spec, 0);
        if (spec.Length > fillWidth && spec[fillWidth] is '<' or '>' or '^' or '=')
        {
            parsed.fill = spec[..fillWidth];
            parsed.align = spec[fillWidth];
            i = fillWidth + 1;
        }
        else if (spec[0] is '<' or '>' or '^' or '=')
        {
            parsed.align = spec[i++];
        }

        if (i < spec.Length && spec[i] is '+' or '-' or ' ')
            parsed.sign = spec[i++];
        if (i < spec.Length && spec[i] == 'z')
            i++;
        if (i < spec.Length && spec[i] == '#')
        {
            parsed.alternate = true;
            i++;
        }

        if (i < spec.Length && spec[i] == '0')
        {
            if (parsed.align == 0)
                (parsed.fill, parsed.align) = ("0", Operators.IsNumber(value) ? '=' : '<');
            i++;
        }

        parsed.width = Math.Max(0, ReadNumber(spec, ref i));
        if (i < spec.Length && spec[i] is ',' or '_')
            parsed.grouping = spec[i++];
        if (i < spec.Length && spec[i] == '.')
        {
            i++;
            parsed.precision = ReadNumber(spec, ref i);
            if (parsed.precision < 0)
                throw TemplateFault.Value("Format specifier missing precision");
        }

        if (i < spec.Length - 1)
            throw TemplateFault.Value($"Invalid format specifier '{spec}' for object of type '{Types.Name(value)}'");
        if (i < spec.Length)
            parsed.kind = spec[i];
        return parsed;
    }

    private static int ReadNumber(string spec, ref int i)
    {
        int start = i;
        long value = 0;
        for (; i < spec.Length && char.IsAsciiDigit(spec[i]); i++)
            value = Math.Min((value * 10) + spec[i] - '0', TemplateLimits.TextLength + 1);
        return i == start ? -1 : (int)value;
    }

    private string FormatText(string text)
    {
        if (kind is not ('\0' or 's'))
            throw TemplateFault.Value($"Unknown format code '{kind}' for object of type 'str'");
        if (align == '=')
            throw TemplateFault.Value("'=' alignment not allowed in string format specifier");
        return Pad(precision >= 0 ? text[..PyText.Offset(text, precision)] : text, '<');
    }

    private string FormatInteger(BigInteger value)
    {
        if (kind is 'e' or 'E' or 'f' or 'F' or 'g' or 'G' or '%')
            return FormatReal(Operators.ToDouble(Integers.Box(value)));
        if (precision >= 0)
            throw TemplateFault.Value("Precision not allowed in integer format specifier");
        string digits = kind switch
        {
            '\0' or 'd' or 'n' => Integers.Text(BigInteger.Abs(value)),
            'x' or 'X' or 'o' or 'b' => Radix(BigInteger.Abs(value), kind, false),
            'c' when value >= 0 && value <= 0x10FFFF => PercentFormat.Apply("%c", (long)value, false).ToString()!,
            'c' => throw new TemplateFault("OverflowError", "%c arg not in range(0x110000)"),
            _ => throw TemplateFault.Value($"Unknown format code '{kind}' for object of type 'int'"),
        };
        if (kind == 'c')
            return Pad(digits, '<');
        string prefix = alternate && kind is 'x' or 'X' or 'o' or 'b' ? "0" + kind : "";
        return PadNumber(SignOf(value.Sign < 0) + prefix, digits, kind is 'x' or 'X' or 'o' or 'b' ? 4 : 3);
    }

    private string FormatReal(double value)
    {
        char letter = kind == 'n' ? 'g' : kind;
        string text;
        if (letter == '%')
            text = FloatText.Fixed(value * 100, CheckPrecision(precision < 0 ? 6 : precision)) + "%";
        else if (letter is 'e' or 'E' or 'f' or 'F' or 'g' or 'G')
            text = Real(value, letter, CheckPrecision(precision < 0 ? 6 : precision), alternate);
        else if (letter == 0 && precision < 0)
            text = FloatText.Repr(value);
        else if (letter == 0)
            text = WithPoint(FloatText.General(value, CheckPrecision(precision), alternate), precision);
        else
            throw TemplateFault.Value($"Unknown format code '{kind}' for object of type 'float'");
        bool negative = text[0] == '-';
        text = negative ? text[1..] : text;
        int end = 0;
        while (end < text.Length && char.IsAsciiDigit(text[end]))
            end++;
        return PadNumber(SignOf(negative), text[..end], 3, text[end..]);
    }

    /// <summary>Without a type letter a float always shows a point or an exponent.</summary>
    private static string WithPoint(string text, int precision)
    {
        if (text.AsSpan().IndexOfAny(".en") >= 0)
            return text;
        int digits = text.TrimStart('-').Length;
        if (digits < precision)
            return text + ".0";
        string whole = text.TrimStart('-');
        string mantissa = whole.Length > 1 ? $"{whole[..1]}.{whole[1..]}".TrimEnd('0').TrimEnd('.') : whole;
        return $"{(text[0] == '-' ? "-" : "")}{mantissa}e+{digits - 1:00}";
    }

    private string SignOf(bool negative) => negative ? "-" : sign == '-' ? "" : sign.ToString();

    private string PadNumber(string prefix, string digits, int groupLength, string suffix = "")
    {
        if (grouping != 0)
        {
            // Zero padding takes part in grouping.
            int room = align == '=' && fill == "0" ? width - prefix.Length - suffix.Length : 0;
            var grouped = new StringBuilder();
            int count = 0;
            for (int i = digits.Length - 1; i >= 0 || grouped.Length < room; i--)
            {
                if (count > 0 && count % groupLength == 0)
                    grouped.Insert(0, grouping);
                grouped.Insert(0, i >= 0 ? digits[i] : '0');
                count++;
            }

            Budget.Charge((long)grouped.Length * grouped.Length >> 5);
            digits = grouped.ToString();
        }

        string text = prefix + digits + suffix;
        if (align != '=')
            return Pad(text, '>');
        int missing = width - text.Length;
        return missing > 0 ? prefix + Fill(missing) + digits + suffix : text;
    }

    private string Pad(string text, char standard)
    {
        int missing = width - PyText.Length(text);
        if (missing <= 0)
            return text;
        int left = (align == 0 ? standard : align) switch { '<' => 0, '^' => missing / 2, _ => missing };
        return Fill(left) + text + Fill(missing - left);
    }

    private string Fill(int count) => fill.Length == 1 ? new string(fill[0], count) : string.Concat(Enumerable.Repeat(fill, count));
}

internal static class DigitPadding
{
    /// <summary>Adds zeros after the sign and radix prefix until the number has <paramref name="count"/> digits.</summary>
    public static string PadDigits(this string number, int count)
    {
        int start = number[0] == '-' ? 1 : 0;
        if (number.Length > start + 1 && number[start] == '0' && char.IsAsciiLetter(number[start + 1]))
            start += 2;
        int missing = FormatSpec.CheckPrecision(Math.Max(0, count)) - (number.Length - start);
        return missing > 0 ? number.Insert(start, new string('0', missing)) : number;
    }
}
