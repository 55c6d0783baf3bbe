using Flint.Kernels;
using Flint.Models;
using Flint.Weights;

namespace Flint.Training;

/// <summary>
/// Trains a decoder on packed examples with AdamW, one step at a time. Equal options, data and starting weights give equal bits at
/// every step, on any count of threads, with or without a stop and a resume in between. Not thread-safe.
/// </summary>
public sealed unsafe class Trainer : IDisposable
{
    private readonly GgufFile _file;
    private readonly ExampleFile _data;
    private readonly Team _team;
    private readonly TrainedTensors _trained;
    private readonly TrainingWeights _weights;
    private readonly Backpropagation _pass;
    private readonly Optimizer _optimizer;
    private readonly PackedBatch[] _batches;
    private readonly ExampleOrder _order;
    private readonly LoraOptions? _lora;
    private readonly int[] _tokens;
    private readonly float[] _tokenWeights;

    private Trainer(GgufFile file, ModelConfig config, ExampleFile data, TrainerOptions options, LoraOptions? lora, TrainingProgress progress)
    {
        _file = file;
        _data = data;
        _lora = lora;
        Config = config;
        Options = options;
        Progress = progress;
        _team = new Team(options.Threads);
        _trained = new TrainedTensors(Tensors(file, config, lora));
        _weights = new TrainingWeights(file, config, _trained);
        _pass = new Backpropagation(config, _weights, _trained, _team, Sizes(options, lora, _team.Count), lora?.Scale ?? 1f);
        _optimizer = new Optimizer(_trained, _team, options.Optimizer);
        _batches = [.. Enumerable.Range(0, options.Accumulation).Select(_ => new PackedBatch(options.MicroBatchTokens))];
        _order = new ExampleOrder(data.Count, options.Seed, progress.Round, progress.NextExample);
        _tokens = new int[options.MaxExampleTokens];
        _tokenWeights = new float[options.MaxExampleTokens];
    }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>How it is trained.</summary>
    public TrainerOptions Options { get; }

    /// <summary>What the run has done so far.</summary>
    public TrainingProgress Progress { get; private set; }

    /// <summary>Optimizer steps done.</summary>
    public int StepsDone => Progress.Steps;

    /// <summary>Parameters that are trained.</summary>
    public long TrainedParameters => _trained.Count;

    /// <summary>Floating-point operations of the last step's matrix products, forward and backward.</summary>
    public double LastStepOperations { get; private set; }

    /// <summary>Starts to train all weights of a model.</summary>
    /// <param name="model">A GGUF file of a dense family; its weights are where training begins.</param>
    /// <param name="data">Examples tokenised with its vocabulary; stays the caller's.</param>
    /// <param name="options">How to train.</param>
    /// <exception cref="FlintException">Caller: an option is out of range or the data is of another vocabulary. ModelFile: the model is not supported.</exception>
    public static Trainer Start(string model, ExampleFile data, TrainerOptions options) => Open(model, data, options, null);

    /// <summary>Starts to train low-rank adapters beside a model's frozen weights, which stay in the format of their file.</summary>
    /// <inheritdoc cref="Start"/>
    public static Trainer StartAdapter(string model, ExampleFile data, TrainerOptions options, LoraOptions lora)
    {
        lora.Check();
        Trainer trainer = Open(model, data, options, lora);
        lora.Initialize(trainer._trained, options.Seed);
        return trainer;
    }

    /// <summary>Goes on from a checkpoint of <see cref="Start"/>: with the same options and data, bit for bit as if it had never stopped.</summary>
    /// <exception cref="FlintException">Caller: the checkpoint is of other data or options. ModelFile: it is not a checkpoint.</exception>
    public static Trainer Resume(string checkpoint, ExampleFile data, TrainerOptions options) => Open(checkpoint, data, options, null, checkpoint);

    /// <summary>Goes on from a checkpoint of <see cref="StartAdapter"/>.</summary>
    /// <inheritdoc cref="Resume"/>
    public static Trainer ResumeAdapter(string model, string checkpoint, ExampleFile data, TrainerOptions options, LoraOptions lora)
    {
        lora.Check();
        return Open(model, data, options, lora, checkpoint);
    }

    /// <summary>Bytes that a run allocates, the model's file apart.</summary>
    public static long EstimateBytes(ModelConfig config, TrainerOptions options, LoraOptions? lora = null)
    {
        int threads = options.Threads == 0 ? Environment.ProcessorCount : options.Threads;
        (string Name, int Columns, int Rows)[] trained = lora is null
            ? [.. DecoderTensors.Of(config, tied: false).Select(t => (t.Name, t.Columns, t.Rows))]
            : [.. lora.Tensors(config)];
        return 4 * sizeof(float) * trained.Sum(t => (long)t.Columns * Math.Max(1, t.Rows))
            + TrainingMemory.Bytes(config, Sizes(options, lora, threads))
            + Optimizer.ScratchBytes(trained, options.Optimizer, threads);
    }

