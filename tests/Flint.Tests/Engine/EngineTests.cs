using Flint.Engine;
using Flint.Models;
using Flint.Tests.Simulation;

namespace Flint.Tests.Engine;

public sealed class EngineTests
{
    private static readonly SamplingOptions Seeded = new() { Seed = 11 };

    [Fact]
    public void AQueueTakesWhatItIsMadeForAndNotOneMore()
    {
        using var harness = new EngineHarness(running: 2, waiting: 3);
        var request = new GenerationRequest { Prompt = EngineHarness.Prompt(5), MaxTokens = 3, IgnoreEos = true };
        Sequence[] taken = [.. Enumerable.Range(0, 5).Select(_ => harness.Engine.Submit(request))];
        FlintException fault = Assert.Throws<FlintException>(() => harness.Engine.Submit(request));
        Assert.Equal((FaultSide.Limit, "queue_full"), (fault.Side, fault.Code));
        Assert.InRange(fault.RetryAfter!.Value.TotalSeconds, 1, 60);
        Assert.Equal(1, harness.Engine.Statistics.Refused);

        harness.Finish();
        Assert.All(taken, s => Assert.Equal(FinishReason.Length, s.FinishReason));
        harness.Engine.Submit(request);
        harness.Finish();
        Assert.Equal(6, harness.Engine.Statistics.Finished);
    }

    [Fact]
    public void APromptIsTakenUpToTheContextLengthAndNotOneTokenMore()
    {
        using var harness = new EngineHarness();
        Sequence longest = harness.Engine.Submit(new GenerationRequest { Prompt = EngineHarness.Prompt(255), MaxTokens = 50 });
        FlintException fault = Assert.Throws<FlintException>(
            () => harness.Engine.Submit(new GenerationRequest { Prompt = EngineHarness.Prompt(256) }));
        Assert.Equal((FaultSide.Caller, "context_length_exceeded"), (fault.Side, fault.Code));
        Assert.Matches(@"\b256\b.*\b256\b", fault.Message);
        harness.Finish();
        Assert.Equal(1, longest.OutputTokens);

        // Where nothing is generated, the prompt may fill the context.
        Sequence scored = harness.Engine.Submit(
            new GenerationRequest { Prompt = EngineHarness.Prompt(256), MaxTokens = 0, PromptLogprobs = true });
        harness.Finish();
        Assert.Equal(256, scored.PromptLogprobs.Length);
        Assert.Throws<FlintException>(() => harness.Engine.Submit(new GenerationRequest { Prompt = EngineHarness.Prompt(257), MaxTokens = 0 }));
    }

    [Fact]
    public void APromptThatCanNeverFitThePoolIsRefusedWithBothLengths()
    {
        using var harness = new EngineHarness(pages: 3);
        Assert.Equal(96, harness.Engine.ContextLength);
        Sequence fits = harness.Engine.Submit(new GenerationRequest { Prompt = EngineHarness.Prompt(95), IgnoreEos = true });
        FlintException fault = Assert.Throws<FlintException>(
            () => harness.Engine.Submit(new GenerationRequest { Prompt = EngineHarness.Prompt(96) }));
        Assert.Equal("context_length_exceeded", fault.Code);
        Assert.Matches(@"\b96\b.*\b96\b", fault.Message);
        harness.Finish();
        Assert.Equal((1, FinishReason.Length), (fits.OutputTokens, fits.FinishReason));
    }

    [Fact]
    public void WrongRequestsAreTheCallersFault()
    {
        using var harness = new EngineHarness();
        int[] prompt = EngineHarness.Prompt(4);
        GenerationRequest[] wrong =
        [
            new() { Prompt = [] },
            new() { Prompt = [-1] },
            new() { Prompt = [64] },
            new() { Prompt = prompt, MaxTokens = -1 },
            new() { Prompt = prompt, TopLogprobs = GenerationRequest.MaxTopLogprobs + 1 },
            new() { Prompt = prompt, TopLogprobs = -2 },
            new() { Prompt = prompt, Samples = 0 },
            new() { Prompt = prompt, Samples = 25 }, // 8 running and 16 waiting
            new() { Prompt = prompt, Stop = [""] },
            new() { Prompt = prompt, Stop = [new string('x', GenerationRequest.MaxStopBytes + 1)] },
            new() { Prompt = prompt, Stop = [.. Enumerable.Range(0, GenerationRequest.MaxStops + 1).Select(i => $"s{i}")] },
            new() { Prompt = prompt, Sampling = new SamplingOptions { TopP = 2 } },
        ];
        foreach (GenerationRequest request in wrong)
            Assert.Equal(FaultSide.Caller, Assert.Throws<FlintException>(() => harness.Engine.Submit(request)).Side);
        Assert.False(harness.Engine.Step());
        harness.Engine.Submit(new()
        {
            Prompt = prompt,
            TopLogprobs = GenerationRequest.MaxTopLogprobs,
            MaxTokens = 5,
            Samples = 24,
            Stop = [new string('x', GenerationRequest.MaxStopBytes), .. Enumerable.Range(1, GenerationRequest.MaxStops - 1).Select(i => $"#{i}")],
        });
        harness.Finish();
        Assert.Equal(24, harness.Engine.Statistics.Finished);
    }

