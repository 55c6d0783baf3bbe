using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>The pieces that unpacking the block formats shares.</summary>
internal static unsafe class Unpack
{
    public const int QuadBytes = 64;
    public const int Quads = 8;
    public const int BlockCodes = QuadBytes * Quads;

    private const float HalfToSingle = 5.192296858534828e33f; // 2^112: moves a binary16 exponent to binary32's bias

    /// <summary>Sixteen finite binary16 values to binary32, subnormals included, by moving the bits and one exact product.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Halves<TLanes>(byte* p)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes h = TLanes.LoadU16((ushort*)p);
        TLanes sign = TLanes.ShiftLeft(TLanes.And(h, TLanes.Broadcast(0x8000)), 16);
        TLanes magnitude = TLanes.ShiftLeft(TLanes.And(h, TLanes.Broadcast(0x7fff)), 13);
        return TLanes.Or(TLanes.Mul(magnitude, TLanes.Broadcast(HalfToSingle)), sign);
    }

    /// <summary>Quads q and q + 4 of 256 bytes of nibbles: the first four quads stand in the low ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Nibbles<TLanes>(byte* packed, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes mask = TLanes.Broadcast(0x0f0f0f0f);
        TLanes both = TLanes.LoadBytes(packed + QuadBytes * quad);
        low = TLanes.And(both, mask);
        high = TLanes.And(TLanes.ShiftRight(both, 4), mask);
    }

    /// <summary>As <see cref="Nibbles"/>, with a fifth bit for quad q in bit q of 64 further bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void FiveBits<TLanes>(byte* packed, byte* fifthBits, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes fifth = TLanes.Broadcast(0x10101010);
        TLanes bits = TLanes.LoadBytes(fifthBits);
        Nibbles(packed, quad, out low, out high);
        low = TLanes.Or(low, TLanes.And(TLanes.ShiftLeft(bits, 4 - quad), fifth));
        high = TLanes.Or(high, TLanes.And(TLanes.ShiftRight(bits, quad), fifth));
    }

    /// <summary>The scale of a row as the file has it; a scale that is not finite is a damaged file.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CopyHalf(byte* source, byte* destination)
    {
        ushort bits = Unsafe.ReadUnaligned<ushort>(source);
        if ((bits & 0x7c00) == 0x7c00) ThrowNotFinite();
        Unsafe.WriteUnaligned(destination, bits);
    }

    /// <summary>Spreads bits 0..3 to bit 0 of four bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Spread(uint bits) => (bits & 0xf) * 0x00204081 & 0x01010101;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Read(byte* p) => Unsafe.ReadUnaligned<uint>(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(byte* p, uint value) => Unsafe.WriteUnaligned(p, value);

    public static void ThrowNotFinite() =>
        throw FlintException.File("weight_not_finite", "A weight or a block's scale is infinite or not a number.");
}
