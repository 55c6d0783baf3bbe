using System.Numerics;

namespace Flint.Dialects;

/// <summary>What Python says of a value: its type's name, its truth, its length, its items.</summary>
internal static class Types
{
    /// <summary>The name of the value's Python type.</summary>
    public static string Name(object? value) => value switch
    {
        null => "NoneType",
        bool => "bool",
        long or BigInteger => "int",
        double => "float",
        string => "str",
        Markup => "Markup",
        PySequence sequence => !sequence.IsTuple ? "list" : sequence.Fields is null ? "tuple" : "_GroupTuple",
        PyDict => "dict",
        PyRange => "range",
        PyView { Kind: ViewKind.Keys } => "dict_keys",
        PyView { Kind: ViewKind.Values } => "dict_values",
        PyView => "dict_items",
        PyIterator iterator => iterator.TypeName,
        Function function => function.TypeName,
        _ => value.GetType().Name,
    };

    /// <summary>How Jinja2 names a value in messages about members that it lacks.</summary>
    public static string ObjectRepr(object? value) => value switch
    {
        null => "None",
        Markup => "markupsafe.Markup object",
        Namespace or Cycler or Joiner => $"jinja2.utils.{Name(value)} object",
        Macro or LoopContext or Undefined => $"jinja2.runtime.{Name(value)} object",
        PySequence { Fields: not null } => "jinja2.filters._GroupTuple object",
        _ => $"{Name(value)} object",
    };

    public static bool Truth(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        long number => number != 0,
        double real => real != 0,
        string text => text.Length > 0,
        Markup markup => markup.Text.Length > 0,
        PySequence sequence => sequence.Count > 0,
        PyDict dict => dict.Count > 0,
        PyView view => view.Dict.Count > 0,
        PyRange range => range.Count > 0,
        LoopContext loop => loop.Length > 0,
        _ => true,
    };

    /// <summary>Python's <c>len</c>, or -1 where the value has none.</summary>
    public static long LengthOrMinus(object? value) => value switch
    {
        string text => PyText.Length(text),
        Markup markup => PyText.Length(markup.Text),
        PySequence sequence => sequence.Count,
        PyDict dict => dict.Count,
        PyView view => view.Dict.Count,
        PyRange range => range.Count,
        LoopContext loop => loop.Length,
        Undefined => 0,
        _ => -1,
    };

    public static long Length(object? value)
    {
        long length = LengthOrMinus(value);
        return length >= 0 ? length : throw TemplateFault.Type($"object of type '{Name(value)}' has no len()");
    }

    public static bool IsIterable(object? value) =>
        value is string or Markup or PySequence or PyDict or PyView or PyRange or PyIterator or Undefined or LoopContext;

    /// <summary>The value's items, one step charged for each.</summary>
    public static IEnumerable<object?> Iterate(object? value)
    {
        switch (value)
        {
            case PySequence sequence: return Metered(sequence.Array);
            case PyDict dict: return Metered(dict.Keys);
            case PyView view: return Metered(view.Items);
            case string text: return Metered(PyText.Characters(text));
            case Markup markup: return Metered(PyText.Characters(markup.Text));
            case PyRange range: return Metered(Numbers(range));
            case PyIterator iterator: return Drain(iterator);
            case LoopContext loop: return Drain(loop.Rest());
            case Undefined: return [];
            default: throw TemplateFault.Type($"'{Name(value)}' object is not iterable");
        }
    }

    /// <summary>The value's items in an array, the value's own where it is a list.</summary>
    public static object?[] ToArray(object? value)
    {
        if (value is PySequence sequence)
            return sequence.Array;
        var items = new List<object?>();
        foreach (object? item in Iterate(value))
        {
            items.Add(item);
            Budget.Slot();
        }

        return [.. items];
    }

    private static IEnumerable<object?> Metered(IEnumerable<object?> items)
    {
        foreach (object? item in items)
        {
            Budget.Step();
            yield return item;
        }
    }

    private static IEnumerable<object?> Drain(PyIterator iterator)
    {
        while (iterator.TryNext(out object? item))
            yield return item;
    }

    private static IEnumerable<object?> Numbers(PyRange range)
    {
        for (long i = 0; i < range.Count; i++)
            yield return Integers.Box(range[i]);
    }
}
