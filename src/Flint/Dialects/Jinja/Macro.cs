namespace Flint.Dialects;

/// <summary>A macro, or the body of a call block, bound to the scope that it was defined in.</summary>
internal sealed class Macro(MacroBody body, Frame scope)
{
    public string? Name => body.Name;

    public object? Member(string name) => name switch
    {
        "name" => Name,
        "arguments" => PySequence.Tuple([.. body.Parameters.Select(p => (object?)p.Name)]),
        "catch_kwargs" => Integers.Box(body.Keywords >= 0),
        "catch_varargs" => Integers.Box(body.Rest >= 0),
        "caller" => Integers.Box(body.Caller >= 0),
        "explicit_caller" => Integers.Box(body.HasCallerParameter),
        _ => Missing.Value,
    };

    /// <summary>Binds the arguments as Jinja2 does and renders the body to a string.</summary>
    public object? Call(Arguments arguments)
    {
        var frame = new Frame(body.Scope, scope);
        List<KeyValuePair<string, object?>> named = arguments.Named is null ? [] : [.. arguments.Named];
        int count = body.Parameters.Length;
        bool foundCaller = body.HasCallerParameter && arguments.Count >= count;
        for (int i = 0; i < count; i++)
        {
            string name = body.Parameters[i].Name;
            object? value = i < arguments.Count ? arguments.Positional[i] : Take(named, name);
            foundCaller |= i >= arguments.Count && name == "caller";
            frame.Slots[body.Parameters[i].Slot] = value;
        }

        if (body.AcceptsCaller && !foundCaller)
        {
            object? caller = Take(named, "caller");
            frame.Slots[body.Caller] = caller is Missing or null ? Undefined.Hint("No caller defined") : caller;
        }

        if (body.Keywords >= 0)
            frame.Slots[body.Keywords] = PyDict.From(named.Select(n => new KeyValuePair<object?, object?>(n.Key, n.Value)));
        else if (named.Count > 0)
            throw Unexpected(named);
        if (body.Rest >= 0)
            frame.Slots[body.Rest] = PySequence.Tuple([.. arguments.Positional.Skip(count)]);
        else if (arguments.Count > count)
            throw TemplateFault.Type($"macro {Printer.Repr(Name)} takes not more than {count} argument(s)");
        return body.Render(frame);
    }

    private static object? Take(List<KeyValuePair<string, object?>> named, string name)
    {
        int index = named.FindIndex(n => n.Key == name);
        if (index < 0)
            return Missing.Value;
        object? value = named[index].Value;
        named.RemoveAt(index);
        return value;
    }

    private TemplateFault Unexpected(List<KeyValuePair<string, object?>> named) => named.Exists(n => n.Key == "caller")
        ? TemplateFault.Type($"macro {Printer.Repr(Name)} was invoked with two values for the special caller argument. This is most likely a bug.")
        : TemplateFault.Type($"macro {Printer.Repr(Name)} takes no keyword argument {Printer.Repr(named[0].Key)}");
}
