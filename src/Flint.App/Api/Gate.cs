using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using Flint.App.Accounts;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// What every request passes, once, above all routes: counting, the key, the meter, and the one place where a failure becomes
/// an answer. A route below it only says what is right.
/// </summary>
internal sealed class Gate(Keys? keys, Metering metering, RunningRequests running)
{
    /// <summary>The status of a request whose answer nobody waited for.</summary>
    public const int ClientClosedRequest = 499;

    private readonly BodyMemory _bodies = new(metering.Counters, metering.Time);

    /// <summary>Takes one request through the routes.</summary>
    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        metering.Counters.Enter();
        try
        {
            await RunAsync(context, next);
        }
        finally
        {
            metering.Counters.Leave();
        }
    }

    private async Task RunAsync(HttpContext context, RequestDelegate next)
    {
        MeteredRoute? route = context.GetEndpoint()?.Metadata.GetMetadata<MeteredRoute>();
        var shape = ErrorShape.Of(context.Request, route);
        string id = (route?.IdPrefix ?? "req-") + RandomNumberGenerator.GetHexString(32, lowercase: true);
        long start = Stopwatch.GetTimestamp();
        bool isProbe = Health.IsProbe(context.Request);
        RequestMeter? meter = null;
        RunningRequest? request = null;
        try
        {
            if (!isProbe)
            {
                context.Response.Headers["x-request-id"] = id;
                if (metering.Counters.IsStopping)
                    throw ApiException.Stopping();
                context.Features.Set(_bodies);
            }

            Key? key = IsGuarded(context.Request) ? Admit(context.Request, route?.Path ?? context.Request.Path) : null;
            if (key is not null)
                context.Features.Set(key); // for what belongs to one key alone
            if (MuseProfile.Is(key, metering) && MuseProfile.LacksRoute(context))
                throw NoRoute(context, StatusCodes.Status404NotFound);
            if (route is not null)
            {
                meter = new RequestMeter(metering, id, route, key, context, start);
                context.Features.Set(meter);
                request = new RunningRequest(id, route.Path, meter.Created, key?.Id);
                context.Features.Set(request);
                running.Enter(request);
                if (shape.IdHeader is string header)
                    context.Response.Headers[header] = id;
            }

            await next(context);
            if (!context.Response.HasStarted && context.Response.StatusCode is StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed && context.Response.ContentType is null)
                throw NoRoute(context, context.Response.StatusCode);
        }
        catch (Exception error) when (context.RequestAborted.IsCancellationRequested || error is OperationCanceledException)
        {
            // A stream may find out that the client has left before the connection says so.
            if (meter is not null)
                await SettleQuietlyAsync(meter, ClientClosedRequest, "cancelled");
        }
        catch (Exception error)
        {
            await FailAsync(context, id, meter, shape, ApiException.From(error, route?.PromptParameter), error);
        }
        finally
        {
            if (meter is null && !isProbe)
                Tell(context, id, Stopwatch.GetElapsedTime(start));
            if (request is not null)
                running.Leave(request);
        }
    }

    // What has a record is told with it.
    private void Tell(HttpContext context, string id, TimeSpan duration)
    {
        string route = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "";
        metering.Log.Request(id, context.Request.Method, route, context.Response.StatusCode, duration, context.Features.Get<Key>()?.Id);
    }

    private async Task FailAsync(HttpContext context, string id, RequestMeter? meter, ErrorShape shape, ApiException failure, Exception error)
    {
        if (failure.Status >= StatusCodes.Status500InternalServerError && failure.Code != "server_stopping")
            metering.Log.Fail("request_failed", $"{context.Request.Method} {context.Request.Path}: {ApiException.Describe(error)}", id);
        if (failure.Code == "server_stopping" && !context.Response.HasStarted)
            context.Response.Headers.Connection = "close"; // the next request finds another server
        ApiException told = MuseProfile.Is(context.Features.Get<Key>(), metering) ? MuseProfile.Spell(failure) : failure;
        if (meter is not null)
            await SettleQuietlyAsync(meter, told.Status, failure.Code ?? failure.Type);
        try
        {
            if (!context.Response.HasStarted)
            {
                await ApiJson.AnswerErrorAsync(context, told, shape, meter?.Id);
                return;
            }

            // Headers are out: the stream says what happened, and ends without the mark of a complete one.
            using var stream = new EventStream(context, shape.Form, begun: true);
            stream.Write(shape.Event, (told, meter?.Id), shape.Write);
            await stream.FlushAsync();
        }
        catch (Exception unsent) when (unsent is OperationCanceledException or IOException)
        {
            // The client has left; the record above tells why it got nothing.
        }
    }

    /// <summary>Settles a request that already failed: it keeps its own error, whatever becomes of its record.</summary>
    public static async Task SettleQuietlyAsync(RequestMeter meter, int status, string finish)
    {
        try
        {
            await meter.SettleAsync(status, finish);
        }
        catch (FlintException unrecorded)
        {
            meter.Log.Fail("not_recorded", unrecorded.Message, meter.Id);
        }
    }

    private static bool IsGuarded(HttpRequest request) =>
        request.Path.StartsWithSegments("/v1") || OllamaApi.IsMeant(request) || AdminApi.IsMeant(request) || request.Path.StartsWithSegments(MuseProfile.Catalog);

    private Key? Admit(HttpRequest request, string path)
    {
        if (keys is null)
        {
            if (AdminApi.IsMeant(request))
                throw ApiException.Request(StatusCodes.Status403Forbidden, "admin_needs_keys", "The admin API is closed on a server without keys.");
            AdmitLocal(request);
            return null;
        }

        string secret = SecretOf(request.Headers);
        (Key? key, KeyState state) = keys.Check(secret);
        if (state != KeyState.Works || key is null)
            throw NoEntry(state, secret);
        if (AdminApi.IsMeant(request) && !key.Scopes.Admin)
            throw ApiException.Request(StatusCodes.Status403Forbidden, "missing_scope", "This API key may not use the admin API: its scope 'admin' is not set. Such a key is made by flint keys create --admin.");
        if (!AdminApi.IsMeant(request) && key.Scopes.Admin)
            throw ApiException.Request(StatusCodes.Status403Forbidden, "missing_scope", "This API key is for the admin API and opens nothing else: its scope 'admin' is set.");
        if (!key.Scopes.AllowsAddress(request.HttpContext.Connection.RemoteIpAddress))
            throw RequestMeter.MissingScope("addresses", $"the address {request.HttpContext.Connection.RemoteIpAddress}", key.Scopes.Addresses);
        if (!key.Scopes.AllowsRoute(path))
            throw RequestMeter.MissingScope("routes", ApiException.Shorten(path), key.Scopes.Routes);
        return key;
    }

    private static string SecretOf(IHeaderDictionary headers)
    {
        string? header = headers.Authorization, key = headers["x-api-key"];
        if (string.IsNullOrEmpty(header))
            return key?.Trim() is { Length: > 0 } alone ? alone : throw ApiException.Request(StatusCodes.Status401Unauthorized, "invalid_api_key", "You didn't provide an API key. Send it in the Authorization header as a bearer token: Authorization: Bearer YOUR_KEY. Or send it in the header x-api-key.");
        const string scheme = "Bearer ";
        if (!header.StartsWith(scheme, StringComparison.OrdinalIgnoreCase))
            throw ApiException.Request(StatusCodes.Status401Unauthorized, "invalid_api_key", "The Authorization header is not of the form: Authorization: Bearer YOUR_KEY.");
        return header[scheme.Length..].Trim();
    }

    // Only who has the secret itself is told what became of its key.
    private static ApiException NoEntry(KeyState state, string secret)
    {
        (string code, string message) = state switch
        {
            KeyState.Expired => ("expired_api_key", "This API key has expired."),
            KeyState.Disabled => ("disabled_api_key", "This API key is disabled."),
            KeyState.Revoked => ("revoked_api_key", "This API key was revoked."),
            _ => ("invalid_api_key", $"Incorrect API key provided: {Mask(secret)}."),
        };
        return ApiException.Request(StatusCodes.Status401Unauthorized, code, message);
    }

    // Without keys only programs of this machine are meant. A web page open in this machine's browser is not one of them: it
    // can send simple requests across origins, or give its own name the address 127.0.0.1, so both are refused.
    private static void AdmitLocal(HttpRequest request)
    {
        string host = request.Host.Host.Trim('[', ']');
        bool local = host.Length == 0 || host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(host, out IPAddress? address) && IPAddress.IsLoopback(address));
        if (!local)
            throw ApiException.Request(StatusCodes.Status403Forbidden, "forbidden_host", "A server without keys answers only requests addressed to localhost.");
        if (HttpMethods.IsPost(request.Method) && request.ContentLength is not 0 && !IsJson(request.ContentType))
            throw ApiException.Request(StatusCodes.Status415UnsupportedMediaType, "unsupported_media_type", "A server without keys takes only requests with Content-Type: application/json.");
    }

    private static bool IsJson(string? contentType) =>
        contentType is not null && contentType.AsSpan().TrimStart().StartsWith("application/json", StringComparison.OrdinalIgnoreCase);

    private static string Mask(string secret) =>
        secret.Length <= 12 ? "***" : $"{secret[..4].Replace('\n', ' ')}***{secret[^4..]}";

    private static ApiException NoRoute(HttpContext context, int status) => status == StatusCodes.Status404NotFound
        ? ApiException.Request(StatusCodes.Status404NotFound, "unknown_url", $"Unknown request URL: {context.Request.Method} {ApiException.Shorten(context.Request.Path)}.")
        : ApiException.Request(StatusCodes.Status405MethodNotAllowed, "method_not_supported", $"Not allowed to {context.Request.Method} on {ApiException.Shorten(context.Request.Path)}.");
}
