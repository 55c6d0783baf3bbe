using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Flint.Grammar;
using Flint.Models;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.App.Serving;

/// <summary>A loaded model with all it takes to talk to it: tokenizer, chat template, dialect, and a running engine.</summary>
public sealed partial class ServedModel : IDisposable
{
    /// <summary>Most sequences computed at once that can be asked for.</summary>
    public const int MaxParallel = 1024;

    private readonly ControlText _controlText;
    private readonly GrammarCache _grammars;

    private ServedModel(string name, GgufFile file, Model model, ServingOptions options)
    {
        Name = name;
        Model = model;
        Tokenizer = Tokenizer.FromGguf(file.Metadata);
        if (Tokenizer.Count > model.Config.VocabularySize)
            throw FlintException.File("vocabulary_size", $"{file.Path}: the tokenizer has {Tokenizer.Count} tokens, the model's logits only {model.Config.VocabularySize}.");
        string? template = file.Metadata.GetOr<string?>("tokenizer.chat_template", null);
        Template = ChatTemplate.Parse(template ?? PlainTemplate);
        Dialect = Dialect.Detect(template, Tokenizer);
        ChatStops = [.. Dialect.StopTokens.Where(IsForeignStop)];
        _controlText = new ControlText(Tokenizer);
        _grammars = new GrammarCache(this);
        Pooling = PoolingOf(file.Metadata);
        Created = File.GetLastWriteTimeUtc(file.Path);
        Fingerprint = MakeFingerprint(file);
        Calibration = CalibrationFile.Beside(file.Path);
        Description = $"{model.Config.Architecture}, {file.FileBytes / (1024.0 * 1024):F0} MiB, context {model.Config.ContextLength} in {model.Config.KvFormat}, {model.Threads} threads, {Model.InstructionSets}{(model.HasPackedCopy ? ", packed copy" : "")}";
        if (model.PackedCopyFault is { } fault) Description += $"; packed copy passed over: {fault}";
        Variants = [new ModelVariant(this), .. LoadAdapters(options.Adapters)];
        Engine = new Engine.Engine(model, Tokenizer, new EngineOptions { MaxRunning = options.Parallel, MaxWaiting = options.Waiting });
    }

    /// <summary>Without a template of its own a model continues the text: the messages' contents, a line each.</summary>
    private const string PlainTemplate = "{% for message in messages %}{{ message.content }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}";

    /// <summary>Its name in the API.</summary>
    public string Name { get; }

    /// <summary>The model.</summary>
    public Model Model { get; }

    /// <summary>Its tokenizer.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>Its chat template; where the file has none, one that joins the messages' contents.</summary>
    public ChatTemplate Template { get; }

    /// <summary>How to read its answers.</summary>
    public Dialect Dialect { get; }

    /// <summary>Control tokens that end an answer in this dialect and that the file does not name as such; stop strings of a chat.</summary>
    public IReadOnlyList<string> ChatStops { get; }

    /// <summary>
    /// How its hidden states become an embedding, as its file says in <c>pooling_type</c>; their mean where it says nothing, null where
    /// it names a way that a decoder does not have.
    /// </summary>
    public PromptPooling? Pooling { get; }

    /// <summary>What requests may name: the model itself, then the model with each of its adapters.</summary>
    public IReadOnlyList<ModelVariant> Variants { get; }

    /// <summary>The engine that runs it, started.</summary>
    public Engine.Engine Engine { get; }

    /// <summary>When its file was written.</summary>
    public DateTimeOffset Created { get; }

    /// <summary>Names the weights: equal for equal files, different for different ones.</summary>
    public string Fingerprint { get; }

    /// <summary>What agreement among agents has meant for this model's answers, from the file beside it; null where there is none.</summary>
    public Calibration? Calibration { get; }

    /// <summary>One line for a person: family, size, context, threads.</summary>
    public string Description { get; }

    /// <summary>The text of the token that begins a sequence, for templates; null where there is none.</summary>
    public string? BosText => Tokenizer.Bos is int id ? Tokenizer.Text(id) : null;

    /// <summary>The text of the token that ends a sequence, for templates; null where there is none.</summary>
    public string? EosText => Tokenizer.Eos is int id ? Tokenizer.Text(id) : null;

    /// <summary>The longest prompt and answer together, in tokens.</summary>
    public int ContextLength => Engine.ContextLength;

