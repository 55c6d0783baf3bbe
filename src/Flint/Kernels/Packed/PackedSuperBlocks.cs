using System.Runtime.CompilerServices;
using Flint.Formats;
using static Flint.Kernels.Unpack;

namespace Flint.Kernels;

/// <summary>
/// Q4_K for the kernels: 16 d and 16 m (binary16), then for each of eight blocks 16 scales and 16 minima (bytes) and 256 bytes of nibbles.
/// </summary>
internal readonly unsafe struct PackedQ4_K : IPackedCodes
{
    private const int BlockBytes = 32 + BlockCodes / 2;

    public static WeightType Type => WeightType.Q4_K;

    public static int UnitLength => 256;

    public static int UnitBytes => 64 + 8 * BlockBytes;

    public static int CodeBits => 4;

    public static int Bias => 0;

    public static bool HasOffset => true;

    public static int ScalesPerBlock => 1;

    public static void Pack(byte* source, long rowBytes, int rows, byte* unit)
    {
        for (int r = 0; r < rows; r++, source += rowBytes)
        {
            CopyHalf(source, unit + 2 * r);
            CopyHalf(source + 2, unit + 32 + 2 * r);
            for (int b = 0; b < 8; b++)
            {
                byte* packed = unit + 64 + b * BlockBytes;
                Q4_K.ScaleAndMinimum(source + 4, b, out int scale, out int minimum);
                packed[r] = (byte)scale;
                packed[16 + r] = (byte)minimum;
                PackNibbles(source + 16 + 32 * (b >> 1), 4 * (b & 1), packed + 32 + 4 * r);
            }
        }
    }

    /// <summary>Packs 32 codes that stand in one nibble of 32 bytes: columns 0..15 to low, 16..31 to high nibbles.</summary>
    internal static void PackNibbles(byte* source, int shift, byte* destination)
    {
        for (int q = 0; q < 4; q++)
        {
            uint low = Read(source + 4 * q) >> shift & 0x0f0f0f0f;
            uint high = Read(source + 16 + 4 * q) >> shift & 0x0f0f0f0f;
            Write(destination + QuadBytes * q, low | high << 4);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitScale<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => Halves<TLanes>(unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitOffset<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => TLanes.Sub(TLanes.Zero, Halves<TLanes>(unit + 32));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Scale<TLanes>(TLanes unitScale, byte* unit, int block, int half)
        where TLanes : struct, ILanes<TLanes> => TLanes.Mul(unitScale, TLanes.ToFloat(TLanes.LoadU8(unit + 64 + block * BlockBytes)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes> => TLanes.Mul(unitOffset, TLanes.ToFloat(TLanes.LoadU8(unit + 80 + block * BlockBytes)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes> => Nibbles(unit + 96 + block * BlockBytes, quad, out low, out high);
}

/// <summary>Q5_K for the kernels: as <see cref="PackedQ4_K"/>, with 64 bytes of fifth bits before each block's nibbles.</summary>
internal readonly unsafe struct PackedQ5_K : IPackedCodes
{
    private const int BlockBytes = 32 + QuadBytes + BlockCodes / 2;

    public static WeightType Type => WeightType.Q5_K;

    public static int UnitLength => 256;

    public static int UnitBytes => 64 + 8 * BlockBytes;

    public static int CodeBits => 5;

    public static int Bias => 0;

    public static bool HasOffset => true;

    public static int ScalesPerBlock => 1;

    public static void Pack(byte* source, long rowBytes, int rows, byte* unit)
    {
        for (int r = 0; r < rows; r++, source += rowBytes)
        {
            CopyHalf(source, unit + 2 * r);
            CopyHalf(source + 2, unit + 32 + 2 * r);
            for (int b = 0; b < 8; b++)
            {
                byte* packed = unit + 64 + b * BlockBytes;
                Q4_K.ScaleAndMinimum(source + 4, b, out int scale, out int minimum);
                packed[r] = (byte)scale;
                packed[16 + r] = (byte)minimum;
                uint fifth = 0;
                for (int q = 0; q < Quads; q++) fifth |= (Read(source + 16 + 4 * q) >> b & 0x01010101) << q;
                Write(packed + 32 + 4 * r, fifth);
                PackedQ4_K.PackNibbles(source + 48 + 32 * (b >> 1), 4 * (b & 1), packed + 96 + 4 * r);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitScale<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => Halves<TLanes>(unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitOffset<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => TLanes.Sub(TLanes.Zero, Halves<TLanes>(unit + 32));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Scale<TLanes>(TLanes unitScale, byte* unit, int block, int half)
        where TLanes : struct, ILanes<TLanes> => TLanes.Mul(unitScale, TLanes.ToFloat(TLanes.LoadU8(unit + 64 + block * BlockBytes)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes> => TLanes.Mul(unitOffset, TLanes.ToFloat(TLanes.LoadU8(unit + 80 + block * BlockBytes)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes> => FiveBits(unit + 160 + block * BlockBytes, unit + 96 + block * BlockBytes, quad, out low, out high);
}

/// <summary>
/// Q6_K for the kernels: 16 d (binary16), then for each of eight blocks 2 × 16 scales (signed bytes), 128 bytes of upper bit
/// pairs (pair q mod 4 of the first or second 64 bytes for quad q) and 256 bytes of nibbles.
/// </summary>
internal readonly unsafe struct PackedQ6_K : IPackedCodes
{
    private const int BlockBytes = 32 + 2 * QuadBytes + BlockCodes / 2;

    public static WeightType Type => WeightType.Q6_K;

    public static int UnitLength => 256;

    public static int UnitBytes => 32 + 8 * BlockBytes;

    public static int CodeBits => 6;

    public static int Bias => 32;

    public static bool HasOffset => false;

    public static int ScalesPerBlock => 2;

    public static void Pack(byte* source, long rowBytes, int rows, byte* unit)
    {
        for (int r = 0; r < rows; r++, source += rowBytes)
        {
            CopyHalf(source + 208, unit + 2 * r);
            for (int b = 0; b < 8; b++)
            {
                byte* packed = unit + 32 + b * BlockBytes;
                packed[r] = source[192 + 2 * b];
                packed[16 + r] = source[193 + 2 * b];
                int part = b & 3;
                byte* pairs = source + 128 + 32 * (b >> 2);
                for (int half = 0; half < 2; half++)
                {
                    uint upper = 0;
                    for (int q = 0; q < 4; q++) upper |= (Read(pairs + 16 * half + 4 * q) >> 2 * part & 0x03030303) << 2 * q;
                    Write(packed + 32 + QuadBytes * half + 4 * r, upper);
                }

                PackedQ4_K.PackNibbles(source + 64 * (b >> 2) + 32 * (part & 1), 4 * (part >> 1), packed + 160 + 4 * r);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitScale<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => Halves<TLanes>(unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitOffset<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => TLanes.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Scale<TLanes>(TLanes unitScale, byte* unit, int block, int half)
        where TLanes : struct, ILanes<TLanes> => TLanes.Mul(unitScale, TLanes.ToFloat(TLanes.LoadI8((sbyte*)unit + 32 + block * BlockBytes + 16 * half)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes> => unitOffset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes>
    {
        byte* packed = unit + 32 + block * BlockBytes;
        TLanes pair = TLanes.Broadcast(0x30303030);
        TLanes first = TLanes.LoadBytes(packed + 32);
        TLanes second = TLanes.LoadBytes(packed + 32 + QuadBytes);
        // Two bits at 2·quad move to bits 4 and 5.
        first = quad < 2 ? TLanes.ShiftLeft(first, 4 - 2 * quad) : TLanes.ShiftRight(first, 2 * quad - 4);
        second = quad < 2 ? TLanes.ShiftLeft(second, 4 - 2 * quad) : TLanes.ShiftRight(second, 2 * quad - 4);
        Nibbles(packed + 160, quad, out low, out high);
        low = TLanes.Or(low, TLanes.And(first, pair));
        high = TLanes.Or(high, TLanes.And(second, pair));
    }
}
