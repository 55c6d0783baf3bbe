using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Flint.Kernels;

/// <summary>C (+)= A·B in binary32, where A and B may each be read transposed; strides in floats.</summary>
internal unsafe struct DenseProduct
{
    /// <summary>A[m][k] is A[m·stride + k], or A[k·stride + m] where it is transposed.</summary>
    public float* A;

    public long AStride;

    public bool ATransposed;

    /// <summary>B[k][n] is B[k·stride + n], or B[n·stride + k] where it is transposed.</summary>
    public float* B;

    public long BStride;

    public bool BTransposed;

    public float* C;

    public long CStride;

    public int M;

    public int N;

    public int K;

    /// <summary>Whether C is added to; otherwise it is overwritten.</summary>
    public bool Accumulate;
}

/// <summary>
/// The matrix products of training. An element of C is one chain of fused multiply-adds over k in order, starting from zero or
/// from C, so its bits depend on neither the tile it falls into, nor the instruction set, nor the count of threads.
/// </summary>
/// <remarks>B is copied into panels of sixteen columns, [panel][k][16]; A is read in place, or copied into strips where it is transposed.</remarks>
internal static unsafe class DenseGemm
{
    private const int Panel = 16;
    private const int MaxTileRows = 8;
    private const int BlockRows = 96; // multiples of both tiles' rows
    private const int BlockColumns = 512; // of k: a panel's block stays in the nearest cache, a strip block in the next

    /// <summary>Floats of scratch that a thread needs of its own.</summary>
    public const int ThreadFloats = BlockRows * BlockColumns + MaxTileRows * 2 * Panel;

    /// <summary>Floats of the panels of a B of k × n.</summary>
    public static long PanelFloats(int k, int n) => (long)(n + Panel - 1) / Panel * Panel * k;

    /// <summary>Runs a product on all threads of a team.</summary>
    /// <param name="team">The threads.</param>
    /// <param name="product">The product.</param>
    /// <param name="panels">Scratch of <see cref="PanelFloats"/>.</param>
    /// <param name="scratch">Scratch of <see cref="ThreadFloats"/> for each thread.</param>
    public static void Run(Team team, in DenseProduct product, float* panels, float* scratch)
    {
        var job = new Job { Product = product, Panels = panels, Scratch = scratch };
        team.Run(&PackPart, &job);
        switch (Isa.Floats)
        {
            case LaneBody.Avx512: team.Run(&Part<Lanes512>, &job); break;
            case LaneBody.Avx2: team.Run(&Part<Lanes256>, &job); break;
            default: team.Run(&Part<LanesScalar>, &job); break;
        }
    }

    /// <summary>Runs a product on the calling thread.</summary>
    public static void RunAlone<TLanes>(in DenseProduct product, float* panels, float* scratch)
        where TLanes : struct, ILanes<TLanes> => RunAlone<TLanes>(product, panels, scratch, IsWide<TLanes>());

    /// <summary>Runs a product on the calling thread, by tiles of eight rows and two panels or of six rows and one.</summary>
    public static void RunAlone<TLanes>(in DenseProduct product, float* panels, float* scratch, bool wide)
        where TLanes : struct, ILanes<TLanes>
    {
        Pack(product, panels, 0, (product.N + Panel - 1) / Panel);
        Multiply<TLanes>(product, panels, scratch, 0, product.M, wide);
    }

    private static void PackPart(void* state, int part, int parts)
    {
        var job = (Job*)state;
        Team.Split((job->Product.N + Panel - 1) / Panel, 1, part, parts, out int from, out int to);
        Pack(job->Product, job->Panels, from, to);
    }

