using System.CommandLine;
using Flint.App.Eval;
using Flint.App.Nano;
using Flint.App.Serving;

namespace Flint.App.Cli;

/// <summary><c>flint eval</c>: how well a model does.</summary>
internal static class Eval
{
    private const int MaxParallel = 256, MaxWrong = 1000, MaxNeedleTokens = 1 << 20;

    /// <summary>The verb.</summary>
    public static Command Create() => new("eval", "Measure how well a model does.") { CreateNano() };

    private static Command CreateNano()
    {
        var model = new Option<string?>("--model", "-m") { Description = $"A .gguf file, or OWNER/REPO[:QUANT] of a pulled model (default: {BuiltinModel.Name}, which comes with Flint).", HelpName = "MODEL" };
        Option<string?> task = Nano.TaskOption();
        var items = Verb.Range(new Option<int?>("--items") { Description = $"Items of each task (default: {EvaluationOptions.DefaultItems}; needle {EvaluationOptions.DefaultNeedleItems}).", HelpName = "N" }, 1, EvaluationOptions.MaxItems);
        var seed = new Option<ulong>("--seed") { Description = "Draws the items; none is ever in a training set.", DefaultValueFactory = _ => EvaluationOptions.DefaultSeed, HelpName = "S" };
        var needle = Verb.Range(new Option<int>("--needle-tokens") { Description = "Tokens that the needle's items nearly fill.", DefaultValueFactory = _ => 2048, HelpName = "N" }, EvaluationOptions.MinNeedleTokens, MaxNeedleTokens);
        var json = new Option<bool>("--json") { Description = "Print one JSON object." };
        var card = new Option<string?>("--card") { Description = "Write the model's card to this file, in Markdown.", HelpName = "FILE" };
        var wrong = Verb.Range(new Option<int>("--wrong") { Description = "Show this many wrong answers of each task.", HelpName = "N" }, 0, MaxWrong);
        var parallel = Verb.Range(new Option<int>("--parallel") { Description = "Answers computed at once.", DefaultValueFactory = _ => 32, HelpName = "N" }, 1, MaxParallel);
        var threads = Verb.Threads();
        var command = new Command("nano", "Have a model answer held-out items of flint-nano's world.") { model, task, items, seed, needle, json, card, wrong, parallel, threads };
        command.SetAction(async (parsed, cancel) =>
        {
            string? one = parsed.GetValue(task);
            if (one is not null) NanoWorld.CheckTask(one);
            var options = new EvaluationOptions
            {
                Tasks = one is null ? NanoWorld.Tasks : [one],
                Items = parsed.GetValue(items),
                Seed = parsed.GetValue(seed),
                NeedleTokens = parsed.GetValue(needle),
                Parallel = parsed.GetValue(parallel),
                Wrong = parsed.GetValue(wrong),
            };
            using ServedModel served = ServedModel.Load(ModelLocator.Find(parsed.GetValue(model)), null,
                new ServingOptions { Parallel = options.Parallel, Threads = parsed.GetValue(threads) });
            if (!ChatSession.CanChat(served))
                throw FlintException.Caller("no_template", $"{served.Name} has no chat template, so it cannot be asked");
            IReadOnlyList<TaskResult> results = await new Evaluation(served, options).RunAsync(Progress, cancel);
            Tell(served, options, results, parsed.GetValue(json));
            if (parsed.GetValue(card) is string path)
            {
                using var file = new StreamWriter(path) { NewLine = "\n" };
                ModelCard.Write(file, served, options, results);
            }
        });
        return command;
    }

    private static void Progress(string task, int done, int items)
    {
        if (!Console.IsErrorRedirected) Console.Error.Write($"\r{task}: {done} of {items}{(done == items ? "        \n" : "")}");
    }

    private static void Tell(ServedModel model, EvaluationOptions options, IReadOnlyList<TaskResult> results, bool json)
    {
        foreach (WrongAnswer wrong in results.SelectMany(r => r.Wrong)) Console.Error.WriteLine(Report.Describe(wrong));
        if (!json)
        {
            TextTable.Write(Console.Out, Report.Headings, Report.Rows(results));
            return;
        }
        using Stream output = Console.OpenStandardOutput();
        Report.WriteJson(output, model.Name, options.Seed, results);
    }
}
