using System.Collections;
using System.Diagnostics.CodeAnalysis;

namespace Flint.Weights;

/// <summary>The tensors of a model by name, in the order of the file (of a split model: of its shards).</summary>
public sealed class TensorTable : IEnumerable<TensorInfo>
{
    private readonly string _file;
    private readonly List<TensorInfo> _tensors = [];
    private readonly Dictionary<string, TensorInfo> _byName = new(StringComparer.Ordinal);

    internal TensorTable(string file) => _file = file;

    /// <summary>The number of tensors.</summary>
    public int Count => _tensors.Count;

    /// <summary>Finds a tensor by name.</summary>
    public bool TryGet(string name, [NotNullWhen(true)] out TensorInfo? tensor) => _byName.TryGetValue(name, out tensor);

    /// <summary>Finds a tensor and checks its shape.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">The shape it must have, contiguous dimension first; trailing ones count for nothing. Empty: any shape.</param>
    /// <exception cref="FlintException">It is absent or of another shape (<see cref="FaultSide.ModelFile"/>).</exception>
    public TensorInfo Get(string name, params ReadOnlySpan<long> shape)
    {
        if (!_byName.TryGetValue(name, out TensorInfo? tensor))
            throw FlintException.File("tensor_missing", $"{_file}: tensor '{name}'{Expected(shape)} is missing.");
        if (shape.Length > 0 && !Trim(tensor.Shape).SequenceEqual(Trim(shape)))
        {
            throw FlintException.File("tensor_shape",
                $"{tensor.File}: tensor '{name}': expected shape {Format(shape)}, found {Format(tensor.Shape)}.");
        }
        return tensor;
    }

    /// <summary>Enumerates the tensors in file order.</summary>
    public IEnumerator<TensorInfo> GetEnumerator() => _tensors.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Adds a tensor; false where the name is taken.</summary>
    internal bool TryAdd(TensorInfo tensor)
    {
        if (!_byName.TryAdd(tensor.Name, tensor))
            return false;
        _tensors.Add(tensor);
        return true;
    }

    private static ReadOnlySpan<long> Trim(ReadOnlySpan<long> shape) => shape.TrimEnd(1L);

    private static string Expected(ReadOnlySpan<long> shape) => shape.Length == 0 ? "" : $" of shape {Format(shape)}";

    private static string Format(ReadOnlySpan<long> shape) => $"[{string.Join(", ", shape.ToArray())}]";
}
