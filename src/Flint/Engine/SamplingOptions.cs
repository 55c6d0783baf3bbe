namespace Flint.Engine;

/// <summary>How the next token is drawn from the model's logits.</summary>
/// <remarks>
/// The order is fixed: repetition, frequency and presence penalties; logit bias; temperature; top-k; top-p; min-p; typical;
/// then one draw. Every default leaves the model's distribution as it is.
/// </remarks>
public sealed class SamplingOptions
{
    /// <summary>The most entries <see cref="LogitBias"/> may have.</summary>
    public const int MaxLogitBiases = 4096;

    /// <summary>Divides the logits. 0 takes the likeliest token, the lowest id among equals.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Keeps the <c>k</c> likeliest tokens; 0 keeps all.</summary>
    public int TopK { get; init; }

    /// <summary>Keeps the fewest likeliest tokens whose probabilities reach this sum; 1 keeps all.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Keeps tokens at least this times as likely as the likeliest; 0 keeps all.</summary>
    public float MinP { get; init; }

    /// <summary>Keeps the fewest tokens nearest in surprise to the entropy whose probabilities reach this sum; 1 keeps all.</summary>
    public float TypicalP { get; init; } = 1;

    /// <summary>Taken from a token's logit for each time it was generated.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Taken from a token's logit once if it was generated at all.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Divides a positive logit, multiplies a negative one, of a token in the prompt or generated; 1 changes nothing.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>How many of the last tokens the three penalties look at; 0 looks at all.</summary>
    public int PenaltyWindow { get; init; }

    /// <summary>Added to the logits of these token ids; negative infinity forbids a token.</summary>
    public Dictionary<int, float>? LogitBias { get; init; }

    /// <summary>
    /// Fixes the draws: the same request with the same seed gets the same tokens whatever else runs. Null takes one from the
    /// engine's own seed.
    /// </summary>
    public ulong? Seed { get; init; }

    /// <summary>Whether any penalty is set.</summary>
    internal bool HasPenalties => FrequencyPenalty != 0 || PresencePenalty != 0 || RepetitionPenalty != 1;

    /// <summary>A copy that the caller can no longer change.</summary>
    internal SamplingOptions Snapshot() => With(Temperature, Seed);

    /// <summary>A copy with another seed.</summary>
    public SamplingOptions WithSeed(ulong? seed) => With(Temperature, seed);

    /// <summary>A copy with another temperature and seed.</summary>
    /// <summary>The same with another temperature and seed.</summary>
    public SamplingOptions With(float temperature, ulong? seed) => new()
    {
        Temperature = temperature,
        TopK = TopK,
        TopP = TopP,
        MinP = MinP,
        TypicalP = TypicalP,
        FrequencyPenalty = FrequencyPenalty,
        PresencePenalty = PresencePenalty,
        RepetitionPenalty = RepetitionPenalty,
        PenaltyWindow = PenaltyWindow,
        LogitBias = LogitBias is { Count: > 0 } ? new Dictionary<int, float>(LogitBias) : null,
        Seed = seed,
    };

    /// <summary>Throws a caller's fault where a value is outside its range.</summary>
    internal void Validate(int vocabularySize)
    {
        Check(float.IsFinite(Temperature) && Temperature >= 0, "temperature", "a finite number of at least 0", Temperature);
        Check(TopK >= 0, "top_k", "at least 0", TopK);
        Check(TopP is >= 0 and <= 1, "top_p", "0 to 1", TopP);
        Check(MinP is >= 0 and <= 1, "min_p", "0 to 1", MinP);
        Check(TypicalP is >= 0 and <= 1, "typical_p", "0 to 1", TypicalP);
        Check(float.IsFinite(FrequencyPenalty), "frequency_penalty", "a finite number", FrequencyPenalty);
        Check(float.IsFinite(PresencePenalty), "presence_penalty", "a finite number", PresencePenalty);
        Check(float.IsFinite(RepetitionPenalty) && RepetitionPenalty > 0, "repetition_penalty", "a finite number above 0", RepetitionPenalty);
        Check(PenaltyWindow >= 0, "penalty_window", "at least 0", PenaltyWindow);
        if (LogitBias is null)
            return;
        Check(LogitBias.Count <= MaxLogitBiases, "logit_bias", $"at most {MaxLogitBiases} entries", LogitBias.Count);
        foreach ((int token, float bias) in LogitBias)
        {
            Check(token >= 0 && token < vocabularySize, "logit_bias", $"a token id from 0 to {vocabularySize - 1}", token);
            Check(float.IsFinite(bias) || float.IsNegativeInfinity(bias), "logit_bias", "a finite bias or negative infinity", bias);
        }
    }

    private static void Check<T>(bool valid, string name, string expected, T found)
    {
        if (!valid)
            throw FlintException.Caller("invalid_value", $"{name} is {expected}; found {found}.");
    }
}
