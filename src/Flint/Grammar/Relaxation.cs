namespace Flint.Grammar;

/// <summary>
/// Lexical expressions without their far limits. As long as few bytes are read, a text of at most 5,000 characters goes on as one of any
/// length does; so states that differ only in what is left of a limit have one mask between them.
/// </summary>
/// <param name="automaton">The expressions.</param>
internal sealed class Relaxation(Automaton automaton)
{
    private const int MaxNodes = 4096; // looked at for one answer
    private const long Unknown = 1L << 40;

    private int _nodes;

    /// <summary>An expression without the limits that no text of a few bytes meets.</summary>
    /// <param name="e">The expression.</param>
    /// <param name="least">The fewest bytes that are worth it.</param>
    /// <param name="most">The most bytes that are asked for.</param>
    /// <returns>The expression, and up to how many bytes both go on, end and go no further at the same; itself where it has no far limit.</returns>
    public (Language Relaxed, int Bytes) Of(Language e, int least, int most)
    {
        _nodes = 0;
        long near = Unknown;
        Find(e, least, ref near);
        if (near == Unknown || _nodes > MaxNodes)
            return (e, int.MaxValue);
        // So that neighbouring states have one number.
        int bytes = least;
        while (2L * bytes <= Math.Min(near, most))
            bytes *= 2;
        return (Make(e, least, bytes), bytes);
    }

    /// <summary>Whether an intersection is of a pattern and a limit of characters that leaves room for it, so that it has a text for sure.</summary>
    public static bool IsRoomy(Automaton automaton, Language both)
    {
        int nodes = 0;
        return Length(automaton, both, out Language text) is { Min: 0 } length && Reach(text, ref nodes).Shortest <= length.Max;
    }

    // The nearest of the far limits.
    private void Find(Language e, int least, ref long near)
    {
        if (++_nodes > MaxNodes)
            return;
        switch (e.Kind)
        {
            case LanguageKind.Then:
                for (; e.Kind == LanguageKind.Then; e = e.Rest!)
                    Find(e.First!, least, ref near);
                Find(e, least, ref near);
                break;
            case LanguageKind.Either:
                foreach (Language part in e.Parts)
                    Find(part, least, ref near);
                break;
            case LanguageKind.Repeat:
                if (IsFar(e, least, out long limit))
                    near = Math.Min(near, limit);
                Find(e.First!, least, ref near);
                break;
            case LanguageKind.Both when Length(automaton, e, out Language text) is { } length:
                if (Room(length, text) is var room && room >= least)
                {
                    near = Math.Min(near, room);
                    Find(text, least, ref near);
                }

                break;
        }
    }

    private Language Make(Language e, int least, int bytes)
    {
        switch (e.Kind)
        {
            case LanguageKind.Then:
                var heads = new List<Language>();
                Language tail = e;
                for (; tail.Kind == LanguageKind.Then; tail = tail.Rest!)
                    heads.Add(Make(tail.First!, least, bytes));
                return automaton.Then([.. heads, Make(tail, least, bytes)]);
            case LanguageKind.Either:
                return automaton.Either([.. e.Parts.Select(part => Make(part, least, bytes))]);
            case LanguageKind.Repeat:
                Language body = Make(e.First!, least, bytes);
                return IsFar(e, least, out _) ? automaton.Repeat(body, Math.Min(e.Min, bytes + 1)) : automaton.Repeat(body, e.Min, e.Max);
            case LanguageKind.Both when Length(automaton, e, out Language text) is { } length && Room(length, text) >= least:
                Language relaxed = Make(text, least, bytes);
                return length.Min == 0 ? relaxed : automaton.Both(relaxed, automaton.Repeat(length.First!, length.Min));
            default:
                return e;
        }
    }

    private static bool IsFar(Language repeat, int least, out long limit)
    {
        limit = Math.Min(repeat.Max == Language.Unlimited ? Unknown : repeat.Max, repeat.Min > least ? repeat.Min - 1 : Unknown);
        return limit != Unknown && limit >= least;
    }

    // Of a text of a pattern that has a limit of characters, the limit and the pattern. Patterns have no characters but those of their form.
    private static Language? Length(Automaton automaton, Language both, out Language text)
    {
        text = both;
        if (both.Parts.Length != 2)
            return null;
        int at = Array.FindIndex(both.Parts, part => part is { Kind: LanguageKind.Repeat, Max: not Language.Unlimited } && automaton.Characters.Contains(part.First!));
        if (at < 0)
            return null;
        text = both.Parts[1 - at];
        return both.Parts[at];
    }

    // However a text of the pattern goes on, it can end this soon; so with more room than that the limit rules nothing out.
    private static long Room(Language length, Language text)
    {
        int nodes = 0;
        return length.Max - (long)length.Min - Reach(text, ref nodes).Longest;
    }

    /// <summary>The bytes of the shortest text, and the most that the shortest end takes from wherever a text may stand.</summary>
    private static (long Shortest, long Longest) Reach(Language e, ref int nodes)
    {
        if (++nodes > MaxNodes)
            return (Unknown, Unknown);
        switch (e.Kind)
        {
            case LanguageKind.Empty:
                return (0, 0);
            case LanguageKind.Bytes:
                return (1, 1);
            case LanguageKind.Then:
                var heads = new Stack<Language>();
                for (; e.Kind == LanguageKind.Then; e = e.Rest!)
                    heads.Push(e.First!);
                (long Shortest, long Longest) all = Reach(e, ref nodes);
                while (heads.TryPop(out Language? head))
                {
                    (long Shortest, long Longest) first = Reach(head, ref nodes);
                    all = (Least(first.Shortest + all.Shortest), Least(Math.Max(first.Longest + all.Shortest, all.Longest)));
                }

                return all;
            case LanguageKind.Either:
                (long Shortest, long Longest) any = (Unknown, 0);
                foreach (Language part in e.Parts)
                {
                    (long Shortest, long Longest) one = Reach(part, ref nodes);
                    any = (Math.Min(any.Shortest, one.Shortest), Math.Max(any.Longest, one.Longest));
                }

                return any;
            case LanguageKind.Repeat:
                (long Shortest, long Longest) body = Reach(e.First!, ref nodes);
                long shortest = Least(body.Shortest * e.Min);
                return (shortest, Least(body.Longest + shortest));
            default:
                return (Unknown, Unknown);
        }
    }

    private static long Least(long value) => Math.Min(value, Unknown);
}
