using System.Runtime.InteropServices;
using System.Text.Json;
using Flint.Kernels;
using Flint.Models;

namespace Flint.Tests.Oracles;

/// <summary>Logits over the miniature models of the reference implementation: batched, mixed and token by token.</summary>
public sealed class OracleTests
{
    private const double Bound = 2e-5;

    [Theory]
    [InlineData("llama")]
    [InlineData("llama31")]
    [InlineData("qwen3")]
    [InlineData("qwen3moe")]
    [InlineData("mixtral")]
    [InlineData("muse_glimmer")]
    public void LogitsMatchTheReference(string name)
    {
        (string path, int[] tokens, float[] expected) = Reference(name);
        using Model model = Load(path, KvFormat.F32);
        foreach (int chunk in new[] { 300, 292, 64, 7, 1 })
        {
            float[] actual = Runs.Logits(model, tokens, chunk);
            double relative = RelativeError(expected, actual);
            Assert.True(relative <= Bound, $"{name}, chunks of {chunk}: relative RMS error {relative:E2}");
            int vocabulary = model.Config.VocabularySize;
            for (int i = 0; i < tokens.Length; i++)
                Assert.Equal(Best(expected.AsSpan(i * vocabulary, vocabulary)), Best(actual.AsSpan(i * vocabulary, vocabulary)));
        }
    }

    /// <summary>What keeping keys and values in fewer bits costs, over 300 tokens. (Of experts another choice may follow from the least error, so none are here in 8 bits.)</summary>
    [Theory]
    [InlineData("llama", KvFormat.F16, 0.001)]
    [InlineData("qwen3moe", KvFormat.F16, 0.001)]
    [InlineData("muse_glimmer", KvFormat.F16, 0.001)]
    [InlineData("llama", KvFormat.Q8, 0.02)]
    [InlineData("qwen3", KvFormat.Q8, 0.02)]
    [InlineData("muse_glimmer", KvFormat.Q8, 0.02)]
    public void FewerBitsOfKeysAndValuesStayNearTheReference(string name, KvFormat kept, double bound)
    {
        (string path, int[] tokens, float[] expected) = Reference(name);
        using Model model = Load(path, kept);
        Assert.InRange(RelativeError(expected, Runs.Logits(model, tokens, 64)), Bound, bound);
    }

    private static (string Path, int[] Tokens, float[] Logits) Reference(string name)
    {
        string path = TestData.Shared($"oracles/models/{name}.gguf");
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Path.ChangeExtension(path, ".json")));
        int[] tokens = [.. json.RootElement.GetProperty("tokens").EnumerateArray().Select(t => t.GetInt32())];
        float[] expected = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path.ChangeExtension(path, ".logits.f32"))).ToArray();
        return (path, tokens, expected);
    }

    private static Model Load(string path, KvFormat kept) =>
        Model.Load(path, new ModelOptions { Threads = 2, MaxLogitRows = 300, ContextLength = 512, KvFormat = kept });

    private static double RelativeError(float[] expected, float[] actual)
    {
        double error = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            error += ((double)actual[i] - expected[i]) * ((double)actual[i] - expected[i]);
            norm += (double)expected[i] * expected[i];
        }

        return Math.Sqrt(error / norm);
    }

    private static int Best(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best]) best = i;
        }

        return best;
    }
}
