using System.Runtime.CompilerServices;

namespace Flint.Grammar;

/// <summary>
/// Expressions over bytes and what each byte leads to: derivatives (Brzozowski 1964) of regular expressions with intersection and
/// complement, and of rules that hold themselves. A state that is reached twice is one object, so its transitions are found once; what
/// is nested is part of the state, as what follows.
/// </summary>
/// <remarks>Not safe for several threads. Rules that begin with themselves are the maker's to keep out.</remarks>
internal sealed class Automaton
{
    /// <summary>The most expressions that are kept; with more, those of states passed are forgotten.</summary>
    public const int MaxKept = 1 << 17;

    /// <summary>The most expressions that one operation may make.</summary>
    public const int MaxWork = 1 << 18;

    private const int MaxSearch = 1 << 15; // states looked through for one that ends

    private readonly HashSet<Language> _known = new(new Language.Comparer());
    private readonly List<Language> _all = [];
    private readonly List<GrammarRule> _rules = [];
    private readonly ByteClasses _classes = new();
    private int _permanent;
    private int _nextId;
    private int _work;
    private int _found; // the class of bytes that led to an end when one was looked for last
    private bool _derived; // transitions are kept that a finer division into classes would make wrong

    /// <summary>An automaton without expressions.</summary>
    public Automaton()
    {
        Nothing = Make(new Language(LanguageKind.Nothing) { IsLexical = true });
        Empty = Make(new Language(LanguageKind.Empty) { IsLexical = true });
        Anything = Make(new Language(LanguageKind.Not) { First = Nothing, IsLexical = true });
    }

    /// <summary>No text.</summary>
    public Language Nothing { get; }

    /// <summary>The empty text.</summary>
    public Language Empty { get; }

    /// <summary>Every text.</summary>
    public Language Anything { get; }

    /// <summary>Any one character, in each form that text is written in.</summary>
    public HashSet<Language> Characters { get; } = [];

    /// <summary>The class of each byte, by which <see cref="Language.Next"/> is indexed.</summary>
    public byte[] Classes => _classes.Map;

    /// <summary>A byte of a set.</summary>
    public Language Bytes(ByteSet set)
    {
        if (set.IsEmpty)
            return Nothing;
        if (_permanent == 0 && _classes.Add(set) && _derived)
        {
            _all.ForEach(e => e.Next = null);
            _derived = false;
        }

        return Make(new Language(LanguageKind.Bytes) { Set = set, IsLexical = true });
    }

    /// <summary>Bytes in a row.</summary>
    public Language Literal(ReadOnlySpan<byte> bytes)
    {
        Language result = Empty;
        for (int i = bytes.Length - 1; i >= 0; i--)
            result = Then(Bytes(ByteSet.Of(bytes[i])), result);
        return result;
    }

    /// <summary>Any of several texts, their common beginnings once.</summary>
    public Language Words(IEnumerable<byte[]> words)
    {
        byte[][] sorted = [.. words];
        Array.Sort(sorted, static (x, y) => x.AsSpan().SequenceCompareTo(y));
        return Words(sorted, 0);
    }

    /// <summary>One, then another.</summary>
    public Language Then(Language first, Language rest)
    {
        if (first.Kind == LanguageKind.Nothing || rest.Kind == LanguageKind.Nothing)
            return Nothing;
        if (first.Kind == LanguageKind.Empty)
            return rest;
        if (rest.Kind == LanguageKind.Empty)
            return first;
        if (first.Kind == LanguageKind.Then)
        {
            var heads = new List<Language>();
            for (; first.Kind == LanguageKind.Then; first = first.Rest!)
                heads.Add(first.First!);
            rest = Then(first, rest);
            for (int i = heads.Count - 1; i >= 0; i--)
                rest = Then(heads[i], rest);
            return rest;
        }

        return Make(new Language(LanguageKind.Then) { First = first, Rest = rest, IsLexical = first.IsLexical && rest.IsLexical });
    }

    /// <summary>Several, one behind the other.</summary>
    public Language Then(params ReadOnlySpan<Language> parts)
    {
        Language result = Empty;
        for (int i = parts.Length - 1; i >= 0; i--)
            result = Then(parts[i], result);
        return result;
    }

