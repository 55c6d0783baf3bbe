using System.Text;

namespace Flint.Tokens;

/// <summary>Byte-level BPE: the pre-tokenizer cuts words, each word's UTF-8 bytes are merged by rank.</summary>
internal sealed class ByteLevelEncoder : TextEncoder
{
    private readonly PreTokenizer _pre;
    private readonly MergeTable _merges;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _words;
    private readonly int _longestToken;
    private readonly int _count;
    // The symbol of each byte, or -1 for a byte the vocabulary lacks: such a byte has no id.
    private readonly int[] _byteSymbols = new int[256];
    // Texts of symbols that merges make on the way and that are not tokens: symbol _count + i.
    private readonly List<string> _unlisted = [];

    /// <summary>Builds the encoder from merges "left right" in order, or, where there are none, from ids as ranks.</summary>
    /// <exception cref="FlintException">Model file: a merge is malformed.</exception>
    public ByteLevelEncoder(Vocabulary vocabulary, PreTokenizer pre, string[]? merges)
    {
        _pre = pre;
        _count = vocabulary.Count;
        _words = vocabulary.ByText.GetAlternateLookup<ReadOnlySpan<char>>();
        for (int b = 0; b < 256; b++)
            _byteSymbols[b] = vocabulary.ByText.GetValueOrDefault(ByteAlphabet.CharOf((byte)b).ToString(), -1);
        foreach (string text in vocabulary.ByText.Keys) _longestToken = Math.Max(_longestToken, text.Length);
        if (merges is null)
        {
            var ranks = new int[_count];
            for (int i = 0; i < _count; i++) ranks[i] = vocabulary.Type(i) == TokenType.Normal ? i : MergeTable.NoMerge;
            _merges = MergeTable.FromSplits(vocabulary.ByText, ranks);
            return;
        }
        _merges = new MergeTable(merges.Length);
        AddMerges(merges);
    }

    /// <inheritdoc/>
    public override void Encode(ReadOnlySpan<char> text, bool atStart, EncodeWorker worker)
    {
        Span<byte> classes = worker.Classes(text.Length);
        CharClass.Classify(text, classes);
        _pre.Split(text, classes, ref worker.Pieces, ref worker.SparePieces);
        int start = 0;
        foreach (int end in worker.Pieces.Ends)
        {
            EncodePiece(text, start, end, worker);
            start = end;
        }
    }

    /// <inheritdoc/>
    protected override void EncodeNewPiece(ReadOnlySpan<char> piece, EncodeWorker worker)
    {
        Span<byte> bytes = worker.Utf8(piece.Length * 3);
        bytes = bytes[..Encoding.UTF8.GetBytes(piece, bytes)];
        if (_pre.WholeWords && bytes.Length <= _longestToken)
        {
            Span<char> word = worker.Word(bytes.Length);
            for (int i = 0; i < word.Length; i++) word[i] = ByteAlphabet.CharOf(bytes[i]);
            if (_words.TryGetValue(word, out int id))
            {
                worker.Ids.Add(id);
                return;
            }
        }
        MergeBuffer merges = worker.Merges;
        merges.Begin(bytes.Length);
        foreach (byte b in bytes) merges.Add(_byteSymbols[b]);
        merges.Merge(_merges);
        foreach (int symbol in merges.Symbols)
        {
            if ((uint)symbol < (uint)_count) worker.Ids.Add(symbol);
            else if (symbol >= _count) AddBytes(_unlisted[symbol - _count], worker.Ids);
        }
    }

    private void AddBytes(string text, IdBuffer into)
    {
        foreach (char c in text)
            if (ByteAlphabet.ByteOf(c) is >= 0 and int value && _byteSymbols[value] >= 0) into.Add(_byteSymbols[value]);
    }

    private void AddMerges(string[] merges)
    {
        var unlisted = new Dictionary<string, int>(StringComparer.Ordinal).GetAlternateLookup<ReadOnlySpan<char>>();
        char[] whole = new char[256];
        for (int rank = 0; rank < merges.Length; rank++)
        {
            ReadOnlySpan<char> merge = merges[rank];
            // The first character may itself be a space.
            int space = merge.Length < 3 ? -1 : merge[1..].IndexOf(' ') + 1;
            if (space <= 0 || space + 1 == merge.Length)
                throw FlintException.File("merge_malformed",
                    $"tokenizer.ggml.merges[{rank}] is '{merges[rank]}': expected two token texts with a space between");
            ReadOnlySpan<char> left = merge[..space], right = merge[(space + 1)..];
            if (whole.Length < merge.Length) whole = new char[merge.Length * 2];
            left.CopyTo(whole);
            right.CopyTo(whole.AsSpan(left.Length));
            _merges.Add(Symbol(left), Symbol(right), rank, Symbol(whole.AsSpan(0, merge.Length - 1)));
        }

        int Symbol(ReadOnlySpan<char> text)
        {
            if (_words.TryGetValue(text, out int id) || unlisted.TryGetValue(text, out id)) return id;
            id = _count + _unlisted.Count;
            _unlisted.Add(text.ToString());
            unlisted[text] = id;
            return id;
        }
    }
}
