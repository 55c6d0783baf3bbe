using System.Text.Json;
using Flint.App.Eval;
using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Dialects;

namespace Flint.App.Tests.Eval;

/// <summary>Reference answers are all right, spoilt ones all wrong, and what a real engine says is read as a client reads it.</summary>
public sealed class EvaluationTests : IDisposable
{
    private static readonly string[] AllTasks = [.. NanoWorld.Tasks, NanoWorld.WordsTask];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Tasks => [.. AllTasks];

    [Theory]
    [MemberData(nameof(Tasks))]
    public async Task Reference_answers_score_all(string task)
    {
        TaskResult result = await RunAsync(task, 60, (item, place) => Turn(item.Messages[place], text => text));
        Assert.Equal(new Score(60, 60), result.Score);
        Assert.Equal(task == "json" ? new Score(60, 60) : null, result.Valid);
        Assert.Empty(result.Wrong);
        Assert.Equal(60, Enum.GetValues<Strength>().Sum(s => result.Of(s).Score.Items));
    }

    [Theory]
    [MemberData(nameof(Tasks))]
    public async Task White_space_does_not_matter(string task)
    {
        TaskResult result = await RunAsync(task, 60, (item, place) => Turn(item.Messages[place], text => $" {text.Replace(" ", "  ")}\n"));
        Assert.Equal(60, task == "json" ? result.Valid!.Value.Correct : result.Score.Correct);
    }

    [Theory]
    [MemberData(nameof(Tasks))]
    public async Task Spoilt_answers_score_nothing(string task)
    {
        foreach (Func<string, string> spoil in (Func<string, string>[])[_ => "", text => text + " 7", text => "x" + string.Concat(text.Select(c => char.IsAsciiDigit(c) ? (char)('0' + (c - '0' + 1) % 10) : c)), text => text[1..] + text[0] + "9"])
        {
            TaskResult result = await RunAsync(task, 40, (item, place) => Turn(item.Messages[place], spoil));
            Assert.Equal(0, result.Score.Correct);
            Assert.Equal(5, result.Wrong.Count);
        }
    }

    [Fact]
    public void Calls_count_by_name_arguments_and_order()
    {
        NanoItem item = Enumerable.Range(0, 200).Select(i => NanoWorld.HeldOut(3, "tools", i)).First(x => x.Messages.Any(m => m.ToolCalls?.Count == 2));
        int place = item.Messages.ToList().FindIndex(m => m.ToolCalls?.Count == 2);
        IReadOnlyList<ToolCall> calls = item.Messages[place].ToolCalls!;
        bool Right(params ToolCall[] made) => Grading.Judge(item, place, "", made).Right;
        Assert.True(Right([.. calls]));
        Assert.True(Right(calls[0] with { Id = "other", Arguments = calls[0].Arguments.Replace(": ", ":") }, calls[1]));
        Assert.False(Right(calls[1], calls[0]));
        Assert.False(Right(calls[0]));
        Assert.False(Right(calls[0], calls[1], calls[1]));
        Assert.False(Right(calls[0] with { Name = calls[0].Name + "x" }, calls[1]));
        Assert.False(Right(calls[0] with { Arguments = "{}" }, calls[1]));
        Assert.False(Right(calls[0] with { Arguments = "{" }, calls[1]));
        Assert.False(Right(calls[0] with { Arguments = """{"a": 1, "a": 2}""" }, calls[1]));
        Assert.False(Grading.Judge(item, item.Messages.Count - 1, item.Messages[^1].Content!, calls).Right);
    }

