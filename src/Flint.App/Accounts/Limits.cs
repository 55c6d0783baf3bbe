using System.Data.Common;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>What an owner may use at most; null where there is no limit. Money is in millionths.</summary>
public sealed record Limits
{
    /// <summary>The largest limit.</summary>
    public const long Largest = 1_000_000_000_000_000;

    private const string Columns = """
        requests_per_minute AS RequestsPerMinute, tokens_per_minute AS TokensPerMinute, concurrent_requests AS ConcurrentRequests,
        daily_tokens AS DailyTokens, monthly_tokens AS MonthlyTokens, daily_cost AS DailyCost, monthly_cost AS MonthlyCost, weight AS Weight
        """;

    private const string SomeOwners = $"SELECT owner, {Columns} FROM limits WHERE owner IN ($1, $2, $3)";

    /// <summary>Requests begun in a minute of the clock.</summary>
    public long? RequestsPerMinute { get; init; }

    /// <summary>Tokens of requests begun in a minute of the clock.</summary>
    public long? TokensPerMinute { get; init; }

    /// <summary>Requests under way.</summary>
    public long? ConcurrentRequests { get; init; }

    /// <summary>Tokens of requests begun in a day of UTC.</summary>
    public long? DailyTokens { get; init; }

    /// <summary>Tokens of requests begun in a month of UTC.</summary>
    public long? MonthlyTokens { get; init; }

    /// <summary>Money for requests begun in a day of UTC.</summary>
    public long? DailyCost { get; init; }

    /// <summary>Money for requests begun in a month of UTC.</summary>
    public long? MonthlyCost { get; init; }

    /// <summary>The share of an engine that a key has beside others that wait for it; of a project or an organisation, that of its keys that have none.</summary>
    public long? Weight { get; init; }

    /// <summary>The largest weight.</summary>
    public const int MaxWeight = 1000;

    /// <summary>The limits of an owner.</summary>
    public static Limits Of(Store store, Owner owner)
    {
        using DbConnection connection = store.Open();
        return connection.QueryFirstOrDefault<Limits>($"SELECT {Columns} FROM limits WHERE owner = @owner", new { owner = owner.ToString() }) ?? new Limits();
    }

    /// <summary>Sets the limits of an owner, in running servers too.</summary>
    /// <exception cref="FlintException">Caller: one is below 0 or above <see cref="Largest"/>.</exception>
    public static void Set(Store store, Owner owner, Limits limits)
    {
        foreach (long? limit in (long?[])[limits.RequestsPerMinute, limits.TokensPerMinute, limits.ConcurrentRequests, limits.DailyTokens, limits.MonthlyTokens, limits.DailyCost, limits.MonthlyCost])
        {
            if (limit is < 0 or > Largest)
                throw FlintException.Caller("invalid_limit", $"A limit is 0 to {Largest}, not {limit}.");
        }

        if (limits.Weight is < 1 or > MaxWeight)
            throw FlintException.Caller("invalid_limit", $"A weight is 1 to {MaxWeight}, not {limits.Weight}.");

        var values = new DynamicParameters(limits);
        values.Add("owner", owner.ToString());
        using DbConnection connection = store.Open();
        connection.Execute(
            """
            INSERT INTO limits (owner, requests_per_minute, tokens_per_minute, concurrent_requests, daily_tokens, monthly_tokens, daily_cost, monthly_cost, weight)
            VALUES (@owner, @RequestsPerMinute, @TokensPerMinute, @ConcurrentRequests, @DailyTokens, @MonthlyTokens, @DailyCost, @MonthlyCost, @Weight)
            ON CONFLICT (owner) DO UPDATE SET requests_per_minute = excluded.requests_per_minute, tokens_per_minute = excluded.tokens_per_minute,
                concurrent_requests = excluded.concurrent_requests, daily_tokens = excluded.daily_tokens, monthly_tokens = excluded.monthly_tokens,
                daily_cost = excluded.daily_cost, monthly_cost = excluded.monthly_cost, weight = excluded.weight
            """, values);
    }

    /// <summary>The limits of some owners that have any.</summary>
    internal static Dictionary<string, Limits> Of(Statements store, string[] owners) =>
        store.Query(SomeOwners, static row => (Owner: row.GetString(0), Limits: new Limits
        {
            RequestsPerMinute = Read(row, 1), TokensPerMinute = Read(row, 2), ConcurrentRequests = Read(row, 3), DailyTokens = Read(row, 4),
            MonthlyTokens = Read(row, 5), DailyCost = Read(row, 6), MonthlyCost = Read(row, 7), Weight = Read(row, 8),
        }), owners[0], owners[1], owners[2]).ToDictionary(row => row.Owner, row => row.Limits);

    /// <summary>The weight of a key: its own, else its project's, else its organisation's, else 1.</summary>
    /// <param name="limits">Those of its owners that have any.</param>
    /// <param name="owners">The key, its project and its organisation.</param>
    internal static int WeightOf(Dictionary<string, Limits> limits, string[] owners) =>
        (int)(owners.Select(owner => limits.GetValueOrDefault(owner)?.Weight).FirstOrDefault(weight => weight is not null) ?? 1);

    private static long? Read(DbDataReader row, int column) => row.IsDBNull(column) ? null : row.GetInt64(column);
}
