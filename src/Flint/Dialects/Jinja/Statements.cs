namespace Flint.Dialects;

/// <summary>Template text between tags.</summary>
internal sealed class DataNode(string text, int line) : Statement(line)
{
    public override Flow Execute(Frame frame)
    {
        frame.State.Write(text);
        return Flow.Next;
    }
}

/// <summary><c>{{ expression }}</c>.</summary>
internal sealed class OutputNode(Expression value, int line) : Statement(line)
{
    public override IEnumerable<Node> Children => [value];

    public override Flow Execute(Frame frame)
    {
        frame.State.Line = Line;
        frame.State.Write(Printer.Str(value.Evaluate(frame)));
        return Flow.Next;
    }
}

internal sealed class IfNode(KeyValuePair<Expression, Statement[]>[] branches, Statement[] otherwise, int line) : Statement(line)
{
    public override IEnumerable<Node> Children => [.. branches.SelectMany(b => b.Value.Prepend<Node>(b.Key)), .. otherwise];

    public override void Collect(Scope scope)
    {
        System.Runtime.CompilerServices.RuntimeHelpers.EnsureSufficientExecutionStack();
        branches[0].Key.Collect(scope);
        scope.Branch(
            first => CollectBody(branches[0].Value, first),
            others =>
            {
                foreach (KeyValuePair<Expression, Statement[]> branch in branches.Skip(1))
                {
                    branch.Key.Collect(others);
                    others.Branch(body => CollectBody(branch.Value, body), static _ => { }, static _ => { });
                }
            },
            last => CollectBody(otherwise, last));
    }

    public override void Bind(Binder binder) => binder.Branch(() => base.Bind(binder));

    public override Flow Execute(Frame frame)
    {
        foreach (KeyValuePair<Expression, Statement[]> branch in branches)
        {
            frame.State.Line = branch.Key.Line;
            if (Types.Truth(branch.Key.Evaluate(frame)))
                return Run(branch.Value, frame);
        }

        return Run(otherwise, frame);
    }

    private static void CollectBody(Statement[] body, Scope scope)
    {
        foreach (Statement statement in body)
            statement.Collect(scope);
    }
}

internal sealed class ForNode(Target target, Expression items, Expression? test, bool recursive, Statement[] body, Statement[] otherwise, int line)
    : Statement(line)
{
    private const string LoopName = "loop";
    private FrameLayout bodyLayout = new();
    private FrameLayout otherwiseLayout = new();
    private FrameLayout testLayout = new();
    private BoundTarget? bodyTarget;
    private BoundTarget? testTarget;
    private int loopSlot = -1;

    public override IEnumerable<Node> Children => [target, items, .. body, .. otherwise, .. test is null ? Array.Empty<Node>() : [test]];

    public override void Collect(Scope scope) => items.Collect(scope);

    public override void Bind(Binder binder)
    {
        bool hasLoop = recursive || Undeclared(body, LoopName).Count > 0;
        items.Bind(binder);
        Scope inner = binder.Enter(
            binder.Scope,
            true,
            scope =>
            {
                if (hasLoop)
                    scope.Declare(LoopName);
                target.Collect(scope, true);
                foreach (Statement statement in body)
                    statement.Collect(scope);
            },
            () =>
            {
                bodyTarget = target.Resolve(binder);
                foreach (Statement statement in body)
                    statement.Bind(binder);
            });
        bodyLayout = inner.Layout;
        loopSlot = hasLoop ? inner.Layout.SlotOf(LoopName) : -1;
        otherwiseLayout = binder.Enter(binder.Scope, binder.InLoop, s => CollectAll(otherwise, s), () => BindAll(otherwise, binder)).Layout;
        if (test is null)
            return;
        testLayout = binder.Enter(
            binder.Scope,
            false,
            scope =>
            {
                target.Collect(scope, true);
                test.Collect(scope);
            },
            () =>
            {
                testTarget = target.Resolve(binder);
                test.Bind(binder);
            }).Layout;
    }

    public override Flow Execute(Frame frame)
    {
        frame.State.Line = Line;
        object? iterable = items.Evaluate(frame);
        if (!recursive)
            return Loop(frame, iterable, 0);
        frame.State.Write(Recurse(frame, iterable, 0));
        return Flow.Next;
    }

    private string Recurse(Frame frame, object? iterable, long depth) =>
        frame.State.Capture(frame, f => Loop(f, iterable, depth), out _);

    private Flow Loop(Frame frame, object? iterable, long depth)
    {
        IEnumerable<object?> source = Types.Iterate(iterable);
        if (test is not null)
            source = Filtered(frame, source);
        var inner = new Frame(bodyLayout, frame);
        bool any = false;
        if (loopSlot >= 0)
        {
            var loop = new LoopContext(test is null ? iterable : null, source, depth, recursive ? (more, d) => Recurse(frame, more, d) : null);
            inner.Slots[loopSlot] = loop;
            while (loop.TryNext(out object? item))
            {
                any = true;
                if (Once(inner, item) == Flow.Break)
                    break;
            }
        }
        else
        {
            foreach (object? item in source)
            {
                any = true;
                if (Once(inner, item) == Flow.Break)
                    break;
            }
        }

        if (any || otherwise.Length == 0)
            return Flow.Next;
        var last = new Frame(otherwiseLayout, frame);
        last.Enter();
        return Run(otherwise, last);
    }

    private Flow Once(Frame inner, object? item)
    {
        bodyTarget!.Assign(inner, item);
        inner.Enter();
        return Run(body, inner);
    }

    private IEnumerable<object?> Filtered(Frame frame, IEnumerable<object?> source)
    {
        var scope = new Frame(testLayout, frame);
        scope.Enter();
        foreach (object? item in source)
        {
            testTarget!.Assign(scope, item);
            if (Types.Truth(test!.Evaluate(scope)))
                yield return item;
        }
    }

    internal static void CollectAll(IEnumerable<Node> nodes, Scope scope)
    {
        foreach (Node node in nodes)
            node.Collect(scope);
    }

    internal static void BindAll(IEnumerable<Node> nodes, Binder binder)
    {
        foreach (Node node in nodes)
            node.Bind(binder);
    }
}

