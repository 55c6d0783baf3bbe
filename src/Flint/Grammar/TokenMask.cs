namespace Flint.Grammar;

/// <summary>What the tokens of a vocabulary do inside one lexical expression, whatever follows it.</summary>
/// <param name="Allowed">Tokens that end inside it or exactly with it.</param>
/// <param name="Exits">Nodes at which it may end and that have children: there what follows goes on.</param>
internal sealed record InnerMask(ulong[] Allowed, int[] Exits);

/// <summary>
/// Finds the tokens that may come next: walks the tree of the vocabulary along the states of an automaton. The insides of long texts
/// are walked once for each state of theirs, and not again for all that may follow.
/// </summary>
/// <param name="automaton">The states.</param>
/// <param name="vocabulary">The tokens.</param>
/// <param name="json">The parts of JSON, of which free strings are the same in all grammars of a vocabulary.</param>
internal sealed class TokenMask(Automaton automaton, TokenVocabulary vocabulary, JsonLanguage json)
{
    private const int MaxMasks = 256; // kept of each kind; 16 KiB each for 128,000 tokens
    private const int ManyBytes = 12; // a state that takes so many of the printable bytes is inside a text
    private const int ManyNodes = 1; // below a node, for which it is worth asking whether all of them are passed

    private readonly Relaxation _relaxation = new(automaton);
    private readonly ulong[] _limited = new ulong[vocabulary.Words];
    private readonly Language[] _path = new Language[257]; // the states along the way down, from the state before the first byte
    private readonly List<Language> _masked = [];
    private readonly List<Language> _inner = [];
    private readonly List<int> _exits = [];

    /// <summary>The tokens that may come next, a bit each. It is the automaton's to keep: not to be changed, nor used after the next call.</summary>
    public ulong[] Of(Language state)
    {
        if (state.Mask is { } known)
            return known;
        ulong[] mask = new ulong[vocabulary.Words];
        foreach (Language part in state.Kind == LanguageKind.Either ? state.Parts : [state])
        {
            if (automaton.IsAlive(part)) // what follows a text may be nothing, though another alternative goes on
                Add(part, mask);
        }

        Keep(_masked, state, static one => one.Mask = null);
        return state.Mask = mask;
    }

    /// <summary>The same where the next token begins a text, of which a leading space is not printed.</summary>
    public ulong[] AtStart(Language state)
    {
        ulong[] mask = new ulong[vocabulary.Words];
        for (int node = 0; node < vocabulary.Bytes.Length; node = vocabulary.Ends[node])
        {
            if (vocabulary.Bytes[node] != ' ')
            {
                Walk(state, node, vocabulary.Ends[node], mask);
                continue;
            }

            Walk(state, node + 1, vocabulary.Ends[node], mask);
        }

        return mask;
    }

    private void Add(Language part, ulong[] mask)
    {
        (Language head, Language rest) = Split(part);
        if (!head.IsLexical || automaton.Breadth(head) < ManyBytes)
        {
            Walk(part, 0, vocabulary.Bytes.Length, mask);
            return;
        }

        (Language relaxed, int bytes) = _relaxation.Of(head, vocabulary.UsualBytes, vocabulary.MostBytes);
        InnerMask inner = InnerOf(relaxed);
        AddInner(part, inner, vocabulary.LongerThan(bytes), mask);
        foreach (int exit in inner.Exits)
        {
            if (vocabulary.Depths[exit] < bytes)
                Walk(rest, exit + 1, vocabulary.Ends[exit], mask);
        }

        if (automaton.IsNullable(head))
            Walk(rest, 0, vocabulary.Bytes.Length, mask);
    }

    // Tokens that are so long that they may meet a limit are read one by one.
    private void AddInner(Language part, InnerMask inner, ReadOnlySpan<int> longer, ulong[] mask)
    {
        if (longer.IsEmpty)
        {
            for (int i = 0; i < mask.Length; i++)
                mask[i] |= inner.Allowed[i];
            return;
        }

        inner.Allowed.CopyTo(_limited, 0);
        foreach (int token in longer)
            _limited[token >> 6] &= ~(1UL << token);
        for (int i = 0; i < mask.Length; i++)
            mask[i] |= _limited[i];
        foreach (int token in longer)
        {
            if (automaton.Step(part, vocabulary.Piece(token)).Kind != LanguageKind.Nothing)
                mask[token >> 6] |= 1UL << token;
        }
    }

    /// <summary>A state's beginning, with as much of what follows as makes its end be seen, as the quotation mark of a string; and all the rest.</summary>
    private (Language Head, Language Tail) Split(Language part)
    {
        if (part.Kind != LanguageKind.Then)
            return (part, automaton.Empty);
        (Language head, Language rest) = (part.First!, part.Rest!);
        while (head.IsLexical && rest.Kind != LanguageKind.Empty && automaton.IsNullable(head))
        {
            bool isWhole = rest.Kind != LanguageKind.Then;
            Language next = isWhole ? rest : rest.First!;
            if (!next.IsLexical)
                break;
            (head, rest) = (automaton.Then(head, next), isWhole ? automaton.Empty : rest.Rest!);
        }

        return (head, rest);
    }

