using System.CommandLine;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Formats;
using Flint.Models;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.App.Cli;

/// <summary><c>flint quantize SOURCE TARGET</c>: a model in another weight format, and what that loses.</summary>
internal static class Quantize
{
    internal static Command Create()
    {
        var source = new Argument<string>("SOURCE") { Description = "The model: a .gguf file (of a split model, any shard), a folder of safetensors as on the Hugging Face hub, or OWNER/REPO[:QUANT] of a pulled model." };
        var target = new Argument<string>("TARGET") { Description = "The .gguf file to write." };
        var to = new Option<string>("--to") { Description = $"Weight format or mix: {string.Join(", ", Quantizer.Mixes)}.", Required = true, HelpName = "QUANT" };
        var outputType = new Option<string?>("--output-type") { Description = "The format of the matrix that makes the logits, where not the mix's own.", HelpName = "TYPE" };
        var threads = Verb.Range(new Option<int>("--threads", "-t") { Description = "Threads that compute; 0 takes one per core.", HelpName = "N" }, 0, Quantizer.MaxThreads);
        var json = new Option<bool>("--json") { Description = "Print one JSON object." };
        var command = new Command("quantize", "Write a model in another weight format or mix, and report the error of every tensor. The best source is F32, BF16 or F16.")
            { source, target, to, outputType, threads, json };
        command.SetAction(parsed =>
        {
            string path = parsed.GetRequiredValue(target);
            var options = new QuantizerOptions { Mix = parsed.GetRequiredValue(to), OutputType = parsed.GetValue(outputType) is { } name ? Verb.WeightType(outputType.Name, name) : null, Threads = parsed.GetValue(threads) };
            string named = parsed.GetRequiredValue(source);
            if (!HubModel.IsFolder(named))
            {
                Write(ModelLocator.Find(named), path, options, parsed.GetValue(json));
                return;
            }
            string whole = path + ".source"; // the same model as GGUF, for as long as it takes
            try
            {
                HubModel.WriteGguf(named, whole, vocabulary => HubTokenizer.Metadata(named, vocabulary));
                Write(whole, path, options, parsed.GetValue(json));
            }
            finally
            {
                File.Delete(whole);
            }
        });
        return command;
    }

    private static void Write(string source, string path, QuantizerOptions options, bool asJson)
    {
        using GgufFile file = GgufFile.Open(source);
        int width = file.Tensors.Select(t => t.Name.Length).DefaultIfEmpty().Max();
        IReadOnlyList<QuantizedTensor> tensors = Quantizer.Write(file, path, options, asJson ? null : tensor => Console.WriteLine(Line(tensor, width)));
        if (asJson) PrintJson(file.FileBytes, path, options.Mix, tensors);
        else PrintTotal(file.FileBytes, path, tensors);
    }

    private static string Line(QuantizedTensor tensor, int width)
    {
        string line = $"{tensor.Name.PadRight(width)}  [{string.Join(", ", tensor.Shape)}]  {WeightTypes.Name(tensor.From)}";
        if (tensor.From == tensor.To) return line;
        return $"{line} -> {WeightTypes.Name(tensor.To)}{(tensor.IsFallback ? " (rows do not fit the mix's own)" : "")}"
            + $"  error {tensor.RelativeError:P3} rms, {tensor.LargestError:G3} at most";
    }

    /// <summary>The error of all tensors together, relative to all their values.</summary>
    private static double Total(IReadOnlyList<QuantizedTensor> tensors)
    {
        double errors = tensors.Sum(t => t.SquaredError);
        return errors == 0 ? 0 : Math.Sqrt(errors / tensors.Sum(t => t.SquaredValues));
    }

    private static double BitsPerWeight(IReadOnlyList<QuantizedTensor> tensors) =>
        tensors.Sum(t => t.Bytes) * 8.0 / Math.Max(1, tensors.Sum(Elements));

    private static long Elements(QuantizedTensor tensor) => tensor.Shape.Aggregate(1L, (a, b) => a * b);

    private static void PrintTotal(long sourceBytes, string path, IReadOnlyList<QuantizedTensor> tensors)
    {
        Console.WriteLine($"{path}: {Sizes.Text(new FileInfo(path).Length)} from {Sizes.Text(sourceBytes)}, {BitsPerWeight(tensors):0.00} bits per weight, error {Total(tensors):P3} rms");
        int fallbacks = tensors.Count(t => t.IsFallback);
        if (fallbacks > 0)
            Console.WriteLine($"{fallbacks} of {tensors.Count} tensors have rows that are not whole blocks of the mix's own format and got another.");
    }

    private static void PrintJson(long sourceBytes, string path, string mix, IReadOnlyList<QuantizedTensor> tensors)
    {
        using (var json = new Utf8JsonWriter(Console.OpenStandardOutput(), new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("path", path);
            json.WriteString("mix", mix);
            json.WriteNumber("source_bytes", sourceBytes);
            json.WriteNumber("file_bytes", new FileInfo(path).Length);
            json.WriteNumber("bits_per_weight", BitsPerWeight(tensors));
            json.WriteNumber("relative_rms_error", Total(tensors));
            json.WriteNumber("largest_error", tensors.Select(t => t.LargestError).DefaultIfEmpty().Max());
            json.WriteNumber("fallbacks", tensors.Count(t => t.IsFallback));
            json.WriteStartArray("tensors");
            foreach (QuantizedTensor tensor in tensors)
            {
                json.WriteStartObject();
                json.WriteString("name", tensor.Name);
                json.WriteString("from", WeightTypes.Name(tensor.From));
                json.WriteString("to", WeightTypes.Name(tensor.To));
                json.WriteStartArray("shape");
                foreach (long length in tensor.Shape) json.WriteNumberValue(length);
                json.WriteEndArray();
                json.WriteNumber("bytes", tensor.Bytes);
                json.WriteBoolean("fallback", tensor.IsFallback);
                json.WriteNumber("relative_rms_error", tensor.RelativeError);
                json.WriteNumber("largest_error", tensor.LargestError);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        Console.WriteLine();
    }
}
