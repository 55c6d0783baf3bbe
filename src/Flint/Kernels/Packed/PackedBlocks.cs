using System.Runtime.CompilerServices;
using Flint.Formats;
using static Flint.Kernels.Unpack;

namespace Flint.Kernels;

/// <summary>Q8_0 for the kernels: 16 scales (binary16), then eight quads of q + 128.</summary>
internal readonly unsafe struct PackedQ8_0 : IPackedCodes
{
    public static WeightType Type => WeightType.Q8_0;

    public static int UnitLength => 32;

    public static int UnitBytes => 32 + BlockCodes;

    public static int CodeBits => 8;

    public static int Bias => 128;

    public static bool HasOffset => false;

    public static int ScalesPerBlock => 1;

    public static void Pack(byte* source, long rowBytes, int rows, byte* unit)
    {
        for (int r = 0; r < rows; r++, source += rowBytes)
        {
            CopyHalf(source, unit + 2 * r);
            for (int q = 0; q < Quads; q++) Write(unit + 32 + QuadBytes * q + 4 * r, Read(source + 2 + 4 * q) ^ 0x80808080);
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
        where TLanes : struct, ILanes<TLanes> => unitScale;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes> => unitOffset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes>
    {
        low = TLanes.LoadBytes(unit + 32 + QuadBytes * quad);
        high = TLanes.LoadBytes(unit + 32 + QuadBytes * (quad + 4));
    }
}

/// <summary>Q4_0 for the kernels: 16 scales (binary16), then 256 bytes of nibbles.</summary>
internal readonly unsafe struct PackedQ4_0 : IPackedCodes
{
    public static WeightType Type => WeightType.Q4_0;

    public static int UnitLength => 32;

    public static int UnitBytes => 32 + BlockCodes / 2;

    public static int CodeBits => 4;

    public static int Bias => 8;

    public static bool HasOffset => false;

    public static int ScalesPerBlock => 1;

    public static void Pack(byte* source, long rowBytes, int rows, byte* unit)
    {
        for (int r = 0; r < rows; r++, source += rowBytes)
        {
            CopyHalf(source, unit + 2 * r);
            for (int q = 0; q < 4; q++) Write(unit + 32 + QuadBytes * q + 4 * r, Read(source + 2 + 4 * q));
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
        where TLanes : struct, ILanes<TLanes> => unitScale;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes> => unitOffset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes> => Nibbles(unit + 32, quad, out low, out high);
}

/// <summary>Q4_1 for the kernels: 16 scales and 16 minima (binary16), then 256 bytes of nibbles.</summary>
internal readonly unsafe struct PackedQ4_1 : IPackedCodes
{
    public static WeightType Type => WeightType.Q4_1;

    public static int UnitLength => 32;

    public static int UnitBytes => 64 + BlockCodes / 2;

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
            for (int q = 0; q < 4; q++) Write(unit + 64 + QuadBytes * q + 4 * r, Read(source + 4 + 4 * q));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitScale<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => Halves<TLanes>(unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitOffset<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => Halves<TLanes>(unit + 32);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Scale<TLanes>(TLanes unitScale, byte* unit, int block, int half)
        where TLanes : struct, ILanes<TLanes> => unitScale;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes> => unitOffset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes> => Nibbles(unit + 64, quad, out low, out high);
}

/// <summary>Q5_0 for the kernels: 16 scales (binary16), 64 bytes of fifth bits (bit q for quad q), 256 bytes of nibbles.</summary>
internal readonly unsafe struct PackedQ5_0 : IPackedCodes
{
    public static WeightType Type => WeightType.Q5_0;

    public static int UnitLength => 32;

    public static int UnitBytes => 32 + QuadBytes + BlockCodes / 2;

    public static int CodeBits => 5;

    public static int Bias => 16;

    public static bool HasOffset => false;

    public static int ScalesPerBlock => 1;

    public static void Pack(byte* source, long rowBytes, int rows, byte* unit)
    {
        for (int r = 0; r < rows; r++, source += rowBytes)
        {
            CopyHalf(source, unit + 2 * r);
            PackFifthBits(Read(source + 2), unit + 32 + 4 * r);
            for (int q = 0; q < 4; q++) Write(unit + 96 + QuadBytes * q + 4 * r, Read(source + 6 + 4 * q));
        }
    }

    /// <summary>From bit i for column i to bit q of byte b for column 4q + b.</summary>
    internal static void PackFifthBits(uint columns, byte* destination)
    {
        uint packed = 0;
        for (int q = 0; q < Quads; q++) packed |= Spread(columns >> 4 * q) << q;
        Write(destination, packed);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitScale<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => Halves<TLanes>(unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitOffset<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => TLanes.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Scale<TLanes>(TLanes unitScale, byte* unit, int block, int half)
        where TLanes : struct, ILanes<TLanes> => unitScale;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes> => unitOffset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes> => FiveBits(unit + 96, unit + 32, quad, out low, out high);
}

/// <summary>Q5_1 for the kernels: 16 scales and 16 minima (binary16), 64 bytes of fifth bits, 256 bytes of nibbles.</summary>
internal readonly unsafe struct PackedQ5_1 : IPackedCodes
{
    public static WeightType Type => WeightType.Q5_1;

    public static int UnitLength => 32;

    public static int UnitBytes => 64 + QuadBytes + BlockCodes / 2;

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
            PackedQ5_0.PackFifthBits(Read(source + 4), unit + 64 + 4 * r);
            for (int q = 0; q < 4; q++) Write(unit + 128 + QuadBytes * q + 4 * r, Read(source + 8 + 4 * q));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitScale<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => Halves<TLanes>(unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes UnitOffset<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes> => Halves<TLanes>(unit + 32);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Scale<TLanes>(TLanes unitScale, byte* unit, int block, int half)
        where TLanes : struct, ILanes<TLanes> => unitScale;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes> => unitOffset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes> => FiveBits(unit + 128, unit + 64, quad, out low, out high);
}
