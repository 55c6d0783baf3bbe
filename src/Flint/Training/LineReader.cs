namespace Flint.Training;

/// <summary>A line of a file.</summary>
/// <param name="Number">From 1.</param>
/// <param name="Bytes">Without its end; empty where it was too long.</param>
/// <param name="TooLong">Whether it was longer than is read.</param>
internal readonly record struct Line(long Number, byte[] Bytes, bool TooLong);

/// <summary>Reads a file line by line as bytes; a byte order mark at its start is left out.</summary>
internal sealed class LineReader : IDisposable
{
    private readonly FileStream _stream;
    private readonly int _most;
    private readonly byte[] _buffer = new byte[1 << 16];
    private readonly MemoryStream _line = new();
    private int _from;
    private int _to;
    private long _number;

    public LineReader(string path, int most)
    {
        _stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1);
        _most = most;
    }

    /// <summary>The next line; null at the end of the file.</summary>
    public Line? Next()
    {
        _line.SetLength(0);
        bool any = false, tooLong = false;
        while (Fill())
        {
            any = true;
            ReadOnlySpan<byte> rest = _buffer.AsSpan(_from, _to - _from);
            int end = rest.IndexOf((byte)'\n');
            ReadOnlySpan<byte> part = end < 0 ? rest : rest[..end];
            tooLong |= _line.Length + part.Length > _most;
            if (!tooLong) _line.Write(part);
            _from += end < 0 ? part.Length : end + 1;
            if (end >= 0) break;
        }
        if (!any) return null;
        ReadOnlySpan<byte> bytes = tooLong ? [] : _line.GetBuffer().AsSpan(0, (int)_line.Length);
        if (++_number == 1 && bytes.StartsWith("\uFEFF"u8)) bytes = bytes["\uFEFF"u8.Length..];
        return new Line(_number, bytes.TrimEnd((byte)'\r').ToArray(), tooLong);
    }

    public void Dispose() => _stream.Dispose();

    private bool Fill()
    {
        if (_from < _to) return true;
        _from = 0;
        _to = _stream.Read(_buffer);
        return _to > 0;
    }
}
