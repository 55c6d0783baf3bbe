using Flint.App.Config;
using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Training;
using Flint.Weights;

namespace Flint.App.Recipes;

/// <summary>A training run as its YAML file tells it. Paths in the file are relative to it.</summary>
internal sealed record Recipe
{
    /// <summary>The file.</summary>
    public required string Path { get; init; }

    /// <summary>What the model is called.</summary>
    public required string Name { get; init; }

    /// <summary>Decides the first weights and the order of the examples.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Where everything that a run makes on the way is kept.</summary>
    public required string Folder { get; init; }

    /// <summary>Files of conversations.</summary>
    public required IReadOnlyList<string> Files { get; init; }

    /// <summary>Conversations generated beside them: of flint-nano's world, so many of a seed; null for none.</summary>
    public (ulong Seed, int Items, string? Task, int Stage)? Generated { get; init; }

    /// <summary>The loss weight of tokens that the assistant does not write.</summary>
    public required float PromptWeight { get; init; }

    /// <summary>The file of the chat template; null with <see cref="BaseModel"/>.</summary>
    public string? Template { get; init; }

    /// <summary>The size of a tokenizer to be learnt; 0 where it is taken from a model.</summary>
    public int VocabularySize { get; init; }

    /// <summary>Whether tokens may hold several digits.</summary>
    public bool MergeDigits { get; init; }

    /// <summary>The model whose tokenizer is taken.</summary>
    public string? TokenizerModel { get; init; }

    /// <summary>The shape of a new model; null with <see cref="BaseModel"/>.</summary>
    public ModelShape? Shape { get; init; }

    /// <summary>The model that is trained on.</summary>
    public string? BaseModel { get; init; }

    /// <summary>The heads of keys and values that <see cref="BaseModel"/> is given before; 0 where it keeps its own.</summary>
    public int KvHeads { get; init; }

    /// <summary>How to train.</summary>
    public required TrainerOptions Options { get; init; }

    /// <summary>Steps between checkpoints.</summary>
    public required int CheckpointEvery { get; init; }

    /// <summary>Minutes after which a run stops with a checkpoint, to be gone on with later; 0 for none.</summary>
    public required float StopAfterMinutes { get; init; }

    /// <summary>Where the trained model goes, in float32; null for nowhere.</summary>
    public string? Output { get; init; }

    /// <summary>Where quantized copies go, by format.</summary>
    public required IReadOnlyList<(string Mix, string Path)> Quantized { get; init; }

    /// <summary>The low-rank adapter that is trained beside <see cref="BaseModel"/>; null where all weights are.</summary>
    public LoraOptions? Lora { get; init; }

    /// <summary>Rounds through the data, which decide the steps; 0 where the options do.</summary>
    public float Epochs { get; init; }

    /// <summary>Where the adapter goes: a <c>.gguf</c> file, or a folder in PEFT's layout.</summary>
    public IReadOnlyList<string> Adapters { get; init; } = [];

    /// <summary>Reads a file.</summary>
    /// <exception cref="FlintException">Caller: something in it is wrong; the message names the line.</exception>
    internal static Recipe Load(string path) => Read(path, YamlSection.Load(path));

    /// <summary>Reads what a file holds.</summary>
    /// <inheritdoc cref="Load"/>
    internal static Recipe Read(string path, YamlSection root)
    {
        string home = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;
        string At(string relative) => System.IO.Path.GetFullPath(System.IO.Path.Combine(home, relative));

        // A model beside the file, or a pulled one.
        string Model(string text) => File.Exists(At(text)) || text.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) || !ModelLocator.TryParse(text, out _, out _)
            ? At(text) : ModelLocator.Find(text);

