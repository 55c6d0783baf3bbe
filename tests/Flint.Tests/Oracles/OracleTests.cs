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
        string path = TestData.Shared($"oracles/models/{name}.gguf");
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Path.ChangeExtension(path, ".json")));
        int[] tokens = [.. json.RootElement.GetProperty("tokens").EnumerateArray().Select(t => t.GetInt32())];
        float[] expected = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path.ChangeExtension(path, ".logits.f32"))).ToArray();
        using Model model = Model.Load(path, new ModelOptions { Threads = 2, MaxLogitRows = 300, ContextLength = 512, KvFormat = KvFormat.F32 });
        foreach (int chunk in new[] { 300, 292, 64, 7, 1 })
        {
            float[] actual = Runs.Logits(model, tokens, chunk);
            double error = 0, norm = 0;
            int vocabulary = model.Config.VocabularySize;
            for (int i = 0; i < expected.Length; i++)
            {
                error += ((double)actual[i] - expected[i]) * ((double)actual[i] - expected[i]);
                norm += (double)expected[i] * expected[i];
            }

            double relative = Math.Sqrt(error / norm);
            Assert.True(relative <= Bound, $"{name}, chunks of {chunk}: relative RMS error {relative:E2}");
            for (int i = 0; i < tokens.Length; i++)
                Assert.Equal(Best(expected.AsSpan(i * vocabulary, vocabulary)), Best(actual.AsSpan(i * vocabulary, vocabulary)));
        }
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
