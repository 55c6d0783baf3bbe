using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Flint.Grammar;
using Flint.Tokens;

namespace Flint.App.Eval;

/// <summary>What came of some schemas and their instances.</summary>
internal sealed class SchemaCount
{
    private readonly List<double> _compile = [];
    private readonly List<double> _first = [];
    private readonly List<double> _masks = [];

    /// <summary>Schemas.</summary>
    public int Schemas { get; private set; }

    /// <summary>Of these, those that became a grammar.</summary>
    public int Compiled { get; private set; }

    /// <summary>Of these, those whose every valid instance is taken and every invalid one is not.</summary>
    public int Passed { get; private set; }

    /// <summary>Schemas of which an invalid instance is taken.</summary>
    public int FalselyAccepting { get; private set; }

    /// <summary>Schemas of which a valid instance is not taken.</summary>
    public int FalselyRejecting { get; private set; }

    /// <summary>Valid and invalid instances of the schemas that became a grammar.</summary>
    public (int Valid, int Invalid) Instances { get; private set; }

    /// <summary>Of the valid ones those not taken, of the invalid ones those taken.</summary>
    public (int Rejected, int Accepted) Wrong { get; private set; }

    /// <summary>How often schemas were refused, by reason.</summary>
    public Dictionary<string, int> Refusals { get; } = [];

    /// <summary>Microseconds that schemas took to become grammars.</summary>
    public IReadOnlyList<double> CompileTimes => _compile;

    /// <summary>Microseconds from the schema to its first mask.</summary>
    public IReadOnlyList<double> FirstMaskTimes => _first;

    /// <summary>Microseconds that tokens took: the mask before each, and the reading of it.</summary>
    public IReadOnlyList<double> MaskTimes => _masks;

    /// <summary>Takes note of a schema that is refused.</summary>
    public void Refuse(string reason)
    {
        Schemas++;
        Refusals[reason] = Refusals.GetValueOrDefault(reason) + 1;
    }

    /// <summary>Takes note of a schema that became a grammar.</summary>
    public void Add(TimeSpan compile, IReadOnlyList<TimeSpan> masks, IReadOnlyCollection<(bool IsValid, bool IsTaken)> instances)
    {
        Schemas++;
        Compiled++;
        _compile.Add(compile.TotalMicroseconds);
        if (masks.Count > 0)
            _first.Add((compile + masks[0]).TotalMicroseconds);
        _masks.AddRange(masks.Select(one => one.TotalMicroseconds));
        int valid = instances.Count(one => one.IsValid);
        int rejected = instances.Count(one => one.IsValid && !one.IsTaken), accepted = instances.Count(one => !one.IsValid && one.IsTaken);
        Instances = (Instances.Valid + valid, Instances.Invalid + instances.Count - valid);
        Wrong = (Wrong.Rejected + rejected, Wrong.Accepted + accepted);
        FalselyRejecting += rejected > 0 ? 1 : 0;
        FalselyAccepting += accepted > 0 ? 1 : 0;
        Passed += rejected + accepted == 0 ? 1 : 0;
    }

    /// <summary>The value that a share of the values is not above; 0 where there are none.</summary>
    public static double Quantile(IReadOnlyList<double> values, double share)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? 0 : sorted[(int)Math.Min(sorted.Length - 1, share * sorted.Length)];
    }
}

/// <summary>
/// Compares grammars of JSON schemas with instances of which it is known whether they are valid. Files are of either kind: an object with
/// <c>schema</c> and <c>tests</c>, as in MaskBench, or an array of these, as in the JSON Schema Test Suite. An instance is read token by
/// token, each looked for in the mask.
/// </summary>
/// <param name="tokenizer">Makes the tokens.</param>
/// <param name="isAnyOrder">Whether an object's members come in any order.</param>
internal sealed class SchemaSuite(Tokenizer tokenizer, bool isAnyOrder)
{
    private readonly TokenVocabulary _vocabulary = TokenVocabulary.Of(tokenizer, tokenizer.Count, []);
    private readonly ulong[] _mask = new ulong[(tokenizer.Count + 63) / 64];
    private readonly List<TimeSpan> _times = [];
    private readonly PriorityQueue<(string Name, string? Before), TimeSpan> _slowest = new();

    /// <summary>What came of the schemas so far.</summary>
    public SchemaCount Count { get; } = new();

    /// <summary>Told of every instance that is taken wrongly: file, description, whether it is valid.</summary>
    public Action<string, string, bool>? Tell { get; init; }

    /// <summary>Told of every schema that is refused: file, why.</summary>
    public Action<string, string>? TellRefused { get; init; }

    /// <summary>How many of the slowest tokens and schemas are kept.</summary>
    public int SlowestKept { get; init; }

    /// <summary>What took longest, the longest first: file, the text before the token or nothing for the schema itself, and how long.</summary>
    public IReadOnlyList<(string Name, string? Before, TimeSpan Time)> Slowest =>
        [.. _slowest.UnorderedItems.Select(one => (one.Element.Name, one.Element.Before, one.Priority)).OrderByDescending(one => one.Priority)];

