using System.Buffers;
using System.Text;

namespace Flint.Tokens;

/// <summary>
/// Turns a stream of ids into text. What it gives out, joined, is what <see cref="Tokenizer.Decode"/> gives for all ids at once;
/// it never gives out half a character, and writes U+FFFD only for bytes that can no longer become one.
/// </summary>
public sealed class Detokenizer
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _showSpecial;
    private readonly bool _firstAtStart;
    private readonly byte[] _pending = new byte[4];
    private int _pendingCount;
    private bool _atStart;

    /// <summary>Begins a text.</summary>
    /// <param name="tokenizer">The vocabulary.</param>
    /// <param name="showSpecial">Whether control tokens print their text.</param>
    /// <param name="previous">
    /// The token before the first one, where the text goes on from another: a SentencePiece space after it is then kept.
    /// </param>
    public Detokenizer(Tokenizer tokenizer, bool showSpecial, int? previous = null)
    {
        _tokenizer = tokenizer;
        _showSpecial = showSpecial;
        _firstAtStart = previous is not int id || tokenizer.BeginsText(id);
        _atStart = _firstAtStart;
    }

    /// <summary>Adds a token and returns the text that is now certain, possibly empty.</summary>
    /// <exception cref="FlintException">Caller: the id is not in the vocabulary.</exception>
    public string Push(int id)
    {
        ReadOnlySpan<byte> bytes = _tokenizer.Piece(id, _showSpecial, ref _atStart);
        if (bytes.IsEmpty) return "";
        if (_pendingCount == 0 && Ascii.IsValid(bytes)) return Encoding.ASCII.GetString(bytes);
        byte[]? rented = null;
        int length = _pendingCount + bytes.Length;
        Span<byte> all = length <= 256 ? stackalloc byte[length] : (rented = ArrayPool<byte>.Shared.Rent(length)).AsSpan(0, length);
        _pending.AsSpan(0, _pendingCount).CopyTo(all);
        bytes.CopyTo(all[_pendingCount..]);
        int whole = length - UnfinishedTail(all);
        _pendingCount = length - whole;
        all[whole..].CopyTo(_pending);
        string text = Encoding.UTF8.GetString(all[..whole]);
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented);
        return text;
    }

    /// <summary>Ends the text: returns U+FFFD where bytes of an unfinished character are left.</summary>
    public string Flush()
    {
        string text = Encoding.UTF8.GetString(_pending.AsSpan(0, _pendingCount));
        _pendingCount = 0;
        return text;
    }

    /// <summary>Forgets everything and begins again.</summary>
    public void Reset()
    {
        _pendingCount = 0;
        _atStart = _firstAtStart;
    }

    /// <summary>How many bytes at the end may still become a character: 0 to 3.</summary>
    private static int UnfinishedTail(ReadOnlySpan<byte> bytes)
    {
        for (int tail = 1; tail <= 3 && tail <= bytes.Length; tail++)
        {
            byte lead = bytes[^tail];
            if ((lead & 0xC0) == 0x80) continue;
            bool unfinished = Rune.DecodeFromUtf8(bytes[^tail..], out _, out int consumed) == OperationStatus.NeedMoreData
                && consumed == tail;
            return unfinished ? tail : 0;
        }
        return 0;
    }
}
