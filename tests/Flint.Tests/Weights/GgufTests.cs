using System.Diagnostics.CodeAnalysis;
using Flint.Formats;
using Flint.Weights;

namespace Flint.Tests.Weights;

public sealed unsafe class GgufTests : IDisposable
{
    private static readonly (string Key, object Value)[] EveryType =
    [
        ("u8", (byte)200), ("i8", (sbyte)-100), ("u16", (ushort)60000), ("i16", (short)-30000), ("u32", 4_000_000_000u), ("i32", -2_000_000_000),
        ("u64", ulong.MaxValue), ("i64", long.MinValue), ("f32", 1.5f), ("f64", -2.25), ("yes", true), ("no", false),
        ("text", "grüße \0 \U0001F600"), ("empty", ""),
        ("u8s", new byte[] { 1, 255 }), ("i8s", new sbyte[] { -1, 1 }), ("u16s", new ushort[] { 65535 }), ("i16s", new short[] { -5 }),
        ("u32s", new uint[] { 1, 4_000_000_000 }), ("i32s", new[] { -1, 2, 3 }), ("u64s", new ulong[] { 7, ulong.MaxValue }), ("i64s", new long[] { -8 }),
        ("f32s", new[] { 0.5f, float.NegativeInfinity }), ("f64s", new[] { 0.1 }), ("bools", new[] { true, false, true }),
        ("texts", new[] { "a", "", "Ġb" }), ("nothing", Array.Empty<string>()),
        ("nested", new object[] { new[] { 1, 2 }, new[] { "x" }, new object[] { new[] { true } } }),
    ];

    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(32)]
    [InlineData(4096)]
    public void ReadsBackWhatWasWritten(int alignment)
    {
        string path = _folder.Write("sample.gguf", TestFolder.Sample(alignment, EveryType));
        using GgufFile file = GgufFile.Open(path);
        Assert.Equal(path, file.Path);
        Assert.Equal(new FileInfo(path).Length, file.FileBytes);
        KeyValuePair<string, object>[] pairs = [.. file.Metadata.Where(p => p.Key != "general.alignment")];
        Assert.Equal(EveryType.Select(p => p.Key), pairs.Select(p => p.Key));
        for (int i = 0; i < pairs.Length; i++)
        {
            Assert.Equal(EveryType[i].Value.GetType(), pairs[i].Value.GetType());
            Assert.Equivalent(EveryType[i].Value, pairs[i].Value, strict: true);
        }
        Assert.Equal(["a", "b", "c"], file.Tensors.Select(t => t.Name));
        AssertTensor(file.Tensors.Get("a", 32, 2), WeightType.F32, 256, 1, alignment);
        AssertTensor(file.Tensors.Get("b", 8), WeightType.F32, 32, 2, alignment);
        AssertTensor(file.Tensors.Get("c", 64, 3), WeightType.Q8_0, 204, 3, alignment);
    }

    [Fact]
    public void ReadsVersion2()
    {
        byte[] bytes = TestFolder.Sample(32, EveryType);
        bytes[4] = 2;
        using GgufFile file = GgufFile.Open(_folder.Write("v2.gguf", bytes));
        Assert.Equal(3, file.Tensors.Count);
    }

    [Fact]
    public void ReadsAFileWithoutTensorsOrPadding()
    {
        byte[] bytes = TestFolder.Create(32, [("general.architecture", "llama")]);
        using GgufFile padded = GgufFile.Open(_folder.Write("padded.gguf", bytes));
        using GgufFile bare = GgufFile.Open(_folder.Write("bare.gguf", bytes[..(24 + 8 + 20 + 4 + 8 + 5)]));
        Assert.Equal(0, padded.Tensors.Count);
        Assert.Equal("llama", bare.Metadata.Architecture);
    }

    [Fact]
    public void ReadsALastTensorWithoutPadding()
    {
        byte[] bytes = TestFolder.Sample();
        int padding = (32 - 204 % 32) % 32;
        using GgufFile file = GgufFile.Open(_folder.Write("bare.gguf", bytes[..^padding]));
        Assert.Equal(204, file.Tensors.Get("c").Bytes);
    }

    [Fact]
    [SuppressMessage("Performance", "CA1861", Justification = "read once")]
    public void ConvertsNumbersWhereTheyFit()
    {
        using GgufFile file = GgufFile.Open(_folder.Write("sample.gguf", TestFolder.Sample(32, EveryType)));
        GgufMetadata metadata = file.Metadata;
        Assert.Equal(200, metadata.Get<int>("u8"));
        Assert.Equal(-100L, metadata.Get<long>("i8"));
        Assert.Equal(4_000_000_000L, metadata.Get<long>("u32"));
        Assert.Equal(200u, metadata.Get<uint>("u8"));
        Assert.Equal(1.5, metadata.Get<double>("f32"));
        Assert.Equal(-2.25f, metadata.Get<float>("f64"));
        Assert.Equal(-30000f, metadata.Get<float>("i16"));
        Assert.Equal([1, 255], metadata.Get<int[]>("u8s"));
        Assert.Equal([1L, 4_000_000_000L], metadata.Get<long[]>("u32s"));
        Assert.Equal([-1f, 2f, 3f], metadata.Get<float[]>("i32s"));
        Assert.Equal([], metadata.Get<int[]>("nothing"));
        Assert.True(metadata.Get<bool>("yes"));
        Assert.Equal(["a", "", "Ġb"], metadata.Get<string[]>("texts"));
        Assert.Equal(5, metadata.GetOr("absent", 5));
        Assert.False(metadata.TryGet("absent", out string? _));

        // An array of uint is no array of int to look at: a value that does not fit must not wrap.
        Assert.False(metadata.TryGet("u32s", out int[]? _));
        Assert.False(metadata.TryGet("i8", out uint _));
        Assert.False(metadata.TryGet("u64", out long _));
        Assert.False(metadata.TryGet("f32", out int _));
        Assert.False(metadata.TryGet("u8", out bool _));
        Assert.False(metadata.TryGet("text", out string[]? _));
        Assert.False(metadata.TryGet("texts", out string? _));
    }

    [Fact]
    public void SaysWhichKeyIsWrong()
    {
        string path = _folder.Write("sample.gguf", TestFolder.Sample(32, EveryType));
        using GgufFile file = GgufFile.Open(path);
        AssertFault("metadata_missing", () => file.Metadata.Get<int>("absent"), path, "'absent'", "int32");
        AssertFault("metadata_type", () => file.Metadata.Get<int>("text"), path, "'text'", "int32", "string");
        AssertFault("metadata_type", () => file.Metadata.GetOr("i8", 0u), path, "'i8'", "uint32", "-100");
        AssertFault("metadata_missing", () => file.Metadata.Architecture, path, "general.architecture");
    }

    [Fact]
    public void ChecksShapes()
    {
        string path = _folder.Write("sample.gguf", TestFolder.Sample());
        using GgufFile file = GgufFile.Open(path);
        Assert.Same(file.Tensors.Get("b"), file.Tensors.Get("b", 8, 1, 1));
        Assert.Equal(64, file.Tensors.Get("a").Elements);
        AssertFault("tensor_shape", () => file.Tensors.Get("a", 2, 32), path, "'a'", "[2, 32]", "[32, 2]");
        AssertFault("tensor_shape", () => file.Tensors.Get("a", 32), path, "'a'", "[32]", "[32, 2]");
        AssertFault("tensor_missing", () => file.Tensors.Get("d", 4), path, "'d'", "[4]");
        Assert.False(file.Tensors.TryGet("d", out _));
    }

    [Fact]
    public void WriterRefusesWrongUse()
    {
        using GgufWriter writer = new(new MemoryStream());
        Assert.Throws<InvalidOperationException>(() => writer.WriteData([1]));
        Assert.Throws<ArgumentException>(() => writer.Add("key", DateTime.UnixEpoch));
        Assert.Throws<FlintException>(() => writer.AddTensor("t", WeightType.Q4_K, 100));
        writer.AddTensor("t", WeightType.F32, 2);
        writer.WriteHeader();
        Assert.Throws<InvalidOperationException>(() => writer.AddTensor("u", WeightType.F32, 2));
        Assert.Throws<InvalidOperationException>(() => writer.WriteData(new byte[9]));
        writer.WriteData(new byte[4]);
        Assert.Throws<InvalidOperationException>(writer.Finish);
        writer.WriteData(new byte[4]);
        Assert.Throws<InvalidOperationException>(() => writer.WriteData([1]));
        writer.Finish();
    }

    [Fact]
    public void OpensEveryReferenceFile()
    {
        string[] files = Directory.GetFiles(TestData.Shared(""), "*.gguf", SearchOption.AllDirectories);
        Assert.NotEmpty(files);
        foreach (string path in files)
        {
            using GgufFile file = GgufFile.Open(path);
            Assert.NotEmpty(file.Metadata);
            foreach (TensorInfo tensor in file.Tensors)
                Assert.Same(tensor, file.Tensors.Get(tensor.Name, tensor.Shape));
        }
    }

    private static void AssertTensor(TensorInfo tensor, WeightType type, long bytes, byte fill, int alignment)
    {
        Assert.Equal((type, bytes), (tensor.Type, tensor.Bytes));
        ReadOnlySpan<byte> data = new(tensor.Data, (int)bytes);
        Assert.False(data.ContainsAnyExcept(fill));
        Assert.Equal(0, (long)tensor.Data % alignment);
    }

    private static void AssertFault(string code, Func<object> act, params string[] parts)
    {
        FlintException fault = Assert.Throws<FlintException>(() => { _ = act(); });
        Assert.Equal((FaultSide.ModelFile, code), (fault.Side, fault.Code));
        Assert.All(parts, part => Assert.Contains(part, fault.Message, StringComparison.Ordinal));
    }
}