    /// <summary>Reads a file.</summary>
    /// <exception cref="FlintException">Caller: it is of neither kind.</exception>
    public void Read(string path)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { MaxDepth = 512 });
        JsonElement[] cases = document.RootElement.ValueKind == JsonValueKind.Array ? [.. document.RootElement.EnumerateArray()] : [document.RootElement];
        foreach (JsonElement one in cases)
        {
            if (one.ValueKind != JsonValueKind.Object || !one.TryGetProperty("schema", out JsonElement schema) || !one.TryGetProperty("tests", out JsonElement tests))
                throw FlintException.Caller("invalid_suite", $"{path}: expected objects with 'schema' and 'tests'.");
            string name = one.TryGetProperty("description", out JsonElement description) ? $"{Path.GetFileName(path)}: {description}" : Path.GetFileName(path);
            Run(name, schema, tests);
        }
    }

    private void Run(string name, JsonElement schema, JsonElement tests)
    {
        long start = Stopwatch.GetTimestamp();
        TokenGrammar grammar;
        try
        {
            grammar = TokenGrammar.OfSchema(_vocabulary, schema, new JsonSchemaOptions { IsAnyOrder = isAnyOrder });
        }
        catch (FlintException fault) when (fault.Side == FaultSide.Caller)
        {
            // No text is the right grammar where there is none.
            if (fault.Code == "unsatisfiable_grammar" && tests.EnumerateArray().All(test => !test.GetProperty("valid").GetBoolean()))
                Count.Add(Stopwatch.GetElapsedTime(start), [], [.. tests.EnumerateArray().Select(_ => (false, false))]);
            else
                Refuse(name, fault);
            return;
        }

        TimeSpan compile = Stopwatch.GetElapsedTime(start);
        Keep(name, null, compile);
        var instances = new List<(bool, bool)>();
        _times.Clear();
        foreach (JsonElement test in tests.EnumerateArray())
        {
            bool isValid = test.GetProperty("valid").GetBoolean(), isTaken;
            try
            {
                isTaken = Takes(name, grammar, test.GetProperty("data"));
            }
            catch (FlintException fault) when (fault.Code == "grammar_too_complex")
            {
                isTaken = !isValid; // wrong either way
            }

            instances.Add((isValid, isTaken));
            if (isValid != isTaken)
                Tell?.Invoke(name, $"{(test.TryGetProperty("description", out JsonElement text) ? text.GetString() : "")} {test.GetProperty("data").GetRawText()}", isValid);
        }

        Count.Add(compile, _times, instances);
    }

    private void Refuse(string name, FlintException fault)
    {
        Count.Refuse(Reason(fault));
        TellRefused?.Invoke(name, fault.Message);
    }

    private void Keep(string name, ReadOnlyMemory<int>? before, TimeSpan time)
    {
        if (_slowest.Count >= SlowestKept && (SlowestKept == 0 || !_slowest.TryPeek(out _, out TimeSpan least) || time <= least))
            return;
        if (_slowest.Count == SlowestKept)
            _slowest.Dequeue();
        _slowest.Enqueue((name, before is { } tokens ? tokenizer.Decode(tokens.Span) : null), time);
    }

    private bool Takes(string name, TokenGrammar grammar, JsonElement instance)
    {
        var text = new StringBuilder();
        Write(instance, text);
        GrammarState state = grammar.Start();
        int[] tokens = tokenizer.Encode(text.ToString(), addSpecial: false, parseSpecial: false);
        for (int i = 0; i < tokens.Length; i++)
        {
            int token = tokens[i];
            long start = Stopwatch.GetTimestamp();
            state.CopyMask(_mask);
            bool isIn = (_mask[token >> 6] >> token & 1) != 0;
            bool isRead = state.TryRead(token);
            TimeSpan time = Stopwatch.GetElapsedTime(start);
            _times.Add(time);
            Keep(name, tokens.AsMemory(0, i), time);
            if (isIn != isRead)
                throw new FlintException(FaultSide.Bug, "mask_differs", $"The mask says {isIn} of token {token}, the grammar {isRead}.");
            if (!isRead)
                return false;
        }

        return state.CanEnd;
    }

    // The keyword that is named, where one is.
    private static string Reason(FlintException fault)
    {
        const string Before = "keyword '";
        int from = fault.Message.IndexOf(Before, StringComparison.Ordinal) + Before.Length;
        if (from < Before.Length)
            return fault.Message.Contains("reference '", StringComparison.Ordinal) ? "$ref" : fault.Code;
        return fault.Message[from..fault.Message.IndexOf('\'', from)];
    }

    // As models write it: a space behind commas and colons, no character escaped that need not be.
    private static void Write(JsonElement value, StringBuilder text)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                text.Append('{');
                int members = 0;
                foreach (JsonProperty member in value.EnumerateObject())
                {
                    text.Append(members++ == 0 ? "" : ", ");
                    WriteText(member.Name, text);
                    text.Append(": ");
                    Write(member.Value, text);
                }

                text.Append('}');
                break;
            case JsonValueKind.Array:
                text.Append('[');
                int items = 0;
                foreach (JsonElement item in value.EnumerateArray())
                {
                    text.Append(items++ == 0 ? "" : ", ");
                    Write(item, text);
                }

                text.Append(']');
                break;
            case JsonValueKind.String:
                WriteText(value.GetString()!, text);
                break;
            default:
                text.Append(value.GetRawText());
                break;
        }
    }

    private static void WriteText(string value, StringBuilder text)
    {
        text.Append('"');
        foreach (char c in value)
        {
            if (c is '"' or '\\')
                text.Append('\\').Append(c);
            else if ("\b\f\n\r\t".IndexOf(c) is >= 0 and int escape)
                text.Append('\\').Append("bfnrt"[escape]);
            else if (c < ' ')
                text.Append($"\\u{(int)c:x4}");
            else
                text.Append(c);
        }

        text.Append('"');
    }
}
