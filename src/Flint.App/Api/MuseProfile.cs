using System.Text.Json;

namespace Flint.App.Api;

/// <summary>
/// Refuses what Meta's Model API refuses and this server by itself would take, so that what works here works there. The routes are the
/// same three, and so are the shapes of errors: status 400, <c>invalid_request_error</c>.
/// </summary>
internal static class MuseProfile
{
    /// <summary>The least that <c>max_output_tokens</c> may be.</summary>
    public const int MinOutputTokens = 16;

    /// <summary>The least that <c>top_p</c> may be.</summary>
    public const double MinTopP = 0.01;

    private static readonly string[] Efforts = ["minimal", "low", "medium", "high", "xhigh", "max"];

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
