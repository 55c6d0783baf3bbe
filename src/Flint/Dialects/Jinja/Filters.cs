using System.Globalization;
using System.Numerics;
using System.Text;

namespace Flint.Dialects;

/// <summary>The filters that Jinja2 builds in, those over text and numbers here; lists are in <see cref="ListFilters"/>.</summary>
internal static class Filters
{
    public static readonly Dictionary<string, Func<Arguments, object?>> Table = new()
    {
        ["abs"] = Absolute,
        ["attr"] = ListFilters.Attribute,
        ["batch"] = ListFilters.Batch,
        ["capitalize"] = a => Mapped(a.Bind("do_capitalize", "!s")[0], StringMethods.Capitalize),
        ["center"] = Center,
        ["count"] = a => Integers.Box(Types.Length(a.Exactly("len", 1, 1)[0])),
        ["d"] = Default,
        ["default"] = Default,
        ["dictsort"] = ListFilters.SortDict,
        ["e"] = a => new Markup(Markup.Escape(a.Exactly("escape", 1, 1)[0])),
        ["escape"] = a => new Markup(Markup.Escape(a.Exactly("escape", 1, 1)[0])),
        ["filesizeformat"] = FileSize,
        ["first"] = ListFilters.First,
        ["float"] = ToFloat,
        ["forceescape"] = a => new Markup(Markup.Escape(Printer.Str(a.Bind("do_forceescape", "!value")[0]))),
        ["format"] = Format,
        ["groupby"] = ListFilters.GroupBy,
        ["indent"] = Indent,
        ["int"] = ToInteger,
        ["items"] = ListFilters.Items,
        ["join"] = ListFilters.Join,
        ["last"] = ListFilters.Last,
        ["length"] = a => Integers.Box(Types.Length(a.Exactly("len", 1, 1)[0])),
        ["list"] = a => PySequence.Make([.. Types.ToArray(a.Bind("do_list", "!value")[0])], false),
        ["lower"] = a => Mapped(a.Bind("do_lower", "!s")[0], PyText.Lower),
        ["map"] = ListFilters.Map,
        ["max"] = a => ListFilters.Extreme(a, "do_max", ">"),
        ["min"] = a => ListFilters.Extreme(a, "do_min", "<"),
        ["pprint"] = a => Printer.Pretty(a.Bind("do_pprint", "!value")[0]),
        ["random"] = ListFilters.PickRandom,
        ["reject"] = a => ListFilters.Select(a, false, false),
        ["rejectattr"] = a => ListFilters.Select(a, false, true),
        ["replace"] = Replace,
        ["reverse"] = ListFilters.Reverse,
        ["round"] = Round,
        ["safe"] = a => a.Bind("do_mark_safe", "!value")[0] is var value && value is Markup ? value : new Markup(Printer.Str(value)),
        ["select"] = a => ListFilters.Select(a, true, false),
        ["selectattr"] = a => ListFilters.Select(a, true, true),
        ["slice"] = ListFilters.Slice,
        ["sort"] = ListFilters.Sort,
        ["string"] = a => a.Exactly("soft_str", 1, 1)[0] is var value && value is Markup ? value : Printer.Str(value),
        ["striptags"] = a => HtmlText.StripTags(Printer.Str(a.Bind("do_striptags", "!value")[0])),
        ["sum"] = ListFilters.Sum,
        ["title"] = a => Title(Printer.Str(a.Bind("do_title", "!s")[0])),
        ["tojson"] = JsonText.Filter,
        ["trim"] = Trim,
        ["truncate"] = Truncate,
        ["unique"] = ListFilters.Unique,
        ["upper"] = a => Mapped(a.Bind("do_upper", "!s")[0], PyText.Upper),
        ["urlencode"] = a => HtmlText.UrlEncode(a.Bind("do_urlencode", "!value")[0]),
        ["urlize"] = HtmlText.Urlize,
        ["wordcount"] = WordCount,
        ["wordwrap"] = TextWrap.Filter,
        ["xmlattr"] = HtmlText.Attributes,
    };

