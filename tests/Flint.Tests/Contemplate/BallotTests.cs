using Flint.Contemplate;

namespace Flint.Tests.Contemplate;

public sealed class BallotTests
{
    private static readonly ContemplationOptions Weighted = new();

    [Fact]
    public void Sure_votes_weigh_more()
    {
        var ballot = Ballot.Count([Agent(0, "7", -2), Agent(1, "8", -0.1), Agent(2, "7", -1.5)], Weighted);
        Assert.Equal(["8", "7"], ballot.Candidates.Select(c => c.Answer));
        Assert.Equal(Math.Exp(-0.1) / (Math.Exp(-0.1) + Math.Exp(-2) + Math.Exp(-1.5)), ballot.Agreement, 12);
        Assert.Equal((3, 0.75 - 0.0625), (ballot.Voters, ballot.Certainty)); // two votes to one, whatever they weigh
        Assert.Equal((2, 2), (ballot.Candidates[1].Votes, ballot.Candidates[1].Speaker));
        Assert.Equal([0, 2], ballot.Candidates[1].Agents);

        ballot = Ballot.Count([Agent(0, "7", -2), Agent(1, "8", -0.1), Agent(2, "7", -1.5)], ContemplationOptions.Majority(3));
        Assert.Equal((2.0 / 3, "7"), (ballot.Agreement, ballot.Candidates[0].Answer));
    }

    [Fact]
    public void Of_equal_weight_more_votes_then_the_earlier_wins()
    {
        ContemplationOptions plain = ContemplationOptions.Majority(4);
        Assert.Equal("9", Ballot.Count([Agent(0, "9", -1), Agent(1, "8", -1), Agent(2, "8", -1), Agent(3, "9", -1)], plain).Candidates[0].Answer);
        var deep = new ContemplationOptions { ConfidenceTop = 5 };
        var ballot = Ballot.Count([Agent(0, "1", 4), Agent(1, "2", 2), Agent(2, "2", 2)], deep);
        Assert.Equal(("2", 0.5), (ballot.Candidates[0].Answer, ballot.Agreement));
    }

    [Fact]
    public void Only_agents_that_ended_with_an_answer_vote()
    {
        var ballot = Ballot.Count([Agent(0, "7", -1, AgentEnd.Pruned), Agent(1, null, -1), Agent(2, "8", -9), Agent(3, "7", -1, AgentEnd.Length)], Weighted);
        Assert.Equal((1, "8", 1.0), (ballot.Voters, ballot.Candidates[0].Answer, ballot.Agreement));
        ballot = Ballot.Count([Agent(0, null, 0)], Weighted);
        Assert.Equal((0, 0, 0.0, 0.0), (ballot.Candidates.Count, ballot.Voters, ballot.Agreement, ballot.Certainty));
        // Weights too small for a number leave a plain count.
        ballot = Ballot.Count([Agent(0, "7", -900), Agent(1, "7", -900), Agent(2, "8", -900)], Weighted);
        Assert.Equal((2.0 / 3, "7"), (ballot.Agreement, ballot.Candidates[0].Answer));
    }

    [Fact]
    public void Calibrations_rise_and_pool_what_falls()
    {
        var fit = Calibration.Fit([(0.2, false), (0.4, true), (0.4, true), (0.6, false), (0.6, false), (0.9, true), (0.9, true), (0.9, true)]);
        // 0.4 (2 of 2) and 0.6 (0 of 2) violate the order: pooled to 2 of 4. Each block is shrunk by one right and one wrong more.
        Assert.Equal([new(0.2, 1.0 / 3), new(0.4, 0.5), new(0.6, 0.5), new(0.9, 4.0 / 5)], fit.Points);
        foreach ((double score, double confidence) in ((double, double)[])[(0, 1.0 / 3), (0.2, 1.0 / 3), (0.5, 0.5), (0.75, 0.65), (0.9, 0.8), (1, 0.8)])
            Assert.Equal(confidence, fit.Apply(score), 12);

        var random = new Random(1);
        var drawn = Enumerable.Range(0, 20_000).Select(_ => random.NextDouble()).Select(s => (Score: s, Right: random.NextDouble() < s * s)).ToList();
        var learnt = Calibration.Fit(drawn.Take(10_000));
        Assert.InRange(learnt.Points.Count, 3, Calibration.MaxPoints);
        List<(double, bool)> raw = [.. drawn.Skip(10_000)], mapped = [.. drawn.Skip(10_000).Select(d => (learnt.Apply(d.Score), d.Right))];
        Assert.InRange(Calibration.Error(raw), 0.12, 0.22); // E|s - s²| = 1/6
        Assert.InRange(Calibration.Error(mapped), 0, 0.03);
    }

    [Fact]
    public void Calibration_error_is_the_bins_mean_distance()
    {
        Assert.Equal(0, Calibration.Error([]));
        Assert.Equal(1.5 / 4, Calibration.Error([(0.5, true), (1, false), (1, true), (1, false)], bins: 2), 12); // all in one bin
        Assert.Equal((0.25 + 1) / 4, Calibration.Error([(0.25, false), (1, false), (1, true), (1, true)], bins: 2), 12);
    }

    [Theory]
    [InlineData(new double[] { })]
    [InlineData(new[] { 0.5, 1.5 })]
    [InlineData(new[] { 0.5, 0.5, 0.5, 0.6 })]
    [InlineData(new[] { 0.5, 0.5, 0.6, 0.4 })]
    [InlineData(new[] { double.NaN, 0.5 })]
    public void A_map_that_does_not_rise_is_refused(double[] pairs) =>
        Assert.Equal("invalid_calibration", Assert.Throws<FlintException>(() => new Calibration([.. pairs.Chunk(2).Select(p => new CalibrationPoint(p[0], p[1]))])).Code);

    private static AgentTrace Agent(int index, string? answer, double confidence, AgentEnd end = AgentEnd.Finished) => new()
    {
        Plan = new AgentPlan(index, AgentStage.Explore, 0, [], 0, 1, 10, null, null),
        End = end, Reasoning = "", Content = answer ?? "", Kind = answer is null ? null : AnswerKind.Number, Answer = answer,
        Tokens = [], OutputTokens = 5, Windows = [], Confidence = confidence,
    };
}
