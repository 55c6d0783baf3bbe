using Flint.Formats;
using Flint.Weights;

namespace Flint.Training;

/// <summary>Checkpoints and trained models, as GGUF. A checkpoint is the model's file with moments and the place in the data beside the weights.</summary>
internal static unsafe class TrainingFiles
{
    private const string Prefix = "training.";
    private const string FirstMoment = ".adam_m";
    private const string SecondMoment = ".adam_v";
    private const int PieceBytes = 1 << 24;

    public static void WriteCheckpoint(string path, GgufFile file, TrainedTensors trained, TrainerOptions options, LoraOptions? lora, TrainingProgress progress, ulong data) =>
        Write(path, file, trained, moments: true, frozen: lora is null, writer =>
        {
            writer.Add(Prefix + "steps", progress.Steps);
            writer.Add(Prefix + "tokens", progress.Tokens);
            writer.Add(Prefix + "trained_tokens", progress.TrainedTokens);
            writer.Add(Prefix + "round", progress.Round);
            writer.Add(Prefix + "next_example", progress.NextExample);
            writer.Add(Prefix + "data", data);
            writer.Add(Prefix + "options", Describe(options));
            writer.Add(Prefix + "adapter", Describe(lora));
            writer.Add(Prefix + "schedule", Schedule(options));
            writer.Add(Prefix + "level_until", options.DecaySteps == 0 ? 0 : options.DecayStart);
        });

    public static void WriteModel(string path, GgufFile file, TrainedTensors trained) => Write(path, file, trained, moments: false, frozen: true, null);

    /// <summary>Where a checkpoint's run was.</summary>
    /// <exception cref="FlintException">Caller: it is of other data or options. ModelFile: it is not a checkpoint.</exception>
    public static TrainingProgress ReadProgress(GgufFile file, TrainerOptions options, LoraOptions? lora, ExampleFile data)
    {
        GgufMetadata m = file.Metadata;
        if (!m.Contains(Prefix + "steps"))
            throw FlintException.File("not_a_checkpoint", $"{file.Path} is not a checkpoint of a training run: it has no {Prefix}steps.");
        if (m.Get<ulong>(Prefix + "data") != data.Fingerprint)
            throw FlintException.Caller("other_data", $"{file.Path} is a checkpoint of a run on other examples; expected the same ones.");
        string adapter = m.GetOr(Prefix + "adapter", "");
        string was = m.Get<string>(Prefix + "options") + adapter, now = Describe(options) + Describe(lora);
        int steps = m.Get<int>(Prefix + "steps");
        if (m.Get<string>(Prefix + "schedule") != Schedule(options) && (options.DecaySteps == 0 || steps > options.DecayStart || steps > m.Get<int>(Prefix + "level_until")))
        {
            was += ", " + m.Get<string>(Prefix + "schedule");
            now += ", " + Schedule(options);
        }

        if (was != now)
            throw FlintException.Caller("other_options", $"{file.Path} is a checkpoint of a run with other options; expected {was}; found {now}.");
        int next = m.Get<int>(Prefix + "next_example");
        if ((uint)next >= (uint)data.Count)
            throw FlintException.File("not_a_checkpoint", $"{file.Path}: {Prefix}next_example is {next}; expected 0 to {data.Count - 1}.");
        return new TrainingProgress(steps, m.Get<long>(Prefix + "tokens"), m.Get<long>(Prefix + "trained_tokens"), m.Get<int>(Prefix + "round"), next);
    }

    /// <summary>Fills the trained tensors from a file that holds them by name.</summary>
    public static void ReadValues(GgufFile file, TrainedTensors trained, bool moments)
    {
        foreach (TrainedTensor tensor in trained.All)
        {
            Read(file, tensor.Name, tensor, trained.ValuesOf(tensor));
            if (!moments) continue;
            Read(file, tensor.Name + FirstMoment, tensor, trained.FirstMoments + tensor.Offset);
            Read(file, tensor.Name + SecondMoment, tensor, trained.SecondMoments + tensor.Offset);
        }
    }

