using Flint.Formats;
using Flint.Weights;

namespace Flint.Models;

/// <summary>Gathers the tensors of an adapter's file into pairs of A and B, every size checked.</summary>
internal sealed unsafe class LoraPairs(string path)
{
    /// <summary>Tensors of a model that one adapter changes, at most.</summary>
    private const int MaxPairs = 1 << 16;

    private readonly SortedDictionary<string, (TensorInfo? A, TensorInfo? B)> _pairs = new(StringComparer.Ordinal);

    /// <summary>A [columns, rank] of a tensor.</summary>
    public void AddA(string tensor, TensorInfo a)
    {
        (TensorInfo? known, TensorInfo? b) = Find(tensor);
        if (known is not null) throw Bad(tensor, $"has two A: {GgufReader.Quote(known.Name)} and {GgufReader.Quote(a.Name)}");
        _pairs[tensor] = (a, b);
    }

    /// <summary>B [rank, rows] of a tensor.</summary>
    public void AddB(string tensor, TensorInfo b)
    {
        (TensorInfo? a, TensorInfo? known) = Find(tensor);
        if (known is not null) throw Bad(tensor, $"has two B: {GgufReader.Quote(known.Name)} and {GgufReader.Quote(b.Name)}");
        _pairs[tensor] = (a, b);
    }

    /// <summary>Decodes all pairs.</summary>
    /// <param name="architecture">The model family.</param>
    /// <param name="scale">What a product of a rank counts.</param>
    /// <param name="scaleOf">What a tensor's product counts instead, where it differs from the others; null for none.</param>
    /// <param name="rowOf">The row of B in the file that becomes a row here, by tensor, row and rows; null where all stay.</param>
    public LoraAdapter ToAdapter(string architecture, Func<int, double> scale, Func<string, int, double>? scaleOf = null, Func<string, int, int>? rowOf = null)
    {
        if (_pairs.Count == 0)
            throw FlintException.File("not_an_adapter", $"{path}: expected pairs of A and B; found none.");
        int reference = _pairs.Max(p => (int)Math.Min(RankOf(p.Key, p.Value), LoraAdapter.MaxRank));
        // One α for all: what the first rank's scale says. Pairs that count otherwise carry the difference in B.
        double alpha = scale(reference) * reference;
        List<LoraMatrix> matrices = new(_pairs.Count);
        foreach ((string tensor, (TensorInfo? A, TensorInfo? B) pair) in _pairs)
        {
            long rank = RankOf(tensor, pair);
            TensorInfo a = pair.A!, b = pair.B!;
            if (a.Shape.Length != 2 || b.Shape.Length != 2 || b.Shape[0] != rank || rank > LoraAdapter.MaxRank || a.Elements > Array.MaxLength || b.Elements > Array.MaxLength)
                throw Bad(tensor, $"has A [{string.Join(", ", a.Shape)}] and B [{string.Join(", ", b.Shape)}]; expected [columns, rank] and [rank, rows], rank 1 to {LoraAdapter.MaxRank}");
            float[] bValues = Decode(b);
            double wanted = scaleOf?.Invoke(tensor, (int)rank) ?? scale((int)rank);
            float factor = (float)(wanted * rank / alpha);
            if (factor != 1)
            {
                for (int i = 0; i < bValues.Length; i++) bValues[i] *= factor;
            }

            if (rowOf is not null) bValues = Reordered(bValues, (int)rank, row => rowOf(tensor, row));
            matrices.Add(new LoraMatrix(tensor, (int)rank, (int)a.Shape[0], (int)b.Shape[1], Decode(a), bValues));
        }

        return new LoraAdapter(architecture, (float)alpha, matrices);
    }

    /// <summary>Rows in another order: row i of the result is row <paramref name="from"/>(i).</summary>
    public static float[] Reordered(float[] rows, int length, Func<int, int> from)
    {
        float[] result = new float[rows.Length];
        for (int row = 0; row < rows.Length / length; row++)
            rows.AsSpan(from(row) * length, length).CopyTo(result.AsSpan(row * length, length));
        return result;
    }

    private (TensorInfo? A, TensorInfo? B) Find(string tensor)
    {
        if (_pairs.Count == MaxPairs && !_pairs.ContainsKey(tensor))
            throw FlintException.File("adapter_too_large", $"{path}: expected at most {MaxPairs} pairs of A and B; found more.");
        return _pairs.GetValueOrDefault(tensor);
    }

    private long RankOf(string tensor, (TensorInfo? A, TensorInfo? B) pair)
    {
        if (pair.A is null || pair.B is null) throw Bad(tensor, $"has no {(pair.A is null ? "A" : "B")}");
        return pair.A.Shape[^1];
    }

    private float[] Decode(TensorInfo tensor)
    {
        if (!WeightTypes.IsSupported(tensor.Type))
            throw FlintException.File("unsupported_weight_type", $"{path}: tensor {GgufReader.Quote(tensor.Name)} is in {WeightTypes.Name(tensor.Type)}, which is not supported.");
        float[] values = new float[tensor.Elements];
        fixed (float* into = values) WeightTypes.DecodeRow(tensor.Type, tensor.Data, into, values.Length);
        int bad = Array.FindIndex(values, v => !float.IsFinite(v));
        if (bad >= 0)
            throw FlintException.File("weight_not_finite", $"{path}: tensor {GgufReader.Quote(tensor.Name)}: element {bad} is {values[bad]}; expected a finite number.");
        return values;
    }

    private FlintException Bad(string tensor, string what) => FlintException.File("adapter_damaged", $"{path}: the pair for {GgufReader.Quote(tensor)} {what}.");
}