    /// <summary>A function of text applied to any value's text; markup stays markup.</summary>
    private static object Mapped(object? value, Func<string, string> function)
    {
        string text = Printer.Str(value);
        Budget.Scan(text.Length);
        string result = function(text);
        return value is Markup ? new Markup(result) : result;
    }

    private static string Text(object? value, string attribute) => PyText.TryGet(value, out string? text) ? text
        : throw (value as Undefined)?.Fault() ?? new TemplateFault("AttributeError", $"'{Types.Name(value)}' object has no attribute '{attribute}'");

    private static object Absolute(Arguments arguments)
    {
        object? value = arguments.Exactly("abs", 1, 1)[0];
        return value switch
        {
            double real => Math.Abs(real),
            long or bool or BigInteger => Integers.Box(BigInteger.Abs(Integers.Big(value))),
            _ => throw TemplateFault.Type($"bad operand type for abs(): '{Types.Name(value)}'"),
        };
    }

    private static object Center(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_center", "!value", "width");
        int width = a[1] is Missing ? 80 : Integers.Clamp(a[1]);
        return Mapped(a[0], text => StringMethods.Justify(text, "center", width, " "));
    }

    private static object? Default(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_default", "!value", "default_value", "boolean");
        bool falsy = a[2] is not Missing && Types.Truth(a[2]) && !Types.Truth(a[0]);
        return a[0] is Undefined || falsy ? (a[1] is Missing ? "" : a[1]) : a[0];
    }

    private static string FileSize(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_filesizeformat", "!value", "binary");
        bool binary = a[1] is not Missing && Types.Truth(a[1]);
        double bytes = Float(a[0]);
        double unit = binary ? 1024 : 1000;
        if (bytes == 1)
            return "1 Byte";
        if (bytes < unit)
            return $"{(long)bytes} Bytes";
        string prefixes = "kMGTPEZY";
        double scale = unit;
        int i = 0;
        while (i < prefixes.Length - 1 && bytes >= scale * unit)
        {
            scale *= unit;
            i++;
        }

        char prefix = binary ? char.ToUpperInvariant(prefixes[i]) : prefixes[i];
        return $"{FloatText.Fixed(bytes / scale, 1)} {prefix}{(binary ? "iB" : "B")}";
    }

    /// <summary>Python's <c>float(value)</c>.</summary>
    private static double Float(object? value)
    {
        if (value is Undefined undefined)
            throw undefined.Fault();
        if (Operators.IsNumber(value))
            return Operators.ToDouble(value!);
        if (!PyText.TryGet(value, out string? text))
            throw TemplateFault.Type($"float() argument must be a string or a real number, not '{Types.Name(value)}'");
        return TryParseFloat(text, out double real) ? real : throw TemplateFault.Value($"could not convert string to float: {Printer.Repr(text)}");
    }

    private static bool TryParseFloat(string text, out double value)
    {
        text = PyText.Trim(text).ToLowerInvariant();
        string word = text.TrimStart('+', '-');
        if (text.Length - word.Length <= 1 && word is "inf" or "infinity" or "nan")
        {
            value = word == "nan" ? double.NaN : text[0] == '-' ? double.NegativeInfinity : double.PositiveInfinity;
            return true;
        }

        // Underscores may stand between digits only.
        for (int i = text.IndexOf('_'); i >= 0; i = text.IndexOf('_', i + 1))
        {
            if (i == 0 || i == text.Length - 1 || !char.IsAsciiDigit(text[i - 1]) || !char.IsAsciiDigit(text[i + 1]))
            {
                value = 0;
                return false;
            }
        }

        return double.TryParse(
            text.Replace("_", ""), NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out value);
    }

    private static object? ToFloat(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_float", "!value", "default");
        try
        {
            return Float(a[0]);
        }
        catch (TemplateFault fault) when (fault.Kind is "TypeError" or "ValueError")
        {
            return a[1] is Missing ? 0.0 : a[1];
        }
    }

