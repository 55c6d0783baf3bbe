using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// 256 weights in 210 bytes, in two halves of 128: 128 bytes of lower nibbles (64 a half), 64 bytes of upper bit pairs (32 a
/// half), 16 signed byte scales s for groups of 16, super-scale d (binary16). In a half, weights 0..31 and 32..63 lie in the low
/// nibbles of bytes 0..31 and 32..63, weights 64..95 and 96..127 in the high ones; the bit pairs of byte i belong, from low to
/// high, to weights i, i+32, i+64, i+96. A weight is (d·s)·(q − 32).
/// </summary>
public readonly unsafe struct Q6_K : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.Q6_K;

    /// <inheritdoc/>
    public static int BlockLength => 256;

    /// <inheritdoc/>
    public static int BlockBytes => 210;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst)
    {
        float d = (float)*(Half*)(block + 208);
        byte* low = block;
        byte* high = block + 128;
        sbyte* scales = (sbyte*)block + 192;
        for (int half = 0; half < 2; half++, low += 64, high += 32, scales += 8, dst += 128)
        {
            for (int i = 0; i < 32; i++)
            {
                int group = i / 16;
                int q0 = (low[i] & 15) | (high[i] & 3) << 4;
                int q1 = (low[i + 32] & 15) | (high[i] >> 2 & 3) << 4;
                int q2 = low[i] >> 4 | (high[i] >> 4 & 3) << 4;
                int q3 = low[i + 32] >> 4 | high[i] >> 6 << 4;
                dst[i] = d * scales[group] * (q0 - 32);
                dst[i + 32] = d * scales[group + 2] * (q1 - 32);
                dst[i + 64] = d * scales[group + 4] * (q2 - 32);
                dst[i + 96] = d * scales[group + 6] * (q3 - 32);
            }
        }
    }
}