/// <summary><c>break</c> and <c>continue</c>.</summary>
internal sealed class JumpNode(Flow flow, int line) : Statement(line)
{
    public override void Bind(Binder binder)
    {
        if (!binder.InLoop)
            throw TemplateFault.Syntax(flow == Flow.Break ? "'break' outside loop" : "'continue' not properly in loop", Line);
    }

    public override Flow Execute(Frame frame) => flow;
}

/// <summary><c>{% set target = value %}</c>.</summary>
internal sealed class SetNode(Target target, Expression value, int line) : Statement(line)
{
    private BoundTarget? bound;

    public override IEnumerable<Node> Children => [target, value];

    public override void Collect(Scope scope)
    {
        value.Collect(scope);
        target.Collect(scope, false);
    }

    public override void Bind(Binder binder)
    {
        value.Bind(binder);
        bound = target.Resolve(binder);
    }

    public override Flow Execute(Frame frame)
    {
        frame.State.Line = Line;
        bound!.Check(frame);
        object? result = value.Evaluate(frame);
        frame.State.Line = Line;
        bound.Assign(frame, result);
        return Flow.Next;
    }
}

/// <summary><c>{% set target %}...{% endset %}</c>, the text filtered when a filter is given.</summary>
internal sealed class SetBlockNode(Target target, Expression? filter, BlockTextExpression text, Statement[] body, int line) : Statement(line)
{
    private FrameLayout layout = new();
    private BoundTarget? bound;

    public override IEnumerable<Node> Children => [target, .. filter is null ? Array.Empty<Node>() : [filter], .. body];

    public override void Collect(Scope scope) => target.Collect(scope, false);

    public override void Bind(Binder binder)
    {
        IEnumerable<Node> inner = [.. body, filter ?? text];
        layout = binder.Enter(binder.Scope, binder.InLoop, s => ForNode.CollectAll(inner, s), () => ForNode.BindAll(inner, binder)).Layout;
        bound = target.Resolve(binder);
    }

    public override Flow Execute(Frame frame)
    {
        frame.State.Line = Line;
        var inner = new Frame(layout, frame);
        inner.Enter();
        string rendered = frame.State.Capture(inner, f => Run(body, f), out Flow flow);
        if (flow != Flow.Next)
            return flow;
        bound!.Check(frame);
        text.Put(inner, rendered);
        bound.Assign(frame, (filter ?? text).Evaluate(inner));
        return Flow.Next;
    }
}

/// <summary><c>{% filter name %}...{% endfilter %}</c>.</summary>
internal sealed class FilterBlockNode(Expression filter, BlockTextExpression text, Statement[] body, int line) : Statement(line)
{
    private FrameLayout layout = new();

