namespace Flint.Dialects;

/// <summary>A parsed and bound template; rendering leaves it unchanged, so that threads may share it.</summary>
internal sealed class CompiledTemplate
{
    private readonly Statement[] body;
    private readonly FrameLayout layout;

    private CompiledTemplate(Statement[] body, FrameLayout layout, HashSet<string> constants)
    {
        this.body = body;
        this.layout = layout;
        Constants = constants;
    }

    /// <summary>The string constants in the source.</summary>
    public IReadOnlySet<string> Constants { get; }

    /// <exception cref="TemplateFault">The source is not a template.</exception>
    public static CompiledTemplate Compile(string source) => Budget.Run(() =>
    {
        (Statement[] body, HashSet<string> constants) = Parser.Parse(source);
        var binder = new Binder { Scope = new Scope(null) };
        Scope root = binder.Enter(null, false, scope => ForNode.CollectAll(body, scope), () =>
        {
            binder.TopLevel = true;
            ForNode.BindAll(body, binder);
        });
        return new CompiledTemplate(body, root.Layout, constants);
    });

    /// <summary>Renders with the variables that <paramref name="variables"/> makes, beside the global functions.</summary>
    /// <exception cref="TemplateFault">The template raised, or met a limit; the line is set.</exception>
    public string Render(Func<IEnumerable<KeyValuePair<string, object?>>> variables, DateTimeOffset now) => Budget.Run(() =>
    {
        Dictionary<string, object?> context = Globals.Create(now);
        foreach (KeyValuePair<string, object?> variable in variables())
            context[variable.Key] = variable.Value;
        var state = new RenderState(context);
        try
        {
            var frame = new Frame(layout, state);
            frame.Enter();
            Statement.Run(body, frame);
            return state.Output;
        }
        catch (TemplateFault fault)
        {
            if (fault.Line == 0)
                fault.Line = state.Line;
            throw;
        }
    });
}
