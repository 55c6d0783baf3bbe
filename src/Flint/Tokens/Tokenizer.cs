using System.Buffers;
using System.Text;
using Flint.Weights;

namespace Flint.Tokens;

/// <summary>
/// Text to token ids and back, for byte-level BPE and SentencePiece BPE vocabularies. Safe for use by many threads at once.
/// </summary>
public sealed class Tokenizer
{
    /// <summary>The longest text that is encoded at once, in UTF-16 code units.</summary>
    public const int MaxTextLength = 1 << 28;

    /// <summary>The most tokens a vocabulary may hold.</summary>
    public const int MaxTokens = 1 << 22;

    // Working spaces kept for reuse, one megabyte of word cache each.
    private const int MostWorkers = 8;

    private readonly Vocabulary _vocabulary;
    private readonly TextEncoder _encoder;
    private readonly SpecialMatcher _allSpecial;
    private readonly SpecialMatcher _userDefined;
    private readonly bool _stripsSpace;
    private readonly EncodeWorker?[] _workers = new EncodeWorker?[MostWorkers];

    internal Tokenizer(VocabularySource source)
    {
        Check(source);
        bool sentencePiece = source.Model == "llama";
        PreTokenizer pre = sentencePiece ? new PreTokenizer(SplitKind.Default, AddsBos: true) : PreTokenizer.Named(source.Pre);
        if (source.WholeWords) pre = pre with { WholeWords = true };
        _vocabulary = new Vocabulary(source.Tokens, source.Types, sentencePiece);
        Bos = source.Bos ?? (sentencePiece && Count > 1 ? 1 : null);
        Eos = source.Eos ?? (sentencePiece && Count > 2 ? 2 : null);
        Unk = source.Unk ?? (sentencePiece ? 0 : null);
        Pad = source.Pad;
        Eot = source.Eot ?? EndTokens.FindEndOfTurn(_vocabulary);
        Eom = source.Eom ?? EndTokens.FindEndOfMessage(_vocabulary);
        HashSet<int> ends = EndTokens.Collect(_vocabulary, source.Architecture, Eos, Eot, Eom, source.MoreEnds);
        foreach (int id in ends)
            if (EndTokens.IsControlName(_vocabulary.Text(id))) _vocabulary.MakeControl(id);
        EndOfGeneration = ends;
        AddBos = (source.AddBos ?? pre.AddsBos) && Bos is not null;
        AddEos = (source.AddEos ?? false) && Eos is not null;
        _stripsSpace = sentencePiece && (source.AddSpacePrefix ?? true);
        _encoder = sentencePiece
            ? new SentencePieceEncoder(_vocabulary, source.Scores!, _stripsSpace, source.RemoveExtraWhitespaces, Unk)
            : new ByteLevelEncoder(_vocabulary, pre, source.Merges);
        _allSpecial = new SpecialMatcher(OfType(TokenType.Control, TokenType.Unknown, TokenType.UserDefined));
        _userDefined = new SpecialMatcher(OfType(TokenType.UserDefined));
    }

    /// <summary>How many tokens there are; ids run from 0 to one less.</summary>
    public int Count => _vocabulary.Count;

    /// <summary>Beginning of sequence.</summary>
    public int? Bos { get; }

    /// <summary>End of sequence.</summary>
    public int? Eos { get; }

    /// <summary>End of turn: by the file, else by well-known text.</summary>
    public int? Eot { get; }

    /// <summary>End of message: by the file, else by well-known text.</summary>
    public int? Eom { get; }

    /// <summary>Padding.</summary>
    public int? Pad { get; }

    /// <summary>Unknown.</summary>
    public int? Unk { get; }

    /// <summary>Whether encoding with special tokens begins with <see cref="Bos"/>.</summary>
    public bool AddBos { get; }

    /// <summary>Whether encoding with special tokens ends with <see cref="Eos"/>.</summary>
    public bool AddEos { get; }

    /// <summary>Ids at which a generation ends: end of sequence, of turn, and the like; never Muse Glimmer's <c>&lt;|eom|&gt;</c>.</summary>
    public IReadOnlySet<int> EndOfGeneration { get; }

    /// <summary>The tokenizer of a GGUF file, from its <c>tokenizer.ggml.*</c> metadata.</summary>
    /// <exception cref="FlintException">Model file: the metadata is missing, inconsistent, or of a kind not known here.</exception>
    public static Tokenizer FromGguf(GgufMetadata metadata) => new(VocabularySource.FromGguf(metadata));

