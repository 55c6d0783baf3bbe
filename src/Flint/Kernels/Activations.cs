using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Flint.Kernels;

/// <summary>What a block of 32 quantized activations needs besides its codes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct BlockScale
{
    /// <summary>An activation is Scale·code.</summary>
    public float Scale;

    /// <summary>Scale times the sum of all 32 codes.</summary>
    public float ScaledSum;

    /// <summary>Sum of all 32 codes.</summary>
    public int Sum;

    /// <summary>Sum of codes 0..15.</summary>
    public int FirstSum;
}

/// <summary>
/// Rows of activations that a GEMM reads: binary32 values row by row and, for coded weights, 8-bit codes in the order the tiles
/// walk: chunk of <see cref="ChunkLength"/> columns, then row, then column.
/// </summary>
internal unsafe struct Activations
{
    /// <summary>Columns of one chunk: what a group's unpacked weights fill in the first-level cache.</summary>
    public const int ChunkLength = 512;

    public const int BlockLength = 32;
    public const int ChunkBlocks = ChunkLength / BlockLength;

    /// <summary>[Rows][Stride].</summary>
    public float* Values;

    public sbyte* Codes;

    public BlockScale* Scales;

    public int Rows;

    public int Columns;

    /// <summary>Floats from one row of <see cref="Values"/> to the next.</summary>
    public int Stride;

    /// <summary>Bytes of codes for so many rows.</summary>
    public static long CodeBytes(int rows, int columns) => (long)rows * columns;

    /// <summary>Bytes of block scales for so many rows.</summary>
    public static long ScaleBytes(int rows, int columns) => (long)rows * (columns / BlockLength) * sizeof(BlockScale);

    /// <summary>The rows [from, from + count) of a buffer that holds several sets of rows, as a set of their own.</summary>
    public readonly Activations Part(int from, int count) => this with
    {
        Values = Values + (long)from * Stride,
        Codes = Codes + CodeBytes(from, Columns),
        Scales = Scales + (long)from * (Columns / BlockLength),
        Rows = count,
    };

    /// <summary>Copies a row from another set of as many columns: its values, or its codes and scales where it is quantized.</summary>
    public static void CopyRow(in Activations source, int row, in Activations target, int to, bool coded)
    {
        if (!coded)
        {
            new ReadOnlySpan<float>(source.Values + (long)row * source.Stride, source.Columns).CopyTo(new Span<float>(target.Values + (long)to * target.Stride, target.Columns));
            return;
        }

        int blocks = source.Columns / BlockLength;
        for (int first = 0; first < blocks; first += ChunkBlocks)
        {
            int count = Math.Min(ChunkBlocks, blocks - first);
            long from = (long)first * source.Rows + (long)row * count, into = (long)first * target.Rows + (long)to * count;
            Unsafe.CopyBlockUnaligned(target.Codes + into * BlockLength, source.Codes + from * BlockLength, (uint)(count * BlockLength));
            Unsafe.CopyBlockUnaligned(target.Scales + into, source.Scales + from, (uint)(count * sizeof(BlockScale)));
        }
    }

    /// <summary>Quantizes rows [from, to): per block of 32, the largest magnitude becomes 127, ties to even.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Quantize<TLanes>(in Activations a, int from, int to)
        where TLanes : struct, ILanes<TLanes>
    {
        int blocks = a.Columns / BlockLength;
        for (int row = from; row < to; row++)
        {
            float* values = a.Values + (long)row * a.Stride;
            for (int first = 0; first < blocks; first += ChunkBlocks)
            {
                int count = Math.Min(ChunkBlocks, blocks - first);
                long index = (long)first * a.Rows + (long)row * count;
                QuantizeBlocks<TLanes>(values + first * BlockLength, a.Codes + index * BlockLength, a.Scales + index, count);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void QuantizeBlocks<TLanes>(float* x, sbyte* codes, BlockScale* scales, int blocks)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes magnitude = TLanes.Broadcast(0x7fffffff);
        for (int b = 0; b < blocks; b++, x += BlockLength, codes += BlockLength)
        {
            TLanes low = TLanes.Load(x), high = TLanes.Load(x + 16);
            float largest = TLanes.MaxAcross(TLanes.Max(TLanes.And(low, magnitude), TLanes.And(high, magnitude)));
            float inverse = largest > 0 ? 127f / largest : 0f;
            float scale = largest / 127f;
            TLanes factor = TLanes.Broadcast(inverse);
            TLanes codesLow = TLanes.ToInt(TLanes.Round(TLanes.Mul(low, factor)));
            TLanes codesHigh = TLanes.ToInt(TLanes.Round(TLanes.Mul(high, factor)));
            TLanes.StoreI8(codesLow, codes);
            TLanes.StoreI8(codesHigh, codes + 16);
            int first = TLanes.SumInt(codesLow), second = TLanes.SumInt(codesHigh);
            scales[b] = new BlockScale { Scale = scale, ScaledSum = scale * (first + second), Sum = first + second, FirstSum = first };
        }
    }
}
