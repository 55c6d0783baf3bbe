using System.CommandLine;
using Flint.App.Cli;

var root = new RootCommand("Flint: open weights, served from one process.");

// One line per verb.
root.Add(Run.Create());
root.Add(Contemplate.Create());
root.Add(Serve.Create());
root.Add(Keys.Create());
root.Add(Orgs.Create());
root.Add(Projects.Create());
root.Add(Prices.Create());
root.Add(Config.Create());
root.Add(Usage.Create());
root.Add(Audit.Create());
root.Add(Prompts.Create());
root.Add(Stores.Create());
root.Add(Pull.Create());
root.Add(Inspect.Create());
root.Add(Bench.Create());
root.Add(Quantize.Create());
root.Add(Merge.Create());
root.Add(Pack.Create());
root.Add(Synth.Create());
root.Add(Train.Create());
root.Add(Tune.Create());
root.Add(Tokenize.Create());
root.Add(Detokenize.Create());
root.Add(Template.Create());
root.Add(Oracle.Create());
root.Add(Nano.Create());
root.Add(Eval.Create());
root.Add(Flint.App.Cli.Version.Create());

return await CommandLine.RunAsync(root, args);
