using System.Diagnostics;
using System.Globalization;
using System.Text;
using Flint.App.Operations;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Engine;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// <c>GET /health</c>, <c>GET /ready</c> and <c>GET /metrics</c>: open to all, so they tell nothing about keys or content, and answered to the end, while
/// requests are taken no more.
/// </summary>
internal sealed class Health(IReadOnlyList<ServedModel> served, UpstreamModels upstreams, ApiCounters counters)
{
    private static readonly string[] Probes = ["/health", "/ready", "/metrics"];

    private static readonly double Started = (Process.GetCurrentProcess().StartTime.ToUniversalTime() - DateTime.UnixEpoch).TotalSeconds;

    /// <summary>Whether a request is one of these.</summary>
    public static bool IsProbe(HttpRequest request) => Array.Exists(Probes, path => request.Path.Equals(path, StringComparison.OrdinalIgnoreCase));

    /// <summary>Says whether the process is worth keeping: not where an engine has stopped on a fault of its own, which only a new start mends.</summary>
    public Task HealthAsync(HttpContext context) => AnswerAsync(context, HasFailed ? "failed" : "ok", isWell: !HasFailed);

    /// <summary>Says whether requests are taken: not where the server is about to stop.</summary>
    public Task ReadyAsync(HttpContext context) => AnswerAsync(context, HasFailed ? "failed" : counters.IsStopping ? "stopping" : "ready", isWell: !HasFailed && !counters.IsStopping);

    /// <summary>Adds what the engines are doing to metrics that are sent.</summary>
    public void Observe(Telemetry telemetry)
    {
        telemetry.Observe("flint.sequences.running", "{sequence}", "Sequences being computed.", () => served.Select(model => (model.Name, model.Engine.Statistics.Running)));
        telemetry.Observe("flint.sequences.waiting", "{sequence}", "Sequences waiting for room.", () => served.Select(model => (model.Name, model.Engine.Statistics.Waiting)));
        telemetry.Observe("flint.kv.pages.free", "{page}", "Pages of keys and values that hold nothing.", () => served.Select(model => (model.Name, model.Engine.Statistics.FreePages)));
        telemetry.Observe("flint.kv.pages.cached", "{page}", "Pages that only the prefix cache holds.", () => served.Select(model => (model.Name, model.Engine.Statistics.CachedPages)));
    }

    private bool HasFailed => served.Any(model => model.Engine.Fault is not null);

    private static Task AnswerAsync(HttpContext context, string status, bool isWell) => ApiJson.AnswerAsync(
        context, isWell ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable, status, static (writer, status) =>
        {
            writer.WriteStartObject();
            writer.WriteString("status"u8, status);
            writer.WriteEndObject();
        });

