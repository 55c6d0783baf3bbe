using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Flint.App.Cli;

/// <summary>Agents side by side on a terminal while they think, and the votes below.</summary>
internal sealed class ContemplationScreen(ServedModel model, ChatPrompt prompt, TimeProvider time)
{
    private const int MostColumns = 4, LeastWidth = 30, Border = 4, Lines = 6, Shown = 16; // panels of older agents give way
    private static readonly TimeSpan FrameEvery = TimeSpan.FromMilliseconds(60);

    private readonly List<View> _views = [];
    private LiveDisplayContext? _live;
    private string _votes = "";
    private long _lastFrame;
    private int _width = 120;

    private sealed class View(AgentPlan plan, ResponseParser parser)
    {
        public AgentPlan Plan => plan;

        public ResponseParser Parser => parser;

        public string Text { get; set; } = "";

        public AgentTrace? Trace { get; set; }
    }

    /// <summary>Shows a contemplation while it runs.</summary>
    internal async Task<T> RunAsync<T>(IAnsiConsole terminal, Func<Task<T>> contemplate)
    {
        _width = terminal.Profile.Width;
        return await terminal.Live(Render()).StartAsync(async live =>
        {
            _live = live;
            T result = await contemplate();
            live.UpdateTarget(Render());
            return result;
        });
    }

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
        int columns = Math.Clamp(_width / LeastWidth, 1, MostColumns);
        var grid = new Grid().Expand();
        for (int i = 0; i < columns; i++)
            grid.AddColumn(new GridColumn().NoWrap().PadLeft(0).PadRight(0));
        foreach (View[] row in _views.Skip(Math.Max(0, (_views.Count - Shown + columns - 1) / columns * columns)).Chunk(columns))
            grid.AddRow([.. row.Select(view => PanelOf(view, _width / columns - Border)), .. Enumerable.Repeat<IRenderable>(new Text(""), columns - row.Length)]);
        return new Rows(grid, new Text(Screen.Printable(_votes)));
    }

    private static Panel PanelOf(View view, int width)
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
        return new Panel(new Rows(new Text(Tail(Screen.Printable(view.Text), width), new Style(decoration: Decoration.Dim)), new Text(state)))
            .Header(Markup.Escape(AgentScript.Heading(view.Plan).Trim() + (trace is null ? "" : $" {trace.OutputTokens} tokens"))).BorderColor(colour).Expand();
    }

    /// <summary>The last lines of a text in a panel's width.</summary>
    private static string Tail(string text, int width)
    {
        IEnumerable<string> lines = text.Split('\n').SelectMany(line => line.Length == 0 ? [""] : line.Chunk(Math.Max(1, width)).Select(c => new string(c)));
        string[] last = [.. lines.TakeLast(Lines)];
        return string.Join('\n', last.Concat(Enumerable.Repeat("", Lines - last.Length)));
    }
}
