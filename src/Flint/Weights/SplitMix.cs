namespace Flint.Weights;

/// <summary>
/// The SplitMix64 generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a counter put through a
/// mixing function.
/// </summary>
internal struct SplitMix
{
    private const ulong Step = 0x9E3779B97F4A7C15;

    private ulong _state;

    /// <summary>Starts one of the many streams of a seed.</summary>
    public SplitMix(ulong seed, ulong stream) => _state = Mix(Mix(seed + Step) + stream * Step);

    /// <summary>The next 64 bits.</summary>
    public ulong Next() => Mix(_state += Step);

    /// <summary>0 to below <paramref name="n"/>.</summary>
    public int Below(int n) => (int)((UInt128)Next() * (ulong)n >> 64);

    /// <summary>0 to below 1.</summary>
    public double Uniform() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Normal with mean 0 and deviation 1 (Box and Muller; one of the pair).</summary>
    public double Normal() => Math.Sqrt(-2 * Math.Log(1 - Uniform())) * Math.Cos(2 * Math.PI * Uniform());

    private static ulong Mix(ulong z)
    {
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        return z ^ z >> 31;
    }
}
