using System.Runtime.InteropServices;
using System.Text;
using Flint.Formats;
using Flint.Memory;

namespace Flint.Weights;

/// <summary>
/// Reads the header, metadata and tensor table of one mapped GGUF file (versions 2 and 3, little-endian; the format is described in
/// the ggml repository, docs/gguf.md). Everything the file claims is checked against what it holds before it is used; a claim that
/// does not hold is a <see cref="FlintException"/> of the <see cref="FaultSide.ModelFile"/>.
/// </summary>
internal sealed unsafe class GgufReader
{
    /// <summary>Dimensions of a tensor at most.</summary>
    public const int MaxDimensions = 4;

    /// <summary>Arrays within arrays at most.</summary>
    public const int MaxArrayDepth = 4;

    /// <summary>Bytes of a metadata key at most, as in the description of the format.</summary>
    public const int MaxKeyBytes = 65535;

    /// <summary>Bytes of a tensor's name at most.</summary>
    public const int MaxTensorNameBytes = 255;

    /// <summary>The alignment of tensor data where the file says nothing.</summary>
    public const int DefaultAlignment = 32;

    /// <summary>The largest alignment of tensor data.</summary>
    public const int MaxAlignment = 1 << 24;

    /// <summary>"GGUF" as a little-endian number.</summary>
    public const uint Magic = 0x46554747;

    // The smallest pair: an empty key, a type and one byte. The smallest tensor: an empty name, no dimensions, type and offset.
    private const int LeastPairBytes = 8 + 4 + 1;
    private const int LeastTensorBytes = 8 + 4 + 4 + 8;

    private static readonly string[] ValueNames = Enum.GetNames<GgufValueType>();

    private readonly string _file;
    private readonly byte* _data;
    private readonly long _length;
    private long _position;

    private GgufReader(MappedFile file)
    {
        _file = file.Path;
        _data = file.Pointer;
        _length = file.Length;
        Metadata = new GgufMetadata(_file);
        Tensors = [];
    }

    /// <summary>The metadata.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>The tensors in file order.</summary>
    public List<TensorInfo> Tensors { get; }

    /// <summary>Reads the file.</summary>
    public static GgufReader Read(MappedFile file)
    {
        GgufReader reader = new(file);
        reader.Read();
        return reader;
    }

    /// <summary>A text of the file made fit for an error message: short, on one line.</summary>
    public static string Quote(string text)
    {
        const int longest = 80;
        StringBuilder quoted = new("'");
        foreach (char c in text.AsSpan(0, Math.Min(text.Length, longest)))
            quoted.Append(char.IsControl(c) || char.IsSurrogate(c) ? '\uFFFD' : c);
        return quoted.Append(text.Length > longest ? "...'" : "'").ToString();
    }

    private void Read()
    {
        ReadHeader(out long tensorCount, out long pairCount);
        for (long i = 0; i < pairCount; i++)
            ReadPair(i);
        ReadTensorTable(tensorCount, ReadAlignment());
    }

    private void ReadHeader(out long tensorCount, out long pairCount)
    {
        uint magic = ReadNumber<uint>("the magic number");
        if (magic != Magic)
            throw Error("gguf_magic", $"not a GGUF file: expected it to start with 'GGUF', found the bytes {Convert.ToHexString(new ReadOnlySpan<byte>(_data, 4))}");
        uint version = ReadNumber<uint>("the version");
        if (version != 0 && (version & 0xFFFF) == 0)
            throw Error("gguf_byte_order", "a big-endian GGUF file: expected little-endian");
        if (version is not (2 or 3))
            throw Error("gguf_version", $"expected GGUF version 2 or 3, found {version}");
        tensorCount = ReadCount("tensors", LeastTensorBytes);
        pairCount = ReadCount("metadata pairs", LeastPairBytes);
    }

    private void ReadPair(long index)
    {
        string key = ReadString($"metadata key {index}", MaxKeyBytes);
        GgufValueType type = ReadValueType(key);
        if (!Metadata.TryAdd(key, ReadValue(type, key)))
            throw Error("gguf_metadata", $"metadata key {Quote(key)} occurs twice");
    }

    private GgufValueType ReadValueType(string key)
    {
        uint type = ReadNumber<uint>($"the type of {Quote(key)}");
        if (type >= (uint)ValueNames.Length)
            throw Error("gguf_metadata", $"metadata key {Quote(key)}: expected a value type from 0 to {ValueNames.Length - 1}, found {type}");
        return (GgufValueType)type;
    }

