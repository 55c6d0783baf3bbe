using System.Diagnostics;
using System.Diagnostics.Metrics;
using Flint.App.Accounts;

namespace Flint.App.Operations;

/// <summary>
/// Traces and metrics of requests in the words of OpenTelemetry's conventions for generative AI. What is told of a request is the closed
/// list below: no text of it or of its answer, no key and no name of one.
/// </summary>
public sealed class Telemetry : IDisposable
{
    /// <summary>The name of the source of traces, and of the meter.</summary>
    public const string Name = "Flint";

    /// <summary>The name of the times that requests spend on their accounts.</summary>
    public const string AccountsName = "flint.accounts.duration";

    private const string Provider = "flint";

    private static readonly double[] RequestSeconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
    private static readonly double[] FirstTokenSeconds = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
    private static readonly double[] TokenSeconds = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
    private static readonly double[] AccountsSeconds = [0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1, 10];
    private static readonly long[] Tokens = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];

    private readonly ActivitySource _source = new(Name);
    private readonly Meter _meter = new(Name);
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _firstToken;
    private readonly Histogram<double> _perToken;
    private readonly Histogram<double> _accounts;
    private readonly Histogram<long> _usage;

    /// <summary>Traces and metrics that nobody hears until something listens to <see cref="Name"/>.</summary>
    public Telemetry()
    {
        _duration = Seconds("gen_ai.server.request.duration", "Time from a request's arrival to its end.", RequestSeconds);
        _firstToken = Seconds("gen_ai.server.time_to_first_token", "Time from a request's arrival to its first token, of those that succeed.", FirstTokenSeconds);
        _perToken = Seconds("gen_ai.server.time_per_output_token", "Time per token after the first, of requests that succeed.", TokenSeconds);
        _accounts = Seconds(AccountsName, "Time that a request spends on its key, its reservation or its record.", AccountsSeconds);
        _usage = _meter.CreateHistogram("gen_ai.client.token.usage", "{token}", "Tokens of a request, by kind.", tags: null, new InstrumentAdvice<long> { HistogramBucketBoundaries = Tokens });
    }

    /// <summary>The source of traces.</summary>
    internal ActivitySource Source => _source;

    /// <summary>The meter.</summary>
    internal Meter Meter => _meter;

    /// <summary>Adds a number that is looked up when it is asked for, one for each model.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="unit">Its unit.</param>
    /// <param name="description">What it counts.</param>
    /// <param name="values">The models and their numbers.</param>
    public void Observe(string name, string unit, string description, Func<IEnumerable<(string Model, long Value)>> values) =>
        _meter.CreateObservableGauge<long>(name, () => values().Select(one => new Measurement<long>(one.Value, new KeyValuePair<string, object?>("gen_ai.request.model", one.Model))), unit, description);

    /// <summary>Begins the span of a request.</summary>
    /// <param name="operation">What it asks for, as the conventions name it.</param>
    /// <param name="route">Its route.</param>
    /// <param name="parent">The header <c>traceparent</c>; null for none.</param>
    /// <param name="state">The header <c>tracestate</c>; null for none.</param>
    /// <returns>Null where nobody listens, or this one is not sampled.</returns>
    public Activity? Begin(string operation, string route, string? parent, string? state)
    {
        if (!_source.HasListeners())
            return null;
        ActivityContext.TryParse(parent, state, isRemote: true, out ActivityContext context);
        return _source.StartActivity(operation, ActivityKind.Server, context,
        [
            new("gen_ai.operation.name", operation),
            new("gen_ai.provider.name", Provider),
            new("http.request.method", "POST"),
            new("http.route", route),
        ]);
    }

    /// <summary>Ends the span of a request, and measures it.</summary>
    /// <param name="span">What <see cref="Begin"/> gave.</param>
    /// <param name="operation">As given there.</param>
    /// <param name="record">What became of the request.</param>
    public void End(Activity? span, string operation, UsageRecord record)
    {
        bool failed = record.Status >= 400;
        if (span is not null)
            Describe(span, operation, record, failed);
        var tags = new TagList { { "gen_ai.operation.name", operation }, { "gen_ai.provider.name", Provider } };
        if (record.Model.Length > 0)
        {
            tags.Add("gen_ai.request.model", record.Model);
            tags.Add("gen_ai.response.model", record.Model);
        }

        if (record.PromptTokens > 0)
            _usage.Record(record.PromptTokens, With(tags, "gen_ai.token.type", "input"));
        if (record.OutputTokens > 0)
            _usage.Record(record.OutputTokens, With(tags, "gen_ai.token.type", "output"));
        if (failed)
        {
            _duration.Record(record.TotalMs / 1000, With(tags, "error.type", record.Finish));
            return;
        }

        _duration.Record(record.TotalMs / 1000, tags);
        if (record.FirstTokenMs <= 0)
            return;
        _firstToken.Record(record.FirstTokenMs / 1000, tags);
        if (record.OutputTokens > 1)
            _perToken.Record((record.TotalMs - record.FirstTokenMs) / (record.OutputTokens - 1) / 1000, tags);
    }

    /// <summary>Measures what a request has spent beside its model.</summary>
    /// <param name="entry">From its arrival until it was let in: its key.</param>
    /// <param name="reservation">Until what it may use was set aside.</param>
    /// <param name="record">Until its record was safe.</param>
    public void Account(TimeSpan entry, TimeSpan reservation, TimeSpan record)
    {
        if (!_accounts.Enabled)
            return;
        Tell("entry", entry);
        Tell("reservation", reservation);
        Tell("record", record);

        void Tell(string step, TimeSpan time) => _accounts.Record(time.TotalSeconds, new KeyValuePair<string, object?>("flint.accounts.step", step));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _source.Dispose();
        _meter.Dispose();
    }

    private static void Describe(Activity span, string operation, UsageRecord record, bool failed)
    {
        if (record.Model.Length > 0)
        {
            span.DisplayName = $"{operation} {record.Model}";
            span.SetTag("gen_ai.request.model", record.Model);
            span.SetTag("gen_ai.response.model", record.Model);
        }

        span.SetTag("gen_ai.response.id", record.RequestId);
        span.SetTag("http.response.status_code", record.Status);
        span.SetTag("gen_ai.usage.input_tokens", record.PromptTokens);
        span.SetTag("gen_ai.usage.output_tokens", record.OutputTokens);
        span.SetTag("gen_ai.usage.cache_read.input_tokens", record.CachedTokens);
        span.SetTag("flint.reasoning_tokens", record.ReasoningTokens);
        span.SetTag("flint.queue_seconds", record.QueueMs / 1000);
        if (record.Mode.Length > 0)
            span.SetTag("flint.mode", record.Mode);
        if (failed)
            span.SetTag("error.type", record.Finish);
        else
            span.SetTag("gen_ai.response.finish_reasons", record.Finish.Split(','));
        if (record.Status >= 500)
            span.SetStatus(ActivityStatusCode.Error);
        if (record.FirstTokenMs > 0)
            span.AddEvent(new ActivityEvent("first_token", span.StartTimeUtc + TimeSpan.FromMilliseconds(record.FirstTokenMs)));
        span.Stop();
    }

    private static TagList With(TagList tags, string name, string value)
    {
        tags.Add(name, value);
        return tags;
    }

    private Histogram<double> Seconds(string name, string description, double[] bounds) =>
        _meter.CreateHistogram(name, "s", description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });
}
