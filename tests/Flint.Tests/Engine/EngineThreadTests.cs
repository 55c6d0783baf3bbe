using Flint.Engine;
using Flint.Tests.Simulation;

namespace Flint.Tests.Engine;

/// <summary>The engine on its own thread, with real consumers.</summary>
public sealed class EngineThreadTests
{
    [Fact]
    public async Task ManyConsumersGetWhatTheyWouldGetAlone()
    {
        using var harness = new EngineHarness(pages: 24, waiting: 64, events: 16);
        harness.Engine.Start();
        await Task.WhenAll(Enumerable.Range(0, 40).Select(i => Task.Run(async () =>
        {
            var request = new GenerationRequest
            {
                Prompt = EngineHarness.Prompt(20 + i, seed: i % 5),
                MaxTokens = 60,
                Stop = ["stop"],
                Sampling = new SamplingOptions { Seed = (ulong)i },
            };
            Sequence sequence = harness.Engine.Submit(request);
            string text = "";
            int events = 0;
            await foreach (TokenEvent next in sequence.Events(TestContext.Current.CancellationToken))
            {
                text += next.Text;
                if (i % 10 == 9 && ++events == 5)
                    break; // leaving cancels
            }
            if (i % 10 == 9)
                return;
            Expectation expected = Expectation.Of(request, harness.Table, 0, 1000, 64);
            Assert.Equal(expected.Text, text);
            Assert.Equal(expected.Finish, sequence.FinishReason);
        }, TestContext.Current.CancellationToken)));
        SpinWait.SpinUntil(() => harness.Engine.Statistics is { Running: 0, Waiting: 0 }, TimeSpan.FromSeconds(30));
        EngineStatistics statistics = harness.Engine.Statistics;
        Assert.Equal(40, statistics.Finished + statistics.Cancelled);
        Assert.Equal(24, statistics.FreePages + statistics.CachedPages);
    }

    [Fact]
    public async Task DisposingEndsEverySequenceAndRefusesMore()
    {
        var harness = new EngineHarness(running: 1);
        harness.Engine.Start();
        var request = new GenerationRequest { Prompt = EngineHarness.Prompt(10), MaxTokens = 200, IgnoreEos = true };
        Sequence[] sequences = [.. Enumerable.Range(0, 4).Select(_ => harness.Engine.Submit(request))];
        Assert.True(await sequences[0].WaitAsync(TestContext.Current.CancellationToken));
        harness.Dispose();
        Assert.Equal("shutting_down", Assert.Throws<FlintException>(() => harness.Engine.Submit(request)).Code);
        foreach (Sequence sequence in sequences)
        {
            FinishReason? finish = null;
            await foreach (TokenEvent next in sequence.Events(TestContext.Current.CancellationToken))
                finish = next.FinishReason;
            Assert.NotNull(finish);
            sequence.Cancel();
        }
        harness.Dispose();
    }

    [Fact]
    public async Task AnEngineThatFailsTellsEveryoneAndTakesNoMore()
    {
        using var harness = new EngineHarness(time: new BrokenTime());
        harness.Engine.Start();
        var request = new GenerationRequest { Prompt = EngineHarness.Prompt(10), MaxTokens = 20, IgnoreEos = true };
        Sequence sequence = harness.Engine.Submit(request);
        FinishReason? finish = null;
        await foreach (TokenEvent next in sequence.Events(TestContext.Current.CancellationToken))
            finish = next.FinishReason;
        Assert.Equal(FinishReason.Error, finish);
        Assert.Equal("engine_failed", sequence.Fault!.Code);
        Assert.Equal(FaultSide.Bug, Assert.Throws<FlintException>(() => harness.Engine.Submit(request)).Side);
    }

    // Works where requests are submitted and not on the engine's thread.
    private sealed class BrokenTime : TimeProvider
    {
        public override long GetTimestamp() =>
            Thread.CurrentThread.Name == "flint-engine" && Interlocked.Increment(ref _calls) == 1 ? throw new InvalidOperationException("no clock") : 0;

        private int _calls;
    }
}
