using System.Text;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Dialects;
using Flint.Engine;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>One choice of a plain completion: text, and the scores of its tokens where they are asked for.</summary>
internal sealed class CompletionChoice : Choice
{
    private readonly record struct Score(int Token, float Logprob, TopLogprob[]? Top, int Offset);

    private readonly Tokenizer _tokenizer;
    private readonly bool _scores;
    private readonly OutputFilter? _filter;
    private readonly AnswerLog? _log;
    private readonly StringBuilder _text = new();
    private readonly List<ResponseDelta> _passed = [];
    private readonly List<Score> _tokens = [];
    private readonly CompletionPrompt? _echo;
    private readonly int[] _prompt;
    private Detokenizer? _offsets;
    private int _offset;
    private int _echoed; // characters of the prompt that are not told yet
    private double _logprobs; // of all tokens together
    private int _scored;
    private bool _begun;

    /// <summary>Begins a choice.</summary>
    /// <param name="index">Its <c>index</c>.</param>
    /// <param name="sequence">What generates it.</param>
    /// <param name="model">The model.</param>
    /// <param name="prompt">The prompt's ids as the engine has them.</param>
    /// <param name="echo">The prompt as the caller gave it, to be given back first; null for not.</param>
    /// <param name="scores">Whether log-probabilities are asked for.</param>
    /// <param name="filter">What the text must keep to; null for nothing.</param>
    /// <param name="log">Is told what is told of it, but the echo; null for nothing.</param>
    public CompletionChoice(int index, Sequence sequence, ServedModel model, int[] prompt, CompletionPrompt? echo, bool scores, OutputFilter? filter, AnswerLog? log)
        : base(index, sequence)
    {
        _tokenizer = model.Tokenizer;
        _prompt = prompt;
        _echo = echo;
        _scores = scores;
        _filter = filter;
        _log = log?.Begin(index);
    }

    /// <inheritdoc/>
    public override bool HasNews => _text.Length > 0 || _tokens.Count > 0;

    /// <summary>The mean log-probability of its tokens, where these have one; of none the lowest.</summary>
    public double MeanLogprob => _scored == 0 ? double.NegativeInfinity : _logprobs / _scored;

    /// <summary>What it has written that is not told yet, without the prompt.</summary>
    public string Written => _text.ToString(_echoed, _text.Length - _echoed);

    /// <summary>Writes the choice's object with all news, which are then told.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="index">Its index in the answer.</param>
    public void Write(Utf8JsonWriter writer, int index)
    {
        writer.WriteStartObject();
        writer.WriteNumber("index"u8, index);
        writer.WriteString("text"u8, _text.ToString());
        if (_scores)
            WriteScores(writer);
        else
            writer.WriteNull("logprobs"u8);
        writer.WriteString("finish_reason"u8, FinishReason);
        writer.WriteEndObject();
        _text.Clear();
        _echoed = 0;
        _tokens.Clear();
    }

    /// <inheritdoc/>
    public override async ValueTask JudgeAsync(CancellationToken cancellation)
    {
        if (_filter is not { Waits: true })
            return;
        await _filter.JudgeAsync(_passed, cancellation);
        AppendPassed();
        if (FinishReason is null && IsComplete)
            Sequence.Cancel();
        else if (IsComplete)
            FinishReason = OutputFilter.FinishReason;
    }

    /// <inheritdoc/>
    protected override bool IsComplete => _filter is { IsDenied: true };

    /// <inheritdoc/>
    protected override void Take(in TokenEvent next)
    {
        if (IsComplete)
            return;
        Begin();
        if (next.Kind == TokenEventKind.Token && float.IsFinite(next.Logprob))
        {
            _logprobs += next.Logprob;
            _scored++;
        }

        if (next.Kind == TokenEventKind.Token && _scores)
        {
            _offsets ??= new Detokenizer(_tokenizer, showSpecial: false, previous: _prompt[^1]);
            _tokens.Add(new Score(next.Token, next.Logprob, next.Top, _offset));
            _offset += _offsets.Push(next.Token).Length;
        }

        if (_filter is null)
        {
            Append(new ResponseDelta(ResponseDeltaKind.Content, next.Text));
            return;
        }

        _filter.Take(new ResponseDelta(ResponseDeltaKind.Content, next.Text), _passed);
        AppendPassed();
        if (IsComplete)
            Sequence.Cancel();
    }

