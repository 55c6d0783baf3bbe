using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// 32 weights in 20 bytes: scale d and minimum m (binary16), then 16 bytes whose low nibbles hold weights 0..15 and high
/// nibbles 16..31. A weight is d·q + m.
/// </summary>
public readonly unsafe struct Q4_1 : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.Q4_1;

    /// <inheritdoc/>
    public static int BlockLength => 32;

    /// <inheritdoc/>
    public static int BlockBytes => 20;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst)
    {
        float d = (float)*(Half*)block;
        float m = (float)*(Half*)(block + 2);
        byte* q = block + 4;
        for (int i = 0; i < 16; i++)
        {
            dst[i] = (q[i] & 15) * d + m;
            dst[i + 16] = (q[i] >> 4) * d + m;
        }
    }

    /// <inheritdoc/>
    public static void Encode(float* src, byte* block)
    {
        float* importance = stackalloc float[32];
        byte* levels = stackalloc byte[32];
        ScaleSearch.Importance(src, importance, 32);
        ScaleSearch.Affine(src, importance, 32, 15, negative: false, out float scale, out float minimum);
        Half d = ScaleSearch.Stored(scale), m = ScaleSearch.Stored(minimum);
        *(Half*)block = d;
        *(Half*)(block + 2) = m;
        ScaleSearch.Levels(src, levels, 32, (float)d, (float)m, 0, 15);
        for (int i = 0; i < 16; i++)
            block[i + 4] = (byte)(levels[i] | levels[i + 16] << 4);
    }
}
