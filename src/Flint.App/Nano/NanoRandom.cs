namespace Flint.App.Nano;

/// <summary>
/// The world's own source of chance, SplitMix64 (Steele, Lea and Flood, 2014): the same numbers on every machine and version
/// of the runtime, and cheap to start anew for every item.
/// </summary>
public sealed class NanoRandom
{
    private const ulong Golden = 0x9E3779B97F4A7C15;

    private ulong _state;

    /// <summary>A sequence named by three numbers.</summary>
    public NanoRandom(ulong seed, ulong stream, ulong index) => _state = Mix(Mix(Mix(seed + Golden) + stream * Golden) + index * Golden);

    /// <summary>64 random bits.</summary>
    public ulong Next()
    {
        _state += Golden;
        return Mix(_state);
    }

    /// <summary>A number from 0 to <paramref name="count"/> - 1.</summary>
    public int Below(int count) => (int)Math.BigMul(Next(), (ulong)count, out _);

    /// <summary>A number from <paramref name="least"/> to <paramref name="most"/>, both included.</summary>
    public int Range(int least, int most) => least + Below(most - least + 1);

    /// <summary>Whether something happens that does so in <paramref name="percent"/> of 100 cases.</summary>
    public bool Chance(int percent) => Below(100) < percent;

    /// <summary>One of several.</summary>
    public T Pick<T>(ReadOnlySpan<T> from) => from[Below(from.Length)];

    /// <inheritdoc cref="Pick{T}(ReadOnlySpan{T})"/>
    public T Pick<T>(T[] from) => from[Below(from.Length)];

    /// <summary>Puts them in random order.</summary>
    public void Shuffle<T>(Span<T> items)
    {
        for (int i = items.Length - 1; i > 0; i--)
        {
            int j = Below(i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }

    /// <summary>Several different ones, in random order.</summary>
    public T[] Sample<T>(T[] from, int count)
    {
        var indices = new int[from.Length];
        for (int i = 0; i < indices.Length; i++) indices[i] = i;
        var chosen = new T[count];
        for (int i = 0; i < count; i++)
        {
            int j = i + Below(indices.Length - i);
            (indices[i], indices[j]) = (indices[j], indices[i]);
            chosen[i] = from[indices[i]];
        }
        return chosen;
    }

    /// <summary>Scrambles 64 bits.</summary>
    internal static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
