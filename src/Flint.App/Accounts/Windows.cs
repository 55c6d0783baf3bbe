namespace Flint.App.Accounts;

/// <summary>The minute, the day and the month (of UTC) that a request counts in, by their starts in Unix milliseconds.</summary>
/// <param name="Minute">Start of the minute.</param>
/// <param name="Day">Start of the day.</param>
/// <param name="Month">Start of the month.</param>
public readonly record struct Windows(long Minute, long Day, long Month)
{
    private const long MinuteLength = 60_000;
    private const long DayLength = 86_400_000;

    /// <summary>The windows of a moment.</summary>
    public static Windows At(long now)
    {
        DateTimeOffset date = DateTimeOffset.FromUnixTimeMilliseconds(now);
        return new Windows(now - now % MinuteLength, now - now % DayLength, new DateTimeOffset(date.Year, date.Month, 1, 0, 0, 0, TimeSpan.Zero).ToUnixTimeMilliseconds());
    }

    /// <summary>The later of each: a clock that was set back opens no window that has ended.</summary>
    public Windows Max(Windows other) => new(Math.Max(Minute, other.Minute), Math.Max(Day, other.Day), Math.Max(Month, other.Month));

    /// <summary>When the minute ends.</summary>
    public long MinuteEnd => Minute + MinuteLength;

    /// <summary>When the day ends.</summary>
    public long DayEnd => Day + DayLength;

    /// <summary>When the month ends.</summary>
    public long MonthEnd => DateTimeOffset.FromUnixTimeMilliseconds(Month).AddMonths(1).ToUnixTimeMilliseconds();
}
