using Flint.Tokens;

namespace Flint.Engine;

/// <summary>What the engine needs to know of each token, laid out flat: the bytes it prints, and whether it is special or ends generation.</summary>
internal sealed class TokenTable
{
    private readonly byte[] _bytes;
    private readonly int[] _starts; // Count + 1 offsets into _bytes
    private readonly bool[] _special;
    private readonly bool[] _ends;
    private readonly bool[] _begins; // text after it begins anew
    private readonly bool _stripsSpace;

    /// <summary>Lays out a vocabulary.</summary>
    /// <param name="pieces">The bytes each token prints.</param>
    /// <param name="special">The special tokens.</param>
    /// <param name="endOfGeneration">The tokens that end generation.</param>
    /// <param name="begins">The tokens after which a text begins.</param>
    /// <param name="stripsSpace">Whether a text's first token prints without its leading space, as in SentencePiece.</param>
    public TokenTable(
        IReadOnlyList<byte[]> pieces, IReadOnlySet<int> special, IReadOnlySet<int> endOfGeneration,
        IReadOnlySet<int> begins, bool stripsSpace)
    {
        _stripsSpace = stripsSpace;
        _starts = new int[pieces.Count + 1];
        for (int i = 0; i < pieces.Count; i++)
            _starts[i + 1] = checked(_starts[i] + pieces[i].Length);
        _bytes = new byte[_starts[^1]];
        _special = new bool[pieces.Count];
        _ends = new bool[pieces.Count];
        _begins = new bool[pieces.Count];
        for (int i = 0; i < pieces.Count; i++)
        {
            pieces[i].CopyTo(_bytes, _starts[i]);
            _special[i] = special.Contains(i);
            _ends[i] = endOfGeneration.Contains(i);
            _begins[i] = begins.Contains(i);
        }
    }

    /// <summary>Lays out a tokenizer's vocabulary. Ids the model has beyond it print nothing.</summary>
    public static TokenTable Of(Tokenizer tokenizer, int vocabularySize)
    {
        var special = new HashSet<int>();
        var begins = new HashSet<int>();
        bool stripsSpace = false;
        byte[][] pieces = new byte[Math.Max(tokenizer.Count, vocabularySize)][];
        for (int i = 0; i < pieces.Length; i++)
        {
            bool known = i < tokenizer.Count;
            pieces[i] = known ? tokenizer.Bytes(i).ToArray() : [];
            if (!known || tokenizer.IsSpecial(i))
                special.Add(i);
            if (!known)
                continue;
            if (tokenizer.BeginsText(i))
                begins.Add(i);
            bool atStart = true;
            stripsSpace |= tokenizer.Piece(i, showSpecial: true, ref atStart).Length < pieces[i].Length;
        }
        return new TokenTable(pieces, special, tokenizer.EndOfGeneration, begins, stripsSpace);
    }

    /// <summary>Tokens in all.</summary>
    public int Count => _special.Length;

    /// <summary>The bytes a token prints by itself.</summary>
    public ReadOnlySpan<byte> Bytes(int token) => _bytes.AsSpan(_starts[token], _starts[token + 1] - _starts[token]);

    /// <summary>The bytes a token prints after another.</summary>
    public ReadOnlySpan<byte> Bytes(int token, int previous)
    {
        ReadOnlySpan<byte> bytes = Bytes(token);
        return _stripsSpace && _begins[previous] && !_begins[token] && bytes.StartsWith(" "u8) ? bytes[1..] : bytes;
    }

    /// <summary>Whether text after a token begins anew.</summary>
    public bool BeginsText(int token) => _begins[token];

    /// <summary>The tokens that end generation.</summary>
    public IEnumerable<int> Ends()
    {
        for (int i = 0; i < _ends.Length; i++)
        {
            if (_ends[i])
                yield return i;
        }
    }

    /// <summary>Whether a token is special.</summary>
    public bool IsSpecial(int token) => _special[token];

    /// <summary>Whether a token ends generation.</summary>
    public bool EndsGeneration(int token) => _ends[token];

    /// <summary>The special token that prints exactly this text; -1 where there is none.</summary>
    public int SpecialToken(ReadOnlySpan<byte> text)
    {
        for (int i = 0; i < _special.Length; i++)
        {
            if (_special[i] && Bytes(i).SequenceEqual(text))
                return i;
        }
        return -1;
    }
}
