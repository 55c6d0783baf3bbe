namespace Flint.Dialects;

/// <summary>The functions that every chat template can call.</summary>
internal static class Globals
{
    /// <summary>The global names, with <c>strftime_now</c> reading <paramref name="now"/>.</summary>
    public static Dictionary<string, object?> Create(DateTimeOffset now) => new()
    {
        ["range"] = new Function("range", Range),
        ["dict"] = new Function("dict", MakeDict, "type"),
        ["namespace"] = new Function("jinja2.utils.Namespace", MakeNamespace, "type"),
        ["cycler"] = new Function("jinja2.utils.Cycler", a => new Cycler(a.Positional), "type"),
        ["joiner"] = new Function("jinja2.utils.Joiner", a => new Joiner(a.Bind("Joiner", "sep")[0] is not Missing and var sep ? sep : ", "), "type"),
        ["raise_exception"] = new Function("raise_exception", Raise),
        ["strftime_now"] = new Function("strftime_now", a => Clock.Format(now, a.Bind("strftime_now", "!format")[0])),
    };

    /// <summary>Calls a value as a template does.</summary>
    public static object? Call(object? callee, Arguments arguments)
    {
        Budget.EnterCall();
        try
        {
            return callee switch
            {
                Function function => function.Body(arguments),
                Macro macro => macro.Call(arguments),
                LoopContext loop => loop.Call(arguments),
                Joiner joiner => joiner.Next(),
                Undefined undefined => throw undefined.Fault(),
                _ => throw TemplateFault.Type($"'{Types.Name(callee)}' object is not callable"),
            };
        }
        finally
        {
            Budget.LeaveCall();
        }
    }

    private static object? Raise(Arguments arguments) =>
        throw new TemplateFault("TemplateError", Printer.Str(arguments.Bind("raise_exception", "!message")[0]));

    private static PyRange Range(Arguments arguments)
    {
        object?[] a = arguments.Exactly("range", 1, 3);
        long[] bounds = new long[a.Length];
        for (int i = 0; i < a.Length; i++)
        {
            if (!Integers.Is(a[i]))
                throw TemplateFault.Type($"'{Types.Name(a[i])}' object cannot be interpreted as an integer");
            if (!Integers.TryLong(a[i], out bounds[i]))
                throw new TemplateFault("OverflowError", "Python int too large to convert to C ssize_t");
        }

        if (a.Length == 3 && bounds[2] == 0)
            throw TemplateFault.Value("range() arg 3 must not be zero");
        var range = new PyRange(a.Length > 1 ? bounds[0] : 0, a.Length > 1 ? bounds[1] : bounds[0], a.Length > 2 ? bounds[2] : 1);
        if (range.Count > TemplateLimits.Range)
            throw new TemplateFault("OverflowError", $"Range too big. The sandbox blocks ranges larger than MAX_RANGE ({TemplateLimits.Range}).");
        return range;
    }

    private static PyDict MakeDict(Arguments arguments)
    {
        if (arguments.Count > 1)
            throw TemplateFault.Type($"dict expected at most 1 argument, got {arguments.Count}");
        PyDict dict = arguments.Count == 0 ? new PyDict() : arguments.Positional[0] switch
        {
            PyDict source => PyDict.From(source.Entries),
            var pairs => FromPairs(pairs),
        };
        foreach (KeyValuePair<string, object?> named in arguments.Named ?? [])
            dict[named.Key] = named.Value;
        return dict;
    }

    private static PyDict FromPairs(object? pairs)
    {
        var dict = new PyDict();
        int i = 0;
        foreach (object? pair in Types.Iterate(pairs))
        {
            if (!Types.IsIterable(pair))
                throw TemplateFault.Type($"cannot convert dictionary update sequence element #{i} to a sequence");
            object?[] items = Types.ToArray(pair);
            if (items.Length != 2)
                throw TemplateFault.Value($"dictionary update sequence element #{i} has length {items.Length}; 2 is required");
            dict[items[0]] = items[1];
            i++;
        }

        return dict;
    }

    private static Namespace MakeNamespace(Arguments arguments)
    {
        var space = new Namespace();
        foreach (KeyValuePair<object?, object?> entry in MakeDict(arguments).Entries)
            space.Attributes[Printer.Str(entry.Key)] = entry.Value;
        return space;
    }
}

/// <summary>What <c>cycler(...)</c> makes: goes round its items.</summary>
internal sealed class Cycler
{
    private readonly object?[] items;
    private int position;

    public Cycler(object?[] items) =>
        this.items = items.Length > 0 ? items : throw new TemplateFault("RuntimeError", "at least one item has to be provided");

    public object? Member(string name) => name switch
    {
        "current" => items[position],
        "items" => PySequence.Tuple(items),
        "pos" => Integers.Box((long)position),
        "next" => new Function(name, _ => Next(), "method"),
        "reset" => new Function(name, _ => Reset(), "method"),
        _ => Missing.Value,
    };

    private object? Next()
    {
        object? item = items[position];
        position = (position + 1) % items.Length;
        return item;
    }

    private object? Reset()
    {
        position = 0;
        return null;
    }
}

/// <summary>What <c>joiner(sep)</c> makes: nothing at the first call, the separator at each further one.</summary>
internal sealed class Joiner(object? separator)
{
    public object? Separator { get; } = separator;

    public bool Used { get; private set; }

    public object? Next()
    {
        object? result = Used ? Separator : "";
        Used = true;
        return result;
    }
}
