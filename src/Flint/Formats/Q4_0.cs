using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// 32 weights in 18 bytes: scale d (binary16), then 16 bytes whose low nibbles hold weights 0..15 and high nibbles 16..31.
/// A weight is d·(q − 8).
/// </summary>
public readonly unsafe struct Q4_0 : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.Q4_0;

    /// <inheritdoc/>
    public static int BlockLength => 32;

    /// <inheritdoc/>
    public static int BlockBytes => 18;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst)
    {
        float d = (float)*(Half*)block;
        byte* q = block + 2;
        for (int i = 0; i < 16; i++)
        {
            dst[i] = ((q[i] & 15) - 8) * d;
            dst[i + 16] = ((q[i] >> 4) - 8) * d;
        }
    }

    /// <inheritdoc/>
    public static void Encode(float* src, byte* block)
    {
        float* importance = stackalloc float[32];
        byte* levels = stackalloc byte[32];
        ScaleSearch.Importance(src, importance, 32);
        Half d = ScaleSearch.Stored(ScaleSearch.Symmetric(src, importance, 32, 8));
        *(Half*)block = d;
        ScaleSearch.Levels(src, levels, 32, (float)d, 0, -8, 7);
        for (int i = 0; i < 16; i++)
            block[i + 2] = (byte)(levels[i] | levels[i + 16] << 4);
    }
}
