using Flint.Models;
using Flint.Weights;

namespace Flint.Tests.Models;

/// <summary>Random adapters for tests.</summary>
internal static class LoraAdapters
{
    /// <summary>An adapter for every matrix of a model whose name passes, with values that change its logits plainly.</summary>
    public static LoraAdapter Random(GgufFile model, int seed, int rank = 4, float alpha = 8, Func<string, bool>? wanted = null)
    {
        var random = new Random(seed);
        float[] Values(int n, float size)
        {
            float[] values = new float[n];
            for (int i = 0; i < n; i++) values[i] = (random.NextSingle() - 0.5f) * size;
            return values;
        }

        List<LoraMatrix> matrices = [];
        foreach (TensorInfo tensor in model.Tensors)
        {
            if (tensor.Shape.Length != 2 || tensor.Name == "token_embd.weight" || wanted?.Invoke(tensor.Name) == false) continue;
            int columns = (int)tensor.Shape[0], rows = (int)tensor.Shape[1];
            matrices.Add(new LoraMatrix(tensor.Name, rank, columns, rows, Values(rank * columns, 0.5f), Values(rows * rank, 0.5f)));
        }

        return new LoraAdapter(model.Metadata.Architecture, alpha, matrices);
    }
}
