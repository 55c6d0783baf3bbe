using System.Collections.Concurrent;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Flint.App.Tests.Operations;

/// <summary>A collector of OpenTelemetry's on this machine that keeps what it gets. Protobuf has its strings in plain.</summary>
internal sealed class Collector : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<(string Path, string Body)> _received = [];

    private Collector(bool http)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = http ? HttpProtocols.Http1 : HttpProtocols.Http2));
        _app = builder.Build();
        _app.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            _received.Enqueue((context.Request.Path, Encoding.Latin1.GetString(body.ToArray())));
            context.Response.ContentType = http ? "application/x-protobuf" : "application/grpc";
            if (!http)
            {
                await context.Response.Body.WriteAsync(new byte[5]); // an empty message
                context.Response.AppendTrailer("grpc-status", "0");
            }
        });
    }

    /// <summary>Its address.</summary>
    internal Uri Address => new(_app.Urls.Single());

    /// <summary>The paths that were asked.</summary>
    internal IEnumerable<string> Paths => _received.Select(one => one.Path);

    /// <summary>All traces.</summary>
    internal string Traces => Of("trace");

    /// <summary>All metrics.</summary>
    internal string Metrics => Of("metrics");

    internal static async Task<Collector> StartAsync(bool http)
    {
        var collector = new Collector(http);
        await collector._app.StartAsync();
        return collector;
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private string Of(string signal) => string.Concat(_received.Where(one => one.Path.Contains(signal, StringComparison.OrdinalIgnoreCase)).Select(one => one.Body));
}
