namespace Flint.App.Accounts;

/// <summary>Which records of the ledger are meant; null and 0 for all.</summary>
public sealed record UsageFilter
{
    /// <summary>Those that began then or later, Unix milliseconds.</summary>
    public long Since { get; init; }

    /// <summary>Those of the key of this name, or with a secret of this prefix.</summary>
    public string? Key { get; init; }

    /// <summary>Those of the project of this name, or of this <c>ORGANISATION/PROJECT</c>.</summary>
    public string? Project { get; init; }

    /// <summary>Those of the organisation of this name.</summary>
    public string? Organization { get; init; }
}

/// <summary>A record of the ledger, with the names of those it belongs to.</summary>
public sealed record UsageEntry
{
    /// <summary>The record.</summary>
    public UsageRecord Record { get; init; } = null!;

    /// <summary>The key's name; null where there was none.</summary>
    public string? Key { get; init; }

    /// <summary>The project's name; null where there was no key.</summary>
    public string? Project { get; init; }

    /// <summary>The organisation's name; null where there was no key.</summary>
    public string? Organization { get; init; }

    /// <summary>The hash that covers the record and all before it.</summary>
    public byte[] Hash { get; init; } = [];
}

/// <summary>The sums of one key, project or organisation.</summary>
public sealed class UsageTotal
{
    /// <summary>The key's name; null for requests without a key, and in sums of a project or an organisation.</summary>
    public string? Key { get; init; }

    /// <summary>The project's name; null for requests without a key, and in sums of an organisation.</summary>
    public string? Project { get; init; }

    /// <summary>The organisation's name; null for requests without a key.</summary>
    public string? Organization { get; init; }

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

    /// <summary>Of the tokens produced, those of agents that were cut off.</summary>
    public long DiscardedTokens { get; init; }

    /// <summary>What it cost, in millionths.</summary>
    public long Cost { get; init; }

    /// <summary>Time of the processor, in milliseconds.</summary>
    public double CpuMs { get; init; }

    /// <summary>Sum of total times, in milliseconds.</summary>
    public double TotalMs { get; init; }
}
