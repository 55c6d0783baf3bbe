using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>Sixteen lanes in plain memory: the oracle of the vector bodies, and the body of machines without AVX2.</summary>
[InlineArray(16)]
internal unsafe struct LanesScalar : ILanes<LanesScalar>
{
    private int _lane0;

    public static bool HasByteDot => false;

    public static LanesScalar Zero => default;

    private static float F(int bits) => BitConverter.Int32BitsToSingle(bits);

    private static int I(float value) => BitConverter.SingleToInt32Bits(value);

    public static LanesScalar Load(float* p) => Load((int*)p);

    public static LanesScalar Load(int* p)
    {
        LanesScalar r = default;
        for (int i = 0; i < 16; i++) r[i] = p[i];
        return r;
    }

    public static LanesScalar LoadBytes(byte* p)
    {
        LanesScalar r = default;
        for (int i = 0; i < 16; i++) r[i] = Unsafe.ReadUnaligned<int>(p + 4 * i);
        return r;
    }

    public static LanesScalar LoadU16(ushort* p)
    {
        LanesScalar r = default;
        for (int i = 0; i < 16; i++) r[i] = p[i];
        return r;
    }

    public static LanesScalar LoadI16(short* p)
    {
        LanesScalar r = default;
        for (int i = 0; i < 16; i++) r[i] = p[i];
        return r;
    }

    public static LanesScalar LoadU8(byte* p)
    {
        LanesScalar r = default;
        for (int i = 0; i < 16; i++) r[i] = p[i];
        return r;
    }

    public static LanesScalar LoadI8(sbyte* p)
    {
        LanesScalar r = default;
        for (int i = 0; i < 16; i++) r[i] = p[i];
        return r;
    }

    public static void Store(LanesScalar a, float* p)
    {
        for (int i = 0; i < 16; i++) p[i] = F(a[i]);
    }

    public static void Store(LanesScalar a, byte* p)
    {
        for (int i = 0; i < 16; i++) Unsafe.WriteUnaligned(p + 4 * i, a[i]);
    }

    public static void StoreI8(LanesScalar a, sbyte* p)
    {
        for (int i = 0; i < 16; i++) p[i] = (sbyte)a[i];
    }

    public static LanesScalar Broadcast(float a) => Broadcast(I(a));

    public static LanesScalar Broadcast(int a)
    {
        LanesScalar r = default;
        for (int i = 0; i < 16; i++) r[i] = a;
        return r;
    }

    public static LanesScalar Add(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] = I(F(a[i]) + F(b[i]));
        return a;
    }

    public static LanesScalar Sub(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] = I(F(a[i]) - F(b[i]));
        return a;
    }

    public static LanesScalar Mul(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] = I(F(a[i]) * F(b[i]));
        return a;
    }

    public static LanesScalar Div(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] = I(F(a[i]) / F(b[i]));
        return a;
    }

    public static LanesScalar Fma(LanesScalar a, LanesScalar b, LanesScalar c)
    {
        for (int i = 0; i < 16; i++) a[i] = I(MathF.FusedMultiplyAdd(F(a[i]), F(b[i]), F(c[i])));
        return a;
    }

    public static LanesScalar Max(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] = F(a[i]) > F(b[i]) ? a[i] : b[i];
        return a;
    }

    public static LanesScalar Min(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] = F(a[i]) < F(b[i]) ? a[i] : b[i];
        return a;
    }

    public static LanesScalar Sqrt(LanesScalar a)
    {
        for (int i = 0; i < 16; i++) a[i] = I(MathF.Sqrt(F(a[i])));
        return a;
    }

    public static LanesScalar Round(LanesScalar a)
    {
        for (int i = 0; i < 16; i++) a[i] = I(MathF.Round(F(a[i]), MidpointRounding.ToEven));
        return a;
    }

    public static LanesScalar ToFloat(LanesScalar a)
    {
        for (int i = 0; i < 16; i++) a[i] = I(a[i]);
        return a;
    }

    public static LanesScalar ToInt(LanesScalar a)
    {
        for (int i = 0; i < 16; i++) a[i] = (int)F(a[i]);
        return a;
    }

    public static LanesScalar AddInt(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] += b[i];
        return a;
    }

    public static LanesScalar And(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] &= b[i];
        return a;
    }

    public static LanesScalar Or(LanesScalar a, LanesScalar b)
    {
        for (int i = 0; i < 16; i++) a[i] |= b[i];
        return a;
    }

    public static LanesScalar ShiftLeft(LanesScalar a, int bits)
    {
        for (int i = 0; i < 16; i++) a[i] <<= bits;
        return a;
    }

    public static LanesScalar ShiftRight(LanesScalar a, int bits)
    {
        for (int i = 0; i < 16; i++) a[i] >>>= bits;
        return a;
    }

    public static LanesScalar AddPairs(LanesScalar sums16, LanesScalar u, LanesScalar s)
    {
        for (int i = 0; i < 16; i++)
        {
            int low = (short)sums16[i] + Product(u[i], s[i], 0) + Product(u[i], s[i], 8);
            int high = (sums16[i] >> 16) + Product(u[i], s[i], 16) + Product(u[i], s[i], 24);
            sums16[i] = (low & 0xffff) | (high << 16);
        }

        return sums16;
    }

    public static LanesScalar AddSums(LanesScalar sums32, LanesScalar sums16, short weight)
    {
        for (int i = 0; i < 16; i++) sums32[i] += weight * ((short)sums16[i] + (sums16[i] >> 16));
        return sums32;
    }

    public static LanesScalar AddQuads(LanesScalar sums32, LanesScalar u, LanesScalar s)
    {
        for (int i = 0; i < 16; i++)
            sums32[i] += Product(u[i], s[i], 0) + Product(u[i], s[i], 8) + Product(u[i], s[i], 16) + Product(u[i], s[i], 24);
        return sums32;
    }

    public static float Sum(LanesScalar a)
    {
        for (int width = 8; width > 0; width >>= 1)
        {
            for (int i = 0; i < width; i++) a[i] = I(F(a[i]) + F(a[i + width]));
        }

        return F(a[0]);
    }

    public static int SumInt(LanesScalar a)
    {
        int sum = 0;
        for (int i = 0; i < 16; i++) sum += a[i];
        return sum;
    }

    public static float MaxAcross(LanesScalar a)
    {
        for (int width = 8; width > 0; width >>= 1)
        {
            for (int i = 0; i < width; i++) a[i] = F(a[i]) > F(a[i + width]) ? a[i] : a[i + width];
        }

        return F(a[0]);
    }

    private static int Product(int u, int s, int shift) => (byte)(u >> shift) * (sbyte)(s >> shift);
}
