using System.Text;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>
/// One choice of a chat answer: reads the model's tokens through its dialect into reasoning, content and tool calls. Where the model may
/// spawn sub-agents, it goes on once they have answered.
/// </summary>
internal sealed class ChatChoice : Choice
{
    // A model that opens its thoughts anew whenever they are closed is left to itself no longer than this.
    private const int MaxLegs = 8;

    private readonly EngineTurn _turn;
    private readonly Tokenizer _tokenizer;
    private readonly RequestMeter _meter;
    private readonly ChatRequest _request;
    private readonly bool _hidesReasoning;
    private readonly string? _closing; // of thoughts
    private readonly List<ResponseDelta> _deltas = [];
    private readonly SpawningChat? _spawning;

    // Tokens of the whole answer, those of sub-agents among them.
    private readonly TokenBudget _tokens;
    private int _granted; // to the sequence that runs

    private readonly List<TokenScore> _unplaced = []; // tokens that are perhaps content
    private ChatPrompt _prompt; // what the model goes on from: the turn's, or with the answers of sub-agents behind it
    private ResponseParser _parser;
    private bool _isComplete;
    private bool _isRead; // all that the sequence wrote
    private bool _waits; // for sub-agents
    private bool _hasContent;

    // Where thoughts are closed.
    private readonly List<int> _written = []; // behind the prompt, by the model or put in its mouth
    private int _thoughts; // of these, thoughts
    private int _legs;
    private bool _isCut; // the thoughts met their limit, and the rest of their sequence is not read
    private bool _isReasoning; // for other threads to see
    private bool _endsThinking; // asked for by another thread

    /// <summary>Begins a choice.</summary>
    /// <param name="sequence">What generates it.</param>
    /// <param name="turn">What was asked.</param>
    public ChatChoice(Sequence sequence, EngineTurn turn)
        : base(sequence.SampleIndex, sequence)
    {
        _turn = turn;
        _tokenizer = turn.Model.Tokenizer;
        _hidesReasoning = turn.Plan.HidesReasoning || turn.Request.HidesReasoning;
        _closing = turn.ReasoningClosing;
        _request = turn.Request;
        _meter = turn.Meter;
        _tokens = new TokenBudget(turn.MaxOutput);
        _granted = _tokens.Reserve(turn.MostOf(turn.MaxOutput, 0));
        _spawning = turn.Request.Subagents is null ? null : new SpawningChat(turn, _tokens);
        Output = new ChatOutput(Index, OutputFilter.Of(turn.Meter, Index), turn.Meter.Answers);
        Begin(turn.Prompt);
    }

    /// <summary>What it has to tell.</summary>
    public ChatOutput Output { get; }

    /// <inheritdoc/>
    public override bool HasNews => Output.HasNews;

    /// <inheritdoc/>
    protected override bool IsComplete => _isComplete || _isCut || _isRead;

    /// <inheritdoc/>
    protected override bool Waits => _waits;

    /// <summary>Has the model end its thoughts at its next token, and answer. Any thread.</summary>
    /// <returns>False where it has no thoughts now.</returns>
    public bool EndThinking()
    {
        if (!Volatile.Read(ref _isReasoning))
            return false;
        Volatile.Write(ref _endsThinking, true);
        return true;
    }

    /// <summary>Has the model end thoughts that it has, or begins, for want of time. Any thread.</summary>
    public void HurryThinking()
    {
        if (_closing is not null)
            Volatile.Write(ref _endsThinking, true);
    }

    /// <inheritdoc/>
    public override async Task CutOffAsync()
    {
        _waits = false;
        if (_spawning is not null && FinishReason is null)
            await _spawning.LeaveAsync();
        await base.CutOffAsync();
    }

    /// <summary>Waits for news of the model, or of its sub-agents, and takes all that is there.</summary>
    public override async ValueTask<bool> ReadAsync(CancellationToken cancellation)
    {
        if (!_waits)
            return await base.ReadAsync(cancellation);
        if (await _spawning!.ReadAsync(cancellation) is { } thoughts)
        {
            if (!_hidesReasoning)
                Output.Add(new ResponseDelta(ResponseDeltaKind.Reasoning, thoughts));
            if (Output.IsDenied)
                await EndWaitAsync();
            return true;
        }

        _waits = false;
        await GoOnAsync(cancellation);
        return true;
    }

