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
}
