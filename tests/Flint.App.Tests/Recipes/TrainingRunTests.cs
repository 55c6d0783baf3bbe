using System.Globalization;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using Flint.App.Pictures;
using Flint.App.Recipes;
using Flint.Dialects;
using Flint.Tokens;
using Flint.Training;
using Flint.Weights;
using Spectre.Console;

namespace Flint.App.Tests.Recipes;

/// <summary>A run in stretches ends with the very bytes of a run in one go, and everything it writes is whole.</summary>
public sealed class TrainingRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TrainingRunTests()
    {
        File.Copy(Path.Combine(TestData.Root, "models/nano/template.jinja"), _folder.File("t.jinja"));
        string[] names = ["Ada", "Bo", "Cy", "Di"];
        File.WriteAllLines(_folder.File("data.jsonl"), Enumerable.Range(0, 60).Select(i => new JsonObject
        {
            ["messages"] = new JsonArray(
                new JsonObject { ["role"] = "user", ["content"] = $"I am {names[i % 4]}, what is {i} plus {i}?" },
                new JsonObject { ["role"] = "assistant", ["content"] = $"{names[i % 4]}, it is {2 * i}." }),
        }.ToJsonString()).Append("{broken"));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_run_in_stretches_is_a_run_in_one_go()
    {
        var output = new StringWriter();
        Recipe whole = Recipe("whole", 12);
        Assert.Equal(TrainingEnd.Complete, new TrainingRun(whole, output, null, TimeProvider.System).Execute(CancellationToken.None));
        Assert.Contains("Left out: 1 lines (1 invalid_json).", output.ToString());
        Assert.Contains($"{_folder.File("data.jsonl")}:61: not JSON", output.ToString());

        // Time passes by a minute a reading, so a call ends after a few steps.
        Recipe pieces = Recipe("pieces", 12) with { StopAfterMinutes = 9 };
        int calls = 0;
        while (new TrainingRun(pieces, output, null, new JumpingTime()).Execute(CancellationToken.None) == TrainingEnd.OutOfTime) Assert.InRange(++calls, 1, 12);
        Assert.InRange(calls, 2, 12);
        Assert.Contains("Going on from step ", output.ToString());
        Assert.Equal(File.ReadAllBytes(whole.Output!), File.ReadAllBytes(pieces.Output!));
        Assert.Equal(File.ReadAllBytes(Path.Combine(whole.Folder, "checkpoint.gguf")), File.ReadAllBytes(Path.Combine(pieces.Folder, "checkpoint.gguf")));
        Assert.Equal(Losses(whole), Losses(pieces));
        Assert.Equal(Enumerable.Range(1, 12), Losses(pieces).Select(row => int.Parse(row.Split(',')[0])));

        XElement picture = XElement.Load(Path.Combine(pieces.Folder, "loss.svg"));
        Assert.Equal(2, picture.Descendants().Count(e => e.Name.LocalName == "polyline"));
        using GgufFile quantized = GgufFile.Open(pieces.Quantized[0].Path);
        Assert.Equal(DialectKind.MuseGlimmer, Dialect.Detect(quantized.Metadata.Get<string>("tokenizer.chat_template"), Tokenizer.FromGguf(quantized.Metadata)).Kind);
        Assert.DoesNotContain(quantized.Metadata, pair => pair.Key.StartsWith("training.", StringComparison.Ordinal));
    }

    [Fact]
    public void A_run_told_to_stop_keeps_a_checkpoint_and_drops_what_it_will_do_again()
    {
        Recipe recipe = Recipe("stop", 8);
        using var stop = new CancellationTokenSource();
        var output = new StringWriter();
        Assert.Equal(TrainingEnd.Interrupted, new TrainingRun(recipe, output, null, new StoppingTime(stop, 20)).Execute(stop.Token));
        Assert.Contains("Stopped at step", output.ToString());
        int done = Losses(recipe).Length;
        Assert.InRange(done, 1, 7);
        // A process that was killed has written rows beyond its last checkpoint, the last of them torn.
        string csv = Path.Combine(recipe.Folder, "training.csv");
        File.AppendAllText(csv, File.ReadLines(csv).Last().Replace($"{done},", $"{done + 1},") + "\n17,0.3,");
        Assert.Equal(TrainingEnd.Complete, new TrainingRun(recipe, output, null, TimeProvider.System).Execute(CancellationToken.None));
        Assert.Equal(Enumerable.Range(1, 8), Losses(recipe).Select(row => int.Parse(row.Split(',')[0])));
        // Once more: nothing left to do but to write the models again.
        File.Delete(recipe.Output!);
        Assert.Equal(TrainingEnd.Complete, new TrainingRun(recipe, output, null, TimeProvider.System).Execute(CancellationToken.None));
        Assert.True(File.Exists(recipe.Output));
    }

    [Fact]
    public void Other_data_after_training_has_begun_is_refused()
    {
        Recipe recipe = Recipe("other", 3);
        new TrainingRun(recipe, new StringWriter(), null, TimeProvider.System).Execute(CancellationToken.None);
        File.AppendAllText(_folder.File("data.jsonl"), File.ReadLines(_folder.File("data.jsonl")).First() + "\n");
        Assert.Equal("other_recipe", Fault(recipe).Code);
        Assert.Equal("other_recipe", Fault(recipe with { Seed = 8 }).Code);
        // Before the first checkpoint, a run begins anew instead.
        File.Delete(Path.Combine(recipe.Folder, "checkpoint.gguf"));
        Assert.Equal(TrainingEnd.Complete, new TrainingRun(recipe, new StringWriter(), null, TimeProvider.System).Execute(CancellationToken.None));
    }

    [Fact]
    public void Two_processes_do_not_share_a_folder()
    {
        Recipe recipe = Recipe("held", 3);
        Directory.CreateDirectory(recipe.Folder);
        using var held = new FileStream(Path.Combine(recipe.Folder, "lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None);
        Assert.Equal("run_in_progress", Fault(recipe).Code);
    }

    [Fact]
    public void A_run_that_the_machine_cannot_hold_is_refused_before_it_begins()
    {
        Recipe recipe = Recipe("large", 3);
        FlintException fault = Fault(recipe with { Options = recipe.Options with { MicroBatchTokens = 1 << 20, MaxExampleTokens = 256 }, Shape = recipe.Shape! with { FeedForward = 1 << 18 } });
        Assert.Equal((FaultSide.Machine, "out_of_memory"), (fault.Side, fault.Code));
        // Nothing was made: not the examples, and not first weights larger than any disk.
        Assert.False(Directory.Exists(recipe.Folder));
        fault = Fault(recipe with { Shape = recipe.Shape! with { Layers = 1024, FeedForward = 1 << 20, Width = 1 << 20 } });
        Assert.Equal("out_of_memory", fault.Code);
        Assert.False(Directory.Exists(recipe.Folder));
    }

    [Fact]
    public void The_memory_told_is_of_the_model_that_is_trained()
    {
        string Told(Recipe recipe)
        {
            var output = new StringWriter();
            new TrainingRun(recipe, output, null, TimeProvider.System).Execute(CancellationToken.None);
            return Assert.Single(output.ToString().Split('\n'), line => line.StartsWith("Memory: ", StringComparison.Ordinal)).Split(" needed")[0];
        }

        Recipe first = Recipe("first", 3), other = Recipe("other", 3), further = Recipe("further", 3);
        string told = Told(first);
        Assert.Equal($"Memory: {Trainer.EstimateBytes(Trainer.ConfigOf(first.Output!), first.Options) / 1048576.0:N0} MiB", told);
        Assert.Equal(told, Told(other with { TokenizerModel = first.Output, VocabularySize = 0 }));
        Assert.Equal(told, Told(further with { BaseModel = first.Output, Shape = null, Template = null, VocabularySize = 0 }));
    }

    [Fact]
    public void Every_line_that_is_left_out_is_named()
    {
        Recipe recipe = Recipe("left", 3);
        string data = _folder.File("data.jsonl");
        File.AppendAllLines(data, Enumerable.Repeat("{\"messages\": [{\"role\": \"a\\nb\"}]}", 30));
        var output = new StringWriter();
        new TrainingRun(recipe, output, null, TimeProvider.System).Execute(CancellationToken.None);
        string all = Path.Combine(recipe.Folder, "left-out.txt");
        Assert.Contains("Left out: 31 lines (1 invalid_json, 30 unknown_role).", output.ToString());
        Assert.Contains($"and 11 more; all are in {all}", output.ToString());
        Assert.Equal(Enumerable.Range(61, 31).Select(line => $"{data}:{line}: "), File.ReadLines(all).Select(line => line[..(line.IndexOf(": ", StringComparison.Ordinal) + 2)]));

        File.WriteAllLines(data, File.ReadLines(data).Take(60).ToArray());
        Recipe whole = Recipe("whole", 3);
        new TrainingRun(whole, output, null, TimeProvider.System).Execute(CancellationToken.None);
        Assert.False(File.Exists(Path.Combine(whole.Folder, "left-out.txt")));
    }

    [Fact]
    public void A_terminal_shows_how_a_run_goes()
    {
        var output = new StringWriter();
        IAnsiConsole terminal = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output), Ansi = AnsiSupport.Yes, ColorSystem = ColorSystemSupport.NoColors });
        terminal.Profile.Width = 120;
        var lines = new StringWriter();
        Recipe recipe = Recipe("panel", 6);
        Assert.Equal(TrainingEnd.Complete, new TrainingRun(recipe, lines, terminal, TimeProvider.System).Execute(CancellationToken.None));
        string shown = output.ToString();
        foreach (string row in File.ReadLines(Path.Combine(recipe.Folder, "training.csv")).Skip(1))
        {
            string[] parts = row.Split(',');
            Assert.Contains($"{parts[0]} of 6", shown, StringComparison.Ordinal);
            Assert.Contains(double.Parse(parts[1], CultureInfo.InvariantCulture).ToString("F4"), shown, StringComparison.Ordinal);
        }
        Assert.All((string[])["loss", "tokens/s", "learning rate", "left"], word => Assert.Contains(word, shown, StringComparison.Ordinal));
        Assert.DoesNotContain("step 1/", lines.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Generated_conversations_join_those_of_files()
    {
        Recipe recipe = Recipe("generated", 3);
        recipe = recipe with { Generated = (5, 40, "arithmetic", 1), Options = recipe.Options with { MaxExampleTokens = 512 } };
        var output = new StringWriter();
        Assert.Equal(TrainingEnd.Complete, new TrainingRun(recipe, output, null, TimeProvider.System).Execute(CancellationToken.None));
        Assert.Contains("40 conversations of seed 5", output.ToString());
        Assert.Contains("from 101 lines", output.ToString());
        Assert.Equal("other_recipe", Fault(recipe with { Generated = (6, 40, "arithmetic", 1) }).Code);
        Assert.Equal("other_recipe", Fault(recipe with { Generated = (5, 40, "arithmetic", 2) }).Code);
    }

    [Fact]
    public void A_missing_input_is_named()
    {
        Recipe recipe = Recipe("missing", 3);
        Assert.Contains("no.jsonl", Fault(recipe with { Files = [_folder.File("no.jsonl")] }).Message);
        Assert.Contains("no.gguf", Fault(recipe with { TokenizerModel = _folder.File("no.gguf"), VocabularySize = 0 }).Message);
    }

    [Fact]
    public void Available_memory_is_read_off_the_system()
    {
        Assert.Equal(2048L * 1024, MachineMemory.Parse(["MemTotal:       4096 kB", "MemAvailable:       2048 kB"]));
        Assert.Null(MachineMemory.Parse(["MemFree: 7 kB", "MemAvailable: many kB"]));
        Assert.InRange(MachineMemory.Available(), 1 << 20, long.MaxValue);
    }

    [Fact]
    public void Ticks_are_round_and_few()
    {
        foreach ((double low, double high) in (ReadOnlySpan<(double, double)>)[(0, 1), (0.3, 7.2), (0, 123_456_789), (2.001, 2.002)])
        {
            double[] ticks = [.. Chart.Ticks(low, high)];
            Assert.InRange(ticks.Length, 3, 9);
            Assert.All(ticks, tick => Assert.InRange(tick, low, high + 1e-9 * high));
        }
        Assert.NotNull(XElement.Parse(LossCurve.Draw("a < b & c", [])));
    }

    private FlintException Fault(Recipe recipe) =>
        Assert.Throws<FlintException>(() => new TrainingRun(recipe, new StringWriter(), null, TimeProvider.System).Execute(CancellationToken.None));

    // Loss and all else that does not depend on time.
    private static string[] Losses(Recipe recipe) =>
        [.. File.ReadLines(Path.Combine(recipe.Folder, "training.csv")).Skip(1).Select(line => line.Split(',')).Select(p => string.Join(',', p[0], p[1], p[2], p[3], p[4], p[7], p[8]))];

    private Recipe Recipe(string folder, int steps)
    {
        string path = _folder.File($"{folder}.yaml");
        File.WriteAllText(path,
            $$"""
            name: tiny
            data: {files: data.jsonl, max_tokens: 256, prompt_weight: 0.05}
            tokenizer: {size: 300}
            template: t.jinja
            model: {architecture: muse-glimmer, layers: 2, width: 32, heads: 2, kv_heads: 1, head_length: 16, feed_forward: 64, window: 64, pattern: 2, context: 256}
            training: {steps: {{steps}}, threads: 1, micro_batch_tokens: 512, warmup_steps: 2, checkpoint_every: 5}
            output: {folder: {{folder}}, model: {{folder}}.gguf, quantized: {Q8_0: {{folder}}-q8.gguf } }
            """);
        return App.Recipes.Recipe.Load(path);
    }

    /// <summary>A clock that moves on by a minute whenever it is read.</summary>
    private sealed class JumpingTime : TimeProvider
    {
        private long _reads;

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => 60 * _reads++;
    }

    /// <summary>A clock that asks to stop at its n-th reading.</summary>
    private sealed class StoppingTime(CancellationTokenSource stop, int after) : TimeProvider
    {
        private int _reads;

        public override long GetTimestamp()
        {
            if (++_reads == after) stop.Cancel();
            return _reads;
        }
    }
}