    [Fact]
    public void CancellingFreesThePagesWithinOneStep()
    {
        using var harness = new EngineHarness(cache: false, running: 2);
        Sequence decoding = Submit(harness, 40);
        harness.Engine.Step();
        harness.Engine.Step();
        Assert.True(decoding.OutputTokens > 0);
        Sequence inPrompt = Submit(harness, 200);
        Sequence waiting = Submit(harness, 10);
        harness.Engine.Step();
        Assert.True(inPrompt.State.Length is > 0 and < 200);
        Assert.Equal(SequencePhase.Waiting, waiting.Phase);
        Sequence unseen = Submit(harness, 10);

        foreach (Sequence sequence in new[] { decoding, inPrompt, waiting, unseen })
            sequence.Cancel();
        harness.Engine.Step();
        Assert.Equal(64, harness.Engine.Pool.FreePages);
        foreach (Sequence sequence in new[] { decoding, inPrompt, waiting, unseen })
            Assert.Equal(FinishReason.Cancelled, EngineHarness.Read(sequence).Finish);
        Assert.False(harness.Engine.Step());
        decoding.Cancel(); // nothing more
        Assert.False(harness.Engine.Step());
        Assert.Equal(4, harness.Engine.Statistics.Cancelled);
    }

    [Fact]
    public void APrefixIsReusedToTheTokenAndNeverTheLastPromptToken()
    {
        using var harness = new EngineHarness();
        int[] prompt = EngineHarness.Prompt(96);
        Sequence first = Run(harness, prompt);
        Assert.Equal(0, first.CachedTokens);
        long rows = harness.Forward.Rows;
        Sequence again = Run(harness, prompt);
        Assert.Equal(95, again.CachedTokens);
        Assert.Equal(again.OutputTokens, harness.Forward.Rows - rows);
        Assert.Equal(96, Run(harness, [.. prompt, 9]).CachedTokens);
        Assert.Equal(40, Run(harness, [.. prompt[..40], 9, .. prompt[40..]]).CachedTokens);
        Assert.Equal(32, Run(harness, [.. prompt[..35], 9, .. prompt[40..]]).CachedTokens); // three tokens are not worth a copy
        Assert.Equal(0, Run(harness, prompt, salt: 1).CachedTokens);
        Assert.Equal(95 + 96 + 40 + 32, harness.Engine.Statistics.CachedTokens);
    }

    [Fact]
    public void APromptGoesOnFromWhereAnotherEndedWithinAPage()
    {
        using var harness = new EngineHarness();
        int[] prompt = EngineHarness.Prompt(75);
        Sequence first = Submit(harness, prompt, 10);
        harness.Finish();
        int[] spoken = [.. prompt, .. EngineHarness.Read(first).Tokens];
        Assert.Equal(84, Run(harness, [.. spoken, .. EngineHarness.Prompt(30, 1)]).CachedTokens); // nobody has computed after the last token
        Assert.Equal(74, Run(harness, prompt).CachedTokens);
        Assert.Equal(74, Run(harness, [.. prompt[..74], 3, 3, 3]).CachedTokens);
    }

    [Fact]
    public void ACopyOfABeginningTakesAPageOfThePoolOrIsLeft()
    {
        using var harness = new EngineHarness(pages: 3);
        int[] prompt = EngineHarness.Prompt(70);
        int[] once = EngineHarness.Read(Run(harness, prompt)).Tokens.ToArray();
        Sequence again = Run(harness, prompt); // three pages hold it, so there is none for a copy
        Assert.Equal(64, again.CachedTokens);
        Assert.Equal(once, EngineHarness.Read(again).Tokens);
    }

