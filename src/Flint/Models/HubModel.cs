using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using Flint.Formats;
using Flint.Memory;
using Flint.Weights;

namespace Flint.Models;

/// <summary>
/// A dense model as the Hugging Face hub keeps it: a folder of <c>config.json</c>, safetensors in one file or several, and a
/// tokenizer. It is rewritten as GGUF without loss: matrices in the type they have, norms in binary32, and the rows of queries and
/// keys reordered where GGUF has the two numbers that rotate together side by side.
/// </summary>
public static unsafe partial class HubModel
{
    private const string IndexName = "model.safetensors.index.json";
    private const int MaxIndexBytes = 64 << 20, MaxShards = 10_000;
    private const string EmbeddingName = "model.embed_tokens.weight", NormName = "model.norm.weight", HeadName = PeftFolder.HeadModule + ".weight";

    // In the order in which they are written.
    private static readonly (string Hub, string Part)[] s_parts =
    [
        ("input_layernorm", DecoderTensors.AttentionNorm),
        ("self_attn.q_proj", DecoderTensors.Query),
        ("self_attn.k_proj", DecoderTensors.Key),
        ("self_attn.v_proj", DecoderTensors.Value),
        ("self_attn.q_norm", DecoderTensors.QueryNorm),
        ("self_attn.k_norm", DecoderTensors.KeyNorm),
        ("self_attn.o_proj", DecoderTensors.Output),
        ("post_attention_layernorm", DecoderTensors.FeedForwardNorm),
        ("mlp.gate_proj", DecoderTensors.FeedForwardGate),
        ("mlp.up_proj", DecoderTensors.FeedForwardUp),
        ("mlp.down_proj", DecoderTensors.FeedForwardDown),
    ];

    /// <summary>Whether a path is such a folder.</summary>
    public static bool IsFolder(string path) =>
        File.Exists(Path.Combine(path, HubConfig.FileName)) && Directory.EnumerateFiles(path, "*.safetensors").Any();

    /// <summary>Writes a folder's model as GGUF; the file appears under its name when it is whole.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="target">Where to.</param>
    /// <param name="tokenizer">The tokenizer's metadata, given the rows of the embedding.</param>
    /// <exception cref="FlintException">Model file: it is damaged, incomplete, or of a family that cannot be run. Machine: a file cannot be read or written.</exception>
    public static void WriteGguf(string folder, string target, Func<int, IEnumerable<KeyValuePair<string, object>>> tokenizer)
    {
        HubConfig config = HubConfig.Read(Path.Combine(folder, HubConfig.FileName));
        float[]? factors = config.RopeFactors();
        var files = new List<SafetensorsFile>();
        try
        {
            foreach (string path in Shards(folder)) files.Add(SafetensorsFile.Open(path));
            Dictionary<string, TensorInfo> found = Gather(folder, files, config);
            List<(string Name, TensorInfo Tensor)> tensors = [.. Names(config, found).Select(name => (name.Gguf, Take(folder, found, name.Hub)))];
            if (found.Count > 0) throw Fault(folder, $"tensor {GgufReader.Quote(found.Keys.First())} is not one of a \"{config.Architecture}\" model that can be run");
            int vocabulary = (int)Math.Min(int.MaxValue, tensors[0].Tensor.Shape[^1]);
            KeyValuePair<string, object>[] words = [.. tokenizer(vocabulary)];
            AtomicFile.Write(target, stream =>
            {
                using var writer = new GgufWriter(stream);
                config.AddMetadata(writer, Path.GetFileName(Path.GetFullPath(folder).TrimEnd(Path.DirectorySeparatorChar)), vocabulary);
                foreach ((string key, object value) in words) writer.Add(key, value);
                foreach ((string name, TensorInfo tensor) in tensors) writer.AddTensor(name, tensor.Shape.Length == 1 ? WeightType.F32 : tensor.Type, tensor.Shape);
                if (factors is not null) writer.AddTensor(DecoderTensors.RopeFactors, WeightType.F32, factors.Length);
                writer.WriteHeader();
                foreach ((string name, TensorInfo tensor) in tensors) WriteTensor(writer, name, tensor, config);
                if (factors is not null) writer.WriteData(MemoryMarshal.AsBytes<float>(factors));
                writer.Finish();
            });
        }
        finally
        {
            foreach (SafetensorsFile file in files) file.Dispose();
        }
    }

