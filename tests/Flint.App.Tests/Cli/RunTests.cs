using System.Diagnostics;
using System.Text.Json;
using Flint.App.Cli;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint run</c> on a tiny model, as a script and as a person would use it.</summary>
public sealed class RunTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-run-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string Model(string? template = TinyModel.ChatMl)
    {
        string path = Path.Combine(_folder, "tiny.gguf");
        if (!File.Exists(path)) TinyModel.Write(path, template);
        return path;
    }

    private string Answers(string input, params string[] options)
    {
        FlintProcess.Result run = FlintProcess.Run(["run", Model(), "--threads", "1", "--max-tokens", "12", "--temperature", "0", .. options], input: input);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        return run.Output;
    }

    [Fact]
    public void One_prompt_one_answer()
    {
        string answer = Answers("", "--prompt", "hello the");
        Assert.EndsWith("\n", answer, StringComparison.Ordinal);
        Assert.True(answer.Length > 1);
        Assert.Equal(answer, Answers("hello the\n"));
        Assert.NotEqual(answer, Answers("", "--prompt", "hello the", "--system", "in the"));
    }

    [Fact]
    public void A_conversation_remembers_until_reset()
    {
        string first = Answers("hello\n");
        Assert.Equal(first + first, Answers("hello\n/reset\nhello\n/exit\nhello\n"));
        Assert.NotEqual(first + first, Answers("hello\n\nhello\n"));
        string systematic = Answers("hello\n", "--system", "the he");
        Assert.NotEqual(first, systematic);
        Assert.Equal(systematic + first, Answers("/system the he\nhello\n/system\nhello\n"));
    }

    [Fact]
    public void A_seed_repeats_draws()
    {
        string Draw(string seed) => FlintProcess.Run(["run", Model(), "--prompt", "hello", "--seed", seed, "--max-tokens", "12"]).Output;
        Assert.Equal(Draw("7"), Draw("7"));
        Assert.NotEqual(Draw("7"), Draw("8"));
    }

    [Fact]
    public void Raw_text_goes_on_without_a_template()
    {
        string chat = Answers("", "--prompt", "hello"), raw = Answers("", "--prompt", "hello", "--raw");
        Assert.NotEqual(chat, raw);
        File.Delete(Model());
        Model(template: null);
        Assert.True(Answers("", "--prompt", "hello").Length > 1);
        Assert.Contains("--system", FlintProcess.Run(["run", Model(), "--prompt", "hello", "--system", "x"]).Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public void Thoughts_stay_out_of_a_pipe()
    {
        Model(TinyModel.ChatMl.Replace("assistant\n{% endif", "assistant\n<think>\n{% endif", StringComparison.Ordinal));
        Assert.Equal("", Answers("", "--prompt", "hello")); // the prompt ends inside the thoughts, and 12 tokens do not lead out
    }

    [Fact]
    public void A_terminal_sees_thoughts_dimmed_and_no_control_characters()
    {
        var output = new StringWriter();
        var screen = new Screen(output, terminal: true, colour: true);
        screen.Reasoning("hm\u001b[2J");
        screen.Reasoning("m");
        screen.Content("yes\t\u0007\u009b!");
        screen.End();
        Assert.Equal("\u001b[2mhm[2Jm\n\u001b[0myes\t!\n", output.ToString());

        output = new StringWriter();
        screen = new Screen(output, terminal: true, colour: false);
        screen.Reasoning("hm");
        screen.Content("yes\n");
        screen.End();
        Assert.Equal("hm\nyes\n", output.ToString());

        output = new StringWriter();
        screen = new Screen(output, terminal: false, colour: false);
        screen.Reasoning("hm");
        screen.Content("\u001b[1myes");
        screen.End();
        Assert.Equal("\u001b[1myes\n", output.ToString());
    }

    [Fact]
    public void A_trained_model_tells_its_story()
    {
        string model = TestData.Shared("data/weights/stories260K-converted/stories260K-f32.gguf");
        string expected = File.ReadAllText(TestData.Shared("data/weights/stories260K/expected_greedy_200steps.txt"));
        FlintProcess.Result run = FlintProcess.Run(["run", model, "--prompt", "", "--temperature", "0", "--max-tokens", "200"]);
        Assert.Equal(expected.TrimEnd('\n'), run.Output.TrimEnd('\n'));
    }

    private FlintProcess.Result Held(string option, string text, params string[] options)
    {
        string file = Path.Combine(_folder, "held.txt");
        File.WriteAllText(file, text);
        return FlintProcess.Run(["run", Model(), "--threads", "1", "--prompt", "hello", option, file, .. options]);
    }

    [Theory]
    [InlineData("--seed 1")]
    [InlineData("--seed 2")]
    [InlineData("--seed 3 --raw")]
    public void An_answer_is_held_to_the_schema_of_a_file(string options)
    {
        FlintProcess.Result run = Held(
            "--json-schema", "\uFEFF{\"type\": \"object\", \"properties\": {\"colour\": {\"enum\": [\"red\", \"blue\"]}, \"count\": {\"type\": \"integer\", \"minimum\": 3, \"maximum\": 12}}, \"required\": [\"colour\", \"count\"], \"additionalProperties\": false}", options.Split(' '));
        Assert.Equal((0, ""), (run.Code, run.Errors));
        using JsonDocument answer = JsonDocument.Parse(run.Output);
        Assert.Contains(answer.RootElement.GetProperty("colour").GetString(), (string[])["red", "blue"]);
        Assert.InRange(answer.RootElement.GetProperty("count").GetInt32(), 3, 12);
        Assert.Equal(2, answer.RootElement.EnumerateObject().Count());
    }

    [Fact]
    public void An_answer_is_held_to_the_grammar_of_a_file()
    {
        FlintProcess.Result run = Held("--grammar", "root ::= (\"yes\" | \"no\") \", \" digit digit\ndigit ::= [0-9]\n");
        Assert.Equal((0, ""), (run.Code, run.Errors));
        Assert.Matches("^(yes|no), [0-9]{2}\n$", run.Output);
        FlintProcess.Result standard = FlintProcess.Run(["run", Model(), "--prompt", "hello", "--grammar", "-"], input: "root ::= \"x\" \"y\"");
        Assert.Equal((0, "xy\n"), (standard.Code, standard.Output));
    }

    [Theory]
    [InlineData("--json-schema", "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"colour\"}}}", "'type' at #/properties/a")]
    [InlineData("--json-schema", "{\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/none\"}}", "'#/$defs/none' at #/items")]
    [InlineData("--json-schema", "{\"type\": \"object\",\n \"x\" 1}", "LineNumber: 1")]
    [InlineData("--grammar", "root ::= item\nitem ::= [a-", "line 2")]
    [InlineData("--grammar", "root ::= item", "'item'")]
    public void What_an_answer_cannot_be_held_to_is_told_with_its_place(string option, string text, string place)
    {
        FlintProcess.Result run = Held(option, text);
        Assert.Equal((1, ""), (run.Code, run.Output));
        Assert.Contains(place, run.Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public void An_answer_is_held_to_one_thing()
    {
        Assert.Contains("leave one out", Held("--grammar", "root ::= \"x\"", "--json-schema", "none.json").Complaint, StringComparison.Ordinal);
        Assert.Contains("no such file", FlintProcess.Run(["run", Model(), "--prompt", "hello", "--json-schema", "none.json"]).Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public void Too_long_a_prompt_names_both_lengths()
    {
        FlintProcess.Result run = FlintProcess.Run(["run", Model(), "--ctx", "16", "--prompt", new string('x', 100)]);
        Assert.Equal(1, run.Code);
        Assert.Contains("16", run.Complaint, StringComparison.Ordinal);
        Assert.Equal(2, FlintProcess.Run(["run", Model(), "--temperature", "-1"]).Code);
        Assert.Equal(2, FlintProcess.Run(["run", Model(), "--top-p", "2"]).Code);
    }

    [Fact]
    public async Task Ctrl_c_stops_the_answer_and_not_the_chat()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("signals are sent with kill");
        string model = Path.Combine(_folder, "endless.gguf");
        TinyModel.Write(model, ends: false);
        ProcessStartInfo start = FlintProcess.Told("run", model, "--temperature", "0", "--ctx", "200000", "--threads", "1");
        start.RedirectStandardInput = true;
        start.RedirectStandardError = true;
        using Process child = Process.Start(start)!;
        Task<string> errors = child.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        child.StandardInput.WriteLine("hello");
        child.StandardInput.Flush();
        var buffer = new char[1];
        Assert.Equal(1, await child.StandardOutput.ReadAsync(buffer.AsMemory(), TestContext.Current.CancellationToken)); // it is answering
        using (Process kill = Process.Start("kill", ["-INT", child.Id.ToString()]))
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        child.StandardInput.WriteLine("/exit");
        child.StandardInput.Close();
        string rest = await child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await child.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal((0, ""), (child.ExitCode, await errors));
        Assert.EndsWith("\n", rest, StringComparison.Ordinal);
    }
}
