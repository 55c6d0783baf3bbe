namespace Flint.Grammar;

/// <summary>A set of bytes, a bit each.</summary>
internal readonly record struct ByteSet(ulong A, ulong B, ulong C, ulong D)
{
    /// <summary>All bytes.</summary>
    public static readonly ByteSet All = new(ulong.MaxValue, ulong.MaxValue, ulong.MaxValue, ulong.MaxValue);

    /// <summary>Whether it holds nothing.</summary>
    public bool IsEmpty => (A | B | C | D) == 0;

    /// <summary>One byte.</summary>
    public static ByteSet Of(byte value) => Range(value, value);

    /// <summary>The bytes of a text.</summary>
    public static ByteSet Of(ReadOnlySpan<byte> values)
    {
        ByteSet set = default;
        foreach (byte value in values)
            set |= Of(value);
        return set;
    }

    /// <summary>The bytes from one to another, both among them.</summary>
    public static ByteSet Range(int low, int high) => new(Word(low, high), Word(low - 64, high - 64), Word(low - 128, high - 128), Word(low - 192, high - 192));

    /// <summary>Whether a byte is in it.</summary>
    public bool Has(byte value) => (((value >> 6) switch { 0 => A, 1 => B, 2 => C, _ => D }) >> (value & 63) & 1) != 0;

    /// <summary>What is in either.</summary>
    public static ByteSet operator |(ByteSet x, ByteSet y) => new(x.A | y.A, x.B | y.B, x.C | y.C, x.D | y.D);

    /// <summary>What is in both.</summary>
    public static ByteSet operator &(ByteSet x, ByteSet y) => new(x.A & y.A, x.B & y.B, x.C & y.C, x.D & y.D);

    /// <summary>What is not in it.</summary>
    public static ByteSet operator ~(ByteSet x) => new(~x.A, ~x.B, ~x.C, ~x.D);

    // The bits low to high of one word, whichever of them it has.
    private static ulong Word(int low, int high)
    {
        if (high < 0 || low > 63)
            return 0;
        ulong from = low <= 0 ? ulong.MaxValue : ulong.MaxValue << low;
        return high >= 63 ? from : from & ((1UL << (high + 1)) - 1);
    }
}
