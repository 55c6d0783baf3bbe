using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>How an API says that a request failed.</summary>
/// <param name="Write">Writes the body; the text is the id of the request, null where it has no record.</param>
internal sealed record ErrorShape(Action<Utf8JsonWriter, (ApiException Error, string? RequestId)> Write)
{
    /// <summary>The OpenAI API's: <c>{"error": {...}}</c>, also where nothing tells which API is meant.</summary>
    public static readonly ErrorShape OpenAi = new(WriteOpenAi);

    /// <summary>The header that names a request's record, beside <c>x-request-id</c>; null for none.</summary>
    public string? IdHeader { get; init; }

    /// <summary>The event's name where a stream has begun; null for none.</summary>
    public string? Event { get; init; }

    /// <summary>What its streams look like.</summary>
    public StreamForm Form { get; init; } = StreamForm.Events;

    /// <summary>The shape of a request: its route's, else that of the API it seems to mean.</summary>
    public static ErrorShape Of(HttpRequest request, MeteredRoute? route) =>
        route?.Errors ?? (OllamaApi.IsMeant(request) ? OllamaApi.Errors : AnthropicMessages.IsMeant(request) ? AnthropicMessages.Errors : OpenAi);

    private static void WriteOpenAi(Utf8JsonWriter writer, (ApiException Error, string? RequestId) failure)
    {
        writer.WriteStartObject();
        writer.WriteStartObject("error"u8);
        writer.WriteString("message"u8, failure.Error.Message);
        writer.WriteString("type"u8, failure.Error.Type);
        writer.WriteString("param"u8, failure.Error.Parameter);
        writer.WriteString("code"u8, failure.Error.Code);
        writer.WriteEndObject();
        writer.WriteEndObject();
    }
}