    /// <summary>Counters and gauges in the Prometheus text format, version 0.0.4.</summary>
    public async Task MetricsAsync(HttpContext context)
    {
        var text = new StringBuilder(8192);
        Head(text, "flint_requests_total", "counter", "Requests answered, by route and HTTP status.");
        foreach ((string endpoint, int status, long count) in counters.Requests())
            text.Append($"flint_requests_total{{route=\"{endpoint}\",status=\"{status}\"}} {count}\n");
        Head(text, "flint_requests_in_flight", "gauge", "Requests being answered, this one among them.");
        text.Append($"flint_requests_in_flight {counters.InFlight}\n");
        Head(text, "flint_request_body_bytes", "gauge", "Bytes of request bodies that are being read, but for small ones.");
        text.Append($"flint_request_body_bytes {counters.BodyBytes}\n");
        Head(text, "flint_managed_heap_bytes", "gauge", "Bytes of the managed heap; weights, keys and values are outside it.");
        text.Append($"flint_managed_heap_bytes {GC.GetTotalMemory(forceFullCollection: false)}\n");
        Head(text, "flint_resident_bytes", "gauge", "Bytes of memory the process occupies.");
        text.Append($"flint_resident_bytes {Environment.WorkingSet}\n");

        Head(text, "flint_stopping", "gauge", "1 while running requests end and new ones are refused.");
        text.Append($"flint_stopping {(counters.IsStopping ? 1 : 0)}\n");
        Head(text, "process_start_time_seconds", "gauge", "When the process started, Unix seconds.");
        text.Append($"process_start_time_seconds {Started.ToString("F3", CultureInfo.InvariantCulture)}\n");
        Head(text, "process_cpu_seconds_total", "counter", "Processor time of the process.");
        text.Append($"process_cpu_seconds_total {Environment.CpuUsage.TotalTime.TotalSeconds.ToString("F3", CultureInfo.InvariantCulture)}\n");

        Family(text, "flint_sequences_running", "gauge", "Sequences being computed.", s => s.Running);
        Family(text, "flint_sequences_waiting", "gauge", "Sequences waiting for room.", s => s.Waiting);
        Family(text, "flint_kv_pages", "gauge", "Pages of keys and values in all.", s => s.TotalPages);
        Family(text, "flint_kv_pages_free", "gauge", "Pages that hold nothing.", s => s.FreePages);
        Family(text, "flint_kv_pages_cached", "gauge", "Pages that only the prefix cache holds.", s => s.CachedPages);
        Family(text, "flint_steps_total", "counter", "Forward passes.", s => s.Steps);
        Family(text, "flint_rows_total", "counter", "Rows of all forward passes.", s => s.Rows);
        Family(text, "flint_prompt_tokens_total", "counter", "Prompt tokens taken up.", s => s.PromptTokens);
        Family(text, "flint_cached_tokens_total", "counter", "Prompt tokens found in the prefix cache.", s => s.CachedTokens);
        Family(text, "flint_output_tokens_total", "counter", "Tokens generated.", s => s.OutputTokens);
        Family(text, "flint_preemptions_total", "counter", "Times a sequence gave up its pages and went back to wait.", s => s.Preemptions);
        Family(text, "flint_sequences_finished_total", "counter", "Sequences that ended by themselves.", s => s.Finished);
        Family(text, "flint_sequences_cancelled_total", "counter", "Sequences cancelled.", s => s.Cancelled);
        Family(text, "flint_sequences_failed_total", "counter", "Sequences ended by a fault.", s => s.Failed);
        Family(text, "flint_sequences_refused_total", "counter", "Requests refused because the queue was full.", s => s.Refused);
        Durations(text, "flint_queue_seconds", "From submission to the first step.", s => s.QueueTime);
        Durations(text, "flint_first_token_seconds", "From submission to the first token.", s => s.FirstTokenTime);
        Durations(text, "flint_token_seconds", "From one token of a sequence to its next.", s => s.TokenTime);
        Durations(text, "flint_step_seconds", "Length of a forward pass.", s => s.StepTime);

        Upstreams(text);

        context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        await context.Response.WriteAsync(text.ToString(), context.RequestAborted);
    }

    private static void Head(StringBuilder text, string name, string type, string help) =>
        text.Append($"# HELP {name} {help}\n# TYPE {name} {type}\n");

    private void Family(StringBuilder text, string name, string type, string help, Func<EngineStatistics, long> value)
    {
        Head(text, name, type, help);
        foreach (ServedModel model in served)
            text.Append($"{name}{{model=\"{Label(model.Name)}\"}} {value(model.Engine.Statistics)}\n");
    }

    private void Upstreams(StringBuilder text)
    {
        Family("requests_total", "counter", "Requests that an upstream was asked.", target => target.Requests);
        Family("failures_total", "counter", "Of those, the ones that it failed at.", target => target.Failures);
        Family("in_flight", "gauge", "Requests that an upstream is answering.", target => target.InFlight);
        Family("up", "gauge", "Whether the last check found it up.", target => target.IsUp ? 1 : 0);
        Family("circuit_open", "gauge", "Whether it is left alone because it failed again and again.", target => target.Circuit.IsOpen ? 1 : 0);

        void Family(string name, string type, string help, Func<UpstreamTarget, long> value)
        {
            Head(text, $"flint_upstream_{name}", type, help);
            foreach (UpstreamTarget target in upstreams.All.SelectMany(model => model.Members).Select(member => member.Target))
                text.Append($"flint_upstream_{name}{{model=\"{Label(target.Model)}\",target=\"{Label(target.Name)}\"}} {value(target)}\n");
        }
    }

    private void Durations(StringBuilder text, string name, string help, Func<EngineStatistics, Histogram> value)
    {
        Head(text, name, "histogram", help);
        foreach (ServedModel model in served)
        {
            Histogram histogram = value(model.Engine.Statistics);
            string label = Label(model.Name);
            long below = 0;
            for (int bucket = 0; bucket < Histogram.Bounds.Length; bucket++)
            {
                below += histogram.CountIn(bucket);
                text.Append($"{name}_bucket{{model=\"{label}\",le=\"{Histogram.Bounds[bucket].ToString(CultureInfo.InvariantCulture)}\"}} {below}\n");
            }

            below += histogram.CountIn(Histogram.Bounds.Length);
            text.Append($"{name}_bucket{{model=\"{label}\",le=\"+Inf\"}} {below}\n");
            text.Append($"{name}_sum{{model=\"{label}\"}} {histogram.Sum.ToString("R", CultureInfo.InvariantCulture)}\n");
            text.Append($"{name}_count{{model=\"{label}\"}} {below}\n");
        }
    }

    private static string Label(string value) =>
        value.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n");
}
