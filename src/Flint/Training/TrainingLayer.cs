using Flint.Formats;
using Flint.Memory;
using Flint.Models;
using Flint.Weights;

namespace Flint.Training;

/// <summary>A norm's weights and, where it is trained, their gradient.</summary>
internal readonly unsafe struct TrainingVector(float* values, float* gradient)
{
    /// <summary>Null where the model has no such norm.</summary>
    public float* Values { get; } = values;

    /// <summary>Null where it is frozen.</summary>
    public float* Gradient { get; } = gradient;
}

/// <summary>The weights of one decoder layer as training sees them.</summary>
internal sealed class TrainingLayer
{
    public required TrainingVector AttentionNorm { get; init; }

    /// <summary>Query, key, value and, where there is one, gate.</summary>
    public required TrainingMatrix Inputs { get; init; }

    public required TrainingVector QueryNorm { get; init; }

    public required TrainingVector KeyNorm { get; init; }

    public required TrainingMatrix Output { get; init; }

    public required TrainingVector PostAttentionNorm { get; init; }

    public required TrainingVector FeedForwardNorm { get; init; }

    /// <summary>Gate and up.</summary>
    public required TrainingMatrix GateUp { get; init; }

    public required TrainingMatrix Down { get; init; }

    public required TrainingVector PostFeedForwardNorm { get; init; }

    public IEnumerable<TrainingMatrix> Matrices => [Inputs, Output, GateUp, Down];
}

/// <summary>All weights of a decoder as training sees them: those in <see cref="TrainedTensors"/> with gradients, the others frozen in their file.</summary>
internal sealed unsafe class TrainingWeights : IDisposable
{
    private readonly GgufFile _file;
    private readonly TrainedTensors _trained;
    private readonly List<NativeBuffer> _frozenVectors = [];

    public TrainingWeights(GgufFile file, ModelConfig c, TrainedTensors trained)
    {
        _file = file;
        _trained = trained;
        EmbeddingInfo = file.Tensors.Get(DecoderTensors.Embedding, c.EmbeddingLength, c.VocabularySize);
        Embedding = Vector(DecoderTensors.Embedding, c.EmbeddingLength, trainedOnly: true);
        OutputNorm = Vector(DecoderTensors.OutputNorm, c.EmbeddingLength);
        bool tied = !file.Tensors.TryGet(DecoderTensors.Head, out _);
        Head = TrainingMatrix.Of(trained, file, tied ? DecoderTensors.Embedding : DecoderTensors.Head);
        Layers = new TrainingLayer[c.Layers];
        for (int l = 0; l < c.Layers; l++) Layers[l] = Layer(c, l);
    }

    /// <summary>The embedding where it is trained; null values otherwise.</summary>
    public TrainingVector Embedding { get; }

    /// <summary>The embedding in the file.</summary>
    public TensorInfo EmbeddingInfo { get; }

    public TrainingVector OutputNorm { get; }

    public TrainingMatrix Head { get; }

    public TrainingLayer[] Layers { get; }

    public IEnumerable<TrainingMatrix> Matrices => Layers.SelectMany(l => l.Matrices).Append(Head);

    public void Dispose()
    {
        foreach (NativeBuffer vector in _frozenVectors) vector.Dispose();
    }

    private TrainingLayer Layer(ModelConfig c, int l)
    {
        string Name(string part) => DecoderTensors.Name(l, part);
        string[] inputs = [Name(DecoderTensors.Query), Name(DecoderTensors.Key), Name(DecoderTensors.Value)];
        return new TrainingLayer
        {
            AttentionNorm = Vector(Name(DecoderTensors.AttentionNorm), c.EmbeddingLength),
            Inputs = TrainingMatrix.Of(_trained, _file, c.OutputGate ? [.. inputs, Name(DecoderTensors.Gate)] : inputs),
            QueryNorm = c.HeadNorms ? Vector(Name(DecoderTensors.QueryNorm), c.HeadLength) : default,
            KeyNorm = c.HeadNorms ? Vector(Name(DecoderTensors.KeyNorm), c.HeadLength) : default,
            Output = TrainingMatrix.Of(_trained, _file, Name(DecoderTensors.Output)),
            PostAttentionNorm = c.PostNorms ? Vector(Name(DecoderTensors.PostAttentionNorm), c.EmbeddingLength) : default,
            FeedForwardNorm = Vector(Name(DecoderTensors.FeedForwardNorm), c.EmbeddingLength),
            GateUp = TrainingMatrix.Of(_trained, _file, Name(DecoderTensors.FeedForwardGate), Name(DecoderTensors.FeedForwardUp)),
            Down = TrainingMatrix.Of(_trained, _file, Name(DecoderTensors.FeedForwardDown)),
            PostFeedForwardNorm = c.PostNorms ? Vector(Name(DecoderTensors.PostFeedForwardNorm), c.EmbeddingLength) : default,
        };
    }

    private TrainingVector Vector(string name, int length, bool trainedOnly = false)
    {
        if (_trained.Find(name) is { } tensor) return new TrainingVector(_trained.ValuesOf(tensor), _trained.GradientsOf(tensor));
        if (trainedOnly) return default;
        TensorInfo info = _file.Tensors.Get(name, length);
        var buffer = NativeBuffer.Of<float>(length);
        _frozenVectors.Add(buffer);
        WeightTypes.DecodeRow(info.Type, info.Data, (float*)buffer.Pointer, length);
        return new TrainingVector((float*)buffer.Pointer, null);
    }
}