    public override IEnumerable<Node> Children => [.. body, filter];

    public override void Collect(Scope scope)
    {
        // The filter's arguments are read in the block's own frame.
    }

    public override void Bind(Binder binder) =>
        layout = binder.Enter(binder.Scope, binder.InLoop, s => ForNode.CollectAll(Children, s), () => ForNode.BindAll(Children, binder)).Layout;

    public override Flow Execute(Frame frame)
    {
        var inner = new Frame(layout, frame);
        inner.Enter();
        string rendered = frame.State.Capture(inner, f => Run(body, f), out Flow flow);
        if (flow != Flow.Next)
            return flow;
        text.Put(inner, rendered);
        frame.State.Write(Printer.Str(filter.Evaluate(inner)));
        return Flow.Next;
    }
}

/// <summary><c>{% with name = value %}...{% endwith %}</c>.</summary>
internal sealed class WithNode(Target[] targets, Expression[] values, Statement[] body, int line) : Statement(line)
{
    private FrameLayout layout = new();
    private BoundTarget[] bound = [];

    public override IEnumerable<Node> Children => [.. targets, .. values, .. body];

    public override void Collect(Scope scope) => ForNode.CollectAll(values, scope);

    public override void Bind(Binder binder)
    {
        ForNode.BindAll(values, binder);
        layout = binder.Enter(
            binder.Scope,
            binder.InLoop,
            scope =>
            {
                foreach (Target target in targets)
                    target.Collect(scope, true);
                ForNode.CollectAll(body, scope);
            },
            () =>
            {
                bound = [.. targets.Select(t => t.Resolve(binder))];
                ForNode.BindAll(body, binder);
            }).Layout;
    }

    public override Flow Execute(Frame frame)
    {
        frame.State.Line = Line;
        var inner = new Frame(layout, frame);
        inner.Enter();
        for (int i = 0; i < bound.Length; i++)
            bound[i].Assign(inner, values[i].Evaluate(frame));
        return Run(body, inner);
    }
}

/// <summary>A parameter of a macro with its default, if it has one.</summary>
internal sealed class MacroParameter(string name, Expression? standard)
{
    public string Name => name;

    public Expression? Default => standard;

    public int Slot { get; set; }
}

/// <summary>The parameters and statements that a macro or a call block runs.</summary>
internal sealed class MacroBody(string? name, MacroParameter[] parameters, Statement[] body, int line)
{
    public string? Name => name;

    public MacroParameter[] Parameters => parameters;

    public FrameLayout Scope { get; private set; } = new();

    /// <summary>The slot of <c>caller</c> when the body uses it without declaring it, else -1.</summary>
    public int Caller { get; private set; } = -1;

    /// <summary>The slot of <c>kwargs</c> when the body uses it, else -1.</summary>
    public int Keywords { get; private set; } = -1;

    /// <summary>The slot of <c>varargs</c> when the body uses it, else -1.</summary>
    public int Rest { get; private set; } = -1;

    public bool AcceptsCaller => Caller >= 0;

    public bool HasCallerParameter => parameters.Any(p => p.Name == "caller");

    public IEnumerable<Node> Children =>
        [.. parameters.Select(p => new NameTarget(p.Name, line)), .. parameters.Select(p => p.Default).OfType<Node>(), .. body];

    public void Bind(Binder binder)
    {
        HashSet<string> used = Node.Undeclared(body, "caller", "kwargs", "varargs");
        if (used.Contains("caller") && parameters.Any(p => p.Name == "caller" && p.Default is null))
        {
            throw new TemplateFault(
                "TemplateAssertionError",
                "When defining macros or call blocks the special \"caller\" argument must be omitted or be given a default.",
                line);
        }

        used.ExceptWith(parameters.Select(p => p.Name));
        Scope inner = binder.Enter(
            binder.Scope,
            false,
            scope =>
            {
                foreach (string special in used)
                    scope.Declare(special);
                foreach (MacroParameter parameter in parameters)
                    scope.Declare(parameter.Name);
                ForNode.CollectAll(parameters.Select(p => p.Default).OfType<Node>(), scope);
                ForNode.CollectAll(body, scope);
            },
            () =>
            {
                ForNode.BindAll(parameters.Select(p => p.Default).OfType<Node>(), binder);
                ForNode.BindAll(body, binder);
            });
        Scope = inner.Layout;
        foreach (MacroParameter parameter in parameters)
            parameter.Slot = Scope.SlotOf(parameter.Name);
        Caller = used.Contains("caller") ? Scope.SlotOf("caller") : -1;
        Keywords = used.Contains("kwargs") ? Scope.SlotOf("kwargs") : -1;
        Rest = used.Contains("varargs") ? Scope.SlotOf("varargs") : -1;
    }

