using System.Globalization;
using System.Numerics;
using System.Text;

namespace Flint.Dialects;

/// <summary>Python's <c>text % values</c>.</summary>
internal sealed class PercentFormat
{
    private readonly string format;
    private readonly object? values;
    private readonly PySequence? tuple;
    private readonly bool escape;
    private readonly StringBuilder text = new();
    private int position;
    private int used;

    private PercentFormat(string format, object? values, bool escape)
    {
        this.format = format;
        this.values = values;
        this.escape = escape;
        tuple = values as PySequence is { IsTuple: true } sequence ? sequence : null;
    }

    /// <summary>Formats; with <paramref name="escape"/> the format is markup, the values are escaped and the result is markup.</summary>
    public static object Apply(string format, object? values, bool escape)
    {
        var run = new PercentFormat(format, values, escape);
        string result = run.Run();
        return escape ? new Markup(result) : result;
    }

    private string Run()
    {
        while (position < format.Length)
        {
            int next = format.IndexOf('%', position);
            if (next < 0)
                next = format.Length;
            text.Append(format, position, next - position);
            position = next + 1;
            if (next < format.Length)
                Convert();
            Budget.Step();
            if (text.Length > TemplateLimits.TextLength)
                throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters");
        }

        int available = tuple?.Count ?? (values is PyDict or Undefined or PySequence ? 0 : 1);
        if (used < available)
            throw TemplateFault.Type("not all arguments converted during string formatting");
        Budget.Text(text.Length);
        return text.ToString();
    }

    private char Peek() => position < format.Length ? format[position] : throw TemplateFault.Value("incomplete format");

    private void Convert()
    {
        object? value = Missing.Value;
        if (Peek() == '(')
        {
            int close = ClosingParenthesis();
            if (values is not PyDict dict)
                throw TemplateFault.Type("format requires a mapping");
            string key = format[(position + 1)..close];
            if (!dict.TryGet(key, out value))
                throw new TemplateFault("KeyError", Printer.Repr(key));
            position = close + 1;
        }

        string flags = "";
        for (; Peek() is '-' or '+' or ' ' or '#' or '0'; position++)
            flags += format[position];
        int width = ReadNumber();
        int precision = -1;
        if (Peek() == '.')
        {
            position++;
            precision = Math.Max(ReadNumber(), 0);
        }

        while (Peek() is 'h' or 'l' or 'L')
            position++;
        char kind = format[position++];
        if (width < 0)
        {
            flags += '-';
            width = -width;
        }

        Budget.Text(width);
        if (kind == '%')
        {
            text.Append('%');
            return;
        }

        if (value is Missing)
            value = NextValue();
        text.Append(Pad(One(kind, value, flags, precision), flags, width, kind));
    }

    private int ClosingParenthesis()
    {
        int depth = 0;
        for (int i = position; i < format.Length; i++)
        {
            depth += format[i] == '(' ? 1 : format[i] == ')' ? -1 : 0;
            if (depth == 0)
                return i;
        }

        throw TemplateFault.Value("incomplete format key");
    }

    private int ReadNumber()
    {
        if (Peek() == '*')
        {
            position++;
            object? given = NextValue();
            if (!Integers.TryLong(given, out long number))
                throw TemplateFault.Type("* wants int");
            return (int)Math.Clamp(number, -TemplateLimits.TextLength - 1, TemplateLimits.TextLength + 1);
        }

        long value = 0;
        for (; char.IsAsciiDigit(Peek()); position++)
            value = Math.Min((value * 10) + format[position] - '0', TemplateLimits.TextLength + 1);
        return (int)value;
    }

    private object? NextValue()
    {
        if (tuple is not null)
            return used < tuple.Count ? tuple[used++] : throw TemplateFault.Type("not enough arguments for format string");
        return used++ == 0 ? values : throw TemplateFault.Type("not enough arguments for format string");
    }

    private string One(char kind, object? value, string flags, int precision)
    {
        switch (kind)
        {
            case 's' or 'r' or 'a':
                string shown = kind == 's' ? Printer.Str(value) : kind == 'r' ? Printer.Repr(value) : Printer.AsciiRepr(value);
                if (escape)
                    shown = value is Markup && kind == 's' ? shown : Markup.Escape(shown);
                return precision >= 0 ? shown[..PyText.Offset(shown, precision)] : shown;
            case 'c': return Character(value);
            case 'd' or 'i' or 'u':
                return FormatSpec.Sign(Integers.Text(Whole(value, kind)).PadDigits(precision), flags);
            case 'x' or 'X' or 'o':
                if (!Integers.Is(value))
                    throw TemplateFault.Type($"%{kind} format: an integer is required, not {Types.Name(value)}");
                string digits = FormatSpec.Radix(Integers.Big(value!), kind, flags.Contains('#')).PadDigits(precision);
                return FormatSpec.Sign(digits, flags);
            case 'e' or 'E' or 'f' or 'F' or 'g' or 'G':
                return FormatSpec.Sign(FormatSpec.Real(Real(value), kind, FormatSpec.CheckPrecision(precision < 0 ? 6 : precision), flags.Contains('#')), flags);
            default:
                throw TemplateFault.Value($"unsupported format character '{kind}' (0x{(int)kind:x}) at index {position - 1}");
        }
    }

    private static string Character(object? value)
    {
        if (PyText.TryGet(value, out string? one) && PyText.Length(one) == 1)
            return one;
        if (!Integers.TryLong(value, out long code))
            throw TemplateFault.Type("%c requires int or char");
        if (code is < 0 or > 0x10FFFF)
            throw new TemplateFault("OverflowError", "%c arg not in range(0x110000)");
        return code is >= 0xD800 and < 0xE000 ? ((char)code).ToString() : char.ConvertFromUtf32((int)code);
    }

    private static BigInteger Whole(object? value, char kind) => value switch
    {
        double real when double.IsFinite(real) => new BigInteger(Math.Truncate(real)),
        double real => throw (double.IsNaN(real) ? TemplateFault.Value("cannot convert float NaN to integer")
            : new TemplateFault("OverflowError", "cannot convert float infinity to integer")),
        _ when Integers.Is(value) => Integers.Big(value!),
        Undefined undefined => throw undefined.Fault(),
        _ => throw TemplateFault.Type($"%{kind} format: a real number is required, not {Types.Name(value)}"),
    };

    private static double Real(object? value) => value switch
    {
        Undefined undefined => throw undefined.Fault(),
        _ when Operators.IsNumber(value) => Operators.ToDouble(value!),
        _ => throw TemplateFault.Type($"must be real number, not {Types.Name(value)}"),
    };

    private static string Pad(string shown, string flags, int width, char kind)
    {
        int missing = width - PyText.Length(shown);
        if (missing <= 0)
            return shown;
        if (flags.Contains('-'))
            return shown + new string(' ', missing);
        if (!flags.Contains('0') || kind is 's' or 'r' or 'a' or 'c')
            return new string(' ', missing) + shown;
        int prefix = shown.Length > 0 && shown[0] is '-' or '+' or ' ' ? 1 : 0;
        if (kind is 'x' or 'X' or 'o' && flags.Contains('#'))
            prefix += 2;
        return shown.Insert(prefix, new string('0', missing));
    }
}
