using Flint.Engine;
using Flint.Models;
using Flint.Tests.Simulation;

namespace Flint.Tests.Engine;

public sealed class AllocationTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AStepThatDecodesAllocatesNothing(bool awaited)
    {
        var forward = new SimulatedForward(contextLength: 2048, maxBatchRows: 64, maxSequences: 8, maxLogitRows: 8);
        using var harness = new EngineHarness(forward, pages: 600, events: 2048);
        var consumers = new List<Task>();
        for (int i = 0; i < 8; i++)
        {
            Sequence sequence = harness.Engine.Submit(new GenerationRequest
            {
                Prompt = EngineHarness.Prompt(20, seed: i),
                MaxTokens = 1500,
                IgnoreEos = true,
                Stop = ["stop here", "abcabcabcabcabc"],
                TopLogprobs = i,
                Sampling = new SamplingOptions
                {
                    Temperature = i == 0 ? 0 : 1,
                    TopK = i * 6,
                    TopP = i % 2 == 0 ? 1 : 0.9f,
                    TypicalP = i == 5 ? 0.7f : 1,
                    MinP = i == 6 ? 0.1f : 0,
                    RepetitionPenalty = i == 7 ? 1.1f : 1,
                    LogitBias = i == 3 ? new() { [9] = 1 } : null,
                    Seed = 1,
                },
            });
            if (awaited)
                consumers.Add(Consume(sequence));
        }
        for (int i = 0; i < 200; i++)
            harness.Engine.Step();
        Assert.Equal(8, harness.Engine.Statistics.Running);

        // A collection that another test causes, or a method compiled anew, may count once: what a step allocates counts in every stretch.
        var stretches = new long[4];
        for (int stretch = 0; stretch < stretches.Length; stretch++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 300; i++)
                harness.Engine.Step();
            stretches[stretch] = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Assert.Contains(0, stretches);
        Assert.Equal(8, harness.Engine.Statistics.Running);
    }

    private static async Task Consume(Sequence sequence)
    {
        await Task.Yield();
        while (await sequence.WaitAsync().ConfigureAwait(false))
        {
            while (sequence.TryRead(out _))
            {
            }
        }
    }
}
