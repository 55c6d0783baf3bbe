using System.Diagnostics;
using Flint.App.Eval;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.App.Tests.Eval;

/// <summary>Grammars of JSON schemas against instances that are known to be valid or not.</summary>
public sealed class SchemaSuiteTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static Tokenizer Nano()
    {
        using GgufFile file = GgufFile.Open(Path.Combine(TestData.Root, "models/nano/flint-nano.gguf"));
        return Tokenizer.FromGguf(file.Metadata);
    }

    [Fact]
    public void What_is_taken_wrongly_is_counted()
    {
        File.WriteAllText(_folder.File("a.json"), """
            [{"description": "d", "schema": {"type": "integer"}, "tests": [{"data": 1, "valid": true}, {"data": "x", "valid": false}, {"data": 2, "valid": false, "description": "no"}]},
             {"schema": {"uniqueItems": true}, "tests": []},
             {"schema": false, "tests": [{"data": 1, "valid": false}]},
             {"schema": {"maxLength": 1}, "tests": [{"data": "ab", "valid": true}, {"data": "\u0007", "valid": true}]}]
            """);
        var told = new List<string>();
        var refused = new List<string>();
        var suite = new SchemaSuite(Nano(), isAnyOrder: true)
        {
            Tell = (name, instance, isValid) => told.Add($"{name} {instance} {isValid}"), TellRefused = (name, why) => refused.Add($"{name}: {why}"), SlowestKept = 3,
        };
        suite.Read(_folder.File("a.json"));
        Assert.Equal((4, 3, 1), (suite.Count.Schemas, suite.Count.Compiled, suite.Count.Passed));
        Assert.Equal(((3, 3), (1, 1)), (suite.Count.Instances, suite.Count.Wrong));
        Assert.Equal((1, 1), (suite.Count.FalselyAccepting, suite.Count.FalselyRejecting));
        Assert.Equal([("uniqueItems", 1)], suite.Count.Refusals.Select(one => (one.Key, one.Value)));
        Assert.Equal(["a.json: d no 2 False", "a.json  \"ab\" True"], told);
        Assert.Contains("'uniqueItems' at #", Assert.Single(refused), StringComparison.Ordinal);
        Assert.True(suite.Count.MaskTimes.Count > suite.Count.FirstMaskTimes.Count && suite.Count.FirstMaskTimes.Count == 2);
        Assert.Equal(3, suite.Slowest.Count);
        Assert.True(suite.Slowest[0].Time >= suite.Slowest[1].Time && suite.Slowest[1].Time >= suite.Slowest[2].Time);
        Assert.Throws<FlintException>(() =>
        {
            File.WriteAllText(_folder.File("b.json"), "{}");
            suite.Read(_folder.File("b.json"));
        });
    }

    // Falsely rejected is what is valid where strings are not of their format, and integers with a point: answers are held to be plainer
    // than that. Falsely accepted are contents of strings, which draft 7 may look into, and what an address beside a reference changes there.
    [Theory]
    [InlineData("draft2020-12", 395, 345, 0)]
    [InlineData("draft7", 290, 265, 4)]
    public void The_test_suite_of_json_schema(string draft, int compiled, int passed, int falselyAccepting)
    {
        var suite = new SchemaSuite(Nano(), isAnyOrder: true);
        foreach (string file in Directory.EnumerateFiles(TestData.Shared($"data/structured-output/JSON-Schema-Test-Suite/tests/{draft}"), "*.json", SearchOption.AllDirectories))
            suite.Read(file);
        SchemaCount count = suite.Count;
        Assert.True(count.Compiled >= compiled && count.Passed >= passed && count.FalselyAccepting <= falselyAccepting,
            $"{count.Schemas} schemas, {count.Compiled} compiled, {count.Passed} passed, {count.FalselyAccepting} falsely accepting, {count.FalselyRejecting} falsely rejecting");
    }

    [Fact]
    public void Schemas_of_the_real_world()
    {
        string archive = TestData.Shared("data/structured-output/maskbench.tar.xz");
        try
        {
            using Process tar = Process.Start(new ProcessStartInfo("tar", ["-xJf", archive, "-C", _folder.Path]) { RedirectStandardError = true })!;
            tar.StandardError.ReadToEnd();
            tar.WaitForExit();
            if (tar.ExitCode != 0)
                Assert.Skip("tar cannot unpack xz here");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("there is no tar here");
        }

        var suite = new SchemaSuite(Nano(), isAnyOrder: true);
        string[] files = [.. Directory.EnumerateFiles(_folder.Path, "*.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
        for (int i = 0; i < files.Length; i += 40) // the whole takes minutes: flint eval schemas
            suite.Read(files[i]);
        SchemaCount count = suite.Count;
        Assert.True(count.Compiled >= 0.95 * count.Schemas && count.Passed >= 0.99 * count.Compiled && count.FalselyAccepting <= 0.005 * count.Compiled,
            $"{count.Schemas} schemas, {count.Compiled} compiled, {count.Passed} passed, {count.FalselyAccepting} falsely accepting, {count.FalselyRejecting} falsely rejecting");
    }
}
