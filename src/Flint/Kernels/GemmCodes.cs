using System.Numerics;
using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>
/// Coded weights times 8-bit activations. One group of 16 rows at a time: a chunk of columns is unpacked into the first-level
/// cache, then every row of activations passes over it in tiles. An output is the sum, block by block in column order, of
/// fma(float(Σ code·activation), scale·activationScale, sum) and, where the format has offsets, fma(offset, scaledSum, sum);
/// the inner sums are exact integers. So an output's bits depend on nothing but its weights and its activations.
/// </summary>
internal static unsafe class GemmCodes
{
    private const int CodesBytes = Activations.ChunkBlocks * Unpack.BlockCodes * 2;
    private const int ScalesBytes = Activations.ChunkBlocks * 32 * sizeof(float);
    private const int OffsetsBytes = Activations.ChunkBlocks * 16 * sizeof(float);

    /// <summary>Bytes of scratch a thread needs for so many rows of activations.</summary>
    public static long ScratchBytes(int rows) => CodesBytes + ScalesBytes + OffsetsBytes + (long)rows * 16 * sizeof(float);

    /// <summary>Groups [from, to) of y = x·Wᵀ.</summary>
    /// <param name="p">The weights and where y stands: [x.Rows][OutputStride].</param>
    /// <param name="x">The activations, quantized.</param>
    /// <param name="from">First group.</param>
    /// <param name="to">Group after the last.</param>
    /// <param name="scratch">This thread's room.</param>
    /// <param name="tiles">Emitted tiles for two rows and more; null for the body over <typeparamref name="TLanes"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<TFormat, TLanes>(in Product p, in Activations x, int from, int to, byte* scratch, TileSet? tiles)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        if (x.Rows == 1)
        {
            RunOne<TFormat, TLanes>(p.Data, p.Rows, x, p.Output, from, to);
            return;
        }

        if (tiles is not null)
        {
            GemmTiles.Run<TFormat>(tiles, p, x, from, to, scratch);
            return;
        }

