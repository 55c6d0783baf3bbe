using System.Diagnostics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Flint.App.Accounts;

namespace Flint.App.Operations;

/// <summary>
/// What a server tells its operator: plain sentences, or a JSON object a line with every request's in between. Neither has a text of a
/// request or of its answer, or a key.
/// </summary>
/// <param name="isJson">Whether lines are JSON.</param>
/// <param name="output">Where what is in order goes; with JSON, everything.</param>
/// <param name="errors">Where faults go.</param>
/// <param name="time">The clock of the lines.</param>
public sealed class ServerLog(bool isJson, TextWriter output, TextWriter errors, TimeProvider time)
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Lock _gate = new();

    /// <summary>A log on the console.</summary>
    public static ServerLog OnConsole(bool isJson) => new(isJson, Console.Out, Console.Error, TimeProvider.System);

    /// <summary>Tells what is in order.</summary>
    /// <param name="name">The event's name.</param>
    /// <param name="message">A sentence.</param>
    /// <param name="requestId">The request that it comes of; null for none.</param>
    public void Tell(string name, string message, string? requestId = null)
    {
        if (isJson)
            Write("info", name, requestId, writer => writer.WriteString("message"u8, message));
        else
            Write(output, message);
    }

    /// <summary>Tells a fault.</summary>
    /// <param name="name">The event's name.</param>
    /// <param name="message">A sentence.</param>
    /// <param name="requestId">The request it befell; null for none.</param>
    /// <param name="error">What was thrown; null for nothing.</param>
    public void Fail(string name, string message, string? requestId = null, Exception? error = null)
    {
        if (isJson)
        {
            Write("error", name, requestId, writer =>
            {
                writer.WriteString("message"u8, message);
                if (error is not null)
                    writer.WriteString("error"u8, error.ToString());
            });
        }
        else
        {
            Write(errors, $"flint: {(requestId is null ? "" : requestId + ": ")}{message}{(error is null ? "" : $": {error}")}");
        }
    }

    /// <summary>Tells a request that was recorded; as JSON only.</summary>
    public void Request(UsageRecord record)
    {
        if (!isJson)
            return;
        Write(record.Status >= 500 ? "error" : "info", "request", record.RequestId, writer =>
        {
            writer.WriteString("method"u8, "POST"u8);
            writer.WriteString("route"u8, record.Endpoint);
            writer.WriteNumber("status"u8, record.Status);
            writer.WriteNumber("duration_ms"u8, Math.Round(record.TotalMs, 3));
            writer.WriteNumber("queue_ms"u8, Math.Round(record.QueueMs, 3));
            writer.WriteNumber("first_token_ms"u8, Math.Round(record.FirstTokenMs, 3));
            writer.WriteString("model"u8, record.Model);
            writer.WriteString("mode"u8, record.Mode);
            writer.WriteString("finish"u8, record.Finish);
            writer.WriteString("policy"u8, record.Policy);
            writer.WriteNumber("prompt_tokens"u8, record.PromptTokens);
            writer.WriteNumber("cached_tokens"u8, record.CachedTokens);
            writer.WriteNumber("output_tokens"u8, record.OutputTokens);
            WriteId(writer, "key"u8, record.KeyId);
            WriteId(writer, "project"u8, record.ProjectId);
            WriteId(writer, "organization"u8, record.OrganizationId);
        });
    }

    /// <summary>Tells a request that has no record; as JSON only.</summary>
    /// <param name="requestId">Its id.</param>
    /// <param name="method">Its method.</param>
    /// <param name="route">Its route, not its path: a path may hold anything.</param>
    /// <param name="status">The status of its answer.</param>
    /// <param name="duration">From its arrival to its end.</param>
    /// <param name="key">The key that was let in; null for none.</param>
    public void Request(string requestId, string method, string route, int status, TimeSpan duration, long? key)
    {
        if (!isJson)
            return;
        Write(status >= 500 ? "error" : "info", "request", requestId, writer =>
        {
            writer.WriteString("method"u8, method);
            writer.WriteString("route"u8, route);
            writer.WriteNumber("status"u8, status);
            writer.WriteNumber("duration_ms"u8, Math.Round(duration.TotalMilliseconds, 3));
            WriteId(writer, "key"u8, key);
        });
    }

    private static void WriteId(Utf8JsonWriter writer, ReadOnlySpan<byte> name, long? id)
    {
        if (id is long known)
            writer.WriteNumber(name, known);
        else
            writer.WriteNull(name);
    }

    private void Write(string level, string name, string? requestId, Action<Utf8JsonWriter> fields)
    {
        using var line = new MemoryStream();
        using (var writer = new Utf8JsonWriter(line, Options))
        {
            writer.WriteStartObject();
            writer.WriteString("time"u8, time.GetUtcNow().UtcDateTime);
            writer.WriteString("level"u8, level);
            writer.WriteString("event"u8, name);
            if (requestId is not null)
                writer.WriteString("request_id"u8, requestId);
            if (Activity.Current is { } span)
                writer.WriteString("trace_id"u8, span.TraceId.ToHexString());
            fields(writer);
            writer.WriteEndObject();
        }

        Write(output, Encoding.UTF8.GetString(line.GetBuffer(), 0, (int)line.Length));
    }

    private void Write(TextWriter to, string line)
    {
        lock (_gate)
        {
            to.WriteLine(line);
            to.Flush();
        }
    }
}
