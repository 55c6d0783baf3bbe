using System.Numerics;

namespace Flint.Dialects;

// A template value is null (None), bool, long, BigInteger (only outside long), double, string, or one of the types below.

/// <summary>Marks a variable or argument that has no value; never seen by a template.</summary>
internal sealed class Missing
{
    public static readonly Missing Value = new();

    private Missing()
    {
    }
}

/// <summary>What a name, attribute or item that does not exist evaluates to: prints as nothing, is false, raises when used further.</summary>
internal sealed class Undefined
{
    private readonly string? hint;
    private readonly object? owner;
    private readonly object? name;
    private readonly bool isUnsafe;

    private Undefined(string? hint, object? owner, object? name, bool isUnsafe = false)
    {
        this.hint = hint;
        this.owner = owner;
        this.name = name;
        this.isUnsafe = isUnsafe;
    }

    public static Undefined Named(string name) => new(null, Missing.Value, name);

    public static Undefined Hint(string hint) => new(hint, null, null);

    /// <summary>A member that exists but that the sandbox keeps from templates.</summary>
    public static Undefined Unsafe(object? owner, string name) => new(null, owner, name, true);

    public static Undefined Member(object? owner, object? name) => new(null, owner, name);

    public TemplateFault Fault() => new(isUnsafe ? "SecurityError" : "UndefinedError", Message());

    private string Message()
    {
        if (hint is not null)
            return hint;
        if (owner is Missing)
            return $"{Printer.Repr(name)} is undefined";
        if (isUnsafe)
            return $"access to attribute {Printer.Repr(name)} of {Printer.Repr(Types.Name(owner))} object is unsafe.";
        string described = Types.ObjectRepr(owner);
        return PyText.TryGet(name, out string? text)
            ? $"{Printer.Repr(described)} has no attribute {Printer.Repr(text)}"
            : $"{described} has no element {Printer.Repr(name)}";
    }
}

/// <summary>A string marked as safe HTML; joined with other strings it escapes them, as MarkupSafe does.</summary>
internal sealed class Markup(string text)
{
    public string Text { get; } = text;

    /// <summary>The text with the five HTML characters replaced; markup itself is left alone.</summary>
    public static string Escape(object? value)
    {
        if (value is Markup markup)
            return markup.Text;
        string plain = Printer.Str(value);
        if (plain.AsSpan().IndexOfAny("&<>'\"") < 0)
            return plain;
        string escaped = plain.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;").Replace("'", "&#39;").Replace("\"", "&#34;");
        Budget.Text(escaped.Length);
        return escaped;
    }
}

/// <summary>A list or tuple; never changed once a template can see it, so it cannot contain itself.</summary>
internal sealed class PySequence
{
    private readonly object?[] items;

    private PySequence(object?[] items, bool isTuple, string[]? fields)
    {
        this.items = items;
        IsTuple = isTuple;
        Fields = fields;
        Weight = Weights.Sum(items);
    }

    public bool IsTuple { get; }

    /// <summary>The names of a named tuple's items.</summary>
    public string[]? Fields { get; }

    /// <summary>How many values it holds, nested ones included.</summary>
    public int Weight { get; }

    public int Count => items.Length;

    public ReadOnlySpan<object?> Items => items;

    public object?[] Array => items;

    public object? this[int index] => items[index];

    public static PySequence List(params object?[] items) => Make(items, false);

    public static PySequence List(List<object?> items) => Make([.. items], false);

    public static PySequence Tuple(params object?[] items) => Make(items, true);

    public static PySequence Named(string[] fields, params object?[] items) => new(items, true, fields);

    public static PySequence Make(object?[] items, bool isTuple)
    {
        Budget.Items(items.Length);
        return new PySequence(items, isTuple, null);
    }
}

internal static class Weights
{
    public static int Of(object? value) => value switch
    {
        PySequence sequence => sequence.Weight,
        PyDict dict => dict.Weight,
        _ => 1,
    };

    public static int Sum(ReadOnlySpan<object?> items)
    {
        long weight = 1;
        foreach (object? item in items)
            weight += Of(item);
        return Checked(weight);
    }

    public static int Checked(long weight)
    {
        if (weight > TemplateLimits.Weight)
            throw TemplateFault.Limit($"a value may nest {TemplateLimits.Weight} values");
        return (int)weight;
    }
}

