using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Flint.Memory;

namespace Flint.Training;

/// <summary>
/// Tokenised examples in one file, mapped read-only: ids, and for each the weight of predicting it. Made by
/// <see cref="ExampleFileWriter"/>. Safe for use by many threads at once.
/// </summary>
/// <remarks>
/// Little-endian. A header of <see cref="HeaderBytes"/>; the examples one after another, each its ids (2 bytes each, or 4 for a
/// vocabulary over 65,536) and then an index into the table of weights for each (1 byte), padded to 4 bytes; that table
/// (float32); where each example begins (int64, one more for the end); the lengths of the examples (int32).
/// </remarks>
public sealed unsafe class ExampleFile : IDisposable
{
    /// <summary>The most tokens an example may have.</summary>
    public const int MaxExampleTokens = 1 << 20;

    /// <summary>The most different weights in a file.</summary>
    public const int MaxWeights = 256;

    internal const int HeaderBytes = 64;
    internal const int MaxVocabulary = 1 << 22;
    internal static ReadOnlySpan<byte> Magic => "FLINTEX1"u8;

    private readonly MappedFile _file;
    private readonly long _table;
    private readonly int _weights;
    private readonly int _idBytes;

    private ExampleFile(MappedFile file)
    {
        _file = file;
        if (file.Length < HeaderBytes) throw Damaged($"it has {file.Length} bytes, a header alone {HeaderBytes}");
        var header = new ReadOnlySpan<byte>(file.Pointer, HeaderBytes);
        if (!header.StartsWith(Magic)) throw Damaged("it does not begin as one");
        Vocabulary = BinaryPrimitives.ReadInt32LittleEndian(header[8..]);
        Count = BinaryPrimitives.ReadInt32LittleEndian(header[12..]);
        Tokens = BinaryPrimitives.ReadInt64LittleEndian(header[16..]);
        _table = BinaryPrimitives.ReadInt64LittleEndian(header[24..]);
        _weights = BinaryPrimitives.ReadInt32LittleEndian(header[32..]);
        Fingerprint = BinaryPrimitives.ReadUInt64LittleEndian(header[40..]);
        TrainedTokens = BinaryPrimitives.ReadInt64LittleEndian(header[48..]);
        _idBytes = IdBytes(Vocabulary);
        if (Vocabulary is < 1 or > MaxVocabulary || Count < 0 || Tokens < 0 || _weights is < 0 or > MaxWeights)
            throw Damaged($"its header names {Count} examples, {Tokens} tokens, {_weights} weights and a vocabulary of {Vocabulary}");
        long indexed = 4L * _weights + 8L * (Count + 1L) + 4L * Count;
        if (_table < HeaderBytes || _table > file.Length || file.Length - _table != indexed)
            throw Damaged($"its table begins at {_table} and takes {indexed} bytes; the file has {file.Length}");
        CheckIndex();
    }

    /// <summary>How many examples there are.</summary>
    public int Count { get; }

    /// <summary>The sum of their lengths.</summary>
    public long Tokens { get; }

    /// <summary>How many tokens have a weight above 0.</summary>
    public long TrainedTokens { get; }

    /// <summary>The vocabulary that ids are below.</summary>
    public int Vocabulary { get; }

    /// <summary>Tells files of different contents apart, so that a run does not go on with other data.</summary>
    public ulong Fingerprint { get; }

    private byte* Weights => _file.Pointer + _table;

    private byte* Starts => Weights + 4L * _weights;

    private byte* Lengths => Starts + 8L * (Count + 1L);

    /// <summary>Maps a file.</summary>
    /// <exception cref="FlintException">Caller: no such file, or it is not a whole file of examples. Machine: it cannot be read.</exception>
    public static ExampleFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new ExampleFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>How many tokens an example has.</summary>
    public int Length(int index)
    {
        Check(index);
        return Unsafe.ReadUnaligned<int>(Lengths + 4L * index);
    }

    /// <summary>Copies an example.</summary>
    /// <param name="index">Which one, from 0.</param>
    /// <param name="tokens">Receives its ids, <see cref="Length"/> of them.</param>
    /// <param name="weights">Receives the loss weight of predicting each; the first is always 0.</param>
    /// <exception cref="FlintException">Caller: the file is damaged; an id is not of the vocabulary.</exception>
    public void Read(int index, Span<int> tokens, Span<float> weights)
    {
        int length = Length(index);
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens.Length, length);
        ArgumentOutOfRangeException.ThrowIfLessThan(weights.Length, length);
        byte* ids = _file.Pointer + Unsafe.ReadUnaligned<long>(Starts + 8L * index);
        byte* codes = ids + (long)_idBytes * length;
        for (int i = 0; i < length; i++)
        {
            int id = _idBytes == 2 ? ((ushort*)ids)[i] : ((int*)ids)[i];
            if ((uint)id >= (uint)Vocabulary || codes[i] >= _weights)
                throw Damaged($"token {i} of example {index} has id {id} and weight {codes[i]}; there are {Vocabulary} ids and {_weights} weights");
            tokens[i] = id;
            weights[i] = Unsafe.ReadUnaligned<float>(Weights + 4 * codes[i]);
        }
    }

    /// <summary>Unmaps the file.</summary>
    public void Dispose() => _file.Dispose();

    /// <summary>The bytes of an id in a file of that vocabulary.</summary>
    internal static int IdBytes(int vocabulary) => vocabulary <= 1 << 16 ? 2 : 4;

    /// <summary>The bytes of an example, padding included.</summary>
    internal static long ExampleBytes(int idBytes, int length) => ((long)(idBytes + 1) * length + 3) & ~3L;

    private void CheckIndex()
    {
        for (int i = 0; i < _weights; i++)
            if (!float.IsFinite(Unsafe.ReadUnaligned<float>(Weights + 4 * i))) throw Damaged($"weight {i} is not a finite number");
        long at = HeaderBytes, tokens = 0;
        for (int i = 0; i < Count; i++)
        {
            int length = Unsafe.ReadUnaligned<int>(Lengths + 4L * i);
            if (length is < 1 or > MaxExampleTokens || Unsafe.ReadUnaligned<long>(Starts + 8L * i) != at)
                throw Damaged($"example {i} has {length} tokens and begins at byte {Unsafe.ReadUnaligned<long>(Starts + 8L * i)}, where {at} was expected");
            at += ExampleBytes(_idBytes, length);
            tokens += length;
        }
        if (at != _table || Unsafe.ReadUnaligned<long>(Starts + 8L * Count) != at || tokens != Tokens)
            throw Damaged($"its examples end at byte {at} with {tokens} tokens in all; its header says {_table} and {Tokens}");
    }

    private void Check(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
    }

    private FlintException Damaged(string how) =>
        FlintException.Caller("examples_damaged", $"{_file.Path} is not a whole file of examples: {how}.");
}
