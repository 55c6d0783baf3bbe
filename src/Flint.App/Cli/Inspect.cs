using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Formats;
using Flint.Models;
using Flint.Weights;

namespace Flint.App.Cli;

/// <summary><c>flint inspect MODEL</c>: what is in a file and what running it will take; also decodes single tensors.</summary>
internal static class Inspect
{
    /// <summary>Longer arrays of metadata, such as vocabularies, are summed up by their first elements.</summary>
    private const int WholeArray = 64;
    private const int FirstElements = 8;
    private const int ValueWidth = 100;

    /// <summary>Elements decoded at a time; a multiple of every format's block.</summary>
    private const int DumpElements = 1 << 16;

    internal static Command Create()
    {
        var model = Verb.Model();
        var json = new Option<bool>("--json") { Description = "Print one JSON object." };
        var dump = new Option<string?>("--dump") { Description = "Decode this tensor to float32, little-endian, into the file of --out.", HelpName = "TENSOR" };
        var output = new Option<string?>("--out") { Description = "Where --dump writes.", HelpName = "FILE" };
        var command = new Command("inspect", "Show a model file's metadata, tensors and formats, and the memory that running it will need.") { model, json, dump, output };
        command.Validators.Add(result =>
        {
            if (result.GetResult(dump) is null != (result.GetResult(output) is null))
                result.AddError("--dump TENSOR and --out FILE go together");
        });
        command.SetAction(parsed =>
        {
            using GgufFile file = GgufFile.Open(ModelLocator.Find(parsed.GetValue(model)));
            if (parsed.GetValue(dump) is { } tensor)
                Dump(file.Tensors.Get(tensor), parsed.GetValue(output)!);
            else if (parsed.GetValue(json))
                PrintJson(file);
            else
                PrintText(file);
        });
        return command;
    }

    private sealed record Format(WeightType Type, int Tensors, long Elements, long Bytes);

    private static List<Format> Formats(GgufFile file) =>
        [.. file.Tensors.GroupBy(t => t.Type).Select(g => new Format(g.Key, g.Count(), g.Sum(t => t.Elements), g.Sum(t => t.Bytes))).OrderByDescending(f => f.Bytes)];

    /// <summary>What running the model takes, or why it cannot be run.</summary>
    private static (MemoryNeed? Need, string? Reason) Memory(GgufFile file)
    {
        try
        {
            return (MemoryNeed.Of(file), null);
        }
        catch (FlintException fault)
        {
            return (null, fault.Message);
        }
    }

    private static void PrintText(GgufFile file)
    {
        GgufMetadata metadata = file.Metadata;
        var text = new StringBuilder();
        text.AppendLine(Clean(file.Path));
        text.AppendLine($"  architecture  {Clean(metadata.GetOr("general.architecture", "(none)"))}");
        if (metadata.GetOr("general.name", "") is { Length: > 0 } name) text.AppendLine($"  name          {Clean(name)}");
        text.AppendLine($"  parameters    {Sizes.Count(file.Tensors.Sum(t => t.Elements))} in {file.Tensors.Count} tensors");
        text.AppendLine($"  file          {Sizes.Text(file.FileBytes)}{(file.Shards > 1 ? $" in {file.Shards} shards" : "")}");
        (MemoryNeed? need, string? reason) = Memory(file);
        if (need is null)
        {
            text.AppendLine($"  memory        not known, it cannot be run: {Clean(reason!)}");
        }
        else
        {
            text.AppendLine($"  memory        {Sizes.Text(need.WeightBytes)} of weights, {Sizes.Text(need.MappedBytes)} of embeddings read from the file");
            text.AppendLine($"  context       {Sizes.Text(need.KvBytesPerToken * 1000)} per 1,000 tokens of a sequence in {need.KvFormat}, "
                + $"{Sizes.Text(need.KvBytesPerToken * need.ContextLength)} for all {need.ContextLength}");
        }

        text.AppendLine().AppendLine("formats");
        foreach (Format format in Formats(file))
        {
            text.AppendLine($"  {WeightTypes.Name(format.Type),-8} {format.Tensors,5} tensors  {Sizes.Count(format.Elements),8}  {Sizes.Text(format.Bytes),10}"
                + (WeightTypes.IsSupported(format.Type) ? "" : "  (cannot be run yet)"));
        }

        text.AppendLine().AppendLine("metadata");
        foreach (var (key, value) in metadata)
            text.AppendLine($"  {Clean(key)} = {Shown(value)}");

        text.AppendLine().AppendLine("tensors");
        int width = file.Tensors.Select(t => t.Name.Length).DefaultIfEmpty().Max();
        foreach (TensorInfo tensor in file.Tensors)
            text.AppendLine($"  {Clean(tensor.Name).PadRight(width)}  {WeightTypes.Name(tensor.Type),-6}  [{string.Join(", ", tensor.Shape)}]");
        Console.Out.Write(text);
    }

    private static string Shown(object value)
    {
        string shown = value switch
        {
            string text => $"\"{text}\"",
            bool flag => flag ? "true" : "false",
            Array { Length: > WholeArray } array => $"[{string.Join(", ", array.Cast<object>().Take(FirstElements).Select(Shown))}, ...] ({array.Length})",
            Array array => $"[{string.Join(", ", array.Cast<object>().Select(Shown))}]",
            _ => value.ToString()!,
        };
        shown = Clean(shown);
        return shown.Length <= ValueWidth ? shown : $"{shown[..ValueWidth]}... ({shown.Length} characters)";
    }

