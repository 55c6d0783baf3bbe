using System.Text;
using System.Text.Json;
using Flint.App.Accounts;
using Flint.Contemplate;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>
/// Tells an answer as a response of items: <c>reasoning</c>, <c>message</c> and <c>function_call</c>, in the order they came; or as the
/// events of its coming about. Text of nothing but white space between others is no item. A response that is to be kept is kept before
/// its end is told.
/// </summary>
/// <param name="turn">What was asked.</param>
/// <param name="request">The request.</param>
/// <param name="stored">Where responses are kept.</param>
/// <param name="key">The key that asked.</param>
internal sealed class ResponsesTeller(ChatTurn turn, ResponsesRequest request, Responses stored, long? key) : ChatTeller(turn)
{
    private readonly ResponseObject _response = new(turn, request);
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private string _blank = ""; // told once text follows
    private ResponseItem? _open; // the item being told
    private int _sequence;

    /// <summary>Completes once a stream has begun: from then on a failure is told in it.</summary>
    public Task Begun => _begun.Task;

    private Tokenizer? Tokenizer => Turn.Tokenizer;

    /// <summary>The response as it began, once it has.</summary>
    public string Beginning { get; private set; } = "";

    /// <inheritdoc/>
    public override void WriteWhole(Utf8JsonWriter writer, IReadOnlyList<ChatOutput> outputs)
    {
        Take(null, outputs[0]);
        Conclude(null, outputs[0]);
        Keep();
        _response.WriteTo(writer);
    }

    /// <inheritdoc/>
    public override void Begin(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
        TellResponse(stream, "response.created");
        TellResponse(stream, request.IsBackground ? "response.queued" : "response.in_progress");
        if (request.IsBackground)
        {
            Beginning = _response.ToJson();
            Keep(); // so that it can be asked for while it comes about
        }

        _begun.TrySetResult();
    }

    /// <inheritdoc/>
    public override void Tell(EventStream stream, ChatOutput output)
    {
        Start(stream);
        Take(stream, output);
    }

    /// <inheritdoc/>
    public override void Tell(EventStream stream, in ContemplationEvent news)
    {
        if (!Turn.Request.TellsContemplation)
            return;
        ContemplationEvent told = news;
        Start(stream);
        Event(stream, "response.contemplation_event", writer =>
        {
            writer.WritePropertyName("contemplation_event"u8);
            told.WriteTo(writer);
        });
    }

    /// <inheritdoc/>
    public override void End(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
        Start(stream);
        Take(stream, outputs[0]);
        Conclude(stream, outputs[0]);
        Keep();
        TellResponse(stream, "response." + _response.Status);
    }

    /// <summary>Ends a stream whose answer has failed; what it used is settled.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="failure">Why; null where it was cancelled.</param>
    public void Fail(EventStream stream, ApiException? failure)
    {
        Close(stream, "incomplete");
        _response.Failure = failure;
        Finish(failure is null ? "cancelled" : "failed");
        Keep();
        if (failure is not null)
            TellError(stream, failure);
        TellResponse(stream, "response." + _response.Status);
    }

    // A response that waits for its turn is in progress from its first token on.
    private void Start(EventStream stream)
    {
        if (_response.Status != "queued")
            return;
        _response.Status = "in_progress";
        TellResponse(stream, "response.in_progress");
        Keep();
    }

    private void Take(EventStream? stream, ChatOutput output)
    {
        Dictionary<ChatPart, List<TokenScore>> scores = Scores(output);
        foreach (ChatPart part in output.Parts)
        {
            string text = part.Text.ToString();
            switch (part.Kind)
            {
                case ChatPartKind.Content when _open?.Kind != ChatPartKind.Content && string.IsNullOrWhiteSpace(text):
                    _blank += text;
                    break;
                case ChatPartKind.Content:
                    text = _blank + text;
                    _blank = "";
                    Open(stream, part);
                    List<TokenScore> own = scores.GetValueOrDefault(part, []);
                    _open!.Scores.AddRange(own);
                    TellDelta(stream, "response.output_text.delta", text, writer => TokenNames.WriteScores(writer, "logprobs"u8, Tokenizer, own));
                    break;
                case ChatPartKind.Reasoning:
                    Open(stream, part);
                    TellDelta(stream, "response.reasoning_text.delta", text);
                    break;
                default:
                    Open(stream, part);
                    TellDelta(stream, "response.function_call_arguments.delta", text);
                    if (part.Ends)
                        Close(stream, "completed");
                    break;
            }
        }

        output.Clear();
    }

    // Tokens of the text come in the order of its parts; the last part has as many of the last ones as its bytes need, and so on.
    private Dictionary<ChatPart, List<TokenScore>> Scores(ChatOutput output)
    {
        var scores = new Dictionary<ChatPart, List<TokenScore>>();
        int end = output.Scores.Count;
        ChatPart[] texts = [.. output.Parts.Where(part => part.Kind == ChatPartKind.Content)];
        for (int i = texts.Length - 1; i >= 0 && end > 0; i--)
        {
            int from = end, bytes = Encoding.UTF8.GetByteCount(texts[i].Text.ToString());
            while (from > 0 && (bytes > 0 || i == 0))
                bytes -= Tokenizer!.Bytes(output.Scores[--from].Token).Length;
            scores[texts[i]] = output.Scores[from..end];
            end = from;
        }

        return scores;
    }

