namespace Flint.Grammar;

/// <summary>Classes of bytes that no set of a grammar tells apart, so that one byte of each stands for all of them.</summary>
internal sealed class ByteClasses
{
    private readonly HashSet<ByteSet> _sets = [];
    private readonly byte[] _classes = new byte[256];

    /// <summary>A byte of each class.</summary>
    public byte[] Samples { get; private set; } = [0];

    /// <summary>The class of each byte.</summary>
    public byte[] Map => _classes;

    /// <summary>The class of a byte.</summary>
    public int Of(byte value) => _classes[value];

    /// <summary>Tells a set's bytes from others.</summary>
    /// <returns>Whether the classes have become finer.</returns>
    public bool Add(ByteSet set)
    {
        if (!_sets.Add(set))
            return false;
        Span<short> split = stackalloc short[512]; // the new class of each old one's bytes outside the set, and of those in it
        split.Fill(-1);
        var samples = new List<byte>();
        for (int b = 0; b < 256; b++)
        {
            ref short index = ref split[2 * _classes[b] + (set.Has((byte)b) ? 1 : 0)];
            if (index < 0)
            {
                index = (short)samples.Count;
                samples.Add((byte)b);
            }

            _classes[b] = (byte)index;
        }

        bool finer = samples.Count > Samples.Length;
        Samples = [.. samples];
        return finer;
    }
}
