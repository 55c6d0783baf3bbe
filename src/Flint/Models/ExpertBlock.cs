using Flint.Kernels;
using Flint.Memory;

namespace Flint.Models;

/// <summary>
/// The feed-forward block of layers of experts (Shazeer et al., arXiv 1701.06538): a router scores all experts, the best few compute,
/// and their outputs are summed by their shares of the softmax. A row's sum runs in the order of its experts' scores, so its bits do
/// not depend on the rows beside it; an expert is read once for all rows that chose it, and not at all where none did.
/// </summary>
internal sealed unsafe class ExpertBlock : IDisposable
{
    private readonly ModelConfig _c;
    private readonly Team _team;
    private readonly ExpertPasses _passes;
    private readonly int _rowsWorthATeam;
    private readonly List<NativeBuffer> _buffers = [];
    private ExpertState _s;

    /// <summary>Reserves what the largest batch takes.</summary>
    /// <param name="c">A shape with experts.</param>
    /// <param name="rows">Rows of the largest batch.</param>
    /// <param name="team">Who computes.</param>
    /// <param name="body">The kernels' body.</param>
    /// <param name="rowsWorthATeam">Fewer rows than this are not shared among threads between products.</param>
    public ExpertBlock(ModelConfig c, int rows, Team team, LaneBody body, int rowsWorthATeam)
    {
        _c = c;
        _team = team;
        _passes = ExpertPasses.For(body);
        _rowsWorthATeam = rowsWorthATeam;
        int slots = checked(rows * c.ExpertsUsed), width = c.EmbeddingLength, inner = c.FeedForwardLength;
        _s = new ExpertState
        {
            Experts = c.Experts,
            Used = c.ExpertsUsed,
            Width = width,
            Inner = inner,
            Logits = Take<float>((long)rows * c.Experts),
            Chosen = Take<int>(slots),
            Weights = Take<float>(slots),
            Slots = Take<int>(slots),
            Starts = Take<int>(c.Experts + 1),
            BusyExperts = Take<int>(c.Experts),
            Taken = team.Taken,
            Input = Rows(slots, width),
            InnerInput = Rows(slots, inner),
            Up = Take<float>((long)slots * inner),
            Output = Take<float>((long)slots * width),
        };
    }

    /// <summary>Bytes of its buffers.</summary>
    public long Bytes => _buffers.Sum(b => b.Length);

    /// <summary>Computes a layer's block.</summary>
    /// <param name="w">The layer's weights.</param>
    /// <param name="job">What the layer reads, and the scratch of its products; no product yet.</param>
    /// <param name="block">Its output: [row][width].</param>
    public void Run(LayerWeights w, GemmJob job, float* block)
    {
        _s.Rows = job.Input.Rows;
        _s.Source = job.Input;
        _s.Block = block;
        _s.Floats = job.Floats;
        _s.Codes = job.Codes;
        _s.Scratch = job.Scratch;
        _s.ScratchStride = job.ScratchStride;
        _s.CodedInput = w.FeedForwardGate.IsCoded || w.FeedForwardUp.IsCoded;
        _s.CodedInner = w.FeedForwardDown.IsCoded;
        job.Add(w.Router!, _s.Logits, _c.Experts);
        Gemm.Run(_team, ref job);
        Pass(_passes.Route);
        Sort();
        if (_s.CodedInput) Gather(coded: true);
        if (!w.FeedForwardGate.IsCoded || !w.FeedForwardUp.IsCoded) Gather(coded: false);
        Multiply(2, new Product(w.FeedForwardGate, _s.InnerInput.Values, _c.FeedForwardLength), new Product(w.FeedForwardUp, _s.Up, _c.FeedForwardLength), _c.FeedForwardLength);
        Pass(_passes.Activate);
        Multiply(1, new Product(w.FeedForwardDown, _s.Output, _c.EmbeddingLength), default, _c.EmbeddingLength);
        Pass(_passes.Combine);
    }

    public void Dispose()
    {
        foreach (NativeBuffer buffer in _buffers) buffer.Dispose();
    }

    /// <summary>Gives every choice its slot: experts in order, the rows of one in order.</summary>
    private void Sort()
    {
        int choices = _s.Rows * _s.Used;
        int* starts = _s.Starts;
        new Span<int>(starts, _s.Experts + 1).Clear();
        for (int i = 0; i < choices; i++) starts[_s.Chosen[i] + 1]++;
        for (int e = 0; e < _s.Experts; e++) starts[e + 1] += starts[e];
        for (int i = 0; i < choices; i++) _s.Slots[i] = starts[_s.Chosen[i]]++;
        // Each start has moved to its expert's end, the next one's start.
        for (int e = _s.Experts; e > 0; e--) starts[e] = starts[e - 1];
        starts[0] = 0;
        _s.Busy = 0;
        for (int e = 0; e < _s.Experts; e++)
        {
            if (_s.Count(e) > 0) _s.BusyExperts[_s.Busy++] = e;
        }
    }

    private void Gather(bool coded)
    {
        bool first = _s.CodedInput;
        _s.CodedInput = coded;
        Pass(_passes.Gather);
        _s.CodedInput = first;
    }

    private void Multiply(int products, Product first, Product second, int rows)
    {
        // The matrices hold all experts; a product is one expert's.
        first.Rows = rows;
        second.Rows = rows;
        _s.First = first;
        _s.Second = second;
        _s.Products = products;
        fixed (ExpertState* s = &_s) _team.Run(_passes.Multiply, s);
    }

    private void Pass(delegate*<void*, int, int, void> pass)
    {
        fixed (ExpertState* s = &_s)
        {
            if (_s.Rows >= _rowsWorthATeam) _team.Run(pass, s);
            else pass(s, 0, 1);
        }
    }

    private Activations Rows(int rows, int columns) => new()
    {
        Values = Take<float>((long)rows * columns),
        Codes = Take<sbyte>(Activations.CodeBytes(rows, columns)),
        Scales = Take<BlockScale>(Activations.ScaleBytes(rows, columns) / sizeof(BlockScale)),
        Columns = columns,
        Stride = columns,
    };

    private T* Take<T>(long count)
        where T : unmanaged
    {
        var buffer = new NativeBuffer(Math.Max(1, count) * sizeof(T), zeroed: true);
        _buffers.Add(buffer);
        return (T*)buffer.Pointer;
    }
}
