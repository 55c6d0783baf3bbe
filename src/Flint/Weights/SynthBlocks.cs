using System.Runtime.CompilerServices;
using Flint.Formats;

namespace Flint.Weights;

/// <summary>
/// Fills memory with random blocks of one weight format that decode to bell-shaped values of a given mean and standard deviation.
/// Random bits become stored values through a table of the logistic distribution's quantiles; the scales are chosen to match.
/// </summary>
internal sealed unsafe class SynthBlocks
{
    // K-quant sub-scales are drawn from the upper part of their 6 (8) bits; these are their means.
    private const int LeastScale6 = 48, MeanScale6 = 55, LeastScale8 = 96, MeanScale8 = 111;

    private readonly WeightType _type;
    private readonly float[] _floats = [];
    private readonly ushort[] _halves = [];
    private readonly byte[] _levels = [];
    private readonly byte[] _pairs = [];
    private readonly ushort _scale;
    private readonly ushort _minimum;

    /// <summary>Prepares the tables.</summary>
    /// <param name="type">A supported format.</param>
    /// <param name="mean">The mean; must be 0 for the quantized formats.</param>
    /// <param name="deviation">The standard deviation.</param>
    public SynthBlocks(WeightType type, float mean, float deviation)
    {
        _type = type;
        switch (type)
        {
            case WeightType.F32: _floats = Quantiles(mean, deviation); break;
            case WeightType.F16: _halves = Array.ConvertAll(Quantiles(mean, deviation), v => BitConverter.HalfToUInt16Bits((Half)v)); break;
            case WeightType.BF16: _halves = Array.ConvertAll(Quantiles(mean, deviation), v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)); break;
            case WeightType.Q8_0: (_levels, _scale, _) = Levels(256, 128, 45, 1, deviation); break;
            case WeightType.Q4_0: (_levels, _scale, _) = Levels(16, 8, 3, 1, deviation); break;
            case WeightType.Q4_1: (_levels, _scale, _minimum) = Levels(16, 7.5f, 3, 1, deviation); break;
            case WeightType.Q5_0: (_levels, _scale, _) = Levels(32, 16, 6, 1, deviation); break;
            case WeightType.Q5_1: (_levels, _scale, _minimum) = Levels(32, 15.5f, 6, 1, deviation); break;
            case WeightType.Q4_K: (_levels, _scale, _minimum) = Levels(16, 7.5f, 3, MeanScale6, deviation); break;
            case WeightType.Q5_K: (_levels, _scale, _minimum) = Levels(32, 15.5f, 6, MeanScale6, deviation); break;
            case WeightType.Q6_K: (_levels, _scale, _) = Levels(64, 32, 11, MeanScale8, deviation); break;
            default: throw new ArgumentOutOfRangeException(nameof(type), type, "Not a supported format.");
        }
        // Two 4-bit values at once, for the formats that are nothing else.
        if (_levels.Length > 0)
        {
            _pairs = new byte[1 << 16];
            for (int i = 0; i < _pairs.Length; i++)
                _pairs[i] = (byte)(_levels[i & 255] & 15 | _levels[i >> 8] << 4);
        }
    }

    /// <summary>Writes <paramref name="blocks"/> blocks (for the plain formats: elements) to <paramref name="dst"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Fill(byte* dst, int blocks, ref SplitMix random)
    {
        fixed (byte* levels = _levels, pairs = _pairs)
        {
            for (int i = 0; i < blocks; i++)
            {
                switch (_type)
                {
                    case WeightType.F32: *(float*)dst = _floats[(ushort)random.Next()]; dst += 4; break;
                    case WeightType.F16 or WeightType.BF16: *(ushort*)dst = _halves[(ushort)random.Next()]; dst += 2; break;
                    case WeightType.Q8_0: dst = Q8(dst, levels, ref random); break;
                    case WeightType.Q4_0 or WeightType.Q4_1: dst = Nibbles(Scales(dst), pairs, 16, ref random); break;
                    case WeightType.Q5_0 or WeightType.Q5_1: dst = Fives(Scales(dst), levels, 1, ref random); break;
                    case WeightType.Q4_K: dst = Nibbles(SubScales(Scales(dst), ref random), pairs, 128, ref random); break;
                    case WeightType.Q5_K: dst = Fives(SubScales(Scales(dst), ref random), levels, 8, ref random); break;
                    default: dst = Sixes(dst, levels, ref random); break;
                }
            }
        }
    }

    // Unit-variance logistic quantiles, scaled: 65,536 equally likely values.
    private static float[] Quantiles(float mean, float deviation)
    {
        float[] values = new float[1 << 16];
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(mean + deviation * Quantile((i + 0.5) / values.Length));
        return values;
    }

    private static double Quantile(double p) => Math.Log(p / (1 - p)) * Math.Sqrt(3) / Math.PI;

    /// <summary>256 equally likely stored values of the given spread around a centre, and the scale and minimum that go with them.</summary>
    private static (byte[] Levels, ushort Scale, ushort Minimum) Levels(int count, float centre, float spread, float subScale, float deviation)
    {
        byte[] levels = new byte[256];
        double squares = 0;
        for (int i = 0; i < levels.Length; i++)
        {
            double level = Math.Clamp(Math.Round(centre + spread * Quantile((i + 0.5) / levels.Length)), 0, count - 1);
            levels[i] = (byte)level;
            squares += (level - centre) * (level - centre);
        }
        Half scale = (Half)(deviation / (subScale * Math.Sqrt(squares / levels.Length)));
        // Q4_1 and Q5_1 add their minimum, Q4_K and Q5_K take it away.
        Half minimum = (Half)((subScale == 1 ? -centre : centre) * (float)scale);
        return (levels, BitConverter.HalfToUInt16Bits(scale), BitConverter.HalfToUInt16Bits(minimum));
    }

    // The head of a block: its scale and, in the formats that have one, its minimum.
    private byte* Scales(byte* dst)
    {
        *(ushort*)dst = _scale;
        if (_minimum == 0)
            return dst + 2;
        *(ushort*)(dst + 2) = _minimum;
        return dst + 4;
    }

    // Eight 6-bit scales from 48 to 63 and equal minima, packed as Q4_K describes: the two upper bits are always set.
    private static byte* SubScales(byte* dst, ref SplitMix random)
    {
        ulong bits = random.Next();
        for (int i = 0; i < 4; i++)
        {
            int first = (int)(bits >> 8 * i) & 15, second = (int)(bits >> 8 * i + 4) & 15;
            dst[i] = dst[i + 4] = (byte)(0xC0 | LeastScale6 | first);
            dst[i + 8] = (byte)(second | second << 4);
        }
        return dst + 12;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private byte* Q8(byte* dst, byte* levels, ref SplitMix random)
    {
        *(ushort*)dst = _scale;
        for (int i = 2; i < 34; i += 8)
        {
            ulong bits = random.Next();
            for (int j = 0; j < 8; j++, bits >>= 8)
                dst[i + j] = (byte)(levels[(byte)bits] - 128);
        }
        return dst + 34;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static byte* Nibbles(byte* dst, byte* pairs, int count, ref SplitMix random)
    {
        for (int i = 0; i < count; i += 4)
        {
            ulong bits = random.Next();
            dst[i] = pairs[(ushort)bits];
            dst[i + 1] = pairs[(ushort)(bits >> 16)];
            dst[i + 2] = pairs[(ushort)(bits >> 32)];
            dst[i + 3] = pairs[bits >> 48];
        }
        return dst + count;
    }

    // The fifth bits of all values, 4 bytes for each 32, then the nibbles. In Q5_0 and Q5_1 bit i belongs to value i; in Q5_K bit g
    // of byte i belongs to value i of group g. Byte i of a run of nibbles holds values i and i+16 (Q5_K: of two groups, i and i+32).
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static byte* Fives(byte* dst, byte* levels, int groups, ref SplitMix random)
    {
        byte* high = dst;
        new Span<byte>(high, 4 * groups).Clear();
        byte* low = dst + 4 * groups;
        for (int i = 0; i < 16 * groups; i += 4)
        {
            ulong bits = random.Next();
            for (int j = i; j < i + 4; j++, bits >>= 16)
            {
                int first = levels[(byte)bits], second = levels[(byte)(bits >> 8)];
                low[j] = (byte)(first & 15 | second << 4);
                if (groups == 1)
                    *(uint*)high |= (uint)(first >> 4) << j | (uint)(second >> 4) << j + 16;
                else
                    high[j & 31] |= (byte)(first >> 4 << (j >> 5) * 2 | second >> 4 << (j >> 5) * 2 + 1);
            }
        }
        return low + 16 * groups;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private byte* Sixes(byte* dst, byte* levels, ref SplitMix random)
    {
        byte* low = dst, high = dst + 128;
        for (int half = 0; half < 2; half++, low += 64, high += 32)
        {
            for (int i = 0; i < 32; i += 2)
            {
                ulong bits = random.Next();
                for (int j = i; j < i + 2; j++, bits >>= 32)
                {
                    int a = levels[(byte)bits], b = levels[(byte)(bits >> 8)], c = levels[(byte)(bits >> 16)], d = levels[(byte)(bits >> 24)];
                    low[j] = (byte)(a & 15 | c << 4);
                    low[j + 32] = (byte)(b & 15 | d << 4);
                    high[j] = (byte)(a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6);
                }
            }
        }
        for (int i = 192; i < 208; i += 8)
        {
            ulong bits = random.Next();
            for (int j = 0; j < 8; j++, bits >>= 8)
                dst[i + j] = (byte)(LeastScale8 | (int)bits & 31);
        }
        *(ushort*)(dst + 208) = _scale;
        return dst + 210;
    }
}
