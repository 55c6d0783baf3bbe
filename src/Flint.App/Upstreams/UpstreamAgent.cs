using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Upstreams;

/// <summary>An agent that an upstream computes: one request, read to its end.</summary>
internal sealed class UpstreamAgent : AgentRun
{
    private readonly UpstreamAgents _host;
    private readonly UpstreamAnswer _answer;
    private readonly ContemplationOptions _options;
    private readonly ConfidenceWindow _window;
    private readonly List<ResponseDelta> _deltas = [];
    private readonly List<double> _windows = [];
    private string? _finish;
    private bool _isPruned;
    private FlintException? _fault;

    /// <summary>Prepares an agent.</summary>
    /// <param name="host">Whose it is.</param>
    /// <param name="plan">What was decided of it.</param>
    /// <param name="answer">Its answer, not begun yet; it is the agent's from now on.</param>
    public UpstreamAgent(UpstreamAgents host, AgentPlan plan, UpstreamAnswer answer)
        : base(plan)
    {
        _host = host;
        _options = host.Options;
        _answer = answer;
        _window = new ConfidenceWindow(_options.Window);
    }

    /// <inheritdoc/>
    public override async Task RunAsync(Func<ContemplationEvent, ValueTask> tell, CancellationToken stop)
    {
        try
        {
            // The first agent of all is refused like any other request.
            await (Plan.Index == 0 ? _answer.BeginAsync(_host.Tell.Note, stop) : _answer.BeginInTurnAsync(_host.Tell.Note, stop));
            await ReadAsync(tell);
        }
        catch (Exception) when (stop.IsCancellationRequested)
        {
            // What it wrote until now is its trace's.
        }
        catch (FlintException fault) when (fault.Side != FaultSide.Bug)
        {
            _fault = fault; // the others go on
        }
        finally
        {
            await _answer.DisposeAsync();
        }
    }

    /// <inheritdoc/>
    public override AgentTrace Trace(AgentEnd cut)
    {
        ChatDraft draft = ChatDraft.Join(_deltas, 0);
        _host.Ended(Plan, draft, _fault);
        Answer? answer = Answer.Of(draft);
        return new AgentTrace
        {
            Plan = Plan,
            End = _fault is not null ? AgentEnd.Failed : _isPruned ? AgentEnd.Pruned : _finish switch
            {
                null => cut,
                "length" => AgentEnd.Length,
                "content_filter" => AgentEnd.Failed,
                _ => AgentEnd.Finished,
            },
            Fault = _fault?.Message ?? (_finish == "content_filter" ? "A rule of the upstream's ended it." : null),
            Reasoning = draft.Reasoning,
            Content = draft.Content,
            Kind = answer?.Kind,
            Answer = answer?.Key,
            Tokens = [],
            OutputTokens = (int)_answer.Usage.OutputTokens,
            Windows = _windows,
            Confidence = _window.Count == 0 ? 0 : _window.Lowest,
        };
    }

    private async Task ReadAsync(Func<ContemplationEvent, ValueTask> tell)
    {
        var news = new List<UpstreamNews>();
        while (await _answer.ReadAsync(news))
        {
            foreach (UpstreamNews one in news)
                await TakeAsync(one, tell);
            news.Clear();
            if (_isPruned)
                return; // whoever computes it is left
        }
    }

    private async ValueTask TakeAsync(UpstreamNews news, Func<ContemplationEvent, ValueTask> tell)
    {
        if (news.Score is { } score)
        {
            Take(score);
            return;
        }

        if (news.Finish is not null)
        {
            _finish = news.Finish;
            return;
        }

        ResponseDelta delta = news.Delta;
        _deltas.Add(delta.Kind == ResponseDeltaKind.ToolCallStart ? delta with { ToolId = $"call_{delta.ToolIndex}" } : delta);
        if (delta.Kind is not (ResponseDeltaKind.Reasoning or ResponseDeltaKind.Content))
            return;
        await tell(new ContemplationEvent
        {
            Kind = ContemplationEventKind.AgentWrote,
            Agent = Plan,
            Token = new TokenEvent { Kind = TokenEventKind.Text, Token = -1, Text = delta.Text },
            IsThought = delta.Kind == ResponseDeltaKind.Reasoning,
        });
    }

    private void Take(in TokenEvent score)
    {
        _window.Add(ConfidenceWindow.Of(score, _options.ConfidenceTop));
        if (_window.Count % Math.Max(1, _options.Window / 2) == 0)
            _windows.Add(_window.Current);
        _isPruned |= Plan.Floor is { } floor && _window.IsFull && _window.Current < floor && _finish is null;
    }
}
