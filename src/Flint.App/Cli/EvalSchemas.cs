using System.CommandLine;
using Flint.App.Eval;
using Flint.App.Serving;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.App.Cli;

/// <summary><c>flint eval schemas</c>: how many JSON schemas grammars hold answers to, how exactly, and how fast.</summary>
internal static class EvalSchemas
{
    private const int MaxShown = 100_000;
    private const int ShownText = 100; // characters before a slow token

    private static readonly Argument<string> Folder = new("DIR") { Description = "A folder of JSON files with schemas and instances: MaskBench's or the JSON Schema Test Suite's." };
    private static readonly Option<string?> Model = new("--model", "-m") { Description = "The model whose vocabulary is used; a file without tensors will do.", HelpName = "MODEL" };
    private static readonly Option<bool> AnyOrder = new("--any-order") { Description = "Take an object's members in any order; else those that the schema names in its order." };
    private static readonly Option<int> Wrong = Verb.Range(new Option<int>("--wrong") { Description = "Show this many instances that are taken wrongly.", HelpName = "N" }, 0, MaxShown);
    private static readonly Option<int> Refused = Verb.Range(new Option<int>("--refused") { Description = "Show this many schemas that are refused, with the reason.", HelpName = "N" }, 0, MaxShown);
    private static readonly Option<int> Slowest = Verb.Range(new Option<int>("--slowest") { Description = "Show this many of the tokens and schemas that took longest.", HelpName = "N" }, 0, MaxShown);
    private static readonly Option<bool> Json = new("--json") { Description = "Print one JSON object." };

    internal static Command Create()
    {
        var command = new Command("schemas", "Compare the grammars of JSON schemas with instances that are known to be valid or not.") { Folder, Model, AnyOrder, Wrong, Refused, Slowest, Json };
        command.SetAction((parsed, cancel) =>
        {
            Run(parsed, cancel);
            return Task.CompletedTask;
        });
        return command;
    }

    private static void Run(ParseResult parsed, CancellationToken cancel)
    {
        string folder = parsed.GetValue(Folder)!;
        if (!Directory.Exists(folder)) throw FlintException.Caller("folder_not_found", $"no such folder: {folder}");
        string[] files = [.. Directory.EnumerateFiles(folder, "*.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
        if (files.Length == 0) throw FlintException.Caller("folder_empty", $"no .json files in {folder}");
        using GgufFile file = GgufFile.Open(ModelLocator.Find(parsed.GetValue(Model)));
        int wrong = parsed.GetValue(Wrong), refused = parsed.GetValue(Refused);
        var suite = new SchemaSuite(Tokenizer.FromGguf(file.Metadata), parsed.GetValue(AnyOrder))
        {
            Tell = (name, instance, isValid) =>
            {
                if (wrong-- > 0) Console.Error.WriteLine($"{(isValid ? "rejected" : "accepted")} {name}: {instance}");
            },
            TellRefused = (name, why) =>
            {
                if (refused-- > 0) Console.Error.WriteLine($"refused {name}: {why}");
            },
            SlowestKept = parsed.GetValue(Slowest),
        };
        foreach (string path in files)
        {
            cancel.ThrowIfCancellationRequested();
            suite.Read(path);
        }

        foreach ((string name, string? before, TimeSpan time) in suite.Slowest)
            Console.Error.WriteLine($"{time.TotalMicroseconds:F0} µs {name}{(before is null ? ", the schema" : $": {before[Math.Max(0, before.Length - ShownText)..]}")}");
        if (parsed.GetValue(Json)) WriteJson(suite.Count);
        else Tell(suite.Count);
    }

    private static void Tell(SchemaCount count)
    {
        Console.WriteLine($"schemas   {count.Schemas}, compiled {count.Compiled}, of these exact on all their instances {count.Passed}");
        Console.WriteLine($"instances {count.Instances.Valid} valid, {count.Wrong.Rejected} of them rejected (in {count.FalselyRejecting} schemas); {count.Instances.Invalid} invalid, {count.Wrong.Accepted} of them accepted (in {count.FalselyAccepting} schemas)");
        Console.WriteLine($"compile   {Times(count.CompileTimes)}");
        Console.WriteLine($"to a mask {Times(count.FirstMaskTimes)}");
        Console.WriteLine($"token     {Times(count.MaskTimes)}");
        foreach ((string reason, int times) in count.Refusals.OrderByDescending(one => one.Value)) Console.WriteLine($"refused   {times} for {reason}");
    }

    private static string Times(IReadOnlyList<double> times) =>
        $"median {SchemaCount.Quantile(times, 0.5):F1} µs, p99 {SchemaCount.Quantile(times, 0.99):F0} µs, p99.9 {SchemaCount.Quantile(times, 0.999):F0} µs, most {times.DefaultIfEmpty(0).Max():F0} µs, mean {times.DefaultIfEmpty(0).Average():F1} µs of {times.Count}";

    private static void WriteJson(SchemaCount count) => JsonOutput.Write(json =>
    {
        json.WriteStartObject();
        json.WriteNumber("schemas", count.Schemas);
        json.WriteNumber("compiled", count.Compiled);
        json.WriteNumber("passed", count.Passed);
        json.WriteNumber("valid_instances", count.Instances.Valid);
        json.WriteNumber("invalid_instances", count.Instances.Invalid);
        json.WriteNumber("falsely_rejected", count.Wrong.Rejected);
        json.WriteNumber("falsely_accepted", count.Wrong.Accepted);
        foreach ((string name, IReadOnlyList<double> times) in ((string, IReadOnlyList<double>)[])[("compile_us", count.CompileTimes), ("first_mask_us", count.FirstMaskTimes), ("token_us", count.MaskTimes)])
        {
            json.WriteStartObject(name);
            json.WriteNumber("median", SchemaCount.Quantile(times, 0.5));
            json.WriteNumber("p99", SchemaCount.Quantile(times, 0.99));
            json.WriteNumber("p99.9", SchemaCount.Quantile(times, 0.999));
            json.WriteNumber("most", times.DefaultIfEmpty(0).Max());
            json.WriteNumber("mean", times.DefaultIfEmpty(0).Average());
            json.WriteNumber("count", times.Count);
            json.WriteEndObject();
        }

        json.WriteStartObject("refusals");
        foreach ((string reason, int times) in count.Refusals.OrderByDescending(one => one.Value)) json.WriteNumber(reason, times);
        json.WriteEndObject();
        json.WriteEndObject();
    });
}