        string name = root.RequiredText("name");
        ulong seed = (ulong)root.Integer("seed", 1, 0, long.MaxValue);
        YamlSection data = root.RequiredSection("data"), model = root.RequiredSection("model"), output = root.RequiredSection("output");
        YamlSection? tokenizer = root.Section("tokenizer");
        string? template = root.Text("template"), baseModel = model.Text("from"), tokenizerModel = tokenizer?.Text("from");
        IReadOnlyList<string> files = data.Texts("files") ?? [];
        (ulong, int, string?, int)? generated = ReadGenerator(data);
        if (files.Count == 0 && generated is null) throw data.Fault("files", "data.files is missing; expected files of conversations, or a generator");
        if (baseModel is null && tokenizer is null) throw root.Fault("tokenizer", "tokenizer is missing; expected its size, or the model it is taken from");
        if (baseModel is null && template is null) throw root.Fault("template", "template is missing; expected the file of a chat template");
        if (baseModel is not null && (tokenizer is not null || template is not null))
            throw root.Fault(tokenizer is not null ? "tokenizer" : "template", "model.from brings its own tokenizer and template; leave these out");
        int size = tokenizer?.Integer("size", 0, 0, 1 << 22) ?? 0;
        if (tokenizer is not null && size > 0 == tokenizerModel is not null) throw tokenizer.Fault("size", "tokenizer takes either size or from");
        var recipe = new Recipe
        {
            Path = path,
            Name = name,
            Seed = seed,
            Files = [.. files.Select(At)],
            Generated = generated,
            PromptWeight = data.Number("prompt_weight", 0) is >= 0 and <= 1 and var weight ? weight : throw data.Fault("prompt_weight", "data.prompt_weight is out of range; expected 0 to 1"),
            Template = template is null ? null : At(template),
            VocabularySize = size,
            MergeDigits = tokenizer?.Flag("merge_digits", false) ?? false,
            TokenizerModel = tokenizerModel is null ? null : Model(tokenizerModel),
            BaseModel = baseModel is null ? null : Model(baseModel),
            Shape = baseModel is null ? ReadShape(model) : null,
            KvHeads = baseModel is null ? 0 : model.Integer("kv_heads", 0, 1, 1 << 20),
            Folder = At(output.RequiredText("folder")),
            Output = output.Text("model") is { } target ? At(target) : null,
            Quantized = ReadQuantized(output, At),
            CheckpointEvery = 0,
            StopAfterMinutes = 0,
            Options = new TrainerOptions(),
        };
        YamlSection training = root.RequiredSection("training");
        recipe = ReadTraining(training, recipe, data.Integer("max_tokens", 2048, 2, ExampleFile.MaxExampleTokens));
        root.Close();
        Locate(training, "steps", recipe.Options.Check);
        return recipe;
    }

    // A name that is none would show only once the model is trained.
    private static (string Mix, string Path)[] ReadQuantized(YamlSection output, Func<string, string> at)
    {
        if (output.Section("quantized") is not { } formats) return [];
        IReadOnlyList<(string Mix, string Path)> entries = formats.Entries();
        foreach ((string mix, _) in entries)
        {
            if (!Quantizer.Mixes.Contains(mix, StringComparer.OrdinalIgnoreCase))
                throw formats.Fault(mix, $"output.quantized: '{mix}' is no weight format; expected some of {string.Join(", ", Quantizer.Mixes)}");
        }
        return [.. entries.Select(entry => (entry.Mix, at(entry.Path)))];
    }

    private static (ulong Seed, int Items, string? Task, int Stage)? ReadGenerator(YamlSection data)
    {
        if (data.Text("generator") is not { } generator) return null;
        if (generator != "nano") throw data.Fault("generator", $"data.generator is '{generator}'; expected nano");
        ulong seed = (ulong)data.Integer("seed", 1, 0, long.MaxValue);
        string? task = data.Text("task");
        if (task is not null) Locate(data, "task", () => NanoWorld.CheckTask(task));
        return (seed, data.Required("items", 1, NanoData.MaxItems), task, data.Integer("stage", NanoWorld.Stages, 1, NanoWorld.Stages));
    }

    private static Recipe ReadTraining(YamlSection s, Recipe recipe, int maxTokens)
    {
        var d = new TrainerOptions();
        return recipe with
        {
            CheckpointEvery = s.Integer("checkpoint_every", 500, 1),
            StopAfterMinutes = s.Number("stop_after_minutes", 0) is >= 0 and var minutes ? minutes : throw s.Fault("stop_after_minutes", "training.stop_after_minutes is negative; expected minutes, or 0 for no stop"),
            Options = new TrainerOptions
            {
                Seed = recipe.Seed,
                MaxExampleTokens = maxTokens,
                Threads = s.Integer("threads", d.Threads),
                MicroBatchTokens = s.Integer("micro_batch_tokens", d.MicroBatchTokens),
                Accumulation = s.Integer("accumulation", d.Accumulation),
                Steps = s.Required("steps", 1, int.MaxValue),
                LearningRate = s.Number("learning_rate", d.LearningRate),
                FinalLearningRate = s.Number("final_learning_rate", d.FinalLearningRate),
                WarmupSteps = s.Integer("warmup_steps", d.WarmupSteps),
                DecaySteps = s.Integer("decay_steps", d.DecaySteps),
                WeightDecay = s.Number("weight_decay", d.WeightDecay),
                Beta1 = s.Number("beta1", d.Beta1),
                Beta2 = s.Number("beta2", d.Beta2),
                Epsilon = s.Number("epsilon", d.Epsilon),
                Momentum = s.Number("momentum", d.Momentum),
                Optimizer = s.Text("optimizer") switch
                {
                    null or "adamw" => OptimizerKind.AdamW,
                    "muon" => OptimizerKind.Muon,
                    string other => throw s.Fault("optimizer", $"training.optimizer is '{other}'; expected adamw or muon"),
                },
                ClipNorm = s.Number("clip_norm", d.ClipNorm),
            },
        };
    }

    private static ModelShape ReadShape(YamlSection s)
    {
        const int most = 1 << 20;
        var shape = new ModelShape
        {
            Architecture = s.RequiredText("architecture"),
            Layers = s.Required("layers", 1, most),
            Width = s.Required("width", 1, most),
            Heads = s.Required("heads", 1, most),
            KvHeads = s.Required("kv_heads", 1, most),
            HeadLength = s.Required("head_length", 1, most),
            FeedForward = s.Required("feed_forward", 1, most),
            Context = s.Required("context", 1, most),
            RopeBase = s.Number("rope_base", 10000),
            Tied = s.Flag("tied", false),
            Deviation = s.Number("deviation"),
        };
        if (shape.Architecture == "muse-glimmer")
        {
            int period = s.Integer("pattern", 4, 1, most);
            shape = shape with
            {
                Window = s.Required("window", 1, most),
                Pattern = [.. Enumerable.Range(0, Math.Min(period, shape.Layers)).Select(l => l < period - 1)],
                LogitScale = s.Number("logit_scale"),
                LogitCap = s.Number("soft_cap", 20),
            };
        }
        Locate(s, "architecture", () => shape.Config(1));
        return shape;
    }

    /// <summary>Gives what a check finds the line of the key it names, or of another where it names none that is there.</summary>
    private static void Locate(YamlSection section, string key, Action check)
    {
        try
        {
            check();
        }
        catch (FlintException fault)
        {
            throw section.Fault(fault.Message.Split(' ').FirstOrDefault(section.Has) ?? key, fault.Message);
        }
    }
}
