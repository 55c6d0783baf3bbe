namespace Flint.Tokens;

/// <summary>The working space of one encode at a time; kept and reused by the tokenizer.</summary>
internal sealed class EncodeWorker
{
    // A worker that has grown past this on a huge text is dropped rather than kept.
    private const long MostBytesKept = 32 << 20;

    private byte[] _classes = [];
    private char[] _text = [];
    private byte[] _utf8 = [];
    private char[] _word = [];

    /// <summary>The result.</summary>
    public IdBuffer Ids { get; } = new();

    /// <summary>Merges one piece.</summary>
    public MergeBuffer Merges { get; } = new();

    /// <summary>Known pieces.</summary>
    public WordCache Cache { get; } = new();

    /// <summary>The pieces of a text.</summary>
    public PieceList Pieces = new();

    /// <summary>Working space of the pre-tokenizer.</summary>
    public PieceList SparePieces = new();

    /// <summary>Whether it is small enough to keep.</summary>
    public bool WorthKeeping => _classes.LongLength + _utf8.LongLength + 2 * (_text.LongLength + _word.LongLength)
        + Ids.Bytes + Merges.Bytes + Pieces.Bytes + SparePieces.Bytes <= MostBytesKept;

    /// <summary>Room for the properties of a text.</summary>
    public Span<byte> Classes(int length) => Room(ref _classes, length);

    /// <summary>Room for a rewritten text.</summary>
    public Span<char> Text(int length) => Room(ref _text, length);

    /// <summary>Room for the UTF-8 of a piece.</summary>
    public Span<byte> Utf8(int length) => Room(ref _utf8, length);

    /// <summary>Room for a piece in the byte alphabet.</summary>
    public Span<char> Word(int length) => Room(ref _word, length);

    private static Span<T> Room<T>(ref T[] buffer, int length)
    {
        if (buffer.Length < length) buffer = new T[Math.Max(length, (int)Math.Min(Array.MaxLength, Math.Max(256, buffer.Length * 2L)))];
        return buffer.AsSpan(0, length);
    }
}
