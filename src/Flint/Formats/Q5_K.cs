using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// 256 weights in 176 bytes: super-scale d and super-minimum m (binary16), 12 bytes of 6-bit scales s and minima t for 8 groups
/// of 32 (packed as in <see cref="Q4_K"/>), 32 bytes of fifth bits (bit g of byte i for weight i of group g), then 128 bytes of
/// nibbles as in <see cref="Q4_K"/>. A weight is (d·s)·q − m·t.
/// </summary>
public readonly unsafe struct Q5_K : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.Q5_K;

    /// <inheritdoc/>
    public static int BlockLength => 256;

    /// <inheritdoc/>
    public static int BlockBytes => 176;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst)
    {
        float d = (float)*(Half*)block;
        float m = (float)*(Half*)(block + 2);
        byte* scales = block + 4;
        byte* high = block + 16;
        byte* q = block + 48;
        for (int group = 0; group < 8; group += 2, q += 32, dst += 64)
        {
            Q4_K.ScaleAndMinimum(scales, group, out int s0, out int t0);
            Q4_K.ScaleAndMinimum(scales, group + 1, out int s1, out int t1);
            float d0 = d * s0, m0 = m * t0, d1 = d * s1, m1 = m * t1;
            for (int i = 0; i < 32; i++)
            {
                dst[i] = d0 * ((q[i] & 15) | (high[i] >> group & 1) << 4) - m0;
                dst[i + 32] = d1 * (q[i] >> 4 | (high[i] >> (group + 1) & 1) << 4) - m1;
            }
        }
    }

    /// <inheritdoc/>
    public static void Encode(float* src, byte* block)
    {
        byte* levels = stackalloc byte[256];
        Q4_K.EncodeScales(src, 31, block, levels);
        byte* high = block + 16;
        byte* q = block + 48;
        new Span<byte>(high, 32).Clear();
        for (int group = 0; group < 8; group += 2, q += 32, levels += 64)
        {
            for (int i = 0; i < 32; i++)
            {
                q[i] = (byte)(levels[i] & 15 | levels[i + 32] << 4);
                high[i] |= (byte)(levels[i] >> 4 << group | levels[i + 32] >> 4 << (group + 1));
            }
        }
    }
}
