using System.Text.Json;

namespace Flint.Models;

/// <summary>
/// What <c>adapter_config.json</c> says of an adapter's scale. Everything that would make it more than low-rank products is refused,
/// never ignored.
/// </summary>
internal sealed class PeftConfig
{
    private readonly double _alpha;
    private readonly bool _rankStabilized;
    private readonly Dictionary<string, double> _alphas = new(StringComparer.Ordinal);

    private PeftConfig(double alpha, bool rankStabilized)
    {
        _alpha = alpha;
        _rankStabilized = rankStabilized;
    }

    public static PeftConfig Read(string path, JsonElement json)
    {
        if (json.ValueKind != JsonValueKind.Object)
            throw Bad(path, $"expected an object, found {json.ValueKind}");
        string type = json.TryGetProperty("peft_type", out JsonElement t) && t.ValueKind == JsonValueKind.String ? t.GetString()! : "nothing";
        if (type != "LORA") throw Unsupported(path, $"peft_type is {type}; expected LORA");
        foreach (string flag in (string[])["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"])
        {
            if (IsTrue(json, flag)) throw Unsupported(path, $"{flag} is set, which is not supported");
        }

        if (json.TryGetProperty("bias", out JsonElement bias) && bias.ValueKind == JsonValueKind.String && bias.GetString() != "none")
            throw Unsupported(path, "it trains biases, which is not supported; expected bias \"none\"");
        foreach (string list in (string[])["modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication", "alora_invocation_tokens"])
        {
            if (json.TryGetProperty(list, out JsonElement more) && more.ValueKind is not JsonValueKind.Null && !IsEmpty(more))
                throw Unsupported(path, $"{list} is set, which is not supported");
        }

        var config = new PeftConfig(Number(path, json, "lora_alpha"), IsTrue(json, "use_rslora"));
        if (json.TryGetProperty("alpha_pattern", out JsonElement pattern) && pattern.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty entry in pattern.EnumerateObject())
            {
                if (entry.Name.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('_' or '.')))
                    throw Unsupported(path, $"alpha_pattern has the expression \"{entry.Name}\"; expected names of modules");
                config._alphas[entry.Name] = Number(path, pattern, entry.Name);
            }
        }

        return config;
    }

    /// <summary>What products of a rank count.</summary>
    public double Scale(int rank) => Scale(_alpha, rank);

    /// <summary>What a module's product counts.</summary>
    public double Scale(string module, int rank)
    {
        foreach ((string name, double alpha) in _alphas)
        {
            if (module == name || module.EndsWith("." + name, StringComparison.Ordinal)) return Scale(alpha, rank);
        }

        return Scale(rank);
    }

    private double Scale(double alpha, int rank) => alpha / (_rankStabilized ? Math.Sqrt(rank) : rank);

    private static bool IsTrue(JsonElement json, string name) => json.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;

    private static bool IsEmpty(JsonElement value) =>
        value.ValueKind == JsonValueKind.Array ? value.GetArrayLength() == 0 : value.ValueKind == JsonValueKind.Object && !value.EnumerateObject().Any();

    private static double Number(string path, JsonElement json, string name)
    {
        if (!json.TryGetProperty(name, out JsonElement value) || value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number) || !double.IsFinite(number) || number == 0)
            throw Bad(path, $"{name}: expected a number other than 0");
        return number;
    }

    private static FlintException Bad(string path, string what) => FlintException.File("adapter_config", $"{path}: {what}.");

    private static FlintException Unsupported(string path, string what) => FlintException.File("unsupported_adapter", $"{path}: {what}.");
}