    /// <summary>The tokenizer of a tiktoken file (see <see cref="TiktokenFile"/>).</summary>
    /// <param name="path">The file of ranks.</param>
    /// <param name="pre">The pre-tokenizer, by its GGUF name: <c>gpt-4o</c>, <c>llama4</c> …</param>
    /// <param name="specials">Control tokens by text; their ids may not be those of ranks.</param>
    /// <exception cref="FlintException">Model file or machine: as for <see cref="TiktokenFile.Read"/>, or a special's id is taken or too large.</exception>
    public static Tokenizer FromTiktoken(string path, string pre, IReadOnlyDictionary<string, int> specials)
    {
        byte[][] ranks = TiktokenFile.Read(path);
        int count = Math.Max(ranks.Length, specials.Count == 0 ? 0 : specials.Values.Max() + 1);
        if (count > MaxTokens)
            throw FlintException.File("vocabulary_size", $"a special token of {path} has id {count - 1}; the most is {MaxTokens - 1}");
        var tokens = new string[count];
        var types = new int[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = i < ranks.Length ? ByteAlphabet.Encode(ranks[i]) : "";
            types[i] = (int)(tokens[i].Length > 0 ? TokenType.Normal : TokenType.Unused);
        }
        foreach ((string text, int id) in specials)
        {
            if (id < 0 || tokens[id].Length > 0)
                throw FlintException.File("special_token_id", $"{path}: id {id} of special token '{text}' is negative or taken");
            (tokens[id], types[id]) = (text, (int)TokenType.Control);
        }
        return new Tokenizer(new VocabularySource
        {
            Model = "gpt2",
            Pre = pre,
            Tokens = tokens,
            Types = types,
            WholeWords = true,
            Bos = Special("<|begin_of_text|>") ?? Special("<|startoftext|>"),
            Eos = Special("<|end_of_text|>") ?? Special("<|endoftext|>"),
        });

        int? Special(string text) => specials.TryGetValue(text, out int id) ? id : null;
    }

    /// <summary>Encodes a text.</summary>
    /// <param name="text">The text; a lone surrogate counts as U+FFFD.</param>
    /// <param name="addSpecial">Adds BOS and EOS where the file asks for them.</param>
    /// <param name="parseSpecial">Control tokens written out in the text become those tokens. Leave off for text of strangers.</param>
    /// <exception cref="FlintException">Caller: the text is longer than <see cref="MaxTextLength"/>.</exception>
    public int[] Encode(string text, bool addSpecial, bool parseSpecial) => Encode(text.AsSpan(), addSpecial, parseSpecial);

    /// <summary>Encodes a text; as <see cref="Encode(string, bool, bool)"/>.</summary>
    public int[] Encode(ReadOnlySpan<char> text, bool addSpecial, bool parseSpecial)
    {
        EncodeWorker worker = Rent();
        if (addSpecial && AddBos) worker.Ids.Add(Bos!.Value);
        EncodeInto(text, parseSpecial, atStart: true, worker);
        if (addSpecial && AddEos) worker.Ids.Add(Eos!.Value);
        int[] ids = worker.Ids.Ids.ToArray();
        Return(worker);
        return ids;
    }

    /// <summary>Encodes a text given as UTF-8, a leading byte order mark included; bytes that are not UTF-8 count as U+FFFD.</summary>
    /// <exception cref="FlintException">Caller: the text is longer than <see cref="MaxTextLength"/>.</exception>
    public int[] EncodeUtf8(ReadOnlySpan<byte> utf8, bool addSpecial, bool parseSpecial)
    {
        if (utf8.Length > MaxTextLength) throw TooLong(utf8.Length, "bytes");
        return Encode(Encoding.UTF8.GetString(utf8), addSpecial, parseSpecial);
    }

    /// <summary>Appends the ids of a text to a list, without BOS and EOS; where the list ends in text, this one goes on from it.</summary>
    /// <exception cref="FlintException">Caller: the text is longer than <see cref="MaxTextLength"/>.</exception>
    public void Encode(ReadOnlySpan<char> text, bool parseSpecial, List<int> into)
    {
        EncodeWorker worker = Rent();
        EncodeInto(text, parseSpecial, into.Count == 0 || BeginsText(into[^1]), worker);
        into.AddRange(worker.Ids.Ids);
        Return(worker);
    }

    /// <summary>
    /// The text of some ids. Bytes that are not UTF-8 become U+FFFD. Where encoding puts a space before text (SentencePiece), that
    /// space is taken away again.
    /// </summary>
    /// <param name="ids">The tokens.</param>
    /// <param name="showSpecial">Whether control tokens print their text.</param>
    /// <exception cref="FlintException">Caller: an id is not in the vocabulary.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool showSpecial = true) => Encoding.UTF8.GetString(DecodeBytes(ids, showSpecial));

