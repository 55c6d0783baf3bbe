using System.Runtime.CompilerServices;
using Flint.Kernels;
using Flint.Memory;

namespace Flint.Training;

/// <summary>
/// Muon (Jordan et al., 2024): the momentum of a matrix, brought near the closest matrix with equal singular values by five
/// Newton–Schulz iterations, is the step. Steps are scaled to the size of AdamW's (Liu et al., arXiv 2502.16982), so that learning
/// rate and decay mean the same for both.
/// </summary>
internal sealed unsafe class Muon : IDisposable
{
    private const int Iterations = 5;
    private const float LikeAdam = 0.2f;

    // The quintic's coefficients: x → a·x + b·x³ + c·x⁵ drives every singular value in (0, 1] towards 1.
    private const float A = 3.4445f;
    private const float B = -4.7750f;
    private const float C = 2.0315f;

    private readonly TrainedTensors _tensors;
    private readonly Team _team;
    private readonly TrainedTensor[] _matrices;
    private readonly NativeBuffer _memory;
    private readonly long _threadFloats;
    private readonly long _elements;
    private readonly long _sides;

    public Muon(TrainedTensors tensors, Team team, TrainedTensor[] matrices)
    {
        _tensors = tensors;
        _team = team;
        // The largest first: threads that take one after the other then end at about the same time.
        _matrices = [.. matrices.OrderByDescending(m => m.Count)];
        (_elements, _sides, _threadFloats) = Sizes([.. matrices.Select(m => (m.Columns, m.Rows))]);
        _memory = NativeBuffer.Of<float>(team.Count * _threadFloats);
    }

    /// <summary>Bytes of scratch for the matrices among these shapes; norms have 0 rows.</summary>
    public static long ScratchBytes(IEnumerable<(int Columns, int Rows)> shapes, int threads)
    {
        (int, int)[] matrices = [.. shapes.Where(s => s.Rows > 0)];
        return matrices.Length == 0 ? 0 : threads * Sizes(matrices).ThreadFloats * sizeof(float);
    }

    /// <summary>One step of every matrix.</summary>
    /// <param name="o">Momentum and decay.</param>
    /// <param name="rate">The learning rate.</param>
    /// <param name="gradientScale">Factor of the gradients: clipping.</param>
    public void Step(TrainerOptions o, double rate, float gradientScale)
    {
        Matrix* matrices = stackalloc Matrix[_matrices.Length];
        for (int i = 0; i < _matrices.Length; i++)
        {
            TrainedTensor m = _matrices[i];
            matrices[i] = new Matrix
            {
                Values = _tensors.ValuesOf(m), Gradient = _tensors.GradientsOf(m), Momentum = _tensors.FirstMoments + m.Offset,
                Rows = m.Rows, Columns = m.Columns,
                Factor = (float)(rate * LikeAdam * Math.Sqrt(Math.Max(m.Rows, m.Columns))),
            };
        }

        var job = new Job
        {
            Matrices = matrices, Count = _matrices.Length,
            Memory = (float*)_memory.Pointer, ThreadFloats = _threadFloats, Elements = _elements, Sides = _sides,
            Momentum = o.Momentum, GradientScale = gradientScale, Keep = 1 - (float)(rate * o.WeightDecay),
        };
        switch (Isa.Floats)
        {
            case LaneBody.Avx512: _team.Run(&Bodies<Lanes512>.Turn, &job); break;
            case LaneBody.Avx2: _team.Run(&Bodies<Lanes256>.Turn, &job); break;
            default: _team.Run(&Bodies<LanesScalar>.Turn, &job); break;
        }
    }

    public void Dispose() => _memory.Dispose();

    private static (long Elements, long Sides, long ThreadFloats) Sizes((int Columns, int Rows)[] matrices)
    {
        long elements = matrices.Max(m => (long)m.Columns * m.Rows), side = matrices.Max(m => Math.Min(m.Columns, m.Rows));
        long panels = matrices.Max(m => DenseGemm.PanelFloats(Math.Max(m.Rows, m.Columns), Math.Max(m.Rows, m.Columns)));
        return (elements, side * side, 2 * elements + 2 * side * side + panels + DenseGemm.ThreadFloats);
    }

