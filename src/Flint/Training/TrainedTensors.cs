using Flint.Memory;

namespace Flint.Training;

/// <summary>A tensor that training changes, as a stretch of the flat arrays of <see cref="TrainedTensors"/>.</summary>
/// <param name="Name">Its name in the file.</param>
/// <param name="Columns">Length of a row, or of the vector.</param>
/// <param name="Rows">Rows; 0 for a vector.</param>
/// <param name="Offset">Its first element.</param>
internal sealed record TrainedTensor(string Name, int Columns, int Rows, long Offset)
{
    public long Count => (long)Columns * Math.Max(1, Rows);

    /// <summary>Norms are not pulled towards zero.</summary>
    public bool Decays => Rows > 0;

    public long[] Shape => Rows == 0 ? [Columns] : [Columns, Rows];
}

/// <summary>Values, gradients and AdamW's moments of everything that is trained: four flat arrays, tensor after tensor.</summary>
internal sealed unsafe class TrainedTensors : IDisposable
{
    private readonly Dictionary<string, TrainedTensor> _byName = [];
    private readonly NativeBuffer _values;
    private readonly NativeBuffer _gradients;
    private readonly NativeBuffer _firstMoments;
    private readonly NativeBuffer _secondMoments;

    public TrainedTensors(IEnumerable<(string Name, int Columns, int Rows)> tensors)
    {
        var all = new List<TrainedTensor>();
        foreach ((string name, int columns, int rows) in tensors)
        {
            var tensor = new TrainedTensor(name, columns, rows, Count);
            all.Add(tensor);
            _byName.Add(name, tensor);
            Count += tensor.Count;
        }

        All = all;
        _values = NativeBuffer.Of<float>(Count, zeroed: true, hugePages: true);
        _gradients = NativeBuffer.Of<float>(Count, zeroed: true, hugePages: true);
        _firstMoments = NativeBuffer.Of<float>(Count, zeroed: true, hugePages: true);
        _secondMoments = NativeBuffer.Of<float>(Count, zeroed: true, hugePages: true);
    }

    /// <summary>All tensors, in the order of their memory.</summary>
    public IReadOnlyList<TrainedTensor> All { get; }

    /// <summary>Elements of all tensors.</summary>
    public long Count { get; }

    public float* Values => (float*)_values.Pointer;

    public float* Gradients => (float*)_gradients.Pointer;

    public float* FirstMoments => (float*)_firstMoments.Pointer;

    public float* SecondMoments => (float*)_secondMoments.Pointer;

    /// <summary>The tensor of a name, or null where it is not trained.</summary>
    public TrainedTensor? Find(string name) => _byName.GetValueOrDefault(name);

    public float* ValuesOf(TrainedTensor t) => Values + t.Offset;

    public float* GradientsOf(TrainedTensor t) => Gradients + t.Offset;

    public void ClearGradients()
    {
        for (long from = 0; from < Count; from += 1 << 28) new Span<float>(Gradients + from, (int)Math.Min(1 << 28, Count - from)).Clear();
    }

    public void Dispose()
    {
        _values.Dispose();
        _gradients.Dispose();
        _firstMoments.Dispose();
        _secondMoments.Dispose();
    }
}
