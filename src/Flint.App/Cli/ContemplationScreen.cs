using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Flint.App.Cli;

/// <summary>Agents side by side on a terminal while they think, and the votes below.</summary>
internal sealed class ContemplationScreen(ServedModel model, ChatPrompt prompt, TimeProvider time)
{
    private const int Columns = 4, Lines = 6, Shown = 16; // panels of older agents give way
    private static readonly TimeSpan FrameEvery = TimeSpan.FromMilliseconds(60);

    private readonly List<View> _views = [];
    private LiveDisplayContext? _live;
    private string _votes = "";
    private long _lastFrame;

    private sealed class View(AgentPlan plan, ResponseParser parser)
    {
        public AgentPlan Plan => plan;

        public ResponseParser Parser => parser;

        public string Text { get; set; } = "";

        public AgentTrace? Trace { get; set; }
    }

    /// <summary>Shows a contemplation while it runs.</summary>
    internal async Task<T> RunAsync<T>(IAnsiConsole terminal, Func<Task<T>> contemplate) =>
        await terminal.Live(Render()).StartAsync(async live =>
        {
            _live = live;
            T result = await contemplate();
            live.UpdateTarget(Render());
            return result;
        });

    /// <summary>Shows what happened.</summary>
    internal ValueTask TellAsync(ContemplationEvent news)
    {
        var deltas = new List<ResponseDelta>();
        switch (news.Kind)
        {
            case ContemplationEventKind.AgentStarted:
                _views.Add(new View(news.Agent!, model.CreateParser(prompt, [], null, deltas)));
                break;
            case ContemplationEventKind.AgentWrote:
                View view = _views[news.Agent!.Index];
                model.Push(view.Parser, news.Token, deltas);
                view.Text += string.Concat(deltas.Where(d => d.Kind is ResponseDeltaKind.Reasoning or ResponseDeltaKind.Content).Select(d => d.Text));
                break;
            case ContemplationEventKind.AgentEnded:
                _views[news.Agent!.Index].Trace = news.Trace;
                break;
            default:
                _votes = AgentScript.Votes(news.Ballot!);
                break;
        }

        if (_live is null || (news.Kind == ContemplationEventKind.AgentWrote && time.GetElapsedTime(_lastFrame) < FrameEvery))
            return ValueTask.CompletedTask;
        _lastFrame = time.GetTimestamp();
        _live.UpdateTarget(Render());
        return ValueTask.CompletedTask;
    }

    /// <summary>All of it, as it is now.</summary>
    internal IRenderable Render()
    {
        var grid = new Grid().Expand();
        for (int i = 0; i < Columns; i++)
            grid.AddColumn(new GridColumn().NoWrap().PadLeft(0).PadRight(0));
        foreach (View[] row in _views.Skip(Math.Max(0, (_views.Count - Shown + Columns - 1) / Columns * Columns)).Chunk(Columns))
            grid.AddRow([.. row.Select(Panel), .. Enumerable.Repeat<IRenderable>(new Text(""), Columns - row.Length)]);
        return new Rows(grid, new Text(Screen.Printable(_votes)));
    }

    private static IRenderable Panel(View view)
    {
        AgentTrace? trace = view.Trace;
        string state = trace is null ? "" : Screen.Printable(AgentScript.End(trace).Trim());
        Color colour = trace?.End switch
        {
            null => Color.Blue,
            AgentEnd.Finished => Color.Green,
            AgentEnd.Pruned => Color.Grey,
            _ => Color.Red,
        };
        return new Panel(new Rows(new Text(Tail(Screen.Printable(view.Text)), new Style(decoration: Decoration.Dim)), new Text(state)))
            .Header(Markup.Escape(AgentScript.Heading(view.Plan).Trim() + (trace is null ? "" : $" {trace.OutputTokens} tokens"))).BorderColor(colour).Expand();
    }

    /// <summary>The last lines of a text, cut to a panel's width as well as can be known.</summary>
    private static string Tail(string text)
    {
        const int width = 34;
        IEnumerable<string> lines = text.Split('\n').SelectMany(line => line.Length == 0 ? [""] : line.Chunk(width).Select(c => new string(c)));
        string[] last = [.. lines.TakeLast(Lines)];
        return string.Join('\n', last.Concat(Enumerable.Repeat("", Lines - last.Length)));
    }
}
