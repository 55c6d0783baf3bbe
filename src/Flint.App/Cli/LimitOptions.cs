using System.CommandLine;
using System.Globalization;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary>The options that set the limits of a key, a project or an organisation, and how these are shown.</summary>
internal sealed class LimitOptions
{
    private const string None = "none";

    private readonly Option<string?> _requests = Make("--requests-per-minute", "N", "Requests begun in a minute.");
    private readonly Option<string?> _tokens = Make("--tokens-per-minute", "N", "Tokens of requests begun in a minute.");
    private readonly Option<string?> _concurrent = Make("--concurrent-requests", "N", "Requests at once.");
    private readonly Option<string?> _dailyTokens = Make("--daily-tokens", "N", "Budget of tokens for a day (UTC).");
    private readonly Option<string?> _monthlyTokens = Make("--monthly-tokens", "N", "Budget of tokens for a month (UTC).");
    private readonly Option<string?> _dailyCost = Make("--daily-cost", "AMOUNT", "Budget of money for a day (UTC), at the prices of flint prices.");
    private readonly Option<string?> _monthlyCost = Make("--monthly-cost", "AMOUNT", "Budget of money for a month (UTC).");

    private readonly Option<string?> _weight = Make("--weight", "N", $"Share of an engine beside other keys that wait for it, 1 to {Limits.MaxWeight}; of a project or an organisation, that of its keys that have none.");

    /// <summary>A command that sets and shows limits.</summary>
    /// <param name="handle">Names the owner.</param>
    /// <param name="description">What the command does.</param>
    /// <param name="find">The owner of a handle.</param>
    internal static Command CreateCommand(Argument<string> handle, string description, Func<Store, string, Owner> find)
    {
        var options = new LimitOptions();
        Option<string?> data = DataOption.Create();
        var command = new Command("limit", description + " Takes effect at once, in running servers too; without options, the limits are shown.") { handle, data };
        foreach (Option<string?> option in options.All)
            command.Add(option);
        command.SetAction(parsed =>
        {
            Store store = DataOption.Open(parsed, data);
            Owner owner = find(store, parsed.GetValue(handle)!);
            if (options.All.Any(option => parsed.GetValue(option) is not null))
                Limits.Set(store, owner, options.Apply(parsed, Limits.Of(store, owner)));
            Show(store, owner);
            return 0;
        });
        return command;
    }

    /// <summary>Prints an owner's limits and how far they are used.</summary>
    internal static void Show(Store store, Owner owner) =>
        TextTable.Write(Console.Out, ["LIMIT", "USED", "RESERVED", "OF"], LimitState.Of(store, owner).Select(row => new[]
        {
            row.Name.Replace('_', ' '), row.Text(row.Used), row.Text(row.Reserved), row.Text(row.Limit),
        }));

    private Option<string?>[] All => [_requests, _tokens, _concurrent, _dailyTokens, _monthlyTokens, _dailyCost, _monthlyCost, _weight];

    private static Option<string?> Make(string name, string value, string description) =>
        new(name) { HelpName = value, Description = $"{description} '{None}' lifts it." };

    private Limits Apply(ParseResult parsed, Limits limits) => new()
    {
        RequestsPerMinute = Read(parsed, _requests, limits.RequestsPerMinute),
        TokensPerMinute = Read(parsed, _tokens, limits.TokensPerMinute),
        ConcurrentRequests = Read(parsed, _concurrent, limits.ConcurrentRequests),
        DailyTokens = Read(parsed, _dailyTokens, limits.DailyTokens),
        MonthlyTokens = Read(parsed, _monthlyTokens, limits.MonthlyTokens),
        DailyCost = Read(parsed, _dailyCost, limits.DailyCost, isMoney: true),
        MonthlyCost = Read(parsed, _monthlyCost, limits.MonthlyCost, isMoney: true),
        Weight = Read(parsed, _weight, limits.Weight),
    };

    private static long? Read(ParseResult parsed, Option<string?> option, long? now, bool isMoney = false)
    {
        if (parsed.GetValue(option) is not string text)
            return now;
        if (text == None)
            return null;
        if (isMoney)
            return Money.Parse(text);
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long value)
            ? value
            : throw FlintException.Caller("invalid_limit", $"{option.Name} takes a whole number or '{None}', not '{text}'.");
    }
}