    /// <inheritdoc/>
    public override async ValueTask JudgeAsync(CancellationToken cancellation)
    {
        await Output.JudgeAsync(cancellation);
        if (FinishReason is not null)
        {
            FinishReason = Output.FinishReason;
        }
        else if (Output.IsDenied && _waits)
        {
            await EndWaitAsync();
        }
        else if (Output.IsDenied && !_isComplete)
        {
            _isComplete = true;
            Sequence.Cancel();
        }
    }

    /// <summary>Ends sub-agents that still run and waits for their end, so that their usage is final.</summary>
    public async Task LeaveAsync()
    {
        if (_spawning is null)
            return;
        await _spawning.LeaveAsync();
        if (FinishReason is null)
            _meter.CountDiscarded(_tokens.Discarded);
    }

    /// <inheritdoc/>
    protected override void Take(in TokenEvent next)
    {
        if (IsComplete)
            return;
        if (next.Kind == TokenEventKind.Token && !Admit(next.Token))
            return;
        if (next.Kind == TokenEventKind.Text)
        {
            // Text of ordinary tokens that the engine kept back; what it looks like does not matter.
            _parser.Push(0, next.Text, isSpecial: false, _deltas);
            Apply();
            return;
        }

        bool special = _tokenizer.IsSpecial(next.Token);
        int thoughts = _parser.ReasoningTokens;
        _parser.Push(next.Token, special ? _tokenizer.Text(next.Token) : next.Text, _deltas);
        bool thought = _parser.ReasoningTokens > thoughts;
        if (thought)
        {
            _thoughts++;
            _meter.CountReasoning();
        }

        if (special || thought)
            _unplaced.Clear();
        else if (_request.TopLogprobs >= 0)
            _unplaced.Add(new TokenScore(next.Token, next.Logprob, next.Top));
        Apply();
    }

    /// <summary>Closes the thoughts that are to end and goes on from there, or hands the calls of a turn to sub-agents.</summary>
    protected override Sequence? Continue(FinishReason? reason)
    {
        _tokens.Settle(_granted, Sequence.OutputTokens, discarded: false);
        _granted = 0;
        if (IsOver)
        {
            StopAt(reason);
            return null;
        }

        if (_isCut || (!IsComplete && _turn.ThoughtBudget is not null && reason == Engine.FinishReason.Length))
            return ++_legs > MaxLegs ? null : CloseThoughts();
        bool ended = _isRead; // by its one call
        if (_spawning is null || _isComplete || !(ended || reason is Engine.FinishReason.Stop or Engine.FinishReason.Length))
            return null;
        if (!ended)
        {
            Finish();
            ended = reason == Engine.FinishReason.Stop && !(Sequence.MatchedStop is { } stop && _request.Generation.Stop.Contains(stop));
        }

        _waits = ended && _spawning.HandOver();
        return null;
    }

    // What would have come behind this sequence does not.
    private void StopAt(FinishReason? reason)
    {
        _isCut = false;
        if (_spawning is null || _isComplete || reason != Engine.FinishReason.Stop)
            return;
        if (!_isRead)
            Finish();
        IsLate = _spawning.HandOver();
    }

    /// <inheritdoc/>
    protected override void End(string reason)
    {
        if (!_isComplete && !_isRead)
            Finish();
        Volatile.Write(ref _isReasoning, false);
        if (IsLate || _spawning is { MetLimit: true })
            reason = "length";
        Output.IsLate = IsLate;
        FinishReason = _isCut ? "length" : _isComplete || (reason == "stop" && Output.Calls > 0) ? "tool_calls" : reason;
        Output.FinishReason = FinishReason;
        FinishReason = Output.FinishReason;
        Output.StopString = _isComplete ? null : Sequence.MatchedStop;
        Output.IsContextFull = reason == "length" && !_isCut && !IsLate && !_turn.IsClipped && _tokens.Spent < _request.MaxTokens;
        if (_spawning is null)
            return;
        Output.Subagents = _spawning.Tree();
        _meter.CountDiscarded(_tokens.Discarded);
    }

    /// <summary>Begins to read what the model writes behind a prompt.</summary>
    [System.Diagnostics.CodeAnalysis.MemberNotNull(nameof(_parser))]
    private void Begin(in ChatPrompt prompt)
    {
        _prompt = prompt;
        _written.Clear();
        _unplaced.Clear();
        _isRead = false;
        _parser = _turn.CreateParser(prompt, _deltas);
        Apply();
    }

