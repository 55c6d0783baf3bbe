using System.Runtime.InteropServices;
using System.Text;
using Flint.Formats;

namespace Flint.Weights;

/// <summary>
/// Writes a GGUF file (version 3) in one pass: first all metadata and the tensors' names, types and shapes, then their data in the
/// same order, in pieces of any size. Nothing but the header is held in memory.
/// </summary>
public sealed class GgufWriter : IDisposable
{
    private readonly Stream _stream;
    private readonly int _alignment;
    private readonly MemoryStream _metadata = new();
    private readonly MemoryStream _table = new();
    private readonly List<(string Name, long Bytes)> _tensors = [];
    private long _pairs;
    private long _offset;
    private int _current = -1;
    private long _written;

    /// <summary>Starts a file.</summary>
    /// <param name="stream">Where it goes; disposed with the writer.</param>
    /// <param name="alignment">The alignment of tensor data, a power of two.</param>
    public GgufWriter(Stream stream, int alignment = GgufReader.DefaultAlignment)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (alignment is < 1 or > GgufReader.MaxAlignment || (alignment & (alignment - 1)) != 0)
            throw new ArgumentOutOfRangeException(nameof(alignment), alignment, "The alignment is a power of two.");
        _stream = stream;
        _alignment = alignment;
        if (alignment != GgufReader.DefaultAlignment)
            Add("general.alignment", (uint)alignment);
    }

    /// <summary>The bytes of tensor data that belong into the file, padding included.</summary>
    public long DataBytes => _offset;

    /// <summary>Adds a metadata pair.</summary>
    /// <param name="key">The key; the caller keeps keys unique.</param>
    /// <param name="value">A number, a bool, a string, an array of these, or <c>object[]</c> of arrays.</param>
    public void Add(string key, object value)
    {
        ArgumentNullException.ThrowIfNull(value);
        WriteString(_metadata, key);
        GgufValueType type = TypeOf(value.GetType());
        WriteNumber(_metadata, (uint)type);
        WriteValue(type, value);
        _pairs++;
    }

    /// <summary>Adds a tensor to the table.</summary>
    /// <param name="name">Its name; the caller keeps names unique.</param>
    /// <param name="type">How its elements are stored.</param>
    /// <param name="shape">1 to 4 lengths, the contiguous dimension (a multiple of the block length) first.</param>
    public void AddTensor(string name, WeightType type, params ReadOnlySpan<long> shape)
    {
        if (_current >= 0)
            throw new InvalidOperationException("The header is already written.");
        ArgumentOutOfRangeException.ThrowIfZero(shape.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(shape.Length, GgufReader.MaxDimensions);
        WriteString(_table, name);
        WriteNumber(_table, (uint)shape.Length);
        long bytes = WeightTypes.RowBytes(type, shape[0]);
        foreach (long length in shape)
            WriteNumber(_table, length);
        foreach (long length in shape[1..])
            bytes = checked(bytes * length);
        WriteNumber(_table, (uint)type);
        WriteNumber(_table, _offset);
        _tensors.Add((name, bytes));
        _offset = checked(_offset + bytes + Padding(bytes));
    }

    /// <summary>Writes the header. Afterwards only <see cref="WriteData(ReadOnlySpan{byte})"/> and <see cref="Dispose"/> may be called.</summary>
    public void WriteHeader()
    {
        if (_current >= 0)
            throw new InvalidOperationException("The header is already written.");
        _current = 0;
        WriteNumber(_stream, GgufReader.Magic);
        WriteNumber(_stream, 3u);
        WriteNumber(_stream, (long)_tensors.Count);
        WriteNumber(_stream, _pairs);
        _metadata.WriteTo(_stream);
        _table.WriteTo(_stream);
        Pad(4 + 4 + 8 + 8 + _metadata.Length + _table.Length);
    }

    /// <summary>Writes the next piece of the current tensor's data; when it is whole, the next tensor becomes current.</summary>
    public void WriteData(ReadOnlySpan<byte> piece)
    {
        if (_current < 0 || _current == _tensors.Count)
            throw new InvalidOperationException(_current < 0 ? "The header is not yet written." : "All data is written.");
        (string name, long bytes) = _tensors[_current];
        if (piece.Length > bytes - _written)
            throw new InvalidOperationException($"Tensor '{name}' holds {bytes} bytes; {_written} are written and {piece.Length} more came.");
        _stream.Write(piece);
        _written += piece.Length;
        if (_written < bytes)
            return;
        Pad(bytes);
        _written = 0;
        _current++;
    }

    /// <summary>Writes the next pieces of data from unmanaged memory, of any length.</summary>
    public unsafe void WriteData(byte* data, long bytes)
    {
        const int most = 1 << 24;
        for (long at = 0; at < bytes; at += most)
            WriteData(new ReadOnlySpan<byte>(data + at, (int)Math.Min(most, bytes - at)));
    }

    /// <summary>
    /// Whether metadata says how its own file is laid out, so that it is not carried over into another: the alignment, and what of
    /// a split model the file holds.
    /// </summary>
    public static bool IsOfOneFile(string key) => key is "general.alignment" or "split.no" or "split.count" or "split.tensors.count";

    /// <summary>Checks that the file is whole, and closes it.</summary>
    /// <exception cref="InvalidOperationException">The header or data is missing.</exception>
    public void Finish()
    {
        if (_current != _tensors.Count)
            throw new InvalidOperationException(_current < 0 ? "The header is not written." : $"The data of tensor '{_tensors[_current].Name}' is missing.");
        _stream.Flush();
        Dispose();
    }

    /// <summary>Closes the stream, whole or not.</summary>
    public void Dispose() => _stream.Dispose();

    private void WriteValue(GgufValueType type, object value)
    {
        switch (type)
        {
            case GgufValueType.String:
                WriteString(_metadata, (string)value);
                break;
            case GgufValueType.Array:
                Type element = value.GetType().GetElementType()!;
                GgufValueType elementType = element == typeof(object) ? GgufValueType.Array : TypeOf(element);
                WriteNumber(_metadata, (uint)elementType);
                WriteNumber(_metadata, ((Array)value).LongLength);
                foreach (object item in (Array)value)
                    WriteValue(elementType, item);
                break;
            default:
                WriteScalar(value);
                break;
        }
    }

    private void WriteScalar(object value)
    {
        switch (value)
        {
            case byte v: WriteNumber(_metadata, v); break;
            case sbyte v: WriteNumber(_metadata, v); break;
            case ushort v: WriteNumber(_metadata, v); break;
            case short v: WriteNumber(_metadata, v); break;
            case uint v: WriteNumber(_metadata, v); break;
            case int v: WriteNumber(_metadata, v); break;
            case ulong v: WriteNumber(_metadata, v); break;
            case long v: WriteNumber(_metadata, v); break;
            case float v: WriteNumber(_metadata, v); break;
            case double v: WriteNumber(_metadata, v); break;
            case bool v: WriteNumber(_metadata, v ? (byte)1 : (byte)0); break;
        }
    }

    private static GgufValueType TypeOf(Type type) => Type.GetTypeCode(type) switch
    {
        TypeCode.Byte => GgufValueType.UInt8,
        TypeCode.SByte => GgufValueType.Int8,
        TypeCode.UInt16 => GgufValueType.UInt16,
        TypeCode.Int16 => GgufValueType.Int16,
        TypeCode.UInt32 => GgufValueType.UInt32,
        TypeCode.Int32 => GgufValueType.Int32,
        TypeCode.Single => GgufValueType.Float32,
        TypeCode.Boolean => GgufValueType.Bool,
        TypeCode.String => GgufValueType.String,
        TypeCode.UInt64 => GgufValueType.UInt64,
        TypeCode.Int64 => GgufValueType.Int64,
        TypeCode.Double => GgufValueType.Float64,
        _ when type.IsArray => GgufValueType.Array,
        _ => throw new ArgumentException($"GGUF has no type for {type}."),
    };

    private long Padding(long length) => -length & (_alignment - 1);

    private void Pad(long length)
    {
        Span<byte> zeros = stackalloc byte[256];
        zeros.Clear();
        for (long left = Padding(length); left > 0; left -= zeros.Length)
            _stream.Write(zeros[..(int)Math.Min(left, zeros.Length)]);
    }

    private static void WriteString(Stream stream, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        WriteNumber(stream, (long)bytes.Length);
        stream.Write(bytes);
    }

    // GGUF and every machine .NET runs on that Flint supports are little-endian.
    private static void WriteNumber<T>(Stream stream, T value)
        where T : unmanaged =>
        stream.Write(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));
}
