using Flint.Kernels;
using Flint.Weights;

namespace Flint.Models;

/// <summary>The memory that running a model takes, told from its file without loading it.</summary>
/// <param name="WeightBytes">The packed weights, as <see cref="Model.WeightBytes"/> has them once loaded.</param>
/// <param name="MappedBytes">Token embeddings, which stay in the mapped file and are read row by row.</param>
/// <param name="KvBytesPerToken">Keys and values of one token of a sequence.</param>
/// <param name="KvFormat">How those are kept unless another way is asked for.</param>
/// <param name="ContextLength">The longest sequence the model was trained for, in tokens.</param>
public sealed record MemoryNeed(long WeightBytes, long MappedBytes, long KvBytesPerToken, KvFormat KvFormat, int ContextLength)
{
    /// <summary>Reads off a file what its model will need.</summary>
    /// <exception cref="FlintException">ModelFile: the file's model cannot be run, and why.</exception>
    public static MemoryNeed Of(GgufFile file)
    {
        ModelConfig config = Family.Configure(file);
        config = config with { KvFormat = config.UsualKvFormat };
        TensorInfo embedding = file.Tensors.Get(DecoderTensors.Embedding);
        long packed = PackedCopy.Matrices(file).Sum(t => PackedMatrix.PackedBytes(t.Type, PackedCopy.RowsOf(t), t.Shape[0]));
        return new MemoryNeed(packed, embedding.Bytes, KvPool.PageBytes(config.KvShape) / KvPool.PageTokens, config.KvFormat, config.TrainedContextLength);
    }
}
