using System.Collections;
using System.Text;

namespace Flint.Tokens;

/// <summary>
/// SentencePiece BPE: spaces are written U+2581, neighbouring symbols merge while their text is a token, best score first,
/// and what is left over is written in bytes. There is no pre-tokenizer; text is cut where no token reaches across,
/// which changes no id and makes the pieces short.
/// </summary>
internal sealed class SentencePieceEncoder : TextEncoder
{
    private readonly MergeTable _merges;
    private readonly int _count;
    private readonly bool _spacePrefix;
    private readonly bool _removeExtraSpaces;
    private readonly int? _unknown;
    private readonly int[] _byteIds = new int[256];
    // Symbol of each character of the basic plane; -1 where no token holds it.
    private readonly int[] _symbols = new int[0x10000];
    private readonly Dictionary<int, int> _wideSymbols = [];
    // Characters that tokens hold and that are not tokens: symbol _count + i is written in bytes.
    private readonly List<int> _unlisted = [];
    // Code units that stand before a space inside some token: no cut between them and a space.
    private readonly BitArray _beforeSpace = new(0x10000);
    // ASCII that stands in no token of two characters or more: a cut on either side.
    private readonly bool[] _alone = new bool[128];

    /// <summary>Builds the encoder.</summary>
    public SentencePieceEncoder(Vocabulary vocabulary, float[] scores, bool spacePrefix, bool removeExtraSpaces, int? unknown)
    {
        _count = vocabulary.Count;
        _spacePrefix = spacePrefix;
        _removeExtraSpaces = removeExtraSpaces;
        _unknown = unknown;
        Array.Fill(_symbols, -1);
        Array.Fill(_byteIds, -1);
        Array.Fill(_alone, true);
        _alone[' '] = false; // it stands for U+2581
        var symbols = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach ((string text, int id) in vocabulary.ByText)
        {
            TokenType type = vocabulary.Type(id);
            if (type == TokenType.Byte && Vocabulary.NamedByte(text) is >= 0 and int value) _byteIds[value] = id;
            // Text never spells a control token, nor a byte by its name.
            else if (type is not (TokenType.Control or TokenType.Unknown)) symbols.Add(text, id);
        }
        foreach (string text in symbols.Keys.ToArray()) Learn(text, symbols);
        _merges = MergeTable.FromSplits(symbols, RanksOf(scores));
    }

    /// <inheritdoc/>
    public override void Encode(ReadOnlySpan<char> text, bool atStart, EncodeWorker worker)
    {
        bool prefix = atStart && _spacePrefix;
        if (prefix || _removeExtraSpaces) text = Rewrite(text, prefix, worker);
        int start = 0;
        for (int i = 1; i < text.Length; i++)
        {
            if (!IsCut(text[i - 1], text[i])) continue;
            EncodePiece(text, start, i, worker);
            start = i;
        }
        if (start < text.Length) EncodePiece(text, start, text.Length, worker);
    }

    /// <inheritdoc/>
    protected override void EncodeNewPiece(ReadOnlySpan<char> piece, EncodeWorker worker)
    {
        MergeBuffer merges = worker.Merges;
        merges.Begin(piece.Length);
        foreach (Rune rune in piece.EnumerateRunes())
        {
            int character = rune.Value == ' ' ? Vocabulary.SpaceMark : rune.Value;
            int symbol = SymbolOf(character);
            // A character no token holds merges with nothing; its complement remembers it.
            merges.Add(symbol >= 0 ? symbol : ~character);
        }
        merges.Merge(_merges);
        foreach (int symbol in merges.Symbols)
        {
            if ((uint)symbol < (uint)_count) worker.Ids.Add(symbol);
            else AddBytes(symbol < 0 ? ~symbol : _unlisted[symbol - _count], worker.Ids);
        }
    }

    private bool IsCut(char left, char right)
    {
        if (right == ' ' && !_beforeSpace[left]) return true;
        return (left < 128 && _alone[left]) || (right < 128 && _alone[right]);
    }

    private int SymbolOf(int character) =>
        character < 0x10000 ? _symbols[character] : _wideSymbols.GetValueOrDefault(character, -1);

    private void AddBytes(int character, IdBuffer into)
    {
        Span<byte> bytes = stackalloc byte[4];
        int length = new Rune(character).EncodeToUtf8(bytes);
        foreach (byte b in bytes[..length])
        {
            if (_byteIds[b] >= 0) into.Add(_byteIds[b]);
            else if (_unknown is int unknown) into.Add(unknown);
        }
    }

    private ReadOnlySpan<char> Rewrite(ReadOnlySpan<char> text, bool prefix, EncodeWorker worker)
    {
        Span<char> room = worker.Text(text.Length + 1);
        int length = 0;
        if (prefix) room[length++] = ' ';
        if (!_removeExtraSpaces)
        {
            text.CopyTo(room[length..]);
            return room[..(length + text.Length)];
        }
        text = text.Trim(' ');
        for (int i = 0; i < text.Length; i++)
            if (text[i] != ' ' || text[i - 1] != ' ') room[length++] = text[i];
        return text.IsEmpty ? [] : room[..length];
    }

    /// <summary>Takes in the characters of a token and where a text may not be cut because of it.</summary>
    private void Learn(string text, Dictionary<string, int> symbols)
    {
        int characters = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            characters++;
            if (SymbolOf(rune.Value) >= 0) continue;
            string single = rune.ToString();
            if (!symbols.TryGetValue(single, out int symbol))
            {
                symbol = _count + _unlisted.Count;
                _unlisted.Add(rune.Value);
                symbols.Add(single, symbol);
            }
            if (rune.IsBmp) _symbols[rune.Value] = symbol;
            else _wideSymbols.Add(rune.Value, symbol);
        }
        if (characters < 2) return;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] < 128) _alone[text[i]] = false;
            if (i + 1 == text.Length || text[i + 1] != Vocabulary.SpaceMark) continue;
            _beforeSpace[text[i]] = true;
            if (text[i] == Vocabulary.SpaceMark) _beforeSpace[' '] = true;
        }
    }

    /// <summary>Scores as ranks: the best score is rank 0, equal scores share a rank.</summary>
    private int[] RanksOf(float[] scores)
    {
        var order = new int[_count];
        var keys = new float[_count];
        for (int i = 0; i < _count; i++)
        {
            order[i] = i;
            keys[i] = float.IsNaN(scores[i]) ? float.PositiveInfinity : -scores[i];
        }
        Array.Sort(keys, order);
        // Characters that are not tokens are never made by a merge.
        var ranks = new int[_count + _unlisted.Count];
        Array.Fill(ranks, MergeTable.NoMerge);
        for (int i = 0, rank = 0; i < _count; i++)
        {
            if (i > 0 && keys[i] != keys[i - 1]) rank = i;
            ranks[order[i]] = rank;
        }
        return ranks;
    }
}
