using System.Runtime.InteropServices;
using System.Text.Json;
using Flint.Formats;
using Flint.Models;
using Flint.Weights;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint inspect</c> on files made here.</summary>
public sealed class InspectTests : IDisposable
{
    private const int Long = 200_000; // past one piece of the decoder
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-inspect-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string Write()
    {
        string path = Path.Combine(_folder, "small.gguf");
        using var writer = new GgufWriter(File.Create(path));
        writer.Add("general.architecture", "llama");
        writer.Add("general.name", "evil \u001b[31m name\nsecond line");
        writer.Add("llama.block_count", 3u);
        writer.Add("llama.embedding_length", 64u);
        writer.Add("llama.attention.head_count", 8u);
        writer.Add("llama.attention.head_count_kv", 2u);
        writer.Add("some.flags", new[] { true, false });
        writer.Add("some.numbers", Enumerable.Range(0, 1000).ToArray());
        writer.Add("some.float", float.NaN);
        writer.AddTensor("floats", WeightType.F32, Long);
        writer.AddTensor("quants", WeightType.Q8_0, 32, 2);
        writer.WriteHeader();
        writer.WriteData(MemoryMarshal.AsBytes<float>(Floats()));
        writer.WriteData(Quants());
        writer.Finish();
        return path;
    }

    private static float[] Floats() => [.. Enumerable.Range(0, Long).Select(i => i * 0.5f)];

    /// <summary>Two blocks: the scale as a half, then 32 signed bytes.</summary>
    private static byte[] Quants() =>
        [.. new[] { (Half)0.5, (Half)(-2) }.SelectMany(d => BitConverter.GetBytes(d).Concat(Enumerable.Range(0, 32).Select(i => (byte)(sbyte)(i - 16))))];

