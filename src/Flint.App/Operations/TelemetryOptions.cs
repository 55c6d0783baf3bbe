namespace Flint.App.Operations;

/// <summary>Where traces and metrics go, as a configuration says it; the environment's <c>OTEL_...</c> hold for what it leaves open.</summary>
/// <param name="Endpoint">The address of a collector; null where the environment says it, or nobody does.</param>
/// <param name="IsHttp">Whether it is spoken to as <c>http/protobuf</c>, and not as <c>grpc</c>.</param>
public sealed record TelemetryOptions(Uri? Endpoint, bool IsHttp)
{
    /// <summary>What the environment says.</summary>
    public static readonly TelemetryOptions OfEnvironment = new(null, false);
}
