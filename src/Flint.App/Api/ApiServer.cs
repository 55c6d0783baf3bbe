using System.Net;
using System.Net.Security;
using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Policy;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;

namespace Flint.App.Api;

/// <summary>The HTTP server over one or more models: the gate, then the routes.</summary>
public sealed class ApiServer : IAsyncDisposable
{
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private readonly WebApplication _app;
    private readonly Ledger _ledger;
    private readonly Reservations _reservations;
    private readonly ApiCounters _counters = new();
    private readonly Telemetry _telemetry = new();
    private readonly BackgroundResponses _background;
    private readonly IReadOnlyList<ServedModel> _models;
    private readonly UpstreamModels _upstreams;
    private readonly Retention _retention;
    private Uri? _address;
    private bool _stopped;

    /// <summary>Puts a server together; it listens from <see cref="StartAsync"/> on.</summary>
    /// <param name="options">Where to listen.</param>
    /// <param name="models">The models, names unique. The server's end is theirs: it disposes them.</param>
    /// <param name="store">The accounts.</param>
    /// <param name="policies">What texts of requests and answers must keep to; nothing where null.</param>
    /// <param name="time">The clock of keys, limits and records; the system's where null.</param>
    /// <param name="upstreams">The models that upstreams serve, under other names; none where null. The server's end is theirs.</param>
    /// <exception cref="FlintException">Caller: no keys are required and the address is open to other machines, or a name is twice there.</exception>
    public ApiServer(ApiOptions options, IReadOnlyList<ServedModel> models, Store store, Policies? policies = null, TimeProvider? time = null, UpstreamModels? upstreams = null)
    {
        if (!options.RequireKeys && !IPAddress.IsLoopback(options.Address))
            throw FlintException.Caller("open_server", $"A server without keys listens only on a loopback address, not on {options.Address}.");
        if (models.SelectMany(model => model.Variants).GroupBy(variant => variant.Name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw FlintException.Caller("model_name_taken", $"Two models are named '{twice.Key}'; give one another name with --alias.");
        _models = models;
        _upstreams = upstreams ?? new UpstreamModels();
        _upstreams.Reserve(models.SelectMany(model => model.Variants).Select(variant => variant.Name));
        time ??= TimeProvider.System;
        _ledger = new Ledger(store, options.WaitsForDisk, line => options.Log.Fail("store_disk", line));
        _reservations = new Reservations(_ledger.Writer, time);
        _retention = new Retention(new Prompts(store, time), options.Log);
        _app = Build(options);

        var running = new RunningRequests(ApiLimits.MaxConnections + ApiLimits.MaxBackground); // a connection has one at a time
        var list = new Models(models, _upstreams);
        var classifier = new Classifier(list, _reservations, _ledger, _counters, options.Log, time);
        var metering = new Metering(_ledger, _reservations, _counters, policies ?? new Policies(), classifier, _telemetry, options.Log, time, options.Checkers, new Prompts(store, time), options.IsMuse);
        var gate = new Gate(options.RequireKeys ? new Keys(store, time, _ledger.Writer) : null, metering, running);
        var health = new Health(models, _upstreams, _counters);
        health.Observe(_telemetry);
        var requests = new Requests(running);
        var chat = new OpenAiChat(list);
        var completions = new OpenAiCompletions(list);
        _background = new BackgroundResponses(_counters, running);
        var responses = new OpenAiResponses(list, new Responses(store, time), _background);
        var messages = new AnthropicMessages(list);
        var ollamaModels = new OllamaModels(list);
        var ollama = new OllamaApi(ollamaModels);
        var embeddings = new Embeddings(list, ollamaModels);

        _app.UseRouting();
        _app.Use(gate.InvokeAsync);
        _app.MapGet("/health", health.HealthAsync);
        _app.MapGet("/ready", health.ReadyAsync);
        _app.MapGet("/metrics", health.MetricsAsync);
        _app.MapGet(OpenApi.Path, new OpenApi(() => Routes).HandleAsync);
        new AdminApi(store, time, options.Log).Map(_app);
        var v1 = _app.MapGroup("/v1");
        v1.MapGet("/models", list.ListAsync);
        v1.MapGet("/models/{**id}", list.GetAsync);
        _app.MapGet(MuseProfile.Catalog, list.ListMuseAsync);
        v1.MapGet("/requests", requests.ListAsync);
        v1.MapPost("/requests/{id}/end_thinking", requests.EndThinkingAsync);
        v1.MapPost("/chat/completions", chat.HandleAsync).WithMetadata(new MeteredRoute("/v1/chat/completions", "chatcmpl-", "messages", ErrorShape.OpenAi) { MuseCheck = MuseProfile.CheckChat });
        v1.MapPost("/completions", completions.HandleAsync).WithMetadata(new MeteredRoute("/v1/completions", "cmpl-", "prompt", ErrorShape.OpenAi));
        v1.MapPost("/embeddings", embeddings.OpenAiAsync).WithMetadata(new MeteredRoute("/v1/embeddings", "embd-", "input", ErrorShape.OpenAi));
        v1.MapPost("/responses", responses.HandleAsync).WithMetadata(new MeteredRoute("/v1/responses", ResponseItem.ResponsePrefix, "input", ErrorShape.OpenAi) { MuseCheck = MuseProfile.CheckResponses });
        v1.MapPost("/responses/input_tokens", responses.CountAsync).WithMetadata(new MeteredRoute("/v1/responses/input_tokens", ResponseItem.ResponsePrefix, "input", ErrorShape.OpenAi) { MuseCheck = MuseProfile.CheckResponses });
        v1.MapGet("/responses/{id}", responses.GetAsync);
        v1.MapDelete("/responses/{id}", responses.DeleteAsync);
        v1.MapGet("/responses/{id}/input_items", responses.ListInputAsync);
        v1.MapPost("/responses/{id}/cancel", responses.CancelAsync);
        v1.MapPost("/messages", messages.HandleAsync).WithMetadata(new MeteredRoute("/v1/messages", "msg_", "messages", AnthropicMessages.Errors) { Dialect = "anthropic", MuseCheck = MuseProfile.CheckMessages });
        v1.MapPost("/messages/count_tokens", messages.CountAsync).WithMetadata(new MeteredRoute("/v1/messages/count_tokens", "req_", "messages", AnthropicMessages.Errors) { Dialect = "anthropic", MuseCheck = MuseProfile.CheckMessages });
        var api = _app.MapGroup("/api");
        api.MapGet("/version", OllamaApi.VersionAsync);
        api.MapGet("/tags", ollamaModels.TagsAsync);
        api.MapGet("/ps", ollamaModels.RunningAsync);
        api.MapPost("/show", ollamaModels.ShowAsync);
        api.MapPost("/chat", ollama.ChatAsync).WithMetadata(new MeteredRoute("/api/chat", "chat-", "messages", OllamaApi.Errors) { Dialect = "ollama" });
        api.MapPost("/generate", ollama.GenerateAsync).WithMetadata(new MeteredRoute("/api/generate", "gen-", "prompt", OllamaApi.Errors) { Dialect = "ollama" });
        api.MapPost("/embed", embeddings.OllamaAsync).WithMetadata(new MeteredRoute("/api/embed", "embd-", "input", OllamaApi.Errors) { Dialect = "ollama" });
        api.MapPost("/embeddings", embeddings.OllamaPromptAsync).WithMetadata(new MeteredRoute("/api/embeddings", "embd-", "prompt", OllamaApi.Errors) { Dialect = "ollama" });
    }

    /// <summary>Where it listens, once started.</summary>
    /// <exception cref="FlintException">It never listened.</exception>
    public Uri Address => _address ?? throw new FlintException(FaultSide.Bug, "not_listening", "The server has no address before it is started.");

    /// <summary>All its routes.</summary>
    internal IReadOnlyList<RouteEndpoint> Routes => [.. ((IEndpointRouteBuilder)_app).DataSources.SelectMany(source => source.Endpoints).OfType<RouteEndpoint>()];

    /// <summary>Its traces and metrics.</summary>
    internal Telemetry Telemetry => _telemetry;

    /// <summary>Begins to listen.</summary>
    /// <exception cref="FlintException">Machine: the address cannot be had.</exception>
    public async Task StartAsync()
    {
        try
        {
            await _app.StartAsync();
            _upstreams.Start();
            _retention.Start();
            _address = new Uri(_app.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First());
        }
        catch (IOException error)
        {
            throw new FlintException(FaultSide.Machine, "address_unavailable", $"Cannot listen: {error.Message}", error);
        }
    }

    /// <summary>
    /// Cancels what runs in the background, answers new requests with 503 while running ones end, until none is left or <paramref name="hurry"/> is cancelled; then
    /// takes no more connections and cancels what is left. Every request is in the ledger when this completes.
    /// </summary>
    public async Task StopAsync(CancellationToken hurry)
    {
        if (_stopped)
            return;
        _stopped = true;
        _counters.Stop();
        await _background.StopAsync();
        while (_counters.InFlight > 0 && !hurry.IsCancellationRequested)
            await Task.Delay(Poll, CancellationToken.None);
        try
        {
            await _app.StopAsync(hurry);
        }
        catch (OperationCanceledException)
        {
            // Out of patience: Kestrel has closed the connections that were left.
        }

        // Ending the engines ends what still runs; each request then settles its record.
        foreach (ServedModel model in _models)
            model.Dispose();
        for (TimeSpan waited = TimeSpan.Zero; _counters.InFlight > 0 && waited < LastWords; waited += Poll)
            await Task.Delay(Poll, CancellationToken.None);
        await _upstreams.DisposeAsync();
        await _retention.DisposeAsync();
        await _reservations.DisposeAsync();
        await _ledger.DisposeAsync();
        await _app.DisposeAsync();
        _telemetry.Dispose();
    }

    /// <summary>Stops at once.</summary>
    public async ValueTask DisposeAsync() => await StopAsync(new CancellationToken(canceled: true));

    private static WebApplication Build(ApiOptions options)
    {
        // The empty builder reads no configuration from the environment or the working directory: what is set is set here.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = ApiLimits.MaxBodyBytes;
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(ApiLimits.MinBodyRate, TimeSpan.FromSeconds(ApiLimits.BodyGraceSeconds));
            kestrel.Limits.MaxRequestHeadersTotalSize = ApiLimits.MaxHeaderBytes;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(ApiLimits.HeaderSeconds);
            kestrel.Limits.MaxConcurrentConnections = ApiLimits.MaxConnections;
            kestrel.Listen(options.Address, options.Port, listen =>
            {
                listen.Protocols = HttpProtocols.Http1;
                if (options.Certificates is { } certificates)
                    listen.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => ValueTask.FromResult(new SslServerAuthenticationOptions { ServerCertificateContext = certificates.Current }) });
            });
        });
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(host => host.ShutdownTimeout = Timeout.InfiniteTimeSpan);
        return builder.Build();
    }
}
