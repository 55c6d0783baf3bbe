using System.Numerics;

namespace Flint.Dialects;

/// <summary>Attribute, item and slice access with the rules of Jinja2's immutable sandbox.</summary>
internal static class Members
{
    private static readonly string[] ListMutators = ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"];
    private static readonly string[] DictMutators = ["clear", "pop", "popitem", "setdefault", "update"];

    /// <summary>Underscored attributes that every Python object has; they exist, and the sandbox refuses them.</summary>
    private static readonly HashSet<string> ObjectAttributes =
    [
        "__class__", "__delattr__", "__dir__", "__doc__", "__eq__", "__format__", "__ge__", "__getattribute__", "__getstate__", "__gt__",
        "__hash__", "__init__", "__init_subclass__", "__le__", "__lt__", "__ne__", "__new__", "__reduce__", "__reduce_ex__", "__repr__",
        "__setattr__", "__sizeof__", "__str__", "__subclasshook__",
    ];

    /// <summary><c>value.name</c>: an attribute, else an item.</summary>
    public static object? Attribute(object? value, string name)
    {
        object? found = Find(value, name);
        if (found is not Missing)
            return found;
        return value is PyDict dict && dict.TryGet(name, out object? item) ? item : Undefined.Member(value, name);
    }

    /// <summary><c>value[key]</c>: an item, else an attribute when the key is a string.</summary>
    public static object? Item(object? value, object? key)
    {
        switch (value)
        {
            case PyDict dict when key is not (PySequence { IsTuple: false } or PyDict):
                if (dict.TryGet(key, out object? item))
                    return item;
                break;
            case Undefined undefined:
                throw undefined.Fault();
            case PySequence sequence when Integers.TryLong(key, out long index):
                index = index < 0 ? index + sequence.Count : index;
                if (index >= 0 && index < sequence.Count)
                    return sequence[(int)index];
                break;
            case PyRange range when Integers.TryLong(key, out long index):
                index = index < 0 ? index + range.Count : index;
                if (index >= 0 && index < range.Count)
                    return Integers.Box(range[index]);
                break;
            case string or Markup when Integers.TryLong(key, out long index):
                if (Character(value, index) is { } character)
                    return character;
                break;
        }

        if (PyText.TryGet(key, out string? name))
        {
            object? found = Find(value, name);
            if (found is not Missing)
                return found;
        }

        return Undefined.Member(value, key);
    }

    /// <summary><c>value[start:stop:step]</c>.</summary>
    public static object? Slice(object? value, object? start, object? stop, object? step)
    {
        if (value is Undefined undefined)
            throw undefined.Fault();
        if (value is PyDict)
            throw TemplateFault.Type("unhashable type: 'slice'");
        if (value is not (string or Markup or PySequence or PyRange))
            throw TemplateFault.Type($"'{Types.Name(value)}' object is not subscriptable");
        int length = (int)Types.Length(value);
        int stride = step is null ? 1 : Bound(step);
        if (stride == 0)
            throw TemplateFault.Value("slice step cannot be zero");
        int low = stride > 0 ? 0 : -1, high = stride > 0 ? length : length - 1;
        int from = start is null ? (stride > 0 ? low : high) : Resolve(Bound(start), length, low, high);
        int to = stop is null ? (stride > 0 ? high : low) : Resolve(Bound(stop), length, low, high);
        long span = stride > 0 ? (long)to - from : (long)from - to;
        int count = span <= 0 ? 0 : (int)((span - 1) / Math.Abs((long)stride)) + 1;
        switch (value)
        {
            case PySequence sequence:
                if (stride == 1)
                    return PySequence.Make(sequence.Items.Slice(from, count).ToArray(), sequence.IsTuple);
                object?[] items = new object?[count];
                for (int i = 0; i < count; i++)
                    items[i] = sequence[from + (i * stride)];
                return PySequence.Make(items, sequence.IsTuple);
            case PyRange range:
                return new PyRange(range[from], range[to], range.Step * stride);
            default:
                PyText.TryGet(value, out string? text);
                string slice = PyText.Slice(text!, from, stride, count);
                return value is Markup ? new Markup(slice) : slice;
        }
    }

    private static int Bound(object value) => Integers.Is(value) ? Integers.Clamp(value)
        : throw TemplateFault.Type("slice indices must be integers or None or have an __index__ method");

    private static int Resolve(int bound, int length, int low, int high) =>
        Math.Clamp(bound < 0 ? bound + length : bound, low, high);

    private static object? Character(object value, long index)
    {
        PyText.TryGet(value, out string? text);
        int length = PyText.Length(text!);
        index = index < 0 ? index + length : index;
        if (index < 0 || index >= length)
            return null;
        string character = PyText.Slice(text!, (int)index, 1, 1);
        return value is Markup ? new Markup(character) : character;
    }

    /// <summary>The value's attribute, <see cref="Missing.Value"/> when it has none of that name.</summary>
    private static object? Find(object? value, string name)
    {
        if (value is Undefined undefined)
            throw undefined.Fault();
        if (name.StartsWith('_'))
        {
            bool exists = value is Namespace own ? own.Attributes.ContainsKey(name) : ObjectAttributes.Contains(name);
            return exists ? Undefined.Unsafe(value, name) : Missing.Value;
        }

