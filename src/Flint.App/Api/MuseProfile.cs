using System.Text.Json;
using Flint.App.Accounts;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Flint.App.Api;

/// <summary>
/// The profile of keys, or of a server, under which what Meta's Model API refuses is refused, so that what works here works there: other
/// routes, what it does not take on its own, and failures in its statuses and codes.
/// </summary>
internal static class MuseProfile
{
    /// <summary>The least that <c>max_output_tokens</c> may be.</summary>
    public const int MinOutputTokens = 16;

    /// <summary>The least that <c>top_p</c> may be.</summary>
    public const double MinTopP = 0.01;

    /// <summary>Where its command-line client looks for models before it asks any.</summary>
    public const string Catalog = "/muse-code/models";

    // Those of its routes that are here.
    private static readonly HashSet<string> Routes = new(StringComparer.Ordinal)
    {
        "/v1/chat/completions", "/v1/responses", "/v1/responses/input_tokens", "/v1/responses/{id}", "/v1/responses/{id}/input_items", "/v1/responses/{id}/cancel",
        "/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/models/{**id}",
    };

    /// <summary>Efforts that it takes.</summary>
    public static readonly string[] Efforts = ["minimal", "low", "medium", "high", "xhigh", "max"];

    /// <summary>Whether it holds for a key.</summary>
    /// <param name="key">The key; null for none.</param>
    /// <param name="metering">Has the server's own profile.</param>
    public static bool Is(Key? key, Metering metering) => key?.Scopes.Profile is string profile ? profile == KeyScopes.MuseProfile : metering.IsMuse;

    /// <summary>Whether a request is to a route of an API for models that is not there.</summary>
    public static bool LacksRoute(HttpContext context) =>
        (context.Request.Path.StartsWithSegments("/v1") || OllamaApi.IsMeant(context.Request))
        && context.GetEndpoint() is RouteEndpoint { RoutePattern.RawText: string pattern } && !Routes.Contains(pattern);

    /// <summary>A failure in its words.</summary>
    public static ApiException Spell(ApiException failure) => (failure.Status, failure.Code) switch
    {
        (StatusCodes.Status401Unauthorized, _) => failure.As(failure.Status, "authentication_error", "invalid_api_key"),
        (_, "insufficient_quota") => failure.As(StatusCodes.Status402PaymentRequired, failure.Type, failure.Code),
        (_, "queue_full" or "upstream_busy") => failure.As(StatusCodes.Status503ServiceUnavailable, "server_error", "service_overloaded"),
        (_, "server_stopping") => failure.As(failure.Status, "server_error", "server_shutting_down"),
        (StatusCodes.Status502BadGateway or StatusCodes.Status503ServiceUnavailable, _) => failure.As(StatusCodes.Status503ServiceUnavailable, "server_error", "backend_unavailable"),
        _ => failure,
    };

    /// <summary>Checks the body of <c>POST /v1/chat/completions</c>.</summary>
    /// <exception cref="ApiException">It asks for what is refused.</exception>
    public static void CheckChat(JsonFields body)
    {
        CheckDrawing(body);
        Refuse(body, "logprobs", "verbosity", "web_search_options");
        if (body.Long("n") > 1)
            throw ApiException.Unsupported("n", "Unsupported value: 'n' above 1. There is one choice.");
        body.Choice("reasoning_effort", Efforts);
        CheckToolChoice(body);
        MuseSchemas.CheckFormat(body.Object("response_format"));
        MuseSchemas.CheckTools(body, "parameters");
    }

    /// <summary>Checks the body of <c>POST /v1/responses</c>.</summary>
    /// <exception cref="ApiException">It asks for what is refused.</exception>
    public static void CheckResponses(JsonFields body)
    {
        CheckDrawing(body);
        body.Int("max_output_tokens", MinOutputTokens, int.MaxValue);
        body.Object("reasoning")?.Choice("effort", Efforts);
        body.Choice("truncation", "disabled");
        CheckToolChoice(body);
        MuseSchemas.CheckFormat(body.Object("text")?.Object("format"));
        MuseSchemas.CheckTools(body, "parameters");
    }

    /// <summary>Checks the body of <c>POST /v1/messages</c>.</summary>
    /// <exception cref="ApiException">It asks for what is refused.</exception>
    public static void CheckMessages(JsonFields body)
    {
        body.Number("top_p", MinTopP, 1);
        Refuse(body, "logit_bias", FormatFields.GrammarName);
        body.Object("tool_choice")?.Choice("type", "auto");
        body.Object("output_config")?.Choice("effort", Efforts);
        MuseSchemas.CheckFormat(body.Object("output_config")?.Object("format"));
        MuseSchemas.CheckTools(body, "input_schema");
    }

    private static void CheckDrawing(JsonFields body)
    {
        body.Number("top_p", MinTopP, 1);
        Refuse(body, "stop", "top_logprobs", "logit_bias", "enable_thinking", FormatFields.GrammarName);
    }

    private static void CheckToolChoice(JsonFields body)
    {
        if (body.TryGet("tool_choice", out JsonElement choice) && !(choice.ValueKind == JsonValueKind.String && choice.ValueEquals("auto")))
            throw ApiException.Unsupported("tool_choice", "Unsupported value: 'tool_choice' may only be 'auto'.");
    }

    // A field that says no to something asks for nothing.
    private static void Refuse(JsonFields body, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (body.TryGet(name, out JsonElement value) && value.ValueKind != JsonValueKind.False)
                throw ApiException.Unsupported(name, $"Unsupported parameter: '{name}'.");
        }
    }
}
