using System.Text;
using System.Threading.Channels;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>
/// The sub-agents of a chat answer: takes the model's calls for them out of what is told, runs them while the model waits, and puts
/// their answers into the conversation. A turn in which the model calls a function of the client's as well ends the answer with that
/// call alone; the model may ask for agents again once it has the client's result.
/// </summary>
internal sealed class SpawningChat
{
    private const int MaxRounds = 32; // turns that may end with calls
    private const int MaxNews = 64; // pieces of thoughts that are not told yet; agents then wait

    private readonly ChatTurn _turn;
    private readonly TokenBudget _tokens;
    private readonly Subagents _agents;
    private readonly SubagentOptions _options;
    private readonly SubagentScript _script = new();
    private readonly List<SubagentCallTrace> _traces = [];
    private readonly List<ResponseDelta> _said = []; // in the model's turn
    private readonly HashSet<int> _own = []; // calls for sub-agents among those of the turn
    private int _others; // calls of the client's functions
    private int _calls; // for sub-agents, answered
    private bool _hasContent; // the turn
    private long _promptTokens;
    private ChatDraft? _draft; // the turn whose calls are to be run
    private Channel<string>? _news;
    private CancellationTokenSource? _leave;
    private Task? _running;

    /// <summary>Prepares the sub-agents of a choice of an engine's.</summary>
    /// <param name="turn">What was asked, with sub-agents.</param>
    /// <param name="tokens">The choice's budget.</param>
    public SpawningChat(EngineTurn turn, TokenBudget tokens)
    {
        _turn = turn;
        _tokens = tokens;
        Conversation = turn.Input;
        _options = turn.Request.Subagents! with { PromptTokens = turn.SubagentPromptTokens };
        GenerationFields generation = turn.Request.Generation;
        SubagentTask task = ChatSubagents.Create(turn.Variant, turn.Input, turn.Render, generation.Sampling, generation.Stop, TellAsync, turn.Meter.Share);
        _agents = new Subagents(turn.Model.Engine, task, _options, tokens);
    }

    /// <summary>Prepares the sub-agents of an answer that is computed elsewhere.</summary>
    /// <param name="turn">What was asked, with sub-agents.</param>
    /// <param name="conversation">The conversation.</param>
    /// <param name="tokens">The answer's budget.</param>
    /// <param name="spawn">Makes the agents, which tell what happens.</param>
    public SpawningChat(ChatTurn turn, TemplateInput conversation, TokenBudget tokens, Func<Func<SubagentEvent, CancellationToken, ValueTask>, Subagents> spawn)
    {
        _turn = turn;
        _tokens = tokens;
        Conversation = conversation;
        _options = turn.Request.Subagents!;
        _agents = spawn(TellAsync);
    }

    /// <summary>The conversation, with the answers of sub-agents so far.</summary>
    public TemplateInput Conversation { get; private set; }

    /// <summary>How often sub-agents have answered.</summary>
    public int Rounds { get; private set; }

    /// <summary>Whether the answer ends because the model has called too often.</summary>
    public bool MetLimit { get; private set; }

    /// <summary>Reads what the model wrote; where it is part of a call for sub-agents, it is not the caller's to read.</summary>
    /// <param name="delta">What the model wrote; calls of the client's functions are numbered without the others.</param>
    /// <returns>Whether it is such a part.</returns>
    public bool Takes(ref ResponseDelta delta)
    {
        _said.Add(delta);
        if (delta.ToolIndex < 0)
            return false;
        if (delta.Kind == ResponseDeltaKind.ToolCallStart)
        {
            if (delta.ToolName == SubagentCall.Function)
                _own.Add(delta.ToolIndex);
            else
                _others++;
        }

        int index = delta.ToolIndex;
        if (_own.Contains(index))
            return true;
        delta = delta with { ToolIndex = index - _own.Count(own => own < index) };
        return false;
    }

    /// <summary>Whether content that begins now is the turn's first.</summary>
    public bool IsFirstContent()
    {
        bool first = !_hasContent;
        _hasContent = true;
        return first;
    }

