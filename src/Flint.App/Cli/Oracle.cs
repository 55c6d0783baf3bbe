using System.Buffers.Binary;
using System.CommandLine;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Kernels;
using Flint.Models;

namespace Flint.App.Cli;

/// <summary>
/// <c>flint oracle MODEL.gguf</c>: compares the engine's logits with reference logits kept beside the model.
/// <c>MODEL.json</c> holds <c>tokens</c>, <c>prefill</c> (how many of them the reference evaluated as one batch) and <c>n_vocab</c>;
/// <c>MODEL.logits.f32</c> holds float32, little-endian, [tokens][n_vocab]: the logits after each token.
/// </summary>
internal static class Oracle
{
    private const int MaxTokens = 1 << 16;
    private const long MaxJsonBytes = 64 << 20;
    private const long LogitBytesAtOnce = 256 << 20;

    internal static Command Create()
    {
        var model = new Argument<string>("MODEL") { Description = "A .gguf file with NAME.json and NAME.logits.f32 beside it." };
        var threads = Verb.Threads();
        var command = new Command("oracle",
            "Compare logits with a reference's, kept beside the model, and print one JSON line: over the prompt as one batch and single "
            + "steps after it, as the reference ran; then 'batched' (the prompt's part of that) and 'single' (every token by itself).") { model, threads };
        command.SetAction(parsed => Console.WriteLine(Compare(ModelLocator.Find(parsed.GetRequiredValue(model)), parsed.GetValue(threads))));
        return command;
    }

    /// <summary>What the reference computed.</summary>
    private sealed record Reference(int[] Tokens, int Prefill, int Vocabulary, float[] Logits)
    {
        internal ReadOnlySpan<float> Row(int position) => Logits.AsSpan(position * Vocabulary, Vocabulary);
    }

    /// <summary>Differences gathered over positions.</summary>
    private sealed class Tally
    {
        private double _error, _power, _worst;
        private int _positions, _mismatches;

        internal void Add(ReadOnlySpan<float> found, ReadOnlySpan<float> expected)
        {
            for (int i = 0; i < expected.Length; i++)
            {
                double difference = (double)found[i] - expected[i];
                _error += difference * difference;
                _power += (double)expected[i] * expected[i];
                // Not Math.Max: a NaN of ours has to stay.
                if (!(Math.Abs(difference) <= _worst)) _worst = Math.Abs(difference);
            }
            _positions++;
            if (ArgMax(found) != ArgMax(expected)) _mismatches++;
        }

        internal void Write(Utf8JsonWriter json)
        {
            WriteNumber(json, "rel_rms", _power > 0 ? Math.Sqrt(_error / _power) : Math.Sqrt(_error));
            WriteNumber(json, "max_abs", _worst);
            json.WriteNumber("greedy_mismatch", _mismatches);
            json.WriteNumber("positions", _positions);
        }

        /// <summary>JSON has no NaN: a result that is not a number is null.</summary>
        private static void WriteNumber(Utf8JsonWriter json, string name, double value)
        {
            if (double.IsFinite(value)) json.WriteNumber(name, value);
            else json.WriteNull(name);
        }

        private static int ArgMax(ReadOnlySpan<float> logits)
        {
            int best = 0;
            for (int i = 1; i < logits.Length; i++)
                if (logits[i] > logits[best]) best = i;
            return best;
        }
    }

