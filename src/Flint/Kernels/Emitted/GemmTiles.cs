using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>
/// Coded weights times two rows of 8-bit activations and more, on emitted tiles: what <see cref="GemmCodes"/> does for its lanes,
/// with the same bits. A chunk of a tile's groups is unpacked to a panel in the first-level cache, then the tokens pass over it;
/// sums stand in the output between chunks.
/// </summary>
internal static unsafe class GemmTiles
{
    private const int PanelBytes = Activations.ChunkBlocks * TileCode.MaxGroups * (Unpack.Quads + 2) * Unpack.QuadBytes;

    /// <summary>Activations up to this size are left in the second-level cache between groups.</summary>
    internal static long CachedBytes = 512 << 10;

    /// <summary>Bytes of scratch a thread needs for so many rows of activations: the panel, and the sums of a last group that is not whole.</summary>
    public static long ScratchBytes(int rows) => PanelBytes + (long)rows * 16 * sizeof(float);

    /// <summary>Groups [from, to) of y = x·Wᵀ, as in <see cref="GemmCodes.Run"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<TFormat>(TileSet tiles, in Product p, in Activations x, int from, int to, byte* scratch)
        where TFormat : struct, IPackedCodes
    {
        int blocks = x.Columns / Activations.BlockLength;
        if ((long)x.Rows * x.Columns <= CachedBytes)
        {
            for (int group = from; group < to; group += GroupsAt(tiles, p, group, to))
            {
                for (int first = 0; first < blocks; first += Activations.ChunkBlocks)
                    Chunk<TFormat>(tiles, p, x, group, GroupsAt(tiles, p, group, to), first, scratch);
            }
        }
        else
        {
            // All groups pass over a chunk of the activations while it is in the second-level cache.
            for (int first = 0; first < blocks; first += Activations.ChunkBlocks)
            {
                for (int group = from; group < to; group += GroupsAt(tiles, p, group, to))
                    Chunk<TFormat>(tiles, p, x, group, GroupsAt(tiles, p, group, to), first, scratch);
            }
        }
    }

    /// <summary>Groups of the tile that starts at a group: a last group of fewer than 16 rows is alone.</summary>
    private static int GroupsAt(TileSet tiles, in Product p, int group, int to)
    {
        int whole = Math.Min(to, p.Rows / PackedMatrix.GroupRows) - group;
        return Math.Clamp(whole, 1, tiles.Groups);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Chunk<TFormat>(TileSet tiles, in Product p, in Activations x, int group, int groups, int first, byte* scratch)
        where TFormat : struct, IPackedCodes
    {
        int blocks = x.Columns / Activations.BlockLength;
        int count = Math.Min(Activations.ChunkBlocks, blocks - first);
        long groupBytes = (long)(x.Columns / TFormat.UnitLength) * TFormat.UnitBytes;
        byte* unit = p.Data + group * groupBytes + (long)(first / (TFormat.UnitLength / Activations.BlockLength)) * TFormat.UnitBytes;
        for (int g = 0; g < groups; g++) Expand<TFormat>(unit + g * groupBytes, count, scratch + g * Unpack.QuadBytes, groups);

        int columns = Math.Min(groups * 16, p.Rows - group * 16);
        bool isWhole = columns == groups * 16;
        float* sums = isWhole ? p.Output + group * 16 : (float*)(scratch + PanelBytes);
        int stride = isWhole ? p.OutputStride : 16;
        if (first == 0)
        {
            for (int row = 0; row < x.Rows; row++) new Span<float>(sums + (long)row * stride, groups * 16).Clear();
        }

        Tokens(tiles, tiles.Entries(TFormat.Type).AsSpan((groups - 1) * tiles.Tokens, tiles.Tokens), x, first, count, scratch, sums, stride);
        if (!isWhole && first + count == blocks) Gemm.StoreGroup<Lanes512>(sums, x.Rows, p.Output + group * 16, p.OutputStride, columns);
    }

    /// <summary>All rows of activations over a panel.</summary>
    private static void Tokens(TileSet tiles, ReadOnlySpan<nint> entries, in Activations x, int first, int count, byte* panel, float* sums, int stride)
    {
        sbyte* codes = x.Codes + (long)first * x.Rows * Activations.BlockLength;
        BlockScale* scales = x.Scales + (long)first * x.Rows;
        TileArguments arguments;
        arguments.Panel = panel;
        arguments.SumStride = (long)stride * sizeof(float);
        arguments.ScaleStride = (long)count * BlockScale.Bytes;
        arguments.Blocks = count;
        for (int row = 0; row < x.Rows; row += tiles.Tokens)
        {
            arguments.Codes = codes + (long)row * count * Activations.BlockLength;
            arguments.Scales = scales + (long)row * count;
            arguments.Sums = sums + (long)row * stride;
            var tile = (delegate* unmanaged[SuppressGCTransition]<TileArguments*, void>)entries[Math.Min(tiles.Tokens, x.Rows - row) - 1];
            tile(&arguments); // under a microsecond: no transition
        }
    }

    /// <summary>Unpacks a chunk of one group to its places in a panel of so many groups (<see cref="TileShape.BlockBytes"/>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Expand<TFormat>(byte* unit, int blocks, byte* panel, int groups)
        where TFormat : struct, IPackedCodes
    {
        int blocksPerUnit = TFormat.UnitLength / Activations.BlockLength;
        int step = groups * Unpack.QuadBytes;
        for (int first = 0; first < blocks; first += blocksPerUnit, unit += TFormat.UnitBytes)
        {
            Lanes512 unitScale = TFormat.UnitScale<Lanes512>(unit);
            Lanes512 unitOffset = TFormat.UnitOffset<Lanes512>(unit);
            for (int block = 0; block < blocksPerUnit; block++)
            {
                for (int quad = 0; quad < 4; quad++)
                {
                    TFormat.Pair(unit, block, quad, out Lanes512 low, out Lanes512 high);
                    Lanes512.Store(low, panel + quad * step);
                    Lanes512.Store(high, panel + (quad + 4) * step);
                }

                panel += Unpack.Quads * step;
                for (int half = 0; half < TFormat.ScalesPerBlock; half++, panel += step)
                    Lanes512.Store(TFormat.Scale(unitScale, unit, block, half), panel);
                if (TFormat.HasOffset)
                {
                    Lanes512.Store(TFormat.Offset(unitOffset, unit, block), panel);
                    panel += step;
                }
            }
        }
    }
}