    private static object? ToInteger(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_int", "!value", "default", "base");
        object? standard = a[1] is Missing ? Integers.Box(0L) : a[1];
        switch (a[0])
        {
            case Undefined undefined:
                throw undefined.Fault();
            case long or BigInteger or bool:
                return Integers.Box(Integers.Big(a[0]!));
            case double real:
                return Truncate(real, standard, true);
            case string or Markup:
                PyText.TryGet(a[0], out string? text);
                int radix = a[2] is Missing ? 10 : Integers.Clamp(a[2]);
                if (text!.Length <= TemplateLimits.IntegerDigits && Integers.TryParse(text, radix, out BigInteger value))
                    return Integers.Box(value);
                return TryParseFloat(text, out double parsed) ? Truncate(parsed, standard, false) : standard;
            default:
                return standard;
        }
    }

    private static object? Truncate(double value, object? standard, bool raiseOverflow)
    {
        if (double.IsInfinity(value) && raiseOverflow)
            throw new TemplateFault("OverflowError", "cannot convert float infinity to integer");
        return double.IsFinite(value) ? Integers.Box(new BigInteger(Math.Truncate(value))) : standard;
    }

    private static object Format(Arguments arguments)
    {
        if (arguments.Count == 0)
            throw TemplateFault.Type("do_format() missing 1 required positional argument: 'value'");
        bool named = arguments.Named is { Count: > 0 };
        if (named && arguments.Count > 1)
            throw TemplateFault.FilterArgument("can't handle positional and keyword arguments at the same time");
        object? values = named
            ? PyDict.From(arguments.Named!.Select(n => new KeyValuePair<object?, object?>(n.Key, n.Value)))
            : PySequence.Tuple(arguments.Positional[1..]);
        return PercentFormat.Apply(Printer.Str(arguments.Positional[0]), values, arguments.Positional[0] is Markup);
    }

    private static object Indent(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_indent", "!s", "width", "first", "blank");
        string text = PyText.TryGet(a[0], out string? given) ? given
            : throw (a[0] as Undefined)?.Fault() ?? TemplateFault.Type($"unsupported operand type(s) for +=: '{Types.Name(a[0])}' and 'str'");
        bool markup = a[0] is Markup;
        string indention;
        if (PyText.TryGet(a[1], out string? prefix))
        {
            indention = prefix;
        }
        else
        {
            int width = a[1] is Missing ? 4 : Math.Max(0, Integers.Clamp(a[1]));
            Budget.Text(width);
            indention = new string(' ', width);
        }

        bool first = a[2] is not Missing && Types.Truth(a[2]), blank = a[3] is not Missing && Types.Truth(a[3]);
        PySequence lines = StringMethods.SplitLines(text + "\n", false);
        Budget.Text(text.Length + ((long)lines.Count * (indention.Length + 1)));
        var result = new StringBuilder(first ? indention : "");
        for (int i = 0; i < lines.Count; i++)
        {
            string line = (string)lines[i]!;
            if (i > 0)
                result.Append('\n').Append(blank || line.Length > 0 ? indention : "");
            result.Append(line);
        }

        return markup ? new Markup(result.ToString()) : result.ToString();
    }

    private static string Replace(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_replace", "!s", "!old", "!new", "count");
        int count = a[3] is Missing or null ? -1 : Integers.Clamp(a[3]);
        return StringMethods.Replace(Printer.Str(a[0]), Printer.Str(a[1]), Printer.Str(a[2]), count);
    }

    private static object Round(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_round", "!value", "precision", "method");
        string method = a[2] is Missing ? "common" : PyText.TryGet(a[2], out string? given) ? given : "";
        if (method is not ("common" or "ceil" or "floor"))
            throw TemplateFault.FilterArgument("method must be common, ceil or floor");
        object? precision = a[1] is Missing ? Integers.Box(0L) : a[1];
        if (!Operators.IsNumber(a[0]))
        {
            throw (method == "common" ? null : (a[0] as Undefined)?.Fault()) ?? TemplateFault.Type(method == "common"
                ? $"type {Types.Name(a[0])} doesn't define __round__ method" : $"must be real number, not {Types.Name(a[0])}");
        }

        if (method == "common")
            return RoundCommon(a[0]!, precision);
        object? factor = Operators.Binary("**", Integers.Box(10L), precision);
        object? scaled = Operators.Binary("*", a[0], factor);
        if (scaled is double real)
        {
            if (!double.IsFinite(real))
                throw new TemplateFault(double.IsNaN(real) ? "ValueError" : "OverflowError", $"cannot convert float {(double.IsNaN(real) ? "NaN" : "infinity")} to integer");
            scaled = Integers.Box(new BigInteger(method == "ceil" ? Math.Ceiling(real) : Math.Floor(real)));
        }

        return Operators.Binary("/", scaled, factor)!;
    }

