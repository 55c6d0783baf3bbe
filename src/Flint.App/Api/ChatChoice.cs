using System.Text;
using Flint.Dialects;
using Flint.Engine;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>One choice of a chat answer: reads the model's tokens through its dialect into reasoning, content and tool calls.</summary>
internal sealed class ChatChoice : Choice
{
    // A model that opens its thoughts anew whenever they are closed is left to itself no longer than this.
    private const int MaxLegs = 8;

    private readonly ChatTurn _turn;
    private readonly Tokenizer _tokenizer;
    private readonly ResponseParser _parser;
    private readonly RequestMeter _meter;
    private readonly ChatRequest _request;
    private readonly bool _hidesReasoning;
    private readonly List<ResponseDelta> _deltas = [];

    private readonly List<TokenScore> _unplaced = []; // tokens that are perhaps content
    private bool _isComplete;

    // Where thoughts have a limit.
    private readonly List<int> _written = []; // by the model, or put in its mouth
    private int _produced; // by the model in sequences that have ended, those tokens among them that are not read
    private int _thoughts; // of these, thoughts
    private int _legs;
    private bool _isCut; // the thoughts met their limit, and the rest of their sequence is not read

    /// <summary>Begins a choice.</summary>
    /// <param name="sequence">What generates it.</param>
    /// <param name="turn">What was asked.</param>
    public ChatChoice(Sequence sequence, ChatTurn turn)
        : base(sequence.SampleIndex, sequence)
    {
        _turn = turn;
        _tokenizer = turn.Model.Tokenizer;
        _hidesReasoning = turn.Plan.HidesReasoning || turn.Request.HidesReasoning;
        _request = turn.Request;
        _meter = turn.Meter;
        _parser = turn.CreateParser(_deltas);
        Output = new ChatOutput(Index, OutputFilter.Of(turn.Meter, Index));
        Apply();
    }

    /// <summary>What it has to tell.</summary>
    public ChatOutput Output { get; }

    /// <inheritdoc/>
    public override bool HasNews => Output.HasNews;

    /// <inheritdoc/>
    protected override bool IsComplete => _isComplete || _isCut;

    /// <inheritdoc/>
    protected override void Take(in TokenEvent next)
    {
        if (_isComplete || _isCut)
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

    /// <summary>Closes the thoughts that have met their limit, and goes on from there.</summary>
    protected override Sequence? Continue(FinishReason? reason)
    {
        if (_turn.Plan.Budget is null || _isComplete || ++_legs > MaxLegs || !(_isCut || reason == Engine.FinishReason.Length))
            return null;
        _produced += Sequence.OutputTokens;
        int[] closing = _parser.IsReasoning ? _turn.Model.EncodeInside(_turn.Model.Dialect.ReasoningClosing!) : [];
        if (_turn.Continue([.. _written, .. closing], _produced, Index) is not { } next)
            return null;
        _written.AddRange(closing);
        _turn.Model.Push(_parser, closing, _deltas);
        _isCut = false;
        Apply();
        return next;
    }

    /// <summary>Notes a token; false where it would be a thought too many, and its sequence is to end.</summary>
    private bool Admit(int token)
    {
        if (_turn.Plan.Budget is not int budget)
            return true;
        if (_parser.IsReasoning && _thoughts >= budget && !_tokenizer.IsSpecial(token))
        {
            _isCut = true;
            Sequence.Cancel();
            return false;
        }

        _written.Add(token);
        return true;
    }

    /// <inheritdoc/>
    protected override void End(string reason)
    {
        if (!_isComplete)
        {
            _parser.Finish(_deltas);
            Apply();
        }

        FinishReason = _isCut ? "length" : _isComplete || (reason == "stop" && Output.Calls > 0) ? "tool_calls" : reason;
        Output.FinishReason = FinishReason;
        FinishReason = Output.FinishReason;
        Output.StopString = _isComplete ? null : Sequence.MatchedStop;
        Output.IsContextFull = reason == "length" && !_isCut && !_turn.IsClipped && (_turn.Plan.Budget is null ? Sequence.OutputTokens : _produced) < _request.MaxTokens;
    }

    private void Apply()
    {
        foreach (ResponseDelta delta in _deltas)
        {
            switch (delta.Kind)
            {
                case ResponseDeltaKind.Reasoning when _hidesReasoning:
                    continue;
                case ResponseDeltaKind.Content:
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
