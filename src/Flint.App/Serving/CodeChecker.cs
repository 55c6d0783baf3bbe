using System.ComponentModel;
using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using Flint.Contemplate;

namespace Flint.App.Serving;

/// <summary>
/// Puts code that agents write to tests, by a command of the operator's: it reads the code, an empty line and the tests from its standard
/// input, and ends with status 0 where they pass. What it may do is the command's own matter: it runs as the user that Flint runs as,
/// without Flint's environment.
/// </summary>
public sealed partial class CodeChecker
{
    /// <summary>Longest time of a check in seconds.</summary>
    public const int MaxSeconds = 600;

    private static readonly SemaphoreSlim Room = new(4); // checks of this process at once

    private readonly IReadOnlyList<string> _command;
    private readonly TimeSpan _limit;

    /// <summary>A checker.</summary>
    /// <param name="command">The program and its arguments; no shell reads them.</param>
    /// <param name="limit">How long a check may take; one that takes longer has failed.</param>
    /// <exception cref="FlintException">Caller: there is no program, or no time.</exception>
    public CodeChecker(IReadOnlyList<string> command, TimeSpan limit)
    {
        if (command.Count == 0 || command[0].Length == 0)
            throw FlintException.Caller("invalid_checker", "A checker is a program and its arguments; found none.");
        if (limit <= TimeSpan.Zero || limit > TimeSpan.FromSeconds(MaxSeconds))
            throw FlintException.Caller("invalid_checker", $"A check may take up to {MaxSeconds} seconds; found {limit.TotalSeconds}.");
        _command = command;
        _limit = limit;
    }

    /// <summary>A check of drafts against tests.</summary>
    public Func<Draft, CancellationToken, Task<bool>> Against(string tests) => (draft, stop) => PassesAsync(CodeOf(draft.Content), tests, stop);

    /// <summary>The code of an answer: its last fenced block, or all of it where it has none.</summary>
    public static string CodeOf(string answer) => Block().Matches(answer) is { Count: > 0 } blocks ? blocks[^1].Groups[1].Value : answer;

    /// <summary>Runs the command once.</summary>
    /// <param name="code">The code.</param>
    /// <param name="tests">The tests.</param>
    /// <param name="stop">Ends it.</param>
    /// <exception cref="FlintException">Machine: the command cannot be run.</exception>
    /// <exception cref="OperationCanceledException">It was ended.</exception>
    public async Task<bool> PassesAsync(string code, string tests, CancellationToken stop)
    {
        await Room.WaitAsync(stop);
        try
        {
            using Process process = Start();
            using var late = new CancellationTokenSource(_limit);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, late.Token);
            try
            {
                Task told = Task.WhenAll(
                    WriteAsync(process, $"{code}\n\n{tests}\n", either.Token),
                    process.StandardOutput.BaseStream.CopyToAsync(Stream.Null, either.Token), process.StandardError.BaseStream.CopyToAsync(Stream.Null, either.Token));
                await process.WaitForExitAsync(either.Token);
                await told;
                return process.ExitCode == 0;
            }
            catch (OperationCanceledException) when (!stop.IsCancellationRequested)
            {
                return false; // too slow
            }
            finally
            {
                if (!process.HasExited)
                    process.Kill(entireProcessTree: true);
            }
        }
        finally
        {
            Room.Release();
        }
    }

    private Process Start()
    {
        var start = new ProcessStartInfo(_command[0])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Path.GetTempPath(), StandardInputEncoding = new UTF8Encoding(false),
        };
        foreach (string argument in _command.Skip(1))
            start.ArgumentList.Add(argument);
        // Secrets may stand there.
        string? path = Environment.GetEnvironmentVariable("PATH");
        start.Environment.Clear();
        start.Environment["PATH"] = path;
        try
        {
            return Process.Start(start)!;
        }
        catch (Exception error) when (error is Win32Exception or FileNotFoundException)
        {
            throw new FlintException(FaultSide.Machine, "checker_failed", $"The checker '{_command[0]}' cannot be run: {error.Message}", error);
        }
    }

    // A command that ends before it has read all has decided.
    private static async Task WriteAsync(Process process, string text, CancellationToken stop)
    {
        try
        {
            await process.StandardInput.WriteAsync(text.AsMemory(), stop);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
        }
    }

    [GeneratedRegex("^```[^\n]*\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();
}
