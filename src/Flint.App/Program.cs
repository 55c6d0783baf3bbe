using System.CommandLine;
using Flint.App.Cli;

var root = new RootCommand("Flint: open weights, served from one process.")
{
    Keys.Create(),
    Usage.Create(),
};

return await CommandLine.RunAsync(root, args);
