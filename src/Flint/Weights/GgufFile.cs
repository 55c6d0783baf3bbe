using System.Globalization;
using System.Text.RegularExpressions;
using Flint.Memory;

namespace Flint.Weights;

/// <summary>
/// A GGUF model, memory-mapped: its metadata and its tensors. A model split into shards (<c>NAME-00001-of-00003.gguf</c> and so
/// on) is opened whole, through any of them.
/// </summary>
public sealed partial class GgufFile : IDisposable
{
    private readonly List<MappedFile> _maps = [];

    private GgufFile(string path, GgufReader first)
    {
        Path = path;
        Metadata = first.Metadata;
        Tensors = new TensorTable(path);
    }

    /// <summary>The path of the file; of a split model, of its first shard.</summary>
    public string Path { get; }

    /// <summary>The metadata; of a split model, that of the first shard.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>All tensors.</summary>
    public TensorTable Tensors { get; }

    /// <summary>The size of all files in bytes.</summary>
    public long FileBytes => _maps.Sum(m => m.Length);

    /// <summary>The number of files.</summary>
    public int Shards => _maps.Count;

    /// <summary>Opens a model. Nothing but header, metadata and tensor table is read.</summary>
    /// <exception cref="FlintException">
    /// No such file (<see cref="FaultSide.Caller"/>), a damaged or incomplete one (<see cref="FaultSide.ModelFile"/>), or one that
    /// cannot be read (<see cref="FaultSide.Machine"/>).
    /// </exception>
    public static GgufFile Open(string path)
    {
        MappedFile map = MappedFile.Open(path);
        try
        {
            GgufReader reader = GgufReader.Read(map);
            int count = SplitNumber(reader, path, "split.count", 1);
            if (count > 1)
            {
                map.Dispose();
                return OpenShards(path, count);
            }
            GgufFile file = new(path, reader);
            file.Add(map, reader);
            return file;
        }
        catch
        {
            map.Dispose();
            throw;
        }
    }

    /// <summary>Unmaps the model. Tensors' data must not be used afterwards.</summary>
    public void Dispose()
    {
        foreach (MappedFile map in _maps)
            map.Dispose();
    }

    private static GgufFile OpenShards(string path, int count)
    {
        Match name = ShardName().Match(path);
        if (!name.Success || Number(name, "count") != count)
        {
            throw ShardError(path,
                $"this is one of {count} shards: expected a name that ends in '-0000N-of-{count:D5}.gguf'");
        }
        GgufFile? file = null;
        try
        {
            for (int i = 0; i < count; i++)
            {
                string shard = $"{name.Groups["stem"].Value}-{i + 1:D5}-of-{count:D5}.gguf";
                if (!File.Exists(shard))
                    throw ShardError(shard, $"shard {i + 1} of {count} is missing");
                MappedFile map = MappedFile.Open(shard);
                try
                {
                    GgufReader reader = GgufReader.Read(map);
                    CheckShard(reader, shard, i, count);
                    file ??= new GgufFile(shard, reader);
                    file.Add(map, reader);
                }
                catch
                {
                    map.Dispose();
                    throw;
                }
            }
            CheckTotal(file!);
            return file!;
        }
        catch
        {
            file?.Dispose();
            throw;
        }
    }

    private static void CheckShard(GgufReader reader, string shard, int index, int count)
    {
        int foundCount = SplitNumber(reader, shard, "split.count", 1);
        if (foundCount != count)
            throw ShardError(shard, $"expected split.count {count}, found {foundCount}");
        int foundIndex = SplitNumber(reader, shard, "split.no", -1);
        if (foundIndex != index)
            throw ShardError(shard, $"expected split.no {index}, found {(foundIndex < 0 ? "none" : foundIndex)}");
    }

    private static void CheckTotal(GgufFile file)
    {
        long total = file.Metadata.GetOr<long>("split.tensors.count", file.Tensors.Count);
        if (total != file.Tensors.Count)
            throw ShardError(file.Path, $"expected split.tensors.count {total} tensors in all shards, found {file.Tensors.Count}");
    }

    private static int SplitNumber(GgufReader reader, string path, string key, int fallback)
    {
        int value = reader.Metadata.GetOr(key, fallback);
        if (value is > ushort.MaxValue || (value < 0 && value != fallback))
            throw ShardError(path, $"metadata key '{key}': expected a number up to {ushort.MaxValue}, found {value}");
        return value;
    }

    private void Add(MappedFile map, GgufReader reader)
    {
        foreach (TensorInfo tensor in reader.Tensors)
        {
            if (!Tensors.TryAdd(tensor))
                throw ShardError(tensor.File, $"tensor {GgufReader.Quote(tensor.Name)} is already in another shard");
        }
        _maps.Add(map);
    }

    private static int Number(Match match, string group) => int.Parse(match.Groups[group].ValueSpan, NumberStyles.None);

    private static FlintException ShardError(string path, string message) => FlintException.File("gguf_shard", $"{path}: {message}.");

    [GeneratedRegex(@"^(?<stem>.*)-(?<no>[0-9]{5})-of-(?<count>[0-9]{5})\.gguf$", RegexOptions.Singleline | RegexOptions.CultureInvariant)]
    private static partial Regex ShardName();
}
