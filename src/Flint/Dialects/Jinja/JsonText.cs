using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Text;

namespace Flint.Dialects;

/// <summary>Python's <c>json.dumps</c>, as the Transformers' <c>tojson</c> filter calls it: characters outside ASCII stay unless asked.</summary>
internal sealed class JsonText
{
    private readonly StringBuilder text = new();
    private readonly bool ascii;
    private readonly string? indent;
    private readonly string itemSeparator;
    private readonly string keySeparator;
    private readonly bool sortKeys;
    private int depth;

    private JsonText(bool ascii, string? indent, string itemSeparator, string keySeparator, bool sortKeys)
    {
        this.ascii = ascii;
        this.indent = indent;
        this.itemSeparator = itemSeparator;
        this.keySeparator = keySeparator;
        this.sortKeys = sortKeys;
    }

    /// <summary>The filter: <c>tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)</c>.</summary>
    public static object? Filter(Arguments arguments)
    {
        object?[] a = arguments.Bind("tojson", "!x", "ensure_ascii", "indent", "separators", "sort_keys");
        string? indent = a[2] switch
        {
            Missing or null => null,
            _ when PyText.TryGet(a[2], out string? given) => given,
            _ => new string(' ', Math.Clamp(Integers.Clamp(a[2]), 0, TemplateLimits.FormatPrecision)),
        };
        string item = indent is null ? ", " : ",", key = ": ";
        if (a[3] is not (Missing or null))
        {
            object?[] pair = Types.ToArray(a[3]);
            if (pair.Length != 2)
                throw TemplateFault.Value($"{(pair.Length < 2 ? "not enough" : "too many")} values to unpack (expected 2)");
            (item, key) = (Printer.Str(pair[0]), Printer.Str(pair[1]));
        }

        var json = new JsonText(a[1] is not Missing && Types.Truth(a[1]), indent, item, key, a[4] is not Missing && Types.Truth(a[4]));
        json.Append(a[0]);
        Budget.Text(json.text.Length);
        return json.text.ToString();
    }

    private void Append(object? value)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        Budget.Charge(1);
        switch (value)
        {
            case null: text.Append("null"); break;
            case bool flag: text.Append(flag ? "true" : "false"); break;
            case long or BigInteger: text.Append(Printer.Repr(value)); break;
            case double real: text.Append(Number(real)); break;
            case string s: AppendString(s); break;
            case Markup markup: AppendString(markup.Text); break;
            case PySequence sequence: AppendList(sequence); break;
            case PyDict dict: AppendDict(dict); break;
            default: throw TemplateFault.Type($"Object of type {Types.Name(value)} is not JSON serializable");
        }

        if (text.Length > TemplateLimits.TextLength)
            throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters");
    }

    private static string Number(double value) =>
        double.IsNaN(value) ? "NaN" : double.IsInfinity(value) ? (value > 0 ? "Infinity" : "-Infinity") : FloatText.Repr(value);

    private void AppendList(PySequence sequence)
    {
        text.Append('[');
        depth++;
        for (int i = 0; i < sequence.Count; i++)
        {
            text.Append(i > 0 ? itemSeparator : "");
            AppendBreak();
            Append(sequence[i]);
        }

        Close(']', sequence.Count > 0);
    }

    private void AppendDict(PyDict dict)
    {
        text.Append('{');
        depth++;
        bool first = true;
        IEnumerable<KeyValuePair<object?, object?>> entries = sortKeys ? Sorting.ByKey(dict) : dict.Entries;
        foreach (KeyValuePair<object?, object?> entry in entries)
        {
            text.Append(first ? "" : itemSeparator);
            first = false;
            AppendBreak();
            AppendString(Key(entry.Key));
            text.Append(keySeparator);
            Append(entry.Value);
        }

        Close('}', !first);
    }

    private static string Key(object? key) => key switch
    {
        string text => text,
        Markup markup => markup.Text,
        null => "null",
        bool flag => flag ? "true" : "false",
        long or BigInteger => Printer.Repr(key),
        double real => Number(real),
        _ => throw TemplateFault.Type($"keys must be str, int, float, bool or None, not {Types.Name(key)}"),
    };

    private void Close(char bracket, bool any)
    {
        depth--;
        if (any)
            AppendBreak();
        text.Append(bracket);
    }

    private void AppendBreak()
    {
        if (indent is null)
            return;
        text.Append('\n');
        for (int i = 0; i < depth; i++)
            text.Append(indent);
        Budget.Charge((long)depth * indent.Length >> 4);
    }

    private void AppendString(string value)
    {
        Budget.Scan(value.Length);
        text.Append('"');
        int start = 0;
        for (int i = 0; i < value.Length; i++)
        {
            char c = value[i];
            if (c >= ' ' && c != '"' && c != '\\' && !(ascii && c > '\u007E'))
                continue;
            text.Append(value, start, i - start);
            start = i + 1;
            switch (c)
            {
                case '"': text.Append("\\\""); break;
                case '\\': text.Append("\\\\"); break;
                case '\n': text.Append("\\n"); break;
                case '\r': text.Append("\\r"); break;
                case '\t': text.Append("\\t"); break;
                case '\b': text.Append("\\b"); break;
                case '\f': text.Append("\\f"); break;
                case '\u007F': text.Append(c); break;
                default: text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"); break;
            }
        }

        text.Append(value, start, value.Length - start).Append('"');
    }
}
