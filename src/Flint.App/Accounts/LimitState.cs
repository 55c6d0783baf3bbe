namespace Flint.App.Accounts;

/// <summary>A limit of an owner, and how far it is used.</summary>
/// <param name="Name">Its name, such as <c>daily_tokens</c>.</param>
/// <param name="Limit">The most; null where there is none.</param>
/// <param name="Used">What requests that have ended used; null of a weight, which is not used up.</param>
/// <param name="Reserved">What is set aside for those under way; null where that is.</param>
/// <param name="IsMoney">Whether amounts are millionths of the unit of money.</param>
internal sealed record LimitState(string Name, long? Limit, long? Used, long? Reserved, bool IsMoney = false)
{
    /// <summary>All limits of an owner.</summary>
    public static LimitState[] Of(Store store, Owner owner)
    {
        Limits limits = Limits.Of(store, owner);
        Spending[] spent = Spending.Of(store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
        (Spending now, Spending minute, Spending day, Spending month) = (spent[0], spent[1], spent[2], spent[3]);
        return
        [
            new("requests_per_minute", limits.RequestsPerMinute, minute.Requests, 0),
            new("tokens_per_minute", limits.TokensPerMinute, minute.SettledTokens, minute.ReservedTokens),
            new("concurrent_requests", limits.ConcurrentRequests, now.Requests, 0),
            new("daily_tokens", limits.DailyTokens, day.SettledTokens, day.ReservedTokens),
            new("monthly_tokens", limits.MonthlyTokens, month.SettledTokens, month.ReservedTokens),
            new("daily_cost", limits.DailyCost, day.SettledCost, day.ReservedCost, IsMoney: true),
            new("monthly_cost", limits.MonthlyCost, month.SettledCost, month.ReservedCost, IsMoney: true),
            new("weight", limits.Weight, null, null),
        ];
    }

    /// <summary>An amount of its kind; a dash for none.</summary>
    public string Text(long? amount) => amount is not long some ? "-" : IsMoney ? Money.Text(some) : some.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
