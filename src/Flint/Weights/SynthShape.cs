using Flint.Formats;

namespace Flint.Weights;

/// <summary>The published shape of a real model: the metadata and the tensors of its file.</summary>
internal sealed record SynthShape
{
    private const float MatrixDeviation = 0.02f;
    private const float NormDeviation = 0.02f;

    /// <summary>All shapes.</summary>
    public static IReadOnlyList<SynthShape> All { get; } =
    [
        // Llama 3.2 1B
        new()
        {
            Name = "llama-1b", Architecture = "llama", Size = "1B", Dialect = SynthDialect.Llama3, Tied = true,
            Layers = 16, Width = 2048, FeedForward = 8192, Heads = 32, KvHeads = 8, HeadLength = 64, Vocabulary = 128256,
            ContextLength = 131072, RopeBase = 500000, RmsEpsilon = 1e-5f, RopeFactor = 32,
        },
        // Llama 3.1 8B
        new()
        {
            Name = "llama-8b", Architecture = "llama", Size = "8B", Dialect = SynthDialect.Llama3,
            Layers = 32, Width = 4096, FeedForward = 14336, Heads = 32, KvHeads = 8, HeadLength = 128, Vocabulary = 128256,
            ContextLength = 131072, RopeBase = 500000, RmsEpsilon = 1e-5f, RopeFactor = 8,
        },
        // The sizes of OLMoE 1B-7B in the blocks of Qwen 3 MoE
        new()
        {
            Name = "moe-1b-7b", Architecture = "qwen3moe", Size = "7B", Dialect = SynthDialect.ChatMl,
            Layers = 16, Width = 2048, FeedForward = 1024, Heads = 16, KvHeads = 16, HeadLength = 128, Vocabulary = 50304,
            ContextLength = 40960, RopeBase = 1000000, RmsEpsilon = 1e-6f, Experts = 64, ExpertsUsed = 8, QueryNorm = 1,
        },
        // Muse Glimmer 30B
        new()
        {
            Name = "muse-glimmer-30b", Architecture = "muse-glimmer", Size = "28B", Dialect = SynthDialect.MuseGlimmer,
            Layers = 52, Width = 6656, FeedForward = 19968, Heads = 32, KvHeads = 2, HeadLength = 128, Vocabulary = 202048,
            ContextLength = 131072, RopeBase = 500000, RmsEpsilon = 1e-5f, SlidingWindow = 2048, QueryNorm = 3.87f,
        },
    ];

    /// <summary>The name it is asked for by.</summary>
    public required string Name { get; init; }

    /// <summary>The model family.</summary>
    public required string Architecture { get; init; }

    /// <summary>The parameter count as people say it.</summary>
    public required string Size { get; init; }

    /// <summary>The special tokens and the chat template.</summary>
    public required SynthDialect Dialect { get; init; }

    /// <summary>Whether the embedding is the output matrix too.</summary>
    public bool Tied { get; init; }

    /// <summary>The number of layers.</summary>
    public required int Layers { get; init; }

    /// <summary>The length of the residual stream.</summary>
    public required int Width { get; init; }