    /// <summary>Any of several.</summary>
    public Language Either(params ReadOnlySpan<Language> parts)
    {
        if (parts.Length == 2 && ReferenceEquals(parts[0], parts[1]))
            return parts[0];
        var flat = new List<Language>(parts.Length);
        ByteSet bytes = default;
        foreach (Language part in parts)
            Flatten(part, LanguageKind.Either, flat, ref bytes);
        if (flat.Contains(Anything))
            return Anything;
        if (!bytes.IsEmpty)
            flat.Add(Bytes(bytes));
        Join(flat);
        return Combine(LanguageKind.Either, flat, Nothing);
    }

    /// <summary>All of several at once; lexical ones only.</summary>
    public Language Both(params ReadOnlySpan<Language> parts)
    {
        var flat = new List<Language>(parts.Length);
        ByteSet unused = default;
        foreach (Language part in parts)
            Flatten(part, LanguageKind.Both, flat, ref unused);
        if (flat.Exists(part => part.Kind == LanguageKind.Nothing))
            return Nothing;
        if (flat.Contains(Empty))
            return flat.TrueForAll(IsNullable) ? Empty : Nothing;
        if (flat.FindAll(part => part.Kind == LanguageKind.Bytes) is { Count: > 1 } sets)
        {
            ByteSet common = sets.Aggregate(ByteSet.All, (all, one) => all & one.Set);
            flat.RemoveAll(part => part.Kind == LanguageKind.Bytes);
            flat.Add(Bytes(common));
            if (common.IsEmpty)
                return Nothing;
        }

        return Combine(LanguageKind.Both, flat, Anything);
    }

    /// <summary>Every text that another is not; of a lexical one only.</summary>
    public Language Not(Language other) =>
        other.Kind == LanguageKind.Not ? other.First! : Make(new Language(LanguageKind.Not) { First = other, IsLexical = true });

    /// <summary>An expression so many times.</summary>
    public Language Repeat(Language body, int min = 0, int max = Language.Unlimited)
    {
        if (max == 0 || body.Kind == LanguageKind.Empty)
            return Empty;
        if (body.Kind == LanguageKind.Nothing)
            return min == 0 ? Empty : Nothing;
        if (min == 1 && max == 1)
            return body;
        if (body is { Kind: LanguageKind.Repeat, Min: 0, Max: Language.Unlimited })
            return body;
        return Make(new Language(LanguageKind.Repeat) { First = body, Min = min, Max = max, IsLexical = body.IsLexical });
    }

    /// <summary>An expression or the empty text.</summary>
    public Language Optional(Language body) => Either(body, Empty);

    /// <summary>Decimal numbers that are multiples of <paramref name="divisor"/> / 10^<paramref name="digits"/>.</summary>
    public Language Multiple(long divisor, int digits) => Multiple(divisor, 0, digits, isBehindPoint: false);

    /// <summary>A rule, whose body is asked for when it is needed.</summary>
    public Language Rule(Func<Language> build)
    {
        var rule = new GrammarRule(build);
        _rules.Add(rule);
        return rule.Use = Make(new Language(LanguageKind.Rule) { Tag = rule });
    }

    /// <summary>What may follow of some of an object's names.</summary>
    public Language Names(ObjectState state, int from, int to, int read) =>
        Make(new Language(LanguageKind.Names) { Tag = state, Min = from, Max = to, Size = read });

    /// <summary>
    /// Ends the making: builds all rules, and finds those that no text ever ends, which are then passed over.
    /// </summary>
    /// <returns>Whether the root has a text.</returns>
    public bool Seal(Language root)
    {
        for (int i = 0; i < _rules.Count; i++)
            _ = _rules[i].Body; // which may make more rules
        foreach (GrammarRule rule in _rules)
            rule.IsProductive = false;
        for (bool changed = true; changed;)
        {
            changed = false;
            foreach (GrammarRule rule in _rules.Where(rule => !rule.IsProductive))
                changed |= rule.IsProductive = IsProductive(rule.Body);
        }

        foreach (Language one in _all)
        {
            if (one.IsLexical)
                continue;
            one.Alive = Language.Answer.Unknown;
            one.Next = null;
        }

        Forget(0);
        _permanent = _all.Count;
        return IsAlive(root);
    }

    /// <summary>Begins an operation: forgets states where there are too many of them, and counts the work anew.</summary>
    public void Begin()
    {
        _work = 0;
        if (_all.Count - _permanent > MaxKept && _permanent > 0)
            Forget(_permanent);
    }