    private static void Part<TLanes>(void* state, int part, int parts)
        where TLanes : struct, ILanes<TLanes>
    {
        var job = (Job*)state;
        // Blocks are taken, not given: a thread that lost its processor for a while does not hold up the others.
        int tile = TileRows(IsWide<TLanes>()), share = job->Product.M / (parts * 4);
        int block = Math.Clamp(share / tile * tile, 2 * tile, BlockRows);
        int from;
        while ((from = Interlocked.Add(ref job->NextRow, block) - block) < job->Product.M)
            Multiply<TLanes>(job->Product, job->Panels, job->Scratch + (long)part * ThreadFloats, from, Math.Min(from + block, job->Product.M), IsWide<TLanes>());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsWide<TLanes>() => typeof(TLanes) == typeof(Lanes512);

    private static int TileRows(bool wide) => wide ? 8 : 6;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Pack(in DenseProduct p, float* panels, int from, int to)
    {
        for (int j = from; j < to; j++)
        {
            float* cells = panels + (long)j * p.K * Panel;
            int count = Math.Min(Panel, p.N - j * Panel);
            if (count < Panel) new Span<float>(cells, p.K * Panel).Clear();
            if (p.BTransposed)
            {
                float* row = p.B + (long)j * Panel * p.BStride;
                int n = 0;
                for (; Avx.IsSupported && n + 8 <= count; n += 8) PackTurned(row + n * p.BStride, p.BStride, cells + n, p.K);
                for (; n < count; n++)
                {
                    for (int k = 0; k < p.K; k++) cells[k * Panel + n] = row[n * p.BStride + k];
                }
            }
            else
            {
                float* source = p.B + (long)j * Panel;
                for (int k = 0; k < p.K; k++, source += p.BStride, cells += Panel)
                {
                    if (count == Panel) Unsafe.CopyBlockUnaligned(cells, source, Panel * sizeof(float));
                    else Unsafe.CopyBlockUnaligned(cells, source, (uint)count * sizeof(float));
                }
            }
        }
    }

    /// <summary>Eight rows into eight neighbouring columns of a panel, eight by eight: pairs, then fours, then halves change places.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackTurned(float* rows, long stride, float* cells, int count)
    {
        int k = 0;
        for (; k + 8 <= count; k += 8, cells += 8 * Panel)
        {
            float* r = rows + k;
            Vector256<float> a0 = Vector256.Load(r), a1 = Vector256.Load(r + stride), a2 = Vector256.Load(r + 2 * stride), a3 = Vector256.Load(r + 3 * stride);
            Vector256<float> a4 = Vector256.Load(r + 4 * stride), a5 = Vector256.Load(r + 5 * stride), a6 = Vector256.Load(r + 6 * stride), a7 = Vector256.Load(r + 7 * stride);
            Vector256<float> b0 = Avx.UnpackLow(a0, a1), b1 = Avx.UnpackHigh(a0, a1), b2 = Avx.UnpackLow(a2, a3), b3 = Avx.UnpackHigh(a2, a3);
            Vector256<float> b4 = Avx.UnpackLow(a4, a5), b5 = Avx.UnpackHigh(a4, a5), b6 = Avx.UnpackLow(a6, a7), b7 = Avx.UnpackHigh(a6, a7);
            const byte low = 0b01_00_01_00, high = 0b11_10_11_10;
            a0 = Avx.Shuffle(b0, b2, low); a1 = Avx.Shuffle(b0, b2, high); a2 = Avx.Shuffle(b1, b3, low); a3 = Avx.Shuffle(b1, b3, high);
            a4 = Avx.Shuffle(b4, b6, low); a5 = Avx.Shuffle(b4, b6, high); a6 = Avx.Shuffle(b5, b7, low); a7 = Avx.Shuffle(b5, b7, high);
            Avx.Permute2x128(a0, a4, 0x20).Store(cells);
            Avx.Permute2x128(a1, a5, 0x20).Store(cells + Panel);
            Avx.Permute2x128(a2, a6, 0x20).Store(cells + 2 * Panel);
            Avx.Permute2x128(a3, a7, 0x20).Store(cells + 3 * Panel);
            Avx.Permute2x128(a0, a4, 0x31).Store(cells + 4 * Panel);
            Avx.Permute2x128(a1, a5, 0x31).Store(cells + 5 * Panel);
            Avx.Permute2x128(a2, a6, 0x31).Store(cells + 6 * Panel);
            Avx.Permute2x128(a3, a7, 0x31).Store(cells + 7 * Panel);
        }

        for (; k < count; k++, cells += Panel)
        {
            for (int n = 0; n < 8; n++) cells[n] = rows[n * stride + k];
        }
    }

    /// <summary>Rows [from, to) of C.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply<TLanes>(in DenseProduct p, float* panels, float* scratch, int from, int to, bool wide)
        where TLanes : struct, ILanes<TLanes>
    {
        int tile = TileRows(wide), width = wide ? 2 : 1;
        int columns = (p.N + Panel - 1) / Panel;
        float* edge = scratch + BlockRows * BlockColumns;
        for (int k0 = 0; k0 < p.K || k0 == 0; k0 += BlockColumns)
        {
            int count = Math.Min(BlockColumns, p.K - k0);
            bool load = p.Accumulate || k0 > 0;
            for (int m0 = from; m0 < to; m0 += BlockRows)
            {
                int rows = Math.Min(BlockRows, to - m0);
                if (p.ATransposed) PackStrips(p.A + k0 * p.AStride + m0, p.AStride, scratch, rows, count, tile);
                for (int j = 0; j < columns; j += width)
                {
                    float* b = panels + ((long)j * p.K + k0) * Panel;
                    int cells = Math.Min(width * Panel, p.N - j * Panel);
                    for (int m = 0; m < rows; m += tile)
                    {
                        var strip = p.ATransposed
                            ? new Strip(scratch + m * count, 1, tile, count)
                            : new Strip(p.A + (m0 + m) * p.AStride + k0, p.AStride, 1, count);
                        float* c = p.C + (m0 + m) * p.CStride + j * Panel;
                        int tall = Math.Min(tile, rows - m);
                        Prefetch(c + tall * p.CStride, p.CStride, Math.Min(tile, rows - m - tall));
                        if (tall == tile && cells == width * Panel) RunTile<TLanes>(strip, b, p.K, c, p.CStride, load, wide);
                        else RunEdge<TLanes>(strip, b, p.K, c, p.CStride, load, wide, tall, cells, edge);
                    }
                }
            }
        }
    }

    /// <summary>The next tile's rows of C: they lie too far apart for the processor to see them coming.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(float* c, long stride, int rows)
    {
        if (!Sse.IsSupported) return;
        for (int r = 0; r < rows; r++) Sse.Prefetch0(c + r * stride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void RunTile<TLanes>(in Strip a, float* b, int panelRows, float* c, long stride, bool load, bool wide)
        where TLanes : struct, ILanes<TLanes>
    {
        if (wide) Tile8<TLanes>(a, b, b + (long)panelRows * Panel, c, stride, load);
        else Tile6<TLanes>(a, b, c, stride, load);
    }

    /// <summary>A tile at the rim of C, by way of a whole one. Rows and columns beyond the rim are computed from whatever is there and dropped.</summary>
    private static void RunEdge<TLanes>(in Strip a, float* b, int panelRows, float* c, long stride, bool load, bool wide, int rows, int columns, float* edge)
        where TLanes : struct, ILanes<TLanes>
    {
        // Rows beyond the last are read from row 0, and a missing second panel from the first.
        int width = wide ? 2 : 1;
        for (int r = 0; r < rows; r++) new ReadOnlySpan<float>(c + r * stride, columns).CopyTo(new Span<float>(edge + r * width * Panel, columns));
        if (wide)
        {
            float* second = columns > Panel ? b + (long)panelRows * Panel : b;
            Tile8<TLanes>(a with { Rows = rows }, b, second, edge, width * Panel, load);
        }
        else
        {
            Tile6<TLanes>(a with { Rows = rows }, b, edge, width * Panel, load);
        }

        for (int r = 0; r < rows; r++) new ReadOnlySpan<float>(edge + r * width * Panel, columns).CopyTo(new Span<float>(c + r * stride, columns));
    }

    /// <summary>A transposed, into strips of a tile's rows: [strip][k][row].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackStrips(float* a, long stride, float* strips, int rows, int count, int tile)
    {
        for (int m = 0; m < rows; m += tile)
        {
            float* source = a + m;
            float* cells = strips + m * count;
            int tall = Math.Min(tile, rows - m);
            if (tile == 6 && tall == 6)
            {
                for (int k = 0; k < count; k++, source += stride, cells += 6)
                {
                    Unsafe.CopyBlockUnaligned(cells, source, 16);
                    Unsafe.CopyBlockUnaligned(cells + 4, source + 4, 8);
                }
            }
            else if (tall == MaxTileRows)
            {
                for (int k = 0; k < count; k++, source += stride, cells += MaxTileRows) Unsafe.CopyBlockUnaligned(cells, source, MaxTileRows * sizeof(float));
            }
            else
            {
                for (int k = 0; k < count; k++, source += stride, cells += tile)
                {
                    for (int r = 0; r < tall; r++) cells[r] = source[r];
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile6<TLanes>(in Strip a, float* b, float* c, long stride, bool load)
        where TLanes : struct, ILanes<TLanes>
    {
        float* p0 = a.Row(0), p1 = a.Row(1), p2 = a.Row(2), p3 = a.Row(3), p4 = a.Row(4), p5 = a.Row(5);
        TLanes s0 = TLanes.Zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0;
        if (load)
        {
            s0 = TLanes.Load(c);
            s1 = TLanes.Load(c + stride);
            s2 = TLanes.Load(c + 2 * stride);
            s3 = TLanes.Load(c + 3 * stride);
            s4 = TLanes.Load(c + 4 * stride);
            s5 = TLanes.Load(c + 5 * stride);
        }

        long step = a.Step, end = step * a.Count;
        for (long k = 0; k < end; k += step, b += Panel)
        {
            TLanes v = TLanes.Load(b);
            s0 = TLanes.Fma(v, TLanes.Broadcast(p0[k]), s0);
            s1 = TLanes.Fma(v, TLanes.Broadcast(p1[k]), s1);
            s2 = TLanes.Fma(v, TLanes.Broadcast(p2[k]), s2);
            s3 = TLanes.Fma(v, TLanes.Broadcast(p3[k]), s3);
            s4 = TLanes.Fma(v, TLanes.Broadcast(p4[k]), s4);
            s5 = TLanes.Fma(v, TLanes.Broadcast(p5[k]), s5);
        }

        TLanes.Store(s0, c);
        TLanes.Store(s1, c + stride);
        TLanes.Store(s2, c + 2 * stride);
        TLanes.Store(s3, c + 3 * stride);
        TLanes.Store(s4, c + 4 * stride);
        TLanes.Store(s5, c + 5 * stride);
    }

    /// <summary>Eight rows by two panels: sixteen sums, for thirty-two registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile8<TLanes>(in Strip a, float* b, float* b1, float* c, long stride, bool load)
        where TLanes : struct, ILanes<TLanes>
    {
        float* p0 = a.Row(0), p1 = a.Row(1), p2 = a.Row(2), p3 = a.Row(3), p4 = a.Row(4), p5 = a.Row(5), p6 = a.Row(6), p7 = a.Row(7);
        TLanes s0 = TLanes.Zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
        TLanes t0 = s0, t1 = s0, t2 = s0, t3 = s0, t4 = s0, t5 = s0, t6 = s0, t7 = s0;
        if (load)
        {
            s0 = TLanes.Load(c); t0 = TLanes.Load(c + Panel);
            s1 = TLanes.Load(c + stride); t1 = TLanes.Load(c + stride + Panel);
            s2 = TLanes.Load(c + 2 * stride); t2 = TLanes.Load(c + 2 * stride + Panel);
            s3 = TLanes.Load(c + 3 * stride); t3 = TLanes.Load(c + 3 * stride + Panel);
            s4 = TLanes.Load(c + 4 * stride); t4 = TLanes.Load(c + 4 * stride + Panel);
            s5 = TLanes.Load(c + 5 * stride); t5 = TLanes.Load(c + 5 * stride + Panel);
            s6 = TLanes.Load(c + 6 * stride); t6 = TLanes.Load(c + 6 * stride + Panel);
            s7 = TLanes.Load(c + 7 * stride); t7 = TLanes.Load(c + 7 * stride + Panel);
        }

        long step = a.Step, end = step * a.Count;
        for (long k = 0; k < end; k += step, b += Panel, b1 += Panel)
        {
            TLanes v = TLanes.Load(b), w = TLanes.Load(b1);
            TLanes x = TLanes.Broadcast(p0[k]); s0 = TLanes.Fma(v, x, s0); t0 = TLanes.Fma(w, x, t0);
            x = TLanes.Broadcast(p1[k]); s1 = TLanes.Fma(v, x, s1); t1 = TLanes.Fma(w, x, t1);
            x = TLanes.Broadcast(p2[k]); s2 = TLanes.Fma(v, x, s2); t2 = TLanes.Fma(w, x, t2);
            x = TLanes.Broadcast(p3[k]); s3 = TLanes.Fma(v, x, s3); t3 = TLanes.Fma(w, x, t3);
            x = TLanes.Broadcast(p4[k]); s4 = TLanes.Fma(v, x, s4); t4 = TLanes.Fma(w, x, t4);
            x = TLanes.Broadcast(p5[k]); s5 = TLanes.Fma(v, x, s5); t5 = TLanes.Fma(w, x, t5);
            x = TLanes.Broadcast(p6[k]); s6 = TLanes.Fma(v, x, s6); t6 = TLanes.Fma(w, x, t6);
            x = TLanes.Broadcast(p7[k]); s7 = TLanes.Fma(v, x, s7); t7 = TLanes.Fma(w, x, t7);
        }

        TLanes.Store(s0, c); TLanes.Store(t0, c + Panel);
        TLanes.Store(s1, c + stride); TLanes.Store(t1, c + stride + Panel);
        TLanes.Store(s2, c + 2 * stride); TLanes.Store(t2, c + 2 * stride + Panel);
        TLanes.Store(s3, c + 3 * stride); TLanes.Store(t3, c + 3 * stride + Panel);
        TLanes.Store(s4, c + 4 * stride); TLanes.Store(t4, c + 4 * stride + Panel);
        TLanes.Store(s5, c + 5 * stride); TLanes.Store(t5, c + 5 * stride + Panel);
        TLanes.Store(s6, c + 6 * stride); TLanes.Store(t6, c + 6 * stride + Panel);
        TLanes.Store(s7, c + 7 * stride); TLanes.Store(t7, c + 7 * stride + Panel);
    }

    /// <summary>A tile's rows of A: element (row, k) is at First + row·RowStride + k·Step.</summary>
    private readonly struct Strip
    {
        private readonly float* _first;
        private readonly long _rowStride;

        public Strip(float* first, long rowStride, int step, int count)
        {
            _first = first;
            _rowStride = rowStride;
            Step = step;
            Count = count;
        }

        public int Step { get; }

        public int Count { get; }

        /// <summary>Rows there are; a tile reads row 0 for those that are not.</summary>
        public int Rows { get; init; } = MaxTileRows;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public float* Row(int row) => _first + (row < Rows ? row : 0) * _rowStride;
    }

    private struct Job
    {
        public DenseProduct Product;
        public float* Panels;
        public float* Scratch;
        public int NextRow;
    }
}
