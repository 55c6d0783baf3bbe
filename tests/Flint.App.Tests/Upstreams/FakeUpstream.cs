using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Upstreams;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;

namespace Flint.App.Tests.Upstreams;

/// <summary>An upstream on a free port of this machine that answers as its test says.</summary>
internal sealed class FakeUpstream : IAsyncDisposable
{
    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly WebApplication _app;
    private readonly List<JsonNode> _bodies = [];
    private readonly List<string?> _keys = [];
    private int _checks;
    private int _aborted;

    private FakeUpstream(WebApplication app, Func<HttpContext, JsonNode, Task> answer)
    {
        _app = app;
        Answer = answer;
        app.Run(HandleAsync);
    }

    /// <summary>How it answers.</summary>
    internal Func<HttpContext, JsonNode, Task> Answer { get; set; }

    /// <summary>What a check of its health is answered with.</summary>
    internal int Health { get; set; } = StatusCodes.Status200OK;

    /// <summary>How often it was checked.</summary>
    internal int Checks => Volatile.Read(ref _checks);

    /// <summary>How many answers were broken off by whoever asked.</summary>
    internal int Aborted => Volatile.Read(ref _aborted);

    /// <summary>What it was asked.</summary>
    internal IReadOnlyList<JsonNode> Bodies
    {
        get
        {
            lock (_bodies)
                return [.. _bodies];
        }
    }

    /// <summary>The keys it was shown.</summary>
    internal IReadOnlyList<string?> Keys
    {
        get
        {
            lock (_bodies)
                return [.. _keys];
        }
    }

    internal Uri Address => new(_app.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First() + "/v1/");

    internal static async Task<FakeUpstream> StartAsync(Func<HttpContext, JsonNode, Task>? answer = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(System.Net.IPAddress.Loopback, 0));
        var upstream = new FakeUpstream(builder.Build(), answer ?? ((context, _) => SayAsync(context, [Text("Hello"), Text(" there"), End(), Usage(9, 4), Done])));
        await upstream._app.StartAsync();
        return upstream;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
    }

    /// <summary>It as a target.</summary>
    internal TargetOptions Target(string name = "one") => new() { Name = name, BaseUrl = Address, Model = "their/model" };

    /// <summary>Models that targets serve, checked by nobody unless <paramref name="options"/> say so.</summary>
    internal static UpstreamModels Serve(TimeProvider? time, Func<UpstreamOptions, UpstreamOptions>? options, params TargetOptions[] targets)
    {
        var models = new UpstreamModels(time);
        var plain = new UpstreamOptions { Name = "big", Targets = targets, HealthInterval = TimeSpan.Zero };
        models.Replace(models.Prepare([options?.Invoke(plain) ?? plain]));
        return models;
    }

    internal const string Done = "data: [DONE]\n\n";

    internal static string Event(object value) => $"data: {JsonSerializer.Serialize(value, Plain)}\n\n";

    internal static string Delta(object delta, int index = 0) => Event(new { choices = new[] { new { index, delta } } });

    internal static string Text(string content, int index = 0) => Delta(new { content }, index);

    internal static string Thought(string reasoning_content) => Delta(new { reasoning_content });

    internal static string Call(int index, string? id, string? name, string arguments) =>
        Delta(new { tool_calls = new[] { new { index, id, type = "function", function = new { name, arguments } } } });

    internal static string End(string finish_reason = "stop", int index = 0) =>
        Event(new { choices = new[] { new { index, delta = new { }, finish_reason } } });

    internal static string Usage(int prompt_tokens, int completion_tokens, int cached_tokens = 0) =>
        Event(new { choices = Array.Empty<int>(), usage = new { prompt_tokens, completion_tokens, prompt_tokens_details = new { cached_tokens } } });

    /// <summary>Sends events, each by itself.</summary>
    internal static async Task SayAsync(HttpContext context, params IEnumerable<string> events)
    {
        if (!context.Response.HasStarted)
            context.Response.ContentType = "text/event-stream";
        foreach (string one in events)
        {
            await context.Response.WriteAsync(one, context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
        }
    }

    /// <summary>Refuses.</summary>
    internal static async Task RefuseAsync(HttpContext context, int status, string message = "no")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        await context.Response.WriteAsync(JsonSerializer.Serialize(new { error = new { message } }));
    }

    /// <summary>Waits until whoever asked has left.</summary>
    internal static Task StallAsync(HttpContext context) => Task.Delay(Timeout.InfiniteTimeSpan, context.RequestAborted);

    private async Task HandleAsync(HttpContext context)
    {
        if (HttpMethods.IsGet(context.Request.Method))
        {
            context.Response.StatusCode = Health;
            await context.Response.CompleteAsync();
            Interlocked.Increment(ref _checks);
            return;
        }

        JsonNode body = (await JsonNode.ParseAsync(context.Request.Body))!;
        lock (_bodies)
        {
            _bodies.Add(body);
            _keys.Add(context.Request.Headers.Authorization);
        }

        try
        {
            await Answer(context, body);
        }
        catch (OperationCanceledException)
        {
            Interlocked.Increment(ref _aborted);
        }
    }
}
