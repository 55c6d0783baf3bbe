using Flint.Kernels;

namespace Flint.Models;

/// <summary>What a model is loaded for. Every buffer of a forward pass is sized from these once.</summary>
public sealed record ModelOptions
{
    /// <summary>Threads that compute; 0 for one per processor.</summary>
    public int Threads { get; init; }

    /// <summary>The longest sequence in tokens; 0 for what the model was trained for.</summary>
    public int ContextLength { get; init; }

    /// <summary>How keys and values are kept; null for <see cref="ModelConfig.UsualKvFormat"/>.</summary>
    public KvFormat? KvFormat { get; init; }

    /// <summary>The most rows of one batch.</summary>
    public int MaxBatchRows { get; init; } = 512;

    /// <summary>The most sequences of one batch.</summary>
    public int MaxSequences { get; init; } = 64;

    /// <summary>The most rows of one batch that want logits.</summary>
    public int MaxLogitRows { get; init; } = 64;
}
