namespace Flint.Engine;

/// <summary>Counts durations in fixed buckets. One thread records; any thread reads.</summary>
public sealed class Histogram
{
    private static readonly double[] Seconds =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250];

    private readonly long[] _counts = new long[Seconds.Length + 1];
    private double _sum;

    /// <summary>Upper bounds of the buckets in seconds, ascending; one more bucket, without a bound, follows.</summary>
    public static ReadOnlySpan<double> Bounds => Seconds;

    /// <summary>The sum of all durations in seconds.</summary>
    public double Sum => Volatile.Read(ref _sum);

    /// <summary>How many durations were recorded.</summary>
    public long Count
    {
        get
        {
            long count = 0;
            for (int i = 0; i < _counts.Length; i++)
                count += Volatile.Read(ref _counts[i]);
            return count;
        }
    }

    /// <summary>How many durations fell in a bucket: above the bound before its own, at most its own.</summary>
    public long CountIn(int bucket) => Volatile.Read(ref _counts[bucket]);

    internal void Record(TimeSpan duration)
    {
        double seconds = duration.TotalSeconds;
        int bucket = 0;
        while (bucket < Seconds.Length && seconds > Seconds[bucket])
            bucket++;
        Volatile.Write(ref _counts[bucket], _counts[bucket] + 1);
        Volatile.Write(ref _sum, _sum + seconds);
    }
}