    [Fact]
    public void EqualPromptsSubmittedTogetherAreComputedOnce()
    {
        using var harness = new EngineHarness();
        int[] prompt = EngineHarness.Prompt(200);
        Sequence[] sequences = [.. Enumerable.Range(0, 6).Select(i => Submit(harness, prompt, 1))];
        harness.Finish();
        // 200 once, and five times the last token: who computed it is gone, and the rest of its last page is known.
        Assert.Equal(200 + 5, harness.Forward.Rows);
        Assert.Equal([0, 199, 199, 199, 199, 199], sequences.Select(s => s.CachedTokens));
    }

    [Fact]
    public void SamplesForkFromOnePromptAndDifferOnlyByTheirDraws()
    {
        using var harness = new EngineHarness(running: 4);
        var request = new GenerationRequest { Prompt = EngineHarness.Prompt(100), MaxTokens = 20, Samples = 6, IgnoreEos = true, Sampling = Seeded };
        Sequence first = harness.Engine.Submit(request);
        for (int i = 0; i < 3; i++)
            harness.Engine.Step(); // 40 rows a step: the third ends the prompt
        Assert.Equal(100, harness.Forward.Rows);
        Assert.Equal([1, 1, 1, 1, 0, 0], first.Samples.Select(s => s.OutputTokens)); // four places
        Assert.Equal(4, harness.Engine.Pool.References(first.State.Pages[3]));
        harness.Finish();
        var texts = new HashSet<string>();
        for (int i = 0; i < 6; i++)
        {
            Assert.Equal(i, first.Samples[i].SampleIndex);
            Expectation expected = Expectation.Of(request, harness.Table, i, 1000, 64);
            Assert.Equal(expected.Tokens, EngineHarness.Read(first.Samples[i]).Tokens);
            texts.Add(expected.Text);
        }
        Assert.Equal(6, texts.Count);
        Assert.Equal(100, harness.Engine.Statistics.PromptTokens);
    }

    [Fact]
    public void WhenTheSampleThatComputesThePromptIsCancelledAnotherTakesOver()
    {
        using var harness = new EngineHarness();
        var request = new GenerationRequest { Prompt = EngineHarness.Prompt(150), MaxTokens = 4, Samples = 3, IgnoreEos = true, Sampling = Seeded, PromptLogprobs = true };
        Sequence first = harness.Engine.Submit(request);
        for (int i = 0; i < 5; i++)
            harness.Engine.Step(); // 8 logit rows a step
        first.Cancel();
        harness.Finish();
        Assert.Equal(FinishReason.Cancelled, first.FinishReason);
        Assert.Equal(Expectation.Of(request, harness.Table, 2, 100, 64).Tokens, EngineHarness.Read(first.Samples[2]).Tokens);
        Assert.Equal(150, first.Samples[1].PromptLogprobs.Length);
        Assert.DoesNotContain(first.Samples[1].PromptLogprobs[1..].ToArray(), float.IsNaN);
    }

    [Fact]
    public void ASlowConsumerPausesItsOwnSequenceOnly()
    {
        using var harness = new EngineHarness(events: 8, running: 2);
        Sequence slow = Submit(harness, 10, 40), quick = Submit(harness, 12, 40);
        for (int i = 0; i < 60; i++)
        {
            harness.Engine.Step();
            EngineHarness.Read(quick);
        }
        Assert.Equal((40, 8), (quick.OutputTokens, slow.OutputTokens));
        Assert.False(harness.Engine.Step());

        // Reading one event is not worth waking for, half of them is.
        Assert.True(slow.TryRead(out _));
        Assert.False(harness.Engine.Step());
        for (int i = 0; i < 3; i++)
            Assert.True(slow.TryRead(out _));
        Assert.True(harness.Engine.Step());

        // Its place goes to others that wait.
        Sequence third = Submit(harness, 9, 3), fourth = Submit(harness, 9, 3);
        for (int i = 0; i < 12; i++)
            harness.Engine.Step();
        Assert.Equal((3, 3), (third.OutputTokens, fourth.OutputTokens));
        while (slow.FinishReason is null)
        {
            EngineHarness.Read(slow);
            Assert.True(harness.Engine.Step());
        }
        Assert.Equal(40, slow.OutputTokens);
    }

