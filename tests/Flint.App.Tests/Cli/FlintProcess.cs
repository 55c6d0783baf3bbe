using System.Diagnostics;

namespace Flint.App.Tests.Cli;

/// <summary>Runs the real executable in a child process: the one built with the tests, or <c>FLINT_PROGRAM</c>, the path of another build's <c>flint.dll</c>.</summary>
internal static class FlintProcess
{
    private static readonly string Program = Environment.GetEnvironmentVariable("FLINT_PROGRAM") ?? Path.Combine(AppContext.BaseDirectory, "flint.dll");

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

    /// <summary>How to start it, its output redirected. Signals do what they do by default, also where who runs the tests ignores some, as children do then too.</summary>
    internal static ProcessStartInfo Told(params string[] arguments)
    {
        string[] program = [Program, .. arguments];
        return OperatingSystem.IsLinux()
            ? new ProcessStartInfo("env", ["--default-signal=HUP,INT,TERM", "dotnet", .. program]) { RedirectStandardOutput = true }
            : new ProcessStartInfo("dotnet", program) { RedirectStandardOutput = true };
    }

    internal static Result Run(string[] arguments, Dictionary<string, string?>? environment = null, string input = "")
    {
        ProcessStartInfo start = Told(arguments);
        start.RedirectStandardInput = true;
        start.RedirectStandardError = true;
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
