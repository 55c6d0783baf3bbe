using Flint.Engine;

namespace Flint.Tests.Engine;

/// <summary>Owners that share an engine, in tokens and steps: no clock.</summary>
public sealed class ShareTests
{
    private const int Slack = 16;

    private readonly EngineShare _one = new(1), _two = new(2);
    private int _seed;

    [Theory]
    [InlineData(1, 1, 3)]
    [InlineData(2, 1, 3)]
    [InlineData(4, 1, 3)]
    [InlineData(7, 1, 3)]
    [InlineData(8, 2, 2)]
    [InlineData(8, 1000, 3000 / 3)] // alike, at another scale
    [InlineData(4, 5, 1)]
    public void WhileBothWaitTokensAreInTheRatioOfWeights(int running, int first, int second)
    {
        using var harness = new EngineHarness(running: running, waiting: 400, slack: Slack);
        (_one.Weight, _two.Weight) = (first, second);
        Sequence[] ones = Flood(harness, _one, 120, 40), twos = Flood(harness, _two, 120, 40);
        while (Output(ones) + Output(twos) < 4000)
            Assert.True(harness.Engine.Step());
        Assert.True(Waits(ones) && Waits(twos)); // else nobody would have to share
        double share = (double)Output(ones) / (Output(ones) + Output(twos)), wanted = (double)first / (first + second);
        Assert.InRange(share, wanted - 0.02, wanted + 0.02);
    }

    [Fact]
    public void PromptsAreTokensToo()
    {
        using var harness = new EngineHarness(running: 4, waiting: 400, slack: Slack);
        Sequence[] readers = Flood(harness, _one, 60, 1, prompt: 100), writers = Flood(harness, _two, 120, 50, prompt: 1);
        while (harness.Forward.Rows < 4000)
            Assert.True(harness.Engine.Step());
        Assert.True(Waits(readers) && Waits(writers));
        int read = readers.Count(reader => reader.FinishReason is not null) * 100;
        Assert.InRange((double)read / (read + Output(writers)), 0.44, 0.56);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(8)]
    public void AFloodDelaysNobodyBeyondABoundInSteps(int running)
    {
        using var harness = new EngineHarness(running: running, waiting: 100, events: 256, slack: Slack);
        Flood(harness, _one, 40, 200);
        for (int i = 0; i < 50; i++)
            harness.Engine.Step();
        Sequence late = Flood(harness, _two, 1, 5)[0];
        int steps = 0;
        for (; late.OutputTokens == 0; steps++)
            Assert.True(harness.Engine.Step());
        Assert.InRange(steps, 1, Slack + 3); // to be ahead by the slack, to change places, and the step that computes

        // Of one owner the same sequence waits for all that came before.
        Sequence last = Flood(harness, _one, 1, 5)[0];
        for (int i = 0; i < 150; i++)
            harness.Engine.Step();
        Assert.Equal(0, last.OutputTokens);
    }

    [Fact]
    public void WhoWasIdleHasNoCreditAndWhoWasAloneHasNoDebt()
    {
        using var harness = new EngineHarness(running: 4, waiting: 400, events: 256, slack: Slack);
        Flood(harness, _two, 1, 1);
        Sequence[] ones = Flood(harness, _one, 80, 100);
        for (int i = 0; i < 500; i++)
            harness.Engine.Step();
        int before = Output(ones);
        Sequence[] twos = Flood(harness, _two, 80, 100);
        for (int i = 0; i < 400; i++)
            harness.Engine.Step();
        Assert.InRange(Output(twos) - (Output(ones) - before), -4 * Slack, 4 * Slack);
        Assert.True(Output(twos) > 700);
    }

    [Fact]
    public void WhoDoesNotReadBanksNoCreditMeanwhile()
    {
        using var harness = new EngineHarness(running: 2, waiting: 400, events: 8, slack: Slack);
        Sequence stuck = Flood(harness, _two, 1, 200)[0]; // nobody reads it: it stops when its ring is full
        for (int i = 0; i < 20; i++)
            harness.Engine.Step();
        Sequence[] ones = Flood(harness, _one, 100, 100);
        for (int i = 0; i < 800; i++)
            StepAndRead(harness, ones);
        Assert.True(stuck.OutputTokens < 20);
        int before = Output(ones);
        Sequence[] twos = Flood(harness, _two, 60, 100);
        for (int i = 0; i < 400; i++)
            StepAndRead(harness, [.. ones, .. twos]);
        Assert.InRange(Output(twos) - (Output(ones) - before), -12 * Slack, 12 * Slack);
    }

    [Fact]
    public void TheLastPlacesOfTheQueueAreForOwnersThatHaveFew()
    {
        using var harness = new EngineHarness(running: 1, waiting: 8);
        Sequence[] ones = Flood(harness, _one, 7, 5);
        FlintException full = Assert.Throws<FlintException>(() => Flood(harness, _one, 1, 5));
        Assert.Equal((FaultSide.Limit, "queue_full"), (full.Side, full.Code));
        Sequence two = Flood(harness, _two, 1, 5)[0];
        Assert.Equal("queue_full", Assert.Throws<FlintException>(() => Flood(harness, _two, 1, 5)).Code);
        Sequence three = Flood(harness, new EngineShare(3), 1, 5)[0];
        Assert.Equal("queue_full", Assert.Throws<FlintException>(() => Flood(harness, new EngineShare(4), 1, 5)).Code);
        harness.Finish();
        Assert.All([.. ones, two, three], sequence => Assert.Equal(FinishReason.Length, sequence.FinishReason));
        Flood(harness, _one, 7, 5);
        harness.Finish();
    }

    [Fact]
    public void WhatIsInterruptedGoesOnWithTheSameTokens()
    {
        int[][] alone = Tokens(shared: false, out long calm), shared = Tokens(shared: true, out long interrupted);
        Assert.Equal(alone, shared);
        Assert.Equal(0, calm);
        Assert.True(interrupted > 5, $"{interrupted} interruptions"); // else nothing is tested

        int[][] Tokens(bool shared, out long preemptions)
        {
            _seed = 0;
            _two.Weight = 3;
            using var harness = new EngineHarness(running: 2, waiting: 100, events: 256, slack: 8);
            Sequence[] all = [.. Flood(harness, _one, 6, 120), .. Flood(harness, shared ? _two : _one, 6, 120)];
            harness.Finish();
            preemptions = harness.Engine.Statistics.Preemptions;
            return [.. all.Select(sequence => EngineHarness.Read(sequence).Tokens.ToArray())];
        }
    }

    private Sequence[] Flood(EngineHarness harness, EngineShare share, int count, int tokens, int prompt = 5) =>
    [
        .. Enumerable.Range(0, count).Select(_ => harness.Engine.Submit(new GenerationRequest
        {
            Prompt = EngineHarness.Prompt(prompt, ++_seed), MaxTokens = tokens, IgnoreEos = true, Share = share, Sampling = new SamplingOptions { Seed = 3 },
        })),
    ];

    private static void StepAndRead(EngineHarness harness, Sequence[] readers)
    {
        harness.Engine.Step();
        foreach (Sequence reader in readers)
        {
            while (reader.TryRead(out _))
            {
            }
        }
    }

    private static int Output(Sequence[] sequences) => sequences.Sum(sequence => sequence.OutputTokens);

    private static bool Waits(Sequence[] sequences) => sequences.Count(sequence => sequence.OutputTokens == 0) > 5;
}
