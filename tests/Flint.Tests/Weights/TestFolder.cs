using Flint.Formats;
using Flint.Weights;

namespace Flint.Tests.Weights;

/// <summary>A temporary folder with helpers that write small weights files into it.</summary>
internal sealed class TestFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("flint-weights-").FullName;

    public void Dispose() => Directory.Delete(Path, true);

    public string Write(string name, byte[] bytes)
    {
        string path = System.IO.Path.Combine(Path, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    /// <summary>A file with the given metadata and with F32 tensors a [32, 2], b [8] and a Q8_0 tensor c [64, 3].</summary>
    public static byte[] Sample(int alignment = 32, params (string Key, object Value)[] metadata) =>
        Create(alignment, metadata, ("a", WeightType.F32, [32, 2]), ("b", WeightType.F32, [8]), ("c", WeightType.Q8_0, [64, 3]));

    public static byte[] Create(int alignment, (string Key, object Value)[] metadata, params (string Name, WeightType Type, long[] Shape)[] tensors)
    {
        MemoryStream stream = new();
        using GgufWriter writer = new(stream, alignment);
        foreach ((string key, object value) in metadata)
            writer.Add(key, value);
        foreach ((string name, WeightType type, long[] shape) in tensors)
            writer.AddTensor(name, type, shape);
        writer.WriteHeader();
        byte next = 1;
        foreach ((string _, WeightType type, long[] shape) in tensors)
        {
            long bytes = WeightTypes.RowBytes(type, shape[0]);
            foreach (long length in shape.Skip(1))
                bytes *= length;
            writer.WriteData(Enumerable.Repeat(next++, (int)bytes).ToArray());
        }
        writer.Finish();
        return stream.ToArray();
    }
}
