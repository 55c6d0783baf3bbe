using Flint.Kernels;
using Flint.Models;
using Flint.Weights;

namespace Flint.Training;

/// <summary>The shape of a model to be trained from nothing.</summary>
public sealed record ModelShape
{
    private const float GlimmerPostNormEpsilon = 1e-8f;
    private const int MaxSize = 1 << 20, MaxLayers = 1024;

    /// <summary>The family: <c>muse-glimmer</c>, <c>llama</c> or <c>qwen3</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>Layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int Width { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; divides <see cref="Heads"/>.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Length of a head, even.</summary>
    public required int HeadLength { get; init; }

    /// <summary>Inner width of the feed-forward block.</summary>
    public required int FeedForward { get; init; }

    /// <summary>The longest sequence, in tokens.</summary>
    public required int Context { get; init; }

    /// <summary>Base of the rotary frequencies.</summary>
    public float RopeBase { get; init; } = 10000;

    /// <summary>Muse Glimmer: keys that a layer with a window sees.</summary>
    public int Window { get; init; }

    /// <summary>Muse Glimmer: which layers have a window, cycled over the layers.</summary>
    public IReadOnlyList<bool> Pattern { get; init; } = [true, true, true, false];

    /// <summary>Muse Glimmer: the factor of the logits; null for 1/√(width/256), as in the 30B model.</summary>
    public float? LogitScale { get; init; }

    /// <summary>Muse Glimmer: the soft-cap of the logits; 0 for none.</summary>
    public float LogitCap { get; init; } = 20;

    /// <summary>Whether the embedding is the output matrix too. Other engines do not load a tied Muse Glimmer.</summary>
    public bool Tied { get; init; }

    /// <summary>Deviation of the first weights; null for √(2/(5·width)), see Nguyen and Salazar, arXiv 1910.05895.</summary>
    public float? Deviation { get; init; }

    internal bool IsGlimmer => Architecture == MuseGlimmer.Architecture;

    internal float Spread => Deviation ?? MathF.Sqrt(2f / (5 * Width));

    /// <summary>The shape as the forward pass knows it.</summary>
    /// <param name="vocabulary">The tokenizer's size.</param>
    /// <exception cref="FlintException">Caller: the family is unknown, or a size is out of range.</exception>
    public ModelConfig Config(int vocabulary)
    {
        Check();
        return new ModelConfig
        {
            Architecture = Architecture,
            VocabularySize = vocabulary,
            EmbeddingLength = Width,
            Layers = Layers,
            Heads = Heads,
            KvHeads = KvHeads,
            HeadLength = HeadLength,
            ValueLength = HeadLength,
            FeedForwardLength = FeedForward,
            TrainedContextLength = Context,
            NormEpsilon = 1e-5f,
            PostNormEpsilon = IsGlimmer ? GlimmerPostNormEpsilon : 0,
            RopeDimensions = HeadLength,
            RopeBase = RopeBase,
            RopeOnFullLayers = !IsGlimmer,
            RopePairing = Architecture == Qwen3.Architecture ? RopePairing.Half : RopePairing.Adjacent,
            Windows = [.. Enumerable.Range(0, Layers).Select(l => IsGlimmer && Pattern[l % Pattern.Count] ? Window : 0)],
            NormEmbedding = IsGlimmer,
            HeadNorms = Architecture != Llama.Architecture,
            OutputGate = IsGlimmer,
            PostNorms = IsGlimmer,
            AttentionScale = (float)(1 / Math.Sqrt(HeadLength)),
            LogitScale = IsGlimmer ? LogitScale ?? MathF.Sqrt(256f / Width) : 1,
            LogitCap = IsGlimmer ? LogitCap : 0,
        };
    }

    /// <summary>The shape's metadata of a GGUF file.</summary>
    internal void AddMetadata(GgufWriter writer, ModelConfig c)
    {
        string a = Architecture;
        writer.Add("general.architecture", a);
        writer.Add($"{a}.block_count", (uint)Layers);
        writer.Add($"{a}.context_length", (uint)Context);
        writer.Add($"{a}.embedding_length", (uint)Width);
        writer.Add($"{a}.feed_forward_length", (uint)FeedForward);
        writer.Add($"{a}.attention.head_count", (uint)Heads);
        writer.Add($"{a}.attention.head_count_kv", (uint)KvHeads);
        writer.Add($"{a}.attention.key_length", (uint)HeadLength);
        writer.Add($"{a}.attention.value_length", (uint)HeadLength);
        writer.Add($"{a}.attention.layer_norm_rms_epsilon", c.NormEpsilon);
        writer.Add($"{a}.rope.freq_base", RopeBase);
        writer.Add($"{a}.rope.dimension_count", (uint)HeadLength);
        writer.Add($"{a}.vocab_size", (uint)c.VocabularySize);
        if (!IsGlimmer) return;
        writer.Add($"{a}.attention.sliding_window", (uint)Window);
        writer.Add($"{a}.attention.sliding_window_pattern", c.Windows.Select(w => w > 0).ToArray());
        writer.Add($"{a}.final_logit_softcapping", c.LogitCap);
        writer.Add($"{a}.logit_scale", c.LogitScale);
    }

    private void Check()
    {
        if (!Family.Known.Contains(Architecture))
            throw FlintException.Caller("invalid_model_shape", $"The architecture is '{Architecture}'; expected one of {string.Join(", ", Family.Known)}.");
        Require(Layers is >= 1 and <= MaxLayers, "layers", Layers, $"1 to {MaxLayers}");
        Require(Width is >= 1 and <= MaxSize, "width", Width, $"1 to {MaxSize}");
        Require(FeedForward is >= 1 and <= MaxSize, "feed_forward", FeedForward, $"1 to {MaxSize}");
        Require(HeadLength is >= 2 and <= 1024 && HeadLength % 2 == 0, "head_length", HeadLength, "an even number from 2 to 1024");
        Require(Heads is >= 1 and <= 1024, "heads", Heads, "1 to 1024");
        Require(KvHeads >= 1 && Heads % KvHeads == 0 && Heads / KvHeads <= Attention.MaxQueries, "kv_heads", KvHeads, $"a divisor of the {Heads} heads, at most {Attention.MaxQueries} heads to one");
        Require(Context is >= 1 and <= MaxSize, "context", Context, $"1 to {MaxSize}");
        Require(RopeBase > 0 && float.IsFinite(RopeBase), "rope_base", RopeBase, "a positive number");
        Require(Deviation is null || (Deviation > 0 && float.IsFinite(Deviation.Value)), "deviation", Deviation ?? 0, "a positive number");
        if (!IsGlimmer) return;
        Require(Window is >= 1 and <= MaxSize, "window", Window, $"1 to {MaxSize}");
        Require(Pattern.Count >= 1 && Pattern.Count <= Layers, "pattern", Pattern.Count, $"1 to {Layers} layers");
        Require(LogitCap >= 0 && float.IsFinite(LogitCap), "soft_cap", LogitCap, "a number from 0");
        Require(LogitScale is null || (LogitScale > 0 && float.IsFinite(LogitScale.Value)), "logit_scale", LogitScale ?? 0, "a positive number");
    }

    private static void Require(bool holds, string name, object value, string expected)
    {
        if (!holds) throw FlintException.Caller("invalid_model_shape", FormattableString.Invariant($"The model's {name} is {value}; expected {expected}."));
    }
}
