using Flint.Contemplate;

namespace Flint.Tests.Contemplate;

public sealed class ConsensusTests
{
    [Theory]
    [InlineData(0, 0, 0.5)]
    [InlineData(1, 0, 0.75)]
    [InlineData(2, 2, 0.5)]
    [InlineData(3, 0, 15.0 / 16)]
    [InlineData(4, 0, 31.0 / 32)]
    [InlineData(3, 1, 26.0 / 32)]
    [InlineData(5, 1, 120.0 / 128)]
    [InlineData(7, 1, 502.0 / 512)]
    [InlineData(6, 2, 466.0 / 512)]
    public void Certainty_is_the_Beta_distributions_upper_half(int first, int second, double expected) =>
        Assert.Equal(expected, Consensus.Certainty(first, second), 14);

    [Fact]
    public void Certainty_agrees_with_the_integral_of_the_density()
    {
        foreach ((int first, int second) in ((int, int)[])[(9, 4), (20, 12), (40, 24), (64, 0)])
        {
            const int steps = 200_000;
            double upper = 0, all = 0;
            for (int i = 0; i < steps; i++)
            {
                double p = (i + 0.5) / steps, density = Math.Exp(first * Math.Log(2 * p) + second * Math.Log(2 * (1 - p)));
                all += density;
                if (p > 0.5) upper += density;
            }
            Assert.Equal(upper / all, Consensus.Certainty(first, second), 6);
        }
    }

    [Fact]
    public void Certainty_grows_with_the_lead()
    {
        for (int n = 1; n <= 40; n++)
            for (int first = (n + 1) / 2 + 1; first <= n; first++)
                Assert.True(Consensus.Certainty(first, n - first) > Consensus.Certainty(first - 1, n - first + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Consensus.Certainty(1, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => Consensus.Certainty(1, -1));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(100, 9)]
    [InlineData(50, 4)]
    [InlineData(10, 1.8)]
    [InlineData(75, 6)]
    public void Percentiles_lie_between_the_values(double percent, double expected) =>
        Assert.Equal(expected, Consensus.Percentile([4, 9, 1, 6, 3], percent), 12);

    [Fact]
    public void Budgets_are_reserved_and_settled()
    {
        var budget = new TokenBudget(100);
        Assert.Equal((60, 40, 0), (budget.Reserve(60), budget.Reserve(60), budget.Reserve(60)));
        budget.Settle(60, 25, discarded: false);
        Assert.Equal((25, 0, 35), (budget.Spent, budget.Discarded, budget.Left));
        budget.Settle(40, 40, discarded: true);
        Assert.Equal((65, 40, 35), (budget.Spent, budget.Discarded, budget.Left));
        Assert.Equal(35, budget.Reserve(36));
        Assert.Throws<FlintException>(() => budget.Settle(35, 36, discarded: false));
        Assert.Throws<FlintException>(() => budget.Settle(36, 1, discarded: false));
        Assert.Throws<ArgumentOutOfRangeException>(() => new TokenBudget(0));
    }
}
