using Flint.Kernels;
using Flint.Memory;

namespace Flint.Models;

/// <summary>All memory of a forward pass, sized once for the largest batch.</summary>
internal sealed unsafe class Workspace : IDisposable
{
    private readonly List<NativeBuffer> _buffers = [];

    public Workspace(ModelConfig c, ModelOptions o, int threads)
    {
        int rows = o.MaxBatchRows;
        int queries = c.Heads * c.HeadLength, outputs = c.Heads * c.ValueLength;
        int widest = Math.Max(Math.Max(c.EmbeddingLength, outputs), c.FeedForwardLength);
        PagesPerSequence = KvPool.PagesFor(c.ContextLength);
        GemmScratchStride = Gemm.ScratchBytes(rows);
        AttentionScratchFloats = (Attention.ScratchBytes(c.HeadLength, c.ValueLength) + 63) / 64 * 16;

        State = (ForwardState*)Bytes(sizeof(ForwardState));
        Input = Floats((long)rows * Math.Max(c.EmbeddingLength, outputs));
        Codes = (sbyte*)Bytes(Activations.CodeBytes(rows, widest));
        Scales = (BlockScale*)Bytes(Activations.ScaleBytes(rows, widest));
        GemmScratch = Bytes(GemmScratchStride * threads);
        AttentionScratch = Floats(AttentionScratchFloats * threads);
        Stream = Floats((long)rows * c.EmbeddingLength);
        Block = Floats((long)rows * c.EmbeddingLength);
        Query = Floats((long)rows * queries);
        Key = Floats((long)rows * c.KvHeads * c.HeadLength);
        Value = Floats((long)rows * c.KvHeads * c.ValueLength);
        Gate = c.OutputGate ? Floats((long)rows * outputs) : null;
        Inner1 = Floats((long)rows * c.FeedForwardLength);
        Inner2 = Floats((long)rows * c.FeedForwardLength);
        Logits = Floats((long)o.MaxLogitRows * c.VocabularySize);
        Tokens = Ints(rows);
        Positions = Ints(rows);
        RowSequences = Ints(rows);
        TileRows = Ints(rows);
        TileStarts = Ints(rows + 1);
        Pages = Ints((long)o.MaxSequences * PagesPerSequence);
        CosSin = Floats((long)rows * c.RopeDimensions);
        RopeSteps = (double*)Bytes(Math.Max(1, c.RopeDimensions / 2) * sizeof(double));
        double[] steps = Rope.Frequencies(c.RopeDimensions, c.RopeBase, c.RopeLinearFactor, c.RopeFactors);
        steps.AsSpan().CopyTo(new Span<double>(RopeSteps, steps.Length));
    }

    public ForwardState* State { get; }

    public float* Input { get; }

    public sbyte* Codes { get; }

    public BlockScale* Scales { get; }

    public byte* GemmScratch { get; }

    public long GemmScratchStride { get; }

    public float* AttentionScratch { get; }

    public long AttentionScratchFloats { get; }

    public float* Stream { get; }

    public float* Block { get; }

    public float* Query { get; }

    public float* Key { get; }

    public float* Value { get; }

    public float* Gate { get; }

    public float* Inner1 { get; }

    public float* Inner2 { get; }

    public float* Logits { get; }

    public int* Tokens { get; }

    public int* Positions { get; }

    public int* RowSequences { get; }

    public int* TileRows { get; }

    public int* TileStarts { get; }

    public int* Pages { get; }

    public int PagesPerSequence { get; }

    public float* CosSin { get; }

    public double* RopeSteps { get; }

    /// <summary>Bytes of all buffers.</summary>
    public long TotalBytes => _buffers.Sum(b => b.Length);

    public void Dispose()
    {
        foreach (NativeBuffer buffer in _buffers) buffer.Dispose();
    }

    private byte* Bytes(long count)
    {
        var buffer = new NativeBuffer(count, zeroed: true);
        _buffers.Add(buffer);
        return buffer.Pointer;
    }

    private float* Floats(long count) => (float*)Bytes(count * sizeof(float));

    private int* Ints(long count) => (int*)Bytes(count * sizeof(int));
}
