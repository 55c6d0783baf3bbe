using System.Runtime.CompilerServices;
using Flint.Formats;

namespace Flint.Kernels;

/// <summary>A format without blocks laid out for the kernels: for each column, the elements of 16 rows side by side.</summary>
internal unsafe interface IPackedFloats
{
    static abstract WeightType Type { get; }

    static abstract int ElementBytes { get; }

    /// <summary>Sixteen elements as binary32.</summary>
    static abstract TLanes Load<TLanes>(byte* p)
        where TLanes : struct, ILanes<TLanes>;

    static abstract bool IsFinite(byte* element);
}

internal readonly unsafe struct PackedF32 : IPackedFloats
{
    public static WeightType Type => WeightType.F32;

    public static int ElementBytes => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* p)
        where TLanes : struct, ILanes<TLanes> => TLanes.Load((float*)p);

    public static bool IsFinite(byte* element) => (Unsafe.ReadUnaligned<uint>(element) & 0x7f800000) != 0x7f800000;
}

internal readonly unsafe struct PackedF16 : IPackedFloats
{
    public static WeightType Type => WeightType.F16;

    public static int ElementBytes => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* p)
        where TLanes : struct, ILanes<TLanes> => Unpack.Halves<TLanes>(p);

    public static bool IsFinite(byte* element) => (Unsafe.ReadUnaligned<ushort>(element) & 0x7c00) != 0x7c00;
}

internal readonly unsafe struct PackedBF16 : IPackedFloats
{
    public static WeightType Type => WeightType.BF16;

    public static int ElementBytes => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* p)
        where TLanes : struct, ILanes<TLanes> => TLanes.ShiftLeft(TLanes.LoadU16((ushort*)p), 16);

    public static bool IsFinite(byte* element) => (Unsafe.ReadUnaligned<ushort>(element) & 0x7f80) != 0x7f80;
}