    /// <summary>Takes over at the end of the model's turn.</summary>
    /// <returns>Whether there are calls to be run.</returns>
    public bool HandOver()
    {
        _draft = _own.Count == 0 ? null : ChatDraft.Join(_said, 0);
        _said.Clear();
        bool runs = _draft is not null && _others == 0 && Rounds < MaxRounds;
        if (!runs && _draft is not null)
        {
            string fault = _others > 0 ? "Not run: a function of the client's was called beside it." : $"Not run: after {MaxRounds} turns with calls the answer ends.";
            _traces.AddRange(_draft.Calls.Where(call => call.Name == SubagentCall.Function).Select(call => new SubagentCallTrace { Name = call.Name, Arguments = call.Arguments, Fault = fault }));
        }

        MetLimit = _draft is not null && _others == 0 && !runs;
        _own.Clear();
        _others = 0;
        _hasContent = false;
        return runs;
    }

    /// <summary>Waits for what sub-agents think, and takes all that is there; the first call has them begin.</summary>
    /// <param name="cancellation">Ends every agent at the engine's next step.</param>
    /// <returns>Null once all have answered, and <see cref="Conversation"/> has their answers.</returns>
    public async ValueTask<string?> ReadAsync(CancellationToken cancellation)
    {
        if (_running is null)
            Start(cancellation);
        if (await _news!.Reader.WaitToReadAsync(cancellation))
        {
            var thoughts = new StringBuilder();
            while (_news.Reader.TryRead(out string? text))
                thoughts.Append(text);
            return thoughts.ToString();
        }

        await _running!;
        _running = null;
        _leave!.Dispose();
        _leave = null;
        return null;
    }

    /// <summary>Hands the model's next turn to the engine.</summary>
    public async Task<Sequence> SubmitAsync(GenerationRequest request, CancellationToken cancellation)
    {
        Sequence next = await _agents.SubmitAsync(request, cancellation);
        _turn.Meter.AddSharing(next);
        return next;
    }

    /// <summary>Ends agents that still run, and waits for their end. Needs no client.</summary>
    public async Task LeaveAsync()
    {
        if (_running is null)
            return;
        await _leave!.CancelAsync();
        try
        {
            await _running;
        }
        catch (Exception error) when (error is OperationCanceledException or FlintException)
        {
            // Whoever leaves has a reason of its own.
        }

        _running = null;
        _leave.Dispose();
        _leave = null;
    }

    /// <summary>All agents so far.</summary>
    public SubagentTree Tree() => new(
        _options, _traces, new ContemplationCost(_promptTokens, _tokens.Spent, _tokens.Discarded, _turn.MaxOutput));

    private void Start(CancellationToken cancellation)
    {
        _leave = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _news = Channel.CreateBounded<string>(new BoundedChannelOptions(MaxNews) { SingleReader = true, SingleWriter = true });
        ChatDraft draft = _draft!;
        CancellationToken stop = _leave.Token;
        _running = Task.Run(() => AnswerAsync(draft, stop), CancellationToken.None);
    }

    private async Task AnswerAsync(ChatDraft turn, CancellationToken stop)
    {
        try
        {
            var results = new List<string>();
            foreach (ToolCall call in turn.Calls)
            {
                SubagentCallTrace trace = await _agents.CallAsync(new FunctionCall(call.Name, call.Arguments), stop);
                _traces.Add(trace);
                results.Add(trace.Result());
            }

            Conversation = Conversation.With([.. Conversation.Messages, .. ChatSubagents.Messages(turn, results, _calls)]);
            _calls += results.Count;
            Rounds++;
        }
        finally
        {
            _news!.Writer.TryComplete();
        }
    }

    private async ValueTask TellAsync(SubagentEvent news, CancellationToken stop)
    {
        if (news.Sequence is { } sequence)
        {
            _turn.Meter.AddAgent(sequence, news.Turn);
            _promptTokens += news.Turn == 0 ? sequence.PromptTokens : 0;
        }
        else if (news.Trace is { } ended && _turn is not EngineTurn)
        {
            _promptTokens += ended.PromptTokens;
        }

        if (_script.Take(news) is { Length: > 0 } text)
            await _news!.Writer.WriteAsync(text, stop);
    }
}
