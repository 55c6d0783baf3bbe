using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>What a stream of JSON values looks like on the wire.</summary>
internal enum StreamForm
{
    /// <summary>Server-sent events.</summary>
    Events,

    /// <summary>One value per line.</summary>
    Lines,
}

/// <summary>
/// A response that comes as a stream of JSON values. Chunks are written straight into the response's pipe and leave with the next
/// <see cref="FlushAsync"/>. Used by one writer at a time.
/// </summary>
internal sealed class EventStream : IDisposable
{
    private readonly HttpContext _context;
    private readonly PipeWriter _pipe;
    private readonly Utf8JsonWriter _json;
    private readonly StreamForm _form;

    /// <summary>Begins the response; its headers leave with the first flush.</summary>
    /// <param name="context">The request.</param>
    /// <param name="form">What it looks like.</param>
    /// <param name="begun">Whether the response has begun already, and this goes on with it.</param>
    public EventStream(HttpContext context, StreamForm form = StreamForm.Events, bool begun = false)
    {
        _context = context;
        _form = form;
        _pipe = context.Response.BodyWriter;
        _json = new Utf8JsonWriter(_pipe, ApiJson.Options);
        if (begun)
            return;
        context.Response.StatusCode = StatusCodes.Status200OK;
        context.Response.ContentType = form == StreamForm.Events ? "text/event-stream; charset=utf-8" : "application/x-ndjson";
        context.Response.Headers.CacheControl = "no-cache";
        context.Response.Headers["X-Accel-Buffering"] = "no"; // or a proxy such as nginx holds the stream back
    }

    /// <summary>Writes one value, the JSON that <paramref name="write"/> writes.</summary>
    public void Write<T>(T state, Action<Utf8JsonWriter, T> write) => Write(null, state, write);

    /// <summary>Writes one value as an event of a name; lines have no names.</summary>
    public void Write<T>(string? name, T state, Action<Utf8JsonWriter, T> write)
    {
        if (_form == StreamForm.Events)
        {
            if (name is not null)
            {
                Raw("event: "u8);
                Raw(Encoding.ASCII.GetBytes(name));
                Raw("\n"u8);
            }

            Raw("data: "u8);
        }

        _json.Reset(_pipe);
        write(_json, state);
        _json.Flush();
        Raw(_form == StreamForm.Events ? "\n\n"u8 : "\n"u8);
    }

    /// <summary>Writes the event that ends every complete stream of the OpenAI API.</summary>
    public void WriteDone() => Raw("data: [DONE]\n\n"u8);

    /// <summary>Sends what was written.</summary>
    /// <exception cref="OperationCanceledException">The client has left.</exception>
    public async ValueTask FlushAsync()
    {
        FlushResult result = await _pipe.FlushAsync(_context.RequestAborted);
        if (result.IsCompleted)
            throw new OperationCanceledException("The client has left.");
    }

    /// <inheritdoc/>
    public void Dispose() => _json.Dispose();

    private void Raw(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_pipe.GetSpan(bytes.Length));
        _pipe.Advance(bytes.Length);
    }
}