    private static void Read(GgufFile file, string name, TrainedTensor tensor, float* into)
    {
        TensorInfo info = file.Tensors.Get(name, tensor.Shape);
        if (!WeightTypes.IsSupported(info.Type))
            throw FlintException.File("unsupported_weight_type", $"{info.File}: tensor {name} is in {WeightTypes.Name(info.Type)}, which is not supported.");
        long rows = Math.Max(1, tensor.Rows), bytes = WeightTypes.RowBytes(info.Type, tensor.Columns);
        for (long row = 0; row < rows; row++) WeightTypes.DecodeRow(info.Type, info.Data + row * bytes, into + row * tensor.Columns, tensor.Columns);
        for (long i = 0; i < tensor.Count; i++)
        {
            if (!float.IsFinite(into[i]))
                throw FlintException.File("weight_not_finite", $"{info.File}: tensor {name}: element {i} is {into[i]}; expected a finite number.");
        }
    }

    /// <summary>The options that decide the result: all but the threads.</summary>
    private static string Describe(TrainerOptions o) => FormattableString.Invariant(
        $"{o.Optimizer} {o.Momentum}, seed {o.Seed}, micro batch {o.MicroBatchTokens} × {o.Accumulation}, rate {o.LearningRate} to {o.FinalLearningRate} after {o.WarmupSteps}, decay {o.WeightDecay}, β {o.Beta1} {o.Beta2}, ε {o.Epsilon}, clip {o.ClipNorm}, longest {o.MaxExampleTokens}");

    /// <summary>How long the run is to be. Until the learning rate begins to fall it decides nothing.</summary>
    private static string Schedule(TrainerOptions o) => $"{o.Steps} steps" + (o.DecaySteps > 0 ? $", falling over the last {o.DecaySteps}" : "");

    private static string Describe(LoraOptions? lora) => lora is null ? "" : FormattableString.Invariant(
        $", adapter of rank {lora.Rank}, alpha {lora.Alpha}, targets {string.Join(' ', lora.Targets ?? LoraOptions.KnownTargets)}");

    // A checkpoint of an adapter leaves out the weights that do not change: it is read beside the model.
    private static void Write(string path, GgufFile file, TrainedTensors trained, bool moments, bool frozen, Action<GgufWriter>? more)
    {
        AtomicFile.Write(path, stream =>
        {
            using var writer = new GgufWriter(stream);
            foreach ((string key, object value) in file.Metadata)
            {
                if (!key.StartsWith(Prefix, StringComparison.Ordinal) && key != "general.alignment") writer.Add(key, value);
            }

            more?.Invoke(writer);
            TensorInfo[] others = frozen ? [.. file.Tensors.Where(t => trained.Find(t.Name) is null && !IsMoment(t.Name))] : [];
            foreach (TrainedTensor tensor in trained.All) writer.AddTensor(tensor.Name, WeightType.F32, tensor.Shape);
            foreach (TrainedTensor tensor in moments ? trained.All : [])
            {
                writer.AddTensor(tensor.Name + FirstMoment, WeightType.F32, tensor.Shape);
                writer.AddTensor(tensor.Name + SecondMoment, WeightType.F32, tensor.Shape);
            }

            foreach (TensorInfo tensor in others) writer.AddTensor(tensor.Name, tensor.Type, tensor.Shape);
            writer.WriteHeader();
            foreach (TrainedTensor tensor in trained.All) Put(writer, (byte*)trained.ValuesOf(tensor), tensor.Count * sizeof(float));
            foreach (TrainedTensor tensor in moments ? trained.All : [])
            {
                Put(writer, (byte*)(trained.FirstMoments + tensor.Offset), tensor.Count * sizeof(float));
                Put(writer, (byte*)(trained.SecondMoments + tensor.Offset), tensor.Count * sizeof(float));
            }

            foreach (TensorInfo tensor in others) Put(writer, tensor.Data, tensor.Bytes);
            writer.Finish();
        });
    }

    private static bool IsMoment(string name) => name.EndsWith(FirstMoment, StringComparison.Ordinal) || name.EndsWith(SecondMoment, StringComparison.Ordinal);

    private static void Put(GgufWriter writer, byte* data, long bytes)
    {
        for (long from = 0; from < bytes; from += PieceBytes)
            writer.WriteData(new ReadOnlySpan<byte>(data + from, (int)Math.Min(PieceBytes, bytes - from)));
    }
}
