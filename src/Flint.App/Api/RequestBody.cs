using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Flint.App.Api;

/// <summary>Reads a request's JSON body within its limits.</summary>
internal static class RequestBody
{
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = ApiLimits.MaxJsonDepth };

    /// <summary>The body as a JSON object; the caller disposes the document.</summary>
    /// <exception cref="ApiException">It is too large, too slow, not UTF-8, not JSON, too deep, or not an object, refused by the profile of the key, or one of too many.</exception>
    public static async Task<JsonDocument> ReadAsync(HttpRequest request, CancellationToken cancellation)
    {
        if (request.ContentLength > ApiLimits.MaxBodyBytes)
            throw Unread(request, ApiException.TooLarge());
        byte[] body = await CollectAsync(request, cancellation);
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

    // The document keeps what it parses, so it gets its own copy and the pipe its buffers back.
    private static async Task<byte[]> CollectAsync(HttpRequest request, CancellationToken cancellation)
    {
        BodyMemory memory = request.HttpContext.Features.GetRequiredFeature<BodyMemory>();
        PipeReader reader = request.BodyReader;
        using CancellationTokenSource deadline = memory.Deadline();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation, deadline.Token);
        long held = 0;
        try
        {
            while (true)
            {
                ReadResult read = await reader.ReadAsync(end.Token);
                long length = read.Buffer.Length;
                bool tooLarge = length > ApiLimits.MaxBodyBytes;
                if (tooLarge || (length > Math.Max(held, ApiLimits.SmallBodyBytes) && !memory.TryTake(length - held)))
                {
                    reader.AdvanceTo(read.Buffer.End); // else the rest cannot be drained
                    throw Unread(request, tooLarge ? ApiException.TooLarge() : ApiException.Busy());
                }

                if (length > ApiLimits.SmallBodyBytes)
                    held = length;
                if (!read.IsCompleted)
                {
                    reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
                    continue;
                }

                byte[] body = read.Buffer.ToArray();
                reader.AdvanceTo(read.Buffer.End);
                return body;
            }
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            throw Unread(request, ApiException.TooSlow());
        }
        finally
        {
            memory.Give(held);
        }
    }

    // What is left of a body may never end: a client that goes on with this connection would lose its next request.
    private static ApiException Unread(HttpRequest request, ApiException refusal)
    {
        if (!request.HttpContext.Response.HasStarted)
            request.HttpContext.Response.Headers.Connection = "close";
        return refusal;
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
