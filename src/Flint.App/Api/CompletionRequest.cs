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
        if (bestOf != generation.Choices)
            throw ApiException.Unsupported("best_of", "Unsupported parameter: 'best_of' other than 'n'. Ask for 'n' choices with 'logprobs' and choose among them.");
        List<CompletionPrompt> prompts = CompletionPrompt.ReadAll(body, "prompt", ApiLimits.MaxPrompts);
        if (prompts.Count * generation.Choices > ApiLimits.MaxChoices)
            throw ApiException.Invalid("n", "integer_above_max_value", $"Invalid 'n': {prompts.Count} prompts with {generation.Choices} choices each are more than {ApiLimits.MaxChoices} choices.");
        return new CompletionRequest
        {
            Generation = generation,
            Prompts = prompts,
            MaxTokens = body.Int("max_tokens", 0, int.MaxValue) ?? 16,
            Echo = body.Flag("echo") ?? false,
            Logprobs = body.Int("logprobs", 0, ApiLimits.MaxTopLogprobs) ?? -1,
        };
    }
}
