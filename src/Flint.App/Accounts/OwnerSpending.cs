using System.Text;

namespace Flint.App.Accounts;

/// <summary>
/// What an owner has used and set aside: its row of the store, which has all it may spend in, so that a request reads and writes one row
/// of each of its owners. A window begins anew with the first request that counts in the next one.
/// </summary>
/// <param name="Owner">Whose, as <see cref="Accounts.Owner"/> writes it.</param>
/// <param name="Now">Of all time; its requests are those under way.</param>
/// <param name="Minute">Of the last minute that a request counted in.</param>
/// <param name="Day">Of the last such day.</param>
/// <param name="Month">Of the last such month.</param>
internal sealed record OwnerSpending(string Owner, Spending Now, Spending Minute, Spending Day, Spending Month)
{
    private static readonly string[] Periods = [Spending.Minute, Spending.Day, Spending.Month];
    private static readonly string[] Amounts = ["settled_tokens", "reserved_tokens", "settled_cost", "reserved_cost"];
    private static readonly string Columns = MakeColumns();
    private static readonly string OneOwner = $"SELECT {Columns} FROM spending WHERE owner = $1";
    private static readonly string SomeOwners = $"SELECT {Columns} FROM spending WHERE owner IN ($1, $2, $3)";
    private static readonly string Add = MakeAdd();
    private static readonly string Subtract = MakeSubtract();

    /// <summary>The last windows that a request counted in.</summary>
    public Windows Windows => new(Minute.Start, Day.Start, Month.Start);

    /// <summary>The rows of three owners, of those that have one.</summary>
    internal static Reply<List<OwnerSpending>> Ask(Statements store, string[] owners) => store.Ask(SomeOwners, Read, owners[0], owners[1], owners[2]);

    /// <summary>The row of an owner; null where it has none.</summary>
    internal static OwnerSpending? Find(Statements store, Owner owner) => store.Query(OneOwner, Read, owner.ToString()).FirstOrDefault();

    /// <summary>What an owner has used and set aside in some windows: nothing in those that it has not begun.</summary>
    /// <param name="spent">The row of the owner among them; nothing where it is not.</param>
    /// <param name="owner">The owner.</param>
    /// <param name="windows">The windows.</param>
    internal static OwnerSpending At(IReadOnlyList<OwnerSpending> spent, string owner, Windows windows) =>
        spent.FirstOrDefault(one => one.Owner == owner) is { } row
            ? row with { Minute = Begun(row.Minute, windows.Minute), Day = Begun(row.Day, windows.Day), Month = Begun(row.Month, windows.Month) }
            : new OwnerSpending(
                owner, Empty(owner, Spending.Now, 0), Empty(owner, Spending.Minute, windows.Minute), Empty(owner, Spending.Day, windows.Day), Empty(owner, Spending.Month, windows.Month));

    /// <summary>Counts a request in, and what is set aside for it.</summary>
    internal static void Reserve(Statements store, string[] owners, Windows windows, long tokens, long cost) =>
        store.Change(Add, owners[0], owners[1], owners[2], windows.Minute, windows.Day, windows.Month, tokens, cost);

    /// <summary>Counts requests out: what was set aside is free, what they used is spent, in the windows that have not ended since.</summary>
    internal static void Settle(Statements store, string[] owners, Windows windows, (long Requests, long Tokens, long Cost) reserved, (long Tokens, long Cost) used) =>
        store.Change(
            Subtract, owners[0], owners[1], owners[2], windows.Minute, windows.Day, windows.Month,
            reserved.Requests, reserved.Tokens, reserved.Cost, used.Tokens, used.Cost);

    private static Spending Begun(Spending window, long start) => window.Start >= start ? window : Empty(window.Owner, window.Period, start);

    private static Spending Empty(string owner, string period, long start) => new() { Owner = owner, Period = period, Start = start };

    private static OwnerSpending Read(Row row)
    {
        string owner = row.GetString(0);
        return new OwnerSpending(
            owner, Read(row, owner, Spending.Now, 0, 1), Read(row, owner, Spending.Minute, row.GetInt64(6), 7), Read(row, owner, Spending.Day, row.GetInt64(12), 13),
            Read(row, owner, Spending.Month, row.GetInt64(18), 19));
    }

    private static Spending Read(Row row, string owner, string period, long start, int column) => new()
    {
        Owner = owner, Period = period, Start = start, Requests = row.GetInt64(column), SettledTokens = row.GetInt64(column + 1),
        ReservedTokens = row.GetInt64(column + 2), SettledCost = row.GetInt64(column + 3), ReservedCost = row.GetInt64(column + 4),
    };

    private static string MakeColumns()
    {
        var sql = new StringBuilder($"owner, {Of(Spending.Now)}");
        foreach (string period in Periods)
            sql.Append($", {period}_start, {Of(period)}");
        return sql.ToString();

        static string Of(string period) => $"{period}_requests, {string.Join(", ", Amounts.Select(amount => $"{period}_{amount}"))}";
    }

    // A window that has ended is the row's next one's beginning: nothing of it is kept.
    private static string MakeAdd()
    {
        var sql = new StringBuilder($"INSERT INTO spending ({Columns}) VALUES ");
        foreach (string owner in (string[])["$1", "$2", "$3"])
            sql.Append($"({owner}, 1, 0, $7, 0, $8, $4, 1, 0, $7, 0, $8, $5, 1, 0, $7, 0, $8, $6, 1, 0, $7, 0, $8), ");
        sql.Length -= 2;
        sql.Append(" ON CONFLICT (owner) DO UPDATE SET now_requests = spending.now_requests + 1");
        sql.Append(", now_reserved_tokens = spending.now_reserved_tokens + $7, now_reserved_cost = spending.now_reserved_cost + $8");
        foreach (string period in Periods)
        {
            sql.Append($", {period}_start = excluded.{period}_start");
            foreach (string column in (string[])["requests", .. Amounts])
                sql.Append($", {period}_{column} = excluded.{period}_{column} + CASE WHEN spending.{period}_start = excluded.{period}_start THEN spending.{period}_{column} ELSE 0 END");
        }

        return sql.ToString();
    }

    private static string MakeSubtract()
    {
        var sql = new StringBuilder("UPDATE spending SET now_requests = now_requests - $7");
        sql.Append(", now_settled_tokens = now_settled_tokens + $10, now_reserved_tokens = now_reserved_tokens - $8");
        sql.Append(", now_settled_cost = now_settled_cost + $11, now_reserved_cost = now_reserved_cost - $9");
        foreach ((string period, string start) in new[] { (Spending.Minute, "$4"), (Spending.Day, "$5"), (Spending.Month, "$6") })
        {
            foreach ((string amount, string change) in new[] { ("settled_tokens", "+ $10"), ("reserved_tokens", "- $8"), ("settled_cost", "+ $11"), ("reserved_cost", "- $9") })
                sql.Append($", {period}_{amount} = CASE WHEN {period}_start = {start} THEN {period}_{amount} {change} ELSE {period}_{amount} END");
        }

        return sql.Append(" WHERE owner IN ($1, $2, $3)").ToString();
    }
}
