using System.Text;
using System.Text.RegularExpressions;
using Flint.App.Policy;

namespace Flint.App.Tests.Policy;

/// <summary>What a filter tells of a whole text, found place by place: slow, and as plain as the rules are.</summary>
internal static class FilterReference
{
    /// <summary>A rule as the reference has it: a pattern with its reach, or words.</summary>
    internal sealed record Rule(bool Denies, string? Pattern, int Reach, string[] Words, bool WholeWords, string Replacement)
    {
        internal TextRule Make(int index) => new($"rule-{index}", Denies ? RuleAction.Deny : RuleAction.Redact, Pattern is null ? new WordList(Words, WholeWords) : new Pattern(Pattern, maxLength: Reach)) { Replacement = Replacement };
    }

    internal static (string Told, List<(int Rule, bool Denies, int Position)> Decisions) Apply(IReadOnlyList<Rule> rules, string text)
    {
        var found = new List<(int Start, int End, bool Denies, int Rule)>();
        for (int i = 0; i < rules.Count; i++)
        {
            foreach ((int start, int end, bool cut) in rules[i].Pattern is null ? Words(rules[i], text) : Matches(rules[i], text))
            {
                (int from, int to) = (start, end);
                if (from > 0 && char.IsLowSurrogate(text[from]) && char.IsHighSurrogate(text[from - 1]))
                    from--;
                if (to < text.Length && char.IsLowSurrogate(text[to]) && char.IsHighSurrogate(text[to - 1]))
                    to++;
                found.Add((from, to, cut || rules[i].Denies, i));
            }
        }

        var told = new StringBuilder();
        var decisions = new List<(int, bool, int)>();
        int at = 0, covered = 0;
        foreach ((int start, int end, bool denies, int rule) in found.OrderBy(f => f.Start).ThenByDescending(f => f.Denies).ThenBy(f => f.Rule))
        {
            if (denies)
            {
                told.Append(text, at, Math.Max(0, start - at));
                decisions.Add((rule, true, start));
                return (told.ToString(), decisions);
            }

            if (start >= covered)
            {
                told.Append(text, at, start - at).Append(rules[rule].Replacement);
                decisions.Add((rule, false, start));
            }

            covered = Math.Max(covered, end);
            at = covered;
        }

        return (told.Append(text, at, text.Length - at).ToString(), decisions);
    }

    private static List<(int, int, bool)> Matches(Rule rule, string text)
    {
        var regex = new Regex(rule.Pattern!, RegexOptions.Multiline | RegexOptions.CultureInvariant | RegexOptions.NonBacktracking);
        var found = new List<(int, int, bool)>();
        for (int from = 0; from < text.Length;)
        {
            int before = Math.Max(0, from - 1), length = 0;
            foreach (ValueMatch match in regex.EnumerateMatches(text.AsSpan(before, Math.Min(text.Length, from + rule.Reach + 1) - before), from - before))
            {
                if (before + match.Index == from)
                    length = match.Length;
                break;
            }

            if (length > 0)
                found.Add((from, from + Math.Min(length, rule.Reach), length > rule.Reach));
            from += Math.Max(1, Math.Min(length, rule.Reach));
        }

        return found;
    }

    private static List<(int, int, bool)> Words(Rule rule, string text)
    {
        var folded = new List<(char Char, int At)>();
        int marks = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char c = Folding.Of(text[i]);
            marks = c == Folding.Nothing ? marks + 1 : 0;
            if (c != Folding.Nothing || marks > WordList.MaxMarks)
                folded.Add((c, i));
        }

        folded.Add((' ', text.Length));
        var found = new List<(int, int, bool)>();
        foreach (string word in rule.Words.Select(WordList.Fold))
        {
            for (int i = 0; i + word.Length < folded.Count; i++)
            {
                bool same = true;
                for (int j = 0; j < word.Length; j++)
                    same &= folded[i + j].Char == word[j];
                char before = i == 0 ? ' ' : folded[i - 1].Char;
                if (same && (!rule.WholeWords || ((!IsWord(before) || !IsWord(word[0])) && (!IsWord(word[^1]) || !IsWord(folded[i + word.Length].Char)))))
                    found.Add((folded[i].At, folded[i + word.Length].At, false));
            }
        }

        return found;
    }

    private static bool IsWord(char c) => char.IsLetterOrDigit(c) || c == '_';
}
