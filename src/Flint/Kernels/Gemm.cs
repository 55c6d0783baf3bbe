using System.Runtime.CompilerServices;
using Flint.Formats;

namespace Flint.Kernels;

/// <summary>One product of a job: a packed matrix and where its outputs go.</summary>
internal unsafe struct Product
{
    public WeightType Type;
    public byte* Data;
    public int Rows;
    public float* Output;
    public int OutputStride;

    public readonly int Groups => (Rows + PackedMatrix.GroupRows - 1) / PackedMatrix.GroupRows;

    public Product(PackedMatrix matrix, float* output, int outputStride)
    {
        Type = matrix.Type;
        Data = matrix.Data;
        Rows = matrix.Rows;
        Output = output;
        OutputStride = outputStride;
    }
}

/// <summary>
/// Several products that read the same activations, in one pass of the team: y = x·Wᵀ for each. Threads share groups of output
/// rows. The body is chosen once per job.
/// </summary>
internal unsafe struct GemmJob
{
    public const int MaxProducts = 4;

    public Activations Input;
    public ProductList Products;
    public int Count;
    public LaneBody Floats;
    public LaneBody Codes;

    /// <summary>[thread][<see cref="Gemm.ScratchBytes"/>].</summary>
    public byte* Scratch;

    public long ScratchStride;

    /// <summary>The team's, set when the job is run.</summary>
    public int* Taken;

    [InlineArray(MaxProducts)]
    public struct ProductList
    {
        private Product _first;
    }

    public void Add(PackedMatrix matrix, float* output, int outputStride) => Products[Count++] = new Product(matrix, output, outputStride);
}

/// <summary>The matrix product of the models, for any packed format.</summary>
internal static unsafe class Gemm
{
    /// <summary>Bytes of scratch for one thread and so many rows of activations, a multiple of 64.</summary>
    public static long ScratchBytes(int rows) =>
        (Math.Max(Math.Max(GemmCodes.ScratchBytes(rows), GemmTiles.ScratchBytes(rows)), GemmFloats.ScratchBytes(rows)) + 63) & ~63L;

    /// <summary>Runs all products of a job.</summary>
    public static void Run(Team team, ref GemmJob job)
    {
        job.Taken = team.Taken;
        fixed (GemmJob* pointer = &job) team.Run(&Part, pointer);
    }

    private static void Part(void* work, int part, int parts)
    {
        var job = (GemmJob*)work;
        byte* scratch = job->Scratch + part * job->ScratchStride;
        int* ends = stackalloc int[GemmJob.MaxProducts];
        int all = 0;
        for (int i = 0; i < job->Count; i++) ends[i] = all += Shares.PiecesOf(job->Products[i].Groups, parts);
        var shares = new Shares(job->Taken, all, part, parts);
        while (shares.Take(out int piece))
        {
            int i = 0;
            while (piece >= ends[i]) i++;
            int before = i == 0 ? 0 : ends[i - 1];
            ref Product product = ref job->Products[i];
            Shares.Piece(product.Groups, piece - before, ends[i] - before, out int from, out int to);
            Groups(product, job->Input, job->Floats, job->Codes, from, to, scratch);
        }
    }

    /// <summary>Groups [from, to) of one product on the calling thread, which has <see cref="ScratchBytes"/>.</summary>
    internal static void Groups(in Product p, in Activations x, LaneBody floats, LaneBody codes, int from, int to, byte* scratch)
    {
        LaneBody body = p.Type is WeightType.F32 or WeightType.F16 or WeightType.BF16 ? floats : codes;
        TileSet? tiles = body == LaneBody.Emitted ? TileSet.OfThisMachine : null;
        switch (body == LaneBody.Emitted ? Isa.OneRow : body)
        {
            case LaneBody.Avx512: Groups<Lanes512>(p, x, from, to, scratch, tiles); break;
            case LaneBody.Avx2: Groups<Lanes256>(p, x, from, to, scratch, tiles); break;
            default: Groups<LanesScalar>(p, x, from, to, scratch, tiles); break;
        }
    }

    private static void Groups<TLanes>(in Product p, in Activations x, int from, int to, byte* scratch, TileSet? tiles)
        where TLanes : struct, ILanes<TLanes>
    {
        switch (p.Type)
        {
            case WeightType.F32: GemmFloats.Run<PackedF32, TLanes>(p.Data, p.Rows, x, p.Output, p.OutputStride, from, to, scratch); break;
            case WeightType.F16: GemmFloats.Run<PackedF16, TLanes>(p.Data, p.Rows, x, p.Output, p.OutputStride, from, to, scratch); break;
            case WeightType.BF16: GemmFloats.Run<PackedBF16, TLanes>(p.Data, p.Rows, x, p.Output, p.OutputStride, from, to, scratch); break;
            case WeightType.Q8_0: GemmCodes.Run<PackedQ8_0, TLanes>(p, x, from, to, scratch, tiles); break;
            case WeightType.Q4_0: GemmCodes.Run<PackedQ4_0, TLanes>(p, x, from, to, scratch, tiles); break;
            case WeightType.Q4_1: GemmCodes.Run<PackedQ4_1, TLanes>(p, x, from, to, scratch, tiles); break;
            case WeightType.Q5_0: GemmCodes.Run<PackedQ5_0, TLanes>(p, x, from, to, scratch, tiles); break;
            case WeightType.Q5_1: GemmCodes.Run<PackedQ5_1, TLanes>(p, x, from, to, scratch, tiles); break;
            case WeightType.Q4_K: GemmCodes.Run<PackedQ4_K, TLanes>(p, x, from, to, scratch, tiles); break;
            case WeightType.Q5_K: GemmCodes.Run<PackedQ5_K, TLanes>(p, x, from, to, scratch, tiles); break;
            default: GemmCodes.Run<PackedQ6_K, TLanes>(p, x, from, to, scratch, tiles); break;
        }
    }

    /// <summary>Writes a group's sums, [rows][16], to its columns of the output; the last group may have fewer than 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void StoreGroup<TLanes>(float* sums, int rows, float* y, int yStride, int columns)
        where TLanes : struct, ILanes<TLanes>
    {
        for (int row = 0; row < rows; row++, sums += 16, y += yStride)
        {
            if (columns == 16) TLanes.Store(TLanes.Load(sums), y);
            else new ReadOnlySpan<float>(sums, columns).CopyTo(new Span<float>(y, columns));
        }
    }
}
