using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Flint.Bench;

/// <summary>What a record says of where, when and of what it was taken.</summary>
internal static class Machine
{
    private const string Processors = "/proc/cpuinfo";

    internal static string Today => DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    internal static string Commit => Output("git", "rev-parse HEAD").Trim();

    internal static JsonObject Describe() => new()
    {
        ["processors"] = Environment.ProcessorCount,
        ["model"] = File.Exists(Processors) ? $"{Processor("model name", ".*")}, family {Processor("cpu family", @"\d+")} model {Processor("model", @"\d+")}" : "unknown",
        ["memory_bytes"] = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
        ["os"] = RuntimeInformation.OSDescription,
        ["runtime"] = RuntimeInformation.FrameworkDescription,
    };

    /// <summary>A command without folders: those of the machine say nothing to a reader, its words do.</summary>
    internal static string Anonymous(string command) => Regex.Replace(command, @"(?<=^|\s)/\S*/", "");

    /// <summary>What a program prints; it must end well.</summary>
    internal static string Output(string file, string arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{file} {arguments} ended with {process.ExitCode}\n{errors.Result}");
    }

    private static string Processor(string name, string value) => Regex.Match(File.ReadAllText(Processors), $@"{name}\s*:\s*({value})").Groups[1].Value;
}
