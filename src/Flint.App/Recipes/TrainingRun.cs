using Flint.Models;
using Flint.Training;
using Flint.Weights;
using Spectre.Console;

namespace Flint.App.Recipes;

/// <summary>How a call of a run ended.</summary>
internal enum TrainingEnd
{
    /// <summary>All steps are done and the models are written.</summary>
    Complete,

    /// <summary>The time of this call is up; the next goes on.</summary>
    OutOfTime,

    /// <summary>It was told to stop; the next call goes on.</summary>
    Interrupted,
}

/// <summary>
/// A training run: prepares it, trains in stretches, each going on where the last one stopped, and writes the models. However
/// a call ends, its last act is a checkpoint.
/// </summary>
internal sealed class TrainingRun
{
    private Recipe _recipe;
    private readonly TextWriter _output;
    private readonly IAnsiConsole? _terminal;
    private readonly TimeProvider _time;
    private readonly Preparation _preparation;

    /// <summary>Takes up a run.</summary>
    /// <param name="recipe">What to do.</param>
    /// <param name="output">Where its messages go.</param>
    /// <param name="terminal">A terminal for live progress; null for lines.</param>
    /// <param name="time">Tells the time.</param>
    internal TrainingRun(Recipe recipe, TextWriter output, IAnsiConsole? terminal, TimeProvider time)
    {
        _recipe = recipe;
        _output = output;
        _terminal = terminal;
        _time = time;
        _preparation = new Preparation(recipe, output);
    }

    private string Csv => Path.Combine(_recipe.Folder, "training.csv");

    private string Picture => Path.Combine(_recipe.Folder, "loss.svg");

    private string ModelFile => _recipe.Output ?? Path.Combine(_recipe.Folder, "model.gguf");

    /// <summary>Runs until all steps are done, the time is up, or <paramref name="stop"/> is cancelled.</summary>
    /// <exception cref="FlintException">An input is wrong, the machine lacks memory, or another process works in the folder.</exception>
    internal TrainingEnd Execute(CancellationToken stop)
    {
        long began = _time.GetTimestamp();
        _recipe.Options.Check();
        CheckMemory();
        Directory.CreateDirectory(_recipe.Folder);
        using FileStream held = Hold();
        _preparation.Run();
        using ExampleFile data = ExampleFile.Open(_preparation.Examples);
        bool resumed = File.Exists(_preparation.Checkpoint);
        if (_recipe.Epochs > 0) _recipe = _recipe with { Options = OfEpochs(data) };
        using Trainer trainer = Open(data, resumed);
        _output.WriteLine(resumed
            ? $"Going on from step {trainer.StepsDone:N0} of {_recipe.Options.Steps:N0} ({_preparation.Checkpoint})."
            : $"Training {trainer.TrainedParameters:N0} parameters for {_recipe.Options.Steps:N0} steps on {data.Count:N0} examples of {data.Tokens:N0} tokens.");
        TrainingEnd end;
        using (var log = new TrainingLog(Csv, trainer.StepsDone))
        {
            end = Train(trainer, log, began, stop);
            File.WriteAllText(Picture, LossCurve.Draw($"{_recipe.Name}: loss", log.Rows));
        }
        if (end == TrainingEnd.Complete) WriteOutputs(trainer);
        else if (trainer.StepsDone == 0) _output.WriteLine("Stopped before the first step; the same command goes on.");
        else _output.WriteLine($"Stopped at step {trainer.StepsDone:N0} of {_recipe.Options.Steps:N0}, kept in {_preparation.Checkpoint}; the same command goes on from there.");
        return end;
    }

    /// <summary>Writes the model as the last checkpoint has it; a process that trains may go on meanwhile.</summary>
    /// <exception cref="FlintException">Caller: there is no checkpoint yet.</exception>
    internal void Export(string path)
    {
        if (!File.Exists(_preparation.Checkpoint))
            throw FlintException.Caller("no_checkpoint", $"{_recipe.Folder} has no checkpoint yet; flint train {_recipe.Path} makes one every {_recipe.CheckpointEvery:N0} steps");
        using ExampleFile data = ExampleFile.Open(_preparation.Examples);
        using Trainer trainer = Trainer.Resume(_preparation.Checkpoint, data, _recipe.Options);
        MakeFolder(path);
        trainer.SaveModel(path);
        _output.WriteLine($"{path}: step {trainer.StepsDone:N0} of {_recipe.Options.Steps:N0}, {Megabytes(path)}");
    }

