using System.Text.Json;

namespace Flint.App.Api;

/// <summary>The body of <c>POST /v1/completions</c>.</summary>
internal sealed record CompletionRequest
{
    /// <summary>What chat and plain completions share.</summary>
    public required GenerationFields Generation { get; init; }

    /// <summary>The prompts, at least one.</summary>
    public required IReadOnlyList<CompletionPrompt> Prompts { get; init; }

    /// <summary>The most tokens to generate; 0 only scores the prompt.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>How many answers of each prompt the choices are the likeliest of; the number of choices where all are told.</summary>
    public required int BestOf { get; init; }

    /// <summary>Whether only the likeliest answers are told.</summary>
    public bool Chooses => BestOf > Generation.Choices;

    /// <summary>Whether the prompt is given back before its completion.</summary>
    public required bool Echo { get; init; }

    /// <summary>Alternatives per token; -1 for no log-probabilities.</summary>
    public required int Logprobs { get; init; }

    /// <summary>Reads and checks a body.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static CompletionRequest Read(JsonElement root)
    {
        var body = new JsonFields(root, "");
        GenerationFields generation = GenerationFields.Read(body);
        if (body.Text("suffix") is { Length: > 0 })
            throw ApiException.Unsupported("suffix", "Unsupported parameter: 'suffix'. Insertion in the middle of a text is not available.");
        int bestOf = body.Int("best_of", 1, ApiLimits.MaxChoices) ?? generation.Choices;
        if (bestOf < generation.Choices)
            throw ApiException.Invalid("best_of", "invalid_value", $"Invalid 'best_of': expected at least 'n', {generation.Choices}, but got {bestOf} instead.");
        if (bestOf > generation.Choices && generation.Stream)
            throw ApiException.Invalid("best_of", "invalid_value", "Invalid 'best_of': above 'n', answers are chosen among when they have ended, and cannot be streamed.");
        List<CompletionPrompt> prompts = CompletionPrompt.ReadAll(body, "prompt", ApiLimits.MaxPrompts);
        if (prompts.Count * bestOf > ApiLimits.MaxChoices)
            throw ApiException.Invalid(bestOf > generation.Choices ? "best_of" : "n", "integer_above_max_value", $"Invalid '{(bestOf > generation.Choices ? "best_of" : "n")}': {prompts.Count} prompts with {bestOf} choices each are more than {ApiLimits.MaxChoices} choices.");
        return new CompletionRequest
        {
            Generation = generation,
            Prompts = prompts,
            BestOf = bestOf,
            MaxTokens = body.Int("max_tokens", 0, int.MaxValue) ?? 16,
            Echo = body.Flag("echo") ?? false,
            Logprobs = body.Int("logprobs", 0, ApiLimits.MaxTopLogprobs) ?? -1,
        };
    }
}
