using Flint.Formats;
using Flint.Kernels;
using Flint.Memory;
using Flint.Weights;

namespace Flint.Models;

/// <summary>The weights of one decoder layer: matrices packed, norms as binary32. Null where the family has none.</summary>
internal sealed unsafe class LayerWeights : IDisposable
{
    public required float* AttentionNorm { get; init; }

    public required PackedMatrix Query { get; init; }

    public required PackedMatrix Key { get; init; }

    public required PackedMatrix Value { get; init; }

    public PackedMatrix? Gate { get; init; }

    public float* QueryNorm { get; init; }

    public float* KeyNorm { get; init; }

    public required PackedMatrix Output { get; init; }

    public float* PostAttentionNorm { get; init; }

    public required float* FeedForwardNorm { get; init; }

    /// <summary>[width → experts], in layers of experts. Then the three matrices below hold all experts, one after the other.</summary>
    public PackedMatrix? Router { get; init; }

    public required PackedMatrix FeedForwardGate { get; init; }

    public required PackedMatrix FeedForwardUp { get; init; }

    public required PackedMatrix FeedForwardDown { get; init; }

    public float* PostFeedForwardNorm { get; init; }

    public IEnumerable<PackedMatrix> Matrices
    {
        get
        {
            yield return Query;
            yield return Key;
            yield return Value;
            if (Gate is not null) yield return Gate;
            yield return Output;
            if (Router is not null) yield return Router;
            yield return FeedForwardGate;
            yield return FeedForwardUp;
            yield return FeedForwardDown;
        }
    }

    public void Dispose()
    {
        foreach (PackedMatrix matrix in Matrices) matrix.Dispose();
    }
}

/// <summary>
/// Binds the tensors of a file to a model: names and shapes checked, matrices packed, and every tensor of the file accounted for,
/// since one that nobody reads means another model than the file holds.
/// </summary>
internal sealed unsafe class WeightBinder(GgufFile file, Team team, PackedCopy? copy)
{
    private readonly HashSet<string> _bound = [];
    private readonly List<NativeBuffer> _vectors = [];

    /// <summary>The norms' memory, to be disposed with the model.</summary>
    public IReadOnlyList<NativeBuffer> Vectors => _vectors;

    /// <summary>A matrix [inputs → outputs], packed.</summary>
    public PackedMatrix Matrix(string name, int inputs, int outputs)
    {
        TensorInfo info = Find(name, inputs, outputs);
        return Pack(info, inputs, outputs);
    }

    /// <summary>As many matrices [inputs → outputs] of one tensor, packed one after the other; outputs are a multiple of a group's rows.</summary>
    public PackedMatrix Matrices(string name, int inputs, int outputs, int count)
    {
        TensorInfo info = Find(name, inputs, outputs, count);
        return Pack(info, inputs, outputs * count);
    }

    /// <summary>A tensor that stays in the file, read row by row.</summary>
    public TensorInfo Rows(string name, int columns, int rows) => Find(name, columns, rows);

    public PackedMatrix Pack(TensorInfo info, int inputs, int outputs)
    {
        if (!WeightTypes.IsSupported(info.Type))
            throw FlintException.File("unsupported_weight_type", $"{info.File}: tensor {info.Name} is in {WeightTypes.Name(info.Type)}, which is not supported.");
        if (copy?.Matrix(info, outputs, inputs) is { } packed) return packed;
        try
        {
            return PackedMatrix.Pack(team, info.Type, info.Data, outputs, inputs);
        }
        catch (FlintException e) when (e.Side == FaultSide.ModelFile)
        {
            throw new FlintException(e.Side, e.Code, $"{info.File}: tensor {info.Name}: {e.Message}", e);
        }
    }

    /// <summary>A vector of floats in memory of its own.</summary>
    public float* Vector(string name, int length)
    {
        TensorInfo info = Find(name, length);
        if (!WeightTypes.IsSupported(info.Type))
            throw FlintException.File("unsupported_weight_type", $"{info.File}: tensor {name} is in {WeightTypes.Name(info.Type)}, which is not supported.");
        var buffer = NativeBuffer.Of<float>(length);
        _vectors.Add(buffer);
        var values = (float*)buffer.Pointer;
        WeightTypes.DecodeRow(info.Type, info.Data, values, length);
        for (int i = 0; i < length; i++)
        {
            if (!float.IsFinite(values[i]))
                throw FlintException.File("weight_not_finite", $"{info.File}: tensor {name}: element {i} is {values[i]}; expected a finite number.");
        }

        return values;
    }

    public bool Has(string name) => file.Tensors.TryGet(name, out _);

    /// <summary>Marks a tensor as read elsewhere (the rotary divisors, which the family reads).</summary>
    public void Accept(string name) => _bound.Add(name);

    /// <exception cref="FlintException">The file holds a tensor that this architecture does not have.</exception>
    public void CheckAllBound()
    {
        foreach (TensorInfo info in file.Tensors)
        {
            if (!_bound.Contains(info.Name))
            {
                throw FlintException.File(
                    "unexpected_tensor",
                    $"{info.File}: tensor {info.Name} [{string.Join(", ", info.Shape)}] is not part of a supported \"{file.Metadata.Architecture}\" model.");
            }
        }
    }

    private TensorInfo Find(string name, params long[] shape)
    {
        TensorInfo info = file.Tensors.Get(name, shape);
        _bound.Add(name);
        return info;
    }
}
