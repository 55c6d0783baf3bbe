using System.Text.RegularExpressions;

namespace Flint.App.Tests.Cli;

/// <summary>What all verbs have in common: help, usage errors, and that the documentation knows them.</summary>
public sealed partial class CommandLineTests
{
    private static readonly Lazy<FlintProcess.Result> Help = new(() => FlintProcess.Run(["--help"]));

    private static List<string> Verbs =>
        [.. Help.Value.Output[Help.Value.Output.IndexOf("Commands:", StringComparison.Ordinal)..].Split('\n').Skip(1)
            .Select(line => VerbLine().Match(line)).Where(m => m.Success).Select(m => m.Groups[1].Value)];

    [Fact]
    public void The_readme_lists_every_verb_and_no_other()
    {
        string readme = File.ReadAllText(Path.Combine(TestData.Root, "README.md"));
        var listed = Row().Matches(readme).Select(m => m.Groups[1].Value).Distinct();
        Assert.Equal(Verbs.Order(), listed.Order());
        Assert.True(Verbs.Count > 10);
    }

    [Fact]
    public void The_readme_names_only_options_that_exist()
    {
        string readme = File.ReadAllText(Path.Combine(TestData.Root, "README.md"));
        foreach (Match row in Row().Matches(readme).Cast<Match>())
        {
            string[] options = [.. Option().Matches(row.Value).Select(m => m.Value).Distinct()];
            if (options.Length == 0) continue;
            string help = FlintProcess.Run([row.Groups[1].Value, .. row.Groups[2].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]).Output;
            Assert.All(options, option => Assert.Contains(option, help, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Bare_flint_shows_its_help_and_nonsense_is_refused_on_one_line()
    {
        Assert.Equal((0, Help.Value.Output), (FlintProcess.Run([]).Code, FlintProcess.Run([]).Output));
        foreach (string[] arguments in new string[][] { ["nonsense"], ["synth"], ["inspect", "a", "b"], ["bench", "x", "-p", "many"], ["--nonsense"] })
        {
            FlintProcess.Result run = FlintProcess.Run(arguments);
            Assert.Equal((2, ""), (run.Code, run.Output));
            Assert.Contains("--help", run.Complaint, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Version_names_release_and_runtime()
    {
        FlintProcess.Result run = FlintProcess.Run(["version"]);
        Assert.Equal(0, run.Code);
        Assert.Matches(@"^flint \d+\.\d+\.\d+ \(\.NET 10\.", run.Output);
    }

    [GeneratedRegex(@"^  ([a-z]+)( |$)")]
    private static partial Regex VerbLine();

    [GeneratedRegex(@"^\| `flint ([a-z]+)((?: [a-z]+)*).*$", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex(@"--[a-z-]+")]
    private static partial Regex Option();
}
