using System.Security.Cryptography;
using System.Text;
using Flint.App.Nano;
using Flint.Dialects;
using Flint.Models;
using Flint.Tokens;
using Flint.Training;
using Flint.Weights;

namespace Flint.App.Recipes;

/// <summary>
/// Makes what a run begins with: the tokenizer, the first weights, the examples. Made once: a later call with the same recipe
/// and the same data takes what is there, and one with others begins anew, unless training has begun.
/// </summary>
internal sealed class Preparation
{
    private static readonly string[] Specials =
        ["<|begin_of_text|>", "<|end_of_text|>", "<|eom|>", "<|eot|>", "<|start|>", "<|message|>", "<|finetune_right_pad|>"];

    private readonly Recipe _recipe;
    private readonly TextWriter _output;

    internal Preparation(Recipe recipe, TextWriter output)
    {
        _recipe = recipe;
        _output = output;
    }

    /// <summary>The examples.</summary>
    internal string Examples => Path.Combine(_recipe.Folder, "examples.bin");

    /// <summary>The model that training begins with.</summary>
    internal string Model => _recipe.BaseModel is { } model && _recipe.KvHeads == 0 ? model : Path.Combine(_recipe.Folder, "initial.gguf");

    /// <summary>Where training is.</summary>
    internal string Checkpoint => Path.Combine(_recipe.Folder, "checkpoint.gguf");

    private string GeneratedFile => Path.Combine(_recipe.Folder, "generated.jsonl");

    private IReadOnlyList<string> Conversations => _recipe.Generated is null ? _recipe.Files : [.. _recipe.Files, GeneratedFile];

    private string LeftOut => Path.Combine(_recipe.Folder, "left-out.txt");

    private string StampFile => Path.Combine(_recipe.Folder, "prepared.txt");

    /// <summary>The shape of the model before it is made: a vocabulary that is to be learnt counts in full.</summary>
    /// <exception cref="FlintException">Caller: a model is absent, or cannot have the adapter. ModelFile: it is not supported.</exception>
    internal ModelConfig Config()
    {
        if (_recipe.BaseModel is { } model)
        {
            ModelConfig config = Trainer.ConfigOf(Existing(model), _recipe.Lora);
            return _recipe.KvHeads > 0 && config.Heads % _recipe.KvHeads == 0 ? config with { KvHeads = _recipe.KvHeads } : config;
        }
        if (_recipe.TokenizerModel is not { } other) return _recipe.Shape!.Config(_recipe.VocabularySize);
        using GgufFile file = GgufFile.Open(Existing(other));
        return _recipe.Shape!.Config(file.Metadata.Get<string[]>("tokenizer.ggml.tokens").Length);
    }

    /// <summary>Makes what is missing.</summary>
    /// <exception cref="FlintException">Caller: an input is absent, or training has begun with other inputs.</exception>
    internal void Run()
    {
        string stamp = Stamp();
        bool same = File.Exists(StampFile) && File.ReadAllText(StampFile).Trim() == stamp && File.Exists(Examples) && File.Exists(Model);
        bool begun = File.Exists(Checkpoint);
        // What a generator writes may change with the program, so it is asked again as long as training has not begun.
        if (same && (begun || _recipe.Generated is null)) return;
        if (begun)
            throw FlintException.Caller("other_recipe", $"{_recipe.Folder} holds a run that began with other data, tokenizer, template, model or seed than {_recipe.Path} says; name another output.folder, or remove that one to begin anew");
        Directory.CreateDirectory(_recipe.Folder);
        if (_recipe.Generated is { } generated) Generate(generated);
        if (_recipe.BaseModel is not { } model) MakeModel();
        else if (_recipe.KvHeads > 0) Growth.Write(Model, model, _recipe.KvHeads);
        MakeExamples();
        File.WriteAllText(StampFile, stamp + "\n");
    }

    private void Generate((ulong Seed, int Items, string? Task, int Stage) of)
    {
        string partial = GeneratedFile + ".partial";
        using (var file = new FileStream(partial, FileMode.Create, FileAccess.Write, FileShare.Read, 1 << 20)) NanoData.Write(file, of.Seed, of.Items, of.Task, of.Stage);
        File.Move(partial, GeneratedFile, overwrite: true);
        _output.WriteLine($"Data: {of.Items:N0} conversations of seed {of.Seed}, {new FileInfo(GeneratedFile).Length / 1048576.0:N0} MiB.");
    }

