namespace Flint.Training;

/// <summary>
/// Examples packed one after another into the rows of one pass; attention never looks from one example into another.
/// Row i predicts the token of row i + 1 of the same example.
/// </summary>
internal sealed class PackedBatch(int capacity)
{
    private readonly List<int> _starts = [];

    /// <summary>Rows used.</summary>
    public int Rows { get; private set; }

    public int Capacity { get; } = capacity;

    /// <summary>The token of each row.</summary>
    public int[] Tokens { get; } = new int[capacity];

    /// <summary>The token each row is to predict.</summary>
    public int[] Targets { get; } = new int[capacity];

    /// <summary>The weight of each row's loss; 0 where nothing is learnt.</summary>
    public float[] Weights { get; } = new float[capacity];

    /// <summary>The first row of each example.</summary>
    public IReadOnlyList<int> Starts => _starts;

    /// <summary>Σ of the weights.</summary>
    public double TotalWeight { get; private set; }

    /// <summary>Rows with a weight.</summary>
    public int TrainedRows { get; private set; }

    public void Clear()
    {
        _starts.Clear();
        Rows = 0;
        TotalWeight = 0;
        TrainedRows = 0;
    }

    /// <summary>Adds an example where it fits.</summary>
    /// <param name="tokens">Its tokens, two at least.</param>
    /// <param name="weights">The weight of predicting each of them; the first counts for nothing.</param>
    public bool TryAdd(ReadOnlySpan<int> tokens, ReadOnlySpan<float> weights)
    {
        int rows = tokens.Length - 1;
        if (Rows + rows > Capacity) return false;
        _starts.Add(Rows);
        for (int i = 0; i < rows; i++)
        {
            Tokens[Rows + i] = tokens[i];
            Targets[Rows + i] = tokens[i + 1];
            float weight = weights[i + 1];
            Weights[Rows + i] = weight;
            TotalWeight += weight;
            if (weight != 0) TrainedRows++;
        }

        Rows += rows;
        return true;
    }

    /// <summary>Rows of an example.</summary>
    public int Length(int example) => (example + 1 < _starts.Count ? _starts[example + 1] : Rows) - _starts[example];
}
