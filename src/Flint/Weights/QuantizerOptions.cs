using Flint.Formats;

namespace Flint.Weights;

/// <summary>What <see cref="Quantizer"/> makes of a model.</summary>
public sealed class QuantizerOptions
{
    /// <summary>The weight format or mix of formats, one of <see cref="Quantizer.Mixes"/>.</summary>
    public required string Mix { get; init; }

    /// <summary>The format of the matrix that makes the logits, where not the mix's own.</summary>
    public WeightType? OutputType { get; init; }

    /// <summary>Threads that compute, 1 to <see cref="Quantizer.MaxThreads"/>; 0 for one per processor. The file does not depend on them.</summary>
    public int Threads { get; init; }
}
