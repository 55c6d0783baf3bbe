using System.Globalization;
using System.Text;
using System.Text.Json;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>An item of a response's output: thoughts, a message, or a call of a function.</summary>
/// <param name="kind">What it is.</param>
/// <param name="id">Its id.</param>
internal sealed class ResponseItem(ChatPartKind kind, string id)
{
    private const int HexDigits = 32, PlaceDigits = 4;

    /// <summary>What the id of a response begins with.</summary>
    public const string ResponsePrefix = "resp_";

    /// <summary>What it is.</summary>
    public ChatPartKind Kind => kind;

    /// <summary>Its id.</summary>
    public string Id => id;

    /// <summary>The id that a call's result refers to.</summary>
    public string? CallId { get; init; }

    /// <summary>The function of a call.</summary>
    public string? Name { get; init; }

    /// <summary>The text; of a call, the JSON text of its arguments.</summary>
    public StringBuilder Text { get; } = new();

    /// <summary>Log-probabilities of a message's tokens.</summary>
    public List<TokenScore> Scores { get; } = [];

    /// <summary><c>in_progress</c>, <c>completed</c>, or <c>incomplete</c>.</summary>
    public string Status { get; set; } = "in_progress";

    /// <summary>The type of the item's one part of content; not of a call's.</summary>
    public string PartType => kind == ChatPartKind.Reasoning ? "reasoning_text" : "output_text";

    /// <summary>
    /// An id that tells of which response an item is and which it is among the response's input and output items, so that an item
    /// referred to is found without a table of all items.
    /// </summary>
    /// <param name="prefix">What its kind's ids begin with.</param>
    /// <param name="response">The response's id.</param>
    /// <param name="place">Its place, input items first.</param>
    public static string NewId(string prefix, string response, int place) => $"{prefix}{response.AsSpan(ResponsePrefix.Length)}{place:x4}";

    /// <summary>Takes apart an id made here.</summary>
    public static bool TryParseId(string id, out string response, out int place)
    {
        response = "";
        place = 0;
        int hex = id.Length - HexDigits - PlaceDigits;
        if (hex <= 0 || !int.TryParse(id.AsSpan(id.Length - PlaceDigits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out place))
            return false;
        response = string.Concat(ResponsePrefix, id.AsSpan(hex, HexDigits));
        return true;
    }

    /// <summary>What the ids of a kind of output items begin with.</summary>
    public static string PrefixOf(ChatPartKind kind) => kind switch
    {
        ChatPartKind.Reasoning => "rs_",
        ChatPartKind.Content => "msg_",
        _ => "fc_",
    };

    /// <summary>Writes the item as it stands; one that has just begun has no content yet.</summary>
    public void WriteTo(Utf8JsonWriter writer, Tokenizer? tokenizer)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, id);
        switch (kind)
        {
            case ChatPartKind.Reasoning:
                writer.WriteString("type"u8, "reasoning"u8);
                writer.WriteString("status"u8, Status);
                writer.WriteStartArray("summary"u8);
                writer.WriteEndArray();
                WriteContent(writer, tokenizer);
                break;
            case ChatPartKind.Content:
                writer.WriteString("type"u8, "message"u8);
                writer.WriteString("status"u8, Status);
                writer.WriteString("role"u8, "assistant"u8);
                WriteContent(writer, tokenizer);
                break;
            default:
                writer.WriteString("type"u8, "function_call"u8);
                writer.WriteString("status"u8, Status);
                writer.WriteString("call_id"u8, CallId);
                writer.WriteString("name"u8, Name);
                writer.WriteString("arguments"u8, Text.ToString());
                break;
        }

        writer.WriteEndObject();
    }

    /// <summary>Writes the part of content.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="tokenizer">Names tokens; null where none have scores.</param>
    /// <param name="begins">Whether it has just begun, and its text is told later.</param>
    public void WritePart(Utf8JsonWriter writer, Tokenizer? tokenizer, bool begins)
    {
        writer.WriteStartObject();
        writer.WriteString("type"u8, PartType);
        writer.WriteString("text"u8, begins ? "" : Text.ToString());
        if (kind == ChatPartKind.Content)
        {
            writer.WriteStartArray("annotations"u8);
            writer.WriteEndArray();
            TokenNames.WriteScores(writer, "logprobs"u8, tokenizer, begins ? [] : Scores);
        }

        writer.WriteEndObject();
    }

    private void WriteContent(Utf8JsonWriter writer, Tokenizer? tokenizer)
    {
        writer.WriteStartArray("content"u8);
        if (Status != "in_progress")
            WritePart(writer, tokenizer, begins: false);
        writer.WriteEndArray();
    }
}
