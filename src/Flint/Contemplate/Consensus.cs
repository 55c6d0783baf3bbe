namespace Flint.Contemplate;

/// <summary>When enough agents have spoken, and which confidence is worth going on with.</summary>
public static class Consensus
{
    /// <summary>
    /// The probability that the leading answer stays ahead of the runner-up however many more agents speak: of those that choose one
    /// of the two, a share p chooses the leader, and with nothing known of p before, P(p &gt; 1/2) given the votes is that of a
    /// Beta(first + 1, second + 1) distribution. This is the stopping rule of adaptive consistency with two candidates (Aggarwal et
    /// al. 2023, arXiv:2305.11860), summed exactly: P = Σ C(n, j) / 2ⁿ over j ≤ first, n = first + second + 1.
    /// </summary>
    /// <param name="first">Votes for the leader, at least as many as <paramref name="second"/>.</param>
    /// <param name="second">Votes for the runner-up, at least 0.</param>
    public static double Certainty(int first, int second)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(second);
        ArgumentOutOfRangeException.ThrowIfLessThan(first, second);
        int n = first + second + 1;
        double term = Math.ScaleB(1, -n); // C(n, 0) / 2ⁿ
        double sum = term;
        for (int j = 1; j <= first; j++)
        {
            term = term * (n - j + 1) / j;
            sum += term;
        }
        return sum;
    }

    /// <summary>A percentile, interpolated between the values around it.</summary>
    /// <param name="values">At least one, in any order.</param>
    /// <param name="percent">0 for the least value to 100 for the greatest.</param>
    public static double Percentile(IEnumerable<double> values, double percent)
    {
        double[] sorted = [.. values.Order()];
        if (sorted.Length == 0)
            throw new ArgumentException("A percentile is of at least one value.", nameof(values));
        double at = percent / 100 * (sorted.Length - 1);
        int below = (int)Math.Floor(at);
        return below + 1 < sorted.Length ? sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
