using System.Text.RegularExpressions;

namespace Flint.App.Policy;

/// <summary>
/// Tells which ends of a text could still become a match of a regular expression: the expression's positions (Glushkov, 1961), each
/// with the earliest start that leads to it. It may take a text for a possible match that is none, never the other way round:
/// anchors are passed over, and what a single character matches is asked of the runtime's own expressions. Matches themselves are
/// not its business.
/// </summary>
internal sealed class PrefixAutomaton
{
    private const int MaxPositions = 512;
    private const int MaxEdges = 1 << 16;
    private const int Dead = int.MaxValue;

    private readonly List<CharacterSet> _sets = []; // of every position
    private readonly List<List<int>> _follow = [];
    private List<int> _first = [];
    private int _edges;

    private PrefixAutomaton()
    {
    }

    /// <summary>Reads an expression that the runtime understands.</summary>
    /// <returns>Null where it is too large, or has what is not known here.</returns>
    public static PrefixAutomaton? Build(string expression, RegexOptions options)
    {
        PatternNode? tree = PatternNode.Parse(expression, out string flags);
        if (tree is null)
            return null;
        var built = new PrefixAutomaton();
        var sets = new Dictionary<string, CharacterSet>();
        if (built.Add(tree, atom => sets.TryGetValue(atom, out CharacterSet? known) ? known : (sets[atom] = new CharacterSet(flags + atom, options))) is not { } whole)
            return null;
        built._first = whole.First;
        return built;
    }

    /// <summary>Whether an expression asks where a text ends, or switches options in its midst: neither can be told of a text that goes on.</summary>
    public static bool LooksAtEnd(string expression)
    {
        int from = PatternNode.FlagsLength(expression);
        for (int i = from; i + 1 < expression.Length; i++)
        {
            if (expression[i] == '\\')
            {
                if (expression[i + 1] is 'z' or 'Z')
                    return true;
                i++;
            }
            else if (expression[i] == '(' && expression[i + 1] == '?' && i + 2 < expression.Length && expression[i + 2] is 'i' or 'm' or 's' or 'n' or 'x' or '-')
            {
                return true;
            }
        }

        return from > 0 && expression.AsSpan(0, from).ContainsAny('-', 'x');
    }

    /// <summary>Begins to read a text.</summary>
    public Run Start() => new(this);

    private sealed record Part(bool IsEmpty, List<int> First, List<int> Last);

    private Part? Add(PatternNode node, Func<string, CharacterSet> set)
    {
        switch (node.Kind)
        {
            case PatternKind.Atom:
                if (_sets.Count == MaxPositions)
                    return null;
                _sets.Add(set(node.Atom));
                _follow.Add([]);
                return new Part(false, [_sets.Count - 1], [_sets.Count - 1]);
            case PatternKind.Sequence:
                Part? all = new(true, [], []);
                foreach (PatternNode child in node.Children)
                    all = all is null ? null : Join(all, Add(child, set));
                return all;
            case PatternKind.Choice:
                var either = new Part(false, [], []);
                foreach (PatternNode child in node.Children)
                {
                    if (Add(child, set) is not { } part)
                        return null;
                    either = new Part(either.IsEmpty || part.IsEmpty, [.. either.First, .. part.First], [.. either.Last, .. part.Last]);
                }

                return either;
            default:
                return Repeat(node, set);
        }
    }

    // x{2,4} is xxx?x?, and x{2,} is xx with its last x again and again.
    private Part? Repeat(PatternNode node, Func<string, CharacterSet> set)
    {
        Part? all = new(true, [], []);
        bool endless = node.Most == int.MaxValue;
        int copies = endless ? Math.Max(1, node.Least) : node.Most;
        for (int i = 0; i < copies && all is not null; i++)
        {
            if (Add(node.Children[0], set) is not { } part || (endless && i == copies - 1 && !Link(part.Last, part.First)))
                return null;
            if (part.First.Count == 0)
                return part; // the empty text, however often
            all = Join(all, i >= node.Least ? part with { IsEmpty = true } : part);
        }

        return all;
    }

    private Part? Join(Part left, Part? right)
    {
        if (right is null || !Link(left.Last, right.First))
            return null;
        return new Part(
            left.IsEmpty && right.IsEmpty,
            left.IsEmpty ? [.. left.First, .. right.First] : left.First,
            right.IsEmpty ? [.. left.Last, .. right.Last] : right.Last);
    }

    private bool Link(List<int> from, List<int> to)
    {
        _edges += from.Count * to.Count;
        if (_edges > MaxEdges)
            return false;
        foreach (int one in from)
            _follow[one].AddRange(to);
        return true;
    }

    /// <summary>One reading of a text.</summary>
    internal sealed class Run
    {
        private readonly PrefixAutomaton _automaton;
        private readonly List<int> _alive = [], _reached = [];
        private int[] _now, _next; // the earliest start that leads to a position
        private long _steps;

        /// <summary>Begins to read.</summary>
        public Run(PrefixAutomaton automaton)
        {
            _automaton = automaton;
            _now = new int[automaton._sets.Count];
            Array.Fill(_now, Dead);
            _next = (int[])_now.Clone();
        }

        /// <summary>The earliest start of what could still become a match, or could end as one here; the largest number where there is none.</summary>
        public int Earliest { get; private set; } = Dead;

        /// <summary>Reads a character.</summary>
        public void Take(char c, int position)
        {
            Earliest = Dead;
            foreach (int state in _alive)
            {
                Reach(_automaton._follow[state], _now[state]);
                _now[state] = Dead;
            }

            Reach(_automaton._first, position);
            _alive.Clear();
            foreach (int state in _reached)
            {
                _steps++;
                if (_automaton._sets[state].Holds(c))
                {
                    _alive.Add(state);
                    Earliest = Math.Min(Earliest, _next[state]);
                }
                else
                {
                    _next[state] = Dead;
                }
            }

            _reached.Clear();
            (_now, _next) = (_next, _now);
        }

        /// <summary>How often a position was asked since the last call.</summary>
        public long TakeSteps()
        {
            long steps = _steps;
            _steps = 0;
            return steps;
        }

        private void Reach(List<int> states, int start)
        {
            _steps += states.Count;
            foreach (int state in states)
            {
                if (_next[state] == Dead)
                    _reached.Add(state);
                _next[state] = Math.Min(_next[state], start);
            }
        }
    }
}
