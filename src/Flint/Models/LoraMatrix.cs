namespace Flint.Models;

/// <summary>The low-rank part of one matrix: what it adds to the product is (α / rank)·B·(A·x).</summary>
public sealed class LoraMatrix
{
    /// <summary>Makes the part of one matrix.</summary>
    /// <param name="tensor">The matrix's name in GGUF, such as <c>blk.0.attn_q.weight</c>.</param>
    /// <param name="rank">The rank of the product, 1 to <see cref="LoraAdapter.MaxRank"/>.</param>
    /// <param name="columns">The matrix's inputs.</param>
    /// <param name="rows">The matrix's outputs.</param>
    /// <param name="a">A: [rank][columns].</param>
    /// <param name="b">B: [rows][rank].</param>
    /// <exception cref="FlintException">Caller: the lengths do not agree, or a value is no finite number.</exception>
    public LoraMatrix(string tensor, int rank, int columns, int rows, float[] a, float[] b)
    {
        if (rank is < 1 or > LoraAdapter.MaxRank || columns < 1 || rows < 1 || a.Length != (long)rank * columns || b.Length != (long)rows * rank)
        {
            throw FlintException.Caller("adapter_shape",
                $"{tensor}: expected A of rank × {columns} and B of {rows} × rank values, rank 1 to {LoraAdapter.MaxRank}; found {a.Length} and {b.Length} for rank {rank}.");
        }
        CheckFinite(tensor, "A", a);
        CheckFinite(tensor, "B", b);
        Tensor = tensor;
        Rank = rank;
        Columns = columns;
        Rows = rows;
        A = a;
        B = b;
    }

    /// <summary>The matrix's name in GGUF.</summary>
    public string Tensor { get; }

    /// <summary>The rank of the product.</summary>
    public int Rank { get; }

    /// <summary>The matrix's inputs.</summary>
    public int Columns { get; }

    /// <summary>The matrix's outputs.</summary>
    public int Rows { get; }

    /// <summary>A: [rank][columns].</summary>
    public float[] A { get; }

    /// <summary>B: [rows][rank].</summary>
    public float[] B { get; }

    private static void CheckFinite(string tensor, string part, float[] values)
    {
        int bad = Array.FindIndex(values, v => !float.IsFinite(v));
        if (bad >= 0)
            throw FlintException.Caller("weight_not_finite", $"{tensor}: element {bad} of {part} is {values[bad]}; expected a finite number.");
    }
}
