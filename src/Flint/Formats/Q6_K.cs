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

    /// <inheritdoc/>
    public static void Encode(float* src, byte* block)
    {
        float* importance = stackalloc float[256];
        float* found = stackalloc float[16];
        byte* levels = stackalloc byte[256];
        for (int group = 0; group < 16; group++)
        {
            float* x = src + 16 * group, w = importance + 16 * group;
            ScaleSearch.Importance(x, w, 16);
            found[group] = ScaleSearch.Symmetric(x, w, 16, 32);
        }
        // The largest scale becomes −128, the far end of a signed byte.
        Half d = ScaleSearch.Stored(ScaleSearch.Extreme(found, 16) / -128);
        *(Half*)(block + 208) = d;
        sbyte* scales = (sbyte*)block + 192;
        for (int group = 0; group < 16; group++)
        {
            float* x = src + 16 * group;
            scales[group] = NearestScale(x, importance + 16 * group, found[group], (float)d);
            ScaleSearch.Levels(x, levels + 16 * group, 16, (float)d * scales[group], 0, -32, 31);
        }
        Pack(levels, block, block + 128);
    }

    /// <summary>The byte that stands for a scale: of the nearest and its neighbours, the one with the least error.</summary>
    private static sbyte NearestScale(float* x, float* importance, float scale, float d)
    {
        if (d == 0)
            return 0;
        int near = (int)MathF.Round(scale / d), result = 0;
        double best = double.PositiveInfinity;
        for (int s = Math.Max(-128, near - 1); s <= Math.Min(127, near + 1); s++)
        {
            double error = ScaleSearch.Error(x, importance, 16, d * s, 0, -32, 31);
            if (error < best)
                (best, result) = (error, s);
        }
        return (sbyte)result;
    }

    private static void Pack(byte* levels, byte* low, byte* high)
    {
        for (int half = 0; half < 2; half++, low += 64, high += 32, levels += 128)
        {
            for (int i = 0; i < 32; i++)
            {
                byte q0 = levels[i], q1 = levels[i + 32], q2 = levels[i + 64], q3 = levels[i + 96];
                low[i] = (byte)(q0 & 15 | q2 << 4);
                low[i + 32] = (byte)(q1 & 15 | q3 << 4);
                high[i] = (byte)(q0 >> 4 | q1 >> 4 << 2 | q2 >> 4 << 4 | q3 >> 4 << 6);
            }
        }
    }
}