    private static string Compare(string path, int threads)
    {
        string stem = Path.Combine(Path.GetDirectoryName(path)!, Path.GetFileNameWithoutExtension(path));
        Reference reference = Read(stem + ".json", stem + ".logits.f32");
        int rowsAtOnce = (int)Math.Clamp(LogitBytesAtOnce / (reference.Vocabulary * sizeof(float)), 1, Math.Max(1, reference.Prefill));
        using var model = Model.Load(path, new ModelOptions
        {
            Threads = threads,
            KvFormat = KvFormat.F32, // as the reference has them
            ContextLength = reference.Tokens.Length,
            MaxBatchRows = Math.Max(1, reference.Prefill),
            MaxSequences = 1,
            MaxLogitRows = rowsAtOnce,
        });
        if (model.Config.VocabularySize != reference.Vocabulary)
            throw Wrong(stem + ".json", $"n_vocab is {reference.Vocabulary} and the model's vocabulary {model.Config.VocabularySize}");
        if (reference.Tokens.Any(t => t < 0 || t >= reference.Vocabulary))
            throw Wrong(stem + ".json", $"a token is outside the vocabulary of {reference.Vocabulary}");

        using var pool = new KvPool(model.Config.KvShape, KvPool.PagesFor(reference.Tokens.Length));
        var all = new Tally();
        var batched = new Tally();
        var single = new Tally();
        var batch = new Batch(Math.Max(1, reference.Prefill), 1, rowsAtOnce);
        var state = new SequenceState(pool, reference.Tokens.Length);

        // Every run computes the whole prompt as one batch; where its logits do not fit in memory at once, runs take them in turn.
        for (int first = 0; first < reference.Prefill; first += rowsAtOnce)
        {
            state.Free();
            int past = Math.Min(first + rowsAtOnce, reference.Prefill);
            Run(model, batch, state, reference, 0, reference.Prefill, first, past, [all, batched]);
        }
        for (int i = reference.Prefill; i < reference.Tokens.Length; i++) Run(model, batch, state, reference, i, i + 1, i, i + 1, [all]);
        state.Free();
        for (int i = 0; i < reference.Tokens.Length; i++) Run(model, batch, state, reference, i, i + 1, i, i + 1, [single]);

        return Line(Path.GetFileName(stem), all, batched, single);
    }

    /// <summary>One forward over tokens [from, to), taking up the logits of [first, past).</summary>
    private static void Run(
        Model model, Batch batch, SequenceState state, Reference reference, int from, int to, int first, int past, ReadOnlySpan<Tally> tallies)
    {
        batch.Clear();
        state.TryReserve(to - from); // the pool holds the whole sequence and nothing else
        int sequence = batch.AddSequence(state);
        for (int i = from; i < to; i++) batch.Add(sequence, reference.Tokens[i], i, i >= first && i < past);
        model.Forward(batch);
        for (int i = first; i < past; i++)
            foreach (Tally tally in tallies) tally.Add(model.Logits(i - first), reference.Row(i));
    }

    private static string Line(string model, Tally all, Tally batched, Tally single)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString("model", model);
            all.Write(json);
            json.WriteStartObject("batched");
            batched.Write(json);
            json.WriteEndObject();
            json.WriteStartObject("single");
            single.Write(json);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        return System.Text.Encoding.UTF8.GetString(bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
    }

    private static Reference Read(string jsonPath, string logitsPath)
    {
        foreach (string path in new[] { jsonPath, logitsPath })
            if (!File.Exists(path)) throw FlintException.Caller("oracle_missing", $"the reference is not there: {path}");
        if (new FileInfo(jsonPath).Length > MaxJsonBytes) throw Wrong(jsonPath, $"longer than {MaxJsonBytes} bytes");
        int[] tokens;
        int prefill, vocabulary;
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(jsonPath));
            JsonElement root = json.RootElement;
            tokens = [.. root.GetProperty("tokens").EnumerateArray().Select(t => t.GetInt32())];
            vocabulary = root.GetProperty("n_vocab").GetInt32();
            prefill = root.TryGetProperty("prefill", out JsonElement p) ? p.GetInt32() : tokens.Length;
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw Wrong(jsonPath, "expected an object with tokens (integers), prefill and n_vocab");
        }
        if (tokens.Length is < 1 or > MaxTokens) throw Wrong(jsonPath, $"expected 1 to {MaxTokens} tokens, found {tokens.Length}");
        if (prefill < 0 || prefill > tokens.Length) throw Wrong(jsonPath, $"prefill {prefill} is outside 0 to {tokens.Length}");
        if (vocabulary < 1) throw Wrong(jsonPath, $"n_vocab is {vocabulary}");

        long expected = (long)tokens.Length * vocabulary * sizeof(float), found = new FileInfo(logitsPath).Length;
        if (expected != found) throw Wrong(logitsPath, $"expected {tokens.Length} × {vocabulary} float32 values, {expected} bytes, found {found} bytes");
        if (expected > Array.MaxLength) throw Wrong(logitsPath, $"{found} bytes are more than {Array.MaxLength}");
        byte[] bytes = File.ReadAllBytes(logitsPath);
        var logits = new float[bytes.Length / sizeof(float)];
        for (int i = 0; i < logits.Length; i++) logits[i] = BinaryPrimitives.ReadSingleLittleEndian(bytes.AsSpan(i * sizeof(float)));
        return new Reference(tokens, prefill, vocabulary, logits);
    }

    private static FlintException Wrong(string path, string what) => FlintException.Caller("oracle_invalid", $"{path}: {what}");
}
