namespace Flint.Models;

/// <summary>The names and shapes of a decoder's tensors: the one list that inference, training and conversion go by.</summary>
internal static class DecoderTensors
{
    public const string Embedding = "token_embd.weight";
    public const string OutputNorm = "output_norm.weight";
    public const string Head = "output.weight";
    public const string RopeFactors = "rope_freqs.weight";

    public const string AttentionNorm = "attn_norm";
    public const string Query = "attn_q";
    public const string Key = "attn_k";
    public const string Value = "attn_v";
    public const string Gate = "attn_gate";
    public const string QueryNorm = "attn_q_norm";
    public const string KeyNorm = "attn_k_norm";
    public const string Output = "attn_output";
    public const string PostAttentionNorm = "post_attention_norm";
    public const string FeedForwardNorm = "ffn_norm";
    public const string FeedForwardGate = "ffn_gate";
    public const string FeedForwardUp = "ffn_up";
    public const string FeedForwardDown = "ffn_down";
    public const string PostFeedForwardNorm = "post_ffw_norm";
    public const string Router = "ffn_gate_inp";
    public const string ExpertGates = "ffn_gate_exps";
    public const string ExpertUps = "ffn_up_exps";
    public const string ExpertDowns = "ffn_down_exps";

    /// <summary>The full name of a layer's tensor.</summary>
    public static string Name(int layer, string part) => $"blk.{layer}.{part}.weight";

    /// <summary>All tensors of a decoder but experts and their router. Matrices that read the same input follow one another.</summary>
    /// <param name="c">The shape.</param>
    /// <param name="tied">Whether the head is the embedding.</param>
    public static IEnumerable<DecoderTensor> Of(ModelConfig c, bool tied)
    {
        yield return new(Embedding, c.EmbeddingLength, c.VocabularySize);
        for (int l = 0; l < c.Layers; l++)
        {
            foreach (DecoderTensor tensor in Layer(c, l)) yield return tensor;
        }

        yield return new(OutputNorm, c.EmbeddingLength, 0);
        if (!tied) yield return new(Head, c.EmbeddingLength, c.VocabularySize);
    }

    private static IEnumerable<DecoderTensor> Layer(ModelConfig c, int l)
    {
        int width = c.EmbeddingLength, outputs = c.Heads * c.ValueLength;
        yield return new(Name(l, AttentionNorm), width, 0);
        yield return new(Name(l, Query), width, c.Heads * c.HeadLength);
        yield return new(Name(l, Key), width, c.KvHeads * c.HeadLength);
        yield return new(Name(l, Value), width, c.KvHeads * c.ValueLength);
        if (c.OutputGate) yield return new(Name(l, Gate), width, outputs);
        if (c.HeadNorms)
        {
            yield return new(Name(l, QueryNorm), c.HeadLength, 0);
            yield return new(Name(l, KeyNorm), c.HeadLength, 0);
        }

        yield return new(Name(l, Output), outputs, width);
        if (c.PostNorms) yield return new(Name(l, PostAttentionNorm), width, 0);
        yield return new(Name(l, FeedForwardNorm), width, 0);
        if (c.Experts == 0)
        {
            yield return new(Name(l, FeedForwardGate), width, c.FeedForwardLength);
            yield return new(Name(l, FeedForwardUp), width, c.FeedForwardLength);
            yield return new(Name(l, FeedForwardDown), c.FeedForwardLength, width);
        }

        if (c.PostNorms) yield return new(Name(l, PostFeedForwardNorm), width, 0);
    }
}

/// <summary>A tensor of a decoder.</summary>
/// <param name="Name">Its name in GGUF.</param>
/// <param name="Columns">Length of a row: the inputs of a matrix, or all of a vector.</param>
/// <param name="Rows">Outputs of a matrix; 0 for a vector.</param>
internal readonly record struct DecoderTensor(string Name, int Columns, int Rows)
{
    public bool IsVector => Rows == 0;

    public long Elements => (long)Columns * Math.Max(1, Rows);

    /// <summary>The shape in GGUF's order.</summary>
    public long[] Shape => IsVector ? [Columns] : [Columns, Rows];
}
