using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Flint.Kernels;

/// <summary>
/// Coded weights times two rows of 8-bit activations and more, on emitted tiles: what <see cref="GemmCodes"/> does for its lanes,
/// with the same bits. A chunk of a tile's groups is unpacked to a panel in the first-level cache, then the tokens pass over it;
/// sums stand in the output between chunks.
/// </summary>
internal static unsafe class GemmTiles
{
    private const int PanelBytes = Activations.ChunkBlocks * TileCode.MaxGroups * (Unpack.Quads + 2) * Unpack.QuadBytes;

    /// <summary>Codes of activations that stay in the second-level cache, with their scales and what else passes through it.</summary>
    internal const int CachedBytes = 512 << 10;

    /// <summary>Up to so many rows of activations a product waits for its weights, and groups one by one are one forward stream.</summary>
    private const int StreamRows = 8;

    /// <summary>Up to so many tiles over a panel ask ahead for the next one's weights block by block; more would ask for each line often.</summary>
    private const int AskingPasses = 4;

    private const int CacheLineBytes = 64;

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
            for (int group = from; group < to; group += GroupsAt(tiles, p, x, group, to))
            {
                for (int first = 0; first < blocks; first += Activations.ChunkBlocks)
                    Chunk<TFormat>(tiles, p, x, group, GroupsAt(tiles, p, x, group, to), first, isGroupNext: false, scratch);
            }
        }
        else
        {
            // All groups pass over a chunk of the activations while it is in the second-level cache.
            for (int first = 0; first < blocks; first += Activations.ChunkBlocks)
            {
                for (int group = from; group < to; group += GroupsAt(tiles, p, x, group, to))
                    Chunk<TFormat>(tiles, p, x, group, GroupsAt(tiles, p, x, group, to), first, isGroupNext: true, scratch);
            }
        }
    }

    /// <summary>Groups of the tile that starts at a group. A last group of fewer than 16 rows is alone.</summary>
    private static int GroupsAt(TileSet tiles, in Product p, in Activations x, int group, int to)
    {
        if (x.Rows <= StreamRows) return 1;
        int whole = Math.Min(to, p.Rows / PackedMatrix.GroupRows) - group;
        return Math.Clamp(whole, 1, tiles.Groups);
    }

    /// <summary>One chunk of a tile's groups: unpacks it and passes all rows of activations over it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Chunk<TFormat>(TileSet tiles, in Product p, in Activations x, int group, int groups, int first, bool isGroupNext, byte* scratch)
        where TFormat : struct, IPackedCodes
    {
        int blocks = x.Columns / Activations.BlockLength, blocksPerUnit = TFormat.UnitLength / Activations.BlockLength;
        int count = Math.Min(Activations.ChunkBlocks, blocks - first);
        long groupBytes = (long)(blocks / blocksPerUnit) * TFormat.UnitBytes, chunkBytes = (long)(count / blocksPerUnit) * TFormat.UnitBytes;
        byte* unit = p.Data + group * groupBytes + (long)(first / blocksPerUnit) * TFormat.UnitBytes;
        for (int g = 0; g < groups; g++) Expand<TFormat>(unit + g * groupBytes, count, scratch + g * Unpack.QuadBytes, groups);

        int columns = Math.Min(groups * PackedMatrix.GroupRows, p.Rows - group * PackedMatrix.GroupRows);
        bool isWhole = columns == groups * PackedMatrix.GroupRows;
        float* sums = isWhole ? p.Output + group * PackedMatrix.GroupRows : (float*)(scratch + PanelBytes);
        long stride = (isWhole ? p.OutputStride : PackedMatrix.GroupRows) * sizeof(float);
        float* zeros = stackalloc float[TileCode.MaxGroups * PackedMatrix.GroupRows];
        new Span<float>(zeros, TileCode.MaxGroups * PackedMatrix.GroupRows).Clear();
        var arguments = new TileArguments
        {
            Panel = scratch,
            Codes = x.Codes + (long)first * x.Rows * Activations.BlockLength,
            Scales = x.Scales + (long)first * x.Rows,
            ScaleStride = (long)count * BlockScale.Bytes,
            Blocks = count,
            Start = first == 0 ? zeros : sums,
            StartStride = first == 0 ? 0 : stride,
            Sums = sums,
            SumStride = stride,
        };
        byte* next = isGroupNext ? unit + groups * groupBytes : unit + chunkBytes + (first + count < blocks ? 0 : (groups - 1) * groupBytes);
        var ahead = new Ahead { Weights = next, Bytes = chunkBytes, GroupBytes = groupBytes, Groups = groups };
        int passes = (x.Rows + tiles.TokensOf(groups) - 1) / tiles.TokensOf(groups);
        if (passes <= AskingPasses) AskingTokens(tiles.Entries(TFormat.Type, groups, asks: true), arguments, x.Rows, passes, ahead);
        else Tokens(tiles.Entries(TFormat.Type, groups, asks: false), arguments, x.Rows, passes, ahead);
        if (!isWhole && first + count == blocks) Gemm.StoreGroup<Lanes512>(sums, x.Rows, p.Output + group * PackedMatrix.GroupRows, p.OutputStride, columns);
    }

    /// <summary>
    /// Few rows of activations over a panel: what the next panel is unpacked from comes from memory while these tiles compute. A
    /// tile asks for the weights of one group.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AskingTokens(ReadOnlySpan<nint> entries, TileArguments arguments, int rows, int passes, in Ahead ahead)
    {
        for (int pass = 0; pass < passes; pass++)
        {
            Team.Split(rows, 1, pass, passes, out int row, out int end);
            int group = pass * ahead.Groups / passes;
            int first = (group * passes + ahead.Groups - 1) / ahead.Groups, last = ((group + 1) * passes + ahead.Groups - 1) / ahead.Groups;
            long share = ahead.Bytes / (last - first);
            arguments.Ahead = ahead.Weights + group * ahead.GroupBytes + (pass - first) * share;
            arguments.AheadStep = share / arguments.Blocks;
            Call(entries, ref arguments, end - row);
        }
    }

    /// <summary>One tile, and on to the tokens after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Call(ReadOnlySpan<nint> entries, ref TileArguments arguments, int count)
    {
        fixed (TileArguments* pointer = &arguments)
            ((delegate* unmanaged[SuppressGCTransition]<TileArguments*, void>)entries[count - 1])(pointer); // under a microsecond: no transition
        arguments.Scales += count * (arguments.ScaleStride / BlockScale.Bytes);
        arguments.Codes += count * TileCode.CodeStrides * arguments.ScaleStride;
        arguments.Start = (float*)((byte*)arguments.Start + count * arguments.StartStride);
        arguments.Sums = (float*)((byte*)arguments.Sums + count * arguments.SumStride);
    }

    /// <summary>Many rows of activations over a panel. Each tile first asks for the sums of the tile after it and for some weights of the next panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tokens(ReadOnlySpan<nint> entries, TileArguments arguments, int rows, int passes, Ahead ahead)
    {
        long aheadBytes = ahead.Bytes / passes + CacheLineBytes;
        int count;
        for (int row = 0; row < rows; row += count)
        {
            count = Math.Min(entries.Length, rows - row);
            byte* sums = (byte*)arguments.Sums + count * arguments.SumStride;
            for (int token = 0; token < count; token++, sums += arguments.SumStride)
            {
                for (int group = 0; group < ahead.Groups; group++) Sse.Prefetch0(sums + group * CacheLineBytes);
            }

            for (int group = 0; group < ahead.Groups; group++)
            {
                for (long at = 0; at < aheadBytes; at += CacheLineBytes) Sse.Prefetch1(ahead.Weights + group * ahead.GroupBytes + at);
            }

            ahead.Weights += aheadBytes;
            Call(entries, ref arguments, count);
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

    /// <summary>The weights that the next panel is unpacked from.</summary>
    private struct Ahead
    {
        public byte* Weights;
        public long Bytes;
        public long GroupBytes;
        public int Groups;
    }
}
