using System.Security.Cryptography;
using Flint.Formats;
using Flint.Kernels;
using Flint.Models;
using Flint.Tests.Kernels;
using Flint.Tests.Oracles;

namespace Flint.Tests.Models;

/// <summary>Packed copies: the same bits as packing anew, and never those of another model.</summary>
public sealed unsafe class PackedCopyTests : IDisposable
{
    // Of what Pack writes for every format. A change here needs a new PackedMatrix.Layout, or copies made before are misread.
    private const int KnownLayout = 1;
    private const string KnownDigest = "5197388c2ade4696";

    private readonly string _folder = Directory.CreateTempSubdirectory("flint-packed-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("llama", WeightType.Q8_0)]
    [InlineData("muse-glimmer", WeightType.Q4_K)]
    [InlineData("qwen3moe", WeightType.Q6_K)]
    [InlineData("qwen3", WeightType.F32)]
    public void A_copy_gives_the_same_bits(string architecture, WeightType type)
    {
        string path = Write(architecture, type);
        float[] expected = Logits(path, copied: false);
        int told = 0;
        Assert.Equal(path + PackedCopy.Extension, PackedCopy.Write(path, 2, (done, all) => told = done == all ? all : 0));
        Assert.True(told > 0);
        Assert.Equal(expected, Logits(path, copied: true));
        using Model model = Model.Load(path, new ModelOptions { Threads = 2 });
        using var file = Flint.Weights.GgufFile.Open(path);
        Assert.Equal(MemoryNeed.Of(file).WeightBytes, model.WeightBytes);
    }

    [Fact]
    public void A_copy_of_another_state_is_passed_over()
    {
        string path = Write("llama", WeightType.Q8_0);
        PackedCopy.Write(path, 2);
        DateTime time = File.GetLastWriteTimeUtc(path);
        TinyModel.Write(path, "llama", WeightType.Q8_0, seed: 2);
        File.SetLastWriteTimeUtc(path, time); // the same size and time, other weights
        float[] other = Logits(path, copied: false);
        File.Delete(path + PackedCopy.Extension);
        Assert.Equal(other, Logits(path, copied: false));

        PackedCopy.Write(path, 2);
        Assert.Equal(other, Logits(path, copied: true));
        File.SetLastWriteTimeUtc(path, time.AddSeconds(1));
        Assert.Equal(other, Logits(path, copied: false));
    }

    [Fact]
    public void A_damaged_copy_is_passed_over()
    {
        string path = Write("llama", WeightType.Q8_0), copy = PackedCopy.Write(path, 2);
        float[] expected = Logits(path, copied: true);
        byte[] whole = File.ReadAllBytes(copy);
        foreach (int length in new[] { 0, 3, 40, 500, whole.Length / 2 })
        {
            File.WriteAllBytes(copy, whole[..length]);
            using Model model = Model.Load(path, new ModelOptions { Threads = 1 });
            Assert.False(model.HasPackedCopy);
            Assert.Contains(copy, model.PackedCopyFault, StringComparison.Ordinal);
        }

        Assert.Equal(expected, Logits(path, copied: false));
    }

    [Fact]
    public void The_layout_is_the_one_that_its_number_says()
    {
        using var team = new Team(1);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (WeightType type in RandomWeights.Types)
        {
            const int rows = 40, columns = 512;
            byte[] weights = RandomWeights.Rows(type, rows, columns, 7);
            fixed (byte* source = weights)
            {
                using PackedMatrix packed = PackedMatrix.Pack(team, type, source, rows, columns);
                hash.AppendData(new ReadOnlySpan<byte>(packed.Data, (int)packed.Bytes));
            }
        }

        Assert.Equal((KnownLayout, KnownDigest), (PackedMatrix.Layout, Convert.ToHexStringLower(hash.GetHashAndReset())[..16]));
    }

    private string Write(string architecture, WeightType type)
    {
        string path = Path.Combine(_folder, $"{architecture}-{type}.gguf");
        TinyModel.Write(path, architecture, type);
        return path;
    }

    private static float[] Logits(string path, bool copied)
    {
        using Model model = Model.Load(path, new ModelOptions { Threads = 2 });
        Assert.Equal(copied, model.HasPackedCopy);
        int[] tokens = [.. Enumerable.Range(0, 40).Select(i => i * 37 % TinyModel.VocabularySize)];
        return Runs.Logits(model, tokens, 16);
    }
}