    /// <summary>Loads a model and starts its engine.</summary>
    /// <param name="path">A GGUF file.</param>
    /// <param name="name">Its name in the API; null for the file's, without extension and shard number.</param>
    /// <param name="options">Sizes.</param>
    /// <exception cref="FlintException">ModelFile: the file is damaged or of an unknown kind. Caller: a size is out of range.</exception>
    public static ServedModel Load(string path, string? name, ServingOptions options)
    {
        if (options.Parallel is < 1 or > MaxParallel)
            throw FlintException.Caller("invalid_parallel", $"Sequences at once are 1 to {MaxParallel}, not {options.Parallel}.");
        if (options.Adapters.Count > AdapterSource.MaxAdapters)
            throw FlintException.Caller("too_many_adapters", $"A model has at most {AdapterSource.MaxAdapters} adapters; {options.Adapters.Count} are given.");
        if (options.Adapters.GroupBy(a => a.Name).FirstOrDefault(g => g.Count() > 1) is { } twice)
            throw FlintException.Caller("adapter_name_taken", $"Two adapters are named '{twice.Key}'; expected another name for one.");
        if (options.ContextLength < 0 || options.Threads < 0)
            throw FlintException.Caller("invalid_size", $"The context length and the threads are at least 0 (0: the model's own, one per core), not {options.ContextLength} and {options.Threads}.");
        GgufFile file = GgufFile.Open(path);
        Model? model = null;
        try
        {
            model = Model.Load(file, new ModelOptions
            {
                Threads = options.Threads,
                ContextLength = options.ContextLength,
                KvFormat = options.KvFormat,
                MaxSequences = options.Parallel,
                MaxLogitRows = Math.Max(options.Parallel, new ModelOptions().MaxLogitRows),
                MaxBatchRows = Math.Max(options.Parallel, new ModelOptions().MaxBatchRows),
            });
            var served = new ServedModel(name ?? NameOf(path), file, model, options);
            served.Engine.Start();
            return served;
        }
        catch
        {
            if (model is not null)
                model.Dispose();
            else
                file.Dispose();
            throw;
        }
    }

    /// <summary>The ids of a prompt given as text, after the beginning-of-sequence token where the model wants one. Control tokens written out in it count as such: the whole text is the caller's.</summary>
    public int[] Encode(string prompt)
    {
        var ids = new List<int>();
        AddBos(ids, prompt);
        Tokenizer.Encode(prompt, parseSpecial: true, ids);
        return [.. ids];
    }

    /// <summary>Renders a conversation with the model's template and encodes it.</summary>
    /// <param name="input">The conversation; all its texts count as a stranger's.</param>
    /// <exception cref="FlintException">Caller: the template refuses the conversation.</exception>
    public ChatPrompt Encode(TemplateInput input)
    {
        (string prompt, char? mark) = PromptRenderer.Render(Template, input, _controlText);
        var ids = new List<int>();
        AddBos(ids, prompt);
        if (mark is char found)
            _controlText.Encode(prompt, found, ids);
        else
            Tokenizer.Encode(prompt, parseSpecial: true, ids);
        return new ChatPrompt([.. ids], Dialect.OpensReasoning(prompt));
    }

    /// <summary>Renders a conversation and encodes it, with the beginning of the answer that its mode puts behind it.</summary>
    /// <param name="input">The conversation, with the mode's variables.</param>
    /// <param name="plan">The mode.</param>
    /// <exception cref="FlintException">Caller: the template refuses the conversation.</exception>
    public ChatPrompt Encode(TemplateInput input, ModePlan plan)
    {
        ChatPrompt prompt = Encode(input);
        string? primer = null;
        if (plan.OpensAnswer)
            primer = Dialect.AnswerOpening(prompt.OpensReasoning);
        else if (plan is { Mode: ReasoningMode.Thinking, Budget: not null } && !prompt.OpensReasoning)
            primer = Dialect.ReasoningOpening; // so that every token until the limit is a thought
        return Prime(prompt, primer);
    }

    /// <summary>The same prompt with the beginning of the answer behind it.</summary>
    /// <param name="prompt">The prompt, without a beginning yet.</param>
    /// <param name="primer">The beginning, control tokens written out; null for none.</param>
    public ChatPrompt Prime(in ChatPrompt prompt, string? primer)
    {
        if (primer is null)
            return prompt;
        int[] ids = EncodeInside(primer);
        return prompt with { Ids = [.. prompt.Ids, .. ids], Primer = ids };
    }

    /// <summary>The grammar of responses of which something is asked; kept for the next that asks the same.</summary>
    /// <param name="rules">What is asked; the prompt's own state is filled in.</param>
    /// <param name="prompt">What the response goes on from.</param>
    /// <returns>Null where nothing is asked.</returns>
    /// <exception cref="FlintException">Caller: a schema or grammar cannot be enforced, or the chat format cannot force a call.</exception>
    public TokenGrammar? GrammarOf(ResponseRules rules, in ChatPrompt prompt) =>
        rules.IsEmpty ? null : _grammars.Find(rules with { StartsInReasoning = prompt.OpensReasoning });

