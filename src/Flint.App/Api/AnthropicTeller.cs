using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>
/// Tells an answer as a message of blocks: <c>thinking</c>, <c>text</c> and <c>tool_use</c>, in the order they came. Text of nothing
/// but white space between others is no block.
/// </summary>
/// <param name="turn">What was asked.</param>
/// <param name="omitsThinking">Whether thoughts are told without their text.</param>
internal sealed class AnthropicTeller(ChatTurn turn, bool omitsThinking) : ChatTeller(turn), IDisposable
{
    // A digest of the thoughts stands for the signature that clients expect. Nothing checks it: thoughts are the caller's own.
    private readonly IncrementalHash _signature = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly StringBuilder _blank = new(); // told once text follows
    private ChatPartKind? _open; // the block being told
    private int _index = -1; // of that block, or of the last

    /// <inheritdoc/>
    public void Dispose() => _signature.Dispose();

    /// <inheritdoc/>
    public override void WriteWhole(Utf8JsonWriter writer, IReadOnlyList<ChatOutput> outputs)
    {
        ChatOutput output = outputs[0];
        WriteHead(writer);
        writer.WriteStartArray("content"u8);
        foreach (ChatPart part in output.Parts)
        {
            string text = part.Text.ToString();
            if (part.Kind == ChatPartKind.Content && string.IsNullOrWhiteSpace(text))
                continue;
            if (part.Kind == ChatPartKind.Reasoning)
                _signature.AppendData(Encoding.UTF8.GetBytes(text));
            WriteBlock(writer, part, text, part.Kind == ChatPartKind.Reasoning ? Sign() : "");
        }

        writer.WriteEndArray();
        WriteStop(writer, output);
        WriteUsage(writer, Turn.Meter.Usage, whole: true);
        ChatExtras.WriteEnd(writer, Turn, output);
        writer.WriteEndObject();
    }

    /// <inheritdoc/>
    public override void Begin(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
        stream.Write("message_start", this, static (writer, teller) =>
        {
            writer.WriteStartObject();
            writer.WriteString("type"u8, "message_start"u8);
            writer.WritePropertyName("message"u8);
            teller.WriteHead(writer);
            writer.WriteStartArray("content"u8);
            writer.WriteEndArray();
            WriteStop(writer, null, null);
            // How much of the prompt is found in the cache is not known yet; the last event tells.
            WriteUsage(writer, new TokenUsage { PromptTokens = teller.Turn.PromptTokens }, whole: true);
            writer.WriteEndObject();
            writer.WriteEndObject();
        });
        WriteEvent(stream, "ping", static _ => { });
    }

    /// <inheritdoc/>
    public override void Tell(EventStream stream, ChatOutput output)
    {
        foreach (ChatPart part in output.Parts)
        {
            string text = part.Text.ToString();
            switch (part.Kind)
            {
                case ChatPartKind.Reasoning:
                    Open(stream, part);
                    _signature.AppendData(Encoding.UTF8.GetBytes(text));
                    if (!omitsThinking)
                        WriteDelta(stream, "thinking_delta", "thinking", text);
                    break;
                case ChatPartKind.Content when _open != ChatPartKind.Content && string.IsNullOrWhiteSpace(text):
                    _blank.Append(text);
                    break;
                case ChatPartKind.Content:
                    text = _blank + text;
                    _blank.Clear();
                    Open(stream, part);
                    WriteDelta(stream, "text_delta", "text", text);
                    break;
                default:
                    Open(stream, part);
                    if (text.Length > 0)
                        WriteDelta(stream, "input_json_delta", "partial_json", text);
                    if (part.Ends)
                        Close(stream);
                    break;
            }
        }

        output.Clear();
    }

    /// <inheritdoc/>
    public override void Tell(EventStream stream, in ContemplationEvent news)
    {
        if (!Turn.Request.TellsContemplation)
            return;
        ContemplationEvent told = news;
        WriteEvent(stream, "contemplation_event", writer =>
        {
            writer.WritePropertyName("contemplation_event"u8);
            told.WriteTo(writer);
        });
    }

    /// <inheritdoc/>
    public override void End(EventStream stream, IReadOnlyList<ChatOutput> outputs)
    {
        Tell(stream, outputs[0]);
        Close(stream);
        stream.Write("message_delta", (this, outputs[0]), static (writer, end) =>
        {
            writer.WriteStartObject();
            writer.WriteString("type"u8, "message_delta"u8);
            writer.WriteStartObject("delta"u8);
            end.Item1.WriteStop(writer, end.Item2);
            writer.WriteEndObject();
            WriteUsage(writer, end.Item1.Turn.Meter.Usage, whole: false);
            ChatExtras.WriteEnd(writer, end.Item1.Turn, end.Item2);
            writer.WriteEndObject();
        });
        WriteEvent(stream, "message_stop", static _ => { });
    }

