using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Flint.App.Tests.Cli;

/// <summary>The verb as a process: signals keep what was learnt, and a killed run ends where an unbroken one does.</summary>
public sealed class TrainTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TrainTests() => File.WriteAllLines(_folder.File("data.jsonl"), Enumerable.Range(0, 40).Select(i => new JsonObject
    {
        ["messages"] = new JsonArray(
            new JsonObject { ["role"] = "user", ["content"] = $"Count to {i}." },
            new JsonObject { ["role"] = "assistant", ["content"] = $"Counted to {i}." }),
    }.ToJsonString()));

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("TERM", 130)]
    [InlineData("INT", 130)]
    [InlineData("KILL", 137)]
    public void A_run_that_is_ended_goes_on_to_the_same_end(string signal, int code)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("signals are sent with kill");
            return;
        }
        string whole = Write("whole", 60), broken = Write("broken", 60);
        Assert.Equal(0, FlintProcess.Run(["train", whole]).Code);

        using Process child = Start(broken);
        // From here on steps are taken; how many before the signal comes does not matter.
        while (child.StandardOutput.ReadLine() is { } line && !line.StartsWith("step ", StringComparison.Ordinal))
        {
        }
        using (Process kill = Process.Start("kill", [$"-{signal}", $"{child.Id}"])) kill.WaitForExit();
        child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        Assert.Contains(child.ExitCode, (int[])[code, 0]); // it may have been done already
        if (signal != "KILL") Assert.True(File.Exists(_folder.File("broken/checkpoint.gguf")));

        Assert.Equal(0, FlintProcess.Run(["train", broken]).Code);
        Assert.Equal(File.ReadAllBytes(_folder.File("whole.gguf")), File.ReadAllBytes(_folder.File("broken.gguf")));
        Assert.Equal(File.ReadAllBytes(_folder.File("whole/checkpoint.gguf")), File.ReadAllBytes(_folder.File("broken/checkpoint.gguf")));
        Assert.Equal(Enumerable.Range(1, 60), File.ReadLines(_folder.File("broken/training.csv")).Skip(1).Select(row => int.Parse(row.Split(',')[0])));
    }

    [Fact]
    public void A_wrong_recipe_is_one_line_with_its_place()
    {
        string path = Write("wrong", 60);
        File.WriteAllText(path, File.ReadAllText(path).Replace("steps: 60", "stops: 60"));
        FlintProcess.Result run = FlintProcess.Run(["train", path]);
        Assert.Equal((1, ""), (run.Code, run.Output));
        Assert.Contains($"{path}:6: ", run.Complaint);
    }

    private static Process Start(string recipe) => Process.Start(FlintProcess.Told("train", recipe))!;

    private string Write(string name, int steps)
    {
        string path = _folder.File($"{name}.yaml");
        File.WriteAllText(path,
            $$"""
            name: tiny
            data: {files: data.jsonl, max_tokens: 128}
            tokenizer: {size: 280}
            template: {{Path.Combine(TestData.Root, "models/nano/template.jinja")}}
            model: {architecture: muse-glimmer, layers: 2, width: 32, heads: 2, kv_heads: 1, head_length: 16, feed_forward: 64, window: 64, pattern: 2, context: 256}
            training: {steps: {{steps}}, threads: 1, micro_batch_tokens: 256, warmup_steps: 2, checkpoint_every: 7}
            output: {folder: {{name}}, model: {{name}}.gguf}
            """);
        return path;
    }
}
