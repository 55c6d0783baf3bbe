using System.Text;

namespace Flint.Dialects;

/// <summary>The built-in filters over lists and mappings.</summary>
internal static class ListFilters
{
    /// <summary>Reads an attribute path such as <c>a.b.0</c> of an item.</summary>
    private static Func<object?, object?> Getter(object? attribute, object? standard = null, bool ignoreCase = false)
    {
        object?[] path = Path(attribute);
        return item =>
        {
            foreach (object? part in path)
            {
                item = Members.Item(item, part);
                if (standard is not null && item is Undefined)
                    item = standard;
            }

            return ignoreCase ? Fold(item) : item;
        };
    }

    private static object?[] Path(object? attribute)
    {
        if (attribute is null or Missing)
            return [];
        if (!PyText.TryGet(attribute, out string? text))
            return [attribute];
        return [.. text.Split('.').Select(part => part.Length is > 0 and < 10 && part.All(char.IsAsciiDigit) ? Integers.Box(long.Parse(part)) : (object?)part)];
    }

    private static object? Fold(object? value) => PyText.TryGet(value, out string? text) ? PyText.Lower(text) : value;

    private static bool Flag(object? value) => value is not Missing && Types.Truth(value);

    private static object? Or(object? value, object? standard) => value is Missing ? standard : value;

    public static object? Attribute(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_attr", "!obj", "!name");
        string name = PyText.TryGet(a[1], out string? text) ? text
            : throw TemplateFault.Type($"attribute name must be string, not '{Types.Name(a[1])}'");

        // Unlike a dot, the filter sees attributes only, never items.
        return a[0] is PyDict dict && dict.Contains(name) && Members.Attribute(new PyDict(), name) is Undefined
            ? Undefined.Member(a[0], name) : Members.Attribute(a[0], name);
    }

    public static object? Batch(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_batch", "!value", "!linecount", "fill_with");
        long size = Integers.Clamp(a[1]);
        object? fill = Or(a[2], null);
        IEnumerable<object?> Rows()
        {
            var row = new List<object?>();
            foreach (object? item in Types.Iterate(a[0]))
            {
                if (row.Count == size)
                {
                    yield return PySequence.List(row);
                    row = [];
                }

                row.Add(item);
                Budget.Slot();
            }

            if (row.Count == 0)
                yield break;
            if (fill is not null && row.Count < size)
            {
                Budget.Items(size - row.Count);
                row.AddRange(Enumerable.Repeat(fill, (int)size - row.Count));
            }

            yield return PySequence.List(row);
        }

        return new PyIterator(Rows());
    }

    public static object? Slice(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_slice", "!value", "!slices", "fill_with");
        object?[] items = Types.ToArray(a[0]);
        int slices = Integers.Clamp(a[1]);
        if (slices == 0)
            throw new TemplateFault("ZeroDivisionError", "integer division or modulo by zero");
        object? fill = Or(a[2], null);
        IEnumerable<object?> Parts()
        {
            (int size, int longer) = Math.DivRem(items.Length, slices);
            int start = 0;
            for (int i = 0; i < slices; i++)
            {
                int end = start + size + (i < longer ? 1 : 0);
                var part = new List<object?>(items[start..end]);
                if (fill is not null && i >= longer)
                    part.Add(fill);
                start = end;
                yield return PySequence.List(part);
            }
        }

        return new PyIterator(Parts());
    }

    public static object? SortDict(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_dictsort", "!value", "case_sensitive", "by", "reverse");
        string by = a[2] is Missing ? "key" : Printer.Str(a[2]);
        if (by is not ("key" or "value"))
            throw TemplateFault.FilterArgument("You can only sort by either \"key\" or \"value\"");
        PyDict dict = a[0] as PyDict ?? throw (a[0] as Undefined)?.Fault() ?? new TemplateFault("AttributeError", $"'{Types.Name(a[0])}' object has no attribute 'items'");
        object?[] items = Types.ToArray(new PyView(dict, ViewKind.Items));
        IEnumerable<object?> keys = by == "key" ? dict.Keys : dict.Values;
        return PySequence.List(Sorting.Sort(items, [.. Flag(a[1]) ? keys : keys.Select(Fold)], Flag(a[3])));
    }

    public static object? First(Arguments arguments)
    {
        foreach (object? item in Types.Iterate(arguments.Bind("do_first", "!seq")[0]))
            return item;
        return Undefined.Hint("No first item, sequence was empty.");
    }

