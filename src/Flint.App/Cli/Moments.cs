using System.Globalization;
using System.Text.RegularExpressions;

namespace Flint.App.Cli;

/// <summary>Spans of time and moments as options take them.</summary>
internal static partial class Moments
{
    /// <summary>Reads a span: <c>90m</c>, <c>24h</c>, <c>7d</c>.</summary>
    /// <returns>Null where the text is none.</returns>
    internal static TimeSpan? Span(string text)
    {
        if (Pattern().Match(text) is not { Success: true } match)
            return null;
        double count = int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
        return match.Groups[2].ValueSpan[0] switch { 's' => TimeSpan.FromSeconds(count), 'm' => TimeSpan.FromMinutes(count), 'h' => TimeSpan.FromHours(count), _ => TimeSpan.FromDays(count) };
    }

    /// <summary>Reads a date.</summary>
    /// <returns>Unix milliseconds; null where the text is none.</returns>
    internal static long? Date(string text) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeLocal, out DateTimeOffset date) ? date.ToUnixTimeMilliseconds() : null;

    /// <summary>Reads a span back from now, or a date, to Unix milliseconds.</summary>
    /// <exception cref="FlintException">It is neither.</exception>
    internal static long Since(string text, DateTimeOffset now) =>
        (Span(text) is { } span ? (now - span).ToUnixTimeMilliseconds() : Date(text))
        ?? throw FlintException.Caller("invalid_since", $"--since takes a span such as 90m, 24h or 7d, or a date such as 2026-11-20, not '{text}'.");

    /// <summary>Reads a span on from now, or a date, to Unix milliseconds.</summary>
    /// <exception cref="FlintException">It is neither.</exception>
    internal static long Until(string option, string text, DateTimeOffset now) =>
        (Span(text) is { } span ? (now + span).ToUnixTimeMilliseconds() : Date(text))
        ?? throw FlintException.Caller("invalid_moment", $"{option} takes a span such as 12h or 90d, or a date such as 2027-01-31, not '{text}'.");

    [GeneratedRegex("^([0-9]{1,6})([smhd])$")]
    private static partial Regex Pattern();
}