    [Fact]
    public void Shows_a_file_on_lines_that_a_terminal_survives()
    {
        FlintProcess.Result run = FlintProcess.Run(["inspect", Write()]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        Assert.DoesNotContain('\u001b', run.Output);
        string[] lines = run.Output.Split('\n');
        Assert.Contains("  general.name = \"evil \\x1b[31m name\\nsecond line\"", lines);
        Assert.Contains(lines, l => l.StartsWith("  some.numbers = [0, 1, 2, 3, 4, 5, 6, 7, ...] (1000)", StringComparison.Ordinal));
        Assert.Contains("  parameters    200 K in 2 tensors", lines);
        Assert.Contains("  quants  Q8_0    [32, 2]", lines);
        Assert.Contains(lines, l => l.StartsWith("  memory        not known, it cannot be run: ", StringComparison.Ordinal));
    }

    [Fact]
    public void Json_says_the_same_as_numbers()
    {
        FlintProcess.Result run = FlintProcess.Run(["inspect", Write(), "--json"]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        JsonElement json = JsonDocument.Parse(run.Output).RootElement;
        Assert.Equal(Long + 64, json.GetProperty("parameters").GetInt64());
        Assert.False(json.GetProperty("runnable").GetBoolean());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("memory").ValueKind);
        Assert.Equal("Q8_0", json.GetProperty("tensors")[1].GetProperty("type").GetString());
        Assert.Equal([32L, 2L], json.GetProperty("tensors")[1].GetProperty("shape").EnumerateArray().Select(e => e.GetInt64()));
        JsonElement metadata = json.GetProperty("metadata");
        Assert.Equal("evil \u001b[31m name\nsecond line", metadata.GetProperty("general.name").GetString());
        Assert.Equal(1000, metadata.GetProperty("some.numbers").GetProperty("count").GetInt32());
        Assert.False(metadata.GetProperty("some.flags")[1].GetBoolean());
        Assert.Equal("NaN", metadata.GetProperty("some.float").GetString());
    }

    [Fact]
    public void Memory_is_what_the_loaded_model_takes()
    {
        string path = Path.Combine(_folder, "tiny.gguf");
        TinyModel.Write(path);
        JsonElement json = JsonDocument.Parse(FlintProcess.Run(["inspect", path, "--json"]).Output).RootElement;
        Assert.True(json.GetProperty("runnable").GetBoolean());
        JsonElement memory = json.GetProperty("memory");
        using var model = Model.Load(path, new ModelOptions { Threads = 1 });
        Assert.Equal(model.WeightBytes, memory.GetProperty("weight_bytes").GetInt64());
        Assert.Equal(TinyModel.Width * TinyModel.Vocabulary * sizeof(float), memory.GetProperty("mapped_bytes").GetInt64());
        int headLength = TinyModel.Width / TinyModel.Heads;
        Assert.Equal("f32", memory.GetProperty("kv_format").GetString());
        Assert.Equal(1000 * TinyModel.Layers * TinyModel.KvHeads * 2 * headLength * sizeof(float), memory.GetProperty("kv_bytes_per_1000_tokens").GetInt64());
        Assert.Contains($"for all {TinyModel.Context}", FlintProcess.Run(["inspect", path]).Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Dumps_decoded_values()
    {
        string model = Write(), output = Path.Combine(_folder, "out.f32");
        Assert.Equal(0, FlintProcess.Run(["inspect", model, "--dump", "floats", "--out", output]).Code);
        Assert.Equal(Floats(), MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(output)).ToArray());
        Assert.Equal(0, FlintProcess.Run(["inspect", model, "--dump", "quants", "--out", output]).Code);
        float[] expected = [.. new[] { 0.5f, -2f }.SelectMany(d => Enumerable.Range(-16, 32).Select(q => d * q))];
        Assert.Equal(expected, MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(output)).ToArray());
    }

    [Fact]
    public void Dumped_values_equal_the_reference()
    {
        string model = TestData.Shared("oracles/formats/formats.gguf");
        byte[] expected = File.ReadAllBytes(TestData.Shared("oracles/formats/formats.expected.f32"));
        using JsonDocument order = JsonDocument.Parse(File.ReadAllText(TestData.Shared("oracles/formats/formats.json")));
        string output = Path.Combine(_folder, "out.f32");
        string[] names = [.. order.RootElement.GetProperty("order").EnumerateArray().Select(e => e.GetProperty("tensor").GetString()!)];
        foreach (string name in new[] { "t.q4_K", "t.q6_K", "t.bf16" })
        {
            Assert.Equal(0, FlintProcess.Run(["inspect", model, "--dump", name, "--out", output]).Code);
            int first = Array.IndexOf(names, name) * 3 * 1024 * sizeof(float);
            Assert.Equal(expected[first..(first + (3 * 1024 * sizeof(float)))], File.ReadAllBytes(output));
        }
    }

    [Fact]
    public void Faults_are_one_line()
    {
        string model = Write(), output = Path.Combine(_folder, "none.f32");
        FlintProcess.Result run = FlintProcess.Run(["inspect", model, "--dump", "absent", "--out", output]);
        Assert.Equal(1, run.Code);
        Assert.Contains("absent", run.Complaint, StringComparison.Ordinal);
        Assert.False(File.Exists(output));

        run = FlintProcess.Run(["inspect", model, "--dump", "floats"]);
        Assert.Equal(2, run.Code);
        Assert.Contains("--out", run.Complaint, StringComparison.Ordinal);

        File.WriteAllBytes(model, File.ReadAllBytes(model)[..5000]);
        run = FlintProcess.Run(["inspect", model]);
        Assert.Equal(1, run.Code);
        Assert.Contains("small.gguf", run.Complaint, StringComparison.Ordinal);

        run = FlintProcess.Run(["inspect", "no/model:Q8_0"], new() { ["FLINT_HOME"] = _folder });
        Assert.Equal(1, run.Code);
        Assert.Contains("flint pull no/model:Q8_0", run.Complaint, StringComparison.Ordinal);
        Assert.Equal(2, FlintProcess.Run(["nonsense"]).Code);
    }

    [Fact]
    public void A_pulled_model_is_named_by_its_repository()
    {
        string folder = Path.Combine(_folder, "models", "me", "repo");
        Directory.CreateDirectory(folder);
        File.Copy(Write(), Path.Combine(folder, "x-Q8_0.gguf"));
        File.Copy(Write(), Path.Combine(folder, "x-Q4_0.gguf"));
        FlintProcess.Result run = FlintProcess.Run(["inspect", "me/repo:q4_0"], new() { ["FLINT_HOME"] = _folder });
        Assert.StartsWith(Path.Combine(folder, "x-Q4_0.gguf") + "\n", run.Output, StringComparison.Ordinal);
        run = FlintProcess.Run(["inspect", "me/repo"], new() { ["FLINT_HOME"] = _folder });
        Assert.Contains("Q4_0, Q8_0", run.Complaint, StringComparison.Ordinal);
    }
}
