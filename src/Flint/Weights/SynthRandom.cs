namespace Flint.Weights;

/// <summary>
/// The SplitMix64 generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a counter put through a
/// mixing function.
/// </summary>
internal struct SynthRandom
{
    private const ulong Step = 0x9E3779B97F4A7C15;

    private ulong _state;

    /// <summary>Starts one of the many streams of a seed.</summary>
    public SynthRandom(ulong seed, ulong stream) => _state = Mix(Mix(seed + Step) + stream * Step);

    /// <summary>The next 64 bits.</summary>
    public ulong Next() => Mix(_state += Step);

    private static ulong Mix(ulong z)
    {
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        return z ^ z >> 31;
    }
}