    [Fact]
    public void DecodingGoesOnWhileALongPromptIsComputed()
    {
        var forward = new SimulatedForward(contextLength: 2048, maxBatchRows: 64);
        using var harness = new EngineHarness(forward, pages: 200);
        Sequence decoding = Submit(harness, 5, 100);
        harness.Engine.Step();
        Sequence longPrompt = Submit(harness, 1000, 5), shortPrompt = Submit(harness, EngineHarness.Prompt(40, seed: 8), 5);
        for (int i = 0; i < 6; i++) // 16 rows each, eight of them the short prompt's
        {
            int before = decoding.OutputTokens;
            harness.Engine.Step();
            Assert.Equal(before + 1, decoding.OutputTokens);
        }
        // The rows are shared, so the short prompt is not kept waiting by the long one.
        Assert.True(shortPrompt.OutputTokens > 0);
        Assert.Equal(0, longPrompt.OutputTokens);
        harness.Finish();
        Assert.Equal(5, longPrompt.OutputTokens);
    }

    [Fact]
    public void AForwardThatFailsEndsItsSequencesAndTheEngineGoesOn()
    {
        using var harness = new EngineHarness();
        Sequence doomed = Submit(harness, 10);
        harness.Engine.Step();
        harness.Forward.Before = _ => throw new InvalidOperationException("no more memory");
        harness.Engine.Step();
        harness.Forward.Before = null;
        Assert.Equal(FinishReason.Error, EngineHarness.Read(doomed).Finish);
        Assert.Equal((FaultSide.Bug, "forward_failed"), (doomed.Fault!.Side, doomed.Fault.Code));
        Sequence next = Submit(harness, 10, 4);
        harness.Finish();
        Assert.Equal(FinishReason.Length, next.FinishReason);
        Assert.Equal(64, harness.Engine.Pool.FreePages + harness.Engine.Pool.IdlePages);
    }

    [Fact]
    public void RequestsWithoutASeedDifferAndFollowTheEnginesSeed()
    {
        List<int> RunOnce(out List<int> second)
        {
            using var harness = new EngineHarness();
            Sequence a = Submit(harness, 10, 30, new SamplingOptions()), b = Submit(harness, 10, 30, new SamplingOptions());
            harness.Finish();
            second = EngineHarness.Read(b).Tokens;
            return EngineHarness.Read(a).Tokens;
        }
        List<int> first = RunOnce(out List<int> other);
        Assert.NotEqual(first, other);
        Assert.Equal(first, RunOnce(out _));
    }

    [Fact]
    public void TimesAreTakenFromTheGivenClock()
    {
        using var harness = new EngineHarness(running: 1);
        Submit(harness, 5, 2);
        Sequence second = Submit(harness, 5, 2);
        while (second.FinishReason is null)
        {
            harness.Engine.Step();
            harness.Time.Advance(TimeSpan.FromSeconds(1));
        }
        Assert.Equal((2, 2, 3), (second.QueueTime!.Value.TotalSeconds, second.FirstTokenTime!.Value.TotalSeconds, second.TotalTime!.Value.TotalSeconds));
        EngineStatistics statistics = harness.Engine.Statistics;
        Assert.Equal((2, 2.0), (statistics.QueueTime.Count, statistics.QueueTime.Sum));
        Assert.Equal((2, 2.0), (statistics.FirstTokenTime.Count, statistics.FirstTokenTime.Sum));
        Assert.Equal((4, 4), (statistics.Steps, statistics.OutputTokens));
    }

    private static Sequence Submit(EngineHarness harness, int promptLength, int maxTokens = 100, SamplingOptions? sampling = null) =>
        Submit(harness, EngineHarness.Prompt(promptLength), maxTokens, sampling);

    private static Sequence Submit(EngineHarness harness, int[] prompt, int maxTokens, SamplingOptions? sampling = null) =>
        harness.Engine.Submit(new GenerationRequest { Prompt = prompt, MaxTokens = maxTokens, IgnoreEos = true, Sampling = sampling ?? Seeded });

    private static Sequence Run(EngineHarness harness, int[] prompt, ulong salt = 0)
    {
        Sequence sequence = harness.Engine.Submit(
            new GenerationRequest { Prompt = prompt, MaxTokens = 5, IgnoreEos = true, Sampling = Seeded, CacheSalt = salt });
        harness.Finish();
        return sequence;
    }
}
