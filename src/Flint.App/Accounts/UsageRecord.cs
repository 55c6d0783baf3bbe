namespace Flint.App.Accounts;

/// <summary>What one request used: one row of the ledger.</summary>
public sealed record UsageRecord
{
    /// <summary>The id its response carried; unique.</summary>
    public required string RequestId { get; init; }

    /// <summary>The key that paid; null where the server runs without keys.</summary>
    public long? KeyId { get; init; }

    /// <summary>The route, such as <c>/v1/chat/completions</c>.</summary>
    public required string Endpoint { get; init; }

    /// <summary>The model that answered; empty where the request was refused before one was chosen.</summary>
    public string Model { get; set; } = "";

    /// <summary>When the request arrived, Unix milliseconds.</summary>
    public long Started { get; init; }

    /// <summary>The HTTP status of the response; 499 where the client left before its end.</summary>
    public int Status { get; set; }

    /// <summary>The finish reasons of its choices, each named once, joined by commas; or the code of the error.</summary>
    public string Finish { get; set; } = "";

    /// <summary>Tokens of all prompts.</summary>
    public long PromptTokens { get; set; }

    /// <summary>Of those, tokens whose keys and values were found in the prefix cache.</summary>
    public long CachedTokens { get; set; }

    /// <summary>Tokens produced, over all choices.</summary>
    public long OutputTokens { get; set; }

    /// <summary>Of those, tokens of reasoning.</summary>
    public long ReasoningTokens { get; set; }

    /// <summary>In the engine's queue, in milliseconds.</summary>
    public double QueueMs { get; set; }

    /// <summary>From arrival until the first token, in milliseconds; 0 where there was none.</summary>
    public double FirstTokenMs { get; set; }

    /// <summary>From arrival until this record was settled, in milliseconds.</summary>
    public double TotalMs { get; set; }
}
