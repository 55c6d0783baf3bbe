namespace Flint.Dialects;

/// <summary>How a variable gets its value when its frame is entered.</summary>
internal enum LoadKind
{
    /// <summary>Set by the frame's owner: a loop target, a macro parameter.</summary>
    Parameter,

    /// <summary>Looked up in the template's context.</summary>
    Resolve,

    /// <summary>Copied from the same name further out.</summary>
    Alias,

    /// <summary>No value until assigned.</summary>
    Undefined,
}

/// <summary>A slot of some frame: how many frames out, and which.</summary>
internal readonly record struct SlotRef(int Hops, int Slot);

/// <summary>The slots of one kind of frame and what fills them on entry.</summary>
internal sealed class FrameLayout
{
    private readonly Dictionary<string, int> slots = [];

    public int Count => slots.Count;

    /// <summary>What to do on entry, per slot; complete once the scope has been bound.</summary>
    public List<(int Slot, LoadKind Kind, string Name, SlotRef Source)> Loads { get; } = [];

    public int SlotOf(string name)
    {
        if (!slots.TryGetValue(name, out int slot))
        {
            slot = slots.Count;
            slots.Add(name, slot);
        }

        return slot;
    }
}

/// <summary>
/// The names of one frame while a template is compiled. Jinja2 decides statically where a name lives: a name assigned in a frame
/// is the frame's own for its whole length and starts as a copy of the outer one; a name only read is looked up outwards, and in
/// the context when no frame knows it. Branches of an <c>if</c> share their frame.
/// </summary>
internal sealed class Scope
{
    private readonly HashSet<string> references;
    private readonly OrderedDictionary<string, LoadKind> loads;
    private readonly HashSet<string> stores;

    public Scope(Scope? parent)
        : this(parent, new FrameLayout(), [], [], [])
    {
    }

    private Scope(Scope? parent, FrameLayout layout, HashSet<string> references, OrderedDictionary<string, LoadKind> loads, HashSet<string> stores)
    {
        Parent = parent;
        Layout = layout;
        this.references = references;
        this.loads = loads;
        this.stores = stores;
    }

    public Scope? Parent { get; }

    public FrameLayout Layout { get; }

    /// <summary>Names assigned here or further out.</summary>
    public IEnumerable<string> AllStores => Parent is null ? stores : stores.Union(Parent.AllStores);

    public void Load(string name)
    {
        if (!Knows(name))
            Define(name, LoadKind.Resolve);
    }

    public void Store(string name)
    {
        stores.Add(name);
        if (!references.Contains(name))
            Define(name, Parent?.Knows(name) == true ? LoadKind.Alias : LoadKind.Undefined);
    }

    public void Declare(string name)
    {
        stores.Add(name);
        Define(name, LoadKind.Parameter);
    }

    /// <summary>Runs each branch on a copy and joins what they found: a name that some branch assigns keeps its outer value in the others.</summary>
    public void Branch(params ReadOnlySpan<Action<Scope>> branches)
    {
        var assigned = new HashSet<string>();
        var copies = new List<Scope>();
        foreach (Action<Scope> branch in branches)
        {
            var copy = new Scope(Parent, Layout, [.. references], new(loads), [.. stores]);
            branch(copy);
            copies.Add(copy);
            assigned.UnionWith(copy.stores);
        }

        assigned.ExceptWith(stores);
        foreach (Scope copy in copies)
        {
            references.UnionWith(copy.references);
            foreach (KeyValuePair<string, LoadKind> load in copy.loads)
                loads[load.Key] = load.Value;
            stores.UnionWith(copy.stores);
        }

        foreach (string name in assigned)
            loads[name] = Parent?.Knows(name) == true ? LoadKind.Alias : LoadKind.Resolve;
    }

    /// <summary>Where a name that this frame or an outer one knows lives.</summary>
    public SlotRef Find(string name)
    {
        int hops = 0;
        for (Scope? scope = this; scope is not null; scope = scope.Parent, hops++)
        {
            if (scope.references.Contains(name))
                return new SlotRef(hops, scope.Layout.SlotOf(name));
        }

        throw new InvalidOperationException($"name {name} was not collected");
    }

    /// <summary>Writes the entry instructions once every name has been collected.</summary>
    public void Seal()
    {
        foreach (KeyValuePair<string, LoadKind> load in loads)
        {
            SlotRef source = default;
            if (load.Value == LoadKind.Alias)
            {
                SlotRef outer = Parent!.Find(load.Key);
                source = new SlotRef(outer.Hops + 1, outer.Slot);
            }

            if (load.Value != LoadKind.Parameter)
                Layout.Loads.Add((Layout.SlotOf(load.Key), load.Value, load.Key, source));
        }
    }

    private bool Knows(string name) => references.Contains(name) || Parent?.Knows(name) == true;

    private void Define(string name, LoadKind kind)
    {
        references.Add(name);
        loads[name] = kind;
        Layout.SlotOf(name);
    }
}

/// <summary>Carries the current scope through the second pass, which resolves every name to a slot.</summary>
internal sealed class Binder
{
    public required Scope Scope { get; set; }

    /// <summary>At the template's top, where assignments are also seen by its blocks.</summary>
    public bool TopLevel { get; set; }

    /// <summary>Inside a branch, where an unknown filter is an error only when it is reached.</summary>
    public bool Soft { get; set; }

    /// <summary>Inside a loop of the same function, where break and continue may stand.</summary>
    public bool InLoop { get; set; }

    /// <summary>The names of the template's blocks so far.</summary>
    public HashSet<string> Blocks { get; } = [];

    /// <summary>Binds with a scope, sealed here, that <paramref name="collect"/> fills.</summary>
    public Scope Enter(Scope? parent, bool inLoop, Action<Scope> collect, Action bind)
    {
        var inner = new Scope(parent);
        collect(inner);
        inner.Seal();
        (Scope outer, bool topLevel, bool soft, bool loop) = (Scope, TopLevel, Soft, InLoop);
        (Scope, TopLevel, Soft, InLoop) = (inner, false, false, inLoop);
        bind();
        (Scope, TopLevel, Soft, InLoop) = (outer, topLevel, soft, loop);
        return inner;
    }

    /// <summary>Binds in the same scope as a branch.</summary>
    public void Branch(Action bind)
    {
        bool soft = Soft;
        Soft = true;
        bind();
        Soft = soft;
    }
}
