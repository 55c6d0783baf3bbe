using System.CommandLine;
using Flint.App.Eval;
using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Kernels;

namespace Flint.App.Cli;

/// <summary><c>flint eval</c>: how well a model does.</summary>
internal static class Eval
{
    private const int MaxParallel = 256, MaxWrong = 1000, MaxNeedleTokens = 1 << 20;

    // No answer of nano's world is nearly as long.
    private const int AgentTokens = 640;

    private static readonly Option<string?> Model = new("--model", "-m") { Description = $"A .gguf file, or OWNER/REPO[:QUANT] of a pulled model (default: {BuiltinModel.Name}, which comes with Flint).", HelpName = "MODEL" };
    private static readonly Option<string?> Task = Nano.TaskOption();
    private static readonly Option<int?> Items = Verb.Range(new Option<int?>("--items") { Description = $"Items of each task (default: {EvaluationOptions.DefaultItems}; needle {EvaluationOptions.DefaultNeedleItems}).", HelpName = "N" }, 1, EvaluationOptions.MaxItems);
    private static readonly Option<ulong> Seed = new("--seed") { Description = "Draws the items; none is ever in a training set.", DefaultValueFactory = _ => EvaluationOptions.DefaultSeed, HelpName = "S" };
    private static readonly Option<int> Needle = Verb.Range(new Option<int>("--needle-tokens") { Description = "Tokens that the needle's items nearly fill.", DefaultValueFactory = _ => 2048, HelpName = "N" }, EvaluationOptions.MinNeedleTokens, MaxNeedleTokens);
    private static readonly Option<Strength?> StrengthOption = new("--strength") { Description = "How much answers are thought over (default: high, what a model does unasked; arithmetic all three).", HelpName = "LOW|MEDIUM|HIGH" };
    private static readonly Option<bool> Json = new("--json") { Description = "Print one JSON object." };
    private static readonly Option<string?> Card = new("--card") { Description = "Write the model's card to this file, in Markdown.", HelpName = "FILE" };
    private static readonly Option<string?> Curve = new("--curve") { Description = "Answer the items of one task greedily, by majorities and by contemplations of 1 to 32 agents, and draw accuracy over tokens and over time to this file, as SVG.", HelpName = "FILE" };
    private static readonly Option<string?> Traces = new("--traces") { Description = "Write the tree of every contemplation to this file, a JSON line each, with a verdict on every agent.", HelpName = "FILE" };
    private static readonly Option<int> Wrong = Verb.Range(new Option<int>("--wrong") { Description = "Show this many wrong answers of each task.", HelpName = "N" }, 0, MaxWrong);
    private static readonly Option<int> Parallel = Verb.Range(new Option<int>("--parallel") { Description = "Sequences computed at once, and items answered at once.", DefaultValueFactory = _ => 32, HelpName = "N" }, 1, MaxParallel);
    private static readonly Option<int> Threads = Verb.Threads();
    private static readonly Option<KvFormat?> KvFormat = Verb.KvFormat();
    private static readonly Option<EvaluationMode> Mode = new("--mode") { Description = "One answer of the likeliest tokens; the majority of --agents samples; or a contemplation.", DefaultValueFactory = _ => EvaluationMode.Greedy };
    private static readonly Option<string?> CalibrationFileOption = new("--calibration") { Description = "What agreement means for this model (default: the file beside it, if there is one).", HelpName = "FILE" };
    private static readonly Option<string?> Fit = new("--fit") { Description = "Fit a calibration to these items and write it to this file.", HelpName = "FILE" };
    private static readonly ContemplationFlags Flags = new();

    /// <summary>The verb.</summary>
    public static Command Create() => new("eval", "Measure how well a model does.") { CreateNano(), EvalSchemas.Create() };

