using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Text;

namespace Flint.Dialects;

/// <summary>Python's <c>str</c>, <c>repr</c> and <c>pprint.pformat</c>.</summary>
internal static class Printer
{
    private const int PrettyWidth = 80;

    public static string Str(object? value) => value switch
    {
        string text => text,
        Markup markup => markup.Text,
        Undefined => "",
        _ => Repr(value),
    };

    public static string Repr(object? value)
    {
        switch (value)
        {
            case null: return "None";
            case bool flag: return flag ? "True" : "False";
            case long number: return number.ToString(CultureInfo.InvariantCulture);
        }

        var text = new StringBuilder();
        Append(text, value, false);
        return text.ToString();
    }

    /// <summary>Python's <c>ascii</c>: <see cref="Repr"/> with everything outside ASCII escaped.</summary>
    public static string AsciiRepr(object? value)
    {
        var text = new StringBuilder();
        Append(text, value, true);
        return text.ToString();
    }

    private static void Append(StringBuilder text, object? value, bool ascii)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        int before = text.Length;
        switch (value)
        {
            case string s: AppendQuoted(text, s, ascii); break;
            case Markup markup:
                text.Append("Markup(");
                AppendQuoted(text, markup.Text, ascii);
                text.Append(')');
                break;
            case null or bool or long: text.Append(Repr(value)); break;
            case double real: text.Append(FloatText.Repr(real)); break;
            case BigInteger big: text.Append(Integers.Text(big)); break;
            case PySequence sequence: AppendItems(text, sequence.Items, sequence.IsTuple ? "()" : "[]", sequence.IsTuple && sequence.Count == 1, ascii); break;
            case PyDict dict: AppendDict(text, dict.Entries, ascii); break;
            case PyView view:
                text.Append(Types.Name(view)).Append('(');
                AppendItems(text, [.. view.Items], "[]", false, ascii);
                text.Append(')');
                break;
            case PyRange { Step: 1 } range: text.Append(CultureInfo.InvariantCulture, $"range({range.Start}, {range.Stop})"); break;
            case PyRange range: text.Append(CultureInfo.InvariantCulture, $"range({range.Start}, {range.Stop}, {range.Step})"); break;
            case Namespace space:
                text.Append("<Namespace ");
                AppendDict(text, space.Attributes.Select(a => new KeyValuePair<object?, object?>(a.Key, a.Value)), ascii);
                text.Append('>');
                break;
            case Undefined: text.Append("Undefined"); break;
            case Macro macro: text.Append("<Macro ").Append(macro.Name is null ? "anonymous" : Repr(macro.Name)).Append('>'); break;
            case LoopContext loop: text.Append(CultureInfo.InvariantCulture, $"<LoopContext {loop.Index}/{loop.Length}>"); break;
            case Function { TypeName: "type" } type: text.Append("<class '").Append(type.Name).Append("'>"); break;
            case Function { TypeName: "function" } function: text.Append("<function ").Append(function.Name).Append('>'); break;
            case Function function: text.Append("<built-in method ").Append(function.Name).Append('>'); break;
            default: text.Append('<').Append(Types.ObjectRepr(value)).Append('>'); break;
        }