    private void Open(EventStream? stream, ChatPart part)
    {
        if (_open?.Kind == part.Kind && part.Id is null)
            return;
        Close(stream, "completed");
        _blank = "";
        _open = new ResponseItem(part.Kind, ResponseItem.NewId(ResponseItem.PrefixOf(part.Kind), Turn.Meter.Id, request.InputItems + _response.Items.Count)) { CallId = part.Id, Name = part.Name };
        _response.Items.Add(_open);
        Event(stream, "response.output_item.added", WriteItem);
        if (part.Kind != ChatPartKind.Call)
            TellPart(stream, "response.content_part.added", begins: true);
    }

    private void Close(EventStream? stream, string status)
    {
        if (_open is not { } item)
            return;
        string text = item.Text.ToString();
        switch (item.Kind)
        {
            case ChatPartKind.Reasoning:
                TellInPart(stream, "response.reasoning_text.done", writer => writer.WriteString("text"u8, text));
                break;
            case ChatPartKind.Content:
                TellInPart(stream, "response.output_text.done", writer =>
                {
                    writer.WriteString("text"u8, text);
                    TokenNames.WriteScores(writer, "logprobs"u8, Tokenizer, item.Scores);
                });
                break;
            default:
                Event(stream, "response.function_call_arguments.done", writer =>
                {
                    WritePlace(writer);
                    writer.WriteString("name"u8, item.Name);
                    writer.WriteString("arguments"u8, text);
                });
                break;
        }

        if (item.Kind != ChatPartKind.Call)
            TellPart(stream, "response.content_part.done", begins: false);
        item.Status = status;
        Event(stream, "response.output_item.done", WriteItem);
        _open = null;
    }

    private void Conclude(EventStream? stream, ChatOutput output)
    {
        bool isWhole = output.FinishReason is not ("length" or OutputFilter.FinishReason);
        _response.IsFiltered = output.FinishReason == OutputFilter.FinishReason;
        Close(stream, isWhole ? "completed" : "incomplete");
        _response.IsLate = output.IsLate;
        _response.Trace = output.Trace;
        _response.Subagents = output.Subagents;
        Finish(isWhole ? "completed" : "incomplete");
    }

    private void Finish(string status)
    {
        _response.Status = status;
        _response.Ended = DateTimeOffset.UtcNow;
        _response.Usage = Turn.Meter.Usage;
    }

    private void Keep()
    {
        if (request.IsKept)
            stored.Save(new StoredResponse(Turn.Meter.Id, key, Turn.Meter.Created * 1000, request.Previous, _response.ToJson(), request.Input) { Person = Turn.Meter.Person });
    }

    private void TellResponse(EventStream stream, string type) => Event(stream, type, writer =>
    {
        writer.WritePropertyName("response"u8);
        _response.WriteTo(writer);
    });

    private void TellError(EventStream stream, ApiException failure) => Event(stream, "error", writer =>
    {
        writer.WriteString("code"u8, failure.Code ?? failure.Type);
        writer.WriteString("message"u8, failure.Message);
        writer.WriteString("param"u8, failure.Parameter);
    });

    private void TellDelta(EventStream? stream, string type, string text, Action<Utf8JsonWriter>? fields = null)
    {
        if (text.Length == 0)
            return;
        _open!.Text.Append(text);
        void Write(Utf8JsonWriter writer)
        {
            writer.WriteString("delta"u8, text);
            fields?.Invoke(writer);
        }

        if (_open.Kind != ChatPartKind.Call)
        {
            TellInPart(stream, type, Write);
            return;
        }

        Event(stream, type, writer =>
        {
            WritePlace(writer);
            Write(writer);
        });
    }

    private void TellPart(EventStream? stream, string type, bool begins) => TellInPart(stream, type, writer =>
    {
        writer.WritePropertyName("part"u8);
        _open!.WritePart(writer, Tokenizer, begins);
    });

    private void TellInPart(EventStream? stream, string type, Action<Utf8JsonWriter> fields) => Event(stream, type, writer =>
    {
        WritePlace(writer);
        writer.WriteNumber("content_index"u8, 0);
        fields(writer);
    });

    private void WritePlace(Utf8JsonWriter writer)
    {
        writer.WriteString("item_id"u8, _open!.Id);
        writer.WriteNumber("output_index"u8, _response.Items.Count - 1);
    }

    private void WriteItem(Utf8JsonWriter writer)
    {
        writer.WriteNumber("output_index"u8, _response.Items.Count - 1);
        writer.WritePropertyName("item"u8);
        _open!.WriteTo(writer, Tokenizer);
    }

    private void Event(EventStream? stream, string type, Action<Utf8JsonWriter> fields) => stream?.Write(type, (this, type, fields), static (writer, told) =>
    {
        writer.WriteStartObject();
        writer.WriteString("type"u8, told.type);
        writer.WriteNumber("sequence_number"u8, told.Item1._sequence++);
        told.fields(writer);
        writer.WriteEndObject();
    });
}