    public static object? Last(Arguments arguments)
    {
        object? value = arguments.Bind("do_last", "!seq")[0];
        if (value is PyIterator || !Types.IsIterable(value))
            throw TemplateFault.Type($"'{Types.Name(value)}' object is not reversible");
        return value switch
        {
            PySequence { Count: > 0 } sequence => sequence[^1],
            _ when Types.Length(value) == 0 => Undefined.Hint("No last item, sequence was empty."),
            string or Markup or PyRange => Members.Item(value, Integers.Box(-1L)),
            PyDict dict => dict.At(dict.Count - 1).Key,
            _ => Types.Iterate(value).Last(),
        };
    }

    public static object? Reverse(Arguments arguments)
    {
        object? value = arguments.Bind("do_reverse", "!value")[0];
        switch (value)
        {
            case string or Markup:
                return Members.Slice(value, null, null, Integers.Box(-1L));
            case PyIterator:
                return PySequence.Make([.. Types.ToArray(value).Reverse()], false);
            case PySequence or PyDict or PyView or PyRange or Undefined or LoopContext:
                string name = value is PySequence { IsTuple: false } ? "list_reverseiterator" : value is PyDict ? "dict_reversekeyiterator" : "reversed";
                return new PyIterator(Types.ToArray(value).Reverse(), name);
            default:
                throw TemplateFault.FilterArgument("argument must be iterable");
        }
    }

    public static object? PickRandom(Arguments arguments)
    {
        object? value = arguments.Bind("do_random", "!seq")[0];
        long length = Types.Length(value);
        return length == 0 ? Undefined.Hint("No random item, sequence was empty.") : Members.Item(value, Integers.Box(Random.Shared.NextInt64(length)));
    }

    public static object? Items(Arguments arguments)
    {
        object? value = arguments.Bind("do_items", "!value")[0];
        IEnumerable<object?> Pairs()
        {
            if (value is Undefined)
                yield break;
            PyDict dict = value as PyDict ?? throw TemplateFault.Type("Can only get item pairs from a mapping.");
            foreach (KeyValuePair<object?, object?> entry in dict.Entries)
                yield return PySequence.Tuple(entry.Key, entry.Value);
        }

        return new PyIterator(Pairs());
    }

    public static object? Join(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_join", "!value", "d", "attribute");
        string separator = a[1] is Missing ? "" : Printer.Str(a[1]);
        Func<object?, object?> getter = Getter(a[2]);
        var text = new StringBuilder();
        bool first = true;
        foreach (object? item in Types.Iterate(a[0]))
        {
            if (!first)
                text.Append(separator);
            first = false;
            text.Append(Printer.Str(getter(item)));
            Budget.Scan(separator.Length);
            if (text.Length > TemplateLimits.TextLength)
                throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters");
        }

        Budget.Text(text.Length);
        return text.ToString();
    }

    public static object? Sort(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_sort", "!value", "reverse", "case_sensitive", "attribute");
        bool ignoreCase = !Flag(a[2]);
        object? attribute = Or(a[3], null);
        Func<object?, object?>[] getters = PyText.TryGet(attribute, out string? names)
            ? [.. names.Split(',').Select(n => Getter(n, null, ignoreCase))] : [Getter(attribute, null, ignoreCase)];
        object?[] items = Types.ToArray(a[0]);
        object?[] keys = [.. items.Select(item => PySequence.Make([.. getters.Select(g => g(item))], false))];
        return PySequence.List(Sorting.Sort(items, keys, Flag(a[1])));
    }

    public static object? Unique(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_unique", "!value", "case_sensitive", "attribute");
        Func<object?, object?> getter = Getter(a[2], null, !Flag(a[1]));
        IEnumerable<object?> Distinct()
        {
            var seen = new PyDict();
            foreach (object? item in Types.Iterate(a[0]))
            {
                object? key = getter(item);
                if (seen.Contains(key))
                    continue;
                seen[key] = null;
                yield return item;
            }
        }

        return new PyIterator(Distinct());
    }

    public static object? Extreme(Arguments arguments, string name, string better)
    {
        object?[] a = arguments.Bind(name, "!value", "case_sensitive", "attribute");
        Func<object?, object?> getter = Getter(a[2], null, !Flag(a[1]));
        object? best = Undefined.Hint("No aggregated item, sequence was empty."), bestKey = Missing.Value;
        foreach (object? item in Types.Iterate(a[0]))
        {
            object? key = getter(item);
            if (bestKey is Missing || Operators.Order(better, key, bestKey))
                (best, bestKey) = (item, key);
        }

        return best;
    }

