using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>Reads a request's JSON body within its limits.</summary>
internal static class RequestBody
{
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = ApiLimits.MaxJsonDepth };

    /// <summary>The body as a JSON object; the caller disposes the document.</summary>
    /// <exception cref="ApiException">It is too large, not UTF-8, not JSON, too deep, or not an object, or refused by the profile of the key.</exception>
    public static async Task<JsonDocument> ReadAsync(HttpRequest request, CancellationToken cancellation)
    {
        if (request.ContentLength > ApiLimits.MaxBodyBytes)
            throw ApiException.TooLarge();
        PipeReader reader = request.BodyReader;
        ReadResult read;
        while (true)
        {
            read = await reader.ReadAsync(cancellation);
            if (read.Buffer.Length > ApiLimits.MaxBodyBytes)
                throw ApiException.TooLarge();
            if (read.IsCompleted)
                break;
            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }

        // The document keeps what it parses, so it gets its own copy and the pipe its buffers back.
        byte[] body = read.Buffer.ToArray();
        reader.AdvanceTo(read.Buffer.End);
        JsonDocument document = Parse(body);
        try
        {
            request.HttpContext.Features.Get<RequestMeter>()?.Take(new JsonFields(document.RootElement, ""));
            return document;
        }
        catch
        {
            document.Dispose();
            throw;
        }
    }

    private static JsonDocument Parse(byte[] body)
    {
        if (!Utf8.IsValid(body))
            throw Malformed("it is not valid UTF-8");
        try
        {
            JsonDocument document = JsonDocument.Parse(body, Options);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return document;
            document.Dispose();
            throw Malformed("it is not a JSON object");
        }
        catch (JsonException error)
        {
            throw Malformed($"it is not valid JSON at line {error.LineNumber + 1}, byte {error.BytePositionInLine + 1}, or nested deeper than {ApiLimits.MaxJsonDepth} levels");
        }
    }

    private static ApiException Malformed(string why) =>
        ApiException.Request(StatusCodes.Status400BadRequest, "invalid_json", $"We could not parse the JSON body of your request: {why}.");
}
