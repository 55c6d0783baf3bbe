namespace Flint.App.Accounts;

/// <summary>The most that a request may use, known before it is computed.</summary>
public sealed record Demand
{
    /// <summary>The id its response will carry.</summary>
    public required string RequestId { get; init; }

    /// <summary>The key that pays; null where the server runs without keys.</summary>
    public required Key? Key { get; init; }

    /// <summary>The model asked.</summary>
    public required string Model { get; init; }

    /// <summary>Tokens of its prompts, at most.</summary>
    public required long PromptTokens { get; init; }

    /// <summary>Tokens it may produce, at most, for every choice.</summary>
    public required long OutputTokens { get; init; }

    /// <summary>Prices that it may be settled at instead of its model's, if it may be.</summary>
    public IReadOnlyList<Price> Prices { get; init; } = [];

    /// <summary>How many answers it asks for.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>
    /// Whether fewer tokens will do, since the caller named no number: it is then granted at most half of what a budget has left
    /// behind its prompt, so that a small budget serves several requests, and long answers end earlier as it runs out.
    /// </summary>
    public bool IsElastic { get; init; }
}

/// <summary>How far a limit by the minute is used, as response headers tell it.</summary>
/// <param name="Limit">The limit.</param>
/// <param name="Remaining">What is left of it.</param>
/// <param name="Reset">Time until it is whole again.</param>
public readonly record struct RateState(long Limit, long Remaining, TimeSpan Reset);

/// <summary>What became of a demand.</summary>
public sealed record Grant
{
    /// <summary>What is reserved; null where it was refused.</summary>
    public required Reservation? Reservation { get; init; }

    /// <summary>Why it was refused; null where it was not.</summary>
    public required FlintException? Refusal { get; init; }

    /// <summary>What was decided, for the record; empty where the demand passed whole.</summary>
    public required string Decision { get; init; }

    /// <summary>The key's share of an engine beside others that wait for it.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>The tightest limit of requests by the minute; null where there is none.</summary>
    public RateState? Requests { get; init; }

    /// <summary>The tightest limit of tokens by the minute; null where there is none.</summary>
    public RateState? Tokens { get; init; }
}

/// <summary>What is set aside for a request until it is settled.</summary>
public sealed record Reservation
{
    /// <summary>The request it is for.</summary>
    public required string RequestId { get; init; }

    /// <summary>The key that pays; null where the server runs without keys.</summary>
    public required Key? Key { get; init; }

    /// <summary>Tokens that every choice may produce.</summary>
    public required long OutputTokens { get; init; }

    /// <summary>Tokens set aside in all.</summary>
    public required long Tokens { get; init; }

    /// <summary>Money set aside.</summary>
    public required long Cost { get; init; }

    /// <summary>The model's price when it was made, and will be settled at; null for none.</summary>
    public required Price? Price { get; init; }

    /// <summary>Starts of the minute, the day and the month it counts in, Unix milliseconds.</summary>
    public required Windows Windows { get; init; }
}