    /// <summary>The ids of a text of our own inside an answer, control tokens written out. No vocabulary puts a space before it.</summary>
    public int[] EncodeInside(string text)
    {
        List<int> ids = [.. Tokenizer.Encode("\n", addSpecial: false, parseSpecial: false)]; // what goes on from text is not begun anew
        int before = ids.Count;
        Tokenizer.Encode(text, parseSpecial: true, ids);
        return [.. ids.Skip(before)];
    }

    /// <summary>A parser of what the model writes behind a prompt; it has read the prompt's primer.</summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="tools">The functions offered.</param>
    /// <param name="callId">Makes the id of a call; null for plain ones.</param>
    /// <param name="into">Receives what the primer holds, if it holds anything.</param>
    public ResponseParser CreateParser(in ChatPrompt prompt, IReadOnlyList<ToolDefinition> tools, Func<int, string>? callId, List<ResponseDelta> into)
    {
        ResponseParser parser = Dialect.CreateParser(new ResponseParserOptions { Tools = tools, CallId = callId, StartsInReasoning = prompt.OpensReasoning });
        Push(parser, prompt.Primer, into);
        return parser;
    }

    /// <summary>Has a parser read what the engine tells.</summary>
    public void Push(ResponseParser parser, in TokenEvent next, List<ResponseDelta> into)
    {
        bool special = next.Kind == TokenEventKind.Token && Tokenizer.IsSpecial(next.Token);
        // Text that comes without a token was kept back from ordinary ones, whatever it looks like.
        parser.Push(Math.Max(next.Token, 0), special ? Tokenizer.Text(next.Token) : next.Text ?? "", special, into);
    }

    /// <summary>Has a parser read tokens that were put in the model's mouth.</summary>
    public void Push(ResponseParser parser, int[]? tokens, List<ResponseDelta> into)
    {
        var bytes = new List<byte>(); // of ordinary tokens, which may end inside a character
        foreach (int token in tokens ?? [])
        {
            if (!Tokenizer.IsSpecial(token))
            {
                bytes.AddRange(Tokenizer.Bytes(token));
                continue;
            }

            parser.Push(0, Encoding.UTF8.GetString(bytes.ToArray()), isSpecial: false, into);
            bytes.Clear();
            parser.Push(token, Tokenizer.Text(token), isSpecial: true, into);
        }

        parser.Push(0, Encoding.UTF8.GetString(bytes.ToArray()), isSpecial: false, into);
    }

    /// <summary>Ends every sequence and frees the memory.</summary>
    public void Dispose()
    {
        Engine.Dispose();
        Model.Dispose();
    }

    private IEnumerable<ModelVariant> LoadAdapters(IReadOnlyList<AdapterSource> sources)
    {
        foreach (AdapterSource source in sources)
        {
            LoraAdapter adapter = LoraAdapter.Load(source.Path, Model.File);
            yield return new ModelVariant(this, source, adapter, Model.LoadAdapter(adapter));
        }
    }

    private bool IsForeignStop(string text) =>
        Tokenizer.TryId(text, out int id) && Tokenizer.IsSpecial(id) && !Tokenizer.EndOfGeneration.Contains(id);

    // llama.cpp's numbers: 0 none, 1 mean, 2 the first token's, 3 the last token's, 4 a rank.
    private static PromptPooling? PoolingOf(GgufMetadata metadata) => metadata.GetOr($"{metadata.Architecture}.pooling_type", 0) switch
    {
        0 or 1 => PromptPooling.Mean,
        3 => PromptPooling.Last,
        _ => null,
    };

    // Templates that print the token themselves do not get a second one.
    private void AddBos(List<int> ids, string prompt)
    {
        if (Tokenizer.AddBos && Tokenizer.Bos is int bos && !prompt.StartsWith(Tokenizer.Text(bos), StringComparison.Ordinal))
            ids.Add(bos);
    }

    /// <summary>The name of a model that is given none: its file's, without extension and shard number.</summary>
    public static string NameOf(string path) => ShardSuffix().Replace(Path.GetFileNameWithoutExtension(path), "");

    [GeneratedRegex("-[0-9]{5}-of-[0-9]{5}$")]
    private static partial Regex ShardSuffix();

    private static string MakeFingerprint(GgufFile file)
    {
        var text = new StringBuilder($"{file.Metadata.Architecture} {file.FileBytes}");
        foreach (TensorInfo tensor in file.Tensors)
            text.Append($"\n{tensor.Name} {tensor.Type} {string.Join('x', tensor.Shape)}");
        return "fp_" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())))[..12];
    }
}
