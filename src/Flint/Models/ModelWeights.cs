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

    public static ModelWeights Load(GgufFile file, ModelConfig c, Team team)
    {
        var binder = new WeightBinder(file, team);
        var layers = new List<LayerWeights>(c.Layers);
        PackedMatrix? head = null;
        try
        {
            TensorInfo embedding = binder.Rows("token_embd.weight", c.EmbeddingLength, c.VocabularySize);
            if (!WeightTypes.IsSupported(embedding.Type))
                throw FlintException.File("unsupported_weight_type", $"{embedding.File}: tensor {embedding.Name} is in {WeightTypes.Name(embedding.Type)}, which is not supported.");
            if (c.RopeFactors is not null) binder.Accept("rope_freqs.weight");
            for (int l = 0; l < c.Layers; l++) layers.Add(Layer(binder, c, l));
            float* outputNorm = binder.Vector("output_norm.weight", c.EmbeddingLength);
            head = binder.Has("output.weight")
                ? binder.Matrix("output.weight", c.EmbeddingLength, c.VocabularySize)
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
        string p = $"blk.{l}.";
        int width = c.EmbeddingLength, queries = c.Heads * c.HeadLength, outputs = c.Heads * c.ValueLength;
        return new LayerWeights
        {
            AttentionNorm = binder.Vector(p + "attn_norm.weight", width),
            Query = binder.Matrix(p + "attn_q.weight", width, queries),
            Key = binder.Matrix(p + "attn_k.weight", width, c.KvHeads * c.HeadLength),
            Value = binder.Matrix(p + "attn_v.weight", width, c.KvHeads * c.ValueLength),
            Gate = c.OutputGate ? binder.Matrix(p + "attn_gate.weight", width, outputs) : null,
            QueryNorm = c.HeadNorms ? binder.Vector(p + "attn_q_norm.weight", c.HeadLength) : null,
            KeyNorm = c.HeadNorms ? binder.Vector(p + "attn_k_norm.weight", c.HeadLength) : null,
            Output = binder.Matrix(p + "attn_output.weight", outputs, width),
            PostAttentionNorm = c.PostNorms ? binder.Vector(p + "post_attention_norm.weight", width) : null,
            FeedForwardNorm = binder.Vector(p + "ffn_norm.weight", width),
            FeedForwardGate = binder.Matrix(p + "ffn_gate.weight", width, c.FeedForwardLength),
            FeedForwardUp = binder.Matrix(p + "ffn_up.weight", width, c.FeedForwardLength),
            FeedForwardDown = binder.Matrix(p + "ffn_down.weight", c.FeedForwardLength, width),
            PostFeedForwardNorm = c.PostNorms ? binder.Vector(p + "post_ffw_norm.weight", width) : null,
        };
    }
}