    /// <summary>What a state becomes with a byte; <see cref="Nothing"/> where that byte may not come.</summary>
    public Language Step(Language state, byte next)
    {
        Language result = Derive(state, next);
        return result.Alive == Language.Answer.Yes || IsAlive(result) ? result : Nothing;
    }

    /// <summary>What a state becomes with bytes.</summary>
    public Language Step(Language state, ReadOnlySpan<byte> bytes)
    {
        foreach (byte next in bytes)
        {
            state = Step(state, next);
            if (state.Kind == LanguageKind.Nothing)
                break;
        }

        return state;
    }

    /// <summary>Whether a whole text is one of an expression's.</summary>
    public bool Accepts(Language expression, ReadOnlySpan<byte> text) => IsNullable(Step(expression, text));

    /// <summary>Whether anything may follow a state.</summary>
    public bool CanGoOn(Language state)
    {
        foreach (byte sample in _classes.Samples)
        {
            if (Step(state, sample).Kind != LanguageKind.Nothing)
                return true;
        }

        return false;
    }

    /// <summary>For how many of the classes of bytes a state goes on.</summary>
    public int Breadth(Language state)
    {
        int count = 0;
        for (int b = 0x20; b < 0x7F; b++)
            count += Step(state, (byte)b).Kind != LanguageKind.Nothing ? 1 : 0;
        return count;
    }

    /// <summary>Whether the empty text is among an expression's.</summary>
    public bool IsNullable(Language e)
    {
        if (e.Nullable == Language.Answer.Unknown)
        {
            e.Nullable = Language.Answer.Pending; // a rule that holds itself at its beginning has no shorter text by that
            e.Nullable = FindNullable(e) ? Language.Answer.Yes : Language.Answer.No;
        }

        return e.Nullable == Language.Answer.Yes;
    }

    /// <summary>Whether an expression has any text.</summary>
    public bool IsAlive(Language e)
    {
        if (e.Alive is Language.Answer.Unknown)
        {
            Guard();
            bool alive = e.Kind switch
            {
                LanguageKind.Nothing => false,
                LanguageKind.Then => IsAlive(e.First!) && IsAlive(e.Rest!),
                LanguageKind.Either => Array.Exists(e.Parts, IsAlive),
                LanguageKind.Repeat => e.Min == 0 || IsAlive(e.First!),
                LanguageKind.Both => Relaxation.IsRoomy(this, e) || Search(e),
                LanguageKind.Not or LanguageKind.Multiple => Search(e),
                LanguageKind.Rule => ((GrammarRule)e.Tag!).IsProductive,
                _ => true,
            };
            e.Alive = alive ? Language.Answer.Yes : Language.Answer.No;
        }

        return e.Alive == Language.Answer.Yes;
    }

    /// <summary>The fault of a grammar that takes more than this machine is to give it.</summary>
    public static FlintException TooComplex() => FlintException.Caller("grammar_too_complex", $"The grammar is too complex: one of its states needs more than {MaxWork} others.");

    private static void Flatten(Language part, LanguageKind kind, List<Language> into, ref ByteSet bytes)
    {
        if (part.Kind == kind)
        {
            foreach (Language inner in part.Parts)
                Flatten(inner, kind, into, ref bytes);
        }
        else if (kind == LanguageKind.Either && part.Kind == LanguageKind.Bytes)
        {
            bytes |= part.Set;
        }
        else
        {
            into.Add(part);
        }
    }

    // Alternatives that are followed by the same are one, so that states that mean the same meet.
    private void Join(List<Language> parts)
    {
        if (parts.Count < 2)
            return;
        for (int i = 0; i < parts.Count; i++)
        {
            if (parts[i] is not { Kind: LanguageKind.Then, First.IsLexical: true } one)
                continue;
            List<Language>? heads = null;
            for (int k = parts.Count - 1; k > i; k--)
            {
                if (parts[k] is { Kind: LanguageKind.Then, First.IsLexical: true } other && ReferenceEquals(other.Rest, one.Rest))
                {
                    (heads ??= [one.First!]).Add(other.First!);
                    parts.RemoveAt(k);
                }
            }

            if (heads is not null)
                parts[i] = Then(Either([.. heads]), one.Rest!);
        }
    }

