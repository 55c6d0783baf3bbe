using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>
/// Weights without blocks times binary32 activations: an output is one chain of fused multiply-adds over its columns in order,
/// so its bits depend on nothing but its weights and its activations.
/// </summary>
internal static unsafe class GemmFloats
{
    private const int ChunkColumns = 128;

    /// <summary>Bytes of scratch a thread needs for so many rows of activations.</summary>
    public static long ScratchBytes(int rows) => ChunkColumns * 16 * sizeof(float) + (long)rows * 16 * sizeof(float);

    /// <summary>Groups [from, to) of y = x·Wᵀ; y is [x.Rows][yStride].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<TFormat, TLanes>(byte* data, int rows, in Activations x, float* y, int yStride, int from, int to, byte* scratch)
        where TFormat : struct, IPackedFloats
        where TLanes : struct, ILanes<TLanes>
    {
        float* unpacked = (float*)scratch;
        float* sums = unpacked + ChunkColumns * 16;
        int columnBytes = 16 * TFormat.ElementBytes;
        for (int group = from; group < to; group++)
        {
            byte* cells = data + (long)group * x.Columns * columnBytes;
            new Span<float>(sums, x.Rows * 16).Clear();
            for (int first = 0; first < x.Columns; first += ChunkColumns)
            {
                int count = Math.Min(ChunkColumns, x.Columns - first);
                float* weights = unpacked;
                if (TFormat.ElementBytes == 4)
                {
                    weights = (float*)cells;
                    cells += (long)count * columnBytes;
                }
                else
                {
                    for (int c = 0; c < count; c++, cells += columnBytes) TLanes.Store(TFormat.Load<TLanes>(cells), unpacked + c * 16);
                }

                int row = 0;
                for (; row + 4 <= x.Rows; row += 4) Tile4<TLanes>(weights, x.Values + (long)row * x.Stride + first, x.Stride, sums + row * 16, count);
                for (; row < x.Rows; row++) Tile1<TLanes>(weights, x.Values + (long)row * x.Stride + first, sums + row * 16, count);
            }

            Gemm.StoreGroup<TLanes>(sums, x.Rows, y + group * 16, yStride, Math.Min(16, rows - group * 16));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1<TLanes>(float* w, float* x, float* sums, int count)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes sum = TLanes.Load(sums);
        for (int c = 0; c < count; c++) sum = TLanes.Fma(TLanes.Load(w + c * 16), TLanes.Broadcast(x[c]), sum);
        TLanes.Store(sum, sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4<TLanes>(float* w, float* x, int stride, float* sums, int count)
        where TLanes : struct, ILanes<TLanes>
    {
        float* x1 = x + stride, x2 = x1 + stride, x3 = x2 + stride;
        TLanes s0 = TLanes.Load(sums), s1 = TLanes.Load(sums + 16), s2 = TLanes.Load(sums + 32), s3 = TLanes.Load(sums + 48);
        for (int c = 0; c < count; c++)
        {
            TLanes v = TLanes.Load(w + c * 16);
            s0 = TLanes.Fma(v, TLanes.Broadcast(x[c]), s0);
            s1 = TLanes.Fma(v, TLanes.Broadcast(x1[c]), s1);
            s2 = TLanes.Fma(v, TLanes.Broadcast(x2[c]), s2);
            s3 = TLanes.Fma(v, TLanes.Broadcast(x3[c]), s3);
        }

        TLanes.Store(s0, sums);
        TLanes.Store(s1, sums + 16);
        TLanes.Store(s2, sums + 32);
        TLanes.Store(s3, sums + 48);
    }
}
