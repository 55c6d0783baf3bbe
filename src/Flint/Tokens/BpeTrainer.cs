using System.Runtime.InteropServices;
using System.Text;

namespace Flint.Tokens;

/// <summary>How a byte-level BPE vocabulary is learnt.</summary>
public sealed class BpeTrainerOptions
{
    /// <summary>The pre-tokenizer, by its GGUF name; merges never cross the pieces it cuts.</summary>
    public string Pre { get; init; } = "llama4";

    /// <summary>Whether a token of several bytes may hold an ASCII digit; where not, every digit is a token of its own.</summary>
    public bool MergeDigits { get; init; }

    /// <summary>A pair that occurs less often is not merged.</summary>
    public int LeastCount { get; init; } = 2;

    /// <summary>The control tokens, in the order of their ids; text that spells one is left out of the count.</summary>
    public IReadOnlyList<string> Specials { get; init; } = [];
}

/// <summary>
/// Learns a byte-level BPE vocabulary (Sennrich et al. 2016, over bytes as in GPT-2): counts the words of texts, then merges the
/// most frequent pair of neighbours again and again. The result does not depend on the order of the texts: of two pairs equally
/// frequent the one of lower ids is merged first.
/// </summary>
/// <remarks>Not for use by two threads at once.</remarks>
public sealed class BpeTrainer
{
    /// <summary>The longest word that is counted, in bytes; longer ones are rarely words.</summary>
    public const int MaxWordBytes = 256;

    /// <summary>The most different words that are counted.</summary>
    public const int MaxWords = 1 << 24;

    private const int Bytes = 256;

    private readonly BpeTrainerOptions _options;
    private readonly PreTokenizer _pre;
    private readonly SpecialMatcher _specials;
    private readonly Dictionary<string, int> _index = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly List<long> _counts = [];
    private byte[] _classes = [];
    private PieceList _pieces = new();
    private PieceList _spare = new();

    /// <summary>Starts with no text.</summary>
    /// <exception cref="FlintException">The pre-tokenizer is unknown. Caller: a special token is empty or named twice.</exception>
    public BpeTrainer(BpeTrainerOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.LeastCount, 1);
        if (options.Specials.Any(string.IsNullOrEmpty) || options.Specials.Distinct().Count() != options.Specials.Count)
            throw FlintException.Caller("invalid_special_token", "A special token is empty or named twice.");
        _options = options;
        _pre = PreTokenizer.Named(options.Pre);
        _specials = new SpecialMatcher(options.Specials.Select((text, i) => (text, i)));
        _lookup = _index.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>How many different words there are so far.</summary>
    public int Words => _counts.Count;

    /// <summary>Counts the words of a text; a lone surrogate counts as U+FFFD.</summary>
    /// <exception cref="FlintException">Caller: the text is longer than <see cref="Tokenizer.MaxTextLength"/>, or there are more than <see cref="MaxWords"/> different words.</exception>
    public void Add(ReadOnlySpan<char> text)
    {
        if (text.Length > Tokenizer.MaxTextLength)
            throw FlintException.Caller("text_too_long", $"the text has {text.Length} characters; the most that is taken at once is {Tokenizer.MaxTextLength}");
        if (Tokenizer.HasLoneSurrogate(text)) text = Encoding.Unicode.GetString(Encoding.Unicode.GetBytes(text.ToString()));
        int from = 0;
        while (from < text.Length)
        {
            bool found = _specials.TryFind(text, from, out int at, out int length, out _);
            AddPlain(text[from..at]);
            if (!found) break;
            from = at + length;
        }
    }

    /// <summary>Learns a vocabulary from what was counted.</summary>
    /// <param name="size">Its tokens in all: 256 bytes, merged tokens, special tokens.</param>
    /// <exception cref="FlintException">Caller: the size has no room for bytes and special tokens, or the texts give too few merges.</exception>
    public BpeVocabulary Train(int size)
    {
        int specials = _options.Specials.Count, merged = size - Bytes - specials;
        if (merged < 0 || size > Tokenizer.MaxTokens)
            throw FlintException.Caller("vocabulary_size", $"A vocabulary of {size} tokens cannot be made; {Bytes} bytes and {specials} special tokens are the least, {Tokenizer.MaxTokens} the most.");
        var merger = new BpeMerger(_options.MergeDigits);
        foreach ((string word, int index) in _index) merger.AddWord(word, _counts[index]);
        List<(int Left, int Right)> merges = merger.Learn(merged, _options.LeastCount);
        if (merger.Tokens.Count < Bytes + merged)
            throw FlintException.Caller("too_little_text", $"The texts give {merger.Tokens.Count - Bytes} merged tokens; {merged} are needed for a vocabulary of {size}.");
        var tokens = new string[size];
        var types = new int[size];
        for (int i = 0; i < Bytes + merged; i++) (tokens[i], types[i]) = (ByteAlphabet.Encode(merger.Tokens[i]), (int)TokenType.Normal);
        for (int i = 0; i < specials; i++) (tokens[Bytes + merged + i], types[Bytes + merged + i]) = (_options.Specials[i], (int)TokenType.Control);
        return new BpeVocabulary(_options.Pre, tokens, types, [.. merges.Select(m => $"{tokens[m.Left]} {tokens[m.Right]}")]);
    }

    private void AddPlain(ReadOnlySpan<char> text)
    {
        if (text.IsEmpty) return;
        if (_classes.Length < text.Length) _classes = new byte[Math.Max(text.Length, 2 * _classes.Length)];
        Span<byte> classes = _classes.AsSpan(0, text.Length);
        CharClass.Classify(text, classes);
        _pre.Split(text, classes, ref _pieces, ref _spare);
        int start = 0;
        foreach (int end in _pieces.Ends)
        {
            Count(text[start..end]);
            start = end;
        }
    }

    private void Count(ReadOnlySpan<char> word)
    {
        if (_lookup.TryGetValue(word, out int index))
        {
            CollectionsMarshal.AsSpan(_counts)[index]++;
            return;
        }
        if (Encoding.UTF8.GetByteCount(word) > MaxWordBytes) return;
        if (_counts.Count == MaxWords)
            throw FlintException.Caller("too_many_words", $"The texts have more than {MaxWords} different words.");
        _lookup[word] = _counts.Count;
        _counts.Add(1);
    }
}
