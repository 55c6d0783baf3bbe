using System.Text.Json.Nodes;
using System.Xml.Linq;
using Flint.App.Cli;
using Flint.App.Eval;
using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Spectre.Console;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint contemplate</c>, and contemplations in <c>flint eval nano</c>, on models small enough for a test.</summary>
public sealed class ContemplateTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Agents_votes_and_answer_are_printed_kept_and_replayed()
    {
        string model = _folder.File("m.gguf");
        ScriptedModel.Write(model, ScriptedModel.ChatMl, '\n', "<think>", "Six\u2581times\u2581seven.", "</think>", "42", "<|im_end|>");
        FlintProcess.Result run = FlintProcess.Run(["contemplate", "6 * 7?", "--model", model, "--seed", "5", "--threads", "1"]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        Assert.StartsWith("[1] Six times seven. => 42\n[2] ", run.Output, StringComparison.Ordinal);
        Assert.EndsWith("\nVotes: 42 \u00d7 4; agreement 1.00.\n\n4 agents, 20 tokens (0 discarded), agreement 100 %, uncalibrated; seed 5\n42\n", run.Output, StringComparison.Ordinal);

        File.WriteAllText(_folder.File("m.calibration.json"), """{"points": [[0, 0.1], [1, 0.75]]}""");
        FlintProcess.Result kept = FlintProcess.Run(["contemplate", "--model", model, "--seed", "5", "--agents", "3", "--json", "--threads", "1"], input: "6 * 7?\n");
        Assert.Equal((0, ""), (kept.Code, kept.Errors));
        var trace = ContemplationTrace.FromJson(kept.Output);
        Assert.Equal((3, 0.75, true, "42"), (trace.Agents.Count, trace.Answer.Confidence, trace.Answer.Calibrated, trace.Answer.Content));
        string path = _folder.File("trace.json");
        File.WriteAllText(path, kept.Output);
        Assert.Equal("The same, bit for bit: 3 agents, 15 tokens.\n", FlintProcess.Run(["contemplate", "--model", model, "--replay", path]).Output);
        File.WriteAllText(path, kept.Output.Replace("\"reasoning\":\"Six times seven.\"", "\"reasoning\":\"Six times eight.\"", StringComparison.Ordinal));
        FlintProcess.Result spoilt = FlintProcess.Run(["contemplate", "--model", model, "--replay", path]);
        Assert.Equal((1, 3), (spoilt.Code, spoilt.Output.Split("read otherwise").Length - 1));
        Assert.Contains("contemplation's trace", FlintProcess.Run(["contemplate", "--model", model, "--replay", _folder.File("m.calibration.json")]).Complaint, StringComparison.Ordinal);
        Assert.Equal(2, FlintProcess.Run(["contemplate", "x", "--agents", "65"]).Code);
        Assert.Equal(2, FlintProcess.Run(["contemplate", "x", "--effort", "heroic"]).Code);
        Assert.Contains("--check", FlintProcess.Run(["contemplate", "x", "--tests", path]).Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_template_has_no_word_for_is_said_and_code_is_put_to_a_command()
    {
        string model = _folder.File("m.gguf"), tests = _folder.File("tests.sh");
        ScriptedModel.Write(model, ScriptedModel.ChatMl, '\n', "ready=yes", "<|im_end|>");
        File.WriteAllText(tests, "[ $ready = yes ]");
        FlintProcess.Result run = FlintProcess.Run(["contemplate", "Code?", "--model", model, "--seed", "5", "--threads", "1", "--effort", "high", "--check", "sh", "--tests", tests]);
        Assert.Equal((0, "flint: The template has no effort 'high': the agents take the nearest.\n"), (run.Code, run.Errors));
        Assert.EndsWith("agreement 100 %, uncalibrated, passes its check; seed 5\nready=yes\n", run.Output, StringComparison.Ordinal);
        run = FlintProcess.Run(["contemplate", "Code?", "--model", model, "--seed", "5", "--threads", "1", "--check", "false", "--aggregation", "vote"]);
        Assert.Contains("passes no check", run.Output, StringComparison.Ordinal);

        run = FlintProcess.Run(["run", model, "--prompt", "Code?", "--temperature", "0", "--threads", "1", "--effort", "high"]);
        Assert.Equal((0, "ready=yes\n", "flint: The template has no effort 'high': the nearest is taken.\n"), (run.Code, run.Output, run.Errors));
        ScriptedModel.Write(model, ScriptedModel.MuseGlimmer, 't', "\u2581to=self", "<|message|>", "Hm.", "<|eom|>", "<|start|>", "assistant\u2581to=user", "Hello.", "<|eot|>", "\u2581");
        run = FlintProcess.Run(["run", model, "--prompt", "hi", "--temperature", "0", "--threads", "1", "--max-tokens", "3", "--mode", "instant"]);
        Assert.Contains("begun in the model's place", run.Errors, StringComparison.Ordinal);
        Assert.StartsWith("Hm.", run.Output, StringComparison.Ordinal); // the script knows one way on from <|message|>, here the answer's
    }

    [Fact]
    public async Task A_terminal_shows_a_panel_for_every_agent()
    {
        string path = _folder.File("m.gguf");
        ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', "<think>", "Six\u2581times\u001b[2Jseven.", "</think>", "42", "<|im_end|>");
        using ServedModel model = ServedModel.Load(path, null, new ServingOptions { Threads = 1 });
        var input = new TemplateInput { Messages = [new ChatMessage { Role = "user", Content = "hi" }] };
        var screen = new ContemplationScreen(model, model.Encode(input), TimeProvider.System);
        ContemplationTask task = ChatContemplation.Create(model.Variants[0], input, new SamplingOptions(), [], tell: screen.TellAsync);
        ContemplationTrace trace = await Contemplation.RunAsync(model.Engine, task, new ContemplationOptions { Agents = 6, StopError = 0 }, cancellation: TestContext.Current.CancellationToken);
        var output = new StringWriter();
        IAnsiConsole terminal = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output), Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors });
        terminal.Profile.Width = 160;
        terminal.Write(screen.Render());
        string shown = output.ToString();
        for (int agent = 1; agent <= trace.Agents.Count; agent++)
            Assert.Contains($"[{agent}] 5 tokens", shown, StringComparison.Ordinal);
        Assert.Contains("=> 42", shown, StringComparison.Ordinal);
        Assert.Contains("42 \u00d7 6", shown, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', shown);
    }

    [Fact]
    public async Task Flint_nano_makes_the_same_tree_beside_others()
    {
        if (!BuiltinModel.Exists) Assert.Skip("this build holds no model of its own");
        using Stream content = typeof(BuiltinModel).Assembly.GetManifestResourceStream(BuiltinModel.Name + ".gguf")!;
        using ServedModel model = ServedModel.Load(BuiltinModel.Unpack(content, _folder.Path), null, new ServingOptions { Threads = 2 });
        var options = new ContemplationOptions { Agents = 6, AgentTokens = 120, StopError = 0, Seed = 3, PrunePercentile = 50 };
        ContemplationTask Ask(int index)
        {
            NanoItem item = NanoWorld.HeldOut(1, "arithmetic", index);
            return ChatContemplation.Create(model.Variants[0], new Responder(model).Input(item, item.Graded.First(), prompt: true), new SamplingOptions(), []);
        }

        Task<ContemplationTrace> ThinkAsync(int index) => Contemplation.RunAsync(model.Engine, Ask(index), options, cancellation: TestContext.Current.CancellationToken);
        ContemplationTrace alone = await ThinkAsync(0);
        ContemplationTrace[] beside = await Task.WhenAll(ThinkAsync(0), ThinkAsync(1), ThinkAsync(2));
        Assert.Equal(alone.ToJson(), beside[0].ToJson());
        Assert.NotEqual(alone.ToJson(), beside[1].ToJson());
        Assert.Contains(alone.Agents, agent => agent.Reasoning.Length > 0);
        Assert.Empty(await Replay.RunAsync(model.Engine, Ask(0), alone, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void An_evaluation_contemplates_votes_and_learns_what_agreement_means()
    {
        string model = _folder.File("m.gguf"), fit = _folder.File("fit.json");
        ScriptedModel.Write(model, ScriptedModel.MuseGlimmer, 't', "<|message|>", "12", "<|eot|>");
        JsonNode Run(params string[] more)
        {
            FlintProcess.Result run = FlintProcess.Run(["eval", "nano", "--model", model, "--task", "arithmetic", "--items", "60", "--seed", "4", "--json", "--threads", "1", .. more]);
            Assert.Equal((0, ""), (run.Code, run.Errors));
            return JsonNode.Parse(run.Output)!;
        }

        JsonNode greedy = Run(), majority = Run("--mode", "majority", "--agents", "5"), together = Run("--mode", "contemplating", "--agents", "6", "--fit", fit, "--traces", _folder.File("trees.jsonl"));
        JsonNode[] trees = [.. File.ReadLines(_folder.File("trees.jsonl")).Select(line => JsonNode.Parse(line)!)];
        Assert.Equal(60, trees.Length);
        Assert.Equal((double)together["accuracy"]!, trees.Count(t => (bool)t["right"]!) / 60.0, 3);
        Assert.All(trees, t => Assert.Equal([.. Enumerable.Repeat((bool)t["right"]!, 4)], t["agents_right"]!.AsArray().Select(r => (bool)r!)));
        Assert.All(trees, t => Assert.Equal(4, ContemplationTrace.FromJson(t["tree"]!.ToJsonString()).Agents.Count));
        Assert.Equal("greedy", (string?)greedy["mode"]);
        Assert.Equal((double)greedy["accuracy"]!, (double)majority["accuracy"]!);
        Assert.Equal((double)greedy["accuracy"]!, (double)together["accuracy"]!);
        Assert.False(greedy["tasks"]![0]!.AsObject().ContainsKey("ece"));
        JsonNode task = together["tasks"]![0]!;
        Assert.Equal((60 * 4 * 3, 4.0, 5.0), ((int)task["output_tokens"]!, (double)task["mean_agents"]!, (double)majority["tasks"]![0]!["mean_agents"]!));
        // All agree always, and are seldom right: the error is what is wrong, until that is known.
        Assert.Equal(1 - (double)together["accuracy"]!, (double)task["ece"]!, 3);
        Assert.False((bool)task["calibrated"]!);
        JsonNode calibrated = Run("--mode", "contemplating", "--agents", "6", "--calibration", fit)["tasks"]![0]!;
        Assert.True((bool)calibrated["calibrated"]!);
        Assert.InRange((double)calibrated["ece"]!, 0, 0.03);
        Assert.InRange((double)task["ece_cross_fitted"]!, 0, 0.15);
        Assert.Contains("--card", FlintProcess.Run(["eval", "nano", "--mode", "majority", "--card", "x"]).Complaint, StringComparison.Ordinal);
        Assert.Contains("--fit", FlintProcess.Run(["eval", "nano", "--fit", "x"]).Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public void A_curve_tells_what_more_agents_gain()
    {
        string model = _folder.File("m.gguf"), picture = _folder.File("curve.svg");
        ScriptedModel.Write(model, ScriptedModel.MuseGlimmer, 't', "<|message|>", "12", "<|eot|>");
        FlintProcess.Result run = FlintProcess.Run(["eval", "nano", "--model", model, "--task", "arithmetic", "--items", "12", "--seed", "4", "--threads", "1", "--curve", picture]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        string[][] rows = [.. run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(row => row.Split(' ', StringSplitOptions.RemoveEmptyEntries))];
        Assert.Equal(13, rows.Length);
        Assert.Equal(["greedy", .. Enumerable.Repeat("majority", 6), .. Enumerable.Repeat("contemplating", 6)], rows.Select(row => row[0]));
        Assert.Equal(["1", "1", "2", "4", "8", "16", "32", "1", "2", "4", "8", "16", "32"], rows.Select(row => row[1]));
        XElement svg = XElement.Load(picture);
        Assert.Equal(2 * 13, svg.Descendants().Count(e => e.Name.LocalName == "circle")); // every way in both charts
        foreach (string label in (string[])["contemplating", "majority of samples", "one answer, greedy"])
            Assert.Equal(2, svg.Descendants().Count(e => e.Name.LocalName == "text" && e.Value == label));
        Assert.Contains("--curve", FlintProcess.Run(["eval", "nano", "--curve", "x"]).Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public void Calibrations_are_read_as_they_are_written()
    {
        string path = _folder.File("c.json");
        CalibrationFile.Write(path, new Calibration([new(0.25, 0.1), new(1, 0.9)]));
        Assert.Equal([new(0.25, 0.1), new(1, 0.9)], CalibrationFile.Read(path).Points);
        foreach (string bad in (string[])["", "[]", "{}", """{"points": []}""", """{"points": [[1]]}""", """{"points": [["a", 1]]}""", """{"points": [[1, 0.5], [0.5, 0.6]]}"""])
        {
            File.WriteAllText(path, bad);
            Assert.Equal("invalid_calibration", Assert.Throws<FlintException>(() => CalibrationFile.Read(path)).Code);
        }
    }
}
