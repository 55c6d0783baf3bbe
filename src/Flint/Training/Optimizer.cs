using Flint.Kernels;

namespace Flint.Training;

/// <summary>
/// One step of AdamW, or of Muon with AdamW beside it, with the gradient clipped to a norm. Work is cut into fixed pieces, so the
/// count of threads changes no bit.
/// </summary>
internal sealed unsafe class Optimizer : IDisposable
{
    private const int PieceElements = 1 << 15;

    private readonly TrainedTensors _tensors;
    private readonly Team _team;
    private readonly Piece[] _pieces;
    private readonly double[] _squares;
    private readonly Muon? _muon;

    public Optimizer(TrainedTensors tensors, Team team, OptimizerKind kind)
    {
        _tensors = tensors;
        _team = team;
        TrainedTensor[] turned = kind == OptimizerKind.Muon ? [.. tensors.All.Where(t => t.Rows > 0 && IsInner(t.Name))] : [];
        if (turned.Length > 0) _muon = new Muon(tensors, team, turned);
        var pieces = new List<Piece>();
        foreach (TrainedTensor tensor in tensors.All)
        {
            bool adam = !turned.Contains(tensor);
            for (long from = 0; from < tensor.Count; from += PieceElements)
                pieces.Add(new Piece(tensor.Offset + from, (int)Math.Min(PieceElements, tensor.Count - from), tensor.Decays, adam));
        }

        _pieces = [.. pieces];
        _squares = new double[_pieces.Length];
    }

    /// <summary>Bytes beside the tensors that it needs for tensors of these names and shapes.</summary>
    public static long ScratchBytes(IEnumerable<(string Name, int Columns, int Rows)> tensors, OptimizerKind kind, int threads) =>
        kind == OptimizerKind.Muon ? Muon.ScratchBytes(tensors.Where(t => IsInner(t.Name)).Select(t => (t.Columns, t.Rows)), threads) : 0;

    /// <summary>One step with the gradients at hand.</summary>
    /// <param name="o">The constants.</param>
    /// <param name="step">Steps done before.</param>
    /// <returns>The gradient's norm before clipping.</returns>
    public double Step(TrainerOptions o, int step)
    {
        double rate = o.RateAt(step);
        fixed (Piece* pieces = _pieces)
        fixed (double* squares = _squares)
        {
            var job = new Job
            {
                Pieces = pieces, Squares = squares, Count = _pieces.Length,
                Values = _tensors.Values, Gradients = _tensors.Gradients, First = _tensors.FirstMoments, Second = _tensors.SecondMoments,
            };
            Run(&Bodies<Lanes512>.Square, &Bodies<Lanes256>.Square, &Bodies<LanesScalar>.Square, &job);
            double total = 0;
            for (int i = 0; i < _squares.Length; i++) total += squares[i];
            double norm = Math.Sqrt(total);
            job.GradientScale = o.ClipNorm > 0 && norm > o.ClipNorm ? (float)(o.ClipNorm / norm) : 1f;
            job.Decay = (float)(rate * o.WeightDecay);
            job.Step = new AdamStep(
                o.Beta1, o.Beta2, o.Epsilon,
                (float)(rate / (1 - Math.Pow(o.Beta1, step + 1))),
                (float)(1 / (1 - Math.Pow(o.Beta2, step + 1))));
            job.Next = 0;
            Run(&Bodies<Lanes512>.Update, &Bodies<Lanes256>.Update, &Bodies<LanesScalar>.Update, &job);
            _muon?.Step(o, rate, job.GradientScale);
            return norm;
        }
    }

    public void Dispose() => _muon?.Dispose();

    private static bool IsInner(string name) => name.StartsWith("blk.", StringComparison.Ordinal);

    private void Run(delegate*<void*, int, int, void> wide, delegate*<void*, int, int, void> narrow, delegate*<void*, int, int, void> scalar, Job* job) =>
        _team.Run(Isa.Floats == LaneBody.Avx512 ? wide : Isa.Floats == LaneBody.Avx2 ? narrow : scalar, job);

    private static class Bodies<TLanes>
        where TLanes : struct, ILanes<TLanes>
    {
        public static void Square(void* state, int part, int parts)
        {
            var job = (Job*)state;
            for (int i; (i = Interlocked.Increment(ref job->Next) - 1) < job->Count;)
                job->Squares[i] = Gradients.SumOfSquares<TLanes>(job->Gradients + job->Pieces[i].Offset, job->Pieces[i].Count);
        }

        public static void Update(void* state, int part, int parts)
        {
            var job = (Job*)state;
            for (int i; (i = Interlocked.Increment(ref job->Next) - 1) < job->Count;)
            {
                Piece piece = job->Pieces[i];
                if (!piece.Adam) continue;
                Gradients.AdamW<TLanes>(
                    job->Values + piece.Offset, job->Gradients + piece.Offset, job->First + piece.Offset, job->Second + piece.Offset,
                    piece.Count, job->Step, job->GradientScale, piece.Decays ? job->Decay : 0f);
            }
        }
    }

    private readonly record struct Piece(long Offset, int Count, bool Decays, bool Adam);

    private struct Job
    {
        public Piece* Pieces;
        public double* Squares;
        public int Count;
        public int Next;
        public float* Values;
        public float* Gradients;
        public float* First;
        public float* Second;
        public float GradientScale;
        public float Decay;
        public AdamStep Step;
    }
}
