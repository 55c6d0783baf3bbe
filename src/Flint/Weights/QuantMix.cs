using Flint.Formats;

namespace Flint.Weights;

/// <summary>
/// A weight format for a whole model, or a usual mix of formats, under the name that the llama.cpp project's quantizer gives it.
/// </summary>
/// <param name="Name">The field's name.</param>
/// <param name="FileType">The value of <c>general.file_type</c>.</param>
/// <param name="Base">The format of matrices that no rule names.</param>
/// <param name="Extra">Which matrices get more bits.</param>
internal sealed record QuantMix(string Name, uint FileType, WeightType Base, ExtraBits Extra)
{
    /// <summary>All formats and mixes. <c>Q4_K</c> and <c>Q5_K</c> mean the medium mixes.</summary>
    public static IReadOnlyList<QuantMix> All { get; } =
    [
        new("F32", 0, WeightType.F32, ExtraBits.None),
        new("F16", 1, WeightType.F16, ExtraBits.None),
        new("BF16", 32, WeightType.BF16, ExtraBits.None),
        new("Q8_0", 7, WeightType.Q8_0, ExtraBits.None),
        new("Q4_0", 2, WeightType.Q4_0, ExtraBits.Output),
        new("Q4_1", 3, WeightType.Q4_1, ExtraBits.Output),
        new("Q5_0", 8, WeightType.Q5_0, ExtraBits.Output),
        new("Q5_1", 9, WeightType.Q5_1, ExtraBits.Output),
        new("Q6_K", 18, WeightType.Q6_K, ExtraBits.None),
        new("Q4_K_S", 14, WeightType.Q4_K, ExtraBits.Small),
        new("Q4_K_M", 15, WeightType.Q4_K, ExtraBits.Medium),
        new("Q4_K", 15, WeightType.Q4_K, ExtraBits.Medium),
        new("Q5_K_S", 16, WeightType.Q5_K, ExtraBits.Output),
        new("Q5_K_M", 17, WeightType.Q5_K, ExtraBits.Medium),
        new("Q5_K", 17, WeightType.Q5_K, ExtraBits.Medium),
    ];

    /// <summary>The names of all formats and mixes.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. All.Select(m => m.Name)];

    /// <summary>Finds a format or mix by name, in any case.</summary>
    /// <exception cref="FlintException">There is none of that name (<see cref="FaultSide.Caller"/>).</exception>
    public static QuantMix Find(string name) =>
        All.FirstOrDefault(m => m.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
            ?? throw FlintException.Caller("unknown_quant", $"Unknown weight format '{name}': expected one of {string.Join(", ", Names)}.");

    /// <summary>Whether the format is made of blocks with scales.</summary>
    public bool IsQuantized => WeightTypes.BlockLength(Base) > 1;
}

/// <summary>Which matrices of a model get more bits than the others.</summary>
internal enum ExtraBits
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
