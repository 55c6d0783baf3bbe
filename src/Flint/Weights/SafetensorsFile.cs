using System.Buffers.Binary;
using System.Text.Json;
using Flint.Formats;
using Flint.Memory;

namespace Flint.Weights;

/// <summary>
/// A safetensors file, memory-mapped: a table of tensors in JSON, then their data without gaps (format: the safetensors
/// repository, README). Everything the table claims is checked before use.
/// </summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    /// <summary>Bytes of the table at most.</summary>
    public const int MaxTableBytes = 100_000_000;

    /// <summary>Tensors at most.</summary>
    public const int MaxTensors = 1 << 20;

    private const int LengthBytes = 8;
    private const string MetadataName = "__metadata__";

    private readonly MappedFile _map;

    private SafetensorsFile(MappedFile map)
    {
        _map = map;
        Tensors = new TensorTable(map.Path);
    }

    /// <summary>All tensors, with shapes as everywhere in Flint: the contiguous dimension first, the reverse of the file's order.</summary>
    public TensorTable Tensors { get; }

    /// <summary>Opens a file.</summary>
    /// <exception cref="FlintException">
    /// No such file (<see cref="FaultSide.Caller"/>), a damaged one or one with element types other than F32, F16 and BF16
    /// (<see cref="FaultSide.ModelFile"/>), or one that cannot be read (<see cref="FaultSide.Machine"/>).
    /// </exception>
    public static SafetensorsFile Open(string path)
    {
        MappedFile map = MappedFile.Open(path);
        try
        {
            SafetensorsFile file = new(map);
            file.Read();
            return file;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: texts that are no Unicode
        {
            map.Dispose();
            throw Damaged(path, $"the table is no valid JSON: {e.Message}");
        }
        catch
        {
            map.Dispose();
            throw;
        }
    }

    /// <summary>Unmaps the file. Tensors' data must not be used afterwards.</summary>
    public void Dispose() => _map.Dispose();

    private void Read()
    {
        if (_map.Length < LengthBytes)
            throw Damaged(_map.Path, $"expected a table's length of {LengthBytes} bytes, found a file of {_map.Length}");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(_map.Pointer, LengthBytes));
        if (length > MaxTableBytes || (long)length > _map.Length - LengthBytes)
            throw Damaged(_map.Path, $"expected a table of at most {Math.Min(MaxTableBytes, _map.Length - LengthBytes)} bytes, found one of {length}");
        using JsonDocument table = JsonDocument.Parse(new ReadOnlyMemory<byte>(new ReadOnlySpan<byte>(_map.Pointer + LengthBytes, (int)length).ToArray()));
        if (table.RootElement.ValueKind != JsonValueKind.Object)
            throw Damaged(_map.Path, $"expected a table of tensors, found {table.RootElement.ValueKind}");
        byte* data = _map.Pointer + LengthBytes + length;
        List<(long Begin, long End, string Name)> ranges = [];
        foreach (JsonProperty entry in table.RootElement.EnumerateObject())
        {
            if (entry.Name == MetadataName)
                continue;
            if (Tensors.Count == MaxTensors)
                throw Damaged(_map.Path, $"expected at most {MaxTensors} tensors, found more");
            ranges.Add(Add(entry, data, _map.Length - LengthBytes - (long)length));
        }
        CheckCovers(ranges, _map.Length - LengthBytes - (long)length);
    }

    private (long Begin, long End, string Name) Add(JsonProperty entry, byte* data, long dataBytes)
    {
        string name = GgufReader.Quote(entry.Name);
        if (entry.Value.ValueKind != JsonValueKind.Object
            || !entry.Value.TryGetProperty("dtype", out JsonElement dtype) || dtype.ValueKind != JsonValueKind.String
            || !entry.Value.TryGetProperty("shape", out JsonElement shape) || !TryNumbers(shape, out long[] lengths)
            || !entry.Value.TryGetProperty("data_offsets", out JsonElement offsets) || !TryNumbers(offsets, out long[] ends) || ends.Length != 2)
        {
            throw Damaged(_map.Path, $"tensor {name}: expected dtype, shape and two data_offsets");
        }
        WeightType type = dtype.GetString() switch
        {
            "F32" => WeightType.F32,
            "F16" => WeightType.F16,
            "BF16" => WeightType.BF16,
            string other => throw FlintException.File("unsupported_weight_type", $"{_map.Path}: tensor {name} is of type {GgufReader.Quote(other)}; expected F32, F16 or BF16."),
            null => throw Damaged(_map.Path, $"tensor {name}: expected a dtype"),
        };
        if (lengths.Length > GgufReader.MaxDimensions || lengths.Contains(0))
            throw Damaged(_map.Path, $"tensor {name}: expected up to {GgufReader.MaxDimensions} dimensions of at least 1, found [{string.Join(", ", lengths)}]");
        Int128 bytes = WeightTypes.BlockBytes(type);
        foreach (long n in lengths)
        {
            bytes *= n;
            if (bytes > dataBytes)
                break;
        }
        if (ends[0] > ends[1] || ends[1] > dataBytes || bytes != ends[1] - ends[0])
            throw Damaged(_map.Path, $"tensor {name}: shape [{string.Join(", ", lengths)}] of {dtype.GetString()} does not fill data_offsets {ends[0]} to {ends[1]} of {dataBytes} bytes");
        Array.Reverse(lengths);
        TensorInfo tensor = new(entry.Name, lengths.Length == 0 ? [1] : lengths, type, data + ends[0], (long)bytes, _map.Path);
        if (!Tensors.TryAdd(tensor))
            throw Damaged(_map.Path, $"tensor {name} is there twice");
        return (ends[0], ends[1], name);
    }

    /// <summary>The format asks that tensors lie end to end and fill the file: bytes that none owns could hide anything.</summary>
    private void CheckCovers(List<(long Begin, long End, string Name)> ranges, long dataBytes)
    {
        long end = 0;
        foreach ((long begin, long next, string name) in ranges.OrderBy(r => r.Begin))
        {
            if (begin != end)
                throw Damaged(_map.Path, $"tensor {name}: expected data from byte {end} on, found {begin}");
            end = next;
        }
        if (end != dataBytes)
            throw Damaged(_map.Path, $"expected {end} bytes of data, found {dataBytes}");
    }

    private static bool TryNumbers(JsonElement element, out long[] numbers)
    {
        numbers = [];
        if (element.ValueKind != JsonValueKind.Array)
            return false;
        List<long> found = [];
        foreach (JsonElement item in element.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt64(out long number) || number < 0)
                return false;
            found.Add(number);
        }
        numbers = [.. found];
        return true;
    }

    private static FlintException Damaged(string path, string message) => FlintException.File("safetensors_damaged", $"{path}: {message}.");
}
