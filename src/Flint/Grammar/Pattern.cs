namespace Flint.Grammar;

/// <summary>Regular expressions as expressions over bytes.</summary>
/// <remarks>
/// A node is made with what follows it, from the last to the first; so an assertion about what comes next is an intersection with
/// what follows, and the end of the text is the empty text there.
/// </remarks>
internal static class Pattern
{
    private const string RepeatedAssertion = "an assertion is repeated";
    private const string InnerStart = "its '^' stands behind what may be text";

    /// <summary>The texts in which a regular expression finds a match.</summary>
    /// <exception cref="FlintException">Caller: it is none, or not one that can be enforced.</exception>
    public static Language Search(Automaton automaton, TextForm form, string pattern)
    {
        PatternNode node = PatternReader.Read(pattern);
        Language atStart = Make(new Maker(automaton, form, pattern), node, form.AnyText, isStart: true);
        if (!HasStart(node))
            return automaton.Then(form.AnyText, atStart);
        Language later = Make(new Maker(automaton, form, pattern), node, form.AnyText, isStart: false);
        return automaton.Either(atStart, automaton.Then(form.AnyCharacter, form.AnyText, later));
    }

    private readonly record struct Maker(Automaton Automaton, TextForm Form, string Text)
    {
        public FlintException Fault(string reason) => FlintException.Caller("unsupported_pattern", $"The pattern '{Text}' cannot be enforced: {reason}.");
    }

    private static Language Make(in Maker maker, PatternNode node, Language rest, bool isStart)
    {
        Automaton automaton = maker.Automaton;
        switch (node)
        {
            case PatternNode.Characters characters:
                return automaton.Then(maker.Form.Of(characters.Set), rest);
            case PatternNode.Choice choice:
                var parts = new Language[choice.Parts.Count];
                for (int i = 0; i < parts.Length; i++)
                    parts[i] = Make(maker, choice.Parts[i], rest, isStart);
                return automaton.Either(parts);
            case PatternNode.Sequence sequence:
                return MakeSequence(maker, sequence, rest, isStart);
            case PatternNode.Loop loop:
                if (!HasAssertion(loop.Body))
                    return automaton.Then(automaton.Repeat(Make(maker, loop.Body, automaton.Empty, isStart: false), loop.Min, loop.Max), rest);
                if (loop is { Min: 0, Max: 1 })
                    return automaton.Either(Make(maker, loop.Body, rest, isStart), rest);
                throw maker.Fault(RepeatedAssertion);
            case PatternNode.Start:
                return isStart ? rest : automaton.Nothing;
            case PatternNode.End:
                return automaton.IsNullable(rest) ? automaton.Empty : automaton.Nothing;
            default:
                var look = (PatternNode.Look)node;
                Language next = Make(maker, look.Body, maker.Form.AnyText, isStart);
                return automaton.Both(look.IsNegative ? automaton.Not(next) : next, rest);
        }
    }

    private static Language MakeSequence(in Maker maker, PatternNode.Sequence sequence, Language rest, bool isStart)
    {
        int still = 0; // parts at the beginning that read no text
        while (still < sequence.Parts.Count && IsStill(sequence.Parts[still]))
            still++;
        // A part behind what may be empty is at the start or not, as it happens.
        for (int i = still + 1; i < sequence.Parts.Count; i++)
        {
            if (isStart && HasStart(sequence.Parts[i]) && MayBeEmpty(sequence, still, i))
                throw maker.Fault(InnerStart);
        }

        for (int i = sequence.Parts.Count - 1; i >= 0; i--)
            rest = Make(maker, sequence.Parts[i], rest, isStart && i <= still);
        return rest;
    }

    private static bool MayBeEmpty(PatternNode.Sequence sequence, int from, int to)
    {
        for (int i = from; i < to; i++)
        {
            if (!MayBeEmpty(sequence.Parts[i]))
                return false;
        }

        return true;
    }

    private static bool MayBeEmpty(PatternNode node) => node switch
    {
        PatternNode.Characters => false,
        PatternNode.Choice choice => choice.Parts.Any(MayBeEmpty),
        PatternNode.Sequence sequence => sequence.Parts.All(MayBeEmpty),
        PatternNode.Loop loop => loop.Min == 0 || MayBeEmpty(loop.Body),
        _ => true,
    };

    private static bool IsStill(PatternNode node) => node switch
    {
        PatternNode.Start or PatternNode.End or PatternNode.Look => true,
        PatternNode.Sequence sequence => sequence.Parts.All(IsStill),
        PatternNode.Choice choice => choice.Parts.All(IsStill),
        _ => false,
    };

    private static bool HasStart(PatternNode node) => Has(node, static one => one is PatternNode.Start);

    private static bool HasAssertion(PatternNode node) => Has(node, static one => one is PatternNode.Start or PatternNode.End or PatternNode.Look);

    private static bool Has(PatternNode node, Func<PatternNode, bool> isOne) => isOne(node) || node switch
    {
        PatternNode.Choice choice => choice.Parts.Any(part => Has(part, isOne)),
        PatternNode.Sequence sequence => sequence.Parts.Any(part => Has(part, isOne)),
        PatternNode.Loop loop => Has(loop.Body, isOne),
        PatternNode.Look look => Has(look.Body, isOne),
        _ => false,
    };
}