    private Language Combine(LanguageKind kind, List<Language> parts, Language neutral)
    {
        parts.RemoveAll(part => ReferenceEquals(part, neutral));
        parts.Sort(static (x, y) => x.Id.CompareTo(y.Id));
        int kept = 0;
        for (int i = 0; i < parts.Count; i++)
        {
            if (kept == 0 || !ReferenceEquals(parts[i], parts[kept - 1]))
                parts[kept++] = parts[i];
        }

        parts.RemoveRange(kept, parts.Count - kept);
        if (parts.Count <= 1)
            return parts.Count == 0 ? neutral : parts[0];
        return Make(new Language(kind) { Parts = [.. parts], IsLexical = parts.TrueForAll(part => part.IsLexical) });
    }

    private Language Words(ReadOnlySpan<byte[]> sorted, int depth)
    {
        Guard();
        var parts = new List<Language>();
        for (int i = 0; i < sorted.Length;)
        {
            if (sorted[i].Length == depth)
            {
                parts.Add(Empty);
                i++;
                continue;
            }

            int end = i + 1;
            while (end < sorted.Length && sorted[end].Length > depth && sorted[end][depth] == sorted[i][depth])
                end++;
            parts.Add(end == i + 1 ? Literal(sorted[i].AsSpan(depth)) : Then(Bytes(ByteSet.Of(sorted[i][depth])), Words(sorted[i..end], depth + 1)));
            i = end;
        }

        return Either([.. parts]);
    }

    private Language Multiple(long divisor, long remainder, int digits, bool isBehindPoint) =>
        Make(new Language(LanguageKind.Multiple) { Size = divisor, Remainder = remainder, Min = digits, Max = isBehindPoint ? 1 : 0, IsLexical = true });

    private Language Make(Language made)
    {
        if (_known.TryGetValue(made, out Language? known))
            return known;
        if (++_work > MaxWork)
            throw TooComplex();
        made.Id = _nextId++;
        Foresee(made);
        _known.Add(made);
        _all.Add(made);
        return made;
    }

    // What is known of the parts tells most of the whole, so that long texts need no deep recursion.
    private static void Foresee(Language made)
    {
        switch (made.Kind)
        {
            case LanguageKind.Nothing:
                (made.Nullable, made.Alive) = (Language.Answer.No, Language.Answer.No);
                break;
            case LanguageKind.Empty:
                (made.Nullable, made.Alive) = (Language.Answer.Yes, Language.Answer.Yes);
                break;
            case LanguageKind.Bytes:
                (made.Nullable, made.Alive) = (Language.Answer.No, Language.Answer.Yes);
                break;
            case LanguageKind.Then:
                if (made.First!.Nullable == Language.Answer.No || made.Rest!.Nullable == Language.Answer.No)
                    made.Nullable = Language.Answer.No;
                if (made.First.Alive == Language.Answer.Yes && made.Rest!.Alive == Language.Answer.Yes)
                    made.Alive = Language.Answer.Yes;
                break;
            case LanguageKind.Repeat when made.Min == 0:
                (made.Nullable, made.Alive) = (Language.Answer.Yes, Language.Answer.Yes);
                break;
        }
    }

