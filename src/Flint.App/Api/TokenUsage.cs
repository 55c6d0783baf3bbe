using System.Text.Json;

namespace Flint.App.Api;

/// <summary>Tokens of one request, over all its prompts and choices.</summary>
internal struct TokenUsage
{
    /// <summary>Tokens of the prompts.</summary>
    public long PromptTokens;

    /// <summary>Of those, found in the prefix cache.</summary>
    public long CachedTokens;

    /// <summary>Tokens produced.</summary>
    public long OutputTokens;

    /// <summary>Of those, reasoning.</summary>
    public long ReasoningTokens;

    /// <summary>Writes the API's <c>usage</c> object as a property.</summary>
    public readonly void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartObject("usage"u8);
        writer.WriteNumber("prompt_tokens"u8, PromptTokens);
        writer.WriteNumber("completion_tokens"u8, OutputTokens);
        writer.WriteNumber("total_tokens"u8, PromptTokens + OutputTokens);
        writer.WriteStartObject("prompt_tokens_details"u8);
        writer.WriteNumber("cached_tokens"u8, CachedTokens);
        writer.WriteEndObject();
        writer.WriteStartObject("completion_tokens_details"u8);
        writer.WriteNumber("reasoning_tokens"u8, ReasoningTokens);
        writer.WriteEndObject();
        writer.WriteEndObject();
    }
}
