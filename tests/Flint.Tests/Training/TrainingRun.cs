using Flint.Formats;
using Flint.Tests.Models;
using Flint.Training;

namespace Flint.Tests.Training;

/// <summary>A small model and examples for it, in a folder that is deleted afterwards.</summary>
internal sealed class TrainingRun : IDisposable
{
    public static readonly TrainerOptions Options = new()
    {
        Threads = 2, MicroBatchTokens = 160, MaxExampleTokens = 100, Steps = 12, WarmupSteps = 2, LearningRate = 3e-3f, Seed = 7,
    };

    private readonly string _folder = Directory.CreateTempSubdirectory("flint-training-").FullName;

    public TrainingRun(string architecture, WeightType type = WeightType.F32, int examples = 9)
    {
        Model = File("model.gguf");
        TinyModel.Write(Model, architecture, type);
        var random = new Random(3);
        using (var writer = new ExampleFileWriter(File("examples"), TinyModel.VocabularySize))
        {
            for (int e = 0; e < examples; e++)
            {
                int[] tokens = new int[2 + random.Next(e == 0 ? 90 : 60)];
                float[] weights = new float[tokens.Length];
                for (int i = 0; i < tokens.Length; i++)
                {
                    tokens[i] = random.Next(TinyModel.VocabularySize);
                    weights[i] = i == 0 ? 0 : i % 3 == 0 ? 0.25f : i % 5 == 0 ? 0f : 1f;
                }

                writer.Add(tokens, weights);
            }

            writer.Complete();
        }

        Data = ExampleFile.Open(File("examples"));
    }

    public string Model { get; }

    public ExampleFile Data { get; }

    public int[] All => [.. Enumerable.Range(0, Data.Count)];

    public string File(string name) => Path.Combine(_folder, name);

    public void Dispose()
    {
        Data.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
