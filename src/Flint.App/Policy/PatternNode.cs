namespace Flint.App.Policy;

/// <summary>What a part of a regular expression is.</summary>
internal enum PatternKind
{
    /// <summary>A piece that matches one character.</summary>
    Atom,

    /// <summary>Parts one after the other; none is the empty text.</summary>
    Sequence,

    /// <summary>One of several parts.</summary>
    Choice,

    /// <summary>A part several times.</summary>
    Repeat,
}

/// <summary>
/// A regular expression taken apart as far as it matters where a match could begin and go on. Only expressions that the runtime
/// understands are given here; what single characters they match stays the runtime's matter.
/// </summary>
/// <param name="Kind">What it is.</param>
/// <param name="Children">Its parts.</param>
internal sealed record PatternNode(PatternKind Kind, IReadOnlyList<PatternNode> Children)
{
    /// <summary>The text of an atom.</summary>
    public string Atom { get; private init; } = "";

    /// <summary>How often a part comes at least.</summary>
    public int Least { get; private init; }

    /// <summary>How often it comes at most; the largest number for without end.</summary>
    public int Most { get; private init; }

    /// <summary>The length of the options that an expression begins with, such as <c>(?i)</c>; 0 for none.</summary>
    public static int FlagsLength(string expression)
    {
        if (!expression.StartsWith("(?", StringComparison.Ordinal))
            return 0;
        int i = 2;
        while (i < expression.Length && expression[i] is 'i' or 'm' or 's' or 'n' or 'x' or '-')
            i++;
        return i > 2 && i < expression.Length && expression[i] == ')' ? i + 1 : 0;
    }

    /// <summary>Takes an expression apart.</summary>
    /// <param name="expression">The expression.</param>
    /// <param name="flags">The options that it begins with.</param>
    /// <returns>Null where it has what is not known here.</returns>
    public static PatternNode? Parse(string expression, out string flags)
    {
        int start = FlagsLength(expression);
        flags = expression[..start];
        if (flags.AsSpan().ContainsAny('-', 'x'))
            return null;
        var reader = new Reader(expression, start);
        PatternNode? tree = reader.ReadChoice();
        return reader.IsAtEnd ? tree : null;
    }

    private sealed class Reader(string text, int at)
    {
        private int _at = at;

        public bool IsAtEnd => _at == text.Length;

        private char Next => _at < text.Length ? text[_at] : '\0';

        public PatternNode? ReadChoice()
        {
            var choices = new List<PatternNode>();
            while (true)
            {
                if (ReadSequence() is not { } sequence)
                    return null;
                choices.Add(sequence);
                if (Next != '|' || IsAtEnd)
                    return choices.Count == 1 ? sequence : new PatternNode(PatternKind.Choice, choices);
                _at++;
            }
        }

        private PatternNode? ReadSequence()
        {
            var parts = new List<PatternNode>();
            while (!IsAtEnd && Next is not ('|' or ')'))
            {
                if (ReadOne() is not { } part || ReadRepeat(part) is not { } repeated)
                    return null;
                parts.Add(repeated);
            }

            return new PatternNode(PatternKind.Sequence, parts);
        }

        private PatternNode? ReadOne()
        {
            int start = _at;
            switch (text[_at++])
            {
                case '(':
                    return ReadGroup();
                case '[':
                    return SkipClass() ? AtomFrom(start) : null;
                case '^' or '$':
                    return Empty();
                case '\\':
                    return ReadEscape(start);
                default:
                    return AtomFrom(start);
            }
        }

        private PatternNode? ReadGroup()
        {
            if (Next == '?')
            {
                _at++;
                char kind = Next;
                _at++;
                if (kind is '<' or '\'')
                {
                    int end = text.IndexOf(kind == '<' ? '>' : '\'', Math.Min(_at, text.Length));
                    if (end < 0 || Next is '=' or '!')
                        return null;
                    _at = end + 1;
                }
                else if (kind != ':')
                {
                    return null;
                }
            }

            PatternNode? inside = ReadChoice();
            if (inside is null || Next != ')' || IsAtEnd)
                return null;
            _at++;
            return inside;
        }

        // Behind the bracket that opens it; a class may have another one taken away from it: [a-z-[aeiou]].
        private bool SkipClass()
        {
            if (Next == '^')
                _at++;
            for (bool first = true; !IsAtEnd; first = false)
            {
                char c = text[_at++];
                if (c == ']' && !first)
                    return true;
                if (c == '\\')
                    _at++;
                else if (c == '-' && Next == '[' && !first)
                {
                    _at++;
                    if (!SkipClass())
                        return false;
                }
            }

            return false;
        }

        private PatternNode? ReadEscape(int start)
        {
            char kind = Next;
            _at++;
            switch (kind)
            {
                case 'b' or 'B' or 'A' or 'z' or 'Z' or 'G':
                    return Empty();
                case 'x':
                    _at += 2;
                    break;
                case 'u':
                    _at += 4;
                    break;
                case 'c':
                    _at++;
                    break;
                case 'p' or 'P':
                    _at = text.IndexOf('}', Math.Min(_at, text.Length)) + 1;
                    if (_at == 0)
                        return null;
                    break;
                case '0':
                    for (int digits = 0; digits < 2 && Next is >= '0' and <= '7'; digits++)
                        _at++;
                    break;
                case (>= '1' and <= '9') or 'k':
                    return null;
            }

            return _at <= text.Length ? AtomFrom(start) : null;
        }

        private PatternNode? ReadRepeat(PatternNode part)
        {
            (int Least, int Most)? times = Next switch
            {
                '*' => (0, int.MaxValue),
                '+' => (1, int.MaxValue),
                '?' => (0, 1),
                '{' => ReadCount(),
                _ => null,
            };
            if (times is not { } known)
                return part;
            if (Next != '{')
                _at++;
            else
                _at = text.IndexOf('}', _at) + 1;
            if (Next == '?')
                _at++; // the fewest times: the same texts
            return new PatternNode(PatternKind.Repeat, [part]) { Least = known.Least, Most = known.Most };
        }

        // A brace that is no count stands for itself.
        private (int Least, int Most)? ReadCount()
        {
            int end = text.IndexOf('}', _at);
            if (end < 0)
                return null;
            string[] bounds = text[(_at + 1)..end].Split(',');
            if (bounds.Length > 2 || !bounds[0].All(char.IsAsciiDigit) || !int.TryParse(bounds[0], out int least))
                return null;
            if (bounds.Length == 1)
                return (least, least);
            if (bounds[1].Length == 0)
                return (least, int.MaxValue);
            return bounds[1].All(char.IsAsciiDigit) && int.TryParse(bounds[1], out int most) ? (least, most) : null;
        }

        private PatternNode AtomFrom(int start) => new(PatternKind.Atom, []) { Atom = text[start.._at] };

        private static PatternNode Empty() => new(PatternKind.Sequence, []);
    }
}
