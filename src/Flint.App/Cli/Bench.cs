using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Models;

namespace Flint.App.Cli;

/// <summary>
/// <c>flint bench MODEL</c>: prompt and decode speed, measured as llama-bench does: <c>ppN</c> evaluates N tokens as a prompt from an
/// empty context, <c>tgN</c> N tokens one after another from an empty context; one warm-up each, then R timed repetitions.
/// </summary>
internal static class Bench
{
    /// <summary>Rows of a prompt in one batch, llama-bench's <c>n_ubatch</c>.</summary>
    private const int BatchRows = 512;

    internal static Command Create()
    {
        var model = Verb.Model();
        var prompt = Verb.Range(new Option<int>("--prompt", "-p") { Description = "Tokens of the prompt test; 0 leaves it out.", DefaultValueFactory = _ => 512, HelpName = "N" }, 0, 1 << 20);
        var decode = Verb.Range(new Option<int>("--decode", "-n") { Description = "Tokens of the decode test; 0 leaves it out.", DefaultValueFactory = _ => 64, HelpName = "N" }, 0, 1 << 20);
        var repetitions = Verb.Range(new Option<int>("--repetitions", "-r") { Description = "Timed repetitions of each test.", DefaultValueFactory = _ => 5, HelpName = "N" }, 1, 10_000);
        var threads = Verb.Threads();
        var json = new Option<bool>("--json") { Description = "Print one JSON object with the median tokens per second of each test." };
        var command = new Command("bench", "Measure prompt and decode speed in tokens per second, in llama-bench's protocol.") { model, prompt, decode, repetitions, threads, json };
        command.SetAction((parsed, cancel) =>
        {
            Measure(ModelLocator.Find(parsed.GetValue(model)), parsed.GetValue(prompt), parsed.GetValue(decode), parsed.GetValue(repetitions),
                parsed.GetValue(threads), parsed.GetValue(json), cancel);
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

    private static void Measure(string path, int prompt, int decode, int repetitions, int threads, bool json, CancellationToken cancel)
    {
        if (prompt == 0 && decode == 0) throw FlintException.Caller("nothing_to_measure", "both tests are left out; give -p or -n a number of tokens");
        int longest = Math.Max(prompt, decode);
        using var model = Model.Load(path, new ModelOptions
        {
            Threads = threads,
            ContextLength = longest,
            MaxBatchRows = Math.Min(BatchRows, longest),
            MaxSequences = 1,
            MaxLogitRows = 1,
        });
        using var pool = new KvPool(model.Config.KvShape, KvPool.PagesFor(longest));
        var state = new SequenceState(pool, longest);
        var batch = new Batch(model.Options.MaxBatchRows, 1, 1);
        int[] tokens = Tokens(longest, model.Config.VocabularySize);

        var results = new List<Result>();
        foreach (var (test, count, rows) in new[] { ($"pp{prompt}", prompt, BatchRows), ($"tg{decode}", decode, 1) })
        {
            if (count == 0) continue;
            // A step of decoding warms up decoding; a prompt is warmed up whole, as its buffers are touched by it.
            Run(model, batch, state, tokens.AsSpan(0, rows == 1 ? Math.Min(count, 8) : count), rows, cancel);
            var speeds = new double[repetitions];
            for (int i = 0; i < repetitions; i++)
            {
                long start = Stopwatch.GetTimestamp();
                Run(model, batch, state, tokens.AsSpan(0, count), rows, cancel);
                speeds[i] = count / Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
            results.Add(new Result(test, speeds));
        }
        if (json) PrintJson(path, model, results);
        else PrintText(path, model, results);
    }

    /// <summary>Evaluates the tokens from an empty context, so many rows at a time; logits of the last row only.</summary>
    private static void Run(Model model, Batch batch, SequenceState state, ReadOnlySpan<int> tokens, int rows, CancellationToken cancel)
    {
        state.Free();
        for (int from = 0; from < tokens.Length; from += rows)
        {
            cancel.ThrowIfCancellationRequested();
            int to = Math.Min(from + rows, tokens.Length);
            batch.Clear();
            state.TryReserve(to - from); // the pool holds the whole sequence and nothing else
            int sequence = batch.AddSequence(state);
            for (int i = from; i < to; i++) batch.Add(sequence, tokens[i], i, wantLogits: rows == 1 || i == tokens.Length - 1);
            model.Forward(batch);
        }
        state.Free();
    }

    private static int[] Tokens(int count, int vocabulary)
    {
        var random = new Random(1);
        var tokens = new int[count];
        for (int i = 0; i < count; i++) tokens[i] = random.Next(vocabulary);
        return tokens;
    }

    private static void PrintText(string path, Model model, List<Result> results)
    {
        Console.WriteLine($"{Path.GetFileName(path)}, {model.Config.Architecture}, {Sizes.Text(model.File.FileBytes)}, {model.Threads} threads, {Model.InstructionSets}");
        foreach (Result result in results)
        {
            double[] all = result.TokensPerSecond;
            Console.WriteLine($"{result.Test,8}  {result.Median,9:0.00} tokens/s (median of {all.Length}; {all.Min():0.00} to {all.Max():0.00})");
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
