using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Flint.Kernels;
using Flint.Weights;

namespace Flint.Models;

/// <summary>
/// Adapters as the PEFT library keeps them: a folder of <c>adapter_config.json</c> and <c>adapter_model.safetensors</c>, with the
/// tensor names of the model on the Hugging Face hub and its order of rows: where GGUF keeps the two numbers that rotate together
/// side by side, the rows of queries and keys are reordered.
/// </summary>
internal static partial class PeftFolder
{
    /// <summary>The head's name on the hub.</summary>
    public const string HeadModule = "lm_head";

    private const string ConfigName = "adapter_config.json", WeightsName = "adapter_model.safetensors";
    private const string Root = "base_model.model.";
    private const int MaxConfigBytes = 1 << 20;

    private static readonly (string Module, string Tensor)[] Modules =
    [
        ("self_attn.q_proj", DecoderTensors.Query),
        ("self_attn.k_proj", DecoderTensors.Key),
        ("self_attn.v_proj", DecoderTensors.Value),
        ("self_attn.gate_proj", DecoderTensors.Gate),
        ("self_attn.o_proj", DecoderTensors.Output),
        ("mlp.gate_proj", DecoderTensors.FeedForwardGate),
        ("mlp.up_proj", DecoderTensors.FeedForwardUp),
        ("mlp.down_proj", DecoderTensors.FeedForwardDown),
    ];

    /// <summary>The part of a layer that a module is, named in full or by its last word; null where there is none of that name.</summary>
    public static string? PartOf(string module) =>
        Modules.LastOrDefault(m => m.Module == module || m.Module.EndsWith("." + module, StringComparison.Ordinal)).Tensor;

    public static LoraAdapter Load(string folder, GgufFile model)
    {
        PeftConfig config = ReadConfig(Path.Combine(folder, ConfigName));
        string path = Path.Combine(folder, WeightsName);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        var pairs = new LoraPairs(path);
        var modules = new Dictionary<string, string>(); // of each tensor
        foreach (TensorInfo tensor in file.Tensors)
        {
            Match name = AdapterTensor().Match(tensor.Name);
            if (!name.Success || TensorOf(name.Groups["module"].Value) is not { } gguf)
                throw FlintException.File("unsupported_adapter", $"{path}: tensor {GgufReader.Quote(tensor.Name)} is not A or B of a matrix that can be adapted.");
            modules[gguf] = name.Groups["module"].Value;
            if (name.Groups["part"].Value == "A") pairs.AddA(gguf, tensor);
            else pairs.AddB(gguf, tensor);
        }

        ModelConfig shape = Family.Configure(model);
        return pairs.ToAdapter(
            model.Metadata.Architecture,
            config.Scale,
            (tensor, rank) => config.Scale(modules[tensor], rank),
            (tensor, row) => HubRow(shape, tensor, row));
    }

    public static void Save(LoraAdapter adapter, string folder, GgufFile model)
    {
        ModelConfig shape = Family.Configure(model);
        var tensors = new List<(string, long[], float[])>();
        foreach (LoraMatrix matrix in adapter.Matrices)
        {
            string name = Root + ModuleOf(matrix.Tensor, adapter.Architecture);
            int[] rows = [.. Enumerable.Range(0, matrix.Rows).Select(row => HubRow(shape, matrix.Tensor, row))];
            int[] places = new int[rows.Length];
            for (int row = 0; row < rows.Length; row++) places[rows[row]] = row;
            tensors.Add((name + ".lora_A.weight", [matrix.Rank, matrix.Columns], matrix.A));
            tensors.Add((name + ".lora_B.weight", [matrix.Rows, matrix.Rank], LoraPairs.Reordered(matrix.B, matrix.Rank, row => places[row])));
        }

        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unwritable", $"{folder}: cannot be made: {e.Message}", e);
        }