    /// <summary>The bytes of some ids; as <see cref="Decode"/>, without the step to text.</summary>
    /// <exception cref="FlintException">Caller: an id is not in the vocabulary.</exception>
    public byte[] DecodeBytes(ReadOnlySpan<int> ids, bool showSpecial = true)
    {
        var bytes = new ArrayBufferWriter<byte>(Math.Max(16, ids.Length * 4));
        bool atStart = true;
        foreach (int id in ids) bytes.Write(Piece(id, showSpecial, ref atStart));
        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>The bytes a token prints; a control token prints its text, a SentencePiece space is a space.</summary>
    /// <exception cref="FlintException">Caller: the id is not in the vocabulary.</exception>
    public ReadOnlySpan<byte> Bytes(int id) => _vocabulary.Bytes(Checked(id));

    /// <summary>Whether a token is a control token, which prints only where special tokens are shown.</summary>
    /// <exception cref="FlintException">Caller: the id is not in the vocabulary.</exception>
    public bool IsSpecial(int id) => _vocabulary.Type(Checked(id)) is TokenType.Control or TokenType.Unknown;

    /// <summary>The id of a token by its text in the vocabulary's own writing (<c>&lt;|eot|&gt;</c>, <c>Ġthe</c>, <c>▁the</c>).</summary>
    public bool TryId(string tokenText, out int id) => _vocabulary.ByText.TryGetValue(tokenText, out id);

    /// <summary>The text of a token in the vocabulary's own writing.</summary>
    /// <exception cref="FlintException">Caller: the id is not in the vocabulary.</exception>
    public string Text(int id) => _vocabulary.Text(Checked(id));

    /// <summary>Whether text after this token begins as at the start of the input.</summary>
    internal bool BeginsText(int id) =>
        _vocabulary.Type(Checked(id)) is TokenType.Control or TokenType.Unknown or TokenType.UserDefined;

    /// <summary>What a token adds to a text, and whether the next one stands at a start.</summary>
    internal ReadOnlySpan<byte> Piece(int id, bool showSpecial, ref bool atStart)
    {
        ReadOnlySpan<byte> bytes = _vocabulary.Bytes(Checked(id));
        bool wasStart = atStart;
        atStart = BeginsText(id);
        if (!showSpecial && IsSpecial(id)) return [];
        return wasStart && !atStart && _stripsSpace && bytes.StartsWith(" "u8) ? bytes[1..] : bytes;
    }

    private void EncodeInto(ReadOnlySpan<char> text, bool parseSpecial, bool atStart, EncodeWorker worker)
    {
        if (text.Length > MaxTextLength) throw TooLong(text.Length, "characters");
        if (HasLoneSurrogate(text)) text = Encoding.Unicode.GetString(Encoding.Unicode.GetBytes(text.ToString()));
        SpecialMatcher matcher = parseSpecial ? _allSpecial : _userDefined;
        int from = 0;
        while (from < text.Length)
        {
            bool found = matcher.TryFind(text, from, out int at, out int length, out int id);
            if (at > from)
            {
                _encoder.Encode(text[from..at], atStart, worker);
                atStart = false;
            }
            if (!found) break;
            worker.Ids.Add(id);
            atStart = true;
            from = at + length;
        }
    }

    /// <summary>Whether a text holds half a surrogate pair.</summary>
    internal static bool HasLoneSurrogate(ReadOnlySpan<char> text)
    {
        while (true)
        {
            int at = text.IndexOfAnyInRange('\uD800', '\uDFFF');
            if (at < 0) return false;
            if (!char.IsHighSurrogate(text[at]) || at + 1 == text.Length || !char.IsLowSurrogate(text[at + 1])) return true;
            text = text[(at + 2)..];
        }
    }

    private IEnumerable<(string Text, int Id)> OfType(params TokenType[] types)
    {
        for (int id = 0; id < Count; id++)
            if (types.Contains(_vocabulary.Type(id))) yield return (_vocabulary.Text(id), id);
    }

    private int Checked(int id) => (uint)id < (uint)Count
        ? id
        : throw FlintException.Caller("token_out_of_range", $"token {id} is not in the vocabulary of {Count}");

    private static FlintException TooLong(int length, string unit) =>
        FlintException.Caller("text_too_long", $"the text has {length} {unit}; the most that is encoded at once is {MaxTextLength}");

    private EncodeWorker Rent()
    {
        for (int i = 0; i < MostWorkers; i++)
            if (Interlocked.Exchange(ref _workers[i], null) is { } kept) return kept;
        return new EncodeWorker();
    }

    private void Return(EncodeWorker worker)
    {
        if (!worker.WorthKeeping) return;
        worker.Ids.Clear();
        for (int i = 0; i < MostWorkers; i++)
            if (Interlocked.CompareExchange(ref _workers[i], worker, null) is null) return;
    }

    private static void Check(VocabularySource source)
    {
        int count = source.Tokens.Length;
        if (count is 0 or > MaxTokens)
            throw FlintException.File("vocabulary_size", $"tokenizer.ggml.tokens has {count} tokens; expected 1 to {MaxTokens}");
        if (source.Model is not ("gpt2" or "llama"))
            throw FlintException.File("unknown_tokenizer",
                $"tokenizer.ggml.model is '{source.Model}'; known are 'gpt2' (byte-level BPE) and 'llama' (SentencePiece BPE)");
        if (source.Types is { } types && types.Length < count)
            throw FlintException.File("vocabulary_size", $"tokenizer.ggml.token_type has {types.Length} entries for {count} tokens");
        if (source.Model == "llama" && !(source.Scores?.Length >= count))
            throw FlintException.File("vocabulary_size",
                $"tokenizer.ggml.scores has {source.Scores?.Length ?? 0} entries for {count} tokens");
        if (source is { Model: "gpt2", Merges: null, WholeWords: false })
            throw FlintException.File("metadata_missing", "tokenizer.ggml.merges is missing, which tokenizer.ggml.model 'gpt2' needs");
    }
}
