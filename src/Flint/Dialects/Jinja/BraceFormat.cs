using System.Text;

namespace Flint.Dialects;

/// <summary>Python's <c>text.format(...)</c>, with members looked up as templates look them up.</summary>
internal sealed class BraceFormat
{
    private readonly object?[] positional;
    private readonly Func<string, object?> named;
    private readonly bool escape;
    private int automatic;
    private bool manual;

    private BraceFormat(object?[] positional, Func<string, object?> named, bool escape)
    {
        this.positional = positional;
        this.named = named;
        this.escape = escape;
    }

    public static object Format(string format, Arguments arguments, bool escape)
    {
        List<KeyValuePair<string, object?>> named = arguments.Named ?? [];
        object? Named(string key)
        {
            foreach (KeyValuePair<string, object?> entry in named)
            {
                if (entry.Key == key)
                    return entry.Value;
            }

            throw new TemplateFault("KeyError", Printer.Repr(key));
        }

        return Finish(new BraceFormat(arguments.Positional, Named, escape).Expand(format, 2), escape);
    }

    public static object FormatMap(string format, object? mapping, bool escape) =>
        Finish(new BraceFormat([], key => mapping is PyDict dict && dict.TryGet(key, out object? value) ? value
            : throw new TemplateFault("KeyError", Printer.Repr(key)), escape).Expand(format, 2), escape);

    private static object Finish(string text, bool escape) => escape ? new Markup(text) : text;

    private string Expand(string format, int depth)
    {
        if (depth < 0)
            throw TemplateFault.Value("Max string recursion exceeded");
        var text = new StringBuilder();
        int i = 0;
        while (i < format.Length)
        {
            char c = format[i++];
            if (c is not ('{' or '}'))
            {
                text.Append(c);
                continue;
            }

            if (i < format.Length && format[i] == c)
            {
                text.Append(c);
                i++;
                continue;
            }

            if (c == '}')
                throw TemplateFault.Value("Single '}' encountered in format string");
            int end = FieldEnd(format, i);
            text.Append(Field(format[i..end], depth));
            Budget.Step();
            Budget.Text(text.Length);
            i = end + 1;
        }

        return text.ToString();
    }

    private static int FieldEnd(string format, int start)
    {
        int depth = 1;
        for (int i = start; i < format.Length; i++)
        {
            depth += format[i] == '{' ? 1 : format[i] == '}' ? -1 : 0;
            if (depth == 0)
                return i;
        }

        throw TemplateFault.Value(start == format.Length ? "Single '{' encountered in format string" : "expected '}' before end of string");
    }

    private string Field(string field, int depth)
    {
        // Colons and exclamation marks inside an index belong to it.
        int split = 0;
        for (int brackets = 0; split < field.Length && (brackets > 0 || field[split] is not (':' or '!')); split++)
            brackets += field[split] == '[' ? 1 : field[split] == ']' ? -1 : 0;
        string name = field[..split];
        char conversion = '\0';
        if (split < field.Length && field[split] == '!')
        {
            if (split + 1 >= field.Length || (split + 2 < field.Length && field[split + 2] != ':'))
                throw TemplateFault.Value("expected ':' after conversion specifier");
            conversion = field[split + 1];
            split += 2;
        }

        object? value = Resolve(name);
        string spec = split < field.Length ? Expand(field[(split + 1)..], depth - 1) : "";
        value = conversion switch
        {
            '\0' => value,
            's' => Printer.Str(value),
            'r' => Printer.Repr(value),
            'a' => Printer.AsciiRepr(value),
            _ => throw TemplateFault.Value($"Unknown conversion specifier {conversion}"),
        };
        if (!escape)
            return FormatSpec.Apply(value, spec);
        if (value is Markup markup)
            return spec.Length == 0 ? markup.Text : throw TemplateFault.Value("Unsupported format specification for Markup.");
        return Markup.Escape(FormatSpec.Apply(value, spec));
    }

    private object? Resolve(string name)
    {
        int i = name.AsSpan().IndexOfAny('.', '[');
        string first = i < 0 ? name : name[..i];
        object? value = name.Length > 0 && first.Length == 0 ? named(first) : First(first);
        while (i >= 0 && i < name.Length)
        {
            if (name[i] == '.')
            {
                int end = name.AsSpan(i + 1).IndexOfAny('.', '[');
                end = end < 0 ? name.Length : i + 1 + end;
                if (end == i + 1)
                    throw TemplateFault.Value("Empty attribute in format string");
                value = Members.Attribute(value, name[(i + 1)..end]);
                i = end;
            }
            else
            {
                int close = name.IndexOf(']', i);
                if (name[i] != '[')
                    throw TemplateFault.Value("Only '.' or '[' may follow ']' in format field specifier");
                if (close < 0)
                    throw TemplateFault.Value("Missing ']' in format string");
                string key = name[(i + 1)..close];
                if (key.Length == 0)
                    throw TemplateFault.Value("Empty attribute in format string");
                value = Members.Item(value, key.All(char.IsAsciiDigit) && key.Length < 10 ? Integers.Box(long.Parse(key)) : key);
                i = close + 1;
            }
        }

        return value;
    }

    private object? First(string first)
    {
        bool number = first.Length < 10 && first.All(char.IsAsciiDigit);
        if (!number)
            return named(first);
        if (first.Length == 0 ? manual : automatic > 0)
        {
            throw TemplateFault.Value("cannot switch from manual field specification to automatic field numbering");
        }

        manual |= first.Length > 0;
        int index = first.Length == 0 ? automatic++ : int.Parse(first);
        return index < positional.Length ? positional[index]
            : throw new TemplateFault("IndexError", $"Replacement index {index} out of range for positional args tuple");
    }
}
