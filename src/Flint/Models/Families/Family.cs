using Flint.Kernels;
using Flint.Weights;

namespace Flint.Models;

/// <summary>The known architectures, and what their metadata has in common. A family is one file that turns metadata into a <see cref="ModelConfig"/>.</summary>
internal static class Family
{
    private const int MaxLayers = 1024;
    private const int MaxWidth = 1 << 20;
    private const int MaxExperts = 4096;
    private const int MaxExpertsUsed = 64;

    /// <summary>The architectures that can be run.</summary>
    public static readonly string[] Known = [Llama.Architecture, Qwen3.Architecture, Qwen3Moe.Architecture, MuseGlimmer.Architecture];

    /// <summary>Reads the shape of a model.</summary>
    /// <exception cref="FlintException">The architecture is unknown, or its metadata is missing or inconsistent (model file).</exception>
    public static ModelConfig Configure(GgufFile file)
    {
        string architecture = file.Metadata.Architecture;
        ModelConfig config = architecture switch
        {
            Llama.Architecture => Llama.Configure(file),
            Qwen3.Architecture => Qwen3.Configure(file),
            Qwen3Moe.Architecture => Qwen3Moe.Configure(file),
            MuseGlimmer.Architecture => MuseGlimmer.Configure(file),
            _ => throw FlintException.File(
                "unknown_architecture",
                $"{file.Path}: the architecture is \"{architecture}\"; expected one of {string.Join(", ", Known)}."),
        };
        Check(file, config);
        return config;
    }

    /// <summary>What every decoder of this kind has: sizes, heads, norm ε, rotary base.</summary>
    /// <param name="file">The file.</param>
    /// <param name="experts">Whether the family's feed-forward blocks may be experts, routed by a softmax over all and weighted by their shares of the chosen.</param>
    public static ModelConfig Common(GgufFile file, bool experts = false)
    {
        GgufMetadata metadata = file.Metadata;
        string a = metadata.Architecture;
        int width = metadata.Get<int>($"{a}.embedding_length");
        int layers = metadata.Get<int>($"{a}.block_count");
        if (layers is < 1 or > MaxLayers || width is < 1 or > MaxWidth)
            throw Inconsistent(file, $"{a}.block_count is {layers} and {a}.embedding_length {width}; expected 1 to {MaxLayers} and 1 to {MaxWidth}");
        int count = metadata.GetOr($"{a}.expert_count", 0);
        if (count > 0 && !experts)
            throw FlintException.File("unsupported_experts", $"{file.Path}: \"{a}\" with {count} experts is not supported; expected a dense model.");

        int heads = PerLayer(file, $"{a}.attention.head_count", layers, null);
        int kvHeads = PerLayer(file, $"{a}.attention.head_count_kv", layers, heads);
        int headLength = metadata.GetOr($"{a}.attention.key_length", heads > 0 ? width / heads : 0);
        int valueLength = metadata.GetOr($"{a}.attention.value_length", heads > 0 ? width / heads : 0);
        return new ModelConfig
        {
            Architecture = a,
            VocabularySize = VocabularySize(file, width),
            EmbeddingLength = width,
            Layers = layers,
            Heads = heads,
            KvHeads = kvHeads,
            HeadLength = headLength,
            ValueLength = valueLength,
            FeedForwardLength = count > 0 && metadata.GetOr($"{a}.expert_feed_forward_length", 0) is > 0 and var inner
                ? inner
                : PerLayer(file, $"{a}.feed_forward_length", layers, null),
            Experts = count,
            ExpertsUsed = count > 0 ? metadata.Get<int>($"{a}.expert_used_count") : 0,
            TrainedContextLength = metadata.Get<int>($"{a}.context_length"),
            NormEpsilon = metadata.Get<float>($"{a}.attention.layer_norm_rms_epsilon"),
            RopeDimensions = metadata.GetOr($"{a}.rope.dimension_count", headLength),
            RopeBase = metadata.GetOr($"{a}.rope.freq_base", 10000f),
            RopeLinearFactor = LinearFactor(file),
            Windows = new int[layers],
            AttentionScale = (float)(1 / Math.Sqrt(Math.Max(1, headLength))),
        };
    }

    public static FlintException Inconsistent(GgufFile file, string what) => FlintException.File("inconsistent_metadata", $"{file.Path}: {what}.");

    /// <summary>A number that may be stored once or once per layer; all layers must agree.</summary>
    private static int PerLayer(GgufFile file, string key, int layers, int? fallback)
    {
        GgufMetadata metadata = file.Metadata;
        if (fallback is { } value && !metadata.Contains(key)) return value;
        if (!metadata.TryGet(key, out int[]? each)) return metadata.Get<int>(key);
        if (each!.Length < layers || each.AsSpan(0, layers).ContainsAnyExcept(each[0]))
            throw Inconsistent(file, $"{key} differs between layers; expected one value for all {layers}");
        return each[0];
    }

