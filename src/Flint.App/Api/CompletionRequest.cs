using System.Text.Json;

namespace Flint.App.Api;

/// <summary>A prompt as the caller gave it: text, or token ids.</summary>
internal readonly record struct CompletionPrompt(string? Text, int[]? Tokens);

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
        List<CompletionPrompt> prompts = ReadPrompts(body);
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

    private static List<CompletionPrompt> ReadPrompts(JsonFields body)
    {
        const string expected = "a string, an array of strings, an array of tokens, or an array of token arrays";
        if (!body.TryGet("prompt", out JsonElement value))
            throw ApiException.Missing("prompt");
        if (value.ValueKind == JsonValueKind.String)
            return [new(JsonFields.Text(value, "prompt"), null)];
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonFields.WrongType("prompt", expected, value);
        JsonFields.Array(value, "prompt", int.MaxValue, minLength: 1);
        if (value[0].ValueKind == JsonValueKind.Number)
            return [new(null, ReadTokens(value, "prompt"))];

        JsonFields.Array(value, "prompt", ApiLimits.MaxPrompts);
        var prompts = new List<CompletionPrompt>();
        bool texts = value[0].ValueKind == JsonValueKind.String;
        foreach (JsonElement one in value.EnumerateArray())
        {
            string path = $"prompt[{prompts.Count}]";
            if (!texts && one.ValueKind != JsonValueKind.Array)
                throw JsonFields.WrongType("prompt", expected, value);
            prompts.Add(texts ? new(JsonFields.Text(one, path), null) : new(null, ReadTokens(one, path)));
        }

        return prompts;
    }

    private static int[] ReadTokens(JsonElement array, string path)
    {
        JsonFields.Array(array, path, int.MaxValue, minLength: 1);
        int[] tokens = new int[array.GetArrayLength()];
        int index = 0;
        foreach (JsonElement one in array.EnumerateArray())
        {
            if (one.ValueKind != JsonValueKind.Number || !one.TryGetInt32(out int token) || token < 0)
                throw JsonFields.WrongType($"{path}[{index}]", "a token id", one);
            tokens[index++] = token;
        }

        return tokens;
    }
}
