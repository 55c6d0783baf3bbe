using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Flint.Training;

/// <summary>
/// Writes a file of tokenised examples. The file appears under its name only when it is whole: until <see cref="Complete"/> it is
/// beside it as <c>NAME.partial</c>.
/// </summary>
public sealed class ExampleFileWriter : IDisposable
{
    private const ulong HashOffset = 14695981039346656037, HashPrime = 1099511628211; // FNV-1a

    private readonly string _path;
    private readonly string _partial;
    private readonly FileStream _stream;
    private readonly int _vocabulary;
    private readonly int _idBytes;
    private readonly List<long> _starts = [];
    private readonly List<int> _lengths = [];
    private readonly List<float> _weights = [];
    private readonly Dictionary<int, byte> _codes = [];
    private byte[] _buffer = new byte[1 << 14];
    private long _at = ExampleFile.HeaderBytes;
    private long _tokens;
    private long _trained;
    private ulong _hash = HashOffset;
    private bool _complete;

    /// <summary>Starts a file.</summary>
    /// <param name="path">Where it will be; what is there is replaced when the new one is whole.</param>
    /// <param name="vocabulary">What ids are below.</param>
    /// <exception cref="FlintException">Machine: the file cannot be made.</exception>
    public ExampleFileWriter(string path, int vocabulary)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(vocabulary);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(vocabulary, ExampleFile.MaxVocabulary);
        _path = path;
        _partial = path + ".partial";
        _vocabulary = vocabulary;
        _idBytes = ExampleFile.IdBytes(vocabulary);
        try
        {
            _stream = new FileStream(_partial, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);
            _stream.Write(new byte[ExampleFile.HeaderBytes]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unwritable", $"{_partial}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>How many examples there are so far.</summary>
    public int Count => _lengths.Count;

    /// <summary>The sum of their lengths.</summary>
    public long Tokens => _tokens;

    /// <summary>Appends an example.</summary>
    /// <param name="tokens">Its ids, 1 to <see cref="ExampleFile.MaxExampleTokens"/>.</param>
    /// <param name="weights">The loss weight of predicting each; the first, which nothing predicts, is stored as 0.</param>
    /// <exception cref="FlintException">Caller: an id is not of the vocabulary, a weight is no number from 0, or there are more than <see cref="ExampleFile.MaxWeights"/> different ones.</exception>
    public void Add(ReadOnlySpan<int> tokens, ReadOnlySpan<float> weights)
    {
        if (tokens.Length is < 1 or > ExampleFile.MaxExampleTokens || weights.Length != tokens.Length)
            throw FlintException.Caller("invalid_example", $"An example has {tokens.Length} tokens and {weights.Length} weights; expected as many of both, 1 to {ExampleFile.MaxExampleTokens}.");
        int bytes = (int)ExampleFile.ExampleBytes(_idBytes, tokens.Length);
        if (_buffer.Length < bytes) _buffer = new byte[Math.Max(bytes, 2 * _buffer.Length)];
        Span<byte> example = _buffer.AsSpan(0, bytes);
        example.Clear();
        Span<byte> codes = example[(_idBytes * tokens.Length)..];
        for (int i = 0; i < tokens.Length; i++)
        {
            if ((uint)tokens[i] >= (uint)_vocabulary)
                throw FlintException.Caller("token_out_of_range", $"Token {i} of an example has id {tokens[i]}, which is not in the vocabulary of {_vocabulary}.");
            if (_idBytes == 2) BinaryPrimitives.WriteUInt16LittleEndian(example[(2 * i)..], (ushort)tokens[i]);
            else BinaryPrimitives.WriteInt32LittleEndian(example[(4 * i)..], tokens[i]);
            float weight = i == 0 ? 0 : weights[i];
            codes[i] = Code(weight);
            if (weight > 0) _trained++;
        }

        _starts.Add(_at);
        _lengths.Add(tokens.Length);
        _tokens += tokens.Length;
        _at += bytes;
        Hash(example);
        _stream.Write(example);
    }

    /// <summary>Finishes the file and gives it its name.</summary>
    public void Complete()
    {
        if (_complete) return;
        _starts.Add(_at);
        ReadOnlySpan<byte> weights = MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(_weights));
        ReadOnlySpan<byte> starts = MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(_starts));
        ReadOnlySpan<byte> lengths = MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(_lengths));
        Hash(weights);
        Hash(lengths);
        _stream.Write(weights);
        _stream.Write(starts);
        _stream.Write(lengths);
        Span<byte> header = stackalloc byte[ExampleFile.HeaderBytes];
        header.Clear();
        ExampleFile.Magic.CopyTo(header);
        BinaryPrimitives.WriteInt32LittleEndian(header[8..], _vocabulary);
        BinaryPrimitives.WriteInt32LittleEndian(header[12..], _lengths.Count);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], _tokens);
        BinaryPrimitives.WriteInt64LittleEndian(header[24..], _at);
        BinaryPrimitives.WriteInt32LittleEndian(header[32..], _weights.Count);
        BinaryPrimitives.WriteUInt64LittleEndian(header[40..], _hash);
        BinaryPrimitives.WriteInt64LittleEndian(header[48..], _trained);
        _stream.Position = 0;
        _stream.Write(header);
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
        File.Move(_partial, _path, overwrite: true);
        _complete = true;
    }

    /// <summary>Closes the file; one that was not completed is deleted.</summary>
    public void Dispose()
    {
        if (_complete) return;
        _stream.Dispose();
        File.Delete(_partial);
        _complete = true;
    }

    private byte Code(float weight)
    {
        if (!(weight >= 0) || !float.IsFinite(weight))
            throw FlintException.Caller("invalid_example", $"A loss weight is {weight}; expected a number from 0.");
        int bits = BitConverter.SingleToInt32Bits(weight + 0f); // minus zero is zero
        if (_codes.TryGetValue(bits, out byte code)) return code;
        if (_weights.Count == ExampleFile.MaxWeights)
            throw FlintException.Caller("invalid_example", $"The examples have more than {ExampleFile.MaxWeights} different loss weights.");
        code = (byte)_weights.Count;
        _weights.Add(weight + 0f);
        return _codes[bits] = code;
    }

    // Eight bytes at a step: the fingerprint is no digest, it only has to differ where the data do.
    private void Hash(ReadOnlySpan<byte> bytes)
    {
        ulong hash = _hash;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
        {
            hash = (hash ^ word) * HashPrime;
            hash ^= hash >> 32;
        }
        foreach (byte b in bytes[(8 * words.Length)..]) hash = (hash ^ b) * HashPrime;
        _hash = hash;
    }
}