    [Theory]
    [InlineData("""{"a": "x", "n": 5, "d": "2026-02-28", "p": true, "l": [{"q": 2}]}""", true)]
    [InlineData("""{"n": 5.5, "a": "x"}""", true)]
    [InlineData("""{"n": 5}""", false)] // a is required
    [InlineData("""{"a": 1}""", false)]
    [InlineData("""{"a": "x", "n": "5"}""", false)]
    [InlineData("""{"a": "x", "i": 5.5}""", false)]
    [InlineData("""{"a": "x", "d": "28.02.2026"}""", false)]
    [InlineData("""{"a": "x", "d": "2026-02-30"}""", false)]
    [InlineData("""{"a": "x", "p": "yes"}""", false)]
    [InlineData("""{"a": "x", "e": "cash"}""", true)]
    [InlineData("""{"a": "x", "e": "gold"}""", false)]
    [InlineData("""{"a": "x", "l": [{"q": "2"}]}""", false)]
    [InlineData("""{"a": "x", "other": 1}""", false)]
    [InlineData("""{"a": "x", "a": "y"}""", false)]
    [InlineData("""["a"]""", false)]
    [InlineData("""Here it is: {"a": "x"}""", false)]
    [InlineData("null", false)]
    [InlineData("", false)]
    public void Json_is_checked_against_its_schema(string text, bool valid)
    {
        const string schema =
            """{"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "number"}, "i": {"type": "integer"}, "d": {"type": "string", "format": "date"}, "p": {"type": "boolean"}, "e": {"type": "string", "enum": ["card", "cash"]}, "l": {"type": "array", "items": {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}}}, "required": ["a"]}""";
        Assert.Equal(valid, FormsSchema.IsValid(schema, text));
    }

    [Fact]
    public void Intervals_are_Wilsons()
    {
        // 81 of 263 is a worked example of Newcombe (1998): 0.2553 to 0.3662.
        var score = new Score(263, 81);
        Assert.Equal(0.2553, score.Low, 4);
        Assert.Equal(0.3662, score.High, 4);
        Assert.Equal((0, 1), (new Score(10, 0).Low, new Score(10, 10).High));
        Assert.Equal((0, 1), (default(Score).Low, default(Score).High));
    }

    [Fact]
    public async Task Needle_items_fill_the_length_by_exact_count()
    {
        int Count(NanoItem item) => item.Messages.Sum(m => (m.Content + m.ReasoningContent).Length) / 3;
        foreach (int length in (int[])[300, 2048])
        {
            var lengths = new List<int>();
            var options = new EvaluationOptions { Tasks = ["needle"], Items = 20, NeedleTokens = length };
            await new Evaluation((item, place, _) =>
            {
                lock (lengths) lengths.Add(Count(item));
                return Task.FromResult(Turn(item.Messages[place], text => text));
            }, Count, options).RunAsync((_, _, _) => { }, CancellationToken.None);
            Assert.All(lengths, tokens => Assert.InRange(tokens, length * 1850 / 2048, length - 8));
        }
    }

