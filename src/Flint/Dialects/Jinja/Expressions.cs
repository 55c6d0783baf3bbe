namespace Flint.Dialects;

internal sealed class ConstantExpression(object? value, int line) : Expression(line)
{
    public object? Value => value;

    public override object? Evaluate(Frame frame) => value;
}

internal sealed class NameExpression(string name, int line) : Expression(line)
{
    private SlotRef slot;

    public string Name => name;

    public override void Collect(Scope scope) => scope.Load(name);

    public override void Bind(Binder binder) => slot = binder.Scope.Find(name);

    public override object? Evaluate(Frame frame)
    {
        object? value = frame.Get(slot);
        return value is Missing ? Undefined.Named(name) : value;
    }
}

/// <summary>Stands in a filter of a block for the text that the block rendered.</summary>
internal sealed class BlockTextExpression(int line) : Expression(line)
{
    private const string SlotName = "(text)";
    private SlotRef slot;

    public override void Collect(Scope scope) => scope.Declare(SlotName);

    public override void Bind(Binder binder) => slot = binder.Scope.Find(SlotName);

    public override object? Evaluate(Frame frame) => frame.Get(slot);

    public void Put(Frame frame, string text) => frame.Set(slot, text);
}

internal sealed class SequenceExpression(Expression[] items, bool isTuple, int line) : Expression(line)
{
    public Expression[] Items => items;

    public bool IsTuple => isTuple;

    public override IEnumerable<Node> Children => items;

    public override object? Evaluate(Frame frame)
    {
        Budget.Step();
        object?[] values = new object?[items.Length];
        for (int i = 0; i < values.Length; i++)
            values[i] = items[i].Evaluate(frame);
        return PySequence.Make(values, isTuple);
    }
}

internal sealed class DictExpression(KeyValuePair<Expression, Expression>[] entries, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => entries.SelectMany(e => new Node[] { e.Key, e.Value });

    public override object? Evaluate(Frame frame)
    {
        Visit(frame);
        var dict = new PyDict();
        foreach (KeyValuePair<Expression, Expression> entry in entries)
        {
            object? key = entry.Key.Evaluate(frame);
            dict[key] = entry.Value.Evaluate(frame);
        }

        return dict;
    }
}

internal sealed class AttributeExpression(Expression owner, string name, int line) : Expression(line)
{
    public Expression Owner => owner;

    public string Name => name;

    public override IEnumerable<Node> Children => [owner];

    public override object? Evaluate(Frame frame)
    {
        object? value = owner.Evaluate(frame);
        Visit(frame);
        return Members.Attribute(value, name);
    }
}

internal sealed class ItemExpression(Expression owner, Expression key, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => [owner, key];

    public override object? Evaluate(Frame frame)
    {
        object? value = owner.Evaluate(frame);
        object? index = key.Evaluate(frame);
        Visit(frame);
        return Members.Item(value, index);
    }
}

internal sealed class SliceExpression(Expression owner, Expression? start, Expression? stop, Expression? step, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => new Node?[] { owner, start, stop, step }.OfType<Node>();

    public override object? Evaluate(Frame frame)
    {
        object? value = owner.Evaluate(frame);
        object? from = start?.Evaluate(frame), to = stop?.Evaluate(frame), by = step?.Evaluate(frame);
        Visit(frame);
        return Members.Slice(value, from, to, by);
    }
}

internal sealed class BinaryExpression(string op, Expression left, Expression right, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => [left, right];

    public override object? Evaluate(Frame frame)
    {
        Budget.Step();
        object? a = left.Evaluate(frame);
        object? b = right.Evaluate(frame);
        frame.State.Line = Line;
        return Operators.Binary(op, a, b);
    }
}

internal sealed class UnaryExpression(bool negative, Expression operand, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => [operand];

    public override object? Evaluate(Frame frame)
    {
        Visit(frame);
        return Operators.Negate(operand.Evaluate(frame), negative);
    }
}

internal sealed class NotExpression(Expression operand, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => [operand];

    public override object? Evaluate(Frame frame)
    {
        Budget.Step();
        return Integers.Box(!Types.Truth(operand.Evaluate(frame)));
    }
}

/// <summary><c>and</c> and <c>or</c>: the value of the operand that decided.</summary>
internal sealed class LogicExpression(bool isAnd, Expression left, Expression right, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => [left, right];

    public override object? Evaluate(Frame frame)
    {
        Budget.Step();
        object? value = left.Evaluate(frame);
        return Types.Truth(value) == isAnd ? right.Evaluate(frame) : value;
    }
}

/// <summary>The <c>~</c> operator: the text of every operand.</summary>
internal sealed class ConcatExpression(Expression[] items, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => items;

    public override object? Evaluate(Frame frame)
    {
        Visit(frame);
        string[] parts = new string[items.Length];
        long length = 0;
        for (int i = 0; i < parts.Length; i++)
        {
            parts[i] = Printer.Str(items[i].Evaluate(frame));
            length += parts[i].Length;
        }

        Budget.Text(length);
        return string.Concat(parts);
    }
}

/// <summary>A chain such as <c>a &lt; b &lt;= c</c>.</summary>
internal sealed class CompareExpression(Expression first, KeyValuePair<string, Expression>[] rest, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => rest.Select(r => r.Value).Prepend(first);

    public override object? Evaluate(Frame frame)
    {
        Budget.Step();
        object? left = first.Evaluate(frame);
        foreach (KeyValuePair<string, Expression> operand in rest)
        {
            object? right = operand.Value.Evaluate(frame);
            frame.State.Line = Line;
            bool holds = operand.Key switch
            {
                "==" => Operators.AreEqual(left, right),
                "!=" => !Operators.AreEqual(left, right),
                "in" => Operators.Contains(right, left),
                "not in" => !Operators.Contains(right, left),
                _ => Operators.Order(operand.Key, left, right),
            };
            if (!holds)
                return Integers.False;
            left = right;
        }

        return Integers.True;
    }
}