    private void MakeModel()
    {
        string template = File.ReadAllText(_recipe.Template!);
        ChatTemplate parsed = ChatTemplate.Parse(template);
        if (_recipe.TokenizerModel is { } other)
        {
            using GgufFile file = GgufFile.Open(other);
            Initialization.Write(Model, _recipe.Shape!, file.Metadata.Where(pair => pair.Key.StartsWith("tokenizer.", StringComparison.Ordinal)), template, _recipe.Name, _recipe.Seed);
            return;
        }
        var trainer = new BpeTrainer(new BpeTrainerOptions { Specials = Specials, MergeDigits = _recipe.MergeDigits });
        long counted = ChatDataset.CountWords(Conversations, parsed, Specials[0], trainer);
        BpeVocabulary vocabulary = trainer.Train(_recipe.VocabularySize);
        _output.WriteLine($"Tokenizer: {vocabulary.Count:N0} tokens from {trainer.Words:N0} words of {counted:N0} conversations.");
        Initialization.Write(Model, _recipe.Shape!, vocabulary.Metadata(), template, _recipe.Name, _recipe.Seed);
    }

    private void MakeExamples()
    {
        using GgufFile file = GgufFile.Open(Model);
        string template = file.Metadata.TryGet("tokenizer.chat_template", out string? own) && own is not null ? own
            : throw FlintException.File("no_chat_template", $"{Model} has no chat template, so conversations cannot be rendered for it");
        DatasetReport report;
        using (var leftOut = new StreamWriter(LeftOut) { NewLine = "\n" })
        {
            report = new ChatDataset(ChatTemplate.Parse(template), Tokenizer.FromGguf(file.Metadata), new ChatDatasetOptions
            {
                MaxTokens = _recipe.Options.MaxExampleTokens,
                PromptWeight = _recipe.PromptWeight,
                Threads = _recipe.Options.Threads == 0 ? Environment.ProcessorCount : _recipe.Options.Threads,
                OnFault = fault => leftOut.WriteLine(fault),
            }).Write(Conversations, Examples);
        }
        if (report.Faults == 0) File.Delete(LeftOut);
        Tell(report);
    }

    private void Tell(DatasetReport report)
    {
        _output.WriteLine($"Examples: {report.Examples:N0} from {report.Lines:N0} lines, {report.Tokens:N0} tokens, {report.TrainedTokens:N0} of them trained, the longest {report.LongestExample:N0}.");
        if (report.Faults == 0) return;
        _output.WriteLine($"Left out: {report.Faults:N0} lines ({string.Join(", ", report.FaultsByCode.Select(f => $"{f.Value:N0} {f.Key}"))}).");
        foreach (DatasetFault fault in report.FirstFaults) _output.WriteLine($"  {fault}");
        if (report.Faults > report.FirstFaults.Count) _output.WriteLine($"  and {report.Faults - report.FirstFaults.Count:N0} more; all are in {LeftOut}");
    }

    /// <summary>A digest of everything that the prepared files follow from.</summary>
    private string Stamp()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        void Add(string text) => hash.AppendData(Encoding.UTF8.GetBytes(text + "\n"));
        Add(FormattableString.Invariant($"{_recipe.Name} {_recipe.Seed} {_recipe.PromptWeight} {_recipe.Options.MaxExampleTokens} {_recipe.VocabularySize} {_recipe.MergeDigits} {_recipe.Generated}"));
        if (_recipe.KvHeads > 0) Add($"{_recipe.KvHeads} heads of keys and values");
        if (_recipe.Shape is { } shape) Add(FormattableString.Invariant($"{shape with { Pattern = [] }} {string.Join(' ', shape.Pattern)}"));
        foreach (string? file in (string?[])[_recipe.Template, .. _recipe.Files])
        {
            if (file is null) continue;
            if (!File.Exists(file)) throw FlintException.Caller("file_not_found", $"{_recipe.Path}: no such file: {file}");
            using FileStream stream = File.OpenRead(file);
            Add(Convert.ToHexString(SHA256.HashData(stream)));
        }
        foreach (string? model in (string?[])[_recipe.BaseModel, _recipe.TokenizerModel])
        {
            if (model is null) continue;
            Add($"{new FileInfo(Existing(model)).Length} {File.GetLastWriteTimeUtc(model).Ticks}");
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private string Existing(string model) =>
        File.Exists(model) ? model : throw FlintException.Caller("model_not_found", $"{_recipe.Path}: no such model file: {model}");
}
