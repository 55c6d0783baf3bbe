using Flint.Weights;

namespace Flint.Training;

/// <summary>
/// Gives a model more heads of keys and values without changing what it answers: each is written as often as it takes for every new one
/// to serve fewer heads of queries. Training then lets the copies differ.
/// </summary>
public static unsafe class Growth
{
    /// <summary>Writes the grown model, every tensor in the format it has; it appears under its name when it is whole.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="source">A model whose layers have keys and values of their own (<c>attn_k</c>, <c>attn_v</c>), all with as many heads.</param>
    /// <param name="kvHeads">Heads of keys and values in every layer then: a multiple of what they are, and a divisor of the heads of queries.</param>
    /// <exception cref="FlintException">Caller: so many heads cannot come of those. Machine: the file cannot be written.</exception>
    public static void Write(string path, string source, int kvHeads)
    {
        using GgufFile file = GgufFile.Open(source);
        string architecture = file.Metadata.Get<string>("general.architecture"), key = $"{architecture}.attention.head_count_kv";
        int heads = file.Metadata.Get<int>($"{architecture}.attention.head_count"), was = file.Metadata.Get<int>(key);
        if (was < 1 || kvHeads % was != 0 || heads % kvHeads != 0 || !file.Tensors.Any(t => IsPerHead(t.Name)))
            throw FlintException.Caller("cannot_grow", $"{source} has {was} heads of keys and values for {heads} of queries; expected a multiple of the former that divides the latter, found {kvHeads}");
        AtomicFile.Write(path, stream =>
        {
            using var writer = new GgufWriter(stream);
            foreach ((string name, object value) in file.Metadata)
            {
                if (name != "general.alignment") writer.Add(name, name == key ? (uint)kvHeads : value);
            }

            foreach (TensorInfo tensor in file.Tensors)
            {
                long[] shape = [.. tensor.Shape];
                if (IsPerHead(tensor.Name)) shape[^1] *= kvHeads / was;
                writer.AddTensor(tensor.Name, tensor.Type, shape);
            }

            writer.WriteHeader();
            foreach (TensorInfo tensor in file.Tensors)
            {
                (int count, int copies) = IsPerHead(tensor.Name) ? (was, kvHeads / was) : (1, 1);
                long bytes = tensor.Bytes / count; // a head's rows, or its part of a bias, stand together
                for (int head = 0; head < count; head++)
                {
                    for (int copy = 0; copy < copies; copy++) writer.WriteData(new ReadOnlySpan<byte>(tensor.Data + head * bytes, checked((int)bytes)));
                }
            }

            writer.Finish();
        });
    }

    private static bool IsPerHead(string name) =>
        name.Split('.') is ["blk", _, "attn_k" or "attn_v", "weight" or "bias"];
}
