using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// 256 weights in 144 bytes: super-scale d and super-minimum m (binary16), 12 bytes of 6-bit scales s and minima t for 8 groups
/// of 32, then 128 bytes of nibbles: each run of 32 bytes holds group 2j in its low and group 2j+1 in its high nibbles.
/// A weight is (d·s)·q − m·t.
/// </summary>
public readonly unsafe struct Q4_K : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.Q4_K;

    /// <inheritdoc/>
    public static int BlockLength => 256;

    /// <inheritdoc/>
    public static int BlockBytes => 144;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst)
    {
        float d = (float)*(Half*)block;
        float m = (float)*(Half*)(block + 2);
        byte* scales = block + 4;
        byte* q = block + 16;
        for (int group = 0; group < 8; group += 2, q += 32, dst += 64)
        {
            ScaleAndMinimum(scales, group, out int s0, out int t0);
            ScaleAndMinimum(scales, group + 1, out int s1, out int t1);
            float d0 = d * s0, m0 = m * t0, d1 = d * s1, m1 = m * t1;
            for (int i = 0; i < 32; i++)
            {
                dst[i] = d0 * (q[i] & 15) - m0;
                dst[i + 32] = d1 * (q[i] >> 4) - m1;
            }
        }
    }

    /// <summary>
    /// Reads the 6-bit scale and minimum of one of the 8 groups from the 12 bytes they are packed in: groups 0..3 in the lower six
    /// bits of bytes 0..3 (scales) and 4..7 (minima); groups 4..7 in the nibbles of bytes 8..11, their two upper bits in the upper
    /// bits of bytes 0..3 and 4..7. Shared with <see cref="Q5_K"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ScaleAndMinimum(byte* scales, int group, out int scale, out int minimum)
    {
        if (group < 4)
        {
            scale = scales[group] & 63;
            minimum = scales[group + 4] & 63;
            return;
        }
        scale = (scales[group + 4] & 15) | scales[group - 4] >> 6 << 4;
        minimum = scales[group + 4] >> 4 | scales[group] >> 6 << 4;
    }

    /// <inheritdoc/>
    public static void Encode(float* src, byte* block)
    {
        byte* levels = stackalloc byte[256];
        EncodeScales(src, 15, block, levels);
        byte* q = block + 16;
        for (int group = 0; group < 8; group += 2, q += 32, levels += 64)
        {
            for (int i = 0; i < 32; i++)
                q[i] = (byte)(levels[i] | levels[i + 32] << 4);
        }
    }

    /// <summary>
    /// Finds and writes the 16 bytes of scales and minima that a block begins with, and the level of each weight, from 0 to
    /// <paramref name="top"/>. Shared with <see cref="Q5_K"/>.
    /// </summary>
    internal static void EncodeScales(float* src, int top, byte* block, byte* levels)
    {
        float* importance = stackalloc float[256];
        float* scales = stackalloc float[8];
        float* minima = stackalloc float[8];
        float largestScale = 0, largestMinimum = 0;
        for (int group = 0; group < 8; group++)
        {
            float* x = src + 32 * group, w = importance + 32 * group;
            ScaleSearch.Importance(x, w, 32);
            ScaleSearch.Affine(x, w, 32, top, negative: true, out scales[group], out float minimum);
            minima[group] = -minimum;
            largestScale = Math.Max(largestScale, scales[group]);
            largestMinimum = Math.Max(largestMinimum, minima[group]);
        }
        Half d = ScaleSearch.Stored(largestScale / 63), m = ScaleSearch.Stored(largestMinimum / 63);
        *(Half*)block = d;
        *(Half*)(block + 2) = m;
        new Span<byte>(block + 4, 12).Clear();
        for (int group = 0; group < 8; group++)
        {
            float* x = src + 32 * group, w = importance + 32 * group;
            int s = Nearest(scales[group], (float)d), t = Nearest(minima[group], (float)m);
            Refine(x, w, top, (float)d, (float)m, ref s, ref t);
            ScaleSearch.Levels(x, levels + 32 * group, 32, (float)d * s, -(float)m * t, 0, top);
            Pack(block + 4, group, s, t);
        }
    }

    /// <summary>Rounded to 6 bits, a scale and a minimum no longer fit each other best: the neighbours are tried too.</summary>
    private static void Refine(float* x, float* importance, int top, float d, float m, ref int s, ref int t)
    {
        int nearS = s, nearT = t;
        double best = double.PositiveInfinity;
        for (int i = Math.Max(0, nearS - 1); i <= Math.Min(63, nearS + 1); i++)
        {
            for (int j = Math.Max(0, nearT - 1); j <= Math.Min(63, nearT + 1); j++)
            {
                double error = ScaleSearch.Error(x, importance, 32, d * i, -m * j, 0, top);
                if (error < best)
                    (best, s, t) = (error, i, j);
            }
        }
    }

    private static int Nearest(float value, float unit) => unit == 0 ? 0 : Math.Clamp((int)MathF.Round(value / unit), 0, 63);

    /// <summary>The inverse of <see cref="ScaleAndMinimum"/>, into bytes that were zero.</summary>
    private static void Pack(byte* scales, int group, int scale, int minimum)
    {
        if (group < 4)
        {
            scales[group] |= (byte)scale;
            scales[group + 4] |= (byte)minimum;
            return;
        }
        scales[group + 4] = (byte)(scale & 15 | minimum << 4);
        scales[group - 4] |= (byte)(scale >> 4 << 6);
        scales[group] |= (byte)(minimum >> 4 << 6);
    }
}
