using System.CommandLine;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Kernels;
using Flint.Models;

namespace Flint.App.Cli;

/// <summary>
/// <c>flint bench MODEL</c>: prompt and decode speed, measured as llama-bench does: <c>ppN</c> evaluates N tokens as a prompt from an
/// empty context, <c>tgN</c> decodes N tokens one after another; one warm-up each, then R timed repetitions. <c>tgN@dDxS</c> decodes
/// in S sequences side by side, which go on from one context of D tokens; its speed is that of all together. <c>trainN</c>, where
/// asked for, trains all weights in float32 on examples of N tokens, whole steps of AdamW.
/// </summary>
internal static class Bench
{
    private const int WarmUpSteps = 8;

    private static readonly Argument<string?> ModelArgument = Verb.Model();
    private static readonly Option<int> Prompt = Verb.Range(new Option<int>("--prompt", "-p") { Description = "Tokens of the prompt test; 0 leaves it out.", DefaultValueFactory = _ => 512, HelpName = "N" }, 0, 1 << 20);
    private static readonly Option<int> Decode = Verb.Range(new Option<int>("--decode", "-n") { Description = "Tokens of the decode test; 0 leaves it out.", DefaultValueFactory = _ => 64, HelpName = "N" }, 0, 1 << 20);
    private static readonly Option<int> Depth = Verb.Range(new Option<int>("--depth", "-d") { Description = "Tokens in the context before the decode test.", HelpName = "N" }, 0, 1 << 20);
    private static readonly Option<int> Sequences = Verb.Range(new Option<int>("--sequences", "-s") { Description = "Sequences that decode side by side, sharing that context.", DefaultValueFactory = _ => 1, HelpName = "N" }, 1, 256);
    private static readonly Option<int> Training = Verb.Range(new Option<int>("--train") { Description = "Tokens of an example of the training test; 0 leaves it out.", HelpName = "N" }, 0, 1 << 16);
    private static readonly Option<int> Repetitions = Verb.Range(new Option<int>("--repetitions", "-r") { Description = "Timed repetitions of each test.", DefaultValueFactory = _ => 5, HelpName = "N" }, 1, 10_000);
    private static readonly Option<int> Threads = Verb.Threads();
    private static readonly Option<KvFormat?> KvFormat = Verb.KvFormat();
    private static readonly Option<bool> Json = new("--json") { Description = "Print one JSON object with the median tokens per second of each test." };

    internal static Command Create()
    {
        var command = new Command("bench", "Measure prompt and decode speed in tokens per second, in llama-bench's protocol.") { ModelArgument, Prompt, Decode, Depth, Sequences, Training, Repetitions, Threads, KvFormat, Json };
        command.SetAction((parsed, cancel) =>
        {
            Measure(ModelLocator.Find(parsed.GetValue(ModelArgument)), parsed, cancel);
            return Task.CompletedTask;
        });
        return command;
    }

    private sealed record Result(string Test, double[] TokensPerSecond)
    {
        internal double Median
        {
            get
            {
                double[] sorted = [.. TokensPerSecond.Order()];
                int middle = sorted.Length / 2;
                return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
            }
        }
    }

    private static void Measure(string path, ParseResult parsed, CancellationToken cancel)
    {
        int prompt = parsed.GetValue(Prompt), decode = parsed.GetValue(Decode), depth = parsed.GetValue(Depth), sequences = parsed.GetValue(Sequences);
        int train = parsed.GetValue(Training), repetitions = parsed.GetValue(Repetitions), threads = parsed.GetValue(Threads);
        if (prompt == 0 && decode == 0 && train == 0) throw FlintException.Caller("nothing_to_measure", "all tests are left out; give -p, -n or --train a number of tokens");
        using var test = new SpeedTest(path, Math.Max(Math.Max(prompt, depth + decode), 1), sequences, decode, threads, parsed.GetValue(KvFormat));
        var results = new List<Result>();
        // A prompt is warmed up whole, as its buffers are touched by it.
        if (prompt > 0) Time($"pp{prompt}", prompt, () => test.Prompt(prompt, cancel), () => test.Prompt(prompt, cancel));
        if (decode > 0)
        {
            string name = $"tg{decode}{(depth > 0 ? $"@d{depth}" : "")}{(sequences > 1 ? $"x{sequences}" : "")}";
            Time(name, decode * sequences, () => test.Decode(Math.Min(decode, WarmUpSteps), 0, cancel), () => test.Decode(decode, depth, cancel));
        }
        if (train > 0) results.Add(new Result($"train{train}", TrainingBench.Measure(path, train, repetitions, threads, cancel)));
        if (parsed.GetValue(Json)) PrintJson(path, test.Model, results);
        else PrintText(path, test.Model, results);

        void Time(string name, int tokens, Func<double> warmUp, Func<double> run)
        {
            warmUp();
            results.Add(new Result(name, [.. Enumerable.Range(0, repetitions).Select(_ => tokens / run())]));
        }
    }

    private static void PrintText(string path, Model model, List<Result> results)
    {
        Console.WriteLine($"{Path.GetFileName(path)}, {model.Config.Architecture}, {Sizes.Text(model.File.FileBytes)}, {model.Threads} threads, {Model.InstructionSets}");
        foreach (Result result in results)
        {
            double[] all = result.TokensPerSecond;
            Console.WriteLine($"{result.Test,14}  {result.Median,9:0.00} tokens/s (median of {all.Length}; {all.Min():0.00} to {all.Max():0.00})");
        }
    }

    private static void PrintJson(string path, Model model, List<Result> results)
    {
        using (var json = new Utf8JsonWriter(Console.OpenStandardOutput()))
        {
            json.WriteStartObject();
            json.WriteString("model", Path.GetFileName(path));
            json.WriteString("architecture", model.Config.Architecture);
            json.WriteNumber("file_bytes", model.File.FileBytes);
            json.WriteNumber("threads", model.Threads);
            foreach (Result result in results) json.WriteNumber(result.Test, Math.Round(result.Median, 3));
            json.WriteStartObject("samples");
            foreach (Result result in results)
            {
                json.WriteStartArray(result.Test);
                foreach (double speed in result.TokensPerSecond) json.WriteNumberValue(Math.Round(speed, 3));
                json.WriteEndArray();
            }
            json.WriteEndObject();
            json.WriteEndObject();
        }
        Console.WriteLine();
    }
}