    /// <summary>The shape of the model in a file, for <see cref="EstimateBytes"/>.</summary>
    /// <param name="model">The file.</param>
    /// <param name="lora">The adapter that it is to get; null for none.</param>
    /// <exception cref="FlintException">ModelFile: the model is not supported. Caller: it cannot have that adapter.</exception>
    public static ModelConfig ConfigOf(string model, LoraOptions? lora = null)
    {
        using GgufFile file = GgufFile.Open(model);
        ModelConfig config = Dense(file);
        lora?.Check();
        lora?.CheckFits(config, !file.Tensors.TryGet(DecoderTensors.Head, out _), file.Path);
        return config;
    }

    /// <summary>One optimizer step: as many packed batches as <see cref="TrainerOptions.Accumulation"/> says.</summary>
    public TrainingStep Step()
    {
        double weight = 0;
        long tokens = 0, trainedTokens = 0;
        foreach (PackedBatch batch in _batches)
        {
            Fill(batch);
            weight += batch.TotalWeight;
            tokens += batch.Rows;
            trainedTokens += batch.TrainedRows;
        }

        if (!(weight > 0)) throw FlintException.Caller("nothing_to_learn", "The examples of a step have no token with a weight; expected at least one.");
        using Team.PinnedCaller pinned = Team.PinCaller();
        _trained.ClearGradients();
        double loss = 0;
        foreach (PackedBatch batch in _batches) loss += _pass.Run(batch, (float)(1 / weight), backward: true);
        loss /= weight;
        int step = Progress.Steps;
        double norm = _optimizer.Step(Options, step);
        if (!double.IsFinite(loss) || !double.IsFinite(norm))
            throw FlintException.Caller("diverged", FormattableString.Invariant($"Step {step + 1} gave a loss of {loss} and a gradient of norm {norm}: the run has diverged; expected finite numbers (a lower learning rate may help)."));
        LastStepOperations = Operations(tokens, trainedTokens);
        Progress = new TrainingProgress(step + 1, Progress.Tokens + tokens, Progress.TrainedTokens + trainedTokens, _order.Round, _order.Next);
        return new TrainingStep(step + 1, loss, Progress.Tokens, Progress.TrainedTokens, Options.RateAt(step), norm);
    }

    /// <summary>The weighted mean cross entropy of some examples, in nats, with the weights as they are.</summary>
    /// <param name="examples">Indexes into a file of examples.</param>
    /// <param name="data">That file.</param>
    public double Evaluate(ReadOnlySpan<int> examples, ExampleFile data)
    {
        var batch = new PackedBatch(Options.MicroBatchTokens);
        double loss = 0, weight = 0;
        foreach (int example in examples)
        {
            ReadExample(data, example, out int length);
            if (batch.TryAdd(_tokens.AsSpan(0, length), _tokenWeights.AsSpan(0, length))) continue;
            Flush();
            batch.TryAdd(_tokens.AsSpan(0, length), _tokenWeights.AsSpan(0, length));
        }

        Flush();
        return weight > 0 ? loss / weight : 0;

        void Flush()
        {
            if (batch.Rows > 0) loss += _pass.Run(batch, 0, backward: false);
            weight += batch.TotalWeight;
            batch.Clear();
        }
    }

    /// <summary>Writes everything that <see cref="Resume"/> needs: the weights, AdamW's moments and the place in the data. Atomic.</summary>
    public void SaveCheckpoint(string path) => TrainingFiles.WriteCheckpoint(path, _file, _trained, Options, _lora, Progress, _data.Fingerprint);

    /// <summary>Writes the trained model, its trained tensors in binary32. Atomic.</summary>
    public void SaveModel(string path) => TrainingFiles.WriteModel(path, _file, _trained);

    /// <summary>The adapter as trained so far.</summary>
    /// <exception cref="InvalidOperationException">The run trains all weights, not an adapter.</exception>
    public LoraAdapter Adapter()
    {
        if (_lora is null) throw new InvalidOperationException("This run trains all weights; it has no adapter.");
        var matrices = new List<LoraMatrix>();
        foreach (DecoderTensor tensor in DecoderTensors.Of(Config, tied: false))
        {
            if (_trained.Find(AdapterPart.NameA(tensor.Name)) is null) continue;
            matrices.Add(new LoraMatrix(tensor.Name, _lora.Rank, tensor.Columns, tensor.Rows, Values(AdapterPart.NameA(tensor.Name)).ToArray(), Values(AdapterPart.NameB(tensor.Name)).ToArray()));
        }

        return new LoraAdapter(Config.Architecture, _lora.Alpha, matrices);
    }