    private static Command CreateNano()
    {
        var command = new Command("nano", "Have a model answer held-out items of flint-nano's world.")
            { Model, Task, Items, Seed, Needle, StrengthOption, Json, Card, Curve, Traces, Wrong, Parallel, Threads, KvFormat, Mode, CalibrationFileOption, Fit };
        Flags.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, CancellationToken cancel)
    {
        EvaluationOptions options = Read(parsed);
        string? curve = parsed.GetValue(Curve);
        bool together = curve is not null || options.Mode != EvaluationMode.Greedy;
        using ServedModel served = ServedModel.Load(ModelLocator.Find(parsed.GetValue(Model)), null, new ServingOptions
        {
            Parallel = options.Parallel,
            Waiting = together ? options.Parallel * ContemplationOptions.MaxAgents : new ServingOptions().Waiting,
            Threads = parsed.GetValue(Threads),
            KvFormat = parsed.GetValue(KvFormat),
        });
        if (!ChatSession.CanChat(served))
            throw FlintException.Caller("no_template", $"{served.Name} has no chat template, so it cannot be asked");
        if (curve is not null)
        {
            IReadOnlyList<CurvePoint> points = await AccuracyCurve.RunAsync(served, options, Progress, cancel);
            TextTable.Write(Console.Out, AccuracyCurve.Headings, AccuracyCurve.Rows(points));
            File.WriteAllText(curve, AccuracyCurve.Draw($"{served.Name}, {options.Tasks[0]}", points));
            return;
        }
        using StreamWriter? traces = parsed.GetValue(Traces) is string trees ? new StreamWriter(trees) { NewLine = "\n" } : null;
        IReadOnlyList<TaskResult> results = await new Evaluation(served, options with { Traces = traces }).RunAsync(Progress, cancel);
        Tell(served, options, results, parsed.GetValue(Json));
        if (parsed.GetValue(Fit) is string fit)
            CalibrationFile.Write(fit, Calibration.Fit(results.SelectMany(r => r.Agreements)));
        if (parsed.GetValue(Card) is string path)
        {
            var less = new List<(Strength, IReadOnlyList<TaskResult>)>();
            foreach (Strength strength in (Strength[])[Strength.Low, Strength.Medium])
                less.Add((strength, await new Evaluation(served, options.AtLess(strength)).RunAsync(Progress, cancel)));
            using var file = new StreamWriter(path) { NewLine = "\n" };
            ModelCard.Write(file, served, options, results, less);
        }
    }

    private static EvaluationOptions Read(ParseResult parsed)
    {
        string? one = parsed.GetValue(Task);
        if (one is not null) NanoWorld.CheckTask(one);
        EvaluationMode mode = parsed.GetValue(Mode);
        if (mode != EvaluationMode.Greedy && parsed.GetValue(Card) is not null)
            throw FlintException.Caller("invalid_mode", "--card is written of greedy answers; leave out --mode");
        if (mode == EvaluationMode.Greedy && (parsed.GetValue(Fit) ?? parsed.GetValue(Traces)) is not null)
            throw FlintException.Caller("invalid_mode", "--fit and --traces are of several agents; expected --mode contemplating or majority");
        if (parsed.GetValue(Curve) is not null && (one is null || mode != EvaluationMode.Greedy || parsed.GetValue(Card) is not null || parsed.GetValue(Json)))
            throw FlintException.Caller("invalid_mode", "--curve is of one --task in all modes; leave out --mode, --card and --json");
        ContemplationOptions asked = Flags.Read(parsed, parsed.GetValue(Seed), AgentTokens);
        var options = new EvaluationOptions
        {
            Tasks = one is null ? NanoWorld.Tasks : [one],
            Items = parsed.GetValue(Items),
            Seed = parsed.GetValue(Seed),
            NeedleTokens = parsed.GetValue(Needle),
            Strength = parsed.GetValue(StrengthOption),
            Parallel = parsed.GetValue(Parallel),
            Wrong = parsed.GetValue(Wrong),
            Contemplation = asked,
            Calibration = parsed.GetValue(CalibrationFileOption) is string file ? CalibrationFile.Read(file) : null,
        };
        return options.With(mode, asked.Agents);
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
        Report.WriteJson(output, model.Name, options.Seed, results, options.Mode);
    }
}