        Budget.Charge(1 + ((text.Length - before) >> 4));
        Check(text);
    }

    private static void Check(StringBuilder text)
    {
        if (text.Length > TemplateLimits.TextLength)
            throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters");
    }

    private static void AppendItems(StringBuilder text, ReadOnlySpan<object?> items, string brackets, bool trailingComma, bool ascii)
    {
        text.Append(brackets[0]);
        for (int i = 0; i < items.Length; i++)
        {
            if (i > 0)
                text.Append(", ");
            Append(text, items[i], ascii);
        }

        text.Append(trailingComma ? "," : "").Append(brackets[1]);
    }

    private static void AppendDict(StringBuilder text, IEnumerable<KeyValuePair<object?, object?>> entries, bool ascii)
    {
        text.Append('{');
        bool first = true;
        foreach (KeyValuePair<object?, object?> entry in entries)
        {
            if (!first)
                text.Append(", ");
            first = false;
            Append(text, entry.Key, ascii);
            text.Append(": ");
            Append(text, entry.Value, ascii);
        }

        text.Append('}');
    }

    private static void AppendQuoted(StringBuilder text, string value, bool ascii)
    {
        char quote = value.Contains('\'') && !value.Contains('"') ? '"' : '\'';
        text.Append(quote);
        for (int i = 0; i < value.Length; i++)
        {
            char c = value[i];
            if (c == quote || c == '\\')
                text.Append('\\').Append(c);
            else if (c is >= ' ' and < '\u007F')
                text.Append(c);
            else if (c is '\n' or '\r' or '\t')
                text.Append('\\').Append(c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
            else
                i += AppendWide(text, value, i, ascii);
        }

        text.Append(quote);
    }

    /// <summary>Appends a code point outside printable ASCII; returns how many further units it took.</summary>
    private static int AppendWide(StringBuilder text, string value, int i, bool ascii)
    {
        int width = PyText.Width(value, i);
        int code = width == 2 ? char.ConvertToUtf32(value[i], value[i + 1]) : value[i];
        if (!ascii && IsPrintable(value, i))
            text.Append(value, i, width);
        else if (code < 0x100)
            text.Append(CultureInfo.InvariantCulture, $"\\x{code:x2}");
        else if (code < 0x10000)
            text.Append(CultureInfo.InvariantCulture, $"\\u{code:x4}");
        else
            text.Append(CultureInfo.InvariantCulture, $"\\U{code:x8}");
        return width - 1;
    }

    /// <summary>Python's <c>str.isprintable</c> for the code point at <paramref name="i"/>.</summary>
    public static bool IsPrintable(string text, int i) => text[i] == ' ' || CharUnicodeInfo.GetUnicodeCategory(text, i) is not (
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse
        or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);

    /// <summary>Python's <c>pprint.pformat</c>: one line when it fits 80 columns, otherwise one item per line, keys sorted.</summary>
    public static string Pretty(object? value)
    {
        var text = new StringBuilder();
        AppendPretty(text, value, 0, 0);
        return text.ToString();
    }

    private static void AppendPretty(StringBuilder text, object? value, int indent, int allowance)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        object? sorted = SortKeys(value);
        string plain = Repr(sorted);
        Check(text);
        bool fits = plain.Length <= PrettyWidth - indent - allowance;
        if (!fits && sorted is PySequence { Count: > 0 } sequence)
        {
            string close = sequence.IsTuple ? (sequence.Count == 1 ? ",)" : ")") : "]";
            text.Append(sequence.IsTuple ? '(' : '[');
            for (int i = 0; i < sequence.Count; i++)
            {
                if (i > 0)
                    text.Append(",\n").Append(' ', indent + 1);
                AppendPretty(text, sequence[i], indent + 1, i == sequence.Count - 1 ? allowance + close.Length : 1);
            }

            text.Append(close);
        }
        else if (!fits && sorted is PyDict { Count: > 0 } dict)
        {
            text.Append('{');
            for (int i = 0; i < dict.Count; i++)
            {
                KeyValuePair<object?, object?> entry = dict.At(i);
                string key = Repr(entry.Key);
                if (i > 0)
                    text.Append(",\n").Append(' ', indent + 1);
                text.Append(key).Append(": ");
                AppendPretty(text, entry.Value, indent + key.Length + 3, i == dict.Count - 1 ? allowance + 1 : 1);
            }

            text.Append('}');
        }
        else
        {
            text.Append(plain);
        }
    }

    /// <summary>The value with every mapping in it sorted by key, as pprint shows them.</summary>
    private static object? SortKeys(object? value)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        Budget.Charge(1);
        return value switch
        {
            PySequence { Fields: null } sequence => PySequence.Make([.. sequence.Array.Select(SortKeys)], sequence.IsTuple),
            PyDict dict => PyDict.From(dict.Entries
                .OrderBy(e => e.Key, Comparer<object?>.Create(static (x, y) => PyText.TryGet(x, out string? a) && PyText.TryGet(y, out string? b)
                    ? Operators.CompareText(a, b) : Integers.Is(x) && Integers.Is(y) ? Integers.Big(x!).CompareTo(Integers.Big(y!)) : 0))
                .Select(e => new KeyValuePair<object?, object?>(e.Key, SortKeys(e.Value)))),
            _ => value,
        };
    }
}