/// <summary>A mapping that keeps insertion order; filled by its maker, fixed once a template can see it.</summary>
internal sealed class PyDict : System.Collections.IEnumerable
{
    /// <summary>Stands for None, which a .NET dictionary does not take as a key.</summary>
    private static readonly object NoneKey = new();

    private readonly OrderedDictionary<object, object?> entries = new(KeyComparer.Instance);
    private long weight = 1;

    public PyDict() => Budget.Object();

    public int Count => entries.Count;

    public int Weight => Weights.Checked(weight);

    public IEnumerable<object?> Keys => entries.Keys.Select(Unwrap);

    public IEnumerable<object?> Values => entries.Values;

    public IEnumerable<KeyValuePair<object?, object?>> Entries => entries.Select(e => new KeyValuePair<object?, object?>(Unwrap(e.Key), e.Value));

    public object? this[object? key]
    {
        set
        {
            Budget.Slot();
            weight += Weights.Of(value) + Weights.Of(key);
            Weights.Checked(weight);
            entries[key ?? NoneKey] = value;
        }
    }

    public static PyDict From(IEnumerable<KeyValuePair<object?, object?>> source)
    {
        var dict = new PyDict();
        foreach (KeyValuePair<object?, object?> entry in source)
            dict[entry.Key] = entry.Value;
        return dict;
    }

    public bool TryGet(object? key, out object? value) => entries.TryGetValue(key ?? NoneKey, out value);

    public bool Contains(object? key) => entries.ContainsKey(key ?? NoneKey);

    public KeyValuePair<object?, object?> At(int index)
    {
        KeyValuePair<object, object?> entry = entries.GetAt(index);
        return new(Unwrap(entry.Key), entry.Value);
    }

    /// <summary>Present so that an initializer may fill a new mapping.</summary>
    System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => Entries.GetEnumerator();

    private static object? Unwrap(object key) => ReferenceEquals(key, NoneKey) ? null : key;
}

/// <summary>Python's equality and hash of dictionary keys: 1, 1.0 and True are one key; lists and mappings are refused.</summary>
internal sealed class KeyComparer : IEqualityComparer<object>
{
    public static readonly KeyComparer Instance = new();

    bool IEqualityComparer<object>.Equals(object? x, object? y) =>
        x is string a && y is string b ? string.Equals(a, b) : Operators.AreEqual(x, y);

    int IEqualityComparer<object>.GetHashCode(object obj) => Hash(obj);

    private static int Hash(object? key)
    {
        switch (key)
        {
            case string text: return text.GetHashCode();
            case Markup markup: return markup.Text.GetHashCode();
            case bool flag: return (flag ? 1L : 0L).GetHashCode();
            case long number: return number.GetHashCode();
            case double real:
                return Math.Abs(real) < 9e18 && real == Math.Floor(real) ? ((long)real).GetHashCode()
                    : double.IsFinite(real) && real == Math.Floor(real) ? new BigInteger(real).GetHashCode() : real.GetHashCode();
            case BigInteger big: return big.GetHashCode();
            case PySequence { IsTuple: true } tuple:
                System.Runtime.CompilerServices.RuntimeHelpers.EnsureSufficientExecutionStack();
                Budget.Charge(tuple.Weight);
                var hash = new HashCode();
                foreach (object? item in tuple.Items)
                    hash.Add(Hash(item));
                return hash.ToHashCode();
            case PySequence or PyDict: throw TemplateFault.Type($"unhashable type: '{Types.Name(key)}'");
            case Undefined: return 1;
            case null: return 0;
            default: return System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(key);
        }
    }
}

/// <summary>Which part of a mapping a <see cref="PyView"/> shows.</summary>
internal enum ViewKind
{
    Keys,
    Values,
    Items,
}

/// <summary>What <c>keys()</c>, <c>values()</c> and <c>items()</c> return.</summary>
internal sealed record PyView(PyDict Dict, ViewKind Kind)
{
    public IEnumerable<object?> Items => Kind switch
    {
        ViewKind.Keys => Dict.Keys,
        ViewKind.Values => Dict.Values,
        _ => Dict.Entries.Select(e => (object?)PySequence.Tuple(e.Key, e.Value)),
    };
}

/// <summary>Python's <c>range</c>.</summary>
internal sealed record PyRange(long Start, long Stop, long Step)
{
    public long Count { get; } = Step > 0 ? Length(Start, Stop, Step) : Length(Stop, Start, -(Int128)Step);

    public long this[long index] => Start + (index * Step);

