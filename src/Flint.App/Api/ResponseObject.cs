using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>The object <c>response</c>, as it comes about.</summary>
/// <param name="turn">What was asked.</param>
/// <param name="request">The request, of which it tells back the parameters.</param>
internal sealed class ResponseObject(ChatTurn turn, ResponsesRequest request)
{
    /// <summary>Its items, the one being told among them.</summary>
    public List<ResponseItem> Items { get; } = [];

    /// <summary><c>queued</c>, <c>in_progress</c>, <c>completed</c>, <c>incomplete</c>, <c>failed</c> or <c>cancelled</c>.</summary>
    public string Status { get; set; } = request.IsBackground ? "queued" : "in_progress";

    /// <summary>Why it failed.</summary>
    public ApiException? Failure { get; set; }

    /// <summary>When it ended.</summary>
    public DateTimeOffset? Ended { get; set; }

    /// <summary>What was used, once that is final.</summary>
    public TokenUsage? Usage { get; set; }

    /// <summary>The tree it comes from, where several agents made it.</summary>
    public ContemplationTrace? Trace { get; set; }

    /// <summary>Whether its time was over before it was.</summary>
    public bool IsLate { get; set; }

    /// <summary>Whether a rule has ended it, of this server's or of an upstream's.</summary>
    public bool IsFiltered { get; set; }

    /// <summary>The tree of its sub-agents, where it was offered to spawn them.</summary>
    public SubagentTree? Subagents { get; set; }

    /// <summary>Writes it as it stands.</summary>
    public void WriteTo(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, turn.Meter.Id);
        writer.WriteString("object"u8, "response"u8);
        writer.WriteNumber("created_at"u8, turn.Meter.Created);
        writer.WriteString("status"u8, Status);
        writer.WritePropertyName("completed_at"u8);
        if (Status == "completed" && Ended is DateTimeOffset ended)
            writer.WriteNumberValue(ended.ToUnixTimeSeconds());
        else
            writer.WriteNullValue();
        WriteFaults(writer);
        writer.WriteString("model"u8, turn.Name);
        writer.WriteStartArray("output"u8);
        foreach (ResponseItem item in Items)
            item.WriteTo(writer, turn.Tokenizer);
        writer.WriteEndArray();
        foreach ((string name, JsonNode? value) in request.Echo)
        {
            writer.WritePropertyName(name);
            if (value is null)
                writer.WriteNullValue();
            else
                value.WriteTo(writer);
        }

        WriteUsage(writer);
        WriteExtensions(writer);
        writer.WriteEndObject();
    }

    /// <summary>It as text.</summary>
    public string ToJson()
    {
        using var bytes = new MemoryStream();
        using (var writer = new Utf8JsonWriter(bytes, ApiJson.Options))
            WriteTo(writer);
        return Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
    }

    private void WriteFaults(Utf8JsonWriter writer)
    {
        if (Failure is null)
        {
            writer.WriteNull("error"u8);
        }
        else
        {
            writer.WriteStartObject("error"u8);
            writer.WriteString("code"u8, Failure.Type == "rate_limit_error" ? "rate_limit_exceeded" : Failure.Code ?? Failure.Type);
            writer.WriteString("message"u8, Failure.Message);
            writer.WriteEndObject();
        }

        if (Status != "incomplete")
        {
            writer.WriteNull("incomplete_details"u8);
            return;
        }

        writer.WriteStartObject("incomplete_details"u8);
        writer.WriteString("reason"u8, IsFiltered ? OutputFilter.FinishReason : "max_output_tokens");
        writer.WriteEndObject();
    }

    private void WriteUsage(Utf8JsonWriter writer)
    {
        if (Usage is not TokenUsage usage)
        {
            writer.WriteNull("usage"u8);
            return;
        }

        writer.WriteStartObject("usage"u8);
        writer.WriteNumber("input_tokens"u8, usage.PromptTokens);
        writer.WriteStartObject("input_tokens_details"u8);
        writer.WriteNumber("cached_tokens"u8, usage.CachedTokens);
        writer.WriteEndObject();
        writer.WriteNumber("output_tokens"u8, usage.OutputTokens);
        writer.WriteStartObject("output_tokens_details"u8);
        writer.WriteNumber("reasoning_tokens"u8, usage.ReasoningTokens);
        writer.WriteEndObject();
        writer.WriteNumber("total_tokens"u8, usage.PromptTokens + usage.OutputTokens);
        writer.WriteEndObject();
    }

    private void WriteExtensions(Utf8JsonWriter writer)
    {
        ChatExtras.WriteMode(writer, turn);
        ChatExtras.WriteTrees(writer, turn, Trace, Subagents);
        if (Ended is not null)
            ChatExtras.WriteDeadline(writer, turn.Deadline, IsLate);
    }
}
