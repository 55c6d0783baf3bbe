using System.CommandLine;
using Flint.App.Accounts;
using Flint.App.Serving;

namespace Flint.App.Cli;

/// <summary><c>flint store</c>: the database of the accounts itself.</summary>
internal static class Stores
{
    /// <summary>The verb.</summary>
    public static Command Create() => new("store", "The database that holds keys and usage.") { CreateCopy() };

    private static Command CreateCopy()
    {
        const string form = $"a data directory, for the SQLite file in it; postgres://USER@HOST:PORT/DATABASE; or {Store.FilePrefix}PATH of a file that says so";
        var from = new Argument<string>("FROM") { Description = $"Where the accounts are: {form}." };
        var to = new Argument<string>("TO") { Description = "Where they go, in the same form; it must have none yet." };
        Option<string?> data = DataOption.Create();
        var command = new Command("copy", "Copy all accounts (owners, keys, limits, prices, what is spent, the ledger, kept responses) into a store that has none, and verify the ledger there. No server may use the first meanwhile; it stays as it is.") { from, to, data };
        command.SetAction(async (parsed, _) =>
        {
            string home = parsed.GetValue(data) ?? ModelLocator.Home;
            CopiedStore copied = await StoreCopy.RunAsync(Open(parsed.GetValue(from)!, home), Open(parsed.GetValue(to)!, home));
            Console.Out.WriteLine($"{copied.Keys} keys, {copied.Head.Count} records, all as they were written, and {copied.Responses} kept responses. Head: {copied.Head}");
            return 0;
        });
        return command;
    }

    private static Store Open(string place, string home)
    {
        bool isAddress = place.StartsWith(Store.FilePrefix, StringComparison.Ordinal) || place.Contains("://", StringComparison.Ordinal);
        return isAddress ? new Store(home, place) : new Store(place);
    }
}