    /// <summary>Text of a file made safe for a terminal: control characters, line ends among them, become visible escapes.</summary>
    private static string Clean(string text)
    {
        var clean = new StringBuilder(text.Length);
        foreach (char c in text)
        {
            if (c == '\n') clean.Append("\\n");
            else if (char.IsControl(c)) clean.Append($"\\x{(int)c:x2}");
            else clean.Append(c);
        }
        return clean.ToString();
    }

    private static void PrintJson(GgufFile file)
    {
        using (var json = new Utf8JsonWriter(Console.OpenStandardOutput(), new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("path", file.Path);
            json.WriteNumber("shards", file.Shards);
            json.WriteNumber("file_bytes", file.FileBytes);
            json.WriteString("architecture", file.Metadata.GetOr<string?>("general.architecture", null));
            json.WriteNumber("parameters", file.Tensors.Sum(t => t.Elements));
            WriteMemory(json, file);
            json.WriteStartArray("formats");
            foreach (Format format in Formats(file))
            {
                json.WriteStartObject();
                json.WriteString("type", WeightTypes.Name(format.Type));
                json.WriteNumber("tensors", format.Tensors);
                json.WriteNumber("elements", format.Elements);
                json.WriteNumber("bytes", format.Bytes);
                json.WriteBoolean("supported", WeightTypes.IsSupported(format.Type));
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteStartObject("metadata");
            foreach (var (key, value) in file.Metadata)
            {
                json.WritePropertyName(key);
                WriteValue(json, value);
            }
            json.WriteEndObject();
            json.WriteStartArray("tensors");
            foreach (TensorInfo tensor in file.Tensors) WriteTensor(json, tensor);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        Console.WriteLine();
    }

    private static void WriteMemory(Utf8JsonWriter json, GgufFile file)
    {
        (MemoryNeed? need, string? reason) = Memory(file);
        json.WriteBoolean("runnable", need is not null);
        if (need is null)
        {
            json.WriteString("reason", reason);
            json.WriteNull("memory");
            return;
        }
        json.WriteStartObject("memory");
        json.WriteNumber("weight_bytes", need.WeightBytes);
        json.WriteNumber("mapped_bytes", need.MappedBytes);
        json.WriteNumber("kv_bytes_per_1000_tokens", need.KvBytesPerToken * 1000);
        json.WriteString("kv_format", need.KvFormat.ToString().ToLowerInvariant());
        json.WriteNumber("context_length", need.ContextLength);
        json.WriteEndObject();
    }

    private static void WriteTensor(Utf8JsonWriter json, TensorInfo tensor)
    {
        json.WriteStartObject();
        json.WriteString("name", tensor.Name);
        json.WriteString("type", WeightTypes.Name(tensor.Type));
        json.WriteStartArray("shape");
        foreach (long length in tensor.Shape) json.WriteNumberValue(length);
        json.WriteEndArray();
        json.WriteNumber("bytes", tensor.Bytes);
        json.WriteString("file", tensor.File);
        json.WriteEndObject();
    }

    private static void WriteValue(Utf8JsonWriter json, object value)
    {
        switch (value)
        {
            case string text: json.WriteStringValue(text); break;
            case bool flag: json.WriteBooleanValue(flag); break;
            case float.NaN or float.PositiveInfinity or float.NegativeInfinity: json.WriteStringValue(value.ToString()); break;
            case double.NaN or double.PositiveInfinity or double.NegativeInfinity: json.WriteStringValue(value.ToString()); break;
            case float number: json.WriteNumberValue(number); break;
            case double number: json.WriteNumberValue(number); break;
            case ulong number: json.WriteNumberValue(number); break;
            case Array { Length: > WholeArray } array:
                json.WriteStartObject();
                json.WriteNumber("count", array.Length);
                json.WriteStartArray("first");
                foreach (object element in array.Cast<object>().Take(FirstElements)) WriteValue(json, element);
                json.WriteEndArray();
                json.WriteEndObject();
                break;
            case Array array:
                json.WriteStartArray();
                foreach (object element in array) WriteValue(json, element);
                json.WriteEndArray();
                break;
            default: json.WriteNumberValue(Convert.ToInt64(value)); break;
        }
    }

    private static unsafe void Dump(TensorInfo tensor, string path)
    {
        if (!BitConverter.IsLittleEndian)
            throw new FlintException(FaultSide.Machine, "big_endian", "--dump needs a little-endian machine");
        bool done = false;
        try
        {
            using FileStream file = File.Create(path);
            var values = new float[DumpElements];
            byte* data = tensor.Data;
            for (long left = tensor.Elements; left > 0;)
            {
                int n = (int)Math.Min(left, DumpElements);
                fixed (float* into = values) WeightTypes.DecodeRow(tensor.Type, data, into, n);
                file.Write(MemoryMarshal.AsBytes(values.AsSpan(0, n)));
                data += WeightTypes.RowBytes(tensor.Type, n);
                left -= n;
            }
            done = true;
        }
        finally
        {
            if (!done && File.Exists(path)) File.Delete(path);
        }
        Console.Error.WriteLine($"{Clean(tensor.Name)}: {tensor.Elements} values of {WeightTypes.Name(tensor.Type)} as float32 in {path}");
    }
}