    /// <inheritdoc/>
    protected override void End(string reason)
    {
        Begin();
        _filter?.Finish(_passed);
        AppendPassed();
        FinishReason = IsComplete ? OutputFilter.FinishReason : reason;
    }

    private void AppendPassed()
    {
        foreach (ResponseDelta delta in _passed)
            Append(delta);
        _passed.Clear();
    }

    private void Append(in ResponseDelta delta)
    {
        _log?.Add(Index, delta);
        _text.Append(delta.Text);
    }

    // The prompt's scores are complete with the first event, so the echo is made then.
    private void Begin()
    {
        if (_begun)
            return;
        _begun = true;
        if (_echo is not CompletionPrompt echo)
            return;
        _text.Append(echo.Text ?? _tokenizer.Decode(_prompt));
        _echoed = _text.Length;
        if (_scores && !IsLate) // else the prompt may not be computed
            ScorePrompt(echo);
        _offset = _text.Length;
    }

    private void ScorePrompt(CompletionPrompt echo)
    {
        // A beginning-of-sequence token that the caller did not write takes no room in the text.
        int added = echo.Text is not null && _prompt[0] == _tokenizer.Bos && !echo.Text.StartsWith(_tokenizer.Text(_prompt[0]), StringComparison.Ordinal) ? 1 : 0;
        var offsets = new Detokenizer(_tokenizer, showSpecial: true);
        ReadOnlySpan<float> logprobs = Sequence.PromptLogprobs;
        int offset = 0;
        for (int i = 0; i < _prompt.Length; i++)
        {
            _tokens.Add(new Score(_prompt[i], logprobs[i], Sequence.PromptTop(i), offset));
            if (i >= added)
                offset += offsets.Push(_prompt[i]).Length;
        }
    }

    private void WriteScores(Utf8JsonWriter writer)
    {
        writer.WriteStartObject("logprobs"u8);
        writer.WriteStartArray("tokens"u8);
        foreach (Score score in _tokens)
            writer.WriteStringValue(TokenNames.Of(_tokenizer, score.Token));
        writer.WriteEndArray();
        writer.WriteStartArray("token_logprobs"u8);
        foreach (Score score in _tokens)
        {
            if (float.IsNaN(score.Logprob))
                writer.WriteNullValue();
            else
                writer.WriteNumberValue(TokenNames.Finite(score.Logprob));
        }

        writer.WriteEndArray();
        writer.WriteStartArray("top_logprobs"u8);
        foreach (Score score in _tokens)
            WriteTop(writer, score);
        writer.WriteEndArray();
        writer.WriteStartArray("text_offset"u8);
        foreach (Score score in _tokens)
            writer.WriteNumberValue(score.Offset);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    // The likeliest tokens by name, and the token itself where it is none of them. Of two tokens that print alike the likelier counts.
    private void WriteTop(Utf8JsonWriter writer, Score score)
    {
        if (float.IsNaN(score.Logprob))
        {
            writer.WriteNullValue();
            return;
        }

        var named = new HashSet<string>();
        bool itself = false;
        writer.WriteStartObject();
        foreach (TopLogprob top in score.Top ?? [])
        {
            itself |= top.Token == score.Token;
            string name = TokenNames.Of(_tokenizer, top.Token);
            if (named.Add(name))
                writer.WriteNumber(name, TokenNames.Finite(top.Logprob));
        }

        string own = TokenNames.Of(_tokenizer, score.Token);
        if (!itself && named.Add(own))
            writer.WriteNumber(own, TokenNames.Finite(score.Logprob));
        writer.WriteEndObject();
    }
}
