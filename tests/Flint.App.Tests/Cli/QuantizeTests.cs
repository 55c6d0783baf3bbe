using System.Text.Json;
using Flint.Formats;
using Flint.Weights;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint quantize</c> on the tiny model, whose rows are too short for blocks of 256.</summary>
public sealed class QuantizeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-quantize-").FullName;

    private string Source => Path.Combine(_folder, "source.gguf");

    private string Target => Path.Combine(_folder, "target.gguf");

    public QuantizeTests() => TinyModel.Write(Source);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Writes_a_model_and_says_what_it_lost()
    {
        FlintProcess.Result run = FlintProcess.Run(["quantize", Source, Target, "--to", "q8_0", "--threads", "1"]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        string[] lines = run.Output.TrimEnd('\n').Split('\n');
        using GgufFile file = GgufFile.Open(Target);
        Assert.Equal(file.Tensors.Count + 1, lines.Length);
        Assert.Contains(lines, l => l.StartsWith("blk.0.attn_q.weight", StringComparison.Ordinal) && l.Contains("F32 -> Q8_0  error 0.", StringComparison.Ordinal));
        Assert.Matches(@"^.*target\.gguf: [0-9.]+ KiB from [0-9.]+ KiB, [0-9.]+ bits per weight, error 0\.[0-9]+.*% rms$", lines[^1]);
        Assert.Equal(WeightType.Q8_0, file.Tensors.Get("blk.0.attn_q.weight").Type);
        Assert.Equal(7, file.Metadata.Get<int>("general.file_type"));
    }

    [Fact]
    public void Json_reports_every_tensor_and_the_fallbacks()
    {
        FlintProcess.Result run = FlintProcess.Run(["quantize", Source, Target, "--to", "Q4_K_M", "--output-type", "f16", "--json"]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        using JsonDocument json = JsonDocument.Parse(run.Output);
        JsonElement root = json.RootElement;
        Assert.Equal(new FileInfo(Target).Length, root.GetProperty("file_bytes").GetInt64());
        Assert.InRange(root.GetProperty("relative_rms_error").GetDouble(), 0.01, 0.1);
        using GgufFile file = GgufFile.Open(Target);
        JsonElement[] tensors = [.. root.GetProperty("tensors").EnumerateArray()];
        Assert.Equal(file.Tensors.Select(t => (t.Name, WeightTypes.Name(t.Type), t.Bytes)),
            tensors.Select(t => (t.GetProperty("name").GetString()!, t.GetProperty("to").GetString()!, t.GetProperty("bytes").GetInt64())));
        Assert.Equal(root.GetProperty("fallbacks").GetInt32(), tensors.Count(t => t.GetProperty("fallback").GetBoolean()));
        Assert.Equal(WeightType.Q5_0, file.Tensors.Get("blk.0.attn_q.weight").Type);
        Assert.Equal(WeightType.F16, file.Tensors.Get("output.weight").Type);
    }

    [Fact]
    public void A_folder_of_the_hub_is_as_good_a_source()
    {
        string shared = TestData.Shared("data/weights/stories260K-converted"), other = Path.Combine(_folder, "other.gguf");
        FlintProcess.Result run = FlintProcess.Run(["quantize", Path.Combine(shared, "hf-f32"), Target, "--to", "Q8_0", "--threads", "1"]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        Assert.Contains("F32 -> Q8_0  error 0.", run.Output, StringComparison.Ordinal);
        Assert.Equal(0, FlintProcess.Run(["quantize", Path.Combine(shared, "stories260K-f32.gguf"), other, "--to", "Q8_0", "--threads", "1"]).Code);
        Assert.False(File.Exists(Target + ".source"));
        string Told(string model)
        {
            FlintProcess.Result told = FlintProcess.Run(["run", model, "--raw", "--prompt", "Once upon a time", "--temperature", "0", "--max-tokens", "32", "--threads", "1"]);
            Assert.Equal((0, ""), (told.Code, told.Errors));
            return told.Output;
        }
        Assert.Equal(Told(other), Told(Target));
        Assert.Contains("num_hidden_layers", Refused("config.json", "{\"model_type\": \"llama\"}"), StringComparison.Ordinal);
    }

    private string Refused(string file, string text)
    {
        string folder = Directory.CreateDirectory(Path.Combine(_folder, "hub")).FullName;
        File.WriteAllText(Path.Combine(folder, file), text);
        File.WriteAllText(Path.Combine(folder, "model.safetensors"), "");
        return FlintProcess.Run(["quantize", folder, Target + "2", "--to", "Q8_0"]).Complaint;
    }

    [Theory]
    [InlineData("unknown weight format", "--to", "Q9")]
    [InlineData("--output-type: expected one of", "--to", "Q8_0", "--output-type", "IQ2_XS")]
    [InlineData("--threads takes 0 to 64", "--to", "Q8_0", "--threads", "65")]
    [InlineData("--to", "--json")]
    public void Refuses_in_one_line(string complaint, params string[] arguments)
    {
        FlintProcess.Result run = FlintProcess.Run(["quantize", Source, Target, .. arguments]);
        Assert.NotEqual(0, run.Code);
        Assert.Contains(complaint, run.Complaint, StringComparison.OrdinalIgnoreCase);
        Assert.False(File.Exists(Target));
    }
}
