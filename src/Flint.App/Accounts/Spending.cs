using System.Data.Common;

namespace Flint.App.Accounts;

/// <summary>What an owner has used and set aside in one window. What a request uses counts in the windows it began in.</summary>
public sealed record Spending
{
    /// <summary>The kind of that of all time, whose requests are those under way.</summary>
    internal const string Now = "now";

    /// <summary>The kinds of windows.</summary>
    internal const string Minute = "minute", Day = "day", Month = "month";

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
    /// <returns>One of each kind, <c>now</c> first.</returns>
    public static Spending[] Of(Store store, Owner owner, long now)
    {
        using DbConnection connection = store.Open();
        using Statements statements = store.Database.On(connection);
        OwnerSpending[] row = OwnerSpending.Find(statements, owner) is { } found ? [found] : [];
        OwnerSpending spent = OwnerSpending.At(row, owner.ToString(), Windows.At(now));
        return [spent.Now, spent.Minute, spent.Day, spent.Month];
    }
}
