using System.Globalization;
using Flint.Formats;

namespace Flint.Weights;

/// <summary>
/// The type that each tensor of a model gets in a <see cref="QuantMix"/>. The rules give what the llama.cpp project's quantizer
/// gives without an importance matrix.
/// </summary>
internal sealed class QuantPlan
{
    private const string Embedding = "token_embd.weight", Output = "output.weight";

    /// <summary>The number of experts from which the attention of Mixtral's kind gets more bits; more experts and fewer do not.</summary>
    private const int MixtralExperts = 8;

    /// <summary>Parts of the names of matrices that are small and matter much: they stay as they are.</summary>
    private static readonly string[] Kept =
        ["_norm.weight", "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight", "ssm_conv1d.weight", "shortconv.conv.weight"];

    private readonly QuantMix _mix;
    private readonly WeightType? _outputType;
    private readonly int _layers;
    private readonly int _experts;
    private readonly bool _wideValues;
    private readonly bool _tied;
    private readonly int[] _valueLayers;
    private readonly int[] _downLayers;

    /// <summary>Makes the plan of a model.</summary>
    /// <param name="mix">The mix.</param>
    /// <param name="outputType">The type of the output matrix instead of the mix's.</param>
    /// <param name="names">The names of all tensors.</param>
    /// <param name="model">What the model's metadata says.</param>
    public QuantPlan(QuantMix mix, WeightType? outputType, IReadOnlyCollection<string> names, ModelFacts model)
    {
        _mix = mix;
        _outputType = outputType;
        _layers = model.Layers;
        _experts = model.Experts;
        _wideValues = model.IsLlama70B;
        _tied = !names.Contains(Output);
        _valueLayers = [.. names.Where(IsValue).Select(Layer).Order()];
        _downLayers = [.. names.Where(IsDown).Select(Layer).Order()];
    }

    /// <summary>The type of a tensor, and whether its rows do not fit the mix's own type so that another had to stand in.</summary>
    public (WeightType Type, bool IsFallback) TypeOf(string name, ReadOnlySpan<long> shape, WeightType present)
    {
        if (!IsQuantizable(name, shape))
            return (present, false);
        WeightType wanted = _outputType is { } chosen && IsOutput(name) ? chosen : _mix.IsQuantized ? Wanted(name, shape[0]) : _mix.Base;
        WeightType type = Fitting(wanted, shape[0]);
        return (type, type != wanted);
    }

    private static bool IsQuantizable(string name, ReadOnlySpan<long> shape) =>
        shape.TrimEnd(1L).Length > 1 && name.EndsWith("weight", StringComparison.Ordinal) && !Kept.Any(part => name.Contains(part, StringComparison.Ordinal));

    private WeightType Wanted(string name, long columns)
    {
        WeightType type = _mix.Base;
        if (IsOutput(name))
        {
            if (columns % WeightTypes.BlockLength(type) != 0) return WeightType.Q8_0;
            return _mix.Extra == ExtraBits.None ? type : WeightType.Q6_K;
        }
        if (IsValue(name))
        {
            if (_experts == MixtralExperts) return WeightType.Q8_0;
            int place = Array.IndexOf(_valueLayers, Layer(name));
            type = Value(place, _valueLayers.Length);
            return _wideValues && type == WeightType.Q4_K ? WeightType.Q5_K : type;
        }
        if (IsDown(name))
        {
            int layer = Layer(name);
            return Down(_experts > 1 ? layer : Array.IndexOf(_downLayers, layer));
        }
        if (_experts == MixtralExperts && name.EndsWith("attn_k.weight", StringComparison.Ordinal))
            return WeightType.Q8_0;
        if (_experts == MixtralExperts && type == WeightType.Q4_K && name.EndsWith("attn_output.weight", StringComparison.Ordinal))
            return WeightType.Q5_K;
        return type;
    }

    private WeightType Value(int place, int count) => _mix.Extra switch
    {
        ExtraBits.Small when place < 4 => WeightType.Q5_K,
        ExtraBits.Medium when HasMoreBits(place, count) => WeightType.Q6_K,
        _ => _mix.Base,
    };

    private WeightType Down(int layer) => _mix.Extra switch
    {
        ExtraBits.Small when layer < _layers / 8 => WeightType.Q5_K,
        ExtraBits.Medium when HasMoreBits(layer, _layers) => WeightType.Q6_K,
        _ => _mix.Base,
    };

    // The first and the last eighth of the layers, and every third between.
    private static bool HasMoreBits(int layer, int layers) =>
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;

    /// <summary>The type itself where rows are whole blocks of it, else one of nearly the same bits in smaller blocks, else binary16.</summary>
    private static WeightType Fitting(WeightType type, long columns)
    {
        if (columns % WeightTypes.BlockLength(type) == 0)
            return type;
        WeightType smaller = type switch
        {
            WeightType.Q4_K => WeightType.Q5_0,
            WeightType.Q5_K => WeightType.Q5_1,
            _ => WeightType.Q8_0,
        };
        return columns % WeightTypes.BlockLength(smaller) == 0 ? smaller : WeightType.F16;
    }

    /// <summary>The matrix that makes the logits: the head or, where there is none of its own, the embedding.</summary>
    private bool IsOutput(string name) => name == Output || (_tied && name == Embedding);

    private static bool IsValue(string name) =>
        name.Contains("attn_v.weight", StringComparison.Ordinal) || name.Contains("attn_qkv.weight", StringComparison.Ordinal) || name.Contains("attn_kv_b.weight", StringComparison.Ordinal);

    private static bool IsDown(string name) => name.Contains("ffn_down", StringComparison.Ordinal);

    /// <summary>N of <c>blk.N.</c>; −1 for tensors of no layer.</summary>
    private static int Layer(string name)
    {
        string[] parts = name.Split('.', 3);
        return parts.Length == 3 && parts[0] == "blk" && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int layer) ? layer : -1;
    }
}

/// <summary>What a <see cref="QuantPlan"/> asks of a model's metadata.</summary>
/// <param name="Layers">The number of layers.</param>
/// <param name="Experts">Experts per layer; 0 for a dense model.</param>
/// <param name="IsLlama70B">Whether eight query heads share each of the values of 80 layers: they are small then, and get five bits at least.</param>
internal readonly record struct ModelFacts(int Layers, int Experts, bool IsLlama70B)
{
    /// <summary>Reads them from a file.</summary>
    public static ModelFacts Of(GgufMetadata metadata)
    {
        string a = metadata.GetOr("general.architecture", "");
        int layers = metadata.GetOr($"{a}.block_count", 0);
        bool grouped = metadata.TryGet($"{a}.attention.head_count", out int heads) && metadata.TryGet($"{a}.attention.head_count_kv", out int kvHeads) && heads != kvHeads;
        return new(layers, metadata.GetOr($"{a}.expert_count", 0), a is "llama" or "qwen2" && layers == 80 && grouped);
    }
}
