namespace Flint.Engine;

/// <summary>Why a sequence ended.</summary>
public enum FinishReason
{
    /// <summary>The model ended it, or a stop string or stop token was met.</summary>
    Stop,

    /// <summary>The most tokens asked for, or the context length, was reached.</summary>
    Length,

    /// <summary>The caller cancelled it, or the engine was disposed.</summary>
    Cancelled,

    /// <summary>Its confidence fell below <see cref="GenerationRequest.Floor"/>.</summary>
    LowConfidence,

    /// <summary>A fault ended it; <see cref="Sequence.Fault"/> says which.</summary>
    Error,
}

/// <summary>What an event of a sequence tells.</summary>
public enum TokenEventKind
{
    /// <summary>A token was generated; text may come with it.</summary>
    Token,

    /// <summary>Text of earlier tokens, held back until now, is released ahead of a special token or the end.</summary>
    Text,

    /// <summary>The sequence has ended; no event follows.</summary>
    Finished,
}

/// <summary>A token and its log-probability under the model, before temperature, penalties and bias.</summary>
public readonly record struct TopLogprob(int Token, float Logprob);

/// <summary>One step in the life of a sequence, as its consumer sees it.</summary>
/// <remarks>
/// The texts of a sequence's events, joined, are its text: never half a character, never a part of a stop string, and never a
/// token after one. Text may lag behind the tokens it belongs to. The token that ends generation comes as an event without text.
/// </remarks>
public readonly struct TokenEvent
{
    /// <summary>What happened.</summary>
    public TokenEventKind Kind { get; init; }

    /// <summary>The token's id; -1 where <see cref="Kind"/> is not <see cref="TokenEventKind.Token"/>.</summary>
    public int Token { get; init; }

    /// <summary>Text released with this event, perhaps empty.</summary>
    public string Text { get; init; }

    /// <summary>The token's log-probability under the model; NaN where none was asked for.</summary>
    public float Logprob { get; init; }

    /// <summary>The likeliest tokens in its place, likeliest first; null where none were asked for.</summary>
    public TopLogprob[]? Top { get; init; }

    /// <summary>Why the sequence ended, with <see cref="TokenEventKind.Finished"/>.</summary>
    public FinishReason? FinishReason { get; init; }
}
