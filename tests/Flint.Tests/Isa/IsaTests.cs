using System.Diagnostics;
using System.Text.Json;

namespace Flint.Tests.Isa;

/// <summary>
/// Invariant 2 across instruction sets: the tests of trait <c>Isa=yes</c> run again in child processes with instruction sets
/// switched off, must pass there, and must have computed the same bits as the process with everything on.
/// </summary>
[Collection(nameof(Alone))]
public sealed class IsaTests
{
    /// <summary>Its children use every core: nothing else runs beside them.</summary>
    [CollectionDefinition(nameof(Alone), DisableParallelization = true)]
    public sealed class Alone;

    private sealed record Run(int ExitCode, int Passed, int Failed, SortedDictionary<string, string> Digests, string Output);

    private static readonly Lazy<Run> Everything = new(() => Start([]));

    [Fact]
    public void With_every_instruction_set_on()
    {
        AssertRan(Everything.Value);
        Assert.NotEmpty(Everything.Value.Digests);
    }

    [Theory]
    [InlineData(Flint.Kernels.Isa.EmissionVariable)]
    [InlineData("EnableAVX512")]
    [InlineData("EnableAVXVNNI")]
    [InlineData("EnableAVX512", "EnableAVXVNNI", "EnableAVXVNNIINT")]
    [InlineData("EnableAVX2")]
    [InlineData("EnableHWIntrinsic")]
    public void The_bits_are_the_same_without(params string[] off)
    {
        Run run = Start(off);
        AssertRan(run);
        Assert.Equal(Everything.Value.Passed, run.Passed);
        Assert.Equal(Everything.Value.Digests, run.Digests);
    }

    private static void AssertRan(Run run)
    {
        Assert.True(run.ExitCode == 0 && run.Failed == 0, run.Output);
        Assert.True(run.Passed > 0, "no test of trait Isa=yes ran\n" + run.Output);
    }

    /// <summary>Runs this very test executable in a child, filtered to the trait, with the given knobs of the runtime or of Flint set to 0.</summary>
    private static Run Start(string[] off)
    {
        string folder = Directory.CreateTempSubdirectory("flint-isa-").FullName;
        try
        {
            string digests = Path.Combine(folder, "digests.tsv");
            var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
            if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
                start.ArgumentList.Add(typeof(IsaTests).Assembly.Location);
            foreach (string argument in new[]
            {
                "--filter-trait", "Isa=yes", "--parallel", "none", "--no-ansi", "--no-progress", "--results-directory", folder,
                "--report-ctrf", "--report-ctrf-filename", "report.json",
            })
                start.ArgumentList.Add(argument);
            foreach (string knob in off) start.Environment[knob == Flint.Kernels.Isa.EmissionVariable ? knob : "DOTNET_" + knob] = "0";
            start.Environment[IsaDigest.FileVariable] = digests;
            start.Environment[KnobTests.OffVariable] = string.Join(',', off);

            using Process child = Process.Start(start)!;
            Task<string> errors = child.StandardError.ReadToEndAsync();
            string output = child.StandardOutput.ReadToEnd() + errors.Result;
            child.WaitForExit();

            string report = Path.Combine(folder, "report.json");
            Assert.True(File.Exists(report), $"the child ended with code {child.ExitCode} and no report\n{output}");
            using JsonDocument json = JsonDocument.Parse(File.ReadAllText(report));
            JsonElement summary = json.RootElement.GetProperty("results").GetProperty("summary");
            return new Run(child.ExitCode, summary.GetProperty("passed").GetInt32(), summary.GetProperty("failed").GetInt32(), Read(digests), output);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static SortedDictionary<string, string> Read(string path)
    {
        var digests = new SortedDictionary<string, string>(StringComparer.Ordinal);
        if (!File.Exists(path)) return digests;
        foreach (string line in File.ReadLines(path))
        {
            string[] parts = line.Split('\t');
            if (!digests.TryAdd(parts[0], parts[1])) Assert.Equal(digests[parts[0]], parts[1]); // recorded twice: must agree
        }
        return digests;
    }
}
