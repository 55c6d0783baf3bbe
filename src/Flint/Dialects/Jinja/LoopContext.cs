namespace Flint.Dialects;

/// <summary>The <c>loop</c> variable: walks the items with one item of look-ahead.</summary>
internal sealed class LoopContext(object? iterable, IEnumerable<object?> items, long depth0, Func<object?, long, object?>? recurse)
{
    private IEnumerator<object?> enumerator = items.GetEnumerator();
    private object? current = Missing.Value;
    private object? before = Missing.Value;
    private object? after = Missing.Value;
    private object? lastChanged = Missing.Value;
    private long length = -1;
    private long index0 = -1;

    public long Index => index0 + 1;

    /// <summary>The number of items; reads the rest of an iterator that does not know its length.</summary>
    public long Length
    {
        get
        {
            if (length < 0)
                length = Types.LengthOrMinus(iterable);
            if (length < 0)
            {
                var rest = new List<object?>();
                while (enumerator.MoveNext())
                {
                    rest.Add(enumerator.Current);
                    Budget.Slot();
                }

                enumerator = rest.GetEnumerator();
                length = rest.Count + Index + (after is Missing ? 0 : 1);
            }

            return length;
        }
    }

    /// <summary>Moves to the next item.</summary>
    public bool TryNext(out object? item)
    {
        item = PeekNext();
        after = Missing.Value;
        if (item is Missing)
            return false;
        index0++;
        before = current;
        current = item;
        return true;
    }

    /// <summary>The remaining items, each paired with this loop, as iterating the variable itself yields.</summary>
    public PyIterator Rest()
    {
        IEnumerable<object?> Items()
        {
            while (TryNext(out object? item))
                yield return PySequence.Tuple(item, this);
        }

        return new PyIterator(Items());
    }

    /// <summary>The loop called with further items: runs the loop's body over them, one level deeper.</summary>
    public object? Call(Arguments arguments)
    {
        object? items = arguments.Exactly("loop", 1, 1)[0];
        return recurse is not null ? recurse(items, depth0 + 1)
            : throw TemplateFault.Type("The loop must have the 'recursive' marker to be called recursively.");
    }

    public object? Member(string name) => name switch
    {
        "index" => Integers.Box(Index),
        "index0" => Integers.Box(index0),
        "revindex" => Integers.Box(Length - index0),
        "revindex0" => Integers.Box(Length - Index),
        "first" => Integers.Box(index0 == 0),
        "last" => Integers.Box(PeekNext() is Missing),
        "length" => Integers.Box(Length),
        "depth" => Integers.Box(depth0 + 1),
        "depth0" => Integers.Box(depth0),
        "previtem" => index0 == 0 ? Undefined.Hint("there is no previous item") : before,
        "nextitem" => PeekNext() is Missing ? Undefined.Hint("there is no next item") : after,
        "cycle" => new Function(name, Cycle, "method"),
        "changed" => new Function(name, Changed, "method"),
        _ => Missing.Value,
    };

    private object? PeekNext()
    {
        if (after is Missing && enumerator.MoveNext())
            after = enumerator.Current;
        return after;
    }

    private object? Cycle(Arguments arguments) => arguments.Count > 0 ? arguments.Positional[index0 % arguments.Count]
        : throw TemplateFault.Type("no items for cycling given");

    private object? Changed(Arguments arguments)
    {
        PySequence now = PySequence.Tuple(arguments.Positional);
        if (lastChanged is not Missing && Operators.AreEqual(lastChanged, now))
            return Integers.False;
        lastChanged = now;
        return Integers.True;
    }
}