    /// <summary>The inner length of the feed-forward block, of an expert where there are experts.</summary>
    public required int FeedForward { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads.</summary>
    public required int KvHeads { get; init; }

    /// <summary>The length of a head.</summary>
    public required int HeadLength { get; init; }

    /// <summary>The number of tokens.</summary>
    public required int Vocabulary { get; init; }

    /// <summary>The context the model was trained for.</summary>
    public required int ContextLength { get; init; }

    /// <summary>The base of the rotary frequencies.</summary>
    public required float RopeBase { get; init; }

    /// <summary>The epsilon of the norms.</summary>
    public required float RmsEpsilon { get; init; }

    /// <summary>How far Llama 3.1's rule stretches the slow rotary frequencies; 0: not at all.</summary>
    public float RopeFactor { get; init; }

    /// <summary>Experts per layer; 0 for a dense model.</summary>
    public int Experts { get; init; }

    /// <summary>Experts used per token.</summary>
    public int ExpertsUsed { get; init; }

    /// <summary>The sliding window of three layers in four; 0: none.</summary>
    public int SlidingWindow { get; init; }

    /// <summary>The weight of the norm of queries; 0: queries and keys have no norm.</summary>
    public float QueryNorm { get; init; }

    private bool IsMuse => Dialect == SynthDialect.MuseGlimmer;

    /// <summary>Writes the metadata, tokenizer included.</summary>
    public void AddMetadata(GgufWriter writer, QuantMix quant)
    {
        writer.Add("general.architecture", Architecture);
        writer.Add("general.type", "model");
        writer.Add("general.name", $"Synthetic {Name}");
        writer.Add("general.size_label", Size);
        writer.Add("general.quantization_version", 2u);
        writer.Add("general.file_type", quant.FileType);
        writer.Add($"{Architecture}.block_count", (uint)Layers);
        writer.Add($"{Architecture}.context_length", (uint)ContextLength);
        writer.Add($"{Architecture}.embedding_length", (uint)Width);
        writer.Add($"{Architecture}.feed_forward_length", (uint)FeedForward);
        writer.Add($"{Architecture}.attention.head_count", (uint)Heads);
        writer.Add($"{Architecture}.attention.head_count_kv", (uint)KvHeads);
        writer.Add($"{Architecture}.attention.key_length", (uint)HeadLength);
        writer.Add($"{Architecture}.attention.value_length", (uint)HeadLength);
        writer.Add($"{Architecture}.attention.layer_norm_rms_epsilon", RmsEpsilon);
        writer.Add($"{Architecture}.rope.freq_base", RopeBase);
        if (IsMuse)
        {
            bool[] sliding = new bool[Layers];
            for (int i = 0; i < Layers; i++)
                sliding[i] = i % 4 != 3;
            writer.Add($"{Architecture}.attention.sliding_window", (uint)SlidingWindow);
            writer.Add($"{Architecture}.attention.sliding_window_pattern", sliding);
            writer.Add($"{Architecture}.final_logit_softcapping", 20f);
            writer.Add($"{Architecture}.logit_scale", 1 / MathF.Sqrt(26));
        }
        else
        {
            writer.Add($"{Architecture}.rope.dimension_count", (uint)HeadLength);
            writer.Add($"{Architecture}.vocab_size", (uint)Vocabulary);
        }
        if (Experts > 0)
        {
            writer.Add($"{Architecture}.expert_count", (uint)Experts);
            writer.Add($"{Architecture}.expert_used_count", (uint)ExpertsUsed);
            writer.Add($"{Architecture}.expert_feed_forward_length", (uint)FeedForward);
        }
        SynthTokenizer.AddMetadata(writer, Dialect, Vocabulary);
    }

    /// <summary>The tensors in the order of the file.</summary>
    public IEnumerable<SynthTensor> Tensors(QuantMix quant)
    {
        SynthTensor[] plain = [.. PlainTensors()];
        QuantPlan plan = new(quant, null, [.. plain.Select(t => t.Name)], new ModelFacts(Layers, Experts, false));
        return plain.Select(t => t with { Type = plan.TypeOf(t.Name, t.Shape, t.Type).Type });
    }

    private IEnumerable<SynthTensor> PlainTensors()
    {
        if (RopeFactor > 0)
            yield return new("rope_freqs.weight", WeightType.F32, [HeadLength / 2], 0, 0, RopeFactors());
        yield return Matrix("token_embd.weight", Width, Vocabulary);
        for (int i = 0; i < Layers; i++)
        {
            foreach (SynthTensor tensor in Layer(i))
                yield return tensor;
        }
        yield return Norm("output_norm.weight", Width);
        if (!Tied)
            yield return Matrix("output.weight", Width, Vocabulary);
    }

    private IEnumerable<SynthTensor> Layer(int layer)
    {
        string prefix = $"blk.{layer}.";
        int queries = Heads * HeadLength, keys = KvHeads * HeadLength;
        yield return Norm(prefix + "attn_norm.weight", Width);
        yield return Matrix(prefix + "attn_q.weight", Width, queries);
        yield return Matrix(prefix + "attn_k.weight", Width, keys);
        yield return Matrix(prefix + "attn_v.weight", Width, keys);
        if (IsMuse)
            yield return Matrix(prefix + "attn_gate.weight", Width, queries);
        yield return Matrix(prefix + "attn_output.weight", queries, Width);
        if (QueryNorm > 0)
        {
            yield return new(prefix + "attn_q_norm.weight", WeightType.F32, [HeadLength], QueryNorm, 0);
            yield return new(prefix + "attn_k_norm.weight", WeightType.F32, [HeadLength], 1, 0);
        }
        if (IsMuse)
            yield return Norm(prefix + "post_attention_norm.weight", Width);
        yield return Norm(prefix + "ffn_norm.weight", Width);
        string experts = Experts > 0 ? "_exps.weight" : ".weight";
        long[] count = Experts > 0 ? [Experts] : [];
        if (Experts > 0)
            yield return Matrix(prefix + "ffn_gate_inp.weight", Width, Experts);
        yield return Matrix(prefix + "ffn_gate" + experts, [Width, FeedForward, .. count]);
        yield return Matrix(prefix + "ffn_up" + experts, [Width, FeedForward, .. count]);
        yield return Matrix(prefix + "ffn_down" + experts, [FeedForward, Width, .. count]);
        if (IsMuse)
            yield return Norm(prefix + "post_ffw_norm.weight", Width);
    }

    private static SynthTensor Matrix(string name, params long[] shape) => new(name, WeightType.F32, shape, 0, MatrixDeviation);

    private static SynthTensor Norm(string name, long length) => new(name, WeightType.F32, [length], 1, NormDeviation);

    /// <summary>
    /// Llama 3.1's divisors of the rotary frequencies: 1 for wavelengths below a quarter of the 8,192 tokens first trained on,
    /// the full factor for those above all of them, and a smooth way between.
    /// </summary>
    private float[] RopeFactors()
    {
        const double trained = 8192, lowFactor = 1, highFactor = 4;
        float[] factors = new float[HeadLength / 2];
        for (int i = 0; i < factors.Length; i++)
        {
            double wavelength = 2 * Math.PI * Math.Pow(RopeBase, 2.0 * i / HeadLength);
            double smooth = Math.Clamp((trained / wavelength - lowFactor) / (highFactor - lowFactor), 0, 1);
            factors[i] = (float)(1 / ((1 - smooth) / RopeFactor + smooth));
        }
        return factors;
    }
}