    private static long Length(Int128 low, Int128 high, Int128 step) => high > low ? (long)Int128.Min((high - low - 1) / step + 1, long.MaxValue) : 0;
}

/// <summary>An iterator: read once, front to back.</summary>
internal sealed class PyIterator
{
    private readonly IEnumerator<object?> enumerator;
    private bool running;

    public PyIterator(IEnumerable<object?> source, string typeName = "generator")
    {
        Budget.Object();
        enumerator = source.GetEnumerator();
        TypeName = typeName;
    }

    public string TypeName { get; }

    public bool TryNext(out object? value)
    {
        Budget.Step();
        if (running)
            throw TemplateFault.Value("generator already executing");
        running = true;
        try
        {
            bool any = enumerator.MoveNext();
            value = any ? enumerator.Current : null;
            return any;
        }
        finally
        {
            running = false;
        }
    }
}

/// <summary>What <c>namespace()</c> makes: the one value a template may change.</summary>
internal sealed class Namespace
{
    public Dictionary<string, object?> Attributes { get; } = [];
}

/// <summary>A function of the language, or a method bound to its owner.</summary>
/// <param name="Name">Name for messages.</param>
/// <param name="Body">What it does.</param>
/// <param name="TypeName">Its Python type's name.</param>
internal sealed record Function(string Name, Func<Arguments, object?> Body, string TypeName = "function");

/// <summary>The arguments of one call.</summary>
internal readonly struct Arguments(object?[] positional, List<KeyValuePair<string, object?>>? named = null)
{
    public object?[] Positional { get; } = positional;

    public List<KeyValuePair<string, object?>>? Named { get; } = named;

    public int Count => Positional.Length;

    /// <summary>Puts a value before the positional arguments, as filters get theirs.</summary>
    public Arguments Prepend(object? value)
    {
        object?[] all = new object?[Positional.Length + 1];
        all[0] = value;
        Positional.CopyTo(all, 1);
        return new Arguments(all, Named);
    }

    /// <summary>
    /// One value per parameter, <see cref="Missing.Value"/> where not given. Parameters whose name starts with '!' are required.
    /// </summary>
    public object?[] Bind(string function, params ReadOnlySpan<string> parameters)
    {
        if (Positional.Length > parameters.Length)
            throw TemplateFault.Type($"{function}() takes {parameters.Length} positional argument{(parameters.Length == 1 ? "" : "s")} but {Positional.Length} were given");
        object?[] bound = new object?[parameters.Length];
        for (int i = 0; i < bound.Length; i++)
            bound[i] = i < Positional.Length ? Positional[i] : Missing.Value;
        if (Named is not null)
        {
            foreach (KeyValuePair<string, object?> named in Named)
                BindNamed(function, parameters, bound, named);
        }

        for (int i = 0; i < bound.Length; i++)
        {
            if (bound[i] is Missing && parameters[i][0] == '!')
                throw TemplateFault.Type($"{function}() missing 1 required positional argument: '{parameters[i][1..]}'");
        }

        return bound;
    }

    /// <summary>The positional arguments of a function that takes from <paramref name="least"/> to <paramref name="most"/> and none by name.</summary>
    public object?[] Exactly(string function, int least, int most)
    {
        if (Named is { Count: > 0 })
            throw TemplateFault.Type($"{function}() takes no keyword arguments");
        if (Positional.Length < least || Positional.Length > most)
        {
            string expected = least == most ? (least == 0 ? "no arguments" : $"exactly {least} argument{(least == 1 ? "" : "s")}")
                : Positional.Length < least ? $"at least {least} argument{(least == 1 ? "" : "s")}" : $"at most {most} argument{(most == 1 ? "" : "s")}";
            throw TemplateFault.Type($"{function}() takes {expected} ({Positional.Length} given)");
        }

        return Positional;
    }

    private static void BindNamed(string function, ReadOnlySpan<string> parameters, object?[] bound, KeyValuePair<string, object?> named)
    {
        for (int i = 0; i < parameters.Length; i++)
        {
            if (parameters[i].AsSpan().TrimStart('!').SequenceEqual(named.Key))
            {
                if (bound[i] is not Missing)
                    throw TemplateFault.Type($"{function}() got multiple values for argument '{named.Key}'");
                bound[i] = named.Value;
                return;
            }
        }

        throw TemplateFault.Type($"{function}() got an unexpected keyword argument '{named.Key}'");
    }
}
