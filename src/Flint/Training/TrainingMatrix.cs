using Flint.Formats;
using Flint.Kernels;
using Flint.Weights;

namespace Flint.Training;

/// <summary>
/// One or more matrices that read the same input, as one matrix of all their rows. Trained ones lie side by side in
/// <see cref="TrainedTensors"/>; frozen ones stay in their file, in whatever format, and are decoded each time they are needed.
/// </summary>
internal sealed unsafe class TrainingMatrix
{
    private readonly TensorInfo[] _frozen;
    private readonly float* _values;

    private TrainingMatrix(int rows, int columns, TensorInfo[] frozen, float* values, float* gradient, AdapterPart[] adapters)
    {
        Rows = rows;
        Columns = columns;
        _frozen = frozen;
        _values = values;
        Gradient = gradient;
        Adapters = adapters;
    }

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>The gradient, [Rows][Columns]; null where the matrix is frozen.</summary>
    public float* Gradient { get; }

    /// <summary>What low-rank adapters add to some of the rows.</summary>
    public AdapterPart[] Adapters { get; }

    /// <summary>Floats of the scratch that <see cref="Values"/> needs.</summary>
    public long ScratchFloats => _values == null ? (long)Rows * Columns : 0;

    /// <summary>The matrix of these tensors.</summary>
    public static TrainingMatrix Of(TrainedTensors trained, GgufFile file, params ReadOnlySpan<string> names)
    {
        int rows = 0, columns = 0;
        var frozen = new List<TensorInfo>();
        var adapters = new List<AdapterPart>();
        float* values = null, gradient = null;
        foreach (string name in names)
        {
            if (trained.Find(name) is { } tensor)
            {
                values = values == null ? trained.ValuesOf(tensor) : values;
                gradient = gradient == null ? trained.GradientsOf(tensor) : gradient;
                if (trained.ValuesOf(tensor) != values + (long)rows * tensor.Columns || frozen.Count > 0)
                    throw new FlintException(FaultSide.Bug, "trained_order", $"Tensor {name} does not follow its neighbours.");
                columns = tensor.Columns;
                rows += tensor.Rows;
                continue;
            }

            TensorInfo info = file.Tensors.Get(name);
            columns = (int)info.Shape[0];
            int own = (int)info.Shape[1];
            if (trained.Find(AdapterPart.NameA(name)) is { } a && trained.Find(AdapterPart.NameB(name)) is { } b)
                adapters.Add(new AdapterPart(rows, own, a, b));
            frozen.Add(info);
            rows += own;
        }

        return new TrainingMatrix(rows, columns, [.. frozen], values, gradient, [.. adapters]);
    }

    /// <summary>The values, [Rows][Columns]: in place, or decoded into <paramref name="scratch"/>.</summary>
    public float* Values(Team team, float* scratch)
    {
        if (_values != null) return _values;
        float* to = scratch;
        foreach (TensorInfo info in _frozen)
        {
            var job = new DecodeJob
            {
                Type = info.Type, Data = info.Data, To = to,
                Rows = (int)info.Shape[1], Columns = Columns, RowBytes = WeightTypes.RowBytes(info.Type, Columns),
            };
            team.Run(&Decode, &job);
            to += info.Shape[1] * Columns;
        }

        return scratch;
    }

    private static void Decode(void* state, int part, int parts)
    {
        var job = (DecodeJob*)state;
        Team.Split(job->Rows, 1, part, parts, out int from, out int to);
        for (int row = from; row < to; row++)
            WeightTypes.DecodeRow(job->Type, job->Data + row * job->RowBytes, job->To + (long)row * job->Columns, job->Columns);
    }

    private struct DecodeJob
    {
        public WeightType Type;
        public byte* Data;
        public float* To;
        public int Rows;
        public int Columns;
        public long RowBytes;
    }
}

/// <summary>The low-rank part of one matrix among the rows of a <see cref="TrainingMatrix"/>: y += scale·B·(A·x).</summary>
/// <param name="FirstRow">The matrix's first row.</param>
/// <param name="Rows">Its rows.</param>
/// <param name="A">[rank][columns].</param>
/// <param name="B">[rows][rank].</param>
internal sealed record AdapterPart(int FirstRow, int Rows, TrainedTensor A, TrainedTensor B)
{
    public int Rank => A.Rows;

    public static string NameA(string tensor) => tensor + ".lora_a";

    public static string NameB(string tensor) => tensor + ".lora_b";
}
