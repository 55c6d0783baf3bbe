using System.Text.Json;
using Flint.App.Serving;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// The Anthropic API: <c>POST /v1/messages</c>, whole or as a stream, and <c>POST /v1/messages/count_tokens</c>. The field
/// <c>mode</c>, or the mode in a model's name, goes before the field <c>thinking</c>.
/// </summary>
internal sealed class AnthropicMessages(Models models)
{
    /// <summary>How this API says that a request failed.</summary>
    public static readonly ErrorShape Errors = new(WriteError) { IdHeader = "request-id", Event = "error" };

    /// <summary>Whether a request comes from a client of this API.</summary>
    public static bool IsMeant(HttpRequest request) => request.Headers.ContainsKey("anthropic-version");

    /// <summary>Answers a request.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        (ChatTurn turn, bool omitsThinking) = await ReadAsync(context, counts: false);
        using var teller = new AnthropicTeller(turn, omitsThinking);
        await ChatAnswer.RunAsync(context, turn, teller);
    }

    /// <summary>Counts the tokens of what would be the prompt.</summary>
    public async Task CountAsync(HttpContext context)
    {
        (ChatTurn turn, _) = await ReadAsync(context, counts: true);
        long counted = Models.Own(turn, "model", "counts no tokens beforehand").PromptTokens;
        await turn.Meter.SettleAsync(StatusCodes.Status200OK, "counted");
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, counted, static (writer, tokens) =>
        {
            writer.WriteStartObject();
            writer.WriteNumber("input_tokens"u8, tokens);
            writer.WriteEndObject();
        });
    }

    /// <summary>Writes the list of models; it is one page.</summary>
    public static void WriteModels(Utf8JsonWriter writer, IEnumerable<NamedModel> models)
    {
        writer.WriteStartObject();
        writer.WriteStartArray("data"u8);
        string? first = null, last = null;
        foreach (NamedModel model in models)
        {
            WriteModel(writer, model);
            first ??= model.Name;
            last = model.Name;
        }

        writer.WriteEndArray();
        writer.WriteBoolean("has_more"u8, false);
        writer.WriteString("first_id"u8, first);
        writer.WriteString("last_id"u8, last);
        writer.WriteEndObject();
    }

    /// <summary>Writes one model.</summary>
    public static void WriteModel(Utf8JsonWriter writer, NamedModel model)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, model.Name);
        writer.WriteString("type"u8, "model"u8);
        writer.WriteString("display_name"u8, model.Name);
        writer.WriteString("created_at"u8, model.Created.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ"));
        WriteLength(writer, "max_input_tokens"u8, model.ContextLength);
        WriteLength(writer, "max_tokens"u8, model.ContextLength);
        writer.WriteNull("capabilities"u8);
        writer.WriteString("lifecycle"u8, "active"u8);
        writer.WriteNull("line"u8);
        writer.WriteNull("deprecated_at"u8);
        writer.WriteNull("retires_at"u8);
        writer.WriteEndObject();
    }

    private static void WriteLength(Utf8JsonWriter writer, ReadOnlySpan<byte> name, int? tokens)
    {
        if (tokens is int known)
            writer.WriteNumber(name, known);
        else
            writer.WriteNull(name);
    }

    private async Task<(ChatTurn Turn, bool OmitsThinking)> ReadAsync(HttpContext context, bool counts)
    {
        AnthropicRequest request;
        using (JsonDocument body = await RequestBody.ReadAsync(context.Request, context.RequestAborted))
            request = AnthropicRequest.Read(body.RootElement, counts);
        (NamedModel model, ReasoningMode? byName) = models.FindWithMode(request.Chat.Generation.Model);
        return (ChatTurn.Create(context, request.Chat.Under(request.Chat.ModeOf(byName)), model, byName), request.OmitsThinking);
    }

    private static void WriteError(Utf8JsonWriter writer, (ApiException Error, string? RequestId) failure)
    {
        writer.WriteStartObject();
        writer.WriteString("type"u8, "error"u8);
        writer.WriteStartObject("error"u8);
        writer.WriteString("type"u8, failure.Error.Status switch
        {
            StatusCodes.Status401Unauthorized => "authentication_error",
            StatusCodes.Status402PaymentRequired => "billing_error",
            StatusCodes.Status403Forbidden => "permission_error",
            StatusCodes.Status404NotFound => "not_found_error",
            StatusCodes.Status413PayloadTooLarge => "request_too_large",
            StatusCodes.Status429TooManyRequests => "rate_limit_error",
            StatusCodes.Status503ServiceUnavailable => "overloaded_error",
            >= StatusCodes.Status500InternalServerError => "api_error",
            _ => "invalid_request_error",
        });
        writer.WriteString("message"u8, failure.Error.MessageWithPath);
        writer.WriteEndObject();
        writer.WriteString("request_id"u8, failure.RequestId);
        writer.WriteEndObject();
    }
}
