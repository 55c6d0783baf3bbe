using Flint.Formats;
using Flint.Kernels;
using Flint.Memory;
using Flint.Weights;

namespace Flint.Models;

/// <summary>All weights of a decoder, bound and packed.</summary>
internal sealed unsafe class ModelWeights : IDisposable
{
    private readonly IReadOnlyList<NativeBuffer> _vectors;

    private ModelWeights(TensorInfo embedding, LayerWeights[] layers, float* outputNorm, PackedMatrix head, IReadOnlyList<NativeBuffer> vectors)
    {
        Embedding = embedding;
        Layers = layers;
        OutputNorm = outputNorm;
        Head = head;
        _vectors = vectors;
    }

    /// <summary>Token embeddings, read from the file a row at a time.</summary>
    public TensorInfo Embedding { get; }

    public LayerWeights[] Layers { get; }

    public float* OutputNorm { get; }

    public PackedMatrix Head { get; }

    /// <summary>Bytes of the packed matrices.</summary>
    public long Bytes => Head.Bytes + Layers.Sum(l => l.Matrices.Sum(m => m.Bytes));

    public static ModelWeights Load(GgufFile file, ModelConfig c, Team team, PackedCopy? copy)
    {
        var binder = new WeightBinder(file, team, copy);
        var layers = new List<LayerWeights>(c.Layers);
        PackedMatrix? head = null;
        try
        {
            TensorInfo embedding = binder.Rows(DecoderTensors.Embedding, c.EmbeddingLength, c.VocabularySize);
            if (!WeightTypes.IsSupported(embedding.Type))
                throw FlintException.File("unsupported_weight_type", $"{embedding.File}: tensor {embedding.Name} is in {WeightTypes.Name(embedding.Type)}, which is not supported.");
            if (c.RopeFactors is not null) binder.Accept(DecoderTensors.RopeFactors);
            for (int l = 0; l < c.Layers; l++) layers.Add(Layer(binder, c, l));
            float* outputNorm = binder.Vector(DecoderTensors.OutputNorm, c.EmbeddingLength);
            head = binder.Has(DecoderTensors.Head)
                ? binder.Matrix(DecoderTensors.Head, c.EmbeddingLength, c.VocabularySize)
                : binder.Pack(embedding, c.EmbeddingLength, c.VocabularySize);
            binder.CheckAllBound();
            return new ModelWeights(embedding, [.. layers], outputNorm, head, binder.Vectors);
        }
        catch
        {
            head?.Dispose();
            foreach (LayerWeights layer in layers) layer.Dispose();
            foreach (NativeBuffer vector in binder.Vectors) vector.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        Head.Dispose();
        foreach (LayerWeights layer in Layers) layer.Dispose();
        foreach (NativeBuffer vector in _vectors) vector.Dispose();
    }

    private static LayerWeights Layer(WeightBinder binder, ModelConfig c, int l)
    {
        int width = c.EmbeddingLength, queries = c.Heads * c.HeadLength, outputs = c.Heads * c.ValueLength, inner = c.FeedForwardLength;
        bool experts = c.Experts > 0;
        return new LayerWeights
        {
            AttentionNorm = binder.Vector(DecoderTensors.Name(l, DecoderTensors.AttentionNorm), width),
            Query = binder.Matrix(DecoderTensors.Name(l, DecoderTensors.Query), width, queries),
            Key = binder.Matrix(DecoderTensors.Name(l, DecoderTensors.Key), width, c.KvHeads * c.HeadLength),
            Value = binder.Matrix(DecoderTensors.Name(l, DecoderTensors.Value), width, c.KvHeads * c.ValueLength),
            Gate = c.OutputGate ? binder.Matrix(DecoderTensors.Name(l, DecoderTensors.Gate), width, outputs) : null,
            QueryNorm = c.HeadNorms ? binder.Vector(DecoderTensors.Name(l, DecoderTensors.QueryNorm), c.HeadLength) : null,
            KeyNorm = c.HeadNorms ? binder.Vector(DecoderTensors.Name(l, DecoderTensors.KeyNorm), c.HeadLength) : null,
            Output = binder.Matrix(DecoderTensors.Name(l, DecoderTensors.Output), outputs, width),
            PostAttentionNorm = c.PostNorms ? binder.Vector(DecoderTensors.Name(l, DecoderTensors.PostAttentionNorm), width) : null,
            FeedForwardNorm = binder.Vector(DecoderTensors.Name(l, DecoderTensors.FeedForwardNorm), width),
            Router = experts ? binder.Matrix(DecoderTensors.Name(l, DecoderTensors.Router), width, c.Experts) : null,
            FeedForwardGate = experts
                ? binder.Matrices(DecoderTensors.Name(l, DecoderTensors.ExpertGates), width, inner, c.Experts)
                : binder.Matrix(DecoderTensors.Name(l, DecoderTensors.FeedForwardGate), width, inner),
            FeedForwardUp = experts
                ? binder.Matrices(DecoderTensors.Name(l, DecoderTensors.ExpertUps), width, inner, c.Experts)
                : binder.Matrix(DecoderTensors.Name(l, DecoderTensors.FeedForwardUp), width, inner),
            FeedForwardDown = experts
                ? binder.Matrices(DecoderTensors.Name(l, DecoderTensors.ExpertDowns), inner, width, c.Experts)
                : binder.Matrix(DecoderTensors.Name(l, DecoderTensors.FeedForwardDown), inner, width),
            PostFeedForwardNorm = c.PostNorms ? binder.Vector(DecoderTensors.Name(l, DecoderTensors.PostFeedForwardNorm), width) : null,
        };
    }
}
