using System.Text;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>What a part of an answer is.</summary>
internal enum ChatPartKind
{
    /// <summary>Thoughts.</summary>
    Reasoning,

    /// <summary>Text.</summary>
    Content,

    /// <summary>A call of a function.</summary>
    Call,
}

/// <summary>A part of an answer, or as much of it as is not told yet.</summary>
/// <param name="kind">What it is.</param>
/// <param name="call">Which call of the answer; -1 for text.</param>
internal sealed class ChatPart(ChatPartKind kind, int call = -1)
{
    /// <summary>What it is.</summary>
    public ChatPartKind Kind => kind;

    /// <summary>Which call of the answer, from 0; -1 for text.</summary>
    public int Call => call;

    /// <summary>The text; of a call, the JSON text of its arguments.</summary>
    public StringBuilder Text { get; } = new();

    /// <summary>The call's id, where its beginning is not told yet.</summary>
    public string? Id { get; init; }

    /// <summary>The function, where the call's beginning is not told yet.</summary>
    public string? Name { get; init; }

    /// <summary>Whether the call is over.</summary>
    public bool Ends { get; set; }
}

/// <summary>A token of the answer's text with its log-probability.</summary>
internal readonly record struct TokenScore(int Token, float Logprob, TopLogprob[]? Top);

/// <summary>One choice of an answer, from the reader of a model's tokens to the writer of an API: what is not told yet, in order.</summary>
/// <param name="index">Its index in the answer.</param>
/// <param name="filter">What it must keep to; null for nothing.</param>
/// <param name="log">Is told what is told; null for nothing.</param>
internal sealed class ChatOutput(int index, OutputFilter? filter, AnswerLog? log = null)
{
    private readonly AnswerLog? _log = log?.Begin(index);
    private readonly List<ChatPart> _parts = [];
    private readonly List<ResponseDelta> _passed = [];

    /// <summary>Its index in the answer.</summary>
    public int Index => index;

    /// <summary>What is not told yet, in the order it came; neighbours of one kind are one part.</summary>
    public IReadOnlyList<ChatPart> Parts => _parts;

    /// <summary>Log-probabilities of the text's tokens, not told yet.</summary>
    public List<TokenScore> Scores { get; } = [];

    /// <summary>Whether there is something to tell.</summary>
    public bool HasNews => _parts.Count > 0 || Scores.Count > 0;

    /// <summary>How many calls the model has begun.</summary>
    public int Calls { get; private set; }

    /// <summary>Whether a rule has ended it; nothing that is added later is told.</summary>
    public bool IsDenied => filter is { IsDenied: true };

    /// <summary>
    /// Why it ended (<c>stop</c>, <c>length</c>, <c>tool_calls</c>, or <c>content_filter</c> where a rule ended it, whatever is
    /// set); null until then. Setting it tells what was held back, but for what a model is still to judge.
    /// </summary>
    public string? FinishReason
    {
        get;
        set
        {
            filter?.Finish(_passed);
            AppendPassed();
            field = IsDenied ? OutputFilter.FinishReason : value;
        }
    }

    /// <summary>Has models judge what waits for them, which may end it.</summary>
    /// <param name="cancellation">The caller has left.</param>
    /// <exception cref="FlintException">Machine: a text could not be judged, and its rule lets nothing pass then.</exception>
    public async ValueTask JudgeAsync(CancellationToken cancellation)
    {
        if (filter is not { Waits: true })
            return;
        await filter.JudgeAsync(_passed, cancellation);
        AppendPassed();
        if (FinishReason is string reason)
            FinishReason = reason; // or that of a rule
    }

    /// <summary>The stop string that ended it, if one did.</summary>
    public string? StopString { get; set; }

    /// <summary>Whether it ended with <c>length</c> because the context was full, before the most tokens asked for.</summary>
    public bool IsContextFull { get; set; }

    /// <summary>Whether its time was over before it was.</summary>
    public bool IsLate { get; set; }

    /// <summary>The tree it comes from, where several agents made it.</summary>
    public ContemplationTrace? Trace { get; set; }

    /// <summary>The tree of its sub-agents, where it was offered to spawn them.</summary>
    public SubagentTree? Subagents { get; set; }

    /// <summary>Adds what the model wrote.</summary>
    public void Add(in ResponseDelta delta)
    {
        if (delta.Kind == ResponseDeltaKind.ToolCallStart)
            Calls++;
        if (filter is null)
        {
            Append(delta);
            return;
        }

        filter.Take(delta, _passed);
        AppendPassed();
    }

    private void AppendPassed()
    {
        foreach (ResponseDelta delta in _passed)
            Append(delta);
        _passed.Clear();
    }

    private void Append(in ResponseDelta delta)
    {
        _log?.Add(index, delta);
        switch (delta.Kind)
        {
            case ResponseDeltaKind.Reasoning:
                Last(ChatPartKind.Reasoning, -1).Text.Append(delta.Text);
                break;
            case ResponseDeltaKind.Content:
                Last(ChatPartKind.Content, -1).Text.Append(delta.Text);
                break;
            case ResponseDeltaKind.ToolCallStart:
                _parts.Add(new ChatPart(ChatPartKind.Call, delta.ToolIndex) { Id = delta.ToolId, Name = delta.ToolName });
                break;
            case ResponseDeltaKind.ToolCallArguments:
                Last(ChatPartKind.Call, delta.ToolIndex).Text.Append(delta.Text);
                break;
            default:
                Last(ChatPartKind.Call, delta.ToolIndex).Ends = true;
                break;
        }
    }

    /// <summary>The text of all parts of a kind.</summary>
    public string Text(ChatPartKind kind) => string.Concat(_parts.Where(part => part.Kind == kind).Select(part => part.Text.ToString()));

    /// <summary>Takes note that all is told.</summary>
    public void Clear()
    {
        _parts.Clear();
        Scores.Clear();
    }

    private ChatPart Last(ChatPartKind kind, int call)
    {
        if (_parts.Count == 0 || _parts[^1].Kind != kind || _parts[^1].Call != call)
            _parts.Add(new ChatPart(kind, call));
        return _parts[^1];
    }
}
