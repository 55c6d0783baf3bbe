using Flint.Kernels;
using Flint.Memory;
using Flint.Models;

namespace Flint.Training;

/// <summary>What a layer keeps from the forward pass for the way back.</summary>
internal unsafe struct KeptRows
{
    /// <summary>The stream before the layer: [row][width].</summary>
    public float* Stream;

    /// <summary>Queries, keys, values, gates as they left their product.</summary>
    public float* Inputs;

    /// <summary>Attention's output, before the gate.</summary>
    public float* Attention;

    public float* LogSums;

    /// <summary>The attention block's output, before its norm.</summary>
    public float* Block;

    /// <summary>The stream between the two blocks.</summary>
    public float* Middle;

    /// <summary>Gate and up as they left their product.</summary>
    public float* Inner;

    /// <summary>The feed-forward block's output, before its norm.</summary>
    public float* InnerBlock;
}

/// <summary>All memory of a training pass, sized once.</summary>
internal sealed unsafe class TrainingMemory : IDisposable
{
    /// <summary>Rows whose logits exist at a time.</summary>
    public const int LogitRows = 2048;

    private readonly NativeBuffer? _memory;
    private float* _next;

    public TrainingMemory(ModelConfig c, TrainingSizes sizes)
    {
        _memory = new NativeBuffer(Bytes(c, sizes), hugePages: true);
        _next = (float*)_memory.Pointer;
        Lay(c, sizes);
    }

    private TrainingMemory()
    {
    }

    public KeptRows[] Kept { get; private set; } = [];

    /// <summary>The stream after the last layer.</summary>
    public float* Final { get; private set; }

    public float* Normed { get; private set; }

    public float* Query { get; private set; }

    public float* Key { get; private set; }

    public float* Gated { get; private set; }

    public float* Activated { get; private set; }

    public float* StreamGradient { get; private set; }

    public float* BlockGradient { get; private set; }

    public float* NormedGradient { get; private set; }

    public float* InputGradient { get; private set; }

    public float* QueryGradient { get; private set; }

    public float* KeyGradient { get; private set; }

    public float* OutputGradient { get; private set; }

    public float* InnerGradient { get; private set; }

    public float* Roots { get; private set; }

    public float* KeyRoots { get; private set; }

    public float* Low { get; private set; }

    public float* LowGradient { get; private set; }

    public float* HeadRows { get; private set; }

    public float* HeadGradient { get; private set; }

    public float* Logits { get; private set; }

    public float* CosSin { get; private set; }

    public float* Matrix { get; private set; }

    public float* Panels { get; private set; }

    public float* Scratch { get; private set; }

    public float* AttentionScratch { get; private set; }

    /// <summary>The bytes it takes: the same layout, from address 0.</summary>
    public static long Bytes(ModelConfig c, TrainingSizes sizes)
    {
        using var counted = new TrainingMemory();
        counted.Lay(c, sizes);
        return (long)counted._next;
    }

    public void Dispose() => _memory?.Dispose();

    private float* Take(long floats)
    {
        float* taken = _next;
        _next += (floats + 15) / 16 * 16;
        return taken;
    }

    private void Lay(ModelConfig c, TrainingSizes s)
    {
        long rows = s.Rows, width = c.EmbeddingLength, stride = TrainingSizes.InputStride(c), inner = c.FeedForwardLength;
        long queries = c.Heads * c.HeadLength, keys = c.KvHeads * c.HeadLength, outputs = c.Heads * c.ValueLength;
        Kept = new KeptRows[c.Layers];
        for (int l = 0; l < c.Layers; l++)
        {
            Kept[l] = new KeptRows
            {
                Stream = Take(rows * width),
                Inputs = Take(rows * stride),
                Attention = Take(rows * outputs),
                LogSums = Take(rows * c.Heads),
                Block = Take(rows * width),
                Middle = Take(rows * width),
                Inner = Take(rows * 2 * inner),
                InnerBlock = Take(rows * width),
            };
        }

        Final = Take(rows * width);
        Normed = Take(rows * width);
        Query = Take(rows * queries);
        Key = Take(rows * keys);
        Gated = Take(rows * outputs);
        Activated = Take(rows * inner);
        StreamGradient = Take(rows * width);
        BlockGradient = Take(rows * width);
        NormedGradient = Take(rows * width);
        InputGradient = Take(rows * stride);
        QueryGradient = Take(rows * queries);
        KeyGradient = Take(rows * keys);
        OutputGradient = Take(rows * outputs);
        InnerGradient = Take(rows * inner);
        Roots = Take(rows * c.Heads);
        KeyRoots = Take(rows * c.KvHeads);
        Low = Take(rows * s.Rank);
        LowGradient = Take(rows * s.Rank);
        HeadRows = Take(rows * width);
        HeadGradient = Take(rows * width);
        Logits = Take((long)LogitRows * c.VocabularySize);
        CosSin = Take((long)s.MaxTokens * c.RopeDimensions);
        long widest = Math.Max(Math.Max(stride, 2 * inner), Math.Max(width, s.Frozen ? c.VocabularySize : 0));
        long matrix = Math.Max(Math.Max(stride, 2 * inner) * width, Math.Max(outputs, inner) * width);
        Matrix = Take(s.Frozen ? Math.Max(matrix, width * c.VocabularySize) : 0);
        Panels = Take(PanelFloats(c, s, widest));
        Scratch = Take((long)s.Threads * DenseGemm.ThreadFloats);
        AttentionScratch = Take(s.Threads * TrainingAttention.ScratchFloats(s.MaxTokens, c.Heads / c.KvHeads, c.HeadLength, c.ValueLength));
    }

/// <summary>Panels hold the weights, or the activations where a weight's gradient is computed.</summary>
    private static long PanelFloats(ModelConfig c, TrainingSizes s, long widest)
    {
        long columns = Math.Max(Math.Max(c.EmbeddingLength, c.Heads * c.ValueLength), Math.Max(c.FeedForwardLength, s.Rank));
        long weights = (Math.Max(widest, c.VocabularySize) + 16) * (columns + 16);
        return Math.Max(weights, s.Rows * (columns + 16));
    }
}

/// <summary>The numbers that the memory of a training pass follows from.</summary>
/// <param name="Rows">Rows of a packed batch.</param>
/// <param name="MaxTokens">The longest example.</param>
/// <param name="Threads">Threads of the team.</param>
/// <param name="Rank">The greatest rank of an adapter; 0 for none.</param>
/// <param name="Frozen">Whether matrices have to be decoded from their file.</param>
internal readonly record struct TrainingSizes(int Rows, int MaxTokens, int Threads, int Rank, bool Frozen)
{
    /// <summary>Queries, keys, values and gates of a row.</summary>
    public static int InputStride(ModelConfig c) =>
        c.Heads * c.HeadLength + c.KvHeads * (c.HeadLength + c.ValueLength) + (c.OutputGate ? c.Heads * c.ValueLength : 0);

}
