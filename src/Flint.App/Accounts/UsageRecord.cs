namespace Flint.App.Accounts;

/// <summary>What one request used: one row of the ledger.</summary>
public sealed record UsageRecord
{
    /// <summary>The form in which the hash chain covers it.</summary>
    public int Form { get; init; } = AuditChain.Form;

    /// <summary>The id its response carried; unique.</summary>
    public required string RequestId { get; init; }

    /// <summary>The key that paid; null where the server runs without keys.</summary>
    public long? KeyId { get; init; }

    /// <summary>The project of the key; null where the server runs without keys, and in records of before there were projects.</summary>
    public long? ProjectId { get; init; }

    /// <summary>The organisation of the project; null where that is.</summary>
    public long? OrganizationId { get; init; }

    /// <summary>The route, such as <c>/v1/chat/completions</c>.</summary>
    public required string Endpoint { get; init; }

    /// <summary>The model that answered; empty where the request was refused before one was chosen.</summary>
    public string Model { get; set; } = "";

    /// <summary>Names the weights of that model, or the upstream asked for it (<c>upstream:NAME</c>); empty where none were asked.</summary>
    public string Fingerprint { get; set; } = "";

    /// <summary>The API's family, such as <c>openai</c>.</summary>
    public string Dialect { get; init; } = "";

    /// <summary>The mode of reasoning; empty where the model went its own way.</summary>
    public string Mode { get; set; } = "";

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

    /// <summary>Of the tokens produced, those of agents that were cut off.</summary>
    public long DiscardedTokens { get; set; }

    /// <summary>Its share of the processor: of every step of the engine by its rows, times the threads that compute, in milliseconds.</summary>
    public double CpuMs { get; set; }

    /// <summary>What it cost, in millionths.</summary>
    public long Cost { get; set; }

    /// <summary>What scopes, limits and budgets decided about it, such as <c>refused key daily_tokens</c>; empty where they let it pass whole.</summary>
    public string Policy { get; set; } = "";

    /// <summary>In the engine's queue, in milliseconds.</summary>
    public double QueueMs { get; set; }

    /// <summary>From arrival until the first token, in milliseconds; 0 where there was none.</summary>
    public double FirstTokenMs { get; set; }

    /// <summary>From arrival until this record was settled, in milliseconds.</summary>
    public double TotalMs { get; set; }
}