    private void Open(EventStream stream, ChatPart part)
    {
        if (_open == part.Kind && part.Id is null)
            return;
        Close(stream);
        _blank.Clear();
        _open = part.Kind;
        _index++;
        WriteEvent(stream, "content_block_start", writer =>
        {
            writer.WriteNumber("index"u8, _index);
            writer.WritePropertyName("content_block"u8);
            WriteBlock(writer, part, "", "");
        });
    }

    private void Close(EventStream stream)
    {
        if (_open is null)
            return;
        if (_open == ChatPartKind.Reasoning)
            WriteDelta(stream, "signature_delta", "signature", Sign());
        WriteEvent(stream, "content_block_stop", writer => writer.WriteNumber("index"u8, _index));
        _open = null;
    }

    private string Sign() => Convert.ToBase64String(_signature.GetHashAndReset());

    private void WriteBlock(Utf8JsonWriter writer, ChatPart part, string text, string signature)
    {
        writer.WriteStartObject();
        switch (part.Kind)
        {
            case ChatPartKind.Reasoning:
                writer.WriteString("type"u8, "thinking"u8);
                writer.WriteString("thinking"u8, omitsThinking ? "" : text);
                writer.WriteString("signature"u8, signature);
                break;
            case ChatPartKind.Content:
                writer.WriteString("type"u8, "text"u8);
                writer.WriteString("text"u8, text);
                writer.WriteNull("citations"u8);
                break;
            default:
                writer.WriteString("type"u8, "tool_use"u8);
                writer.WriteString("id"u8, part.Id);
                writer.WriteString("name"u8, part.Name);
                writer.WritePropertyName("input"u8);
                ApiJson.WriteInput(writer, text);
                writer.WriteStartObject("caller"u8);
                writer.WriteString("type"u8, "direct"u8);
                writer.WriteEndObject();
                break;
        }

        writer.WriteEndObject();
    }

    private void WriteDelta(EventStream stream, string type, string name, string text) => WriteEvent(stream, "content_block_delta", writer =>
    {
        writer.WriteNumber("index"u8, _index);
        writer.WriteStartObject("delta"u8);
        writer.WriteString("type"u8, type);
        writer.WriteString(name, text);
        writer.WriteEndObject();
    });

    private static void WriteEvent(EventStream stream, string type, Action<Utf8JsonWriter> fields) => stream.Write(type, (type, fields), static (writer, told) =>
    {
        writer.WriteStartObject();
        writer.WriteString("type"u8, told.type);
        told.fields(writer);
        writer.WriteEndObject();
    });

    private void WriteHead(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, Turn.Meter.Id);
        writer.WriteString("type"u8, "message"u8);
        writer.WriteString("role"u8, "assistant"u8);
        writer.WriteString("model"u8, Turn.Name);
        writer.WriteNull("diagnostics"u8);
        ChatExtras.WriteMode(writer, Turn);
    }

    private void WriteStop(Utf8JsonWriter writer, ChatOutput output)
    {
        bool byString = output is { FinishReason: "stop", StopString: { } stop } && Turn.Request.Generation.Stop.Contains(stop);
        WriteStop(writer, output.FinishReason switch
        {
            "tool_calls" => "tool_use",
            OutputFilter.FinishReason => "refusal",
            "length" => output.IsContextFull ? "model_context_window_exceeded" : "max_tokens",
            _ => byString ? "stop_sequence" : "end_turn",
        }, byString ? output.StopString : null);
    }

    private static void WriteStop(Utf8JsonWriter writer, string? reason, string? sequence)
    {
        writer.WriteString("stop_reason"u8, reason);
        writer.WriteString("stop_sequence"u8, sequence);
        writer.WriteNull("stop_details"u8);
        writer.WriteNull("container"u8);
    }

    private static void WriteUsage(Utf8JsonWriter writer, TokenUsage usage, bool whole)
    {
        writer.WriteStartObject("usage"u8);
        writer.WriteNumber("input_tokens"u8, usage.PromptTokens - usage.CachedTokens);
        writer.WriteNumber("cache_creation_input_tokens"u8, 0);
        writer.WriteNumber("cache_read_input_tokens"u8, usage.CachedTokens);
        writer.WriteNumber("output_tokens"u8, usage.OutputTokens);
        writer.WriteStartObject("output_tokens_details"u8);
        writer.WriteNumber("thinking_tokens"u8, usage.ReasoningTokens);
        writer.WriteEndObject();
        writer.WriteNull("server_tool_use"u8);
        if (whole)
        {
            writer.WriteNull("cache_creation"u8);
            writer.WriteNull("inference_geo"u8);
            writer.WriteString("service_tier"u8, "standard"u8);
            writer.WriteNull("speed"u8);
        }

        writer.WriteEndObject();
    }
}
