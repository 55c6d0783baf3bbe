using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Flint.Kernels;

/// <summary>Sixteen lanes in two 256-bit registers (AVX2 and FMA); byte products through AVX-VNNI where there is one.</summary>
internal readonly unsafe struct Lanes256(Vector256<int> lower, Vector256<int> upper) : ILanes<Lanes256>
{
    private readonly Vector256<int> _a = lower;
    private readonly Vector256<int> _b = upper;

    public static bool HasByteDot => AvxVnni.IsSupported;

    public static Lanes256 Zero => default;

    private Vector256<float> A => _a.AsSingle();

    private Vector256<float> B => _b.AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Lanes256 Of(Vector256<float> a, Vector256<float> b) => new(a.AsInt32(), b.AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Load(float* p) => Of(Vector256.Load(p), Vector256.Load(p + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Load(int* p) => new(Vector256.Load(p), Vector256.Load(p + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadBytes(byte* p) => new(Vector256.Load(p).AsInt32(), Vector256.Load(p + 32).AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadU16(ushort* p) => new(Avx2.ConvertToVector256Int32(p), Avx2.ConvertToVector256Int32(p + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadI16(short* p) => new(Avx2.ConvertToVector256Int32(p), Avx2.ConvertToVector256Int32(p + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadU8(byte* p) => new(Avx2.ConvertToVector256Int32(p), Avx2.ConvertToVector256Int32(p + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadI8(sbyte* p) => new(Avx2.ConvertToVector256Int32(p), Avx2.ConvertToVector256Int32(p + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes256 a, float* p)
    {
        a.A.Store(p);
        a.B.Store(p + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes256 a, byte* p)
    {
        a._a.AsByte().Store(p);
        a._b.AsByte().Store(p + 32);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreI8(Lanes256 a, sbyte* p)
    {
        Vector256<short> words = Avx2.PackSignedSaturate(a._a, a._b); // a0..3 b0..3 a4..7 b4..7
        Vector128<short> low = words.GetLower(), high = words.GetUpper();
        Vector128<sbyte> bytes = Sse2.PackSignedSaturate(low, high); // a0..3 b0..3 a4..7 b4..7
        Sse2.Shuffle(bytes.AsInt32(), 0b11_01_10_00).AsSByte().Store(p);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Broadcast(float a)
    {
        var v = Vector256.Create(a);
        return Of(v, v);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Broadcast(int a)
    {
        var v = Vector256.Create(a);
        return new(v, v);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Add(Lanes256 a, Lanes256 b) => Of(a.A + b.A, a.B + b.B);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Sub(Lanes256 a, Lanes256 b) => Of(a.A - b.A, a.B - b.B);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Mul(Lanes256 a, Lanes256 b) => Of(a.A * b.A, a.B * b.B);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Div(Lanes256 a, Lanes256 b) => Of(a.A / b.A, a.B / b.B);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Fma(Lanes256 a, Lanes256 b, Lanes256 c) =>
        Of(System.Runtime.Intrinsics.X86.Fma.MultiplyAdd(a.A, b.A, c.A), System.Runtime.Intrinsics.X86.Fma.MultiplyAdd(a.B, b.B, c.B));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Max(Lanes256 a, Lanes256 b) => Of(Avx.Max(a.A, b.A), Avx.Max(a.B, b.B));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Min(Lanes256 a, Lanes256 b) => Of(Avx.Min(a.A, b.A), Avx.Min(a.B, b.B));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Sqrt(Lanes256 a) => Of(Avx.Sqrt(a.A), Avx.Sqrt(a.B));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Round(Lanes256 a) => Of(Avx.RoundToNearestInteger(a.A), Avx.RoundToNearestInteger(a.B));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ToFloat(Lanes256 a) => Of(Avx.ConvertToVector256Single(a._a), Avx.ConvertToVector256Single(a._b));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ToInt(Lanes256 a) => new(Avx.ConvertToVector256Int32(a.A), Avx.ConvertToVector256Int32(a.B));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddInt(Lanes256 a, Lanes256 b) => new(a._a + b._a, a._b + b._b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 And(Lanes256 a, Lanes256 b) => new(a._a & b._a, a._b & b._b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Or(Lanes256 a, Lanes256 b) => new(a._a | b._a, a._b | b._b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ShiftLeft(Lanes256 a, int bits) => new(a._a << bits, a._b << bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ShiftRight(Lanes256 a, int bits) => new(a._a >>> bits, a._b >>> bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddPairs(Lanes256 sums16, Lanes256 u, Lanes256 s) => new(
        (sums16._a.AsInt16() + Avx2.MultiplyAddAdjacent(u._a.AsByte(), s._a.AsSByte())).AsInt32(),
        (sums16._b.AsInt16() + Avx2.MultiplyAddAdjacent(u._b.AsByte(), s._b.AsSByte())).AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddSums(Lanes256 sums32, Lanes256 sums16, short weight)
    {
        var w = Vector256.Create(weight);
        return new(
            sums32._a + Avx2.MultiplyAddAdjacent(sums16._a.AsInt16(), w),
            sums32._b + Avx2.MultiplyAddAdjacent(sums16._b.AsInt16(), w));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddQuads(Lanes256 sums32, Lanes256 u, Lanes256 s) => new(
        AvxVnni.MultiplyWideningAndAdd(sums32._a, u._a.AsByte(), s._a.AsSByte()),
        AvxVnni.MultiplyWideningAndAdd(sums32._b, u._b.AsByte(), s._b.AsSByte()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes256 a) => SumOf(a.A + a.B);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int SumInt(Lanes256 a) => Vector256.Sum(a._a + a._b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Lanes256 a) => MaxOf(Avx.Max(a.A, a.B));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static float SumOf(Vector256<float> v)
    {
        Vector128<float> q = v.GetLower() + v.GetUpper();
        Vector128<float> d = q + Vector128.Shuffle(q, Vector128.Create(2, 3, 0, 1));
        return d.ToScalar() + d.GetElement(1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static float MaxOf(Vector256<float> v)
    {
        Vector128<float> q = Sse.Max(v.GetLower(), v.GetUpper());
        Vector128<float> d = Sse.Max(q, Vector128.Shuffle(q, Vector128.Create(2, 3, 0, 1)));
        return Sse.MaxScalar(d, Vector128.Shuffle(d, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }
}
