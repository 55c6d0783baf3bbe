using Flint.Formats;

namespace Flint.Weights;

/// <summary>One tensor of a weights file: where its elements lie in mapped memory and how they are stored.</summary>
public sealed unsafe class TensorInfo
{
    internal TensorInfo(string name, long[] shape, WeightType type, byte* data, long bytes, string file)
    {
        Name = name;
        Shape = shape;
        Type = type;
        Data = data;
        Bytes = bytes;
        File = file;
    }

    /// <summary>The tensor's name, unique in the model.</summary>
    public string Name { get; }

    /// <summary>
    /// The lengths of its 1 to 4 dimensions, the contiguous one (for a matrix: its inputs) first. Each is at least 1.
    /// </summary>
    public long[] Shape { get; }

    /// <summary>How the elements are stored.</summary>
    public WeightType Type { get; }

    /// <summary>The first byte, in memory mapped by the <see cref="GgufFile"/> and valid until that is disposed.</summary>
    public byte* Data { get; }

    /// <summary>The length of the data in bytes.</summary>
    public long Bytes { get; }

    /// <summary>The path of the file (of a split model: the shard) that holds the data.</summary>
    public string File { get; }

    /// <summary>The number of elements.</summary>
    public long Elements
    {
        get
        {
            long n = 1;
            foreach (long length in Shape)
                n *= length;
            return n;
        }
    }

    /// <summary>The tensor as a person reads it, such as <c>token_embd.weight Q6_K [2048, 128256]</c>.</summary>
    public override string ToString() => $"{Name} {WeightTypes.Name(Type)} [{string.Join(", ", Shape)}]";
}