    private static object RoundCommon(object value, object? precision)
    {
        if (precision is not null && !Integers.Is(precision))
            throw TemplateFault.Type($"'{Types.Name(precision)}' object cannot be interpreted as an integer");
        if (value is double real)
        {
            if (precision is not null)
                return FloatText.Round(real, Integers.Clamp(precision));
            return Truncate(FloatText.Round(real, 0), null, true) ?? throw TemplateFault.Value("cannot convert float NaN to integer");
        }

        int digits = precision is null ? 0 : Integers.Clamp(precision);
        BigInteger whole = Integers.Big(value);
        if (digits >= 0)
            return Integers.Box(whole);
        if (-digits > TemplateLimits.IntegerDigits)
            return Integers.Box(0L);
        BigInteger unit = BigInteger.Pow(10, -digits);
        BigInteger quotient = BigInteger.DivRem(BigInteger.Abs(whole), unit, out BigInteger rest);
        int half = (rest * 2).CompareTo(unit);
        if (half > 0 || (half == 0 && !quotient.IsEven))
            quotient++;
        return Integers.Box(quotient * unit * whole.Sign);
    }

    /// <summary>Words start after white space, hyphens and opening brackets.</summary>
    private static string Title(string text)
    {
        Budget.Text(text.Length);
        var result = new StringBuilder(text.Length);
        int i = 0;
        while (i < text.Length)
        {
            int start = i;
            while (i < text.Length && !(PyText.IsSpace(text[i]) || text[i] is '-' or '(' or '{' or '[' or '<'))
                i++;
            if (i > start)
            {
                int width = PyText.Width(text, start);
                result.Append(PyText.Upper(text.Substring(start, width))).Append(PyText.Lower(text[(start + width)..i]));
            }
            else
            {
                result.Append(text[i++]);
            }
        }

        return result.ToString();
    }

    private static object Trim(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_trim", "!value", "chars");
        object? characters = a[1] is Missing ? null : a[1];
        return Mapped(a[0], text => StringMethods.Strip(text, characters, true, true));
    }

    private static object? Truncate(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_truncate", "!s", "length", "killwords", "end", "leeway");
        int length = a[1] is Missing ? 255 : Integers.Clamp(a[1]);
        string end = a[3] is Missing ? "..." : Text(a[3], "__len__");
        int leeway = a[4] is Missing or null ? 5 : Integers.Clamp(a[4]);
        int endLength = PyText.Length(end);
        if (length < endLength)
            throw new TemplateFault("AssertionError", $"expected length >= {endLength}, got {length}");
        if (leeway < 0)
            throw new TemplateFault("AssertionError", $"expected leeway >= 0, got {leeway}");
        if (Types.Length(a[0]) <= (long)length + leeway)
            return a[0];
        string cut = Printer.Str(Members.Slice(a[0], null, Integers.Box((long)length - endLength), null));
        bool killWords = a[2] is not Missing && Types.Truth(a[2]);
        int space = killWords ? -1 : cut.LastIndexOf(' ');
        return (space >= 0 ? cut[..space] : cut) + end;
    }

    private static object WordCount(Arguments arguments)
    {
        string text = Printer.Str(arguments.Bind("do_wordcount", "!s")[0]);
        Budget.Scan(text.Length * 4L);
        long count = 0;
        bool inWord = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool word = Rune.IsLetterOrDigit(rune) || rune.Value == '_' || Rune.IsNumber(rune);
            count += word && !inWord ? 1 : 0;
            inWord = word;
        }

        return Integers.Box(count);
    }
}
