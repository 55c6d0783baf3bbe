using System.Runtime.InteropServices;
using Flint.Formats;
using Flint.Models;
using Flint.Tests.Models;
using Flint.Weights;

namespace Flint.Tests.Weights;

public sealed unsafe class QuantizerTests : IDisposable
{
    private readonly TestFolder _folder = new();

    public static TheoryData<string> Mixes => [.. Quantizer.Mixes];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Mixes))]
    public void WritesAModelThatRunsInEveryMix(string mix)
    {
        string source = Model(WeightType.F32), target = Path.Combine(_folder.Path, $"{mix}.gguf");
        IReadOnlyList<QuantizedTensor> report = Quantize(source, target, mix);
        using GgufFile before = GgufFile.Open(source), after = GgufFile.Open(target);
        Assert.Equal(before.Tensors.Select(t => t.Name), after.Tensors.Select(t => t.Name));
        Assert.Equal(before.Tensors.Select(t => t.Name), report.Select(t => t.Name));
        Assert.All(after.Tensors.Where(t => t.Shape.Length == 1), t => Assert.Equal(WeightType.F32, t.Type));
        QuantMix wanted = QuantMix.Find(mix);
        Assert.Equal((uint)wanted.FileType, after.Metadata.Get<uint>("general.file_type"));
        Assert.Equal(2u, after.Metadata.Get<uint>("general.quantization_version"));
        Assert.Equal(wanted.Base, after.Tensors.Get("blk.1.attn_q.weight").Type);
        foreach (QuantizedTensor tensor in report)
        {
            float[] x = Decode(before.Tensors.Get(tensor.Name)), y = Decode(after.Tensors.Get(tensor.Name));
            double error = x.Zip(y, (a, b) => ((double)a - b) * ((double)a - b)).Sum(), values = x.Sum(v => (double)v * v);
            Assert.Equal(Math.Sqrt(error / values), tensor.RelativeError, 1e-9);
            Assert.Equal(x.Zip(y, (a, b) => Math.Abs((double)a - b)).Max(), tensor.LargestError, 1e-12);
            Assert.Equal((before.Tensors.Get(tensor.Name).Type, after.Tensors.Get(tensor.Name).Type, after.Tensors.Get(tensor.Name).Bytes), (tensor.From, tensor.To, tensor.Bytes));
            Assert.InRange(tensor.RelativeError, 0, tensor.To switch { WeightType.F32 => 0, WeightType.F16 => 0.001, WeightType.BF16 => 0.003, WeightType.Q8_0 => 0.006, WeightType.Q6_K => 0.02, WeightType.Q5_K or WeightType.Q5_0 or WeightType.Q5_1 => 0.05, _ => 0.1 });
        }
        using Model model = Flint.Models.Model.Load(target, new ModelOptions { Threads = 1 });
        Assert.Equal(TinyModel.VocabularySize, model.Config.VocabularySize);
    }

    [Theory]
    [InlineData(WeightType.Q8_0)]
    [InlineData(WeightType.BF16)]
    [InlineData(WeightType.Q4_K)]
    public void TakesAnySupportedSource(WeightType from)
    {
        string source = Model(from), target = Path.Combine(_folder.Path, "out.gguf");
        Assert.All(Quantize(source, target, "Q6_K"), t => Assert.Equal(t.Shape.Length == 1 ? WeightType.F32 : WeightType.Q6_K, t.To));
        string back = Path.Combine(_folder.Path, "back.gguf");
        Assert.All(Quantize(source, back, "F32"), t => Assert.Equal(0, t.RelativeError));
        using GgufFile a = GgufFile.Open(source), b = GgufFile.Open(back);
        foreach (TensorInfo tensor in a.Tensors) Assert.Equal(Decode(tensor), Decode(b.Tensors.Get(tensor.Name)));
    }

    [Fact]
    public void CarriesMetadataOverAndMakesOneFileOfManyShards()
    {
        (string, object)[] metadata = [("general.architecture", "llama"), ("general.file_type", 7u), ("llama.block_count", 1u), ("some.words", new[] { "a", "b" }), ("some.flag", true)];
        for (int i = 0; i < 2; i++)
        {
            _folder.Write($"m-0000{i + 1}-of-00002.gguf", TestFolder.Create(64,
                [.. i == 0 ? metadata : [], ("split.no", (ushort)i), ("split.count", (ushort)2), ("split.tensors.count", 2)],
                ($"blk.{i}.attn_q.weight", WeightType.F16, [64, 3])));
        }
        string target = Path.Combine(_folder.Path, "one.gguf");
        Quantize(Path.Combine(_folder.Path, "m-00002-of-00002.gguf"), target, "Q8_0");
        using GgufFile file = GgufFile.Open(target);
        Assert.Equal((1, 2), (file.Shards, file.Tensors.Count));
        Assert.Equal(["general.architecture", "llama.block_count", "some.words", "some.flag", "general.quantization_version", "general.file_type"], file.Metadata.Select(p => p.Key));
        Assert.Equal((7u, "b", true), (file.Metadata.Get<uint>("general.file_type"), file.Metadata.Get<string[]>("some.words")[1], file.Metadata.Get<bool>("some.flag")));
    }

    [Fact]
    public void DependsOnTheSourceAlone()
    {
        string source = Model(WeightType.F32);
        byte[] Bytes(int threads)
        {
            string target = Path.Combine(_folder.Path, $"{threads}.gguf");
            Quantize(source, target, "Q4_K_M", threads);
            return File.ReadAllBytes(target);
        }
        Assert.Equal(Bytes(1), Bytes(3));
    }

    [Theory]
    [InlineData(float.NaN, "weight_not_finite", "Q8_0", 200_001)]
    [InlineData(float.PositiveInfinity, "weight_not_finite", "F32", 5)]
    [InlineData(float.NegativeInfinity, "weight_not_finite", "Q4_K_M", 0)]
    [InlineData(70000f, "weight_range", "F16", 131_073)]
    [InlineData(-1e30f, "weight_range", "Q4_K_M", 77)]
    public void RefusesWhatAFormatCannotHold(float value, string code, string mix, int index)
    {
        float[] weights = new float[256 * 1024];
        weights[index] = value;
        string source = Write("bad.gguf", ("blk.0.attn_q.weight", [256, 1024], weights)), target = Path.Combine(_folder.Path, "target.gguf");
        File.WriteAllText(target, "what was here");
        FlintException fault = Assert.Throws<FlintException>(() => Quantize(source, target, mix));
        Assert.Equal((FaultSide.ModelFile, code), (fault.Side, fault.Code));
        Assert.Contains("blk.0.attn_q.weight, element " + index, fault.Message, StringComparison.Ordinal);
        Assert.Equal("what was here", File.ReadAllText(target));
        Assert.False(File.Exists(target + ".partial"));
    }

    // Rows of every length, tensors of one to four dimensions, and types that hold no weights.
    [Theory]
    [MemberData(nameof(Mixes))]
    public void BearsOddShapes(string mix)
    {
        float[] Values(int n) => [.. Enumerable.Range(0, n).Select(i => MathF.Sin(i))];
        string source = Write("odd.gguf",
            ("one.weight", [1], Values(1)), ("row.weight", [1, 3], Values(3)), ("thirty_one.weight", [31, 2], Values(62)), ("thirty_two.weight", [32, 5], Values(160)),
            ("cube.weight", [96, 3, 2], Values(576)), ("four.weight", [256, 2, 2, 2], Values(2048)), ("flat.weight", [512, 1, 1, 1], Values(512)), ("output.weight", [40, 2], Values(80)),
            ("blk.99999999999.ffn_down.weight", [64, 2], Values(128)), ("blk..attn_v.weight", [64, 2], Values(128)), ("weight", [64, 2], Values(128)));
        string target = Path.Combine(_folder.Path, "odd-out.gguf");
        IReadOnlyList<QuantizedTensor> report = Quantize(source, target, mix);
        Assert.All(report, t => Assert.InRange(t.RelativeError, 0, 0.12));
        Assert.Equal(WeightType.F32, report[0].To);
        Assert.Equal(WeightType.F32, report[6].To);
        using GgufFile file = GgufFile.Open(target);
        Assert.Equal(11, file.Tensors.Count);
    }

    [Fact]
    public void CopiesWhatItCannotDecodeAndNeedNot()
    {
        string source = _folder.Write("ints.gguf", TestFolder.Create(32, [("general.architecture", "x")], ("index", WeightType.I32, [5]), ("blk.0.attn_q.weight", WeightType.IQ4_NL, [64, 2])));
        FlintException fault = Assert.Throws<FlintException>(() => Quantize(source, Path.Combine(_folder.Path, "t.gguf"), "Q8_0"));
        Assert.Equal((FaultSide.ModelFile, "unsupported_weight_type"), (fault.Side, fault.Code));
        source = _folder.Write("ints.gguf", TestFolder.Create(32, [("general.architecture", "x")], ("index", WeightType.I32, [5])));
        Quantize(source, Path.Combine(_folder.Path, "t.gguf"), "Q8_0");
        using GgufFile file = GgufFile.Open(Path.Combine(_folder.Path, "t.gguf"));
        Assert.Equal(Enumerable.Repeat((byte)1, 20), new ReadOnlySpan<byte>(file.Tensors.Get("index").Data, 20).ToArray());
    }

    [Fact]
    public void SaysWhatItDoesNotKnow()
    {
        string source = Model(WeightType.F32), target = Path.Combine(_folder.Path, "t.gguf");
        using GgufFile file = GgufFile.Open(source);
        void Fails(FaultSide side, string code, string to, QuantizerOptions options)
        {
            FlintException fault = Assert.Throws<FlintException>(() => Quantizer.Write(file, to, options));
            Assert.Equal((side, code), (fault.Side, fault.Code));
        }
        Fails(FaultSide.Caller, "unknown_quant", target, new() { Mix = "Q9" });
        Fails(FaultSide.Caller, "unsupported_weight_type", target, new() { Mix = "Q8_0", OutputType = WeightType.IQ2_S });
        Fails(FaultSide.Caller, "threads", target, new() { Mix = "Q8_0", Threads = -1 });
        Fails(FaultSide.Caller, "target_is_source", Path.Combine(_folder.Path, ".", Path.GetFileName(source)), new() { Mix = "Q8_0" });
        Fails(FaultSide.Machine, "file_unwritable", Path.Combine(_folder.Path, "absent", "t.gguf"), new() { Mix = "Q8_0" });
        Assert.False(File.Exists(target));
    }

    private string Model(WeightType type)
    {
        string path = Path.Combine(_folder.Path, $"source-{type}.gguf");
        TinyModel.Write(path, "muse-glimmer", type);
        return path;
    }

    private string Write(string name, params (string Name, long[] Shape, float[] Values)[] tensors)
    {
        string path = Path.Combine(_folder.Path, name);
        using GgufWriter writer = new(File.Create(path));
        writer.Add("general.architecture", "llama");
        foreach ((string tensor, long[] shape, _) in tensors) writer.AddTensor(tensor, WeightType.F32, shape);
        writer.WriteHeader();
        foreach ((_, _, float[] values) in tensors) writer.WriteData(MemoryMarshal.AsBytes<float>(values));
        writer.Finish();
        return path;
    }

    private static IReadOnlyList<QuantizedTensor> Quantize(string source, string target, string mix, int threads = 2)
    {
        using GgufFile file = GgufFile.Open(source);
        List<QuantizedTensor> seen = [];
        IReadOnlyList<QuantizedTensor> report = Quantizer.Write(file, target, new QuantizerOptions { Mix = mix, Threads = threads }, seen.Add);
        Assert.Equal(report, seen);
        return report;
    }

    private static float[] Decode(TensorInfo tensor)
    {
        float[] values = new float[tensor.Elements];
        fixed (float* dst = values) WeightTypes.DecodeRow(tensor.Type, tensor.Data, dst, values.Length);
        return values;
    }
}