        AtomicFile.Write(Path.Combine(folder, WeightsName), stream => SafetensorsWriter.Write(stream, tensors));
        AtomicFile.Write(Path.Combine(folder, ConfigName), stream => WriteConfig(stream, adapter));
    }

    /// <summary>
    /// The row of a matrix on the hub that is a row of it in GGUF. Only queries and keys of models that rotate adjacent pairs
    /// differ: the hub has the first numbers of a head's pairs in its first half, the second ones in the other.
    /// </summary>
    private static int HubRow(ModelConfig shape, string tensor, int row)
    {
        bool rotates = tensor.EndsWith($".{DecoderTensors.Query}.weight", StringComparison.Ordinal) || tensor.EndsWith($".{DecoderTensors.Key}.weight", StringComparison.Ordinal);
        return rotates && shape.RopePairing == RopePairing.Adjacent && shape.HeadLength % 2 == 0 ? AdjacentRow(shape.HeadLength, row) : row;
    }

    /// <summary>The row on the hub of a matrix of heads that rotate adjacent pairs, of an even length.</summary>
    public static int AdjacentRow(int headLength, int row)
    {
        int inHead = row % headLength;
        return row - inHead + inHead % 2 * (headLength / 2) + inHead / 2;
    }

    private static string? TensorOf(string module)
    {
        if (module == HeadModule) return DecoderTensors.Head;
        Match layer = LayerModule().Match(module);
        string part = layer.Groups["part"].Value;
        string? tensor = layer.Success ? Modules.FirstOrDefault(m => m.Module == part).Tensor : null;
        return tensor is null ? null : DecoderTensors.Name(int.Parse(layer.Groups["layer"].Value, CultureInfo.InvariantCulture), tensor);
    }

    private static string ModuleOf(string tensor, string architecture)
    {
        if (tensor == DecoderTensors.Head) return HeadModule;
        string[] parts = tensor.Split('.'); // blk.N.PART.weight
        string module = Modules.First(m => m.Tensor == parts[2]).Module;
        return $"model.{(architecture == MuseGlimmer.Architecture ? "language_model." : "")}layers.{parts[1]}.{module}";
    }

    private static PeftConfig ReadConfig(string path)
    {
        if (!File.Exists(path)) throw FlintException.Caller("file_not_found", $"{path}: no such file; a PEFT adapter has one.");
        try
        {
            if (new FileInfo(path).Length > MaxConfigBytes)
                throw FlintException.File("adapter_config", $"{path}: expected at most {MaxConfigBytes} bytes; found {new FileInfo(path).Length}.");
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
            return PeftConfig.Read(path, json.RootElement);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: texts that are no Unicode
        {
            throw FlintException.File("adapter_config", $"{path}: no valid JSON: {e.Message}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unreadable", $"{path}: cannot be read: {e.Message}", e);
        }
    }

    private static void WriteConfig(Stream stream, LoraAdapter adapter)
    {
        int rank = adapter.Matrices.Max(m => m.Rank);
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteString("peft_type", "LORA");
        json.WriteString("task_type", "CAUSAL_LM");
        json.WriteNull("base_model_name_or_path");
        json.WriteNumber("r", rank);
        json.WriteNumber("lora_alpha", adapter.Alpha);
        json.WriteNumber("lora_dropout", 0);
        json.WriteString("bias", "none");
        json.WriteBoolean("fan_in_fan_out", false);
        json.WriteBoolean("use_rslora", false);
        json.WriteBoolean("use_dora", false);
        json.WriteBoolean("inference_mode", true);
        json.WriteNull("modules_to_save");
        json.WriteStartArray("target_modules");
        IEnumerable<string> modules = adapter.Matrices.Select(m => ModuleOf(m.Tensor, adapter.Architecture));
        foreach (string module in modules.Select(m => LayerModule().Match(m) is { Success: true } layer ? layer.Groups["part"].Value : m).Distinct())
            json.WriteStringValue(module);
        json.WriteEndArray();
        json.WriteStartObject("rank_pattern");
        foreach (LoraMatrix matrix in adapter.Matrices.Where(m => m.Rank != rank))
            json.WriteNumber(ModuleOf(matrix.Tensor, adapter.Architecture), matrix.Rank);
        json.WriteEndObject();
        json.WriteStartObject("alpha_pattern");
        json.WriteEndObject();
        json.WriteEndObject();
    }

    [GeneratedRegex(@"^(?:base_model\.model\.)?(?<module>[A-Za-z0-9_.]{1,200})\.lora_(?<part>[AB])(?:\.default)?\.weight$", RegexOptions.CultureInvariant | RegexOptions.NonBacktracking)]
    private static partial Regex AdapterTensor();

    [GeneratedRegex(@"^(?:[a-z_]+\.){0,4}layers\.(?<layer>[0-9]{1,4})\.(?<part>(?:self_attn|mlp)\.[a-z_]+)$", RegexOptions.CultureInvariant)]
    private static partial Regex LayerModule();
}
