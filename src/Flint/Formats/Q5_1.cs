using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// 32 weights in 24 bytes: scale d and minimum m (binary16), 32 fifth bits (bit i for weight i), then 16 bytes whose low
/// nibbles hold the lower bits of weights 0..15 and high nibbles those of 16..31. A weight is d·q + m.
/// </summary>
public readonly unsafe struct Q5_1 : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.Q5_1;

    /// <inheritdoc/>
    public static int BlockLength => 32;

    /// <inheritdoc/>
    public static int BlockBytes => 24;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst)
    {
        float d = (float)*(Half*)block;
        float m = (float)*(Half*)(block + 2);
        uint high = *(uint*)(block + 4);
        byte* q = block + 8;
        for (int i = 0; i < 16; i++)
        {
            int low = (q[i] & 15) | ((int)(high >> i) & 1) << 4;
            int upper = (q[i] >> 4) | ((int)(high >> (i + 16)) & 1) << 4;
            dst[i] = low * d + m;
            dst[i + 16] = upper * d + m;
        }
    }

    /// <inheritdoc/>
    public static void Encode(float* src, byte* block)
    {
        float* importance = stackalloc float[32];
        byte* levels = stackalloc byte[32];
        ScaleSearch.Importance(src, importance, 32);
        ScaleSearch.Affine(src, importance, 32, 31, negative: false, out float scale, out float minimum);
        Half d = ScaleSearch.Stored(scale), m = ScaleSearch.Stored(minimum);
        *(Half*)block = d;
        *(Half*)(block + 2) = m;
        ScaleSearch.Levels(src, levels, 32, (float)d, (float)m, 0, 31);
        Q5_0.Pack(levels, block + 4);
    }
}
