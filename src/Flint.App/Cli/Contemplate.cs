using System.CommandLine;
using System.Security.Cryptography;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Spectre.Console;
using Flint.Kernels;

namespace Flint.App.Cli;

/// <summary><c>flint contemplate QUESTION</c>: several agents think about a question side by side, and their answers become one.</summary>
internal static class Contemplate
{
    private static readonly Argument<string?> Question = new("QUESTION") { Arity = ArgumentArity.ZeroOrOne, Description = "What to answer; without it, standard input." };
    private static readonly Option<string?> Model = new("--model", "-m") { Description = $"A .gguf file, or OWNER/REPO[:QUANT] of a pulled model (default: {BuiltinModel.Name}, which comes with Flint).", HelpName = "MODEL" };
    private static readonly Option<string?> SystemText = new("--system") { Description = "The system message.", HelpName = "TEXT" };
    private static readonly Option<string?> Effort = Verb.OneOf(new Option<string?>("--effort") { Description = "How hard each agent thinks: none, minimal, low, medium, high, xhigh or max.", HelpName = "EFFORT" }, ModePlan.Efforts);
    private static readonly Option<string[]> Perspective = new("--perspective") { Description = "Asked of an agent beside the question; again for more, which agents take in turn.", HelpName = "TEXT" };
    private static readonly Option<string[]> Adapter = new("--adapter") { Description = "A low-rank adapter (.gguf file or PEFT folder) that agents generate with; again for more, which they take in turn.", HelpName = "PATH" };
    private static readonly Option<string?> Check = new("--check") { Description = "A command line of the shell that agents' code is put to: it reads the code and then the tests from standard input, and ends with 0 where they pass.", HelpName = "COMMAND" };
    private static readonly Option<string?> Tests = new("--tests") { Description = "The tests for --check.", HelpName = "FILE" };
    private static readonly Option<int> CheckSeconds = Verb.Range(new Option<int>("--check-seconds") { Description = "How long a check may take.", DefaultValueFactory = _ => 10, HelpName = "SECONDS" }, 1, CodeChecker.MaxSeconds);
    private static readonly Option<ulong?> Seed = new("--seed") { Description = "Makes the whole tree repeatable.", HelpName = "N" };
    private static readonly Option<float?> Deadline = Verb.Range(new Option<float?>("--deadline") { Description = "Seconds after which the best answer so far is given.", HelpName = "SECONDS" }, 0.001f, 86_400);
    private static readonly Option<bool> Json = new("--json") { Description = "Print the whole tree as one JSON object, to keep or to replay." };
    private static readonly Option<string?> ReplayFile = new("--replay") { Description = "Run a tree printed by --json again and compare it, bit for bit.", HelpName = "FILE" };
    private static readonly Option<int> Context = Verb.Range(new Option<int>("--ctx") { Description = "The longest prompt and answer in tokens (default: the model's own).", HelpName = "TOKENS" }, 0, 1 << 24);
    private static readonly Option<int> Threads = Verb.Threads();
    private static readonly Option<KvFormat?> KvFormat = Verb.KvFormat();
    private static readonly ContemplationFlags Flags = new();

    internal static Command Create()
    {
        var command = new Command("contemplate", "Have several agents think about a question side by side, and agree on an answer.")
            { Question, Model, SystemText, Effort, Perspective, Adapter, Check, Tests, CheckSeconds, Seed, Deadline, Json, ReplayFile, Context, Threads, KvFormat };
        Flags.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancel)
    {
        // What can be wrong with the command line is told before the model is loaded.
        ContemplationTrace? recorded = parsed.GetValue(ReplayFile) is { } file ? ContemplationTrace.FromJson(Text(Verb.ReadInput(file))) : null;
        string question = recorded is not null ? "" : parsed.GetValue(Question) ?? Text(Verb.ReadInput("-")).TrimEnd('\n');
        if (recorded is null && question.Length == 0)
            throw FlintException.Caller("no_question", "expected a question, found an empty one");
        ulong seed = parsed.GetValue(Seed) ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
        ContemplationOptions options = Flags.Read(parsed, seed) with { Deadline = parsed.GetValue(Deadline) is { } seconds ? TimeSpan.FromSeconds(seconds) : null };
        Func<Draft, CancellationToken, Task<bool>>? check = ReadCheck(parsed);
        using ServedModel model = ServedModel.Load(ModelLocator.Find(parsed.GetValue(Model)), null, new ServingOptions
        {
            Parallel = ContemplationOptions.MaxAgents, Waiting = ContemplationOptions.MaxAgents, ContextLength = parsed.GetValue(Context), Threads = parsed.GetValue(Threads), KvFormat = parsed.GetValue(KvFormat),
            Adapters = [.. (parsed.GetValue(Adapter) ?? []).Select((path, i) => new AdapterSource($"adapter-{i + 1}", path))],
        });
        var setup = new Setup(new AgentVariety(parsed.GetValue(Perspective) ?? [], [.. model.Variants.Skip(1)]), options, check);
        if (recorded is not null)
            return await ReplayAsync(model, recorded, cancel);
        var plan = ModePlan.Of(model.Dialect, ReasoningMode.Contemplating, parsed.GetValue(Effort), budget: null, offersTools: false);
        if (plan.Approximation is { } approximation)
            Console.Error.WriteLine($"flint: {approximation}");
        TemplateInput input = Input(model, question, parsed.GetValue(SystemText), plan);
        if (parsed.GetValue(Json))
        {
            ContemplationTrace trace = await ThinkAsync(model, input, setup, null, cancel);
            Console.Out.WriteLine(trace.ToJson());
            return 0;
        }

        if (Console.IsOutputRedirected)
            await WriteAsync(model, input, setup, cancel);
        else
            await ShowAsync(model, input, setup, cancel);
        return 0;
    }

