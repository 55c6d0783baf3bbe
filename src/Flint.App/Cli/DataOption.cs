using System.CommandLine;
using Flint.App.Accounts;
using Flint.App.Serving;

namespace Flint.App.Cli;

/// <summary>The option every verb that touches accounts has.</summary>
internal static class DataOption
{
    /// <summary><c>--data DIR</c>.</summary>
    public static Option<string?> Create() => new("--data")
    {
        HelpName = "DIR",
        Description = "Directory of keys and usage (default: $FLINT_HOME, else ~/.flint).",
    };

    /// <summary>The accounts that <paramref name="parsed"/> names.</summary>
    public static Store Open(ParseResult parsed, Option<string?> option) =>
        new(parsed.GetValue(option) ?? ModelLocator.Home);
}
