using System.CommandLine;
using Flint.App.Recipes;
using Flint.App.Serving;
using Flint.Training;

namespace Flint.App.Cli;

/// <summary><c>flint tune</c>: trains a low-rank adapter for a model on conversations.</summary>
internal static class Tune
{
    /// <summary>The verb's name.</summary>
    internal const string Name = "tune";

    private static readonly Argument<string?> ModelArgument = Verb.Model();
    private static readonly Option<string[]> Data = new("--data") { Description = "Conversations, as JSON lines in the shape of the chat API; several files may be named.", Required = true, HelpName = "FILE" };
    private static readonly Option<string[]> Outputs = new("--out", "-o") { Description = "Where the adapter goes: a .gguf file, which llama.cpp loads too, or a folder in PEFT's layout; both may be named.", Required = true, HelpName = "PATH" };
    private static readonly Option<int> Rank = Verb.Range(new Option<int>("--rank") { Description = "The adapter's rank.", DefaultValueFactory = _ => 16, HelpName = "R" }, 1, 1024);
    private static readonly Option<float?> Alpha = Verb.Range(new Option<float?>("--alpha") { Description = "The adapter counts alpha / rank (default: twice the rank).", HelpName = "A" }, 1e-6f, 1e6f);
    private static readonly Option<string[]> Targets = new("--target") { Description = $"Matrices of every layer that get an adapter: {string.Join(", ", LoraOptions.KnownTargets)} (default: all the model has).", HelpName = "NAME", AllowMultipleArgumentsPerToken = true };
    private static readonly Option<float> Epochs = Verb.Range(new Option<float>("--epochs") { Description = "Rounds through the data.", DefaultValueFactory = _ => 3, HelpName = "N" }, 0.01f, 10_000);
    private static readonly Option<float> Rate = Verb.Range(new Option<float>("--learning-rate") { Description = "The highest learning rate; it falls to a hundredth along half a cosine.", DefaultValueFactory = _ => 1e-3f, HelpName = "RATE" }, 1e-9f, 1);
    private static readonly Option<int> BatchTokens = Verb.Range(new Option<int>("--batch-tokens") { Description = "Tokens of one step.", DefaultValueFactory = _ => 2048, HelpName = "N" }, 16, 1 << 20);
    private static readonly Option<int> MaxTokens = Verb.Range(new Option<int>("--max-tokens") { Description = "A longer conversation is left out, and reported (default: what a step holds).", HelpName = "N" }, 2, 1 << 20);
    private static readonly Option<float> PromptWeight = Verb.Range(new Option<float>("--prompt-weight") { Description = "The loss weight of what the assistant does not write.", HelpName = "W" }, 0, 1);
    private static readonly Option<ulong> Seed = new("--seed") { Description = "The same options, data and seed give the same adapter, byte for byte.", DefaultValueFactory = _ => 1, HelpName = "N" };
    private static readonly Option<string?> Folder = new("--work") { Description = "The folder of the run: checkpoint, record, loss curve (default: the first PATH with .run).", HelpName = "FOLDER" };
    private static readonly Option<float> StopAfter = Verb.Range(new Option<float>("--stop-after") { Description = "Minutes after which this call stops with a checkpoint; the same command goes on.", HelpName = "MINUTES" }, 0, 1e6f);
    private static readonly Option<int> Threads = Verb.Threads();

    internal static Command Create()
    {
        var command = new Command(Name, "Fine-tune a model on conversations: a low-rank adapter (LoRA) over its frozen weights, in whatever format they are. A run that was stopped goes on by the same command.")
            { ModelArgument, Data, Outputs, Rank, Alpha, Targets, Epochs, Rate, BatchTokens, MaxTokens, PromptWeight, Seed, Folder, StopAfter, Threads };
        command.SetAction(parsed => Train.Run(Read(parsed)));
        return command;
    }

    private static Recipe Read(ParseResult parsed)
    {
        string[] outputs = [.. parsed.GetRequiredValue(Outputs).Select(Path.GetFullPath)];
        int batch = parsed.GetValue(BatchTokens), rank = parsed.GetValue(Rank), longest = parsed.GetValue(MaxTokens);
        ulong seed = parsed.GetValue(Seed);
        return new Recipe
        {
            Path = "the command line",
            Name = Path.GetFileNameWithoutExtension(outputs[0]),
            Seed = seed,
            Folder = parsed.GetValue(Folder) is { } folder ? Path.GetFullPath(folder) : outputs[0] + ".run",
            Files = [.. parsed.GetRequiredValue(Data).Select(Path.GetFullPath)],
            PromptWeight = parsed.GetValue(PromptWeight),
            BaseModel = ModelLocator.Find(parsed.GetValue(ModelArgument)),
            Lora = new LoraOptions
            {
                Rank = rank,
                Alpha = parsed.GetValue(Alpha) ?? 2 * rank,
                Targets = parsed.GetValue(Targets) is { Length: > 0 } targets ? targets : null,
            },
            Epochs = parsed.GetValue(Epochs),
            Adapters = outputs,
            Quantized = [],
            CheckpointEvery = 100,
            StopAfterMinutes = parsed.GetValue(StopAfter),
            Options = new TrainerOptions
            {
                Seed = seed,
                Threads = parsed.GetValue(Threads),
                MicroBatchTokens = batch,
                MaxExampleTokens = longest == 0 ? batch : longest,
                LearningRate = parsed.GetValue(Rate),
                FinalLearningRate = parsed.GetValue(Rate) / 100,
                WeightDecay = 0,
            },
        };
    }
}
