using Flint.Models;
using Flint.Weights;

namespace Flint.App.Tests;

/// <summary>Random adapters for <see cref="TinyModel"/>.</summary>
internal static class TinyAdapter
{
    /// <summary>Makes an adapter of every matrix of a model's layers that changes its answers plainly.</summary>
    internal static LoraAdapter Create(GgufFile model, int seed)
    {
        var random = new Random(seed);
        float[] Values(long n) => [.. Enumerable.Range(0, (int)n).Select(_ => random.NextSingle() - 0.5f)];
        IEnumerable<TensorInfo> adapted = model.Tensors.Where(t => t.Shape.Length == 2 && t.Name.StartsWith("blk.", StringComparison.Ordinal));
        return new LoraAdapter(model.Metadata.Architecture, 4,
            [.. adapted.Select(t => new LoraMatrix(t.Name, 2, (int)t.Shape[0], (int)t.Shape[1], Values(2 * t.Shape[0]), Values(2 * t.Shape[1])))]);
    }

    /// <summary>Writes one for the model of a file.</summary>
    internal static string Write(string model, string path, int seed)
    {
        using GgufFile file = GgufFile.Open(model);
        Create(file, seed).SaveGguf(path);
        return path;
    }
}
