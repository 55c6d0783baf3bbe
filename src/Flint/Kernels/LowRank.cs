using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>What a low-rank pair adds to one product for some rows: y += B·(A·x), in binary32.</summary>
internal unsafe struct LowRankItem
{
    /// <summary>A, [rank][columns], and B, [outputs][rank], packed.</summary>
    public float* A;

    public float* B;

    public int Rank;
    public int Columns;
    public int Outputs;

    /// <summary>Rows of activations, from the first on that is adapted.</summary>
    public int Rows;

    public float* Input;
    public int InputStride;

    /// <summary>A·x, [rows][rank].</summary>
    public float* Low;

    public float* Output;
    public int OutputStride;
}

/// <summary>
/// Low-rank products for rows of several adapters at once. As in <see cref="GemmFloats"/>, an output is one chain of fused
/// multiply-adds in order, added to the frozen product last, so a row's bits do not depend on what else is in the batch.
/// </summary>
internal static unsafe class LowRank
{
    /// <summary>Rows that one unit of work takes through A.</summary>
    private const int UnitRows = 16;

    /// <summary>Runs all items: A by units of rows and groups, then B by groups of outputs.</summary>
    /// <param name="team">Who computes; null for the caller alone.</param>
    /// <param name="items">The items.</param>
    /// <param name="count">How many.</param>
    /// <param name="body">The instruction set.</param>
    /// <param name="scratch">[thread][<see cref="Gemm.ScratchBytes"/>].</param>
    /// <param name="scratchStride">Bytes from one thread's scratch to the next.</param>
    public static void Run(Team? team, LowRankItem* items, int count, LaneBody body, byte* scratch, long scratchStride)
    {
        var job = new Job { Items = items, Count = count, Body = body, Scratch = scratch, ScratchStride = scratchStride };
        if (team is null)
        {
            DownPart(&job, 0, 1);
            UpPart(&job, 0, 1);
            return;
        }

        team.Run(&DownPart, &job);
        team.Run(&UpPart, &job);
    }

    private static void DownPart(void* work, int part, int parts)
    {
        var job = (Job*)work;
        switch (job->Body)
        {
            case LaneBody.Avx512: Down<Lanes512>(job, part, parts); break;
            case LaneBody.Avx2: Down<Lanes256>(job, part, parts); break;
            default: Down<LanesScalar>(job, part, parts); break;
        }
    }

    private static void UpPart(void* work, int part, int parts)
    {
        var job = (Job*)work;
        switch (job->Body)
        {
            case LaneBody.Avx512: Up<Lanes512>(job, part, parts); break;
            case LaneBody.Avx2: Up<Lanes256>(job, part, parts); break;
            default: Up<LanesScalar>(job, part, parts); break;
        }
    }

    private static void Down<TLanes>(Job* job, int part, int parts)
        where TLanes : struct, ILanes<TLanes>
    {
        int all = 0;
        for (int i = 0; i < job->Count; i++) all += Units(job->Items[i]);
        Team.Split(all, 1, part, parts, out int from, out int to);
        byte* scratch = job->Scratch + part * job->ScratchStride;
        int before = 0;
        for (int i = 0; i < job->Count && before < to; i++)
        {
            ref LowRankItem item = ref job->Items[i];
            int units = Units(item), groups = Groups(item.Rank);
            for (int unit = Math.Max(from - before, 0); unit < units && before + unit < to; unit++)
            {
                int row = unit / groups * UnitRows, group = unit % groups;
                var x = new Activations
                {
                    Values = item.Input + (long)row * item.InputStride,
                    Rows = Math.Min(UnitRows, item.Rows - row),
                    Columns = item.Columns,
                    Stride = item.InputStride,
                };
                GemmFloats.Run<PackedF32, TLanes>((byte*)item.A, item.Rank, x, item.Low + (long)row * item.Rank, item.Rank, group, group + 1, scratch);
            }

            before += units;
        }
    }

    private static void Up<TLanes>(Job* job, int part, int parts)
        where TLanes : struct, ILanes<TLanes>
    {
        for (int i = 0; i < job->Count; i++)
        {
            ref LowRankItem item = ref job->Items[i];
            Team.Split(Groups(item.Outputs), 1, part, parts, out int from, out int to);
            for (int group = from; group < to; group++) AddGroup<TLanes>(item, group);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddGroup<TLanes>(in LowRankItem item, int group)
        where TLanes : struct, ILanes<TLanes>
    {
        float* weights = item.B + (long)group * item.Rank * PackedMatrix.GroupRows;
        float* y = item.Output + group * PackedMatrix.GroupRows;
        float* low = item.Low;
        int columns = Math.Min(PackedMatrix.GroupRows, item.Outputs - group * PackedMatrix.GroupRows);
        for (int row = 0; row < item.Rows; row++, y += item.OutputStride, low += item.Rank)
        {
            TLanes sum = TLanes.Zero;
            for (int c = 0; c < item.Rank; c++)
                sum = TLanes.Fma(TLanes.Load(weights + c * PackedMatrix.GroupRows), TLanes.Broadcast(low[c]), sum);
            if (columns == PackedMatrix.GroupRows) TLanes.Store(TLanes.Add(TLanes.Load(y), sum), y);
            else Elementwise.StorePart(TLanes.Add(Elementwise.LoadPart<TLanes>(y, columns), sum), y, columns);
        }
    }

    private static int Units(in LowRankItem item) => (item.Rows + UnitRows - 1) / UnitRows * Groups(item.Rank);

    private static int Groups(int rows) => (rows + PackedMatrix.GroupRows - 1) / PackedMatrix.GroupRows;

    private struct Job
    {
        public LowRankItem* Items;
        public int Count;
        public LaneBody Body;
        public byte* Scratch;
        public long ScratchStride;
    }
}
