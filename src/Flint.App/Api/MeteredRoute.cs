namespace Flint.App.Api;

/// <summary>Marks a route whose requests are metered.</summary>
/// <param name="Path">Its path, as records and metrics name it.</param>
/// <param name="IdPrefix">What the ids of its responses begin with.</param>
/// <param name="PromptParameter">The field that holds the prompt, named where the prompt is too long.</param>
/// <param name="Errors">How its API says that a request failed.</param>
internal sealed record MeteredRoute(string Path, string IdPrefix, string PromptParameter, ErrorShape Errors)
{
    /// <summary>The API's family, as records name it.</summary>
    public string Dialect { get; init; } = "openai";

    /// <summary>What its requests ask for, as OpenTelemetry's conventions for generative AI name it, or we where they do not.</summary>
    public string Operation { get; } = Path switch
    {
        "/v1/completions" or "/api/generate" => "text_completion",
        "/v1/embeddings" or "/api/embed" or "/api/embeddings" => "embeddings",
        _ => Path.EndsWith("_tokens", StringComparison.Ordinal) ? "count_tokens" : "chat",
    };

    /// <summary>Refuses what Meta's Model API refuses on this route; null where it has no such route.</summary>
    public Action<JsonFields>? MuseCheck { get; init; }
}
