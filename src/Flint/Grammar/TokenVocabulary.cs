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

    private const byte FirstControl = 0xF5; // up to 0xFF, none of which is in UTF-8

    private readonly Dictionary<string, byte> _controls = new(StringComparer.Ordinal);
    private readonly byte[][] _pieces; // empty for tokens that no grammar has
    private readonly int[] _byLength; // the longest tokens first
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

        (Bytes, Ends, Depths, Tokens, Same) = Build();
        _byLength = [.. Enumerable.Range(0, count).Where(id => _pieces[id].Length > 0).OrderByDescending(id => _pieces[id].Length).ThenBy(id => id)];
        int longest = _byLength.Length == 0 ? 0 : _pieces[_byLength[0]].Length;
        _longer = new int[longest + 1];
        for (int length = 0; length <= longest; length++)
            _longer[length] = Array.FindIndex(_byLength, id => _pieces[id].Length <= length) is >= 0 and int shorter ? shorter : _byLength.Length;
    }

    /// <summary>How many tokens there are.</summary>
    public int Count => _pieces.Length;

    /// <summary>Words of a mask.</summary>
    internal int Words => (Count + 63) / 64;

    /// <summary>Whether a text's first token prints without its leading space.</summary>
    internal bool StripsSpace { get; }

    // The tree from the top, children behind their parent: of each node the byte that leads to it, where its children end, how deep it
    // is from 0, the token that ends at it or -1. Same leads from a token to another of the same bytes, or to -1.
    internal byte[] Bytes { get; }

    internal int[] Ends { get; }

    internal byte[] Depths { get; }

    internal int[] Tokens { get; }

    internal int[] Same { get; }

    /// <summary>What the tokens do inside any JSON string; null until a grammar has found it.</summary>
    internal InnerMask? FreeText { get; set; }

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

    /// <summary>A mark of a chat format as grammars read it: its control token where the vocabulary has one, else its text.</summary>
    internal byte[] Mark(string text) => _controls.TryGetValue(text, out byte control) ? [control] : Encoding.UTF8.GetBytes(text);

    private (byte[] Bytes, int[] Ends, byte[] Depths, int[] Tokens, int[] Same) Build()
    {
        int[] order = [.. Enumerable.Range(0, Count).Where(id => _pieces[id].Length is > 0 and < 256)];
        Array.Sort(order, (x, y) => _pieces[x].AsSpan().SequenceCompareTo(_pieces[y]) is not 0 and var before ? before : x.CompareTo(y));
        var bytes = new List<byte>();
        var depths = new List<byte>();
        var tokens = new List<int>();
        int[] same = new int[Count];
        Array.Fill(same, -1);
        ReadOnlySpan<byte> previous = [];
        int last = -1;
        foreach (int id in order)
        {
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

        return ([.. bytes], ends, [.. depths], [.. tokens], same);
    }
}