    private InnerMask InnerOf(Language head)
    {
        if (head.Inner is { } known)
            return known;
        if (head is { Kind: LanguageKind.Then, First: { Kind: LanguageKind.Repeat } text } && ReferenceEquals(head.Rest, json.Quote))
        {
            bool isFree = ReferenceEquals(text.First, json.FreeCharacter);
            if (isFree || ReferenceEquals(text.First, json.Inner.AnyCharacter))
                return head.Inner = FreeText(head, text, isFree);
        }

        return Listed(head) is { } words ? MakeOthers(head, words) : MakeInner(head);
    }

    // Of any text but a few, with the mark that ends it, these few.
    private Language? Listed(Language head)
    {
        if (head is not { Kind: LanguageKind.Then, First: { Kind: LanguageKind.Both, Parts.Length: 2 } both } || !ReferenceEquals(head.Rest, json.Quote))
            return null;
        int any = Array.IndexOf(both.Parts, json.Inner.AnyText);
        return any >= 0 && both.Parts[1 - any] is { Kind: LanguageKind.Not, First: { } words } && IsFinite(words) ? words : null;
    }

    private static bool IsFinite(Language e)
    {
        Automaton.Guard();
        for (; e.Kind == LanguageKind.Then; e = e.Rest!)
        {
            if (!IsFinite(e.First!))
                return false;
        }

        return e.Kind is LanguageKind.Bytes or LanguageKind.Empty || (e.Kind == LanguageKind.Either && Array.TrueForAll(e.Parts, IsFinite));
    }

    /// <summary>What tokens do in any text but a few: what they do in any text, but where they end one of the few. Inside of one, any text can still become another.</summary>
    private InnerMask MakeOthers(Language head, Language words)
    {
        InnerMask any = InnerOf(automaton.Then(json.Inner.AnyText, json.Quote));
        ulong[] allowed = [.. any.Allowed];
        var exits = new HashSet<int>(any.Exits);
        byte[] bytes = vocabulary.Bytes, depths = vocabulary.Depths;
        _path[0] = automaton.Then(words, json.Quote);
        for (int node = 0; node < bytes.Length;)
        {
            Language next = automaton.Step(_path[depths[node]], bytes[node]);
            bool ends = next.Kind != LanguageKind.Nothing && automaton.IsNullable(next);
            if (ends)
            {
                exits.Remove(node);
                for (int token = vocabulary.Tokens[node]; token >= 0; token = vocabulary.Same[token])
                    allowed[token >> 6] &= ~(1UL << token);
            }

            _path[depths[node] + 1] = next;
            node = next.Kind == LanguageKind.Nothing || ends ? vocabulary.Ends[node] : node + 1;
        }

        Keep(_inner, head, static one => one.Inner = null);
        return head.Inner = new InnerMask(allowed, [.. exits.Order()]);
    }

    private InnerMask FreeText(Language head, Language text, bool isFree) => vocabulary.FreeText(isFree, text.Min, text.Max, () => MakeInner(head));

    private InnerMask MakeInner(Language head)
    {
        ulong[] allowed = new ulong[vocabulary.Words];
        _exits.Clear();
        Walk(head, 0, vocabulary.Bytes.Length, allowed, _exits);
        Keep(_inner, head, static one => one.Inner = null);
        return head.Inner = new InnerMask(allowed, [.. _exits]);
    }

    // Where there are too many masks, all are given up: a grammar that goes on needs few of them.
    private static void Keep(List<Language> kept, Language state, Action<Language> forget)
    {
        if (kept.Count >= MaxMasks)
        {
            kept.ForEach(forget);
            kept.Clear();
        }

        kept.Add(state);
    }

    /// <summary>Walks the nodes of a range, all of them below one node or the root, from a state.</summary>
    private void Walk(Language state, int from, int to, ulong[] mask, List<int>? exits = null)
    {
        if (from >= to)
            return;
        byte[] bytes = vocabulary.Bytes, depths = vocabulary.Depths, classes = automaton.Classes;
        ulong[] below = vocabulary.Below;
        int[] ends = vocabulary.Ends, tokens = vocabulary.Tokens;
        int above = depths[from];
        _path[0] = state;
        for (int node = from; node < to;)
        {
            int depth = depths[node] - above;
            Language before = _path[depth];
            Language? next = before.Next?[classes[bytes[node]]]; // mostly it is known
            if (next is null || next.Alive is not (Language.Answer.Yes or Language.Answer.No))
                next = automaton.Step(before, bytes[node]);
            if (next.Alive == Language.Answer.No)
            {
                node = ends[node];
                continue;
            }

            if (ends[node] - node > ManyNodes && (ReferenceEquals(next, before) || next.Loops is > 0) && (below[node] & ~Loops.Of(automaton, next)) == 0
                && (exits is null || !automaton.IsNullable(next)))
            {
                foreach (int token in vocabulary.Through(node)) // all of them lead back here
                    mask[token >> 6] |= 1UL << token;
                node = ends[node];
                continue;
            }

            for (int token = tokens[node]; token >= 0; token = vocabulary.Same[token])
                mask[token >> 6] |= 1UL << token;
            if (exits is not null && ends[node] > node + 1 && automaton.IsNullable(next))
                exits.Add(node);
            _path[depth + 1] = next;
            node++;
        }
    }
}
