using Flint.Engine;

namespace Flint.Tests.Engine;

/// <summary>The sampler written down plainly: dictionaries, sorting, doubles.</summary>
internal static class SlowSampler
{
    /// <summary>The tokens left after all filters, with their probabilities.</summary>
    public static SortedDictionary<int, double> Distribution(
        float[] logits, SamplingOptions options, int[] tokens, int promptLength)
    {
        float[] row = Adjusted(logits, options, tokens, promptLength);
        int best = Enumerable.Range(0, row.Length).MaxBy(i => row[i]);
        if (options.Temperature == 0)
            return new SortedDictionary<int, double> { [best] = 1 };

        float scale = 1 / options.Temperature;
        List<(int Id, float Key)> left = [.. row.Select((l, id) => (id, (l - row[best]) * scale))
            .OrderByDescending(c => c.Item2).ThenBy(c => c.id)];
        if (options.TopK > 0)
            left = [.. left.Take(options.TopK)];
        if (options.TopP < 1)
            left = Until(left, options.TopP);
        if (options.MinP > 0)
            left = [.. left.Where(c => Weight(c.Key) >= options.MinP)];
        if (options.TypicalP < 1)
        {
            double total = left.Sum(c => Weight(c.Key));
            double entropy = -left.Sum(c => Weight(c.Key) > 0 ? Weight(c.Key) / total * Math.Log(Weight(c.Key) / total) : 0);
            left = Until([.. left.OrderBy(c => (float)Math.Abs(-(c.Key - Math.Log(total)) - entropy)).ThenBy(c => c.Id)], options.TypicalP);
        }
        double sum = left.Sum(c => Weight(c.Key));
        return new SortedDictionary<int, double>(left.ToDictionary(c => c.Id, c => Weight(c.Key) / sum));
    }

    public static float[] Adjusted(float[] logits, SamplingOptions options, int[] tokens, int promptLength)
    {
        float[] row = [.. logits];
        int skipped = options.PenaltyWindow == 0 ? 0 : Math.Max(0, tokens.Length - options.PenaltyWindow);
        foreach (int token in tokens.Skip(skipped).Distinct())
        {
            row[token] = row[token] > 0 ? row[token] / options.RepetitionPenalty : row[token] * options.RepetitionPenalty;
            int generated = tokens.Where((t, i) => t == token && i >= promptLength && i >= skipped).Count();
            if (generated > 0)
                row[token] -= generated * options.FrequencyPenalty + options.PresencePenalty;
        }
        foreach ((int token, float bias) in options.LogitBias ?? [])
            row[token] += bias;
        return row;
    }

    private static double Weight(float key) => Math.Exp(key);

    private static List<(int Id, float Key)> Until(List<(int Id, float Key)> ordered, double mass)
    {
        double total = ordered.Sum(c => Weight(c.Key));
        double sum = 0;
        var kept = new List<(int, float)>();
        foreach ((int Id, float Key) candidate in ordered)
        {
            kept.Add(candidate);
            sum += Weight(candidate.Key);
            if (sum >= mass * total)
                break;
        }
        return kept;
    }
}
