using System.Text;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// A chat answer in the contemplating mode: what the agents write is told as reasoning, their common answer as content, so that a
/// client needs to know nothing of agents.
/// </summary>
internal sealed class ContemplatingChat : IDisposable
{
    private readonly ChatTurn _turn;
    private readonly AgentScript _script;
    private readonly EventStream? _stream;
    private readonly StringBuilder _reasoning = new();

    private ContemplatingChat(ChatTurn turn, EventStream? stream)
    {
        _turn = turn;
        _stream = stream;
        _script = new AgentScript(turn.Model, turn.Prompt, turn.Request.Conversation.Tools);
    }

    private sealed record Answer(ContemplatingChat Chat, ContemplationTrace Trace, IReadOnlyList<ToolCall> Calls, string FinishReason);

    /// <summary>Answers a request.</summary>
    public static async Task HandleAsync(HttpContext context, ChatTurn turn)
    {
        Refuse(turn.Request);
        bool streams = turn.Request.Generation.Stream;
        using var chat = new ContemplatingChat(turn, streams ? new EventStream(context) : null);
        ContemplationTask task = ChatContemplation.Create(
            turn.Variant, turn.Input, turn.Request.Generation.Sampling, turn.Request.Generation.Stop, Variety(turn),
            tell: chat.TellAsync, draftTokens: turn.Request.Contemplation.AgentTokens);
        ContemplationOptions options = await turn.ReserveAsync(task);
        ContemplationTrace trace = await Contemplation.RunAsync(turn.Model.Engine, task, options, TimeProvider.System, context.RequestAborted);
        Answer answer = chat.Conclude(trace);
        if (streams)
            await chat.StreamAsync(answer);
        else
            await AnswerAsync(context, answer);
    }

    /// <inheritdoc/>
    public void Dispose() => _stream?.Dispose();

    private static void Refuse(ChatRequest request)
    {
        if (request.Generation.Choices > 1)
            throw ApiException.Unsupported("n", "Unsupported value: 'n' above 1 in the mode 'contemplating', in which all agents make one answer.");
        if (request.TopLogprobs >= 0)
            throw ApiException.Unsupported("logprobs", "Unsupported value: 'logprobs' in the mode 'contemplating'; include 'contemplation' to see every agent's confidence.");
        if (request.Generation.IgnoreEos)
            throw ApiException.Unsupported("ignore_eos", "Unsupported value: 'ignore_eos' in the mode 'contemplating', in which agents must come to an end.");
    }

    private static AgentVariety Variety(ChatTurn turn)
    {
        IReadOnlyList<string> names = turn.Request.AgentAdapters;
        var variants = new ModelVariant[names.Count];
        for (int i = 0; i < variants.Length; i++)
        {
            string path = $"contemplation.adapters[{i}]";
            variants[i] = turn.Model.Variants.FirstOrDefault(v => v.Name == names[i] || (v.Adapter is not null && v.Name == $"{turn.Model.Name}:{names[i]}"))
                ?? throw JsonFields.InvalidChoice(path, names[i], [.. turn.Model.Variants.Select(v => v.Name)]);
        }
        return new AgentVariety(turn.Request.Perspectives, variants);
    }

    private async ValueTask TellAsync(ContemplationEvent news)
    {
        if (news is { Kind: ContemplationEventKind.AgentStarted, Sequence: { } sequence })
        {
            // A prompt that agents have in common is paid once.
            if (news.SharesPrompt)
                _turn.Meter.AddSharing(sequence);
            else
                _turn.Meter.Add([sequence]);
        }

        string told = _script.Take(news);
        if (_stream is null)
        {
            _reasoning.Append(told);
            return;
        }

        bool begins = news is { Kind: ContemplationEventKind.AgentStarted, Agent.Index: 0 };
        if (begins)
            _stream.Write(_turn, WriteRole);
        if (told.Length > 0)
            _stream.Write((_turn, told), WriteReasoning);
        if (_turn.Request.TellsContemplation)
            _stream.Write((_turn, news), WriteEvent);
        if (told.Length > 0 || begins || _turn.Request.TellsContemplation)
            await _stream.FlushAsync();
    }

    private Answer Conclude(ContemplationTrace trace)
    {
        // All is reasoning but what the answer's own agent wrote outside its thoughts.
        AgentTrace? speaker = trace.Answer.Agent < 0 ? null : trace.Agents[trace.Answer.Agent];
        int content = speaker is null ? 0 : Math.Min(speaker.OutputTokens, _turn.Model.Tokenizer.Encode(speaker.Content, addSpecial: false, parseSpecial: false).Length);
        _turn.Meter.CountReasoning(trace.Cost.OutputTokens - content);
        _turn.Meter.CountDiscarded(trace.Cost.DiscardedTokens);
        IReadOnlyList<ToolCall> calls = speaker is { Kind: AnswerKind.Call, Answer: { } call } ? ChatDraft.CallsOf(call) : [];
        bool ended = speaker?.End == AgentEnd.Finished;
        return new Answer(this, trace, [.. calls.Select((c, i) => c with { Id = $"call_{_turn.Meter.Id}_{i}" })], !ended ? "length" : calls.Count > 0 ? "tool_calls" : "stop");
    }

