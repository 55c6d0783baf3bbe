using System.Text;
using Flint.Weights;

namespace Flint.Tests.Weights;

/// <summary>Every kind of damage gets one clear error that names the file, the tensor or key, what was expected and what was found.</summary>
public sealed class GgufDamageTests : IDisposable
{
    private const uint F32 = 0, Q8_0 = 8;

    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("", "4 bytes", "found 0")]
    [InlineData("GG", "4 bytes", "found 2")]
    [InlineData("GGUF", "the version", "found 0")]
    public void TooShortForAHeader(string content, params string[] parts) =>
        AssertFault("gguf_truncated", Encoding.ASCII.GetBytes(content), parts);

    [Fact]
    public void WrongMagic()
    {
        AssertFault("gguf_magic", "PK\x03\x04 and some more"u8.ToArray(), "'GGUF'", "504B0304");
        AssertFault("gguf_magic", Raw(w => { }, magic: 0x47475546), "'GGUF'", "46554747");
    }

    [Theory]
    [InlineData(0u, "gguf_version", "found 0")]
    [InlineData(1u, "gguf_version", "found 1")]
    [InlineData(4u, "gguf_version", "found 4")]
    [InlineData(0x0300_0000u, "gguf_byte_order", "big-endian")]
    [InlineData(0x0200_0000u, "gguf_byte_order", "big-endian")]
    public void WrongVersion(uint version, string code, string part) => AssertFault(code, Raw(w => { }, version: version), part);

    [Theory]
    [InlineData(ulong.MaxValue, 0ul)]
    [InlineData(1ul << 62, 0ul)]
    [InlineData(3ul, 0ul)]
    [InlineData(0ul, ulong.MaxValue)]
    [InlineData(0ul, 1ul << 40)]
    public void AbsurdCounts(ulong tensors, ulong pairs) =>
        AssertFault("gguf_truncated", Raw(w => { }, tensors: tensors, pairs: pairs), $"found a count of {Math.Max(tensors, pairs)}");

    [Fact]
    public void DamagedMetadata()
    {
        AssertFault("gguf_metadata", Raw(w => Pair(w, "k", 13, v => v.Write(0))), "'k'", "found 13");
        AssertFault("gguf_metadata", Raw(w => Pair(w, "k", 7, v => v.Write((byte)2))), "'k'", "0 or 1", "found 2");
        AssertFault("gguf_truncated", Raw(w => { w.Write(ulong.MaxValue); w.Write(0L); }), "metadata key 0", $"{ulong.MaxValue}");
        AssertFault("gguf_truncated", Raw(w => Pair(w, "k", 8, v => { v.Write(1L << 60); v.Write(0); })), "'k'", $"{1L << 60}");
        AssertFault("gguf_truncated", Raw(w => Pair(w, "k", 9, v => { v.Write(8); v.Write(1L << 40); })), "'k'", $"{1L << 40}");
        AssertFault("gguf_truncated", Raw(w => Pair(w, "k", 9, v => { v.Write(6); v.Write(2L); v.Write(1f); })), "'k'", "count of 2");
        AssertFault("gguf_truncated", Raw(w => Pair(w, "k", 4, v => v.Write((byte)1))), "'k'", "4 bytes", "found 1");
        AssertFault("gguf_metadata", Raw(w => { Pair(w, "k", 4, v => v.Write(1)); Pair(w, "k", 4, v => v.Write(1)); }, pairs: 2), "'k'", "twice");
        string longKey = new('k', GgufReader.MaxKeyBytes + 1);
        AssertFault("gguf_metadata", Raw(w => Pair(w, longKey, 4, v => v.Write(1))), "65535", "65536");
    }

    [Fact]
    public void ArraysNestedTooDeep()
    {
        static void Nest(BinaryWriter writer, int depth)
        {
            for (int i = 1; i < depth; i++)
            {
                writer.Write(9);
                writer.Write(1L);
            }
            writer.Write(4);
            writer.Write(0L);
        }

        using GgufFile deepest = GgufFile.Open(_folder.Write("deepest.gguf", Raw(w => Pair(w, "k", 9, v => Nest(v, GgufReader.MaxArrayDepth)))));
        Assert.True(deepest.Metadata.Contains("k"));
        AssertFault("gguf_metadata", Raw(w => Pair(w, "k", 9, v => Nest(v, GgufReader.MaxArrayDepth + 1))), "'k'", "4 deep");
        AssertFault("gguf_metadata", Raw(w => Pair(w, "k", 9, v => Nest(v, 100_000))), "'k'", "4 deep");
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(48u)]
    [InlineData(1u << 25)]
    [InlineData(uint.MaxValue)]
    public void WrongAlignment(uint alignment) =>
        AssertFault("gguf_metadata", Raw(w => Pair(w, "general.alignment", 4, v => v.Write(alignment))), "power of two", $"found {alignment}");

    [Fact]
    public void AlignmentOfAnotherType() =>
        AssertFault("metadata_type", Raw(w => Pair(w, "general.alignment", 6, v => v.Write(32f))), "general.alignment", "float32");

    [Fact]
    public void DamagedTensors()
    {
        AssertTensorFault(w => Tensor(w, "t", F32, 0), "1 to 4 dimensions, found 0");
        AssertTensorFault(w => Tensor(w, "t", F32, 0, 1, 1, 1, 1, 1), "1 to 4 dimensions, found 5");
        AssertTensorFault(w => Tensor(w, "t", F32, 0, 4, 0), "dimension 1", "found 0");
        AssertTensorFault(w => Tensor(w, "t", F32, 0, -1), "dimension 0", "18446744073709551615");
        AssertTensorFault(w => Tensor(w, "t", 4, 0, 32), "unknown weight type 4");
        AssertTensorFault(w => Tensor(w, "t", uint.MaxValue, 0, 32), "unknown weight type 4294967295");
        AssertTensorFault(w => Tensor(w, "t", Q8_0, 0, 33), "Q8_0", "multiple of 32", "found 33");
        AssertTensorFault(w => Tensor(w, "t", F32, 0, long.MaxValue, long.MaxValue, long.MaxValue, long.MaxValue), "larger than the file");
        AssertTensorFault(w => Tensor(w, "t", F32, 0, 1L << 31, 1L << 31, 4), "larger than the file");
        AssertTensorFault(w => Tensor(w, "t", F32, 8, 4), "multiple of 32, found 8");
        AssertTensorFault(w => Tensor(w, "t", F32, 1L << 40, 4), "16 bytes", $"offset {1L << 40}", "64 bytes");
        AssertTensorFault(w => Tensor(w, "t", F32, -32, 4), "16 bytes", $"offset {ulong.MaxValue - 31}");
        AssertTensorFault(w => Tensor(w, "t", F32, 32, 9), "36 bytes", "offset 32", "64 bytes");
        AssertTensorFault(w => { Tensor(w, "t", F32, 0, 4); Tensor(w, "t", F32, 32, 4); }, 2, "twice");
        AssertTensorFault(w => { Tensor(w, "a", F32, 0, 9); Tensor(w, "t", F32, 32, 4); }, 2, "offset 32 overlaps", "'a'", "36 bytes at 0");
        AssertTensorFault(w => { Tensor(w, "a", F32, 0, 4); Tensor(w, "t", F32, 0, 4); }, 2, "overlaps");
        AssertFault("gguf_metadata", Raw(w => Tensor(w, new string('n', 256), F32, 0, 4), tensors: 1, pairs: 0), "255", "256");
        AssertFault("gguf_truncated", Raw(w => Tensor(w, "t", F32, 0, 4), tensors: 1, pairs: 0)[..^90], "truncated");
    }

    [Fact]
    public void TheLimitsThemselvesAreFine()
    {
        byte[] bytes = Raw(w =>
        {
            Tensor(w, new string('n', GgufReader.MaxTensorNameBytes), F32, 0, 8);
            Tensor(w, "t", F32, 32, 2, 2, 2, 1);
        }, tensors: 2, pairs: 0);
        using GgufFile file = GgufFile.Open(_folder.Write("limits.gguf", bytes));
        Assert.Equal(2, file.Tensors.Count);
    }

    [Fact]
    public void EveryTruncationOfAFileIsFound()
    {
        byte[] whole = TestFolder.Sample(32, ("general.architecture", "llama"), ("names", new[] { "a", "b" }));
        int padding = (32 - 204 % 32) % 32;
        for (int length = 0; length < whole.Length - padding; length++)
        {
            string path = _folder.Write("cut.gguf", whole[..length]);
            FlintException fault = Assert.Throws<FlintException>(() => GgufFile.Open(path));
            Assert.Equal(FaultSide.ModelFile, fault.Side);
        }
    }

    [Fact]
    public void HostileNamesStayOnOneShortLine()
    {
        byte[] bytes = Raw(w => Pair(w, "evil\n\u001b[31m" + new string('x', 1000), 99, v => v.Write(0)));
        FlintException fault = Assert.Throws<FlintException>(() => GgufFile.Open(_folder.Write("evil.gguf", bytes)));
        Assert.DoesNotContain(fault.Message, char.IsControl);
        Assert.InRange(fault.Message.Length, 1, 500);
    }

    private void AssertTensorFault(Action<BinaryWriter> table, params string[] parts) => AssertTensorFault(table, 1, parts);

    private void AssertTensorFault(Action<BinaryWriter> table, int tensors, params string[] parts) =>
        AssertFault("gguf_tensor", Raw(table, tensors: (ulong)tensors, pairs: 0), [.. parts, "'t'"]);

    private void AssertFault(string code, byte[] bytes, params string[] parts)
    {
        string path = _folder.Write("damaged.gguf", bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        FlintException fault = Assert.Throws<FlintException>(() => GgufFile.Open(path));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
        Assert.Equal((FaultSide.ModelFile, code), (fault.Side, fault.Code));
        Assert.All([path, .. parts], part => Assert.Contains(part, fault.Message, StringComparison.Ordinal));
    }

    // A file written by hand, with 64 bytes of data.
    private static byte[] Raw(Action<BinaryWriter> body, uint magic = GgufReader.Magic, uint version = 3, ulong tensors = 0, ulong pairs = 1)
    {
        MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write(magic);
        writer.Write(version);
        writer.Write(tensors);
        writer.Write(pairs);
        body(writer);
        if (tensors > 0 && stream.Length > 24)
            writer.Write(new byte[(int)(-stream.Length & 31) + 64]);
        return stream.ToArray();
    }

    private static void Text(BinaryWriter writer, string text)
    {
        writer.Write((long)text.Length);
        writer.Write(Encoding.ASCII.GetBytes(text));
    }

    private static void Pair(BinaryWriter writer, string key, int type, Action<BinaryWriter> value)
    {
        Text(writer, key);
        writer.Write(type);
        value(writer);
    }

    private static void Tensor(BinaryWriter writer, string name, uint type, long offset, params long[] shape)
    {
        Text(writer, name);
        writer.Write(shape.Length);
        foreach (long length in shape)
            writer.Write(length);
        writer.Write(type);
        writer.Write(offset);
    }
}