    private sealed record Setup(AgentVariety Variety, ContemplationOptions Options, Func<Draft, CancellationToken, Task<bool>>? Check);

    private static Func<Draft, CancellationToken, Task<bool>>? ReadCheck(ParseResult parsed)
    {
        string? tests = parsed.GetValue(Tests);
        if (parsed.GetValue(Check) is not { } command)
            return tests is null ? null : throw FlintException.Caller("no_check", "--tests are for a --check COMMAND that runs them");
        return new CodeChecker(["/bin/sh", "-c", command], TimeSpan.FromSeconds(parsed.GetValue(CheckSeconds))).Against(tests is null ? "" : Text(Verb.ReadInput(tests)));
    }

    private static Task<ContemplationTrace> ThinkAsync(
        ServedModel model, TemplateInput input, Setup setup, Func<ContemplationEvent, ValueTask>? tell, CancellationToken cancel) =>
        Contemplation.RunAsync(
            model.Engine, ChatContemplation.Create(model.Variants[0], input, new SamplingOptions(), [], setup.Variety, tell: tell, check: setup.Check), setup.Options, cancellation: cancel);

    /// <summary>Plain text: the agents one after another, the votes, the answer.</summary>
    private static async Task WriteAsync(ServedModel model, TemplateInput input, Setup setup, CancellationToken cancel)
    {
        var script = new AgentScript(model, model.Encode(input), []);
        ContemplationTrace trace = await ThinkAsync(model, input, setup, news =>
        {
            Console.Out.Write(script.Take(news));
            return ValueTask.CompletedTask;
        }, cancel);
        Console.Out.Write($"\n{Summary(trace)}\n{trace.Answer.Content}\n");
    }

    private static async Task ShowAsync(ServedModel model, TemplateInput input, Setup setup, CancellationToken cancel)
    {
        var screen = new ContemplationScreen(model, model.Encode(input), TimeProvider.System);
        ContemplationTrace trace = await screen.RunAsync(AnsiConsole.Console, () => ThinkAsync(model, input, setup, screen.TellAsync, cancel));
        AnsiConsole.Console.WriteLine(Summary(trace), new Style(decoration: Decoration.Dim));
        AnsiConsole.Console.WriteLine(Screen.Printable(trace.Answer.Content));
    }

    private static string Summary(ContemplationTrace trace)
    {
        ContemplationAnswer answer = trace.Answer;
        string sure = answer.Calibrated ? $"right with {answer.Confidence * 100:F0} %" : $"agreement {answer.Agreement * 100:F0} %, uncalibrated";
        string end = answer.Passed switch { true => ", passes its check", false => ", passes no check", _ => "" } + (answer.Complete ? "" : ", cut short");
        return $"{trace.Agents.Count} agents, {trace.Cost.OutputTokens} tokens ({trace.Cost.DiscardedTokens} discarded), {sure}{end}; seed {trace.Options.Seed}";
    }

    private static async Task<int> ReplayAsync(ServedModel model, ContemplationTrace trace, CancellationToken cancel)
    {
        var prompt = new ChatPrompt([.. trace.Prompt], model.Dialect.OpensReasoning(model.Tokenizer.Decode([.. trace.Prompt])));
        var task = new ContemplationTask
        {
            Prompt = prompt.Ids,
            Adapters = model.Variants.ToDictionary(v => v.Name, v => v.Adapter),
            Read = events => ChatDraft.Read(model, prompt, [], events),
        };
        IReadOnlyList<string> differences = await Replay.RunAsync(model.Engine, task, trace, cancel);
        foreach (string difference in differences)
            Console.Out.WriteLine(difference);
        if (differences.Count == 0)
            Console.Out.WriteLine($"The same, bit for bit: {trace.Agents.Count} agents, {trace.Cost.OutputTokens} tokens.");
        return differences.Count == 0 ? 0 : CommandLine.Failed;
    }

    private static TemplateInput Input(ServedModel model, string question, string? system, ModePlan plan)
    {
        var ask = new ChatMessage { Role = "user", Content = question };
        return new TemplateInput
        {
            Messages = system is null ? [ask] : [new ChatMessage { Role = "system", Content = system }, ask],
            Extra = plan.Variables,
            BosToken = model.BosText,
            EosToken = model.EosText,
            Now = DateTimeOffset.Now,
        };
    }

    private static string Text(byte[] utf8) => System.Text.Encoding.UTF8.GetString(utf8);
}
