using System.Collections.Concurrent;
using System.Text;
using Flint.Tokens;

namespace Flint.Grammar;

/// <summary>
/// The tokens of a vocabulary as a tree of their bytes, which a grammar is walked along to find those that may come next. Bytes that no
/// UTF-8 text has stand for the control tokens that a chat format knows. Safe for several threads.
/// </summary>
public sealed class TokenVocabulary
{
    /// <summary>The most control tokens that a grammar can tell apart.</summary>
    public const int MaxControls = 11;

    private const int FewTokens = 64; // a share of the vocabulary, as a divisor
    private const int MaxFreeTexts = 128; // masks that are kept

    private const byte FirstControl = 0xF5; // up to 0xFF, none of which is in UTF-8

    private readonly ConcurrentDictionary<(bool IsFree, int Min, int Max), InnerMask> _freeTexts = new();
    private readonly Dictionary<string, byte> _controls = new(StringComparer.Ordinal);
    private readonly byte[][] _pieces; // empty for tokens that no grammar has
    private readonly int[] _byLength; // the longest tokens first
    private readonly int[] _order; // by their bytes
    private readonly int[] _longer; // how many tokens have more bytes than the index

    /// <summary>Takes a vocabulary.</summary>
    /// <param name="count">Tokens, those among them that print nothing.</param>
    /// <param name="piece">The bytes that a token prints.</param>
    /// <param name="isControl">Whether a token is a control token.</param>
    /// <param name="controls">Texts of control tokens that grammars may have; those that the vocabulary lacks are passed over.</param>
    /// <param name="stripsSpace">Whether a text's first token prints without its leading space, as in SentencePiece.</param>
    public TokenVocabulary(int count, Func<int, byte[]> piece, Func<int, bool> isControl, IReadOnlyList<string> controls, bool stripsSpace = false)
    {
        if (controls.Count > MaxControls)
            throw new FlintException(FaultSide.Bug, "too_many_controls", $"A grammar tells at most {MaxControls} control tokens apart; found {controls.Count}.");
        List<string> known = [.. controls];
        StripsSpace = stripsSpace;
        _pieces = new byte[count][];
        for (int i = 0; i < count; i++)
        {
            byte[] bytes = piece(i);
            if (!isControl(i))
            {
                _pieces[i] = Array.Exists(bytes, b => b >= FirstControl) ? [] : bytes;
                continue;
            }

            string text = Encoding.UTF8.GetString(bytes);
            int index = known.IndexOf(text);
            _pieces[i] = index < 0 ? [] : [(byte)(FirstControl + index)];
            if (index >= 0)
                _controls[text] = (byte)(FirstControl + index);
        }

        _order = [.. Enumerable.Range(0, count).Where(id => _pieces[id].Length is > 0 and < 256)];
        Array.Sort(_order, (x, y) => _pieces[x].AsSpan().SequenceCompareTo(_pieces[y]) is not 0 and var before ? before : x.CompareTo(y));
        (Bytes, Ends, Depths, Tokens, Same, Firsts) = Build();
        Below = Summarize();
        _byLength = [.. Enumerable.Range(0, count).Where(id => _pieces[id].Length > 0).OrderByDescending(id => _pieces[id].Length).ThenBy(id => id)];
        int longest = _byLength.Length == 0 ? 0 : _pieces[_byLength[0]].Length;
        _longer = new int[longest + 1];
        for (int length = 0; length <= longest; length++)
            _longer[length] = Array.FindIndex(_byLength, id => _pieces[id].Length <= length) is >= 0 and int shorter ? shorter : _byLength.Length;
        MostBytes = longest;
        UsualBytes = Array.FindIndex(_longer, longer => longer <= count / FewTokens) is >= 0 and int usual ? usual : longest;
    }

    /// <summary>How many tokens there are.</summary>
    public int Count => _pieces.Length;

    /// <summary>Words of a mask.</summary>
    internal int Words => (Count + 63) / 64;

    /// <summary>Whether a text's first token prints without its leading space.</summary>
    internal bool StripsSpace { get; }

    // The tree from the top, children behind their parent: of each node the byte that leads to it, where its children end, how deep it
    // is from 0, the token that ends at it or -1, the first of the tokens in order that go through it, the groups of all bytes below it.
    // Same leads from a token to another of the same bytes, or to -1.
    internal byte[] Bytes { get; }

    internal int[] Ends { get; }

    internal byte[] Depths { get; }

    internal int[] Tokens { get; }

    internal int[] Same { get; }

    internal int[] Firsts { get; }

    internal ulong[] Below { get; }

    /// <summary>The bytes of the longest token.</summary>
    internal int MostBytes { get; }

    /// <summary>The bytes that few tokens have more than.</summary>
    internal int UsualBytes { get; }

