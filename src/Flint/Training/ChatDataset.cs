using System.Buffers;
using Flint.Dialects;
using Flint.Tokens;

namespace Flint.Training;

/// <summary>How conversations become examples.</summary>
public sealed class ChatDatasetOptions
{
    /// <summary>A longer example is a fault.</summary>
    public int MaxTokens { get; init; } = ExampleFile.MaxExampleTokens;

    /// <summary>The loss weight of tokens that the assistant does not write; 0 masks them.</summary>
    public float PromptWeight { get; init; }

    /// <summary>Threads that render and encode; the result does not depend on it.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>Told every line that cannot be used, in order.</summary>
    public Action<DatasetFault>? OnFault { get; init; }

    /// <summary>The time that templates print.</summary>
    public DateTimeOffset Now { get; init; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
}

/// <summary>
/// Conversations in JSON lines → examples with the loss on what the assistant writes, its closing control tokens included.
/// A line is <c>{"messages": [{"role", "content", "reasoning_content"?, "tool_calls"?, "tool_call_id"?, "name"?, "weight"?}], "tools"?,
/// "reasoning_strength"?}</c> in the shapes of the OpenAI chat API; what an assistant says at weight 0 is not learnt. A line that cannot be used is counted and reported with its
/// file and number. Control tokens written out in messages stay text, as they do when a model is served.
/// </summary>
public sealed class ChatDataset
{
    /// <summary>The longest line, in bytes.</summary>
    public const int MaxLineBytes = 16 << 20;

    // Lines worked on at once: enough to keep threads busy, few enough to be small in memory.
    private const int BatchLines = 256;
    private const int BatchBytes = 32 << 20;

    private readonly ChatExamples _examples;
    private readonly ChatDatasetOptions _options;
    private readonly int _vocabulary;

    /// <summary>Prepares for one model.</summary>
    /// <param name="template">Its chat template.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="options">How.</param>
    public ChatDataset(ChatTemplate template, Tokenizer tokenizer, ChatDatasetOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxTokens, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Threads, 1);
        if (!(options.PromptWeight is >= 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(options), options.PromptWeight, "The weight of prompts is 0 to 1.");
        _options = options;
        _vocabulary = tokenizer.Count;
        _examples = new ChatExamples(template, tokenizer, options);
    }

    /// <summary>Turns files into one file of examples, in the order of the lines.</summary>
    /// <param name="paths">Files of JSON lines.</param>
    /// <param name="output">Where the examples go; it appears when it is whole.</param>
    /// <returns>What was read, and what could not be used.</returns>
    /// <exception cref="FlintException">Caller: a file is absent. Machine: one cannot be read or written.</exception>
    public DatasetReport Write(IEnumerable<string> paths, string output)
    {
        using var writer = new ExampleFileWriter(output, _vocabulary);
        DatasetReport report = Write(paths, writer);
        writer.Complete();
        return report;
    }

    /// <summary>Appends the examples of files to a file of examples.</summary>
    /// <inheritdoc cref="Write(IEnumerable{string}, string)"/>
    public DatasetReport Write(IEnumerable<string> paths, ExampleFileWriter into)
    {
        var report = new DatasetReport();
        foreach (string path in paths)
        {
            using LineReader lines = Open(path);
            while (Batch(lines) is { Count: > 0 } batch) Convert(path, batch, into, report);
        }
        return report;
    }

    /// <summary>Counts the words of conversations, rendered as they will be trained on, for a tokenizer.</summary>
    /// <param name="paths">Files of JSON lines; lines that cannot be used are left out here and reported when examples are made.</param>
    /// <param name="template">The chat template.</param>
    /// <param name="bosToken">The text of the token that begins a sequence.</param>
    /// <param name="into">Counts them.</param>
    /// <returns>How many conversations were counted.</returns>
    /// <exception cref="FlintException">Caller: a file is absent. Machine: one cannot be read.</exception>
    public static long CountWords(IEnumerable<string> paths, ChatTemplate template, string bosToken, BpeTrainer into)
    {
        Dialect dialect = Dialect.Detect(template.Source, _ => null, _ => false);
        long count = 0;
        foreach (string path in paths)
        {
            using LineReader lines = Open(path);
            while (lines.Next() is { } line)
            {
                if (line.TooLong || IsBlank(line.Bytes)) continue;
                try
                {
                    ChatLine chat = ChatLine.Read(line.Bytes);
                    into.Add(template.Render(new TemplateInput
                    {
                        Messages = chat.Messages,
                        Tools = chat.Tools,
                        AddGenerationPrompt = false,
                        BosToken = bosToken,
                        Extra = chat.Strength is null ? new Dictionary<string, object?>() : dialect.EffortVariables(chat.Strength),
                    }));
                    count++;
                }
                catch (FlintException fault) when (fault.Side == FaultSide.Caller)
                {
                    continue;
                }
            }
        }
        return count;
    }

    private static LineReader Open(string path)
    {
        if (!File.Exists(path)) throw FlintException.Caller("file_not_found", $"{path}: no such file of conversations.");
        try
        {
            return new LineReader(path, MaxLineBytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unreadable", $"{path}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>The examples of one line.</summary>
    internal List<Example> Convert(ReadOnlyMemory<byte> line) => _examples.Of(ChatLine.Read(line));

    private static List<Line> Batch(LineReader lines)
    {
        var batch = new List<Line>(BatchLines);
        for (long bytes = 0; batch.Count < BatchLines && bytes < BatchBytes && lines.Next() is { } line; bytes += line.Bytes.Length)
            if (line.TooLong || !IsBlank(line.Bytes)) batch.Add(line);
        return batch;
    }

    private static bool IsBlank(ReadOnlySpan<byte> line) => line.IndexOfAnyExcept(" \t\r"u8) < 0;

    private void Convert(string path, List<Line> batch, ExampleFileWriter into, DatasetReport report)
    {
        var examples = new List<Example>?[batch.Count];
        var faults = new FlintException?[batch.Count];
        void One(int i)
        {
            try
            {
                if (batch[i].TooLong) throw FlintException.Caller("line_too_long", $"the line is longer than {MaxLineBytes} bytes");
                examples[i] = Convert(batch[i].Bytes);
            }
            catch (FlintException fault) when (fault.Side == FaultSide.Caller)
            {
                faults[i] = fault;
            }
        }

        if (_options.Threads == 1)
            for (int i = 0; i < batch.Count; i++) One(i);
        else
            Parallel.For(0, batch.Count, new ParallelOptions { MaxDegreeOfParallelism = _options.Threads }, One);

        for (int i = 0; i < batch.Count; i++)
        {
            report.AddLine();
            if (faults[i] is { } fault)
            {
                DatasetFault told = report.AddFault(path, batch[i].Number, fault);
                _options.OnFault?.Invoke(told);
            }
            foreach (Example example in examples[i] ?? [])
            {
                into.Add(example.Ids, example.Weights);
                report.AddExample(example);
            }
        }
    }
}
