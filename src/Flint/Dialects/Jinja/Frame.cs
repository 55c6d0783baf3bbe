using System.Text;

namespace Flint.Dialects;

/// <summary>The variables of one running scope.</summary>
internal sealed class Frame
{
    public Frame(FrameLayout layout, Frame parent)
    {
        Layout = layout;
        Parent = parent;
        State = parent.State;
        Slots = new object?[layout.Count];
        Array.Fill(Slots, Missing.Value);
    }

    public Frame(FrameLayout layout, RenderState state)
    {
        Layout = layout;
        State = state;
        Slots = new object?[layout.Count];
        Array.Fill(Slots, Missing.Value);
    }

    public FrameLayout Layout { get; }

    public Frame? Parent { get; }

    public RenderState State { get; }

    public object?[] Slots { get; }

    public object? Get(SlotRef reference) => Out(reference.Hops).Slots[reference.Slot];

    public void Set(SlotRef reference, object? value) => Out(reference.Hops).Slots[reference.Slot] = value;

    /// <summary>Gives every variable that is not a parameter its value on entry.</summary>
    public void Enter()
    {
        foreach ((int slot, LoadKind kind, string name, SlotRef source) in Layout.Loads)
        {
            Slots[slot] = kind switch
            {
                LoadKind.Resolve => State.Resolve(name),
                LoadKind.Alias => Get(source),
                _ => Missing.Value,
            };
        }
    }

    private Frame Out(int hops)
    {
        Frame frame = this;
        for (; hops > 0; hops--)
            frame = frame.Parent!;
        return frame;
    }
}

/// <summary>What all frames of one rendering share: the context, the output, the current line.</summary>
internal sealed class RenderState(Dictionary<string, object?> context)
{
    private readonly Dictionary<string, object?> exported = [];
    private StringBuilder output = new();

    /// <summary>The line being rendered, for error messages.</summary>
    public int Line { get; set; }

    /// <summary>Names that a scoped block sees beside the context.</summary>
    public Dictionary<string, object?>? ScopedNames { get; set; }

    public string Output => output.ToString();

    public object? Resolve(string name) =>
        ScopedNames?.TryGetValue(name, out object? value) == true || exported.TryGetValue(name, out value) || context.TryGetValue(name, out value)
            ? value : Missing.Value;

    /// <summary>Makes a top-level assignment visible to blocks.</summary>
    public void Export(string name, object? value) => exported[name] = value;

    public void Write(string text)
    {
        if (output.Length + text.Length > TemplateLimits.TextLength)
            throw TemplateFault.Limit($"rendered output may have {TemplateLimits.TextLength} characters");
        Budget.Charge(1 + (text.Length >> 4));
        output.Append(text);
    }

    /// <summary>Runs <paramref name="body"/> and returns what it wrote instead of writing it.</summary>
    public string Capture(Frame frame, Func<Frame, Flow> body, out Flow flow)
    {
        Budget.Object();
        StringBuilder outer = output;
        output = new StringBuilder();
        try
        {
            flow = body(frame);
            Budget.Text(output.Length);
            return output.ToString();
        }
        finally
        {
            output = outer;
        }
    }
}
