using Flint.Engine;
using Flint.Formats;
using Flint.Models;
using Flint.Tests.Models;
using Flint.Tests.Oracles;
using Flint.Tests.Simulation;
using Flint.Tokens;
using Flint.Weights;
using EngineUnderTest = Flint.Engine.Engine;

namespace Flint.Tests.Engine;

/// <summary>Pooled hidden states through the whole engine: what is asked for, and the same bits however it is served.</summary>
public sealed class PoolingTests : IDisposable
{
    private const int Context = 256;

    private readonly string _path = Path.Combine(Path.GetTempPath(), $"flint-pooling-{Guid.NewGuid():N}.gguf");

    public void Dispose() => File.Delete(_path);

    [Theory]
    [InlineData("llama", WeightType.Q8_0)]
    [InlineData("muse-glimmer", WeightType.Q4_K)]
    public void APooledStateHasTheSameBitsHoweverItIsServed(string architecture, WeightType type)
    {
        TinyModel.Write(_path, architecture, type, context: Context);
        GenerationRequest[] requests = [.. Enumerable.Range(0, 9).Select(Request)];
        float[][] expected;
        using (Model model = Load(threads: 1, rows: 512))
            expected = [.. requests.Select(request => Pool(Runs.Hidden(model, request.Prompt, 512), request.Pooling, model.Config.EmbeddingLength))];
        Assert.Equal(9, expected.Select(state => state[0]).Distinct().Count());

        foreach ((int threads, int rows, int pages) in new[] { (1, 512, 256), (2, 512, 256), (1, 7, 256), (1, 1, 256), (2, 48, 24) })
        {
            using Model model = Load(threads, rows);
            using var engine = new EngineUnderTest(model, Tokenizer.FromGguf(model.File.Metadata), new EngineOptions { KvBytes = pages * KvPool.PageBytes(model.Config.KvShape) });
            Sequence[] beside = [.. Enumerable.Range(0, 3).Select(i => engine.Submit(new GenerationRequest { Prompt = [1, 2, i], MaxTokens = 50, IgnoreEos = true }))];
            for (int round = 0; round < 2; round++) // the second finds what the first left in the prefix cache
            {
                Sequence[] sequences = [.. requests.Select(engine.Submit)];
                while (engine.Step())
                {
                }

                Assert.All(sequences, sequence => Assert.Equal((FinishReason.Length, 0), (sequence.FinishReason, sequence.OutputTokens)));
                Assert.Equal(expected, sequences.Select(sequence => sequence.PooledState()));
            }

            Assert.All(beside, sequence => Assert.Equal((50, 0), (sequence.OutputTokens, sequence.PooledState().Length)));
            Assert.True(engine.Statistics.CachedTokens > 0);
            Assert.Equal(engine.Statistics.TotalPages, engine.Statistics.FreePages + engine.Statistics.CachedPages);
        }
    }

    /// <summary>A mean goes on where it was once lost pages are computed again: no row counts twice.</summary>
    [Theory]
    [InlineData(true, PromptPooling.Mean)]
    [InlineData(false, PromptPooling.Mean)]
    [InlineData(true, PromptPooling.Last)]
    public void LostPagesChangeNothing(bool cache, PromptPooling pooling)
    {
        var forward = new SimulatedForward(contextLength: 256, maxBatchRows: 2, maxSequences: 8, maxLogitRows: 8);
        using var harness = new EngineHarness(forward, pages: 10, cache: cache, events: 256);
        Sequence older = harness.Engine.Submit(new GenerationRequest { Prompt = EngineHarness.Prompt(20, seed: 1), MaxTokens = 200, IgnoreEos = true });
        int[] prompt = EngineHarness.Prompt(200, seed: 2);
        Sequence pooled = harness.Engine.Submit(new GenerationRequest { Prompt = prompt, MaxTokens = 0, Pooling = pooling });
        harness.Finish();
        Assert.Equal(200, older.OutputTokens);
        Assert.True(harness.Engine.Statistics.Preemptions > 0); // of the younger, as the oldest is never pushed back

        float[] hidden = new float[prompt.Length * forward.HiddenLength];
        for (int row = 0; row < prompt.Length; row++)
            SimulatedForward.FillLogits(~SimulatedForward.Hash(prompt.AsSpan(0, row + 1)), hidden.AsSpan(row * forward.HiddenLength, forward.HiddenLength));
        Assert.Equal(Pool(hidden, pooling, forward.HiddenLength), pooled.PooledState());
    }

    [Fact]
    public void PoolingIsAskedForAlone()
    {
        using var harness = new EngineHarness();
        int[] prompt = EngineHarness.Prompt(5);
        foreach (GenerationRequest request in new GenerationRequest[]
        {
            new() { Prompt = prompt, Pooling = PromptPooling.Mean },
            new() { Prompt = prompt, Pooling = PromptPooling.Mean, MaxTokens = 0, PromptLogprobs = true },
            new() { Prompt = prompt, Pooling = (PromptPooling)7, MaxTokens = 0 },
        })
        {
            FlintException fault = Assert.Throws<FlintException>(() => harness.Engine.Submit(request));
            Assert.Equal((FaultSide.Caller, "invalid_value"), (fault.Side, fault.Code));
            Assert.Contains("pooling", fault.Message, StringComparison.Ordinal);
        }

        Sequence cancelled = harness.Engine.Submit(new GenerationRequest { Prompt = prompt, Pooling = PromptPooling.Mean, MaxTokens = 0 });
        cancelled.Cancel();
        harness.Finish();
        Assert.Equal((FinishReason.Cancelled, 0), (cancelled.FinishReason, cancelled.PooledState().Length));
    }

    private static float[] Pool(float[] hidden, PromptPooling pooling, int width)
    {
        if (pooling == PromptPooling.Last)
            return hidden[^width..];
        int rows = hidden.Length / width;
        return [.. Enumerable.Range(0, width).Select(i => (float)(Enumerable.Range(0, rows).Aggregate(0.0, (sum, row) => sum + hidden[row * width + i]) / rows))];
    }

    // Some begin alike.
    private static GenerationRequest Request(int i)
    {
        var random = new Random(i);
        int[] shared = [.. Enumerable.Range(0, i % 3 == 0 ? 70 : 0).Select(t => t * 11 % 256)];
        return new GenerationRequest
        {
            Prompt = [.. shared, .. Enumerable.Range(0, 1 + 12 * i).Select(_ => random.Next(256))],
            MaxTokens = 0,
            Pooling = i % 2 == 0 ? PromptPooling.Mean : PromptPooling.Last,
        };
    }

    private Model Load(int threads, int rows) => Model.Load(_path, new ModelOptions
    {
        Threads = threads, ContextLength = Context, MaxBatchRows = rows, MaxSequences = 13, MaxLogitRows = 32,
    });
}