    private static void WriteTensor(GgufWriter writer, string name, TensorInfo tensor, HubConfig config)
    {
        if (tensor.Shape.Length == 1)
        {
            int count = checked((int)tensor.Elements);
            using NativeBuffer values = NativeBuffer.Of<float>(count);
            WeightTypes.DecodeRow(tensor.Type, tensor.Data, (float*)values.Pointer, count);
            writer.WriteData(values.Pointer, (long)count * sizeof(float));
            return;
        }
        string[] parts = name.Split('.');
        if (!config.RotatesAdjacent || parts.Length < 3 || parts[2] is not (DecoderTensors.Query or DecoderTensors.Key))
        {
            writer.WriteData(tensor.Data, tensor.Bytes);
            return;
        }
        long rows = tensor.Shape[1], bytes = tensor.Bytes / rows;
        if (rows % config.HeadLength != 0 || config.HeadLength % 2 != 0)
            throw Fault(tensor.File, $"tensor {tensor.Name} has {rows} rows; expected whole heads of {config.HeadLength}, an even number");
        for (int row = 0; row < rows; row++) writer.WriteData(tensor.Data + bytes * PeftFolder.AdjacentRow(config.HeadLength, row), bytes);
    }

    /// <summary>All tensors of the files by name, without those that hold nothing of the model's own.</summary>
    private static Dictionary<string, TensorInfo> Gather(string folder, List<SafetensorsFile> files, HubConfig config)
    {
        var found = new Dictionary<string, TensorInfo>(StringComparer.Ordinal);
        foreach (TensorInfo tensor in files.SelectMany(file => file.Tensors))
        {
            if (tensor.Name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal) || (config.IsTied && tensor.Name == HeadName)) continue;
            if (!found.TryAdd(tensor.Name, tensor)) throw Fault(folder, $"tensor {GgufReader.Quote(tensor.Name)} is there twice");
            if (tensor.Shape.Length > 2) throw Fault(folder, $"tensor {GgufReader.Quote(tensor.Name)} has {tensor.Shape.Length} dimensions; expected 1 or 2");
        }
        return found;
    }

    private static IEnumerable<(string Hub, string Gguf)> Names(HubConfig config, Dictionary<string, TensorInfo> found)
    {
        yield return (EmbeddingName, DecoderTensors.Embedding);
        for (int l = 0; l < config.Layers; l++)
        {
            foreach ((string hub, string part) in s_parts)
            {
                if (config.HasHeadNorms || part is not (DecoderTensors.QueryNorm or DecoderTensors.KeyNorm))
                    yield return (string.Create(CultureInfo.InvariantCulture, $"model.layers.{l}.{hub}.weight"), DecoderTensors.Name(l, part));
            }
        }
        yield return (NormName, DecoderTensors.OutputNorm);
        if (found.ContainsKey(HeadName)) yield return (HeadName, DecoderTensors.Head);
    }

    private static TensorInfo Take(string folder, Dictionary<string, TensorInfo> found, string name) =>
        found.Remove(name, out TensorInfo? tensor) ? tensor : throw Fault(folder, $"tensor {GgufReader.Quote(name)} is missing");

    /// <summary>The files with tensors: those of the index, or the only one.</summary>
    private static string[] Shards(string folder)
    {
        string index = Path.Combine(folder, IndexName);
        if (!File.Exists(index))
        {
            string[] all = [.. Directory.EnumerateFiles(folder, "*.safetensors")];
            return all.Length == 1 ? all : throw Fault(folder, $"expected {IndexName} or one .safetensors file; found {all.Length} files");
        }
        if (new FileInfo(index).Length > MaxIndexBytes) throw Fault(index, $"expected at most {MaxIndexBytes} bytes");
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(index));
            string[] names = [.. json.RootElement.GetProperty("weight_map").EnumerateObject().Select(p => p.Value.GetString() ?? "").Distinct().Order(StringComparer.Ordinal)];
            if (names.Length is < 1 or > MaxShards || names.Any(name => !ShardName().IsMatch(name)))
                throw Fault(index, $"expected 1 to {MaxShards} files of the same folder, ending in .safetensors");
            return [.. names.Select(name => Path.Combine(folder, name))];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw Fault(index, e.Message);
        }
    }

    private static FlintException Fault(string path, string what) => FlintException.File("hub_model", $"{path}: {what}.");

    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.safetensors\z", RegexOptions.CultureInvariant)]
    private static partial Regex ShardName();
}
