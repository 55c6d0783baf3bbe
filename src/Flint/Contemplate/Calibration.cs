namespace Flint.Contemplate;

/// <summary>A corner of a calibration: at this score, answers were right this often.</summary>
/// <param name="Score">From 0 to 1.</param>
/// <param name="Confidence">From 0 to 1.</param>
public readonly record struct CalibrationPoint(double Score, double Confidence);

/// <summary>
/// What an agreement is worth: a rising map from scores to the share of answers that were right, fitted by isotonic regression
/// (pool adjacent violators, Ayer et al. 1955): constant over the scores pooled together, linear between these.
/// </summary>
public sealed class Calibration
{
    /// <summary>The most corners.</summary>
    public const int MaxPoints = 1024;

    // Blocks are shrunk towards one right and one wrong answer more (Laplace), so that none claims certainty from few.
    private const double PriorRight = 1, PriorAll = 2;

    /// <summary>A map through corners.</summary>
    /// <param name="points">At least one, scores rising, confidences not falling, all from 0 to 1.</param>
    /// <exception cref="FlintException">Caller: they are not so.</exception>
    public Calibration(IReadOnlyList<CalibrationPoint> points)
    {
        if (points.Count is < 1 or > MaxPoints)
            throw FlintException.Caller("invalid_calibration", $"A calibration has 1 to {MaxPoints} points; found {points.Count}.");
        for (int i = 0; i < points.Count; i++)
        {
            CalibrationPoint p = points[i];
            if (!(p.Score is >= 0 and <= 1 && p.Confidence is >= 0 and <= 1))
                throw FlintException.Caller("invalid_calibration", $"Scores and confidences are from 0 to 1; found {p.Score} and {p.Confidence} at point {i}.");
            if (i > 0 && !(p.Score > points[i - 1].Score && p.Confidence >= points[i - 1].Confidence))
                throw FlintException.Caller("invalid_calibration", $"Scores rise and confidences do not fall; found otherwise at point {i}.");
        }
        Points = points;
    }

    /// <summary>The corners.</summary>
    public IReadOnlyList<CalibrationPoint> Points { get; }

    /// <summary>Fits a map to answers and whether they were right.</summary>
    /// <param name="results">At least one; scores from 0 to 1.</param>
    public static Calibration Fit(IEnumerable<(double Score, bool Right)> results)
    {
        var blocks = new List<Block>();
        foreach (var group in results.GroupBy(r => r.Score).OrderBy(g => g.Key))
        {
            blocks.Add(new Block(group.Key, group.Key, group.Count(r => r.Right), group.Count()));
            while (blocks.Count > 1 && blocks[^2].Share >= blocks[^1].Share)
                Join(blocks, blocks.Count - 1);
        }
        if (blocks.Count == 0)
            throw FlintException.Caller("invalid_calibration", "A calibration is fitted to at least one answer.");
        while (blocks.Count > MaxPoints / 2) // the lightest joins its neighbour; what rises goes on rising
            Join(blocks, Enumerable.Range(1, blocks.Count - 1).MinBy(i => blocks[i].Count));
        var points = new List<CalibrationPoint>();
        foreach (Block block in blocks)
        {
            double confidence = (block.Right + PriorRight) / (block.Count + PriorAll);
            // Shrinking moves light blocks more than heavy ones, which may turn the order of neighbours.
            if (points.Count > 0)
                confidence = Math.Max(confidence, points[^1].Confidence);
            points.Add(new CalibrationPoint(block.Least, confidence));
            if (block.Most > block.Least)
                points.Add(new CalibrationPoint(block.Most, confidence));
        }
        return new Calibration(points);
    }

    /// <summary>The share of answers of this score that is right.</summary>
    public double Apply(double score)
    {
        if (score <= Points[0].Score)
            return Points[0].Confidence;
        for (int i = 1; i < Points.Count; i++)
        {
            (CalibrationPoint a, CalibrationPoint b) = (Points[i - 1], Points[i]);
            if (score <= b.Score)
                return a.Confidence + (score - a.Score) / (b.Score - a.Score) * (b.Confidence - a.Confidence);
        }
        return Points[^1].Confidence;
    }

    /// <summary>
    /// The expected calibration error (Naeini et al. 2015): answers in bins of equal width by confidence, the mean distance between
    /// a bin's mean confidence and its share of right answers, weighted by its size.
    /// </summary>
    /// <param name="results">Confidences from 0 to 1, and whether the answer was right; 0 for none.</param>
    /// <param name="bins">At least 1.</param>
    public static double Error(IReadOnlyCollection<(double Confidence, bool Right)> results, int bins = 10)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bins, 1);
        double error = 0;
        foreach (var bin in results.GroupBy(r => Math.Min((int)(r.Confidence * bins), bins - 1)))
            error += Math.Abs(bin.Sum(r => r.Confidence) - bin.Count(r => r.Right));
        return results.Count == 0 ? 0 : error / results.Count;
    }

    private static void Join(List<Block> blocks, int at)
    {
        (Block a, Block b) = (blocks[at - 1], blocks[at]);
        blocks[at - 1] = new Block(a.Least, b.Most, a.Right + b.Right, a.Count + b.Count);
        blocks.RemoveAt(at);
    }

    /// <summary>Scores that share one confidence.</summary>
    private readonly record struct Block(double Least, double Most, double Right, double Count)
    {
        public double Share => Right / Count;
    }
}
