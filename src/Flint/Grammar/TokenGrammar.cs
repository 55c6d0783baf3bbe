using System.Text;
using System.Text.Json;

namespace Flint.Grammar;

/// <summary>How a schema is enforced.</summary>
public sealed record JsonSchemaOptions
{
    /// <summary>
    /// Whether an object's members come in any order, as JSON has it; else those that the schema names come in its own order, and others
    /// behind them, as models are used to.
    /// </summary>
    public bool IsAnyOrder { get; init; }
}

/// <summary>
/// A grammar over the tokens of a vocabulary: which texts there are, and so which tokens may come next. Its states are found as they are
/// needed, and kept for all who use it. Safe for several threads.
/// </summary>
public sealed class TokenGrammar
{
    /// <summary>The longest grammar or schema, in characters.</summary>
    public const int MaxLength = 1 << 20;

    private readonly Lock _gate = new();
    private readonly Automaton _automaton;
    private readonly TokenMask _masks;
    private readonly Language _start;

    private TokenGrammar(TokenVocabulary vocabulary, Automaton automaton, Language start, JsonLanguage json)
    {
        Vocabulary = vocabulary;
        _automaton = automaton;
        _start = start;
        _masks = new TokenMask(automaton, vocabulary, json);
    }

    /// <summary>The tokens.</summary>
    public TokenVocabulary Vocabulary { get; }

    /// <summary>The values of a JSON schema (2020-12 or draft 7) as text.</summary>
    /// <param name="vocabulary">The tokens.</param>
    /// <param name="schema">The schema.</param>
    /// <param name="options">How it is enforced.</param>
    /// <exception cref="FlintException">Caller: it is no schema, or says what cannot be enforced; the message names the keyword.</exception>
    public static TokenGrammar OfSchema(TokenVocabulary vocabulary, JsonElement schema, JsonSchemaOptions? options = null) =>
        Make(vocabulary, json => JsonSchema.Compile(json, schema, options?.IsAnyOrder == true));

    /// <summary>Any JSON object.</summary>
    public static TokenGrammar OfAnyObject(TokenVocabulary vocabulary) => Make(vocabulary, static json => json.Object);

    /// <summary>The texts of a grammar in llama.cpp's language, GBNF.</summary>
    /// <param name="vocabulary">The tokens.</param>
    /// <param name="grammar">The grammar; its first rule is <c>root</c>.</param>
    /// <exception cref="FlintException">Caller: it is no grammar, or a rule begins with itself.</exception>
    public static TokenGrammar OfGbnf(TokenVocabulary vocabulary, string grammar) => Make(vocabulary, json => Gbnf.Compile(json, grammar));

    /// <summary>Begins a text.</summary>
    public GrammarState Start() => new(this, _start);

    /// <summary>Whether a whole text is one of the grammar's.</summary>
    public bool Accepts(string text) => Accepts(Encoding.UTF8.GetBytes(text));

    /// <summary>Whether a whole text in UTF-8 is one of the grammar's.</summary>
    public bool Accepts(ReadOnlySpan<byte> text)
    {
        lock (_gate)
        {
            _automaton.Begin();
            Language state = _start;
            foreach (byte next in text)
            {
                state = _automaton.Step(state, next);
                if (state.Kind == LanguageKind.Nothing)
                    return false;
                _automaton.Begin();
            }

            return _automaton.IsNullable(state);
        }
    }

    /// <summary>Makes a grammar of what an expression is made of.</summary>
    internal static TokenGrammar Make(TokenVocabulary vocabulary, Func<JsonLanguage, Language> build)
    {
        var automaton = new Automaton();
        var json = new JsonLanguage(automaton);
        Language start = build(json);
        if (!automaton.Seal(start))
            throw FlintException.Caller("unsatisfiable_grammar", "The schema or grammar describes no text at all.");
        return new TokenGrammar(vocabulary, automaton, start, json);
    }

    /// <summary>What a state becomes with a token; null where that token may not come.</summary>
    internal Language? Read(Language state, int token, bool begins)
    {
        ReadOnlySpan<byte> piece = Vocabulary.Piece(token);
        if (piece.IsEmpty)
            return null;
        if (begins && Vocabulary.StripsSpace && piece[0] == ' ')
            piece = piece[1..];
        lock (_gate)
        {
            _automaton.Begin();
            return _automaton.Step(state, piece) is { Kind: not LanguageKind.Nothing } next ? next : null;
        }
    }

    /// <summary>The tokens that may come next.</summary>
    internal void CopyMask(Language state, bool begins, Span<ulong> into)
    {
        lock (_gate)
        {
            _automaton.Begin();
            ulong[] mask = begins && Vocabulary.StripsSpace ? _masks.AtStart(state) : _masks.Of(state);
            mask.CopyTo(into);
        }
    }

    /// <summary>Whether the text may end here, and whether it may go on.</summary>
    internal (bool CanEnd, bool CanGoOn) Look(Language state)
    {
        lock (_gate)
        {
            _automaton.Begin();
            return (_automaton.IsNullable(state), _automaton.CanGoOn(state));
        }
    }
}

/// <summary>Where a text stands in its grammar. One thread uses it at a time.</summary>
public sealed class GrammarState
{
    private readonly TokenGrammar _grammar;
    private Language _state;

    internal GrammarState(TokenGrammar grammar, Language state)
    {
        _grammar = grammar;
        _state = state;
        (CanEnd, CanGoOn) = grammar.Look(state);
    }

    /// <summary>Whether the text may end here.</summary>
    public bool CanEnd { get; private set; }

    /// <summary>Whether anything may follow.</summary>
    public bool CanGoOn { get; private set; }

    /// <summary>64-bit words of a mask.</summary>
    public int MaskWords => _grammar.Vocabulary.Words;

    /// <summary>Writes the tokens that may come next, bit t of word t / 64 for token t. Those that end a text are not among them.</summary>
    /// <param name="mask">Receives <see cref="MaskWords"/> words.</param>
    /// <param name="begins">Whether the next token begins a text, behind a control token.</param>
    /// <exception cref="FlintException">Caller: the grammar is too complex.</exception>
    public void CopyMask(Span<ulong> mask, bool begins = false) => _grammar.CopyMask(_state, begins, mask);

    /// <summary>Reads a token.</summary>
    /// <param name="token">The token.</param>
    /// <param name="begins">Whether it begins a text, behind a control token.</param>
    /// <returns>False where it may not come; then nothing has changed.</returns>
    /// <exception cref="FlintException">Caller: the grammar is too complex.</exception>
    public bool TryRead(int token, bool begins = false)
    {
        if (_grammar.Read(_state, token, begins) is not { } next)
            return false;
        _state = next;
        (CanEnd, CanGoOn) = _grammar.Look(next);
        return true;
    }
}
