using System.Text;
using System.Text.Json;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Upstreams;

/// <summary>Something new of one choice of an upstream's answer.</summary>
/// <param name="Choice">Which choice.</param>
/// <param name="Delta">What was written; its default where <paramref name="Finish"/> is told. Calls have no ids yet.</param>
/// <param name="Finish">Why the choice ended: <c>stop</c>, <c>length</c>, <c>tool_calls</c> or <c>content_filter</c>; null while it goes on.</param>
/// <param name="Stop">The stop string that ended it, where the upstream tells.</param>
/// <param name="Score">A token's log-probability and those of the likeliest, without their ids; null where another thing is told.</param>
internal readonly record struct UpstreamNews(int Choice, ResponseDelta Delta, string? Finish = null, string? Stop = null, TokenEvent? Score = null);

/// <summary>What an upstream says an answer has used.</summary>
/// <param name="PromptTokens">Of the prompt.</param>
/// <param name="CachedTokens">Of those, found in its cache.</param>
/// <param name="OutputTokens">Produced, over all choices.</param>
/// <param name="ReasoningTokens">Of those, of reasoning; null where it does not tell.</param>
internal readonly record struct UpstreamUsage(long PromptTokens, long CachedTokens, long OutputTokens, long? ReasoningTokens);

/// <summary>
/// Reads the events of a streamed completion, of a chat or a plain one, as vLLM, SGLang, llama-server, Flint and hosted APIs send them, into text, thoughts and
/// calls. What it gives, joined, does not depend on how the stream was cut into pieces.
/// </summary>
/// <param name="model">The model's name in the API.</param>
/// <param name="choices">How many choices were asked for.</param>
/// <param name="mostBytes">The most bytes of text that a choice may have.</param>
/// <param name="hasScores">Whether log-probabilities are read.</param>
internal sealed class ChunkReader(string model, int choices, long mostBytes, bool hasScores = false)
{
    /// <summary>Most calls of a choice.</summary>
    public const int MaxCalls = 128;

    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 64 };

    private readonly State[] _states = [.. Enumerable.Range(0, choices).Select(_ => new State())];

    private sealed class State
    {
        public List<(long Index, string? Id)> Calls { get; } = [];

        public bool IsCalling { get; set; } // the last of the calls goes on

        public string? Finish { get; set; }

        public long Bytes { get; set; }
    }

    /// <summary>Whether the mark of a complete stream has come.</summary>
    public bool IsDone { get; private set; }

    /// <summary>Whether every choice has ended.</summary>
    public bool HasEnded => _states.All(state => state.Finish is not null);

    /// <summary>The usage that was told last; null where none was.</summary>
    public UpstreamUsage? Reported { get; private set; }

    /// <summary>Bytes of all that was written.</summary>
    public long Bytes { get; private set; }

    /// <summary>Of those, bytes of thoughts.</summary>
    public long ReasoningBytes { get; private set; }

    /// <summary>How many pieces these came in: a piece has a token at least.</summary>
    public long Pieces { get; private set; }

    /// <summary>Reads one event's data.</summary>
    /// <param name="data">The data.</param>
    /// <param name="into">Receives what is new.</param>
    /// <exception cref="FlintException">Machine: it is no such event, or tells of a failure.</exception>
    public void Read(ReadOnlyMemory<byte> data, List<UpstreamNews> into)
    {
        if (IsDone || data.Span.Trim(" \t\r\n"u8).IsEmpty)
            return;
        if (data.Span.Trim(" \t\r\n"u8).SequenceEqual("[DONE]"u8))
        {
            IsDone = true;
            return;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(data, Options);
            ReadChunk(document.RootElement, into);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw Wrong("sent an event that is no chunk of a chat completion", error); // not JSON, or a string in it is no Unicode
        }
    }

    private void ReadChunk(JsonElement chunk, List<UpstreamNews> into)
    {
        if (chunk.ValueKind != JsonValueKind.Object)
            throw Wrong("sent an event that is no object");
        if (TryGet(chunk, "error", out _) || (TryGet(chunk, "object", out JsonElement type) && type.ValueKind == JsonValueKind.String && type.ValueEquals("error")))
            throw Wrong("told of an error in the midst of its answer");
        bool isTimed = TryGet(chunk, "timings", out JsonElement timings);
        if (TryGet(chunk, "usage", out JsonElement usage))
            Reported = ReadUsage(usage, timings);
        else if (isTimed && Measured(timings, "predicted_n") is long predicted)
            Reported = new UpstreamUsage((Measured(timings, "cache_n") ?? 0) + (Measured(timings, "prompt_n") ?? 0), Measured(timings, "cache_n") ?? 0, predicted, null);
        if (!TryGet(chunk, "choices", out JsonElement list))
            return;
        foreach (JsonElement one in Array(list).EnumerateArray())
            ReadChoice(one, into);
    }

    private void ReadChoice(JsonElement choice, List<UpstreamNews> into)
    {
        if (choice.ValueKind != JsonValueKind.Object)
            throw Wrong("sent a choice that is no object");
        long index = TryGet(choice, "index", out JsonElement number) ? Number(number) : 0;
        if (index >= _states.Length)
            throw Wrong($"sent the choice {index} of {_states.Length}");
        State state = _states[index];
        if (state.Finish is not null)
            return; // what comes behind the end is not the answer's
        var turn = new Turn((int)index, state, into);
        if (TryGet(choice, "delta", out JsonElement delta))
            ReadDelta(turn, delta);
        Say(turn, ResponseDeltaKind.Content, Text(choice, "text")); // of a plain completion
        if (hasScores && TryGet(choice, "logprobs", out JsonElement scores) && TryGet(scores, "content", out JsonElement tokens))
            ReadScores(turn, tokens);
        if (Text(choice, "finish_reason") is not { Length: > 0 } reason)
            return;
        if (reason is "abort" or "error")
            throw Wrong("gave its answer up");
        End(turn);
        state.Finish = reason switch
        {
            "length" or "content_filter" => reason,
            _ => state.Calls.Count > 0 ? "tool_calls" : "stop",
        };
        into.Add(new UpstreamNews((int)index, default, state.Finish, StopOf(choice, "stop_reason") ?? StopOf(choice, "matched_stop")));
    }

    // By vLLM's name, or by SGLang's; where a token ended the text, it is that one's number.
    private static string? StopOf(JsonElement choice, string name) =>
        TryGet(choice, name, out JsonElement matched) && matched.ValueKind == JsonValueKind.String ? matched.GetString() : null;

    private readonly record struct Turn(int Choice, State State, List<UpstreamNews> Into);

    // Thoughts go by one of two names; who sends both says the same twice.
    private void ReadDelta(Turn turn, JsonElement delta)
    {
        if (delta.ValueKind != JsonValueKind.Object)
            throw Wrong("sent a delta that is no object");
        Say(turn, ResponseDeltaKind.Reasoning, Text(delta, "reasoning_content") is { Length: > 0 } thoughts ? thoughts : Text(delta, "reasoning"));
        Say(turn, ResponseDeltaKind.Content, Text(delta, "content"));
        Say(turn, ResponseDeltaKind.Content, Text(delta, "refusal"));
        if (!TryGet(delta, "tool_calls", out JsonElement calls))
            return;
        foreach (JsonElement call in Array(calls).EnumerateArray())
            ReadCall(turn, call);
    }

    private void ReadScores(Turn turn, JsonElement tokens)
    {
        foreach (JsonElement token in Array(tokens).EnumerateArray())
        {
            TopLogprob[]? top = TryGet(token, "top_logprobs", out JsonElement likeliest)
                ? [.. Array(likeliest).EnumerateArray().Take(GenerationRequest.MaxTopLogprobs).Select(one => new TopLogprob(-1, Logprob(one)))] : null;
            turn.Into.Add(new UpstreamNews(turn.Choice, default, Score: new TokenEvent { Token = -1, Logprob = Logprob(token), Top = top }));
        }
    }

    private float Logprob(JsonElement token) =>
        TryGet(token, "logprob", out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetSingle(out float number) && !float.IsNaN(number)
            ? number : throw Wrong("sent another value where a log-probability was expected");

    // The first piece of a call names its function, further ones go on with its arguments. Servers differ in whether they number calls,
    // and in whether they repeat a call's id.
    private void ReadCall(Turn turn, JsonElement call)
    {
        if (call.ValueKind != JsonValueKind.Object)
            throw Wrong("sent a call that is no object");
        List<(long Index, string? Id)> calls = turn.State.Calls;
        string? id = Text(call, "id"), name = null, arguments = null;
        if (TryGet(call, "function", out JsonElement function))
        {
            if (function.ValueKind != JsonValueKind.Object)
                throw Wrong("sent a call of a function that is no object");
            name = Text(function, "name");
            if (TryGet(function, "arguments", out JsonElement value))
                arguments = value.ValueKind == JsonValueKind.String ? value.GetString() : value.GetRawText();
        }

        long index = TryGet(call, "index", out JsonElement number) ? Number(number) : string.IsNullOrEmpty(name) ? calls.Count - 1 : calls.Count;
        int known = calls.FindLastIndex(one => one.Index == index);
        if (!string.IsNullOrEmpty(name) && (known < 0 || (!string.IsNullOrEmpty(id) && calls[known].Id != id)))
        {
            if (calls.Count == MaxCalls)
                throw Wrong($"made more than {MaxCalls} calls");
            End(turn);
            calls.Add((index, string.IsNullOrEmpty(id) ? null : id));
            turn.State.IsCalling = true;
            turn.Into.Add(new UpstreamNews(turn.Choice, new ResponseDelta(ResponseDeltaKind.ToolCallStart, "", calls.Count - 1, name)));
            Count(turn, ResponseDeltaKind.ToolCallStart, name);
        }
        else if (known != calls.Count - 1 || !turn.State.IsCalling)
        {
            throw Wrong("went on with a call that was over, or never begun");
        }

        Say(turn, ResponseDeltaKind.ToolCallArguments, arguments);
    }

    private void Say(Turn turn, ResponseDeltaKind kind, string? text)
    {
        if (string.IsNullOrEmpty(text))
            return;
        if (kind != ResponseDeltaKind.ToolCallArguments)
            End(turn);
        Count(turn, kind, text);
        turn.Into.Add(new UpstreamNews(turn.Choice, new ResponseDelta(kind, text, kind == ResponseDeltaKind.ToolCallArguments ? turn.State.Calls.Count - 1 : -1)));
    }

    private void Count(Turn turn, ResponseDeltaKind kind, string text)
    {
        int bytes = Encoding.UTF8.GetByteCount(text);
        Bytes += bytes;
        if (kind == ResponseDeltaKind.Reasoning)
            ReasoningBytes += bytes;
        Pieces++;
        turn.State.Bytes += bytes;
        if (turn.State.Bytes > mostBytes)
            throw Wrong("wrote more than it was asked for");
    }

    private static void End(Turn turn)
    {
        if (!turn.State.IsCalling)
            return;
        turn.State.IsCalling = false;
        turn.Into.Add(new UpstreamNews(turn.Choice, new ResponseDelta(ResponseDeltaKind.ToolCallEnd, "", turn.State.Calls.Count - 1)));
    }

    // Tokens of thoughts are told among the details, or beside them; some servers tell that there were none, and sent thoughts. Of
    // cached ones llama-server tells in its timings, which count the rest of the prompt beside them.
    private UpstreamUsage ReadUsage(JsonElement usage, JsonElement timings)
    {
        if (usage.ValueKind != JsonValueKind.Object)
            throw Wrong("sent a usage that is no object");
        long? cached = TryGet(usage, "prompt_tokens_details", out JsonElement prompt) ? Count(prompt, "cached_tokens") : null;
        long? thoughts = (TryGet(usage, "completion_tokens_details", out JsonElement output) ? Count(output, "reasoning_tokens") : null) ?? Count(usage, "reasoning_tokens");
        return new UpstreamUsage(
            Count(usage, "prompt_tokens") ?? 0, cached ?? Measured(timings, "cache_n") ?? 0, Count(usage, "completion_tokens") ?? 0,
            thoughts == 0 && ReasoningBytes > 0 ? null : thoughts);
    }

    // What was not measured is negative there.
    private static long? Measured(JsonElement timings, string name) =>
        TryGet(timings, name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= 0 ? number : null;

    private long? Count(JsonElement map, string name) => TryGet(map, name, out JsonElement value) ? Number(value) : null;

    private long Number(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= 0 ? number : throw Wrong("sent another value where a number of tokens or of a choice was expected");

    private string? Text(JsonElement map, string name)
    {
        if (!TryGet(map, name, out JsonElement value))
            return null;
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Wrong($"sent another value than a text in '{name}'");
    }

    private JsonElement Array(JsonElement value) => value.ValueKind == JsonValueKind.Array ? value : throw Wrong("sent another value where a list was expected");

    // What is null is not there.
    private static bool TryGet(JsonElement map, string name, out JsonElement value)
    {
        value = default;
        return map.ValueKind == JsonValueKind.Object && map.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;
    }

    private FlintException Wrong(string what, Exception? inner = null) => UpstreamFault.Failed(model, what, inner);
}
