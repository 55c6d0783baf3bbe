using System.CommandLine;
using Flint.App.Accounts;
using Flint.App.Serving;

namespace Flint.App.Cli;

/// <summary>The options every verb that touches accounts has.</summary>
internal static class DataOption
{
    /// <summary>Names the store where <c>--store</c> does not; its password is then in no list of processes.</summary>
    public const string StoreVariable = "FLINT_STORE";

    /// <summary><c>--store URL</c>, for a verb with all that is below it.</summary>
    public static readonly Option<string?> Address = new("--store")
    {
        HelpName = "URL",
        Recursive = true,
        Description = $"A PostgreSQL database that holds keys and usage, for several servers: postgres://USER@HOST:PORT/DATABASE, or {Store.FilePrefix}PATH of a file that says so (default: ${StoreVariable}, else SQLite in the data directory). The password may be in it, in $PGPASSWORD or in the file of $PGPASSFILE.",
    };

    /// <summary><c>--data DIR</c>.</summary>
    public static Option<string?> Create() => new("--data")
    {
        HelpName = "DIR",
        Description = "Directory of keys and usage (default: $FLINT_HOME, else ~/.flint).",
    };

    /// <summary>The accounts that <paramref name="parsed"/> names.</summary>
    public static Store Open(ParseResult parsed, Option<string?> option) => Open(parsed, parsed.GetValue(option));

    /// <summary>The accounts of a data directory and of the address that <paramref name="parsed"/> names.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="data">The directory; null for the usual one.</param>
    /// <param name="configured">The address where the command line names none; null for the environment's.</param>
    public static Store Open(ParseResult parsed, string? data, string? configured = null)
    {
        string? address = parsed.GetValue(Address) ?? configured ?? Environment.GetEnvironmentVariable(StoreVariable);
        return new Store(data ?? ModelLocator.Home, string.IsNullOrEmpty(address) ? null : address);
    }
}
