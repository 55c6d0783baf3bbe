using System.Buffers.Binary;
using System.Text;
using Flint.Formats;
using Flint.Weights;

namespace Flint.Tests.Weights;

public sealed unsafe class SafetensorsTests : IDisposable
{
    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ReadsWhatItWrote()
    {
        float[] a = [1, 2, 3, 4, 5, 6], b = [0.5f];
        string path = Path.Combine(_folder.Path, "w.safetensors");
        using (FileStream stream = File.Create(path)) SafetensorsWriter.Write(stream, [("x.a", [2, 3], a), ("b", [1], b)]);
        Assert.Equal(0, (int)BinaryPrimitives.ReadUInt64LittleEndian(File.ReadAllBytes(path)) % 8);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal(["x.a", "b"], file.Tensors.Select(t => t.Name));
        TensorInfo tensor = file.Tensors.Get("x.a", 3, 2);
        Assert.Equal((WeightType.F32, 24L), (tensor.Type, tensor.Bytes));
        Assert.Equal(a, new ReadOnlySpan<float>(tensor.Data, 6).ToArray());
        Assert.Equal(0.5f, *(float*)file.Tensors.Get("b").Data);
    }

    [Theory]
    [InlineData("hf-f32", "model.safetensors")]
    [InlineData("hf-bf16", "model.safetensors")]
    public void ReadsOthersFiles(string folder, string name)
    {
        string shared = TestData.Shared("data/weights/stories260K-converted");
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(shared, folder, name));
        using GgufFile gguf = GgufFile.Open(Path.Combine(shared, "stories260K-f32.gguf"));
        TensorInfo mine = file.Tensors.Get("model.layers.2.mlp.down_proj.weight", 172, 64), theirs = gguf.Tensors.Get("blk.2.ffn_down.weight", 172, 64);
        float[] x = new float[mine.Elements], y = new float[mine.Elements];
        fixed (float* px = x, py = y)
        {
            WeightTypes.DecodeRow(mine.Type, mine.Data, px, x.Length);
            WeightTypes.DecodeRow(theirs.Type, theirs.Data, py, y.Length);
        }
        for (int i = 0; i < x.Length; i++) Assert.Equal(y[i], x[i], mine.Type == WeightType.F32 ? 0 : Math.Abs(y[i]) / 200);
    }

    [Theory]
    [InlineData("", 0)]
    [InlineData("{", 0)]
    [InlineData("[]", 0)]
    [InlineData("""{"a":1}""", 0)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 3)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}""", 0)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}""", 0)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8)]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"\ud800","shape":[1],"data_offsets":[0,4]}}""", 4)]
    public void RefusesDamage(string table, int dataBytes)
    {
        byte[] json = Encoding.UTF8.GetBytes(table);
        byte[] length = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)json.Length);
        string path = _folder.Write("bad.safetensors", [.. length, .. json, .. new byte[dataBytes]]);
        FlintException fault = Assert.Throws<FlintException>(() => SafetensorsFile.Open(path));
        Assert.Equal(FaultSide.ModelFile, fault.Side);
        Assert.Contains(path, fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RefusesEveryTruncationAndSurvivesEveryFlippedBit()
    {
        string path = Path.Combine(_folder.Path, "w.safetensors");
        using (FileStream stream = File.Create(path)) SafetensorsWriter.Write(stream, [("x.a", [2, 3], new float[6]), ("b", [1], [1f])]);
        byte[] whole = File.ReadAllBytes(path);
        for (int length = 0; length < whole.Length; length++)
            Assert.Equal(FaultSide.ModelFile, Assert.Throws<FlintException>(() => SafetensorsFile.Open(_folder.Write("cut.safetensors", whole[..length]))).Side);
        for (int bit = 0; bit < (whole.Length - 28) * 8; bit++)
        {
            byte[] bytes = [.. whole];
            bytes[bit / 8] ^= (byte)(1 << bit % 8);
            try
            {
                using SafetensorsFile file = SafetensorsFile.Open(_folder.Write("flip.safetensors", bytes));
                Assert.InRange(file.Tensors.Sum(t => t.Bytes), 0, 28);
            }
            catch (FlintException fault)
            {
                Assert.Equal(FaultSide.ModelFile, fault.Side);
            }
        }
    }
}
