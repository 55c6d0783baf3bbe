using Flint.Engine;

namespace Flint.Tests.Engine;

public sealed class SelectionTests
{
    [Theory]
    [InlineData(1, 60, 12, 2000)]
    [InlineData(200, 900, 12, 200)]
    [InlineData(257, 900, 100_000, 200)]
    [InlineData(257, 900, 1, 20)]
    public void TheBoundaryIsWhereASortedSumReachesTheTarget(int fewest, int most, int distinct, int rounds)
    {
        var random = new Random(5);
        for (int round = 0; round < rounds; round++)
        {
            int n = random.Next(fewest, most);
            // Weights are multiples of 1/8, so that sums are exact in any order; keys are shared where few are distinct.
            float[] keys = [.. Enumerable.Range(0, n).Select(_ => (float)random.Next(distinct))];
            float[] weights = [.. Enumerable.Range(0, n).Select(_ => random.Next(9) / 8f)];
            double target = random.Next(-1, 8 * n) / 8.0;
            int[] order = [.. Enumerable.Range(0, n).OrderByDescending(i => keys[i]).ThenBy(i => i)];
            double sum = 0;
            int expected = order[^1];
            foreach (int i in order)
            {
                sum += weights[i];
                if (sum >= target)
                {
                    expected = i;
                    break;
                }
            }
            Assert.Equal(expected, Selection.Boundary(keys, weights, target, new int[n]));
        }
    }

    [Fact]
    public void KeysWithoutWeightAtNegativeInfinityComeLast()
    {
        float[] keys = [.. Enumerable.Range(0, 600).Select(i => i % 2 == 0 ? float.NegativeInfinity : -i)];
        float[] weights = [.. Enumerable.Range(0, 600).Select(i => i % 2 == 0 ? 0f : 1f)];
        Assert.Equal(19, Selection.Boundary(keys, weights, 10, new int[600]));
        Assert.Equal(599, Selection.Boundary(keys, weights, 300, new int[600]));
    }

    [Fact]
    public void TheBoundOnLogitsLeavesNobodyOutThatIsNeeded()
    {
        var random = new Random(6);
        for (int round = 0; round < 300; round++)
        {
            float[] logits = [.. Enumerable.Range(0, random.Next(1, 500)).Select(_ => (float)(random.NextDouble() * 30 - 10))];
            float scale = (float)(0.2 + random.NextDouble() * 3);
            float max = logits.Max();
            float[] weights = [.. logits.Select(l => Reductions.ExpNegative((l - max) * scale))];
            double target = random.NextDouble() * 0.99 * weights.Sum(w => (double)w);
            float bound = Selection.Bound(logits, max, scale, weights, 20, target);
            double sum = 0;
            foreach (int i in Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).TakeWhile(_ => sum < target))
            {
                Assert.True(logits[i] >= bound);
                sum += weights[i];
            }
        }
    }
}