    private object ReadValue(GgufValueType type, string key) => type switch
    {
        GgufValueType.UInt8 => ReadNumber<byte>(key),
        GgufValueType.Int8 => ReadNumber<sbyte>(key),
        GgufValueType.UInt16 => ReadNumber<ushort>(key),
        GgufValueType.Int16 => ReadNumber<short>(key),
        GgufValueType.UInt32 => ReadNumber<uint>(key),
        GgufValueType.Int32 => ReadNumber<int>(key),
        GgufValueType.Float32 => ReadNumber<float>(key),
        GgufValueType.Bool => ReadBool(key),
        GgufValueType.String => ReadString(key, int.MaxValue),
        GgufValueType.Array => ReadArray(key, 1),
        GgufValueType.UInt64 => ReadNumber<ulong>(key),
        GgufValueType.Int64 => ReadNumber<long>(key),
        _ => ReadNumber<double>(key),
    };

    private object ReadArray(string key, int depth)
    {
        if (depth > MaxArrayDepth)
            throw Error("gguf_metadata", $"metadata key {Quote(key)}: expected arrays nested at most {MaxArrayDepth} deep");
        GgufValueType type = ReadValueType(key);
        int count = (int)ReadCount($"elements of {Quote(key)}", LeastBytes(type));
        switch (type)
        {
            case GgufValueType.UInt8: return ReadNumbers<byte>(count);
            case GgufValueType.Int8: return ReadNumbers<sbyte>(count);
            case GgufValueType.UInt16: return ReadNumbers<ushort>(count);
            case GgufValueType.Int16: return ReadNumbers<short>(count);
            case GgufValueType.UInt32: return ReadNumbers<uint>(count);
            case GgufValueType.Int32: return ReadNumbers<int>(count);
            case GgufValueType.Float32: return ReadNumbers<float>(count);
            case GgufValueType.UInt64: return ReadNumbers<ulong>(count);
            case GgufValueType.Int64: return ReadNumbers<long>(count);
            case GgufValueType.Float64: return ReadNumbers<double>(count);
            case GgufValueType.Bool:
                bool[] bools = new bool[count];
                for (int i = 0; i < count; i++)
                    bools[i] = ReadBool(key);
                return bools;
            case GgufValueType.String:
                string[] strings = new string[count];
                for (int i = 0; i < count; i++)
                    strings[i] = ReadString(key, int.MaxValue);
                return strings;
            default:
                object[] arrays = new object[count];
                for (int i = 0; i < count; i++)
                    arrays[i] = ReadArray(key, depth + 1);
                return arrays;
        }
    }

    private static int LeastBytes(GgufValueType type) => type switch
    {
        GgufValueType.UInt8 or GgufValueType.Int8 or GgufValueType.Bool => 1,
        GgufValueType.UInt16 or GgufValueType.Int16 => 2,
        GgufValueType.UInt32 or GgufValueType.Int32 or GgufValueType.Float32 => 4,
        GgufValueType.Array => 4 + 8,
        _ => 8,
    };

    private long ReadAlignment()
    {
        if (!Metadata.Contains("general.alignment"))
            return DefaultAlignment;
        long alignment = Metadata.Get<long>("general.alignment");
        if (alignment is < 1 or > MaxAlignment || (alignment & (alignment - 1)) != 0)
            throw Error("gguf_metadata", $"metadata key 'general.alignment': expected a power of two up to {MaxAlignment}, found {alignment}");
        return alignment;
    }

    private void ReadTensorTable(long count, long alignment)
    {
        (TensorHeader Header, long Bytes)[] table = new (TensorHeader, long)[count];
        HashSet<string> names = new(StringComparer.Ordinal);
        for (long i = 0; i < count; i++)
        {
            TensorHeader header = ReadTensorHeader(i);
            if (!names.Add(header.Name))
                throw TensorError(header.Name, "expected unique tensor names, found this one twice");
            table[i] = (header, DataBytes(header));
        }
        long start = Math.Min((_position + alignment - 1) & -alignment, _length);
        foreach ((TensorHeader header, long bytes) in table)
        {
            CheckPlace(header, bytes, alignment, start);
            Tensors.Add(new TensorInfo(header.Name, header.Shape, header.Type, _data + start + (long)header.Offset, bytes, _file));
        }
        CheckOverlap(start);
    }

    private readonly record struct TensorHeader(string Name, long[] Shape, WeightType Type, ulong Offset);

    private TensorHeader ReadTensorHeader(long index)
    {
        string name = ReadString($"the name of tensor {index}", MaxTensorNameBytes);
        uint dimensions = ReadNumber<uint>(name);
        if (dimensions is 0 or > MaxDimensions)
            throw TensorError(name, $"expected 1 to {MaxDimensions} dimensions, found {dimensions}");
        long[] shape = new long[dimensions];
        for (int i = 0; i < shape.Length; i++)
        {
            ulong length = ReadNumber<ulong>(name);
            if (length is 0 or > long.MaxValue)
                throw TensorError(name, $"expected dimension {i} to be from 1 to {long.MaxValue}, found {length}");
            shape[i] = (long)length;
        }
        WeightType type = (WeightType)ReadNumber<uint>(name);
        return new TensorHeader(name, shape, type, ReadNumber<ulong>(name));
    }

