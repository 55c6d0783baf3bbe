using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>Writes JSON answers.</summary>
internal static class ApiJson
{
    /// <summary>Text as it is, in UTF-8; nothing here is ever put into HTML.</summary>
    public static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Answers with what <paramref name="write"/> writes.</summary>
    public static async Task AnswerAsync<T>(HttpContext context, int status, T state, Action<Utf8JsonWriter, T> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, Options))
            write(writer, state);
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = buffer.WrittenCount;
        await context.Response.BodyWriter.WriteAsync(buffer.WrittenMemory, context.RequestAborted);
    }

    /// <summary>
    /// Writes a call's arguments as an object. Where the answer met its limit inside the call they are none, and stand whole in the
    /// field <c>INVALID_JSON</c>: as text they are at least not lost.
    /// </summary>
    public static void WriteInput(Utf8JsonWriter writer, string arguments)
    {
        if (IsObject(arguments))
        {
            writer.WriteRawValue(arguments);
            return;
        }

        writer.WriteStartObject();
        if (arguments.Length > 0)
            writer.WriteString("INVALID_JSON"u8, arguments);
        writer.WriteEndObject();
    }

    private static bool IsObject(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return document.RootElement.ValueKind == JsonValueKind.Object;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>Answers with an error.</summary>
    public static Task AnswerErrorAsync(HttpContext context, ApiException error, ErrorShape shape, string? requestId)
    {
        if (error.RetryAfter is int seconds)
            context.Response.Headers.RetryAfter = seconds.ToString();
        if (error.Status == StatusCodes.Status401Unauthorized)
            context.Response.Headers.WWWAuthenticate = "Bearer";
        return AnswerAsync(context, error.Status, (error, requestId), shape.Write);
    }
}
