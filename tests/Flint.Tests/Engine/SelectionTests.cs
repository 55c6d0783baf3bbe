using Flint.Engine;

namespace Flint.Tests.Engine;

public sealed class SelectionTests
{
    [Fact]
    public void TheBoundaryIsWhereASortedSumReachesTheTarget()
    {
        var random = new Random(5);
        for (int round = 0; round < 3000; round++)
        {
            int n = random.Next(1, 60);
            // Weights are multiples of 1/8, so that sums are exact in any order and equal keys are common.
            float[] keys = [.. Enumerable.Range(0, n).Select(_ => (float)random.Next(12))];
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
}
