using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Flint.Dialects;
using Flint.Engine;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>One choice of a chat answer: reads the model's tokens through its dialect into reasoning, content and tool calls.</summary>
internal sealed class ChatChoice : Choice
{
    private readonly record struct Score(int Token, float Logprob, TopLogprob[]? Top);

    private sealed class Call(string id, string name)
    {
        public string Id => id;

        public string Name => name;

        public StringBuilder Arguments { get; } = new();

        public bool IsTold { get; set; }
    }

    // A model that opens its thoughts anew whenever they are closed is left to itself no longer than this.
    private const int MaxLegs = 8;

    private readonly ChatTurn _turn;
    private readonly Tokenizer _tokenizer;
    private readonly ResponseParser _parser;
    private readonly RequestMeter _meter;
    private readonly ChatRequest _request;
    private readonly bool _hidesReasoning;
    private readonly List<ResponseDelta> _deltas = [];

    // What is not told yet.
    private readonly StringBuilder _reasoning = new();
    private readonly StringBuilder _content = new();
    private readonly List<Call> _calls = [];
    private readonly List<Score> _scores = [];

    private readonly List<Score> _unplaced = []; // tokens that are perhaps content
    private bool _begun;
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
        _hidesReasoning = turn.Plan.HidesReasoning;
        _request = turn.Request;
        _meter = turn.Meter;
        _parser = turn.Model.CreateParser(
            turn.Prompt, turn.Request.Conversation.Tools, static _ => "call_" + RandomNumberGenerator.GetHexString(24, lowercase: true), _deltas);
        Apply();
    }

    /// <inheritdoc/>
    public override bool HasNews => _reasoning.Length > 0 || _content.Length > 0 || _scores.Count > 0
        || _calls.Exists(call => !call.IsTold || call.Arguments.Length > 0);

    /// <inheritdoc/>
    protected override bool IsComplete => _isComplete || _isCut;

    /// <summary>Writes the choice's object with the whole message.</summary>
    public void WriteMessage(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteNumber("index"u8, Index);
        writer.WriteStartObject("message"u8);
        writer.WriteString("role"u8, "assistant"u8);
        if (_content.Length == 0 && _calls.Count > 0)
            writer.WriteNull("content"u8);
        else
            writer.WriteString("content"u8, _content.ToString());
        writer.WriteNull("refusal"u8);
        if (_reasoning.Length > 0)
            writer.WriteString("reasoning_content"u8, _reasoning.ToString());
        if (_calls.Count > 0)
            WriteCalls(writer, whole: true);
        writer.WriteEndObject();
        WriteScores(writer);
        writer.WriteString("finish_reason"u8, FinishReason);
        writer.WriteEndObject();
    }

    /// <summary>Writes the choice's object with what is new; the first one names the role.</summary>
    public void WriteDelta(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteNumber("index"u8, Index);
        writer.WriteStartObject("delta"u8);
        if (!_begun)
        {
            writer.WriteString("role"u8, "assistant"u8);
            writer.WriteString("content"u8, _content.ToString());
        }
        else if (_content.Length > 0)
        {
            writer.WriteString("content"u8, _content.ToString());
        }

        if (_reasoning.Length > 0)
            writer.WriteString("reasoning_content"u8, _reasoning.ToString());
        if (_calls.Exists(call => !call.IsTold || call.Arguments.Length > 0))
            WriteCalls(writer, whole: false);
        writer.WriteEndObject();
        WriteScores(writer);
        writer.WriteString("finish_reason"u8, FinishReason);
        writer.WriteEndObject();
        _begun = true;
        _content.Clear();
        _reasoning.Clear();
        _scores.Clear();
    }

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
            _unplaced.Add(new Score(next.Token, next.Logprob, next.Top));
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

        FinishReason = _isCut ? "length" : _isComplete || (reason == "stop" && _calls.Count > 0) ? "tool_calls" : reason;
    }

    private void Apply()
    {
        foreach (ResponseDelta delta in _deltas)
        {
            switch (delta.Kind)
            {
                case ResponseDeltaKind.Reasoning when !_hidesReasoning:
                    _reasoning.Append(delta.Text);
                    break;
                case ResponseDeltaKind.Content:
                    _content.Append(delta.Text);
                    PlaceScores(Encoding.UTF8.GetByteCount(delta.Text));
                    break;
                case ResponseDeltaKind.ToolCallStart:
                    _calls.Add(new Call(delta.ToolId!, delta.ToolName!));
                    _unplaced.Clear();
                    break;
                case ResponseDeltaKind.ToolCallArguments:
                    _calls[delta.ToolIndex].Arguments.Append(delta.Text);
                    _unplaced.Clear();
                    break;
                case ResponseDeltaKind.ToolCallEnd when !_request.ParallelToolCalls:
                    // One call is all that was asked for.
                    _isComplete = true;
                    Sequence.Cancel();
                    break;
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
        _scores.AddRange(_unplaced[from..]);
        _unplaced.Clear();
    }

    private void WriteCalls(Utf8JsonWriter writer, bool whole)
    {
        writer.WriteStartArray("tool_calls"u8);
        for (int index = 0; index < _calls.Count; index++)
        {
            Call call = _calls[index];
            if (!whole && call.IsTold && call.Arguments.Length == 0)
                continue;
            writer.WriteStartObject();
            if (!whole)
                writer.WriteNumber("index"u8, index);
            if (!call.IsTold)
            {
                writer.WriteString("id"u8, call.Id);
                writer.WriteString("type"u8, "function"u8);
            }

            writer.WriteStartObject("function"u8);
            if (!call.IsTold)
                writer.WriteString("name"u8, call.Name);
            writer.WriteString("arguments"u8, call.Arguments.ToString());
            writer.WriteEndObject();
            writer.WriteEndObject();
            call.IsTold = true;
            call.Arguments.Clear();
        }

        writer.WriteEndArray();
    }

    private void WriteScores(Utf8JsonWriter writer)
    {
        if (_request.TopLogprobs < 0)
        {
            writer.WriteNull("logprobs"u8);
            return;
        }

        writer.WriteStartObject("logprobs"u8);
        writer.WriteStartArray("content"u8);
        foreach (Score score in _scores)
        {
            writer.WriteStartObject();
            WriteToken(writer, score.Token, score.Logprob);
            writer.WriteStartArray("top_logprobs"u8);
            foreach (TopLogprob top in score.Top ?? [])
            {
                writer.WriteStartObject();
                WriteToken(writer, top.Token, top.Logprob);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteNull("refusal"u8);
        writer.WriteEndObject();
    }

    private void WriteToken(Utf8JsonWriter writer, int token, float logprob)
    {
        writer.WriteString("token"u8, TokenNames.Of(_tokenizer, token));
        writer.WriteNumber("logprob"u8, TokenNames.Finite(logprob));
        writer.WriteStartArray("bytes"u8);
        foreach (byte b in _tokenizer.Bytes(token))
            writer.WriteNumberValue(b);
        writer.WriteEndArray();
    }
}
