using System.Runtime.InteropServices;
using System.Text.Json;
using Flint.Formats;
using Flint.Weights;

namespace Flint.Tests.Formats;

public sealed unsafe class DecodeTests
{
    public static TheoryData<WeightType> Supported => [.. Enum.GetValues<WeightType>().Where(WeightTypes.IsSupported)];

    [Theory]
    [MemberData(nameof(Supported))]
    public void DecodesTheReferenceVectorsBitForBit(WeightType type)
    {
        string folder = TestData.Shared("oracles/formats");
        using JsonDocument index = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "formats.json")));
        JsonElement order = index.RootElement.GetProperty("order");
        int at = order.EnumerateArray().ToList().FindIndex(e => e.GetProperty("id").GetInt32() == (int)type);
        Assert.InRange(at, 0, order.GetArrayLength());
        int values = index.RootElement.GetProperty("rows").GetInt32() * index.RootElement.GetProperty("cols").GetInt32();
        byte[] all = File.ReadAllBytes(Path.Combine(folder, "formats.expected.f32"));
        ReadOnlySpan<int> expected = MemoryMarshal.Cast<byte, int>(all.AsSpan(at * values * 4, values * 4));

        using GgufFile file = GgufFile.Open(Path.Combine(folder, "formats.gguf"));
        TensorInfo tensor = file.Tensors.Get(order[at].GetProperty("tensor").GetString()!, 1024, 3);
        Assert.Equal(type, tensor.Type);
        float[] decoded = new float[values];
        fixed (float* dst = decoded)
            WeightTypes.DecodeRow(type, tensor.Data, dst, values);
        Assert.Equal(expected, MemoryMarshal.Cast<float, int>(decoded));
    }

    [Fact]
    public void KnowsTheSizeOfEveryFormatInTheReferenceFile()
    {
        using GgufFile file = GgufFile.Open(Path.Combine(TestData.Shared("oracles/formats"), "formats.gguf"));
        Assert.Equal(26, file.Tensors.Count);
        TensorInfo[] tensors = [.. file.Tensors];
        for (int i = 0; i < tensors.Length; i++)
        {
            // Data is packed in file order with padding to 32, so the next offset proves each size.
            long next = i + 1 < tensors.Length ? tensors[i + 1].Data - tensors[i].Data : tensors[i].Bytes;
            Assert.InRange(next - tensors[i].Bytes, 0, 31);
        }
    }

    // Two blocks by hand, so that decoding is tested without reference data too.
    [Theory]
    [InlineData(WeightType.Q8_0, 3, -3 * 0.5f)]
    [InlineData(WeightType.Q4_0, 0, (5 - 8) * 0.5f)]
    [InlineData(WeightType.Q4_0, 16, (10 - 8) * 0.5f)]
    public void DecodesABlockMadeByHand(WeightType type, int index, float expected)
    {
        byte[] block = new byte[WeightTypes.BlockBytes(type)];
        MemoryMarshal.Write(block, (Half)0.5f);
        block[2] = 0xA5;
        block[5] = unchecked((byte)-3);
        float[] decoded = new float[32];
        fixed (byte* src = block)
        fixed (float* dst = decoded)
            WeightTypes.DecodeRow(type, src, dst, 32);
        Assert.Equal(expected, decoded[index]);
    }

    [Fact]
    public void RefusesWhatItCannotDecode()
    {
        Assert.Equal(FaultSide.ModelFile, Assert.Throws<FlintException>(() => WeightTypes.DecodeRow(WeightType.IQ2_XS, null, null, 256)).Side);
        Assert.Equal(FaultSide.ModelFile, Assert.Throws<FlintException>(() => WeightTypes.BlockBytes((WeightType)4)).Side);
        Assert.Throws<FlintException>(() => WeightTypes.RowBytes(WeightType.Q4_K, 255));
    }

    [Fact]
    public void KnowsEveryNamedTypeAndNoOther()
    {
        for (int id = -1; id < 300; id++)
            Assert.Equal(Enum.IsDefined((WeightType)id), WeightTypes.IsKnown((WeightType)id));
        Assert.Equal("Q4_K", WeightTypes.Name(WeightType.Q4_K));
        Assert.Equal("type 77", WeightTypes.Name((WeightType)77));
        Assert.Equal(11, Enum.GetValues<WeightType>().Count(WeightTypes.IsSupported));
    }
}