    private static async Task AnswerAsync(HttpContext context, Answer answer)
    {
        ChatTurn turn = answer.Chat._turn;
        await turn.Meter.SettleAsync(StatusCodes.Status200OK, answer.FinishReason);
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, answer, static (writer, answer) =>
        {
            ChatTurn turn = answer.Chat._turn;
            turn.WriteHead(writer, "chat.completion"u8);
            writer.WriteStartArray("choices"u8);
            writer.WriteStartObject();
            writer.WriteNumber("index"u8, 0);
            writer.WriteStartObject("message"u8);
            writer.WriteString("role"u8, "assistant"u8);
            WriteContent(writer, answer);
            writer.WriteNull("refusal"u8);
            writer.WriteString("reasoning_content"u8, answer.Chat._reasoning.ToString());
            writer.WriteEndObject();
            writer.WriteNull("logprobs"u8);
            writer.WriteString("finish_reason"u8, answer.FinishReason);
            writer.WriteEndObject();
            writer.WriteEndArray();
            WriteTree(writer, answer);
            turn.Meter.Usage.Write(writer);
            writer.WriteEndObject();
        });
    }

    private async Task StreamAsync(Answer answer)
    {
        await _turn.Meter.SettleAsync(StatusCodes.Status200OK, answer.FinishReason);
        _stream!.Write(answer, static (writer, answer) => WriteChunk(writer, answer.Chat._turn, answer, WriteContent));
        _stream.Write(answer, static (writer, answer) =>
        {
            ChatTurn turn = answer.Chat._turn;
            turn.WriteHead(writer, "chat.completion.chunk"u8);
            WriteChoice(writer, answer, static (_, _) => { }, answer.FinishReason);
            WriteTree(writer, answer);
            if (turn.Request.Generation.StreamUsage)
                writer.WriteNull("usage"u8);
            writer.WriteEndObject();
        });
        if (_turn.Request.Generation.StreamUsage)
        {
            _stream.Write(_turn, static (writer, turn) =>
            {
                turn.WriteHead(writer, "chat.completion.chunk"u8);
                writer.WriteStartArray("choices"u8);
                writer.WriteEndArray();
                turn.Meter.Usage.Write(writer);
                writer.WriteEndObject();
            });
        }

        _stream.WriteDone();
        await _stream.FlushAsync();
    }

    private static void WriteRole(Utf8JsonWriter writer, ChatTurn turn) => WriteChunk(writer, turn, turn, static (writer, _) =>
    {
        writer.WriteString("role"u8, "assistant"u8);
        writer.WriteString("content"u8, ""u8);
    });

    // Like the chunk that tells the usage, one without choices.
    private static void WriteEvent(Utf8JsonWriter writer, (ChatTurn Turn, ContemplationEvent News) told)
    {
        told.Turn.WriteHead(writer, "chat.completion.chunk"u8);
        writer.WriteStartArray("choices"u8);
        writer.WriteEndArray();
        writer.WritePropertyName("contemplation_event"u8);
        told.News.WriteTo(writer);
        writer.WriteEndObject();
    }

    private static void WriteReasoning(Utf8JsonWriter writer, (ChatTurn Turn, string Text) told) =>
        WriteChunk(writer, told.Turn, told.Text, static (writer, text) => writer.WriteString("reasoning_content"u8, text));

    private static void WriteChunk<T>(Utf8JsonWriter writer, ChatTurn turn, T state, Action<Utf8JsonWriter, T> delta)
    {
        turn.WriteHead(writer, "chat.completion.chunk"u8);
        WriteChoice(writer, state, delta, null);
        if (turn.Request.Generation.StreamUsage)
            writer.WriteNull("usage"u8);
        writer.WriteEndObject();
    }

    private static void WriteChoice<T>(Utf8JsonWriter writer, T state, Action<Utf8JsonWriter, T> delta, string? finish)
    {
        writer.WriteStartArray("choices"u8);
        writer.WriteStartObject();
        writer.WriteNumber("index"u8, 0);
        writer.WriteStartObject("delta"u8);
        delta(writer, state);
        writer.WriteEndObject();
        writer.WriteNull("logprobs"u8);
        writer.WriteString("finish_reason"u8, finish);
        writer.WriteEndObject();
        writer.WriteEndArray();
    }

    private static void WriteContent(Utf8JsonWriter writer, Answer answer)
    {
        string content = answer.Trace.Answer.Content;
        if (content.Length == 0 && answer.Calls.Count > 0)
            writer.WriteNull("content"u8);
        else
            writer.WriteString("content"u8, content);
        if (answer.Calls.Count == 0)
            return;
        writer.WriteStartArray("tool_calls"u8);
        for (int i = 0; i < answer.Calls.Count; i++)
        {
            writer.WriteStartObject();
            if (answer.Chat._stream is not null)
                writer.WriteNumber("index"u8, i);
            writer.WriteString("id"u8, answer.Calls[i].Id);
            writer.WriteString("type"u8, "function"u8);
            writer.WriteStartObject("function"u8);
            writer.WriteString("name"u8, answer.Calls[i].Name);
            writer.WriteString("arguments"u8, answer.Calls[i].Arguments);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }

    private static void WriteTree(Utf8JsonWriter writer, Answer answer)
    {
        if (!answer.Chat._turn.Request.TellsContemplation)
            return;
        writer.WritePropertyName("contemplation"u8);
        answer.Trace.WriteTo(writer);
    }
}
