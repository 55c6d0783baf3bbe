using System.CommandLine;
using System.Runtime.InteropServices;
using Flint.App.Recipes;
using Spectre.Console;

namespace Flint.App.Cli;

/// <summary><c>flint train</c>: trains a model as a YAML file says, in one go or in stretches.</summary>
internal static class Train
{
    /// <summary>The verb's name.</summary>
    internal const string Name = "train";

    internal static Command Create()
    {
        var config = new Argument<string>("CONFIG.yaml") { Description = "The run: data, tokenizer, model, training, output." };
        var stopAfter = new Option<float?>("--stop-after") { Description = "Minutes after which this call stops with a checkpoint; overrides the file's.", HelpName = "MINUTES" };
        var threads = Verb.Range(new Option<int?>("--threads", "-t") { Description = "Threads that compute; overrides the file's. The result does not depend on them.", HelpName = "N" }, 0, 256);
        var export = new Option<string?>("--export") { Description = "Write the model as the last checkpoint has it, in float32, and do not train.", HelpName = "FILE" };
        var command = new Command(Name, "Train a model from nothing, or train one further, as CONFIG.yaml says. A run that was stopped goes on by the same command.")
            { config, stopAfter, threads, export };
        command.SetAction(parsed =>
        {
            Recipe recipe = Recipe.Load(parsed.GetRequiredValue(config));
            if (parsed.GetValue(stopAfter) is { } minutes) recipe = recipe with { StopAfterMinutes = Math.Max(0, minutes) };
            if (parsed.GetValue(threads) is { } count) recipe = recipe with { Options = recipe.Options with { Threads = count } };
            if (parsed.GetValue(export) is not { } model) return Run(recipe);
            new TrainingRun(recipe, Console.Out, null, TimeProvider.System).Export(model);
            return 0;
        });
        return command;
    }

    /// <summary>Runs with Ctrl+C and SIGTERM as the wish to stop with a checkpoint.</summary>
    internal static int Run(Recipe recipe)
    {
        using var stop = new CancellationTokenSource();
        void Ask(PosixSignalContext context)
        {
            context.Cancel = true;
            stop.Cancel();
        }
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Ask);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Ask);
        IAnsiConsole? terminal = Console.IsOutputRedirected ? null : AnsiConsole.Console;
        TrainingEnd end = new TrainingRun(recipe, Console.Out, terminal, TimeProvider.System).Execute(stop.Token);
        return end == TrainingEnd.Interrupted ? CommandLine.Interrupted : 0;
    }
}