    /// <summary>Runs the body in a frame whose parameters are set, missing ones getting their defaults.</summary>
    public string Render(Frame frame)
    {
        frame.Enter();
        foreach (MacroParameter parameter in parameters)
        {
            if (frame.Slots[parameter.Slot] is Missing)
            {
                frame.Slots[parameter.Slot] = parameter.Default is not null ? parameter.Default.Evaluate(frame)
                    : Undefined.Hint($"parameter {Printer.Repr(parameter.Name)} was not provided");
            }
        }

        return frame.State.Capture(frame, f => Statement.Run(body, f), out _);
    }
}

internal sealed class MacroNode(MacroBody body, int line) : Statement(line)
{
    private BoundTarget? bound;

    public override IEnumerable<Node> Children => body.Children;

    public override void Collect(Scope scope) => scope.Store(body.Name!);

    public override void Bind(Binder binder)
    {
        body.Bind(binder);
        bound = new NameTarget(body.Name!, Line).Resolve(binder);
    }

    public override Flow Execute(Frame frame)
    {
        bound!.Assign(frame, new Macro(body, frame));
        return Flow.Next;
    }
}

/// <summary><c>{% call macro() %}...{% endcall %}</c>: the body is the macro's <c>caller</c>.</summary>
internal sealed class CallBlockNode(CallExpression call, MacroBody body, int line) : Statement(line)
{
    public override IEnumerable<Node> Children => [call, .. body.Children];

    public override void Collect(Scope scope) => call.Collect(scope);

    public override void Bind(Binder binder)
    {
        call.Bind(binder);
        body.Bind(binder);
    }

    public override Flow Execute(Frame frame)
    {
        frame.State.Line = Line;
        frame.State.Write(Printer.Str(call.Call(frame, new Macro(body, frame))));
        return Flow.Next;
    }
}

/// <summary><c>{% generation %}...{% endgeneration %}</c>, which marks what the model writes; rendered as it stands, in a frame of its own.</summary>
internal sealed class GenerationNode(MacroBody body, int line) : Statement(line)
{
    public override IEnumerable<Node> Children => body.Children;

    public override void Collect(Scope scope)
    {
        // Everything in it belongs to its own frame.
    }

    public override void Bind(Binder binder) => body.Bind(binder);

    public override Flow Execute(Frame frame)
    {
        frame.State.Write(Printer.Str(Globals.Call(new Macro(body, frame), new Arguments([]))));
        return Flow.Next;
    }
}

/// <summary><c>{% block name %}...{% endblock %}</c>: rendered in place; sees the context and, when scoped, the variables around it.</summary>
internal sealed class BlockNode(string name, bool scoped, Statement[] body, int line) : Statement(line)
{
    private readonly List<(string Name, SlotRef Slot)> visible = [];
    private FrameLayout layout = new();

    public string Name => name;

    public override IEnumerable<Node> Children => body;

    public override void Collect(Scope scope)
    {
        // A block reads the context, not the frames around it.
    }

    public override void Bind(Binder binder)
    {
        if (!binder.Blocks.Add(name))
            throw new TemplateFault("TemplateAssertionError", $"block {Printer.Repr(name)} defined twice", Line);
        if (scoped)
            visible.AddRange(binder.Scope.AllStores.Select(stored => (stored, binder.Scope.Find(stored))));
        layout = binder.Enter(null, false, s => ForNode.CollectAll(body, s), () => ForNode.BindAll(body, binder)).Layout;
    }

    public override Flow Execute(Frame frame)
    {
        Dictionary<string, object?>? outer = frame.State.ScopedNames;
        if (scoped)
        {
            frame.State.ScopedNames = outer is null ? [] : new(outer);
            foreach ((string stored, SlotRef slot) in visible)
            {
                if (frame.Get(slot) is not Missing)
                    frame.State.ScopedNames[stored] = frame.Get(slot);
            }
        }

        var inner = new Frame(layout, frame.State);
        inner.Enter();
        Run(body, inner);
        frame.State.ScopedNames = outer;
        return Flow.Next;
    }
}
