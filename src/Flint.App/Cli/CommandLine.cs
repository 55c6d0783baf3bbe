using System.CommandLine;
using System.CommandLine.Parsing;
using System.Data.Common;

namespace Flint.App.Cli;

/// <summary>Runs a parsed command line and turns every failure into one line on standard error and an exit code.</summary>
public static class CommandLine
{
    /// <summary>Exit code of a verb that failed.</summary>
    public const int Failed = 1;

    /// <summary>Exit code of a command line that could not be understood.</summary>
    public const int Misused = 2;

    /// <summary>Exit code after Ctrl+C, as shells report it.</summary>
    public const int Interrupted = 130;

    /// <summary>When set, a fault of Flint itself ends the process with its stack trace.</summary>
    private const string TraceVariable = "FLINT_TRACE";

    /// <summary>Parses and runs <paramref name="args"/>; a <see cref="FlintException"/> becomes one line naming what was wrong.</summary>
    /// <returns>0 on success, else <see cref="Failed"/>, <see cref="Misused"/> or <see cref="Interrupted"/>.</returns>
    public static async Task<int> RunAsync(RootCommand root, string[] args)
    {
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            // A bare command asks what it can do: answer with its help instead of a complaint.
            if (parsed.CommandResult.Command.Subcommands.Count > 0 && parsed.UnmatchedTokens.Count == 0)
                return await root.Parse([.. args, "--help"]).InvokeAsync();
            Report(parsed.UnmatchedTokens.Count > 0
                ? $"unknown command or argument '{parsed.UnmatchedTokens[0]}' (see {PathOf(parsed.CommandResult)} --help)"
                : $"{parsed.Errors[0].Message.TrimEnd('.')} (see {PathOf(parsed.CommandResult)} --help)");
            return Misused;
        }

        try
        {
            var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false };
            // These take Ctrl+C in their own hands; other verbs are cut off soon after it.
            if (parsed.CommandResult.Command.Name is Serve.Name or Run.Name or Train.Name or Tune.Name)
                configuration.ProcessTerminationTimeout = null;
            return await parsed.InvokeAsync(configuration);
        }
        catch (OperationCanceledException)
        {
            return Interrupted;
        }
        catch (FlintException fault)
        {
            Report(fault.Message);
            return Failed;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or DbException)
        {
            Report(error.Message);
            return Failed;
        }
        catch (Exception error) when (Environment.GetEnvironmentVariable(TraceVariable) is null or "")
        {
            Report($"a fault of Flint itself: {error.GetType().Name}: {error.Message} (set {TraceVariable}=1 to see where)");
            return Failed;
        }
    }

    private static string PathOf(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{PathOf(parent)} {result.Command.Name}" : "flint";

    private static void Report(string message) =>
        Console.Error.WriteLine("flint: " + string.Join(' ', message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)));
}
