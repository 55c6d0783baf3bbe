using System.Data.Common;
using System.Text;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>
/// What an owner has used and set aside in one window. A row is kept per owner and kind of window, and begins anew with every window;
/// what a request uses counts in the windows it began in.
/// </summary>
public sealed record Spending
{
    /// <summary>The kind of the row of all time, whose requests are those under way.</summary>
    internal const string Now = "now";

    /// <summary>The kinds of windows.</summary>
    internal const string Minute = "minute", Day = "day", Month = "month";

    private const string Columns = """
        owner AS Owner, period AS Period, start AS Start, requests AS Requests, settled_tokens AS SettledTokens, reserved_tokens AS ReservedTokens,
        settled_cost AS SettledCost, reserved_cost AS ReservedCost
        """;

    private const string SomeOwners = $"SELECT {Columns} FROM spending WHERE owner IN ($1, $2, $3)";

    private const string Subtract = """
        UPDATE spending SET requests = requests - CASE period WHEN 'now' THEN $7 ELSE 0 END, reserved_tokens = reserved_tokens - $8, settled_tokens = settled_tokens + $10,
            reserved_cost = reserved_cost - $9, settled_cost = settled_cost + $11
        WHERE owner IN ($1, $2, $3) AND start = CASE period WHEN 'minute' THEN $4 WHEN 'day' THEN $5 WHEN 'month' THEN $6 ELSE 0 END
        """;

    private static readonly string Add = MakeAdd();

    /// <summary>Whose, as <see cref="Accounts.Owner"/> writes it.</summary>
    public string Owner { get; init; } = "";

    /// <summary><c>now</c>, <c>minute</c>, <c>day</c> or <c>month</c>.</summary>
    public string Period { get; init; } = "";

    /// <summary>When the window began, Unix milliseconds.</summary>
    public long Start { get; init; }

    /// <summary>Requests begun in it; of <c>now</c>, those under way.</summary>
    public long Requests { get; init; }

    /// <summary>Tokens used.</summary>
    public long SettledTokens { get; init; }

    /// <summary>Tokens set aside for requests under way.</summary>
    public long ReservedTokens { get; init; }

    /// <summary>Money spent.</summary>
    public long SettledCost { get; init; }

    /// <summary>Money set aside for requests under way.</summary>
    public long ReservedCost { get; init; }

    /// <summary>Tokens used and set aside.</summary>
    public long Tokens => SettledTokens + ReservedTokens;

    /// <summary>Money spent and set aside.</summary>
    public long Cost => SettledCost + ReservedCost;

    /// <summary>What an owner has used and set aside in the windows of a moment.</summary>
    /// <returns>One row of each kind, <c>now</c> first.</returns>
    public static Spending[] Of(Store store, Owner owner, long now)
    {
        using DbConnection connection = store.Open();
        Spending[] rows = [.. connection.Query<Spending>($"SELECT {Columns} FROM spending WHERE owner = @owner", new { owner = owner.ToString() })];
        var windows = Windows.At(now);
        return [Row(rows, owner.ToString(), Now, 0), Row(rows, owner.ToString(), Minute, windows.Minute), Row(rows, owner.ToString(), Day, windows.Day), Row(rows, owner.ToString(), Month, windows.Month)];
    }

    /// <summary>All rows of three owners.</summary>
    internal static Reply<List<Spending>> Ask(Statements store, string[] owners) =>
        store.Ask(SomeOwners, static row => new Spending
        {
            Owner = row.GetString(0), Period = row.GetString(1), Start = row.GetInt64(2), Requests = row.GetInt64(3), SettledTokens = row.GetInt64(4),
            ReservedTokens = row.GetInt64(5), SettledCost = row.GetInt64(6), ReservedCost = row.GetInt64(7),
        }, owners[0], owners[1], owners[2]);

    /// <summary>The row of an owner's window, empty where it has not begun.</summary>
    internal static Spending Row(IReadOnlyList<Spending> rows, string owner, string period, long start) =>
        rows.FirstOrDefault(row => row.Owner == owner && row.Period == period && row.Start >= start) ?? new Spending { Owner = owner, Period = period, Start = start };

    /// <summary>Counts a request in, and what is set aside for it.</summary>
    internal static void Reserve(Statements store, string[] owners, Windows windows, long tokens, long cost) =>
        store.Change(Add, owners[0], owners[1], owners[2], windows.Minute, windows.Day, windows.Month, tokens, cost);

    /// <summary>Counts requests out: what was set aside is free, what they used is spent.</summary>
    internal static void Settle(Statements store, string[] owners, Windows windows, (long Requests, long Tokens, long Cost) reserved, (long Tokens, long Cost) used) =>
        store.Change(
            Subtract, owners[0], owners[1], owners[2], windows.Minute, windows.Day, windows.Month,
            reserved.Requests, reserved.Tokens, reserved.Cost, used.Tokens, used.Cost);

    // A window that has ended is the row's next one's beginning: nothing of it is kept.
    private static string MakeAdd()
    {
        var sql = new StringBuilder("INSERT INTO spending (owner, period, start, requests, settled_tokens, reserved_tokens, settled_cost, reserved_cost) VALUES ");
        foreach (string owner in (string[])["$1", "$2", "$3"])
        {
            foreach ((string period, string start) in new[] { (Now, "0"), (Minute, "$4"), (Day, "$5"), (Month, "$6") })
                sql.Append($"({owner}, '{period}', {start}, 1, 0, $7, 0, $8), ");
        }

        sql.Length -= 2;
        sql.Append(" ON CONFLICT (owner, period) DO UPDATE SET start = excluded.start");
        foreach (string column in (string[])["requests", "settled_tokens", "reserved_tokens", "settled_cost", "reserved_cost"])
            sql.Append($", {column} = excluded.{column} + CASE WHEN spending.start = excluded.start THEN spending.{column} ELSE 0 END");
        return sql.ToString();
    }
}
