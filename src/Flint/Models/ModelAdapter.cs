using Flint.Formats;
using Flint.Kernels;

namespace Flint.Models;

/// <summary>
/// A low-rank adapter that a model has loaded: sequences of a <see cref="Batch"/> may name it. It belongs to the model and is freed
/// with it.
/// </summary>
public sealed unsafe class ModelAdapter
{
    private readonly LowRankPair?[] _pairs; // [layer][AdaptedMatrix], then the head

    internal ModelAdapter(Model model, LoraAdapter adapter, Team team)
    {
        Model = model;
        _pairs = new LowRankPair?[model.Config.Layers * Kinds + 1];
        try
        {
            Dictionary<string, LoraMatrix> matrices = adapter.Matrices.ToDictionary(m => m.Tensor);
            for (int l = 0; l < model.Config.Layers; l++)
            {
                for (int kind = 0; kind < Kinds; kind++)
                {
                    if (matrices.TryGetValue(DecoderTensors.Name(l, Parts[kind]), out LoraMatrix? matrix))
                        _pairs[l * Kinds + kind] = new LowRankPair(matrix, adapter.Alpha, team);
                }
            }

            if (matrices.TryGetValue(DecoderTensors.Head, out LoraMatrix? head)) _pairs[^1] = new LowRankPair(head, adapter.Alpha, team);
        }
        catch
        {
            Free();
            throw;
        }

        MaxRank = adapter.Matrices.Max(m => m.Rank);
    }

    /// <summary>Bytes of its weights.</summary>
    public long Bytes => _pairs.Sum(p => p is null ? 0 : p.A.Bytes + p.B.Bytes);

    /// <summary>The model that loaded it.</summary>
    internal Model Model { get; }

    internal int MaxRank { get; }

    private static int Kinds => Parts.Length;

    // In the order of AdaptedMatrix.
    private static readonly string[] Parts =
    [
        DecoderTensors.Query, DecoderTensors.Key, DecoderTensors.Value, DecoderTensors.Gate, DecoderTensors.Output,
        DecoderTensors.FeedForwardGate, DecoderTensors.FeedForwardUp, DecoderTensors.FeedForwardDown,
    ];

    /// <summary>The pair for a matrix; null where it is not adapted. The head is of no layer.</summary>
    internal LowRankPair? Pair(int layer, AdaptedMatrix kind) => _pairs[kind == AdaptedMatrix.Head ? _pairs.Length - 1 : layer * Kinds + (int)kind];

    internal void Free()
    {
        foreach (LowRankPair? pair in _pairs) pair?.Dispose();
    }
}

/// <summary>The matrices of a decoder that adapters change.</summary>
internal enum AdaptedMatrix
{
    Query,
    Key,
    Value,
    Gate,
    Output,
    FeedForwardGate,
    FeedForwardUp,
    FeedForwardDown,
    Head,
}

/// <summary>A and (α / rank)·B of one matrix, packed.</summary>
internal sealed unsafe class LowRankPair : IDisposable
{
    public LowRankPair(LoraMatrix matrix, float alpha, Team team)
    {
        float scale = alpha / matrix.Rank;
        float[] b = Array.ConvertAll(matrix.B, v => v * scale);
        Rank = matrix.Rank;
        fixed (float* a = matrix.A, scaled = b)
        {
            A = PackedMatrix.Pack(team, WeightType.F32, (byte*)a, matrix.Rank, matrix.Columns);
            try
            {
                B = PackedMatrix.Pack(team, WeightType.F32, (byte*)scaled, matrix.Rows, matrix.Rank);
            }
            catch
            {
                A.Dispose();
                throw;
            }
        }
    }

    public int Rank { get; }

    public PackedMatrix A { get; }

    public PackedMatrix B { get; }

    public void Dispose()
    {
        A.Dispose();
        B.Dispose();
    }
}