        return value switch
        {
            PyDict dict => DictMember(dict, name),
            string or Markup => StringMethods.Find(value, name) ?? (object)Missing.Value,
            PySequence sequence => SequenceMember(sequence, name),
            Namespace space => space.Attributes.TryGetValue(name, out object? attribute) ? attribute : Missing.Value,
            LoopContext loop => loop.Member(name),
            Macro macro => macro.Member(name),
            Cycler cycler => cycler.Member(name),
            Joiner joiner => name switch { "sep" => joiner.Separator, "used" => Integers.Box(joiner.Used), _ => Missing.Value },
            long or bool or BigInteger => IntegerMember(Integers.Big(value), name),
            double real => RealMember(real, name),
            PyView view => name switch
            {
                "mapping" => view.Dict,
                "isdisjoint" when view.Kind != ViewKind.Values => Method(name, 1, 1, a => Integers.Box(!Types.Iterate(a[0]).Any(i => Operators.Contains(view, i)))),
                _ => Missing.Value,
            },
            PyRange range => name switch
            {
                "start" => Integers.Box(range.Start),
                "stop" => Integers.Box(range.Stop),
                "step" => Integers.Box(range.Step),
                "count" => Method(name, 1, 1, a => Integers.Box(Operators.Contains(range, a[0]) ? 1L : 0L)),
                "index" => Method(name, 1, 1, a => Operators.Contains(range, a[0]) && Integers.TryLong(a[0], out long n)
                    ? Integers.Box((n - range.Start) / range.Step) : throw TemplateFault.Value($"{Printer.Repr(a[0])} is not in range")),
                _ => Missing.Value,
            },
            _ => Missing.Value,
        };
    }

    private static Function Method(string name, int least, int most, Func<object?[], object?> body) =>
        new(name, arguments => body(arguments.Exactly(name, least, most)), "builtin_function_or_method");

    private static object? DictMember(PyDict dict, string name)
    {
        switch (name)
        {
            case "get":
                return Method(name, 1, 2, a => dict.TryGet(a[0], out object? value) ? value : a.Length > 1 ? a[1] : null);
            case "keys": return Method(name, 0, 0, _ => new PyView(dict, ViewKind.Keys));
            case "values": return Method(name, 0, 0, _ => new PyView(dict, ViewKind.Values));
            case "items": return Method(name, 0, 0, _ => new PyView(dict, ViewKind.Items));
            case "copy": return Method(name, 0, 0, _ => PyDict.From(dict.Entries));
            case "fromkeys":
                return Method(name, 1, 2, a => PyDict.From(Types.Iterate(a[0]).Select(k => new KeyValuePair<object?, object?>(k, a.Length > 1 ? a[1] : null))));
        }

        return DictMutators.Contains(name) ? Undefined.Unsafe(dict, name) : Missing.Value;
    }

    private static object? SequenceMember(PySequence sequence, string name)
    {
        switch (name)
        {
            case "count":
                return Method(name, 1, 1, a => Integers.Box(Types.Iterate(sequence).LongCount(i => Operators.AreEqual(i, a[0]))));
            case "index":
                return Method(name, 1, 3, a => IndexOf(sequence, a));
            case "copy" when !sequence.IsTuple:
                return Method(name, 0, 0, _ => PySequence.List(sequence.Array));
        }

        if (!sequence.IsTuple)
            return ListMutators.Contains(name) ? Undefined.Unsafe(sequence, name) : Missing.Value;
        int field = sequence.Fields is null ? -1 : Array.IndexOf(sequence.Fields, name);
        return field >= 0 ? sequence[field] : Missing.Value;
    }

    private static object IndexOf(PySequence sequence, object?[] arguments)
    {
        int start = arguments.Length > 1 ? Resolve(Bound(arguments[1]!), sequence.Count, 0, sequence.Count) : 0;
        int end = arguments.Length > 2 ? Resolve(Bound(arguments[2]!), sequence.Count, 0, sequence.Count) : sequence.Count;
        for (int i = start; i < end; i++)
        {
            Budget.Charge(1);
            if (Operators.AreEqual(sequence[i], arguments[0]))
                return Integers.Box((long)i);
        }

        throw TemplateFault.Value(sequence.IsTuple ? "tuple.index(x): x not in tuple" : $"{Printer.Repr(arguments[0])} is not in list");
    }

    private static object? IntegerMember(BigInteger value, string name) => name switch
    {
        "real" or "numerator" => Integers.Box(value),
        "imag" => Integers.Box(0L),
        "denominator" => Integers.Box(1L),
        "conjugate" => Method(name, 0, 0, _ => Integers.Box(value)),
        "bit_length" => Method(name, 0, 0, _ => Integers.Box(BigInteger.Abs(value).GetBitLength())),
        "bit_count" => Method(name, 0, 0, _ => Integers.Box(BigInteger.Abs(value).ToByteArray().Sum(b => (long)BitOperations.PopCount(b)))),
        "as_integer_ratio" => Method(name, 0, 0, _ => PySequence.Tuple(Integers.Box(value), Integers.Box(1L))),
        _ => Missing.Value,
    };

    private static object? RealMember(double value, string name) => name switch
    {
        "real" => value,
        "imag" => 0.0,
        "conjugate" => Method(name, 0, 0, _ => value),
        "is_integer" => Method(name, 0, 0, _ => Integers.Box(double.IsInteger(value))),
        "as_integer_ratio" when double.IsFinite(value) => Method(name, 0, 0, _ => Ratio(value)),
        _ => Missing.Value,
    };

    private static PySequence Ratio(double value)
    {
        (BigInteger numerator, BigInteger denominator) = FloatText.Rational(value);
        BigInteger common = BigInteger.GreatestCommonDivisor(numerator, denominator);
        return PySequence.Tuple(Integers.Box(numerator / common), Integers.Box(denominator / common));
    }
}
