using System.CommandLine;
using Flint.App.Cli;

var root = new RootCommand("Flint: open weights, served from one process.");

// One line per verb.

return await CommandLine.RunAsync(root, args);
