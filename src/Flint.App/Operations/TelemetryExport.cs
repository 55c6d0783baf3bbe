using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Flint.App.Operations;

/// <summary>Sends traces and metrics to a collector over OTLP, from its making until it is disposed.</summary>
public sealed class TelemetryExport : IDisposable
{
    private static readonly string[] Endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];

    private readonly TracerProvider _traces;
    private readonly MeterProvider _metrics;

    private TelemetryExport(TelemetryOptions options)
    {
        _traces = Sdk.CreateTracerProviderBuilder()
            .AddSource(Telemetry.Name)
            .ConfigureResource(Describe)
            .AddOtlpExporter(exporter => Configure(exporter, options, "traces"))
            .Build();
        _metrics = Sdk.CreateMeterProviderBuilder()
            .AddMeter(Telemetry.Name)
            .ConfigureResource(Describe)
            .AddOtlpExporter(exporter => Configure(exporter, options, "metrics"))
            .Build();
    }

    /// <summary>Begins to send.</summary>
    /// <returns>Null where neither the options nor the environment name a collector, or <c>OTEL_SDK_DISABLED</c> is true.</returns>
    public static TelemetryExport? Start(TelemetryOptions options)
    {
        bool isNamed = options.Endpoint is not null || Array.Exists(Endpoints, name => !string.IsNullOrWhiteSpace(Environment.GetEnvironmentVariable(name)));
        bool isOff = string.Equals(Environment.GetEnvironmentVariable("OTEL_SDK_DISABLED"), "true", StringComparison.OrdinalIgnoreCase);
        return isNamed && !isOff ? new TelemetryExport(options) : null;
    }

    /// <summary>Sends what is left, for a few seconds at most.</summary>
    public void Dispose()
    {
        _traces.Dispose();
        _metrics.Dispose();
    }

    // The environment's name of the service goes before ours.
    private static void Describe(ResourceBuilder resource)
    {
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable("OTEL_SERVICE_NAME")))
            resource.AddService("flint", serviceVersion: typeof(TelemetryExport).Assembly.GetName().Version?.ToString(3));
        resource.AddEnvironmentVariableDetector();
    }

    private static void Configure(OtlpExporterOptions exporter, TelemetryOptions options, string signal)
    {
        if (options.Endpoint is not { } endpoint)
            return;
        exporter.Protocol = options.IsHttp ? OtlpExportProtocol.HttpProtobuf : OtlpExportProtocol.Grpc;
        exporter.Endpoint = options.IsHttp ? new Uri($"{endpoint.AbsoluteUri.TrimEnd('/')}/v1/{signal}") : endpoint;
    }
}
