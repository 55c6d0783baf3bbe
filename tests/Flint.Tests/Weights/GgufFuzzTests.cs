using Flint.Formats;
using Flint.Weights;

namespace Flint.Tests.Weights;

/// <summary>
/// Seeded mutations of valid files: the reader either opens the result, and then all it promises is there, or throws a
/// <see cref="FlintException"/>. FLINT_FUZZ_ITERATIONS makes the run longer.
/// </summary>
public sealed unsafe class GgufFuzzTests : IDisposable
{
    private static readonly int Iterations = int.Parse(Environment.GetEnvironmentVariable("FLINT_FUZZ_ITERATIONS") ?? "2000");

    private static readonly ulong[] Interesting =
    [
        0, 1, 2, 3, 7, 8, 9, 31, 32, 255, 256, 65535, 65536, int.MaxValue, 1ul << 31, uint.MaxValue, 1ul << 32, 1ul << 40,
        long.MaxValue, 1ul << 63, ulong.MaxValue, ulong.MaxValue - 31,
    ];

    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void MutatedFilesOpenOrFailCleanly()
    {
        byte[][] seeds =
        [
            TestFolder.Sample(),
            TestFolder.Sample(1, ("names", new[] { "a", "bc", "" }), ("nested", new object[] { new[] { 1, 2 }, new object[] { new[] { true } } })),
            TestFolder.Sample(64, ("general.architecture", "llama"), ("types", new[] { 1, 2, 3 }), ("yes", true), ("d", 1.5)),
            TestFolder.Create(32, [("split.no", (ushort)0), ("split.count", (ushort)1)], ("q", WeightType.Q4_K, [256, 2]), ("x", WeightType.IQ4_XS, [512])),
        ];
        Random random = new(20261);
        (int opened, int refused) = (0, 0);
        for (int i = 0; i < Iterations; i++)
            Check(Mutate(seeds[i % seeds.Length], random, int.MaxValue), ref opened, ref refused);
        // Both outcomes must occur, or the test tests nothing.
        Assert.InRange(opened, Iterations / 100, Iterations);
        Assert.InRange(refused, Iterations / 100, Iterations);
    }

    [Fact]
    public void MutatedRealFilesOpenOrFailCleanly()
    {
        byte[][] seeds = [.. Directory.GetFiles(TestData.Shared(""), "*.gguf", SearchOption.AllDirectories)
            .Where(p => new FileInfo(p).Length < 1 << 20).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)];
        Assert.NotEmpty(seeds);
        Random random = new(20262);
        (int opened, int refused) = (0, 0);
        for (int i = 0; i < Iterations / 4; i++)
            Check(Mutate(seeds[i % seeds.Length], random, 16384), ref opened, ref refused);
        Assert.InRange(refused, Iterations / 400, Iterations);
    }

    private void Check(byte[] bytes, ref int opened, ref int refused)
    {
        string path = _folder.Write("fuzz.gguf", bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            using GgufFile file = GgufFile.Open(path);
            foreach (TensorInfo tensor in file.Tensors)
                Touch(tensor, bytes.Length);
            opened++;
        }
        catch (FlintException fault)
        {
            Assert.Equal(FaultSide.ModelFile, fault.Side);
            refused++;
        }
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64L * bytes.Length + (1 << 18));
    }

    private static void Touch(TensorInfo tensor, int fileBytes)
    {
        Assert.InRange(tensor.Bytes, 1, fileBytes);
        long row = WeightTypes.RowBytes(tensor.Type, tensor.Shape[0]);
        Assert.Equal(tensor.Bytes, row * (tensor.Elements / tensor.Shape[0]));
        int sum = tensor.Data[0] + tensor.Data[tensor.Bytes - 1];
        Assert.InRange(sum, 0, 510);
        if (!WeightTypes.IsSupported(tensor.Type))
            return;
        float[] values = new float[tensor.Shape[0]];
        fixed (float* dst = values)
            WeightTypes.DecodeRow(tensor.Type, tensor.Data + tensor.Bytes - row, dst, values.Length);
    }

    // One to four changes, in the first bytes of the file where the header is.
    private static byte[] Mutate(byte[] seed, Random random, int header)
    {
        List<byte> bytes = [.. seed];
        for (int i = random.Next(1, 5); i > 0 && bytes.Count > 16; i--)
        {
            int at = random.Next(Math.Min(bytes.Count - 8, header));
            switch (random.Next(7))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    byte[] number = BitConverter.GetBytes(Interesting[random.Next(Interesting.Length)]);
                    for (int j = random.Next(2) == 0 ? 4 : 8; j > 0; j--)
                        bytes[at + j - 1] = number[j - 1];
                    break;
                case 3:
                    bytes.RemoveRange(at, random.Next(1, 9));
                    break;
                case 4:
                    bytes.InsertRange(at, new byte[random.Next(1, 9)]);
                    break;
                case 5 when random.Next(4) == 0:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                default:
                    bytes[at] += (byte)random.Next(-2, 3);
                    break;
            }
        }
        return [.. bytes];
    }
}
