namespace Flint.App.Accounts;

/// <summary>The sums of one key.</summary>
public sealed class UsageTotal
{
    /// <summary>The key's name; null for requests without a key.</summary>
    public string? Key { get; init; }

    /// <summary>The key's visible prefix.</summary>
    public string? Prefix { get; init; }

    /// <summary>Requests, failed ones included.</summary>
    public long Requests { get; init; }

    /// <summary>Of those, requests that did not end with status 200.</summary>
    public long Failed { get; init; }

    /// <summary>Tokens of prompts.</summary>
    public long PromptTokens { get; init; }

    /// <summary>Of those, cached.</summary>
    public long CachedTokens { get; init; }

    /// <summary>Tokens produced.</summary>
    public long OutputTokens { get; init; }

    /// <summary>Of those, reasoning.</summary>
    public long ReasoningTokens { get; init; }

    /// <summary>Sum of total times, in milliseconds.</summary>
    public double TotalMs { get; init; }
}