        float* scales = (float*)(scratch + CodesBytes);
        float* offsets = (float*)(scratch + CodesBytes + ScalesBytes);
        float* sums = (float*)(scratch + CodesBytes + ScalesBytes + OffsetsBytes);
        int blocks = x.Columns / Activations.BlockLength;
        long groupBytes = (long)(x.Columns / TFormat.UnitLength) * TFormat.UnitBytes;
        for (int group = from; group < to; group++)
        {
            byte* unit = p.Data + group * groupBytes;
            new Span<float>(sums, x.Rows * 16).Clear();
            for (int first = 0; first < blocks; first += Activations.ChunkBlocks)
            {
                int count = Math.Min(Activations.ChunkBlocks, blocks - first);
                unit = ExpandChunk<TFormat, TLanes>(unit, count, scratch, scales, offsets);
                Tiles<TFormat, TLanes>(x, first, count, scratch, scales, offsets, sums);
            }

            Gemm.StoreGroup<TLanes>(sums, x.Rows, p.Output + group * 16, p.OutputStride, Math.Min(16, p.Rows - group * 16));
        }
    }

    /// <summary>Unpacks a chunk's codes, scales and offsets; gives the unit after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static byte* ExpandChunk<TFormat, TLanes>(byte* unit, int blocks, byte* codes, float* scales, float* offsets)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        int blocksPerUnit = TFormat.UnitLength / Activations.BlockLength;
        for (int first = 0; first < blocks; first += blocksPerUnit, unit += TFormat.UnitBytes)
        {
            TLanes unitScale = TFormat.UnitScale<TLanes>(unit);
            TLanes unitOffset = TFormat.UnitOffset<TLanes>(unit);
            for (int block = 0; block < blocksPerUnit; block++, codes += BlockBytes<TFormat, TLanes>(), offsets += 16)
            {
                for (int half = 0; half < TFormat.ScalesPerBlock; half++, scales += 16)
                    TLanes.Store(TFormat.Scale(unitScale, unit, block, half), scales);
                if (TFormat.HasOffset) TLanes.Store(TFormat.Offset(unitOffset, unit, block), offsets);
                for (int quad = 0; quad < 4; quad++)
                {
                    TFormat.Pair(unit, block, quad, out TLanes low, out TLanes high);
                    StoreQuad<TFormat, TLanes>(low, codes, quad);
                    StoreQuad<TFormat, TLanes>(high, codes, quad + 4);
                }
            }
        }

        return unit;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreQuad<TFormat, TLanes>(TLanes quad, byte* codes, int index)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        if (!IsSplit<TFormat, TLanes>())
        {
            TLanes.Store(quad, codes + Unpack.QuadBytes * index);
            return;
        }

        TLanes mask = TLanes.Broadcast(0x0f0f0f0f);
        TLanes.Store(TLanes.And(quad, mask), codes + 2 * Unpack.QuadBytes * index);
        TLanes.Store(TLanes.And(TLanes.ShiftRight(quad, 4), mask), codes + 2 * Unpack.QuadBytes * index + Unpack.QuadBytes);
    }

    /// <summary>One row of activations: codes go from their packed form straight into the sums, nothing is stored between.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RunOne<TFormat, TLanes>(byte* data, int rows, in Activations x, float* y, int from, int to)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        int blocksPerUnit = TFormat.UnitLength / Activations.BlockLength;
        int units = x.Columns / TFormat.UnitLength;
        float* last = stackalloc float[16];
        byte* unit = data + (long)from * units * TFormat.UnitBytes;
        for (int group = from; group < to; group++)
        {
            TLanes sum = TLanes.Zero;
            BlockScale* s = x.Scales;
            sbyte* a = x.Codes;
            for (int u = 0; u < units; u++, unit += TFormat.UnitBytes)
            {
                TLanes unitScale = TFormat.UnitScale<TLanes>(unit);
                TLanes unitOffset = TFormat.UnitOffset<TLanes>(unit);
                for (int block = 0; block < blocksPerUnit; block++, s++, a += Activations.BlockLength)
                {
                    DotOne<TFormat, TLanes>(unit, block, a, out TLanes first, out TLanes second);
                    if (TFormat.ScalesPerBlock == 1)
                    {
                        sum = Accumulate<TFormat, TLanes>(sum, TLanes.AddInt(first, second), TFormat.Scale(unitScale, unit, block, 0), s, 0);
                    }
                    else
                    {
                        sum = Accumulate<TFormat, TLanes>(sum, first, TFormat.Scale(unitScale, unit, block, 0), s, 0);
                        sum = Accumulate<TFormat, TLanes>(sum, second, TFormat.Scale(unitScale, unit, block, 1), s, 1);
                    }

                    if (TFormat.HasOffset) sum = TLanes.Fma(TFormat.Offset(unitOffset, unit, block), TLanes.Broadcast(s->ScaledSum), sum);
                }
            }

            int columns = Math.Min(16, rows - group * 16);
            if (columns == 16)
            {
                TLanes.Store(sum, y + group * 16);
            }
            else
            {
                TLanes.Store(sum, last);
                new ReadOnlySpan<float>(last, columns).CopyTo(new Span<float>(y + group * 16, columns));
            }
        }
    }

    /// <summary>The products of a block's first four quads and of its last four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void DotOne<TFormat, TLanes>(byte* unit, int block, sbyte* a, out TLanes first, out TLanes second)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        first = TLanes.Zero;
        second = TLanes.Zero;
        if (TLanes.HasByteDot)
        {
            for (int quad = 0; quad < 4; quad++, a += 4)
            {
                TFormat.Pair(unit, block, quad, out TLanes low, out TLanes high);
                first = TLanes.AddQuads(first, low, TLanes.Broadcast(*(int*)a));
                second = TLanes.AddQuads(second, high, TLanes.Broadcast(*(int*)(a + 16)));
            }
        }
        else if (IsSplit<TFormat, TLanes>())
        {
            TLanes mask = TLanes.Broadcast(0x0f0f0f0f);
            TLanes lower = TLanes.Zero, upper = TLanes.Zero;
            for (int quad = 0; quad < 4; quad++, a += 4)
            {
                TFormat.Pair(unit, block, quad, out TLanes low, out TLanes high);
                TLanes x = TLanes.Broadcast(*(int*)a);
                lower = TLanes.AddPairs(lower, TLanes.And(low, mask), x);
                upper = TLanes.AddPairs(upper, TLanes.And(TLanes.ShiftRight(low, 4), mask), x);
                x = TLanes.Broadcast(*(int*)(a + 16));
                lower = TLanes.AddPairs(lower, TLanes.And(high, mask), x);
                upper = TLanes.AddPairs(upper, TLanes.And(TLanes.ShiftRight(high, 4), mask), x);
            }

            first = TLanes.AddSums(TLanes.AddSums(first, lower, 1), upper, 16);
        }
        else
        {
            int together = Math.Min(4, QuadsPerSum<TFormat>());
            for (int quad = 0; quad < 4; quad += together)
            {
                TLanes lower = TLanes.Zero, upper = TLanes.Zero;
                for (int i = 0; i < together; i++, a += 4)
                {
                    TFormat.Pair(unit, block, quad + i, out TLanes low, out TLanes high);
                    lower = TLanes.AddPairs(lower, low, TLanes.Broadcast(*(int*)a));
                    upper = TLanes.AddPairs(upper, high, TLanes.Broadcast(*(int*)(a + 16)));
                }

                first = TLanes.AddSums(first, lower, 1);
                second = TLanes.AddSums(second, upper, 1);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tiles<TFormat, TLanes>(in Activations x, int first, int count, byte* codes, float* scales, float* offsets, float* sums)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        BlockScale* blockScales = x.Scales + (long)first * x.Rows;
        sbyte* activations = x.Codes + (long)first * x.Rows * Activations.BlockLength;
        int row = 0;
        for (; row + 4 <= x.Rows; row += 4)
            Tile4<TFormat, TLanes>(codes, scales, offsets, activations + (long)row * count * 32, blockScales + (long)row * count, sums + row * 16, count);
        for (; row < x.Rows; row++)
            Tile1<TFormat, TLanes>(codes, scales, offsets, activations + (long)row * count * 32, blockScales + (long)row * count, sums + row * 16, count);
    }

    /// <summary>Eight-bit codes are kept as two planes of nibbles where byte products go through saturating 16-bit sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsSplit<TFormat, TLanes>()
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes> => TFormat.CodeBits == 8 && !TLanes.HasByteDot;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int BlockBytes<TFormat, TLanes>()
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes> => IsSplit<TFormat, TLanes>() ? 2 * Unpack.BlockCodes : Unpack.BlockCodes;

    /// <summary>Quads whose pair sums fit 16 bits: 2·127·(2^bits − 1) each, at most 32,767 together.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int QuadsPerSum<TFormat>()
        where TFormat : struct, IPackedCodes => TFormat.CodeBits == 4 ? 8 : TFormat.CodeBits == 5 ? 4 : 2;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1<TFormat, TLanes>(byte* codes, float* scales, float* offsets, sbyte* a, BlockScale* s, float* sums, int blocks)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes sum = TLanes.Load(sums);
        for (int b = 0; b < blocks; b++, s++, offsets += 16)
        {
            for (int half = 0; half < TFormat.ScalesPerBlock; half++, scales += 16)
            {
                int quads = Unpack.Quads / TFormat.ScalesPerBlock;
                TLanes dot = TLanes.Zero;
                if (IsSplit<TFormat, TLanes>())
                {
                    TLanes low = TLanes.Zero, high = TLanes.Zero;
                    for (int q = 0; q < quads; q++, codes += 2 * Unpack.QuadBytes, a += 4)
                    {
                        TLanes x = TLanes.Broadcast(*(int*)a);
                        low = TLanes.AddPairs(low, TLanes.LoadBytes(codes), x);
                        high = TLanes.AddPairs(high, TLanes.LoadBytes(codes + Unpack.QuadBytes), x);
                    }

                    dot = TLanes.AddSums(TLanes.AddSums(dot, low, 1), high, 16);
                }
                else if (TLanes.HasByteDot)
                {
                    for (int q = 0; q < quads; q++, codes += Unpack.QuadBytes, a += 4)
                        dot = TLanes.AddQuads(dot, TLanes.LoadBytes(codes), TLanes.Broadcast(*(int*)a));
                }
                else
                {
                    for (int q = 0; q < quads; q += QuadsPerSum<TFormat>())
                    {
                        TLanes pairs = TLanes.Zero;
                        for (int i = 0; i < QuadsPerSum<TFormat>(); i++, codes += Unpack.QuadBytes, a += 4)
                            pairs = TLanes.AddPairs(pairs, TLanes.LoadBytes(codes), TLanes.Broadcast(*(int*)a));
                        dot = TLanes.AddSums(dot, pairs, 1);
                    }
                }

                sum = Accumulate<TFormat, TLanes>(sum, dot, TLanes.Load(scales), s, half);
            }

            if (TFormat.HasOffset) sum = TLanes.Fma(TLanes.Load(offsets), TLanes.Broadcast(s->ScaledSum), sum);
        }

        TLanes.Store(sum, sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4<TFormat, TLanes>(byte* codes, float* scales, float* offsets, sbyte* a, BlockScale* s, float* sums, int blocks)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        nint o1 = blocks * 32, o2 = o1 * 2, o3 = o1 * 3;
        int quads = Unpack.Quads / TFormat.ScalesPerBlock;
        for (int b = 0; b < blocks; b++, s++, offsets += 16)
        {
            for (int half = 0; half < TFormat.ScalesPerBlock; half++, scales += 16)
            {
                TLanes d0 = TLanes.Zero, d1 = TLanes.Zero, d2 = TLanes.Zero, d3 = TLanes.Zero;
                if (IsSplit<TFormat, TLanes>())
                {
                    SplitPair<TLanes>(codes, a, o1, out d0, out d1);
                    SplitPair<TLanes>(codes, a + o2, o1, out d2, out d3);
                    codes += 2 * Unpack.BlockCodes;
                    a += 32;
                }
                else if (TLanes.HasByteDot)
                {
                    for (int q = 0; q < quads; q++, codes += Unpack.QuadBytes, a += 4)
                    {
                        TLanes w = TLanes.LoadBytes(codes);
                        d0 = TLanes.AddQuads(d0, w, TLanes.Broadcast(*(int*)a));
                        d1 = TLanes.AddQuads(d1, w, TLanes.Broadcast(*(int*)(a + o1)));
                        d2 = TLanes.AddQuads(d2, w, TLanes.Broadcast(*(int*)(a + o2)));
                        d3 = TLanes.AddQuads(d3, w, TLanes.Broadcast(*(int*)(a + o3)));
                    }
                }
                else
                {
                    for (int q = 0; q < quads; q += QuadsPerSum<TFormat>())
                    {
                        TLanes p0 = TLanes.Zero, p1 = TLanes.Zero, p2 = TLanes.Zero, p3 = TLanes.Zero;
                        for (int i = 0; i < QuadsPerSum<TFormat>(); i++, codes += Unpack.QuadBytes, a += 4)
                        {
                            TLanes w = TLanes.LoadBytes(codes);
                            p0 = TLanes.AddPairs(p0, w, TLanes.Broadcast(*(int*)a));
                            p1 = TLanes.AddPairs(p1, w, TLanes.Broadcast(*(int*)(a + o1)));
                            p2 = TLanes.AddPairs(p2, w, TLanes.Broadcast(*(int*)(a + o2)));
                            p3 = TLanes.AddPairs(p3, w, TLanes.Broadcast(*(int*)(a + o3)));
                        }

                        d0 = TLanes.AddSums(d0, p0, 1);
                        d1 = TLanes.AddSums(d1, p1, 1);
                        d2 = TLanes.AddSums(d2, p2, 1);
                        d3 = TLanes.AddSums(d3, p3, 1);
                    }
                }

                TLanes scale = TLanes.Load(scales);
                TLanes.Store(Accumulate<TFormat, TLanes>(TLanes.Load(sums), d0, scale, s, half), sums);
                TLanes.Store(Accumulate<TFormat, TLanes>(TLanes.Load(sums + 16), d1, scale, s + blocks, half), sums + 16);
                TLanes.Store(Accumulate<TFormat, TLanes>(TLanes.Load(sums + 32), d2, scale, s + 2 * blocks, half), sums + 32);
                TLanes.Store(Accumulate<TFormat, TLanes>(TLanes.Load(sums + 48), d3, scale, s + 3 * blocks, half), sums + 48);
            }

            if (TFormat.HasOffset)
            {
                TLanes offset = TLanes.Load(offsets);
                TLanes.Store(TLanes.Fma(offset, TLanes.Broadcast(s->ScaledSum), TLanes.Load(sums)), sums);
                TLanes.Store(TLanes.Fma(offset, TLanes.Broadcast(s[blocks].ScaledSum), TLanes.Load(sums + 16)), sums + 16);
                TLanes.Store(TLanes.Fma(offset, TLanes.Broadcast(s[2 * blocks].ScaledSum), TLanes.Load(sums + 32)), sums + 32);
                TLanes.Store(TLanes.Fma(offset, TLanes.Broadcast(s[3 * blocks].ScaledSum), TLanes.Load(sums + 48)), sums + 48);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SplitPair<TLanes>(byte* codes, sbyte* a, nint next, out TLanes d0, out TLanes d1)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes low0 = TLanes.Zero, low1 = TLanes.Zero, high0 = TLanes.Zero, high1 = TLanes.Zero;
        for (int q = 0; q < Unpack.Quads; q++, codes += 2 * Unpack.QuadBytes, a += 4)
        {
            TLanes x0 = TLanes.Broadcast(*(int*)a), x1 = TLanes.Broadcast(*(int*)(a + next));
            TLanes w = TLanes.LoadBytes(codes);
            low0 = TLanes.AddPairs(low0, w, x0);
            low1 = TLanes.AddPairs(low1, w, x1);
            w = TLanes.LoadBytes(codes + Unpack.QuadBytes);
            high0 = TLanes.AddPairs(high0, w, x0);
            high1 = TLanes.AddPairs(high1, w, x1);
        }

        d0 = TLanes.AddSums(TLanes.AddSums(TLanes.Zero, low0, 1), high0, 16);
        d1 = TLanes.AddSums(TLanes.AddSums(TLanes.Zero, low1, 1), high1, 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Accumulate<TFormat, TLanes>(TLanes sum, TLanes dot, TLanes scale, BlockScale* s, int half)
        where TFormat : struct, IPackedCodes
        where TLanes : struct, ILanes<TLanes>
    {
        if (TFormat.Bias != 0)
        {
            int minusCodes = TFormat.ScalesPerBlock == 1 ? s->MinusSum : half == 0 ? s->MinusFirstSum : s->MinusSum - s->MinusFirstSum;
            dot = TLanes.AddInt(dot, TLanes.ShiftLeft(TLanes.Broadcast(minusCodes), BitOperations.Log2((uint)TFormat.Bias)));
        }

        return TLanes.Fma(TLanes.ToFloat(dot), TLanes.Mul(scale, TLanes.Broadcast(s->Scale)), sum);
    }
}
