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
    private readonly float* _step;
    private readonly float* _next;
    private readonly float* _square;
    private readonly float* _fourth;
    private readonly float* _panels;
    private readonly float* _scratch;

    public Muon(TrainedTensors tensors, Team team, TrainedTensor[] matrices)
    {
        _tensors = tensors;
        _team = team;
        _matrices = matrices;
        long elements = matrices.Max(m => m.Count), side = matrices.Max(m => (long)Math.Min(m.Rows, m.Columns));
        long panels = matrices.Max(m => DenseGemm.PanelFloats(Math.Max(m.Rows, m.Columns), Math.Max(m.Rows, m.Columns)));
        _memory = NativeBuffer.Of<float>(2 * elements + 2 * side * side + panels + (long)team.Count * DenseGemm.ThreadFloats);
        _step = (float*)_memory.Pointer;
        _next = _step + elements;
        _square = _next + elements;
        _fourth = _square + side * side;
        _panels = _fourth + side * side;
        _scratch = _panels + panels;
    }

    /// <summary>One step of every matrix.</summary>
    /// <param name="o">Momentum and decay.</param>
    /// <param name="rate">The learning rate.</param>
    /// <param name="gradientScale">Factor of the gradients: clipping.</param>
    public void Step(TrainerOptions o, double rate, float gradientScale)
    {
        foreach (TrainedTensor matrix in _matrices)
        {
            float* gradient = _tensors.GradientsOf(matrix), momentum = _tensors.FirstMoments + matrix.Offset, values = _tensors.ValuesOf(matrix);
            double squares = 0;
            for (long i = 0; i < matrix.Count; i++)
            {
                float g = gradient[i] * gradientScale;
                momentum[i] = o.Momentum * momentum[i] + g;
                _step[i] = g + o.Momentum * momentum[i];
                squares += (double)_step[i] * _step[i];
            }

            if (squares == 0) continue;
            float shrink = (float)(1 / Math.Sqrt(squares));
            for (long i = 0; i < matrix.Count; i++) _step[i] *= shrink;
            float* turned = Orthogonalize(matrix.Rows, matrix.Columns);
            float factor = (float)(rate * LikeAdam * Math.Sqrt(Math.Max(matrix.Rows, matrix.Columns))), keep = 1 - (float)(rate * o.WeightDecay);
            for (long i = 0; i < matrix.Count; i++) values[i] = values[i] * keep - factor * turned[i];
        }
    }

    public void Dispose() => _memory.Dispose();

    /// <summary>The iterations on the step, from the side where the square is smaller: X ← a·X + (b·S + c·S²)·X with S = X·Xᵀ, or the mirror image.</summary>
    private float* Orthogonalize(int rows, int columns)
    {
        float* x = _step, other = _next;
        bool tall = rows > columns;
        int side = Math.Min(rows, columns), length = Math.Max(rows, columns);
        for (int i = 0; i < Iterations; i++)
        {
            // S = X·Xᵀ, or Xᵀ·X of a tall one: A read transposed where it is tall, B where it is not.
            Product(new DenseProduct { A = x, AStride = columns, ATransposed = tall, B = x, BStride = columns, BTransposed = !tall, C = _square, CStride = side, M = side, N = side, K = length });
            Product(new DenseProduct { A = _square, AStride = side, B = _square, BStride = side, C = _fourth, CStride = side, M = side, N = side, K = side });
            for (int k = 0; k < side * side; k++) _square[k] = B * _square[k] + C * _fourth[k];
            if (tall) Product(new DenseProduct { A = x, AStride = columns, B = _square, BStride = side, C = other, CStride = columns, M = rows, N = columns, K = side });
            else Product(new DenseProduct { A = _square, AStride = side, B = x, BStride = columns, C = other, CStride = columns, M = rows, N = columns, K = side });
            long count = (long)rows * columns;
            for (long k = 0; k < count; k++) other[k] += A * x[k];
            float* swap = x;
            x = other;
            other = swap;
        }

        return x;
    }

    private void Product(in DenseProduct product) => DenseGemm.Run(_team, product, _panels, _scratch);
}
