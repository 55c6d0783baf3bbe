namespace Flint.App.Policy;

/// <summary>The range that a number of a request is kept to; null where a side has no bound.</summary>
/// <param name="Least">The least.</param>
/// <param name="Most">The most.</param>
internal readonly record struct Bound(float? Least, float? Most)
{
    /// <summary>The nearest number in the range.</summary>
    public float Of(float value) => Least > value ? Least.Value : Most < value ? Most.Value : value;
}

/// <summary>What the numbers of a request are kept to.</summary>
internal sealed record Bounds
{
    /// <summary>Numbers that can be bounded, as requests name them, with the range that makes sense.</summary>
    public static readonly (string Name, float Least, float Most)[] Known =
    [
        ("temperature", 0, 2), ("top_p", 0, 1), ("top_k", 0, 1 << 20), ("min_p", 0, 1), ("typical_p", 0, 1),
        ("frequency_penalty", -2, 2), ("presence_penalty", -2, 2), ("repetition_penalty", 0.01f, 10),
    ];

    /// <summary>Nothing is bounded.</summary>
    public static readonly Bounds None = new();

    /// <summary>The most tokens of an answer; null for no bound.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>Bounds of how tokens are drawn, by name.</summary>
    public IReadOnlyDictionary<string, Bound> Sampling { get; init; } = new Dictionary<string, Bound>();

    /// <summary>A number within its bound.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="value">The number.</param>
    /// <param name="moved">Told where that is another.</param>
    public float Of(string name, float value, Action<string> moved)
    {
        if (!Sampling.TryGetValue(name, out Bound bound))
            return value;
        float kept = bound.Of(value);
        if (kept != value)
            moved(name);
        return kept;
    }
}
