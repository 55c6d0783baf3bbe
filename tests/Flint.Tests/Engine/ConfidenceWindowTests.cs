using Flint.Engine;
using Flint.Tests.Simulation;

namespace Flint.Tests.Engine;

public sealed class ConfidenceWindowTests
{
    [Fact]
    public void The_window_slides_and_remembers_its_lowest_mean()
    {
        var window = new ConfidenceWindow(3);
        Assert.True(double.IsNaN(window.Lowest));
        var seen = new List<(double Current, double Lowest)>();
        foreach (float value in (float[])[-6, -1, -2, -3, -1, -8, 0])
        {
            window.Add(value);
            seen.Add((window.Current, window.Lowest));
        }
        // Before the first window is full there is only the mean of what there is.
        Assert.Equal([(-6, -6), (-3.5, -3.5), (-3, -3), (-2, -3), (-2, -3), (-4, -4), (-3, -4)], seen);
        Assert.Throws<FlintException>(() => new ConfidenceWindow(0));
        Assert.Throws<FlintException>(() => new ConfidenceWindow(ConfidenceWindow.MaxTokens + 1));
    }

    [Fact]
    public void A_token_is_judged_by_itself_or_by_the_likeliest()
    {
        var token = new TokenEvent { Logprob = -2, Top = [new(1, -0.5f), new(2, -1.5f), new(3, -4)] };
        Assert.Equal(-2, ConfidenceWindow.Of(token, 0));
        Assert.Equal(1, ConfidenceWindow.Of(token, 2));
        Assert.Equal(2, ConfidenceWindow.Of(token, 20));
        Assert.Equal(-1000, ConfidenceWindow.Of(new TokenEvent { Logprob = float.NegativeInfinity }, 0));
        Assert.Equal(-1000, ConfidenceWindow.Of(new TokenEvent { Logprob = float.NaN }, 0));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public void A_sequence_ends_with_the_token_that_takes_it_below_its_floor(int top)
    {
        using var harness = new EngineHarness(events: 256);
        GenerationRequest Request(ConfidenceFloor? floor) => new()
        {
            Prompt = EngineHarness.Prompt(20), MaxTokens = 200, IgnoreEos = true, TopLogprobs = top, Floor = floor, Sampling = new SamplingOptions { Seed = 3 },
        };
        Sequence free = harness.Engine.Submit(Request(null));
        harness.Finish();
        var window = new ConfidenceWindow(5);
        var means = new List<double>();
        var tokens = new List<int>();
        while (free.TryRead(out TokenEvent next))
        {
            if (next.Kind != TokenEventKind.Token)
                continue;
            window.Add(ConfidenceWindow.Of(next, top));
            means.Add(window.Current);
            tokens.Add(next.Token);
        }
        double floor = means.Skip(4).Order().ElementAt(5);
        int cut = means.FindIndex(4, mean => mean < floor);
        Assert.InRange(cut, 5, 195);

        Sequence kept = harness.Engine.Submit(Request(new ConfidenceFloor(5, top, floor)));
        harness.Finish();
        (List<int> written, _, FinishReason? finish) = EngineHarness.Read(kept);
        Assert.Equal(FinishReason.LowConfidence, finish);
        Assert.Equal(tokens.Take(cut + 1), written);
        Assert.Equal(cut + 1, kept.OutputTokens);
        Assert.Equal(0, harness.Engine.Statistics.Running);
        PageAudit.Check(harness.Engine, [kept]);
    }

    [Fact]
    public void A_floor_is_checked_with_the_request()
    {
        using var harness = new EngineHarness();
        foreach ((ConfidenceFloor floor, int tops) in ((ConfidenceFloor, int)[])
            [(new(0, 0, -1), 0), (new(ConfidenceWindow.MaxTokens + 1, 0, -1), 0), (new(4, 0, double.NaN), 0), (new(4, 3, -1), 2), (new(4, 0, -1), -1)])
        {
            var request = new GenerationRequest { Prompt = [8], Floor = floor, TopLogprobs = tops };
            Assert.Equal("invalid_value", Assert.Throws<FlintException>(() => harness.Engine.Submit(request)).Code);
        }
    }
}