    private TrainingEnd Train(Trainer trainer, TrainingLog log, long began, CancellationToken stop)
    {
        int steps = _recipe.Options.Steps, saved = trainer.StepsDone;
        var screen = new TrainingScreen(_output, _terminal, _time, steps);
        void Save()
        {
            if (saved == trainer.StepsDone) return;
            // The record first: a row too many is dropped later, a row too few is lost.
            log.Flush();
            trainer.SaveCheckpoint(_preparation.Checkpoint);
            saved = trainer.StepsDone;
        }

        TrainingEnd end = screen.Run(() =>
        {
            while (trainer.StepsDone < steps)
            {
                if (stop.IsCancellationRequested) return TrainingEnd.Interrupted;
                if (_recipe.StopAfterMinutes > 0 && _time.GetElapsedTime(began).TotalMinutes >= _recipe.StopAfterMinutes) return TrainingEnd.OutOfTime;
                long at = _time.GetTimestamp(), before = trainer.Progress.Tokens;
                TrainingStep step = trainer.Step();
                double seconds = Math.Max(1e-9, _time.GetElapsedTime(at).TotalSeconds);
                TrainingRow row = log.Add(step, step.Tokens - before, trainer.LastStepOperations, seconds);
                screen.Show(row, seconds, last: step.Step == steps);
                if (step.Step % _recipe.CheckpointEvery == 0) Save();
            }
            return TrainingEnd.Complete;
        });
        Save();
        return end;
    }

    private Trainer Open(ExampleFile data, bool resumed) => (_recipe.Lora, resumed) switch
    {
        (null, false) => Trainer.Start(_preparation.Model, data, _recipe.Options),
        (null, true) => Trainer.Resume(_preparation.Checkpoint, data, _recipe.Options),
        ({ } lora, false) => Trainer.StartAdapter(_preparation.Model, data, _recipe.Options, lora),
        ({ } lora, true) => Trainer.ResumeAdapter(_preparation.Model, _preparation.Checkpoint, data, _recipe.Options, lora),
    };

    // Packing leaves a few tokens of a step unused, so the last round may end a little early.
    private TrainerOptions OfEpochs(ExampleFile data)
    {
        TrainerOptions o = _recipe.Options;
        int steps = (int)Math.Clamp(Math.Ceiling(_recipe.Epochs * (double)data.Tokens / ((long)o.MicroBatchTokens * o.Accumulation)), 1, int.MaxValue);
        return o with { Steps = steps, WarmupSteps = Math.Min(o.WarmupSteps, steps / 10) };
    }

    private void WriteOutputs(Trainer trainer)
    {
        if (_recipe.Lora is not null) WriteAdapters(trainer);
        else WriteModels(trainer);
        _output.WriteLine($"Loss over time: {Picture}, {Csv}");
    }

    private void WriteAdapters(Trainer trainer)
    {
        LoraAdapter adapter = trainer.Adapter();
        using GgufFile model = GgufFile.Open(_preparation.Model);
        foreach (string path in _recipe.Adapters)
        {
            MakeFolder(path);
            if (path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) adapter.SaveGguf(path);
            else adapter.SavePeft(path, model);
            _output.WriteLine($"{path}: {adapter.Parameters:N0} parameters");
        }
    }

    private void WriteModels(Trainer trainer)
    {
        MakeFolder(ModelFile);
        trainer.SaveModel(ModelFile);
        _output.WriteLine($"{ModelFile}: {Megabytes(ModelFile)}");
        foreach ((string mix, string path) in _recipe.Quantized)
        {
            MakeFolder(path);
            using (GgufFile source = GgufFile.Open(ModelFile))
                Quantizer.Write(source, path, new QuantizerOptions { Mix = mix, Threads = _recipe.Options.Threads });
            _output.WriteLine($"{path}: {mix}, {Megabytes(path)}");
        }
    }

    // Before anything is made: the first weights alone may be more than the machine has room for.
    private void CheckMemory()
    {
        long need = Trainer.EstimateBytes(_preparation.Config(), _recipe.Options, _recipe.Lora), available = MachineMemory.Available();
        _output.WriteLine($"Memory: {need / 1048576.0:N0} MiB needed, {available / 1048576.0:N0} MiB available.");
        if (need > available)
            throw new FlintException(FaultSide.Machine, "out_of_memory",
                $"Training needs {need / 1048576.0:N0} MiB and the machine has {available / 1048576.0:N0} MiB available; {(_recipe.Lora is null ? "a smaller training.micro_batch_tokens" : "fewer --batch-tokens")} or a smaller model needs less");
    }

    // Two processes in one folder would write over each other's files.
    private FileStream Hold()
    {
        string path = Path.Combine(_recipe.Folder, "lock");
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new FlintException(FaultSide.Caller, "run_in_progress", $"another process is training in {_recipe.Folder}", e);
        }
    }

    private static void MakeFolder(string file)
    {
        if (Path.GetDirectoryName(file) is { Length: > 0 } folder) Directory.CreateDirectory(folder);
    }

    private static string Megabytes(string path) => $"{new FileInfo(path).Length / 1048576.0:N1} MiB";
}
