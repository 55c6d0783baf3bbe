using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>An agent that is a sequence of an engine: reads what that generates to the end, whatever end that is.</summary>
internal sealed class Agent : AgentRun
{
    private readonly ContemplationTask _task;
    private readonly ContemplationOptions _options;
    private readonly ConfidenceWindow _window;
    private readonly List<TokenEvent> _events = [];
    private readonly List<int> _tokens = [];
    private readonly List<double> _windows = [];
    private readonly int _stride;

    private Agent(AgentPlan plan, Sequence sequence, ContemplationTask task, ContemplationOptions options)
        : base(plan)
    {
        Sequence = sequence;
        _task = task;
        _options = options;
        _window = new ConfidenceWindow(options.Window);
        _stride = Math.Max(1, options.Window / 2);
    }

    /// <inheritdoc/>
    public override Sequence Sequence { get; }

    /// <inheritdoc/>
    public override bool IsShutDown => Sequence.FinishReason == FinishReason.Cancelled;

    /// <summary>Hands an agent to the engine.</summary>
    /// <exception cref="FlintException">The engine refuses it.</exception>
    public static Agent Start(Engine.Engine engine, AgentPlan plan, ContemplationTask task, ContemplationOptions options)
    {
        Sequence sequence = engine.Submit(new GenerationRequest
        {
            Prompt = plan.Prompt is { } own ? [.. own] : task.Prompt,
            MaxTokens = plan.MaxTokens,
            Sampling = task.Sampling.With(plan.Temperature, plan.Seed),
            Stop = task.Stop,
            Grammar = task.Grammar,
            TopLogprobs = options.ConfidenceTop,
            Floor = plan.Floor is { } least ? new ConfidenceFloor(options.Window, options.ConfidenceTop, least) : null,
            Adapter = task.AdapterOf(plan),
            CacheSalt = task.CacheSalt,
            Share = task.Share,
        });
        return new Agent(plan, sequence, task, options);
    }

    /// <inheritdoc/>
    public override Task RunAsync(Func<ContemplationEvent, ValueTask> tell, CancellationToken stop) => SequenceReader.ReadAsync(
        Sequence, Take, next => tell(new ContemplationEvent { Kind = ContemplationEventKind.AgentWrote, Agent = Plan, Token = next }), stop);

    /// <summary>Cancels what still runs and reads the rest, so that its cost is final.</summary>
    public Task EndAsync() => SequenceReader.EndAsync(Sequence, Take);

    /// <inheritdoc/>
    public override AgentTrace Trace(AgentEnd cut)
    {
        Draft draft = _task.Read(_events);
        Answer? answer = Contemplate.Answer.Of(draft);
        return new AgentTrace
        {
            Plan = Plan,
            End = Sequence.FinishReason switch
            {
                FinishReason.Stop => AgentEnd.Finished,
                FinishReason.Length => AgentEnd.Length,
                FinishReason.LowConfidence => AgentEnd.Pruned,
                FinishReason.Cancelled => cut,
                _ => AgentEnd.Failed,
            },
            Fault = Sequence.Fault?.Message,
            Reasoning = draft.Reasoning,
            Content = draft.Content,
            Kind = answer?.Kind,
            Answer = answer?.Key,
            Tokens = _tokens,
            OutputTokens = Sequence.OutputTokens,
            Windows = _windows,
            Confidence = _window.Count == 0 ? 0 : _window.Lowest,
        };
    }

    private void Take(TokenEvent next)
    {
        if (next.Kind == TokenEventKind.Finished)
            return;
        _events.Add(next);
        if (next.Kind != TokenEventKind.Token)
            return;
        _tokens.Add(next.Token);
        _window.Add(ConfidenceWindow.Of(next, _options.ConfidenceTop));
        if (_window.Count % _stride == 0)
            _windows.Add(_window.Current);
    }
}
