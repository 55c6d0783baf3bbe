namespace Flint.App.Upstreams;

/// <summary>What can go wrong with an upstream, in words for the caller: they name the model, and neither a target nor where it is.</summary>
internal static class UpstreamFault
{
    /// <summary>None could be reached, or none would answer now.</summary>
    public const string UnavailableCode = "upstream_unavailable";

    /// <summary>It took too long.</summary>
    public const string TimeoutCode = "upstream_timeout";

    /// <summary>It answered with a failure, or with what is no answer.</summary>
    public const string FailedCode = "upstream_failed";

    /// <summary>It refused what the caller asked for.</summary>
    public const string RefusedCode = "upstream_refused";

    /// <summary>All of a model's targets have as many requests as they may.</summary>
    public const string BusyCode = "upstream_busy";

    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(1);

    /// <summary>It cannot be reached.</summary>
    public static FlintException Unavailable(string model, Exception? inner = null, TimeSpan? retryAfter = null) =>
        new(FaultSide.Machine, UnavailableCode, $"No upstream of the model '{model}' is available now.", inner) { RetryAfter = retryAfter };

    /// <summary>It took too long.</summary>
    public static FlintException TimedOut(string model) =>
        new(FaultSide.Machine, TimeoutCode, $"The upstream of the model '{model}' did not answer in time.");

    /// <summary>It failed.</summary>
    /// <param name="model">The model.</param>
    /// <param name="what">What it did.</param>
    /// <param name="inner">The cause.</param>
    public static FlintException Failed(string model, string what, Exception? inner = null) =>
        new(FaultSide.Machine, FailedCode, $"The upstream of the model '{model}' {what}.", inner);

    /// <summary>The request was wrong to it.</summary>
    public static FlintException Refused(string why) =>
        FlintException.Caller(RefusedCode, $"The upstream refused the request: {why}");

    /// <summary>There is no room.</summary>
    public static FlintException Busy(string model) =>
        new(FaultSide.Limit, BusyCode, $"All upstreams of the model '{model}' have as many requests as they may. Please try again in a moment.") { RetryAfter = Soon };
}
