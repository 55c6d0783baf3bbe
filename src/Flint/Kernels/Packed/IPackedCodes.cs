using Flint.Formats;

namespace Flint.Kernels;

/// <summary>
/// A block format laid out for the kernels: 16 rows side by side, so that lane i of a vector is row i. Codes stand in quads:
/// four neighbouring columns of each row fill one 32-bit lane, a quad of 16 rows fills 64 bytes, a block of 32 columns is
/// eight quads. A weight is scale·(code − <see cref="Bias"/>), or scale·code + offset where <see cref="HasOffset"/>.
/// </summary>
internal unsafe interface IPackedCodes
{
    static abstract WeightType Type { get; }

    /// <summary>Columns of one packed unit: 32, or 256 for the K formats.</summary>
    static abstract int UnitLength { get; }

    /// <summary>Bytes of one unit of 16 rows.</summary>
    static abstract int UnitBytes { get; }

    /// <summary>Bits of a code: what bounds the 16-bit sums.</summary>
    static abstract int CodeBits { get; }

    static abstract int Bias { get; }

    static abstract bool HasOffset { get; }

    /// <summary>Scales per block of 32 columns: 1, or 2 where each 16 columns have their own.</summary>
    static abstract int ScalesPerBlock { get; }

    /// <summary>Packs one unit from up to 16 rows of the file's blocks. Absent rows become zeros.</summary>
    /// <param name="source">The unit's first block in the first row.</param>
    /// <param name="rowBytes">Bytes from one row to the next.</param>
    /// <param name="rows">Rows present, 1 to 16.</param>
    /// <param name="unit">Zeroed room for <see cref="UnitBytes"/>.</param>
    static abstract void Pack(byte* source, long rowBytes, int rows, byte* unit);

    /// <summary>The scale of each row in a unit; for the K formats what its blocks' scales are multiples of.</summary>
    static abstract TLanes UnitScale<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes>;

    /// <summary>The offset of each row likewise; only where <see cref="HasOffset"/>.</summary>
    static abstract TLanes UnitOffset<TLanes>(byte* unit)
        where TLanes : struct, ILanes<TLanes>;

    /// <summary>The scales of a block, or of its first or second half.</summary>
    static abstract TLanes Scale<TLanes>(TLanes unitScale, byte* unit, int block, int half)
        where TLanes : struct, ILanes<TLanes>;

    /// <summary>The offsets of a block.</summary>
    static abstract TLanes Offset<TLanes>(TLanes unitOffset, byte* unit, int block)
        where TLanes : struct, ILanes<TLanes>;

    /// <summary>The codes of quads <paramref name="quad"/> (0 to 3) and <paramref name="quad"/> + 4 of a block.</summary>
    static abstract void Pair<TLanes>(byte* unit, int block, int quad, out TLanes low, out TLanes high)
        where TLanes : struct, ILanes<TLanes>;
}