    private static class Bodies<TLanes>
        where TLanes : struct, ILanes<TLanes>
    {
        /// <summary>Takes matrices until none is left; each is one thread's work from end to end.</summary>
        public static void Turn(void* state, int part, int parts)
        {
            var job = (Job*)state;
            var scratch = new Scratch(*job, part);
            for (int i; (i = Interlocked.Increment(ref job->Next) - 1) < job->Count;) Turn(*job, job->Matrices[i], scratch);
        }

        private static void Turn(in Job job, in Matrix m, in Scratch s)
        {
            long count = (long)m.Rows * m.Columns;
            Momentum(job, m, s.Step, count);
            double squares = 0;
            for (long i = 0; i < count; i++) squares += (double)s.Step[i] * s.Step[i];
            if (squares == 0) return;
            Scale(s.Step, (float)(1 / Math.Sqrt(squares)), count);
            Update(m, Orthogonalize(m.Rows, m.Columns, s), job.Keep, count);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Momentum(in Job job, in Matrix m, float* step, long count)
        {
            TLanes clip = TLanes.Broadcast(job.GradientScale), keep = TLanes.Broadcast(job.Momentum);
            long i = 0;
            for (; i + 16 <= count; i += 16)
            {
                TLanes g = TLanes.Mul(TLanes.Load(m.Gradient + i), clip);
                TLanes momentum = TLanes.Add(TLanes.Mul(keep, TLanes.Load(m.Momentum + i)), g);
                TLanes.Store(momentum, m.Momentum + i);
                TLanes.Store(TLanes.Add(g, TLanes.Mul(keep, momentum)), step + i);
            }

            for (; i < count; i++)
            {
                float g = m.Gradient[i] * job.GradientScale;
                m.Momentum[i] = job.Momentum * m.Momentum[i] + g;
                step[i] = g + job.Momentum * m.Momentum[i];
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Scale(float* x, float by, long count)
        {
            TLanes factor = TLanes.Broadcast(by);
            long i = 0;
            for (; i + 16 <= count; i += 16) TLanes.Store(TLanes.Mul(TLanes.Load(x + i), factor), x + i);
            for (; i < count; i++) x[i] *= by;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Update(in Matrix m, float* turned, float keep, long count)
        {
            TLanes kept = TLanes.Broadcast(keep), factor = TLanes.Broadcast(m.Factor);
            long i = 0;
            for (; i + 16 <= count; i += 16)
                TLanes.Store(TLanes.Sub(TLanes.Mul(TLanes.Load(m.Values + i), kept), TLanes.Mul(factor, TLanes.Load(turned + i))), m.Values + i);
            for (; i < count; i++) m.Values[i] = m.Values[i] * keep - m.Factor * turned[i];
        }

        /// <summary>The iterations on the step, from the side where the square is smaller: X ← a·X + (b·S + c·S²)·X with S = X·Xᵀ, or the mirror image.</summary>
        private static float* Orthogonalize(int rows, int columns, in Scratch s)
        {
            float* x = s.Step, other = s.Next;
            bool tall = rows > columns;
            int side = Math.Min(rows, columns), length = Math.Max(rows, columns);
            for (int i = 0; i < Iterations; i++)
            {
                // S = X·Xᵀ, or Xᵀ·X of a tall one: A read transposed where it is tall, B where it is not.
                Product(new DenseProduct { A = x, AStride = columns, ATransposed = tall, B = x, BStride = columns, BTransposed = !tall, C = s.Square, CStride = side, M = side, N = side, K = length }, s);
                Product(new DenseProduct { A = s.Square, AStride = side, B = s.Square, BStride = side, C = s.Fourth, CStride = side, M = side, N = side, K = side }, s);
                Blend(s.Square, B, s.Fourth, C, (long)side * side);
                if (tall) Product(new DenseProduct { A = x, AStride = columns, B = s.Square, BStride = side, C = other, CStride = columns, M = rows, N = columns, K = side }, s);
                else Product(new DenseProduct { A = s.Square, AStride = side, B = x, BStride = columns, C = other, CStride = columns, M = rows, N = columns, K = side }, s);
                Blend(other, 1f, x, A, (long)rows * columns);
                float* swap = x;
                x = other;
                other = swap;
            }

            return x;
        }

        /// <summary>x = p·x + q·y.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Blend(float* x, float p, float* y, float q, long count)
        {
            TLanes first = TLanes.Broadcast(p), second = TLanes.Broadcast(q);
            long i = 0;
            for (; i + 16 <= count; i += 16)
                TLanes.Store(TLanes.Add(TLanes.Mul(first, TLanes.Load(x + i)), TLanes.Mul(second, TLanes.Load(y + i))), x + i);
            for (; i < count; i++) x[i] = p * x[i] + q * y[i];
        }

        private static void Product(in DenseProduct product, in Scratch s) => DenseGemm.RunAlone<TLanes>(product, s.Panels, s.Thread);
    }

    private struct Matrix
    {
        public float* Values;
        public float* Gradient;
        public float* Momentum;
        public int Rows;
        public int Columns;

        /// <summary>The learning rate, scaled to the shape.</summary>
        public float Factor;
    }

    private struct Job
    {
        public Matrix* Matrices;
        public int Count;
        public int Next;
        public float* Memory;
        public long ThreadFloats;
        public long Elements;
        public long Sides;
        public float Momentum;
        public float GradientScale;
        public float Keep;
    }

    /// <summary>A thread's own memory.</summary>
    private readonly struct Scratch
    {
        public Scratch(in Job job, int part)
        {
            Step = job.Memory + part * job.ThreadFloats;
            Next = Step + job.Elements;
            Square = Next + job.Elements;
            Fourth = Square + job.Sides;
            Thread = Fourth + job.Sides;
            Panels = Thread + DenseGemm.ThreadFloats;
        }

        public float* Step { get; }

        public float* Next { get; }

        public float* Square { get; }

        public float* Fourth { get; }

        public float* Thread { get; }

        public float* Panels { get; }
    }
}