    private static int VocabularySize(GgufFile file, int width)
    {
        if (!file.Tensors.TryGet(DecoderTensors.Embedding, out TensorInfo? embedding))
            throw FlintException.File("missing_tensor", $"{file.Path}: tensor token_embd.weight is missing.");
        if (embedding.Shape.Length != 2 || embedding.Shape[0] != width || embedding.Shape[1] is < 1 or > int.MaxValue / 64)
            throw Inconsistent(file, $"tensor token_embd.weight has shape [{string.Join(", ", embedding.Shape)}]; expected [{width}, vocabulary]");
        return (int)embedding.Shape[1];
    }

    private static double LinearFactor(GgufFile file)
    {
        GgufMetadata metadata = file.Metadata;
        string a = metadata.Architecture;
        string scaling = metadata.GetOr($"{a}.rope.scaling.type", "none");
        if (scaling is not ("none" or "linear"))
            throw FlintException.File("unsupported_rope_scaling", $"{file.Path}: {a}.rope.scaling.type is \"{scaling}\"; expected none or linear.");
        float factor = metadata.GetOr($"{a}.rope.scaling.factor", metadata.GetOr($"{a}.rope.scale_linear", 1f));
        return scaling == "none" && metadata.Contains($"{a}.rope.scaling.type") || factor == 0 ? 1 : factor;
    }

    private static void Check(GgufFile file, ModelConfig c)
    {
        string a = c.Architecture;
        if (c.Heads < 1 || c.KvHeads < 1 || c.Heads % c.KvHeads != 0 || c.Heads > MaxWidth || c.Heads / c.KvHeads > Attention.MaxQueries)
            throw Inconsistent(file, $"{a}.attention.head_count is {c.Heads} and head_count_kv {c.KvHeads}; expected the second to divide the first, at most {Attention.MaxQueries} to one");
        if (c.HeadLength is < 1 or > 4096 || c.ValueLength is < 1 or > 4096)
            throw Inconsistent(file, $"{a}.attention.key_length is {c.HeadLength} and value_length {c.ValueLength}; expected 1 to 4096");
        if (c.FeedForwardLength is < 1 or > MaxWidth * 4)
            throw Inconsistent(file, $"{a}.feed_forward_length is {c.FeedForwardLength}; expected 1 to {MaxWidth * 4}");
        if (c.Experts > 0) CheckExperts(file, c);
        if (c.RopeDimensions < 0 || c.RopeDimensions > c.HeadLength || c.RopeDimensions % 2 != 0)
            throw Inconsistent(file, $"{a}.rope.dimension_count is {c.RopeDimensions}; expected an even number up to the head length {c.HeadLength}");
        if (!(c.RopeBase > 0) || !double.IsFinite(c.RopeBase) || !(c.RopeLinearFactor > 0) || !double.IsFinite(c.RopeLinearFactor))
            throw Inconsistent(file, $"the rotary base is {c.RopeBase} and its factor {c.RopeLinearFactor}; expected positive numbers");
        if (!(c.NormEpsilon >= 0) || !float.IsFinite(c.NormEpsilon))
            throw Inconsistent(file, $"{a}.attention.layer_norm_rms_epsilon is {c.NormEpsilon}; expected a small number from 0");
        if (c.TrainedContextLength < 1)
            throw Inconsistent(file, $"{a}.context_length is {c.TrainedContextLength}; expected at least 1");
        if (!float.IsFinite(c.LogitScale) || !float.IsFinite(c.LogitCap) || c.LogitCap < 0)
            throw Inconsistent(file, $"the logit scale is {c.LogitScale} and the soft-cap {c.LogitCap}; expected finite numbers");
    }

    private static void CheckExperts(GgufFile file, ModelConfig c)
    {
        string a = c.Architecture;
        if (c.Experts is < 2 or > MaxExperts || c.ExpertsUsed is < 1 or > MaxExpertsUsed || c.ExpertsUsed > c.Experts)
            throw Inconsistent(file, $"{a}.expert_count is {c.Experts} and expert_used_count {c.ExpertsUsed}; expected 2 to {MaxExperts}, of which 1 to {MaxExpertsUsed} are used");
        if (c.FeedForwardLength % PackedMatrix.GroupRows != 0 || c.EmbeddingLength % PackedMatrix.GroupRows != 0 || (long)c.Experts * Math.Max(c.FeedForwardLength, c.EmbeddingLength) > int.MaxValue)
            throw Inconsistent(file, $"{a}.embedding_length is {c.EmbeddingLength} and the inner length of an expert {c.FeedForwardLength}; expected multiples of {PackedMatrix.GroupRows}");
    }
}