    /// <summary>A trained tensor's values: [rows][columns].</summary>
    internal ReadOnlySpan<float> Values(string name) =>
        _trained.Find(name) is { } tensor ? new ReadOnlySpan<float>(_trained.ValuesOf(tensor), checked((int)tensor.Count)) : default;

    /// <inheritdoc/>
    public void Dispose()
    {
        _pass.Dispose();
        _optimizer.Dispose();
        _weights.Dispose();
        _trained.Dispose();
        _team.Dispose();
        _file.Dispose();
    }

    private static ModelConfig Dense(GgufFile file)
    {
        ModelConfig config = Family.Configure(file);
        if (config.Experts > 0)
            throw FlintException.File("experts_not_trained", $"{file.Path}: \"{config.Architecture}\" with {config.Experts} experts cannot be trained; expected a dense model.");
        return config;
    }

    private static Trainer Open(string model, ExampleFile data, TrainerOptions options, LoraOptions? lora, string? checkpoint = null)
    {
        options.Check();
        GgufFile file = GgufFile.Open(model);
        try
        {
            ModelConfig config = Dense(file);
            if (data.Vocabulary != config.VocabularySize)
                throw FlintException.Caller("other_vocabulary", $"The examples are of a vocabulary of {data.Vocabulary}; expected {config.VocabularySize}, as in {model}.");
            if (data.Count == 0) throw FlintException.Caller("no_examples", "There is no example to train on; expected at least one.");
            using GgufFile? saved = checkpoint is null || checkpoint == model ? null : GgufFile.Open(checkpoint);
            GgufFile from = saved ?? file;
            TrainingProgress progress = checkpoint is null ? default : TrainingFiles.ReadProgress(from, options, lora, data);
            var trainer = new Trainer(file, config, data, options, lora, progress);
            if (lora is null || checkpoint is not null) TrainingFiles.ReadValues(from, trainer._trained, moments: checkpoint is not null);
            return trainer;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static IEnumerable<(string Name, int Columns, int Rows)> Tensors(GgufFile file, ModelConfig config, LoraOptions? lora)
    {
        bool tied = !file.Tensors.TryGet(DecoderTensors.Head, out _);
        if (lora is null) return DecoderTensors.Of(config, tied).Select(t => (t.Name, t.Columns, t.Rows));
        lora.CheckFits(config, tied, file.Path);
        return lora.Tensors(config);
    }

    private static TrainingSizes Sizes(TrainerOptions options, LoraOptions? lora, int threads) =>
        new(options.MicroBatchTokens, options.MaxExampleTokens, threads, lora?.Rank ?? 0, lora is not null);

    private void Fill(PackedBatch batch)
    {
        batch.Clear();
        while (true)
        {
            ReadExample(_data, _order.Current, out int length);
            if (!batch.TryAdd(_tokens.AsSpan(0, length), _tokenWeights.AsSpan(0, length))) return;
            _order.Advance();
        }
    }

    private void ReadExample(ExampleFile data, int example, out int length)
    {
        length = data.Length(example);
        if (length < 2 || length > Options.MaxExampleTokens)
            throw FlintException.Caller("example_length", $"Example {example} has {length} tokens; expected 2 to {Options.MaxExampleTokens}.");
        data.Read(example, _tokens.AsSpan(0, length), _tokenWeights.AsSpan(0, length));
    }

    /// <summary>2 per multiply-add, three products per weight (forward, input's gradient, weight's gradient); attention is left out.</summary>
    private double Operations(long tokens, long trainedTokens)
    {
        double layers = _weights.Layers.Sum(l => l.Matrices.Sum(m => (double)m.Rows * m.Columns)), head = (double)_weights.Head.Rows * _weights.Head.Columns;
        return (_lora is null ? 6 : 4) * (layers * tokens + head * trainedTokens);
    }
}

/// <summary>How far a run has come.</summary>
/// <param name="Steps">Optimizer steps.</param>
/// <param name="Tokens">Tokens passed through.</param>
/// <param name="TrainedTokens">Those whose prediction had a weight.</param>
/// <param name="Round">Rounds through the data completed.</param>
/// <param name="NextExample">Examples of this round already taken.</param>
public readonly record struct TrainingProgress(int Steps, long Tokens, long TrainedTokens, int Round, int NextExample);
