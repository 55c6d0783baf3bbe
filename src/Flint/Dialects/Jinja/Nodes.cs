using System.Runtime.CompilerServices;

namespace Flint.Dialects;

/// <summary>How a statement ended.</summary>
internal enum Flow
{
    Next,
    Break,
    Continue,
}

/// <summary>
/// A node of the syntax tree. Compilation passes over it twice: <see cref="Collect"/> gathers the names of one scope,
/// <see cref="Bind"/> then resolves them to slots and opens inner scopes.
/// </summary>
internal abstract class Node(int line)
{
    public int Line { get; } = line;

    public virtual IEnumerable<Node> Children => [];

    public virtual void Collect(Scope scope)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        foreach (Node child in Children)
            child.Collect(scope);
    }

    public virtual void Bind(Binder binder)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        foreach (Node child in Children)
            child.Bind(binder);
    }

    /// <summary>The names among <paramref name="sought"/> that the nodes read before they assign them, in source order.</summary>
    public static HashSet<string> Undeclared(IEnumerable<Node> nodes, params IEnumerable<string> sought)
    {
        var left = new HashSet<string>(sought);
        var found = new HashSet<string>();
        foreach (Node node in nodes)
            Search(node, left, found);
        return found;
    }

    private static void Search(Node node, HashSet<string> left, HashSet<string> found)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (node is NameExpression name && left.Contains(name.Name))
            found.Add(name.Name);
        else if (node is NameTarget target)
            left.Remove(target.Name);
        if (node is BlockNode)
            return;
        foreach (Node child in node.Children)
            Search(child, left, found);
    }
}

internal abstract class Expression(int line) : Node(line)
{
    public abstract object? Evaluate(Frame frame);

    /// <summary>Counts a step and notes the line before an operation that may fail.</summary>
    protected void Visit(Frame frame)
    {
        Budget.Step();
        frame.State.Line = Line;
    }
}

internal abstract class Statement(int line) : Node(line)
{
    public abstract Flow Execute(Frame frame);

    public static Flow Run(Statement[] body, Frame frame)
    {
        Budget.Step();
        foreach (Statement statement in body)
        {
            Flow flow = statement.Execute(frame);
            if (flow != Flow.Next)
                return flow;
        }

        return Flow.Next;
    }
}

/// <summary>What an assignment assigns to.</summary>
internal abstract class Target(int line) : Node(line)
{
    /// <summary>Declares the names: as parameters of the scope, or as assigned in it.</summary>
    public abstract void Collect(Scope scope, bool parameter);

    /// <summary>The target with its names resolved in the binder's scope.</summary>
    public abstract BoundTarget Resolve(Binder binder);

    public override void Collect(Scope scope) => Collect(scope, false);
}

internal sealed class NameTarget(string name, int line) : Target(line)
{
    public string Name => name;

    public override void Collect(Scope scope, bool parameter)
    {
        if (parameter)
            scope.Declare(name);
        else
            scope.Store(name);
    }

    public override BoundTarget Resolve(Binder binder) => new BoundName(binder.Scope.Find(name), binder.TopLevel ? name : null);
}

/// <summary><c>ns.attribute</c> in a set statement.</summary>
internal sealed class NamespaceTarget(string name, string attribute, int line) : Target(line)
{
    public override void Collect(Scope scope, bool parameter) => scope.Load(name);

    public override BoundTarget Resolve(Binder binder) => new BoundAttribute(binder.Scope.Find(name), attribute);
}

internal sealed class TupleTarget(Target[] items, int line) : Target(line)
{
    public override IEnumerable<Node> Children => items;

    public override void Collect(Scope scope, bool parameter)
    {
        foreach (Target item in items)
            item.Collect(scope, parameter);
    }

    public override BoundTarget Resolve(Binder binder) => new BoundTuple([.. items.Select(i => i.Resolve(binder))]);
}

internal abstract class BoundTarget
{
    public abstract void Assign(Frame frame, object? value);

    /// <summary>Fails when a namespace attribute is to be set on something else; asked before the value is computed.</summary>
    public virtual void Check(Frame frame)
    {
    }
}

internal sealed class BoundName(SlotRef slot, string? exported) : BoundTarget
{
    public override void Assign(Frame frame, object? value)
    {
        frame.Set(slot, value);
        if (exported is not null)
            frame.State.Export(exported, value);
    }
}

internal sealed class BoundAttribute(SlotRef slot, string attribute) : BoundTarget
{
    public override void Check(Frame frame) => Owner(frame);

    public override void Assign(Frame frame, object? value) => Owner(frame).Attributes[attribute] = value;

    private Namespace Owner(Frame frame) => frame.Get(slot) as Namespace
        ?? throw TemplateFault.Runtime("cannot assign attribute on non-namespace object");
}

internal sealed class BoundTuple(BoundTarget[] items) : BoundTarget
{
    public override void Check(Frame frame)
    {
        foreach (BoundTarget item in items)
            item.Check(frame);
    }

    public override void Assign(Frame frame, object? value)
    {
        if (!Types.IsIterable(value))
            throw TemplateFault.Type($"cannot unpack non-iterable {Types.Name(value)} object");
        object?[] values = value is PySequence sequence ? sequence.Array : [.. Types.Iterate(value).Take(items.Length + 1)];
        if (values.Length < items.Length)
            throw TemplateFault.Value($"not enough values to unpack (expected {items.Length}, got {values.Length})");
        if (values.Length > items.Length)
            throw TemplateFault.Value($"too many values to unpack (expected {items.Length})");
        for (int i = 0; i < items.Length; i++)
            items[i].Assign(frame, values[i]);
    }
}