    /// <summary>Goes on with the answers of sub-agents; ends where there is no room to.</summary>
    private async Task GoOnAsync(CancellationToken cancellation)
    {
        ChatPrompt prompt = _turn.Render(_spawning!.Conversation);
        int granted = prompt.Ids.Length >= _turn.Model.ContextLength ? 0 : _tokens.Reserve(_turn.MostOf(_tokens.Left, _thoughts));
        if (granted == 0)
        {
            End("length");
            return;
        }

        _granted = granted;
        Sequence = await _spawning.SubmitAsync(_turn.NewRequest(prompt.Ids, granted, 1, _turn.SamplingOf(0, Index, _spawning.Rounds), written: 0), cancellation);
        Begin(prompt);
    }

    // A rule has ended the answer while it waits for sub-agents.
    private async Task EndWaitAsync()
    {
        _waits = false;
        _isComplete = true;
        await _spawning!.LeaveAsync();
        End("stop");
    }

    private Sequence? CloseThoughts()
    {
        int[] closing = _parser.IsReasoning ? _turn.Model.EncodeInside(_closing!) : [];
        int[] prompt = [.. _prompt.Ids, .. _written, .. closing];
        if (_tokens.Left == 0 || prompt.Length >= _turn.Model.ContextLength)
            return null;
        _granted = _tokens.Reserve((int)Math.Min(_tokens.Left, int.MaxValue));
        Sequence next = _turn.Continue(prompt, prompt.Length - _prompt.Ids.Length, _granted, Index, _spawning?.Rounds ?? 0, endsThoughts: closing.Length > 0);
        _written.AddRange(closing);
        _turn.Model.Push(_parser, closing, _deltas);
        _isCut = false;
        Apply();
        if (_isComplete)
            next.Cancel(); // a rule has ended the answer with its thoughts
        return next;
    }

    /// <summary>Notes a token; false where it would be a thought too many, and its sequence is to end.</summary>
    private bool Admit(int token)
    {
        int most = Volatile.Read(ref _endsThinking) ? 0 : _turn.ThoughtBudget ?? int.MaxValue;
        if (_parser.IsReasoning && _thoughts >= most && !_tokenizer.IsSpecial(token))
        {
            _isCut = true;
            Sequence.Cancel();
            return false;
        }

        _written.Add(token);
        return true;
    }

    private void Finish()
    {
        _parser.Finish(_deltas);
        Apply();
        _isRead = true;
    }

    private void Apply()
    {
        foreach (ResponseDelta read in _deltas)
        {
            ResponseDelta delta = read;
            if (_spawning?.Takes(ref delta) == true)
            {
                if (delta.Kind == ResponseDeltaKind.ToolCallEnd && !_request.ParallelToolCalls)
                {
                    _isRead = true; // one call is all that was asked for
                    Sequence.Cancel();
                    break;
                }

                continue;
            }

            switch (delta.Kind)
            {
                case ResponseDeltaKind.Reasoning when _hidesReasoning:
                    continue;
                case ResponseDeltaKind.Content:
                    Separate(delta.Text);
                    PlaceScores(Encoding.UTF8.GetByteCount(delta.Text));
                    break;
                case ResponseDeltaKind.ToolCallEnd when !_request.ParallelToolCalls:
                    // One call is all that was asked for.
                    _isComplete = true;
                    Sequence.Cancel();
                    break;
                case ResponseDeltaKind.Reasoning or ResponseDeltaKind.ToolCallEnd:
                    break;
                default:
                    _unplaced.Clear();
                    break;
            }

            Output.Add(delta);
            if (Output.IsDenied && !_isComplete)
            {
                _isComplete = true;
                Sequence.Cancel();
            }

            if (_isComplete)
                break;
        }

        _deltas.Clear();
        Volatile.Write(ref _isReasoning, !IsComplete && _closing is not null && _parser.IsReasoning);
    }

    // What is said before and after sub-agents were asked is one text to the caller.
    private void Separate(string text)
    {
        if (_spawning is null || string.IsNullOrWhiteSpace(text))
            return;
        bool first = _spawning.IsFirstContent();
        if (first && _hasContent)
            Output.Add(new ResponseDelta(ResponseDeltaKind.Content, "\n\n"));
        _hasContent = true;
    }

    // Log-probabilities are told of the content's tokens, not of tags, headers, thoughts and calls: of the tokens not yet placed,
    // the last ones whose bytes make up the content just released.
    private void PlaceScores(int bytes)
    {
        int from = _unplaced.Count;
        while (from > 0 && bytes > 0)
            bytes -= _tokenizer.Bytes(_unplaced[--from].Token).Length;
        Output.Scores.AddRange(_unplaced[from..]);
        _unplaced.Clear();
    }
}