    private long DataBytes(in TensorHeader tensor)
    {
        if (!WeightTypes.IsKnown(tensor.Type))
            throw TensorError(tensor.Name, $"unknown weight type {(uint)tensor.Type}");
        int block = WeightTypes.BlockLength(tensor.Type);
        if (tensor.Shape[0] % block != 0)
        {
            throw TensorError(tensor.Name,
                $"expected rows of {WeightTypes.Name(tensor.Type)} to be a multiple of {block} elements, found {tensor.Shape[0]}");
        }
        UInt128 bytes = (UInt128)(ulong)(tensor.Shape[0] / block) * (uint)WeightTypes.BlockBytes(tensor.Type);
        for (int i = 1; i < tensor.Shape.Length && bytes <= (ulong)_length; i++)
            bytes *= (ulong)tensor.Shape[i];
        if (bytes > (ulong)_length)
        {
            throw TensorError(tensor.Name,
                $"{WeightTypes.Name(tensor.Type)} data of shape [{string.Join(", ", tensor.Shape)}] is larger than the file of {_length} bytes");
        }
        return (long)bytes;
    }

    private void CheckPlace(in TensorHeader tensor, long bytes, long alignment, long start)
    {
        if (tensor.Offset % (ulong)alignment != 0)
            throw TensorError(tensor.Name, $"expected a data offset that is a multiple of {alignment}, found {tensor.Offset}");
        if (tensor.Offset > (ulong)(_length - start) || bytes > _length - start - (long)tensor.Offset)
        {
            throw TensorError(tensor.Name,
                $"expected {bytes} bytes of data at offset {tensor.Offset}, found a data section of {_length - start} bytes: truncated or damaged");
        }
    }

    private void CheckOverlap(long start)
    {
        TensorInfo[] sorted = [.. Tensors];
        Array.Sort(sorted, (a, b) => ((nint)a.Data).CompareTo((nint)b.Data));
        for (int i = 1; i < sorted.Length; i++)
        {
            TensorInfo before = sorted[i - 1];
            if (before.Data + before.Bytes > sorted[i].Data)
            {
                throw TensorError(sorted[i].Name,
                    $"its data at offset {sorted[i].Data - _data - start} overlaps that of {Quote(before.Name)}, {before.Bytes} bytes at {before.Data - _data - start}");
            }
        }
    }

    // A count of things that each take at least so many bytes of what is left of the file.
    private long ReadCount(string what, int leastBytes)
    {
        ulong count = ReadNumber<ulong>(what);
        long most = Math.Min((_length - _position) / leastBytes, Array.MaxLength);
        if (count > (ulong)most)
            throw Error("gguf_truncated", $"expected at most {most} {what} in the rest of the file, found a count of {count}: truncated or damaged");
        return (long)count;
    }

    private T ReadNumber<T>(string what)
        where T : unmanaged
    {
        if (_length - _position < sizeof(T))
            throw Truncated(what, (ulong)sizeof(T));
        T value = MemoryMarshal.Read<T>(new ReadOnlySpan<byte>(_data + _position, sizeof(T)));
        _position += sizeof(T);
        return value;
    }

    // The count was checked against the rest of the file.
    private T[] ReadNumbers<T>(int count)
        where T : unmanaged
    {
        T[] values = GC.AllocateUninitializedArray<T>(count);
        long bytes = (long)count * sizeof(T);
        fixed (T* target = values)
            Buffer.MemoryCopy(_data + _position, target, bytes, bytes);
        _position += bytes;
        return values;
    }

    private bool ReadBool(string key)
    {
        byte value = ReadNumber<byte>(key);
        if (value > 1)
            throw Error("gguf_metadata", $"metadata key {Quote(key)}: expected a bool of 0 or 1, found {value}");
        return value == 1;
    }

    private string ReadString(string what, int maxBytes)
    {
        ulong bytes = ReadNumber<ulong>(what);
        if (bytes > (ulong)(_length - _position))
            throw Truncated(what, bytes);
        if (bytes > (ulong)maxBytes)
            throw Error("gguf_metadata", $"{Quote(what)}: expected a string of at most {maxBytes} bytes, found {bytes}");
        string text = Encoding.UTF8.GetString(_data + _position, (int)bytes);
        _position += (long)bytes;
        return text;
    }

    private FlintException Truncated(string what, ulong bytes) =>
        Error("gguf_truncated", $"expected {bytes} bytes for {Quote(what)} at offset {_position}, found {_length - _position}: truncated or damaged");

    private FlintException TensorError(string tensor, string message) => Error("gguf_tensor", $"tensor {Quote(tensor)}: {message}");

    private FlintException Error(string code, string message) => FlintException.File(code, $"{_file}: {message}.");
}