    [Fact]
    public async Task A_model_is_asked_through_the_engine_and_its_channels_are_read()
    {
        NanoItem item = Enumerable.Range(0, 100).Select(i => NanoWorld.HeldOut(EvaluationOptions.DefaultSeed, "facts", i)).First(x => x.Graded.Count() == 1);
        ScriptedModel.Write(_folder.File("m.gguf"), ScriptedModel.MuseGlimmer, 't', "<|message|>", item.Messages[^1].Content!, "<|eot|>");
        using ServedModel model = ServedModel.Load(_folder.File("m.gguf"), null, new ServingOptions { Parallel = 4, Threads = 1 });
        var options = new EvaluationOptions { Tasks = ["facts"], Items = 30, Wrong = 2, Parallel = 4 };
        TaskResult result = (await new Evaluation(model, options).RunAsync((_, _, _) => { }, CancellationToken.None))[0];
        int expected = Enumerable.Range(0, 30).Select(i => NanoWorld.HeldOut(options.Seed, "facts", i))
            .Count(x => x.Graded.All(place => x.Messages[place].Content == item.Messages[^1].Content));
        Assert.InRange(expected, 1, 29);
        Assert.Equal(new Score(30, expected), result.Score);
        Assert.Contains($"written:  {item.Messages[^1].Content}", Report.Describe(result.Wrong[0]));

        using var json = new MemoryStream();
        Report.WriteJson(json, model.Name, options.Seed, [result]);
        JsonElement root = JsonDocument.Parse(json.ToArray()).RootElement;
        Assert.Equal(("m", options.Seed, Math.Round(expected / 30.0, 4)),
            (root.GetProperty("model").GetString(), root.GetProperty("seed").GetUInt64(), root.GetProperty("accuracy").GetDouble()));
        Assert.Equal(expected, root.GetProperty("tasks")[0].GetProperty("correct").GetInt32());

        var card = new StringWriter();
        ModelCard.Write(card, model, options, [result], [(Strength.Low, [result])]);
        Assert.StartsWith("# m\n", card.ToString());
        Assert.Contains($"| facts | 30 | {expected / 30.0 * 100:F1} % |", card.ToString());
        Assert.Contains("### At the strength low\n", card.ToString());
        Assert.Contains($"flint eval nano --task facts --items 30 --seed {options.Seed}", card.ToString());

        Assert.Throws<FlintException>(() => new Evaluation(model, new EvaluationOptions { Tasks = ["needle"], NeedleTokens = 8192 }));
        Assert.Throws<FlintException>(() => new Evaluation(model, new EvaluationOptions { Tasks = ["poetry"] }));
    }

    [Fact]
    public async Task Calls_and_thoughts_of_a_model_are_read()
    {
        NanoItem item = Enumerable.Range(0, 200).Select(i => NanoWorld.HeldOut(3, "tools", i)).First(x => x.Messages.Any(m => m.ToolCalls?.Count == 1));
        int place = item.Messages.ToList().FindIndex(m => m.ToolCalls?.Count == 1);
        ToolCall call = item.Messages[place].ToolCalls![0];
        string parameters = string.Concat(JsonDocument.Parse(call.Arguments).RootElement.EnumerateObject().Select(p => $"<atem:parameter name=\"{p.Name}\">{p.Value}</atem:parameter>\n"));
        ScriptedModel.Write(_folder.File("m.gguf"), ScriptedModel.MuseGlimmer, 't', $" to={call.Name}", "<|message|>",
            $"<atem:function_calls>\n<atem:invoke name=\"{call.Name}\">\n{parameters}</atem:invoke>\n</atem:function_calls>", "<|eot|>");
        using ServedModel model = ServedModel.Load(_folder.File("m.gguf"), null, new ServingOptions { Parallel = 1, Threads = 1 });
        ModelTurn turn = await new Responder(model).AnswerAsync(item, place, CancellationToken.None);
        Assert.True(Grading.Judge(item, place, turn.Content, turn.Calls).Right);
    }

    private static async Task<TaskResult> RunAsync(string task, int items, Func<NanoItem, int, ModelTurn> answer)
    {
        var options = new EvaluationOptions { Tasks = [task], Items = items, NeedleTokens = 512, Wrong = 5, Seed = 11 };
        var told = new List<int>();
        IReadOnlyList<TaskResult> results = await new Evaluation(
            (item, place, _) => Task.FromResult(answer(item, place)), item => item.Messages.Sum(m => (m.Content + m.ReasoningContent).Length) / 5, options)
            .RunAsync((_, done, _) => told.Add(done), CancellationToken.None);
        Assert.Equal(Enumerable.Range(0, items + 1), told);
        return results[0];
    }

    private static ModelTurn Turn(ChatMessage reference, Func<string, string> spoil) => reference.ToolCalls is { } calls
        ? new ModelTurn("", "", [.. calls.Select(c => spoil("1") == "1" || spoil("1").Trim() == "1" ? c : c with { Arguments = spoil(c.Arguments) })], 1)
        : new ModelTurn(spoil(reference.Content!), reference.ReasoningContent!, [], 1);
}
