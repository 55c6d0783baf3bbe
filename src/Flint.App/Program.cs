using System.CommandLine;
using Flint.App.Cli;

var root = new RootCommand("Flint: open weights, served from one process.")
{
    Inspect.Create(),
    Pull.Create(),
    Flint.App.Cli.Version.Create(),
};

return await CommandLine.RunAsync(root, args);
