using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Flint.Kernels;

/// <summary>Sixteen lanes in one 512-bit register (AVX-512 F and BW). Byte products go through AVX-VNNI's 256-bit form where there is one.</summary>
internal readonly unsafe struct Lanes512(Vector512<int> value) : ILanes<Lanes512>
{
    private readonly Vector512<int> _v = value;

    public static bool HasByteDot => AvxVnni.IsSupported;

    public static Lanes512 Zero => default;

    private Vector512<float> F => _v.AsSingle();

    private static Lanes512 Of(Vector512<float> v) => new(v.AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Load(float* p) => Of(Vector512.Load(p));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Load(int* p) => new(Vector512.Load(p));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadBytes(byte* p) => new(Vector512.Load(p).AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadU16(ushort* p) => new(Avx512F.ConvertToVector512Int32(Vector256.Load(p)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadI16(short* p) => new(Avx512F.ConvertToVector512Int32(Vector256.Load(p)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadU8(byte* p) => new(Avx512F.ConvertToVector512Int32(Vector128.Load(p)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadI8(sbyte* p) => new(Avx512F.ConvertToVector512Int32(Vector128.Load(p)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes512 a, float* p) => a.F.Store(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes512 a, byte* p) => a._v.AsByte().Store(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreI8(Lanes512 a, sbyte* p) => Avx512F.ConvertToVector128SByte(a._v).Store(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Broadcast(float a) => Of(Vector512.Create(a));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Broadcast(int a) => new(Vector512.Create(a));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Add(Lanes512 a, Lanes512 b) => Of(a.F + b.F);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Sub(Lanes512 a, Lanes512 b) => Of(a.F - b.F);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Mul(Lanes512 a, Lanes512 b) => Of(a.F * b.F);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Div(Lanes512 a, Lanes512 b) => Of(a.F / b.F);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Fma(Lanes512 a, Lanes512 b, Lanes512 c) => Of(Avx512F.FusedMultiplyAdd(a.F, b.F, c.F));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Max(Lanes512 a, Lanes512 b) => Of(Avx512F.Max(a.F, b.F));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Min(Lanes512 a, Lanes512 b) => Of(Avx512F.Min(a.F, b.F));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Sqrt(Lanes512 a) => Of(Avx512F.Sqrt(a.F));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Round(Lanes512 a) => Of(Avx512F.RoundScale(a.F, 0));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ToFloat(Lanes512 a) => Of(Avx512F.ConvertToVector512Single(a._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ToInt(Lanes512 a) => new(Avx512F.ConvertToVector512Int32(a.F));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddInt(Lanes512 a, Lanes512 b) => new(a._v + b._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 And(Lanes512 a, Lanes512 b) => new(a._v & b._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Or(Lanes512 a, Lanes512 b) => new(a._v | b._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ShiftLeft(Lanes512 a, int bits) => new(a._v << bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ShiftRight(Lanes512 a, int bits) => new(a._v >>> bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddPairs(Lanes512 sums16, Lanes512 u, Lanes512 s) =>
        new((sums16._v.AsInt16() + Avx512BW.MultiplyAddAdjacent(u._v.AsByte(), s._v.AsSByte())).AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddSums(Lanes512 sums32, Lanes512 sums16, short weight) =>
        new(sums32._v + Avx512BW.MultiplyAddAdjacent(sums16._v.AsInt16(), Vector512.Create(weight)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddQuads(Lanes512 sums32, Lanes512 u, Lanes512 s) => new(Vector512.Create(
        AvxVnni.MultiplyWideningAndAdd(sums32._v.GetLower(), u._v.GetLower().AsByte(), s._v.GetLower().AsSByte()),
        AvxVnni.MultiplyWideningAndAdd(sums32._v.GetUpper(), u._v.GetUpper().AsByte(), s._v.GetUpper().AsSByte())));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes512 a) => Lanes256.SumOf(a.F.GetLower() + a.F.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int SumInt(Lanes512 a) => Vector512.Sum(a._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Lanes512 a) => Lanes256.MaxOf(Avx.Max(a.F.GetLower(), a.F.GetUpper()));
}
