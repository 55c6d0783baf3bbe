using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text;
using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Tests.Api;

namespace Flint.App.Tests.Operations;

/// <summary>Traces and metrics, as they are made and as a collector gets them.</summary>
public sealed class TelemetryTests
{
    private const string Prompt = "a tale that nobody may read";
    private const string Trace = "4bf92f3577b34da6a3ce929d0e0e4736", Parent = "00f067aa0ba902b7";

    private static readonly string Completion = $$"""{"model": "tiny", "prompt": "{{Prompt}}", "max_tokens": 5, "ignore_eos": true}""";

    [Fact]
    public async Task A_request_is_a_span_of_its_callers_trace()
    {
        await using TestServer server = await TestServer.StartAsync();
        var spans = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => ReferenceEquals(source, server.Server.Telemetry.Source),
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = spans.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        server.Client.DefaultRequestHeaders.Add("traceparent", $"00-{Trace}-{Parent}-01");
        await server.AnswerAsync("/v1/completions", Completion);
        await server.AnswerAsync("/v1/chat/completions", $$"""{"model": "tiny", "messages": [{"role": "user", "content": "{{Prompt}}"}], "max_tokens": 2, "mode": "instant"}""");
        await server.AnswerAsync("/v1/embeddings", $$"""{"model": "tiny", "input": "{{Prompt}}"}""");
        await server.RefusalAsync("/v1/completions", """{"model": "none", "prompt": "a"}""");
        await server.Client.GetAsync("/v1/models");

        Activity[] all = [.. spans];
        Assert.Equal(["text_completion tiny", "chat tiny", "embeddings tiny", "text_completion"], all.Select(span => span.DisplayName));
        Assert.All(all, span => Assert.Equal((Trace, Parent, ActivityKind.Server), (span.TraceId.ToHexString(), span.ParentSpanId.ToHexString(), span.Kind)));
        Activity first = all[0];
        UsageRecord record = server.Records()[^1];
        Assert.Equal(
            ("text_completion", "flint", "tiny", "tiny", record.RequestId, "/v1/completions", 200, record.PromptTokens, 5L),
            (first.GetTagItem("gen_ai.operation.name"), first.GetTagItem("gen_ai.provider.name"), first.GetTagItem("gen_ai.request.model"), first.GetTagItem("gen_ai.response.model"),
                first.GetTagItem("gen_ai.response.id"), first.GetTagItem("http.route"), first.GetTagItem("http.response.status_code"), first.GetTagItem("gen_ai.usage.input_tokens"), first.GetTagItem("gen_ai.usage.output_tokens")));
        Assert.Equal(["length"], (string[])first.GetTagItem("gen_ai.response.finish_reasons")!);
        Assert.Equal("first_token", Assert.Single(first.Events).Name);
        Assert.Equal("instant", all[1].GetTagItem("flint.mode"));
        Assert.Equal(("model_not_found", null), (all[3].GetTagItem("error.type"), all[3].GetTagItem("gen_ai.response.finish_reasons")));
        Assert.All(all.SelectMany(span => span.TagObjects), tag => Assert.DoesNotContain("tale", $"{tag.Value}", StringComparison.Ordinal));
        Assert.All(all.SelectMany(span => span.TagObjects), tag => Assert.DoesNotContain("sk-flint", $"{tag.Value}", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Requests_are_measured()
    {
        await using TestServer server = await TestServer.StartAsync();
        var measured = new ConcurrentQueue<(string Name, double Value, string Tags)>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (ReferenceEquals(instrument.Meter, server.Server.Telemetry.Meter))
                self.EnableMeasurementEvents(instrument);
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => measured.Enqueue((instrument.Name, value, Text(tags))));
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => measured.Enqueue((instrument.Name, value, Text(tags))));
        listener.Start();
        await server.AnswerAsync("/v1/completions", Completion);
        await server.RefusalAsync("/v1/completions", """{"model": "none", "prompt": "a"}""");
        UsageRecord record = server.Records()[^1];
        (string Name, double Value, string Tags)[] requests = [.. measured.Where(one => one.Name != Telemetry.AccountsName)];
        string[] steps = ["entry", "reservation", "record"];
        Assert.Equal([.. steps, .. steps], measured.Where(one => one.Name == Telemetry.AccountsName).Select(one => one.Tags["flint.accounts.step=".Length..]));
        const string tags = "gen_ai.operation.name=text_completion gen_ai.provider.name=flint gen_ai.request.model=tiny gen_ai.response.model=tiny";
        Assert.Equal(
            [
                ("gen_ai.client.token.usage", record.PromptTokens, tags + " gen_ai.token.type=input"),
                ("gen_ai.client.token.usage", 5, tags + " gen_ai.token.type=output"),
                ("gen_ai.server.request.duration", record.TotalMs / 1000, tags),
                ("gen_ai.server.time_to_first_token", record.FirstTokenMs / 1000, tags),
                ("gen_ai.server.time_per_output_token", (record.TotalMs - record.FirstTokenMs) / 4 / 1000, tags),
            ],
            requests.Take(5));
        (string name, _, string refused) = Assert.Single(requests.Skip(5));
        Assert.Equal(("gen_ai.server.request.duration", "gen_ai.operation.name=text_completion gen_ai.provider.name=flint error.type=model_not_found"), (name, refused));

        measured.Clear();
        listener.RecordObservableInstruments();
        Assert.Equal(["flint.kv.pages.cached", "flint.kv.pages.free", "flint.sequences.running", "flint.sequences.waiting"], measured.Select(one => one.Name).Order(StringComparer.Ordinal));
        Assert.All(measured, one => Assert.Equal("gen_ai.request.model=tiny", one.Tags));

        static string Text(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            var text = new StringBuilder();
            foreach ((string key, object? value) in tags)
                text.Append(text.Length == 0 ? "" : " ").Append(key).Append('=').Append(value);
            return text.ToString();
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_collector_gets_traces_and_metrics_over_otlp(bool http)
    {
        await using Collector collector = await Collector.StartAsync(http);
        string secret;
        using (TelemetryExport export = TelemetryExport.Start(new TelemetryOptions(collector.Address, http))!)
        {
            await using TestServer server = await TestServer.StartAsync();
            secret = server.Secret;
            await server.AnswerAsync("/v1/completions", Completion);
        }

        foreach (string expected in (string[])["text_completion tiny", "gen_ai.usage.output_tokens", "service.name", "first_token"])
            Assert.Contains(expected, collector.Traces, StringComparison.Ordinal);
        foreach (string expected in (string[])["gen_ai.server.time_to_first_token", "gen_ai.client.token.usage", "service.name"])
            Assert.Contains(expected, collector.Metrics, StringComparison.Ordinal);
        foreach (string hidden in (string[])["tale that nobody", secret[9..]])
            Assert.DoesNotContain(hidden, collector.Traces + collector.Metrics, StringComparison.Ordinal);
        if (http)
            Assert.All(collector.Paths, path => Assert.Contains(path, (string[])["/v1/traces", "/v1/metrics"]));
    }

    [Fact]
    public void Without_a_collector_nothing_is_sent()
    {
        Assert.SkipWhen(Environment.GetEnvironmentVariables().Keys.Cast<string>().Any(name => name.StartsWith("OTEL_", StringComparison.Ordinal)), "the environment names a collector");
        Assert.Null(TelemetryExport.Start(TelemetryOptions.OfEnvironment));
    }
}
