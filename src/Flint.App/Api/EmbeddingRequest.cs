using System.Text.Json;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>What every API asks of embeddings.</summary>
internal sealed record EmbeddingRequest
{
    private static readonly string[] Poolings = ["mean", "last"];

    /// <summary>The model as the caller names it.</summary>
    public required string Model { get; init; }

    /// <summary>The field that has the inputs.</summary>
    public required string Field { get; init; }

    /// <summary>What to embed; none where only the model is to be there.</summary>
    public required IReadOnlyList<CompletionPrompt> Inputs { get; init; }

    /// <summary>How many numbers of each embedding are wanted; null for all.</summary>
    public int? Dimensions { get; init; }

    /// <summary>How hidden states become one; null for the model's own way.</summary>
    public PromptPooling? Pooling { get; init; }

    /// <summary>Whether an input that is too long loses its end, instead of being refused.</summary>
    public bool Truncates { get; init; }

    /// <summary>Whether embeddings are told as the base64 of their binary32 numbers, little-endian, instead of as numbers.</summary>
    public bool InBase64 { get; init; }

    /// <summary>Reads the body of <c>POST /v1/embeddings</c>.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value.</exception>
    public static EmbeddingRequest ReadOpenAi(JsonElement root)
    {
        var body = new JsonFields(root, "");
        return new EmbeddingRequest
        {
            Model = body.RequiredText("model"),
            Field = "input",
            Inputs = CompletionPrompt.ReadAll(body, "input", ApiLimits.MaxEmbeddingInputs),
            Dimensions = body.Int("dimensions", 1, int.MaxValue),
            Pooling = ReadPooling(body),
            InBase64 = body.Choice("encoding_format", "float", "base64") == "base64",
        };
    }

    /// <summary>Reads the body of <c>POST /api/embed</c>.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value.</exception>
    public static EmbeddingRequest ReadOllama(JsonElement root)
    {
        var body = new JsonFields(root, "");
        bool isEmpty = !body.TryGet("input", out JsonElement input)
            || (input.ValueKind == JsonValueKind.String && input.ValueEquals(""))
            || (input.ValueKind == JsonValueKind.Array && input.GetArrayLength() == 0);
        return new EmbeddingRequest
        {
            Model = body.RequiredText("model"),
            Field = "input",
            Inputs = isEmpty ? [] : CompletionPrompt.ReadAll(body, "input", ApiLimits.MaxEmbeddingInputs),
            Dimensions = body.Int("dimensions", 0, int.MaxValue) is int dimensions and > 0 ? dimensions : null,
            Pooling = ReadPooling(body),
            Truncates = body.Flag("truncate") ?? true,
        };
    }

    /// <summary>Reads the body of <c>POST /api/embeddings</c>.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value.</exception>
    public static EmbeddingRequest ReadOllamaPrompt(JsonElement root)
    {
        var body = new JsonFields(root, "");
        string prompt = body.Text("prompt") ?? "";
        return new EmbeddingRequest
        {
            Model = body.RequiredText("model"),
            Field = "prompt",
            Inputs = prompt.Length == 0 ? [] : [new CompletionPrompt(prompt, null)],
            Pooling = ReadPooling(body),
            Truncates = true,
        };
    }

    private static PromptPooling? ReadPooling(JsonFields body) => body.Choice("pooling", Poolings) switch
    {
        null => null,
        "last" => PromptPooling.Last,
        _ => PromptPooling.Mean,
    };
}