    /// <summary>Keeps recursion from going deeper than the thread's stack.</summary>
    public static void Guard()
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw TooComplex();
    }

    // From a place on, expressions are given up, and with them all that points at them; who holds one can go on with it.
    private void Forget(int from)
    {
        foreach (Language one in _all)
        {
            one.Next = null;
            one.Mask = null;
            one.Inner = null;
        }

        if (from == 0)
            return;
        for (int i = from; i < _all.Count; i++)
        {
            _known.Remove(_all[i]);
            (_all[i].Tag as ObjectState)?.Shape.Forget();
        }

        _all.RemoveRange(from, _all.Count - from);
    }

    /// <summary>What a state becomes with a byte, also where nothing can follow it.</summary>
    internal Language Derive(Language e, byte next)
    {
        int index = _classes.Of(next);
        if (e.Next is { } known && known[index] is { } found)
            return found;
        if (++_work > MaxWork)
            throw TooComplex();
        Language result = FindDerivative(e, next);
        _derived = true;
        return (e.Next ??= new Language?[_classes.Samples.Length])[index] = result;
    }

    private Language FindDerivative(Language e, byte next)
    {
        Guard();
        switch (e.Kind)
        {
            case LanguageKind.Bytes:
                return e.Set.Has(next) ? Empty : Nothing;
            case LanguageKind.Then:
                Language after = Then(Derive(e.First!, next), e.Rest!);
                return IsNullable(e.First!) ? Either(after, Derive(e.Rest!, next)) : after;
            case LanguageKind.Either or LanguageKind.Both:
                var parts = new Language[e.Parts.Length];
                for (int i = 0; i < parts.Length; i++)
                    parts[i] = Derive(e.Parts[i], next);
                return e.Kind == LanguageKind.Either ? Either(parts) : Both(parts);
            case LanguageKind.Not:
                return Not(Derive(e.First!, next));
            case LanguageKind.Repeat:
                int max = e.Max == Language.Unlimited ? e.Max : e.Max - 1;
                return Then(Derive(e.First!, next), Repeat(e.First!, Math.Max(0, e.Min - 1), max));
            case LanguageKind.Multiple:
                return FindMultiple(e, next);
            case LanguageKind.Rule:
                var rule = (GrammarRule)e.Tag!;
                return rule.IsProductive ? Derive(rule.Body, next) : Nothing;
            case LanguageKind.Names:
                return ((ObjectState)e.Tag!).Read(e, next);
            default:
                return Nothing;
        }
    }

    private Language FindMultiple(Language e, byte next)
    {
        if (next == '-')
            return e;
        if (next == '.')
            return e.Max == 0 ? Multiple(e.Size, e.Remainder, e.Min, isBehindPoint: true) : Nothing;
        if (next is < (byte)'0' or > (byte)'9')
            return Nothing;
        if (e.Max == 1 && e.Min == 0)
            return next == '0' ? e : Nothing;
        long remainder = (long)(((Int128)e.Remainder * 10 + (next - '0')) % e.Size);
        return Multiple(e.Size, remainder, e.Min - e.Max, e.Max == 1);
    }

    private bool FindNullable(Language e)
    {
        Guard();
        return e.Kind switch
        {
            LanguageKind.Empty => true,
            LanguageKind.Then => IsNullable(e.First!) && IsNullable(e.Rest!),
            LanguageKind.Either => Array.Exists(e.Parts, IsNullable),
            LanguageKind.Both => Array.TrueForAll(e.Parts, IsNullable),
            LanguageKind.Not => !IsNullable(e.First!),
            LanguageKind.Repeat => e.Min == 0 || IsNullable(e.First!),
            LanguageKind.Multiple => (Int128)e.Remainder * (Int128)Math.Pow(10, e.Min) % e.Size == 0,
            LanguageKind.Rule => IsNullable(((GrammarRule)e.Tag!).Body),
            _ => false,
        };
    }

    private bool IsProductive(Language e)
    {
        if (e.IsLexical)
            return IsAlive(e);
        Guard();
        return e.Kind switch
        {
            LanguageKind.Then => IsProductive(e.First!) && IsProductive(e.Rest!),
            LanguageKind.Either => Array.Exists(e.Parts, IsProductive),
            LanguageKind.Repeat => e.Min == 0 || IsProductive(e.First!),
            LanguageKind.Rule => ((GrammarRule)e.Tag!).IsProductive,
            LanguageKind.Names => ((ObjectState)e.Tag!).Shape.CanEnd(IsProductive),
            _ => IsAlive(e),
        };
    }

    /// <summary>Looks through what can follow for a state that may end. All states on the way to one have texts too.</summary>
    private bool Search(Language start)
    {
        if (IsNullable(start))
            return true;
        byte[] samples = _classes.Samples;
        int first = _found < samples.Length ? _found : 0; // mostly what led to an end before leads to one again
        var from = new Dictionary<Language, Language?> { [start] = null };
        var open = new Stack<(Language State, int Tried)>();
        open.Push((start, 0));
        while (open.TryPop(out (Language State, int Tried) at))
        {
            if (at.Tried == samples.Length)
                continue;
            open.Push((at.State, at.Tried + 1));
            int index = (first + at.Tried) % samples.Length;
            Language next = Derive(at.State, samples[index]);
            if (next.Alive == Language.Answer.No)
                continue;
            if (next.Alive == Language.Answer.Yes || IsNullable(next))
            {
                next.Alive = Language.Answer.Yes;
                for (Language? one = at.State; one is not null; one = from[one])
                    one.Alive = Language.Answer.Yes;
                _found = index;
                return true;
            }

            if (from.Count > MaxSearch)
                throw TooComplex();
            if (from.TryAdd(next, at.State))
                open.Push((next, 0));
        }

        foreach (Language one in from.Keys)
            one.Alive = Language.Answer.No;
        return false;
    }
}
