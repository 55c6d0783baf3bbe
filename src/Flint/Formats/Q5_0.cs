using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// 32 weights in 22 bytes: scale d (binary16), 32 fifth bits (bit i for weight i), then 16 bytes whose low nibbles hold the
/// lower bits of weights 0..15 and high nibbles those of 16..31. A weight is d·(q − 16).
/// </summary>
public readonly unsafe struct Q5_0 : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.Q5_0;

    /// <inheritdoc/>
    public static int BlockLength => 32;

    /// <inheritdoc/>
    public static int BlockBytes => 22;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst)
    {
        float d = (float)*(Half*)block;
        uint high = *(uint*)(block + 2);
        byte* q = block + 6;
        for (int i = 0; i < 16; i++)
        {
            int low = (q[i] & 15) | ((int)(high >> i) & 1) << 4;
            int upper = (q[i] >> 4) | ((int)(high >> (i + 16)) & 1) << 4;
            dst[i] = (low - 16) * d;
            dst[i + 16] = (upper - 16) * d;
        }
    }

    /// <inheritdoc/>
    public static void Encode(float* src, byte* block)
    {
        float* importance = stackalloc float[32];
        byte* levels = stackalloc byte[32];
        ScaleSearch.Importance(src, importance, 32);
        Half d = ScaleSearch.Stored(ScaleSearch.Symmetric(src, importance, 32, 16));
        *(Half*)block = d;
        ScaleSearch.Levels(src, levels, 32, (float)d, 0, -16, 15);
        Pack(levels, block + 2);
    }

    /// <summary>Writes 32 five-bit levels: their fifth bits, then the nibbles. Shared with <see cref="Q5_1"/>.</summary>
    internal static void Pack(byte* levels, byte* dst)
    {
        uint high = 0;
        for (int i = 0; i < 32; i++)
            high |= (uint)(levels[i] >> 4) << i;
        *(uint*)dst = high;
        for (int i = 0; i < 16; i++)
            dst[i + 4] = (byte)(levels[i] & 15 | levels[i + 16] << 4);
    }
}
