using Flint.Kernels;

namespace Flint.App.Serving;

/// <summary>The sizes a model is served with.</summary>
public sealed record ServingOptions
{
    /// <summary>Sequences computed at once.</summary>
    public int Parallel { get; init; } = 32;

    /// <summary>Sequences that may wait for their turn; one more is refused.</summary>
    public int Waiting { get; init; } = 256;

    /// <summary>Longest prompt and answer together, in tokens; 0 for the model's own.</summary>
    public int ContextLength { get; init; }

    /// <summary>How keys and values are kept; null for f16, or f32 where a whole context is small.</summary>
    public KvFormat? KvFormat { get; init; }

    /// <summary>Threads that compute; 0 for one per core.</summary>
    public int Threads { get; init; }

    /// <summary>Adapters that requests may name, at most <see cref="AdapterSource.MaxAdapters"/>, each by another name.</summary>
    public IReadOnlyList<AdapterSource> Adapters { get; init; } = [];
}