    /// <summary>A tokenizer's vocabulary.</summary>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="vocabularySize">Logits of the model, at least as many as the tokenizer has tokens.</param>
    /// <param name="controls">Texts of control tokens that grammars may have.</param>
    public static TokenVocabulary Of(Tokenizer tokenizer, int vocabularySize, IReadOnlyList<string> controls)
    {
        bool strips = false;
        for (int i = 0; i < tokenizer.Count && !strips; i++)
        {
            bool atStart = true;
            strips = tokenizer.Piece(i, showSpecial: true, ref atStart).Length < tokenizer.Bytes(i).Length;
        }

        return new TokenVocabulary(
            Math.Max(vocabularySize, tokenizer.Count),
            id => id < tokenizer.Count ? tokenizer.Bytes(id).ToArray() : [],
            id => id >= tokenizer.Count || tokenizer.IsSpecial(id),
            controls, strips);
    }

    /// <summary>The bytes of a token as grammars read it; empty where none has it.</summary>
    internal ReadOnlySpan<byte> Piece(int token) => _pieces[token];

    /// <summary>The tokens of more bytes than so many.</summary>
    internal ReadOnlySpan<int> LongerThan(int bytes) => _byLength.AsSpan(0, bytes < _longer.Length ? _longer[bytes] : 0);

    /// <summary>The tokens that go through a node, by their bytes.</summary>
    internal ReadOnlySpan<int> Through(int node) =>
        _order.AsSpan(Firsts[node]..(Ends[node] < Firsts.Length ? Firsts[Ends[node]] : _order.Length));

    /// <summary>What the tokens do inside the rest of any JSON string of so many characters, which is the same in all grammars.</summary>
    /// <param name="isFree">Whether characters are written in any way, not only in the shortest.</param>
    /// <param name="min">The fewest characters.</param>
    /// <param name="max">The most characters.</param>
    /// <param name="make">Finds it where it is not known.</param>
    internal InnerMask FreeText(bool isFree, int min, int max, Func<InnerMask> make)
    {
        if (_freeTexts.TryGetValue((isFree, min, max), out InnerMask? known))
            return known;
        InnerMask made = make();
        if (_freeTexts.Count < MaxFreeTexts)
            _freeTexts.TryAdd((isFree, min, max), made);
        return made;
    }

    /// <summary>A mark of a chat format as grammars read it: its control token where the vocabulary has one, else its text.</summary>
    internal byte[] Mark(string text) => _controls.TryGetValue(text, out byte control) ? [control] : Encoding.UTF8.GetBytes(text);

    private (byte[] Bytes, int[] Ends, byte[] Depths, int[] Tokens, int[] Same, int[] Firsts) Build()
    {
        var firsts = new List<int>();
        var bytes = new List<byte>();
        var depths = new List<byte>();
        var tokens = new List<int>();
        int[] same = new int[Count];
        Array.Fill(same, -1);
        ReadOnlySpan<byte> previous = [];
        int last = -1;
        for (int i = 0; i < _order.Length; i++)
        {
            int id = _order[i];
            ReadOnlySpan<byte> piece = _pieces[id];
            int common = previous.CommonPrefixLength(piece);
            if (common == piece.Length)
            {
                same[last] = id;
                last = id;
                continue;
            }

            for (int depth = common; depth < piece.Length; depth++)
            {
                bytes.Add(piece[depth]);
                depths.Add((byte)depth);
                firsts.Add(i);
                tokens.Add(depth == piece.Length - 1 ? id : -1);
            }

            previous = piece;
            last = id;
        }

        int[] ends = new int[bytes.Count];
        int[] open = new int[256];
        int deepest = -1;
        for (int i = 0; i <= bytes.Count; i++)
        {
            int depth = i < bytes.Count ? depths[i] : 0;
            for (; deepest >= depth; deepest--)
                ends[open[deepest]] = i;
            if (i == bytes.Count)
                break;
            open[depth] = i;
            deepest = depth;
        }

        return ([.. bytes], ends, [.. depths], [.. tokens], same, [.. firsts]);
    }

    /// <summary>The groups of the bytes below each node; bytes that are not in their place in UTF-8 are a group of their own.</summary>
    private ulong[] Summarize()
    {
        ulong[] own = new ulong[Bytes.Length], below = new ulong[Bytes.Length];
        var expected = new (int Low, int High, int Left)[256]; // of each depth, what may follow within a character; -1 left where nothing does
        for (int node = 0; node < Bytes.Length; node++)
        {
            byte value = Bytes[node];
            (int low, int high, int left) = Depths[node] == 0 ? default : expected[Depths[node] - 1];
            bool isValid = left == 0 ? ByteGroups.Length(value) > 0 : left > 0 && value >= low && value <= high;
            own[node] = isValid ? ByteGroups.Of(value) : ByteGroups.Invalid;
            (low, high) = left == 0 ? ByteGroups.Second(value) : (0x80, 0xBF);
            expected[Depths[node]] = (low, high, !isValid ? -1 : left == 0 ? ByteGroups.Length(value) - 1 : left - 1);
        }

        for (int node = Bytes.Length - 1; node >= 0; node--)
        {
            for (int child = node + 1; child < Ends[node]; child = Ends[child])
                below[node] |= own[child] | below[child];
        }

        return below;
    }
}
