using System.Diagnostics;

namespace Flint.App.Tests.Cli;

/// <summary>Runs the real executable in a child process.</summary>
internal static class FlintProcess
{
    internal sealed record Result(int Code, string Output, string Errors)
    {
        /// <summary>The complaint: exactly one line on standard error that starts with <c>flint: </c>.</summary>
        internal string Complaint
        {
            get
            {
                Assert.StartsWith("flint: ", Errors, StringComparison.Ordinal);
                return Assert.Single(Errors.TrimEnd('\n').Split('\n'));
            }
        }
    }

    internal static Result Run(string[] arguments, Dictionary<string, string?>? environment = null, string input = "")
    {
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "flint.dll"));
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        foreach (var (name, value) in environment ?? []) start.Environment[name] = value;
        using Process child = Process.Start(start)!;
        Task<string> errors = child.StandardError.ReadToEndAsync();
        Task<string> output = child.StandardOutput.ReadToEndAsync();
        child.StandardInput.Write(input);
        child.StandardInput.Close();
        child.WaitForExit();
        return new Result(child.ExitCode, output.Result, errors.Result);
    }
}
