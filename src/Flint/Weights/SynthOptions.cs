namespace Flint.Weights;

/// <summary>What <see cref="Synth.Write(SynthOptions, string, Action{long, long})"/> makes.</summary>
public sealed class SynthOptions
{
    /// <summary>The model to take the shape of, one of <see cref="Synth.Shapes"/>.</summary>
    public required string Shape { get; init; }

    /// <summary>The weight format or mix of formats, one of <see cref="Synth.Quants"/>.</summary>
    public string Quant { get; init; } = "Q4_K_M";

    /// <summary>Layers, where not the shape's own number; 1 to <see cref="Synth.MaxLayers"/>.</summary>
    public int? Layers { get; init; }

    /// <summary>The seed: the same options give the same file, byte for byte.</summary>
    public ulong Seed { get; init; } = 1;
}
