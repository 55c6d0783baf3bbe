using System.Text.Json;
using Flint.Weights;

namespace Flint.Models;

/// <summary>What <c>config.json</c> of a model on the Hugging Face hub says of a dense decoder.</summary>
internal sealed class HubConfig
{
    /// <summary>The file's name.</summary>
    public const string FileName = "config.json";

    private const int MaxBytes = 1 << 20, MaxSize = 1 << 24;

    private readonly string _path;
    private readonly JsonElement _root;
    private readonly JsonElement? _rope;

    private HubConfig(string path, JsonElement root)
    {
        _path = path;
        _root = root;
        _rope = Find(_root, "rope_parameters") ?? Find(_root, "rope_scaling");
        string type = Text(_root, "model_type") ?? "";
        Architecture = type switch
        {
            "llama" or "mistral" => Llama.Architecture,
            "qwen3" => Qwen3.Architecture,
            _ => throw Fault($"model_type is {GgufReader.Quote(type)}; expected llama, mistral or qwen3"),
        };
        if (Text(_root, "hidden_act") is { } act and not "silu") throw Fault($"hidden_act is {GgufReader.Quote(act)}; expected silu");
        Layers = Integer("num_hidden_layers");
        Heads = Integer("num_attention_heads");
        HeadLength = Find(_root, "head_dim") is null ? Integer("hidden_size") / Heads : Integer("head_dim");
        IsTied = Flag("tie_word_embeddings", false);
    }

    /// <summary>The family, as in GGUF.</summary>
    public string Architecture { get; }

    public int Layers { get; }

    public int Heads { get; }

    public int HeadLength { get; }

    /// <summary>Whether the head is the embedding, whatever else the file holds.</summary>
    public bool IsTied { get; }

    /// <summary>Whether heads of queries and keys are normed.</summary>
    public bool HasHeadNorms => Architecture == Qwen3.Architecture;

    /// <summary>Whether GGUF has the two numbers that rotate together side by side.</summary>
    public bool RotatesAdjacent => Architecture == Llama.Architecture;

    /// <summary>Reads a file.</summary>
    /// <exception cref="FlintException">Model file: it is not that of a model that can be run.</exception>
    public static HubConfig Read(string path)
    {
        try
        {
            if (new FileInfo(path).Length > MaxBytes) throw FlintException.File("hub_config", $"{path}: expected at most {MaxBytes} bytes.");
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
            if (json.RootElement.ValueKind != JsonValueKind.Object) throw FlintException.File("hub_config", $"{path}: expected a JSON object.");
            return new HubConfig(path, json.RootElement.Clone());
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: texts that are no Unicode
        {
            throw FlintException.File("hub_config", $"{path}: {e.Message}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unreadable", $"{path}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>The shape as GGUF's metadata.</summary>
    public void AddMetadata(GgufWriter writer, string name, int vocabulary)
    {
        string a = Architecture;
        writer.Add("general.architecture", a);
        writer.Add("general.type", "model");
        writer.Add("general.name", name);
        writer.Add($"{a}.block_count", (uint)Layers);
        // A window that is not modelled is no loss in contexts that it holds.
        writer.Add($"{a}.context_length", (uint)Math.Min(Integer("max_position_embeddings"), Window()));
        writer.Add($"{a}.embedding_length", (uint)Integer("hidden_size"));
        writer.Add($"{a}.feed_forward_length", (uint)Integer("intermediate_size"));
        writer.Add($"{a}.attention.head_count", (uint)Heads);
        writer.Add($"{a}.attention.head_count_kv", (uint)(Find(_root, "num_key_value_heads") is null ? Heads : Integer("num_key_value_heads")));
        writer.Add($"{a}.attention.key_length", (uint)HeadLength);
        writer.Add($"{a}.attention.value_length", (uint)HeadLength);
        writer.Add($"{a}.attention.layer_norm_rms_epsilon", (float)Number(_root, "rms_norm_eps", 1e-6));
        writer.Add($"{a}.rope.dimension_count", (uint)HeadLength);
        writer.Add($"{a}.rope.freq_base", (float)RopeBase);
        writer.Add($"{a}.vocab_size", (uint)vocabulary);
        if (RopeType == "linear")
        {
            writer.Add($"{a}.rope.scaling.type", "linear");
            writer.Add($"{a}.rope.scaling.factor", (float)Number(_rope!.Value, "factor", 1));
        }
    }

    /// <summary>Llama 3's divisors of the rotary frequencies; null for a model without.</summary>
    /// <exception cref="FlintException">Model file: they are scaled in a way that is not supported.</exception>
    public float[]? RopeFactors()
    {
        if (RopeType is "default" or "linear") return null;
        if (RopeType != "llama3" || Architecture != Llama.Architecture) throw Fault($"rope_type is {GgufReader.Quote(RopeType)}; expected default, linear or, of llama, llama3");
        JsonElement rope = _rope!.Value;
        double factor = Number(rope, "factor", 8), low = Number(rope, "low_freq_factor", 1), high = Number(rope, "high_freq_factor", 4);
        double trained = Number(rope, "original_max_position_embeddings", 8192);
        float[] factors = new float[HeadLength / 2];
        for (int i = 0; i < factors.Length; i++)
        {
            double wavelength = 2 * Math.PI * Math.Pow(RopeBase, 2.0 * i / HeadLength);
            double smooth = Math.Clamp((trained / wavelength - low) / (high - low), 0, 1);
            factors[i] = (float)(1 / ((1 - smooth) / factor + smooth));
        }
        return factors;
    }

    private string RopeType => _rope is not { } rope ? "default" : Text(rope, "rope_type") ?? Text(rope, "type") ?? "default";

    private double RopeBase => Find(_root, "rope_theta") is null && _rope is { } rope ? Number(rope, "rope_theta", 10000) : Number(_root, "rope_theta", 10000);

    private int Window() => Find(_root, "sliding_window") is null || !Flag("use_sliding_window", true) ? int.MaxValue : Integer("sliding_window");

    private JsonElement? Find(JsonElement owner, string key)
    {
        if (owner.ValueKind != JsonValueKind.Object) throw Fault($"expected an object with {key}, found {GgufReader.Quote(owner.GetRawText())}");
        return owner.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;
    }

    private string? Text(JsonElement owner, string key)
    {
        if (Find(owner, key) is not { } value) return null;
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Wrong(key, value, "a text");
    }

    private bool Flag(string key, bool fallback)
    {
        if (Find(_root, key) is not { } value) return fallback;
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Wrong(key, value, "true or false");
    }

    private double Number(JsonElement owner, string key, double fallback)
    {
        if (Find(owner, key) is not { } value) return fallback;
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number > 0 ? number : throw Wrong(key, value, "a positive number");
    }

    private int Integer(string key)
    {
        if (Find(_root, key) is not { } value) throw Fault($"{key} is missing");
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number is >= 1 and <= MaxSize ? number : throw Wrong(key, value, $"1 to {MaxSize}");
    }

    private FlintException Wrong(string key, JsonElement value, string expected) => Fault($"{key} is {GgufReader.Quote(value.GetRawText())}; expected {expected}");

    private FlintException Fault(string what) => FlintException.File("hub_config", $"{_path}: {what}.");
}