    public static object? GroupBy(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_groupby", "!value", "!attribute", "default", "case_sensitive");
        object? standard = Or(a[2], null);
        bool ignoreCase = !Flag(a[3]);
        Func<object?, object?> key = Getter(a[1], standard, ignoreCase), shown = Getter(a[1], standard);
        object?[] items = Types.ToArray(a[0]);
        object?[] sorted = Sorting.Sort(items, [.. items.Select(key)], false);
        var groups = new List<object?>();
        for (int start = 0; start < sorted.Length;)
        {
            object? current = key(sorted[start]);
            int end = start + 1;
            while (end < sorted.Length && Operators.AreEqual(key(sorted[end]), current))
                end++;
            groups.Add(PySequence.Named(["grouper", "list"], ignoreCase ? shown(sorted[start]) : current, PySequence.List(sorted[start..end])));
            start = end;
        }

        return PySequence.List(groups);
    }

    public static object? Sum(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_sum", "!iterable", "attribute", "start");
        Func<object?, object?> getter = Getter(a[1]);
        object? total = Or(a[2], Integers.Box(0L));
        if (PyText.TryGet(total, out _))
            throw TemplateFault.Type("sum() can't sum strings [use ''.join(seq) instead]");
        foreach (object? item in Types.Iterate(a[0]))
            total = Operators.Binary("+", total, getter(item));
        return total;
    }

    public static object? Map(Arguments arguments)
    {
        object? value = arguments.Count > 0 ? arguments.Positional[0] : throw TemplateFault.Type("do_map() missing 1 required positional argument: 'value'");
        Arguments given = new(arguments.Positional[1..], arguments.Named);
        IEnumerable<object?> Mapped()
        {
            if (!Types.Truth(value))
                yield break;
            Func<object?, object?> function = Mapper(given);
            foreach (object? item in Types.Iterate(value))
                yield return function(item);
        }

        return new PyIterator(Mapped());
    }

    private static Func<object?, object?> Mapper(Arguments given)
    {
        if (given.Count == 0 && given.Named?.Exists(n => n.Key == "attribute") == true)
        {
            string? unexpected = given.Named.Find(n => n.Key is not ("attribute" or "default")).Key;
            if (unexpected is not null)
                throw TemplateFault.FilterArgument($"Unexpected keyword argument {Printer.Repr(unexpected)}");
            return Getter(given.Named.Find(n => n.Key == "attribute").Value, given.Named.Find(n => n.Key == "default").Value);
        }

        if (given.Count == 0)
            throw TemplateFault.FilterArgument("map requires a filter argument");
        object? name = given.Positional[0];
        if (!PyText.TryGet(name, out string? text) || !Filters.Table.TryGetValue(text, out Func<Arguments, object?>? filter))
            throw Unknown("filter", name);
        var rest = new Arguments(given.Positional[1..], given.Named);
        return item => filter(rest.Prepend(item));
    }

    private static TemplateFault Unknown(string kind, object? name) => TemplateFault.Runtime(name is Undefined undefined
        ? $"No {kind} named Undefined. ({undefined.Fault().Message}; did you forget to quote the callable name?)" : $"No {kind} named {Printer.Repr(name)}.");

    /// <summary>The four filters that keep the items a test accepts or refuses.</summary>
    public static object? Select(Arguments arguments, bool keep, bool byAttribute)
    {
        object? value = arguments.Count > 0 ? arguments.Positional[0] : throw TemplateFault.Type("do_select() missing 1 required positional argument: 'value'");
        Arguments given = new(arguments.Positional[1..], arguments.Named);
        IEnumerable<object?> Selected()
        {
            if (!Types.Truth(value))
                yield break;
            Func<object?, bool> accepts = Selector(given, byAttribute);
            foreach (object? item in Types.Iterate(value))
            {
                if (accepts(item) == keep)
                    yield return item;
            }
        }

        return new PyIterator(Selected());
    }

    private static Func<object?, bool> Selector(Arguments given, bool byAttribute)
    {
        int offset = byAttribute ? 1 : 0;
        if (given.Count < offset)
            throw TemplateFault.FilterArgument("Missing parameter for attribute name");
        Func<object?, object?> getter = byAttribute ? Getter(given.Positional[0]) : static item => item;
        if (given.Count == offset)
            return item => Types.Truth(getter(item));
        object? name = given.Positional[offset];
        if (!PyText.TryGet(name, out string? text) || !Tests.Table.TryGetValue(text, out Func<Arguments, bool>? test))
            throw Unknown("test", name);
        var rest = new Arguments(given.Positional[(offset + 1)..], given.Named);
        return item => test(rest.Prepend(getter(item)));
    }
}