internal sealed class ConditionExpression(Expression test, Expression then, Expression? otherwise, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => new Node?[] { test, then, otherwise }.OfType<Node>();

    public override void Bind(Binder binder) => binder.Branch(() => base.Bind(binder));

    public override object? Evaluate(Frame frame)
    {
        Budget.Step();
        if (Types.Truth(test.Evaluate(frame)))
            return then.Evaluate(frame);
        return otherwise is not null ? otherwise.Evaluate(frame)
            : Undefined.Hint($"the inline if-expression on line {Line} evaluated to false and no else section was defined.");
    }
}

/// <summary>The arguments of a call, filter or test as written.</summary>
internal sealed class ArgumentList(Expression[] positional, KeyValuePair<string, Expression>[] named, Expression? rest, Expression? namedRest)
{
    public static readonly ArgumentList Empty = new([], [], null, null);

    public IEnumerable<Node> Children =>
        [.. positional, .. named.Select(n => n.Value), .. new Node?[] { rest, namedRest }.OfType<Node>()];

    public bool IsEmpty => positional.Length == 0 && named.Length == 0 && rest is null && namedRest is null;

    public static ArgumentList Of(Expression argument) => new([argument], [], null, null);

    /// <summary>Evaluates everything, with <paramref name="first"/> put in front unless missing.</summary>
    public Arguments Evaluate(Frame frame, object? first, Macro? caller = null)
    {
        int offset = first is Missing ? 0 : 1;
        object?[] values = new object?[positional.Length + offset];
        if (offset > 0)
            values[0] = first;
        for (int i = 0; i < positional.Length; i++)
            values[i + offset] = positional[i].Evaluate(frame);
        List<KeyValuePair<string, object?>>? byName = null;
        foreach (KeyValuePair<string, Expression> argument in named)
            Add(ref byName, argument.Key, argument.Value.Evaluate(frame));
        if (caller is not null)
            Add(ref byName, "caller", caller);
        if (rest is not null)
        {
            object? more = rest.Evaluate(frame);
            if (!Types.IsIterable(more))
                throw TemplateFault.Type($"argument after * must be an iterable, not {Types.Name(more)}");
            values = [.. values, .. Types.ToArray(more)];
        }

        if (namedRest is not null)
        {
            object? more = namedRest.Evaluate(frame);
            PyDict dict = more as PyDict ?? throw TemplateFault.Type($"argument after ** must be a mapping, not {Types.Name(more)}");
            foreach (KeyValuePair<object?, object?> entry in dict.Entries)
                Add(ref byName, PyText.TryGet(entry.Key, out string? key) ? key : throw TemplateFault.Type("keywords must be strings"), entry.Value);
        }

        return new Arguments(values, byName);
    }

    private static void Add(ref List<KeyValuePair<string, object?>>? byName, string name, object? value)
    {
        byName ??= [];
        Budget.Charge(byName.Count);
        if (byName.Exists(n => n.Key == name))
            throw TemplateFault.Type($"got multiple values for keyword argument '{name}'");
        byName.Add(new(name, value));
    }
}

internal sealed class CallExpression(Expression callee, ArgumentList arguments, int line) : Expression(line)
{
    public override IEnumerable<Node> Children => [callee, .. arguments.Children];

    public override object? Evaluate(Frame frame) => Call(frame, null);

    /// <summary>Calls with the body of a call block as <c>caller</c>.</summary>
    public object? Call(Frame frame, Macro? caller)
    {
        Budget.Step();
        object? function = callee.Evaluate(frame);
        Arguments values = arguments.Evaluate(frame, Missing.Value, caller);
        frame.State.Line = Line;
        return Globals.Call(function, values);
    }
}

internal sealed class FilterExpression(Expression value, string name, ArgumentList arguments, int line) : Expression(line)
{
    private Func<Arguments, object?>? filter;

    public override IEnumerable<Node> Children => [value, .. arguments.Children];

    public override void Bind(Binder binder)
    {
        if (!Filters.Table.TryGetValue(name, out filter) && !binder.Soft)
            throw new TemplateFault("TemplateAssertionError", $"No filter named {Printer.Repr(name)}.", Line);
        base.Bind(binder);
    }

    public override object? Evaluate(Frame frame)
    {
        Budget.Step();
        if (filter is null)
            throw TemplateFault.Runtime($"No filter named {Printer.Repr(name)} found.");
        Arguments values = arguments.Evaluate(frame, value.Evaluate(frame));
        frame.State.Line = Line;
        return filter(values);
    }
}

internal sealed class TestExpression(Expression value, string name, ArgumentList arguments, int line) : Expression(line)
{
    private Func<Arguments, bool>? test;

    public override IEnumerable<Node> Children => [value, .. arguments.Children];

    public override void Bind(Binder binder)
    {
        if (!Tests.Table.TryGetValue(name, out test) && !binder.Soft)
            throw new TemplateFault("TemplateAssertionError", $"No test named {Printer.Repr(name)}.", Line);
        base.Bind(binder);
    }

    public override object? Evaluate(Frame frame)
    {
        Budget.Step();
        if (test is null)
            throw TemplateFault.Runtime($"No test named {Printer.Repr(name)} found.");
        Arguments values = arguments.Evaluate(frame, value.Evaluate(frame));
        frame.State.Line = Line;
        return Integers.Box(test(values));
    }
}
