using Flint.Formats;

namespace Flint.Weights;

/// <summary>
/// A weight format for a whole model, or a usual mix of formats: which tensor is stored in which. The rules give the types that the
/// llama.cpp project's quantizer gives.
/// </summary>
/// <param name="Name">The field's name.</param>
/// <param name="FileType">The value of <c>general.file_type</c>.</param>
/// <param name="Base">The format of matrices that no rule names.</param>
/// <param name="Mix">Which matrices get more bits.</param>
internal sealed record SynthQuant(string Name, uint FileType, WeightType Base, SynthMix Mix)
{
    /// <summary>All formats and mixes.</summary>
    public static IReadOnlyList<SynthQuant> All { get; } =
    [
        new("F32", 0, WeightType.F32, SynthMix.None),
        new("F16", 1, WeightType.F16, SynthMix.None),
        new("BF16", 32, WeightType.BF16, SynthMix.None),
        new("Q8_0", 7, WeightType.Q8_0, SynthMix.None),
        new("Q4_0", 2, WeightType.Q4_0, SynthMix.Output),
        new("Q4_1", 3, WeightType.Q4_1, SynthMix.Output),
        new("Q5_0", 8, WeightType.Q5_0, SynthMix.Output),
        new("Q5_1", 9, WeightType.Q5_1, SynthMix.Output),
        new("Q4_K", 14, WeightType.Q4_K, SynthMix.Output),
        new("Q5_K", 16, WeightType.Q5_K, SynthMix.Output),
        new("Q6_K", 18, WeightType.Q6_K, SynthMix.None),
        new("Q4_K_S", 14, WeightType.Q4_K, SynthMix.Small),
        new("Q4_K_M", 15, WeightType.Q4_K, SynthMix.Medium),
        new("Q5_K_S", 16, WeightType.Q5_K, SynthMix.Output),
        new("Q5_K_M", 17, WeightType.Q5_K, SynthMix.Medium),
    ];

    /// <summary>The format of the matrix that makes the logits: the head or, where they are tied, the embedding.</summary>
    public WeightType Output => Mix == SynthMix.None ? Base : WeightType.Q6_K;

    /// <summary>The format of a layer's value projection.</summary>
    public WeightType Value(int layer, int layers) => Mix switch
    {
        SynthMix.Small when layer < 4 => WeightType.Q5_K,
        SynthMix.Medium when HasMoreBits(layer, layers) => WeightType.Q6_K,
        _ => Base,
    };

    /// <summary>The format of a layer's down projection, of its experts too.</summary>
    public WeightType Down(int layer, int layers) => Mix switch
    {
        SynthMix.Small when layer < layers / 8 => WeightType.Q5_K,
        SynthMix.Medium when HasMoreBits(layer, layers) => WeightType.Q6_K,
        _ => Base,
    };

    // The first and the last eighth of the layers, and every third between.
    private static bool HasMoreBits(int layer, int layers) =>
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

/// <summary>Which matrices of a model get more bits than the others.</summary>
internal enum SynthMix
{
    /// <summary>None.</summary>
    None,

    /// <summary>The output matrix.</summary>
    Output,

    /// <summary>The output matrix; a little more for value and down projections of the first layers.</summary>
    Small,

    /// <summary>The output matrix, and value and down projections of half the layers.</summary>
    Medium,
}
