using System.Globalization;

namespace Flint.Grammar;

/// <summary>A regular expression, read.</summary>
internal abstract record PatternNode
{
    /// <summary>One character of a set.</summary>
    internal sealed record Characters(CodePoints Set) : PatternNode;

    /// <summary>One after the other.</summary>
    internal sealed record Sequence(IReadOnlyList<PatternNode> Parts) : PatternNode;

    /// <summary>Any of several.</summary>
    internal sealed record Choice(IReadOnlyList<PatternNode> Parts) : PatternNode;

    /// <summary>So many times.</summary>
    internal sealed record Loop(PatternNode Body, int Min, int Max) : PatternNode;

    /// <summary>Where the text begins.</summary>
    internal sealed record Start : PatternNode;

    /// <summary>Where the text ends.</summary>
    internal sealed record End : PatternNode;

    /// <summary>What must, or must not, come next.</summary>
    internal sealed record Look(PatternNode Body, bool IsNegative) : PatternNode;
}

/// <summary>
/// Reads regular expressions of ECMA-262 with the flag <c>u</c>, as JSON Schema means them; escapes that only other dialects have, and
/// what no automaton can do, are refused by name.
/// </summary>
internal sealed class PatternReader
{
    /// <summary>The longest expression, in characters.</summary>
    public const int MaxLength = 1 << 13;

    private const int MaxDepth = 100;
    private const int MaxCount = 1_000_000;

    private readonly string _text;
    private int _at;
    private int _depth;

    private PatternReader(string text) => _text = text;

    private bool IsAtEnd => _at >= _text.Length;

    private char Current => _text[_at];

    /// <summary>Reads an expression.</summary>
    /// <exception cref="FlintException">Caller: it is no regular expression, or not one that can be enforced.</exception>
    public static PatternNode Read(string text)
    {
        if (text.Length > MaxLength)
            throw Fault(text, $"it is longer than {MaxLength} characters");
        var reader = new PatternReader(text);
        PatternNode node = reader.ReadChoice();
        return reader.IsAtEnd ? node : throw reader.Fault("a parenthesis closes that was not opened");
    }

    private static FlintException Fault(string text, string reason) =>
        FlintException.Caller("unsupported_pattern", $"The pattern '{(text.Length <= 100 ? text : text[..100] + "…")}' cannot be enforced: {reason}.");

    private FlintException Fault(string reason) => Fault(_text, reason);

    private PatternNode ReadChoice()
    {
        if (++_depth > MaxDepth)
            throw Fault($"its groups are nested deeper than {MaxDepth}");
        var choices = new List<PatternNode> { ReadSequence() };
        while (!IsAtEnd && Current == '|')
        {
            _at++;
            choices.Add(ReadSequence());
        }

        _depth--;
        return choices.Count == 1 ? choices[0] : new PatternNode.Choice(choices);
    }

    private PatternNode.Sequence ReadSequence()
    {
        var parts = new List<PatternNode>();
        while (!IsAtEnd && Current is not ('|' or ')'))
            parts.Add(ReadRepeated());
        return new PatternNode.Sequence(parts);
    }

    private PatternNode ReadRepeated()
    {
        PatternNode node = ReadAtom();
        while (!IsAtEnd)
        {
            int from = _at;
            (int min, int max)? count = Current switch
            {
                '*' => (0, Language.Unlimited),
                '+' => (1, Language.Unlimited),
                '?' => (0, 1),
                '{' => ReadCount(),
                _ => null,
            };
            if (count is not (int, int) times)
                return node;
            if (_at == from)
                _at++;
            if (!IsAtEnd && Current == '?')
                _at++; // which match is found first does not matter
            if (node is PatternNode.Start or PatternNode.End or PatternNode.Look)
                throw Fault("an assertion is repeated");
            node = new PatternNode.Loop(node, times.min, times.max);
        }

        return node;
    }

    // A brace that begins no count stands for itself.
    private (int Min, int Max)? ReadCount()
    {
        int close = _text.IndexOf('}', _at);
        if (close < 0)
            return null;
        string[] parts = _text[(_at + 1)..close].Split(',');
        if (parts.Length > 2 || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int min))
            return null;
        int max = parts.Length == 1 ? min : Language.Unlimited;
        if (parts.Length == 2 && parts[1].Length > 0 && !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out max))
            return null;
        if (min > MaxCount || (max != Language.Unlimited && max > MaxCount))
            throw Fault($"it counts beyond {MaxCount}");
        if (max < min)
            throw Fault("a count ends before it begins");
        _at = close + 1;
        return (min, max);
    }

    private PatternNode ReadAtom()
    {
        char c = _text[_at++];
        switch (c)
        {
            case '^':
                return new PatternNode.Start();
            case '$':
                return new PatternNode.End();
            case '.':
                return new PatternNode.Characters(CodePoints.Dot);
            case '(':
                return ReadGroup();
            case '[':
                return new PatternNode.Characters(ReadClass());
            case '\\':
                return new PatternNode.Characters(ReadEscape(inClass: false));
            case '*' or '+' or '?':
                throw Fault($"'{c}' repeats nothing");
            default:
                _at--;
                return new PatternNode.Characters(One(ReadCodePoint()));
        }
    }

    private PatternNode ReadGroup()
    {
        bool? look = null;
        if (!IsAtEnd && Current == '?')
        {
            string rest = _text[(_at + 1)..Math.Min(_text.Length, _at + 3)];
            if (rest.StartsWith(':'))
                _at += 2;
            else if (rest.StartsWith('=') || rest.StartsWith('!'))
                (look, _at) = (rest[0] == '!', _at + 2);
            else if (rest.StartsWith('<') && rest is not ("<=" or "<!") && _text.IndexOf('>', _at) is > 0 and int close)
                _at = close + 1;
            else
                throw Fault(rest is "<=" or "<!" ? "it looks behind" : $"its group begins with '(?{rest}'");
        }

        PatternNode body = ReadChoice();
        if (IsAtEnd)
            throw Fault("a parenthesis is not closed");
        _at++;
        return look is bool isNegative ? new PatternNode.Look(body, isNegative) : body;
    }

    private CodePoints ReadClass()
    {
        bool isNegative = !IsAtEnd && Current == '^';
        if (isNegative)
            _at++;
        CodePoints set = CodePoints.Of();
        while (true)
        {
            if (IsAtEnd)
                throw Fault("a bracket is not closed");
            if (Current == ']')
                break;
            CodePoints one = ReadClassAtom();
            if (_at + 1 < _text.Length && Current == '-' && _text[_at + 1] != ']')
            {
                _at++;
                CodePoints other = ReadClassAtom();
                if (Single(one) is int low && Single(other) is int high)
                {
                    if (high < low)
                        throw Fault("a range ends before it begins");
                    set = set.Or(CodePoints.Of((low, high)));
                    continue;
                }

                set = set.Or(other).Or(One('-')); // a class is no end of a range
            }

            set = set.Or(one);
        }

        _at++;
        return isNegative ? set.Complement() : set;
    }

    private CodePoints ReadClassAtom()
    {
        if (IsAtEnd)
            throw Fault("a bracket is not closed");
        if (Current != '\\')
            return One(ReadCodePoint());
        _at++;
        return ReadEscape(inClass: true);
    }

    private CodePoints ReadEscape(bool inClass)
    {
        if (IsAtEnd)
            throw Fault("it ends in a backslash");
        char c = _text[_at++];
        switch (c)
        {
            case 'd':
                return CodePoints.Digits;
            case 'D':
                return CodePoints.Digits.Complement();
            case 'w':
                return CodePoints.WordCharacters;
            case 'W':
                return CodePoints.WordCharacters.Complement();
            case 's':
                return CodePoints.Spaces;
            case 'S':
                return CodePoints.Spaces.Complement();
            case 'p' or 'P':
                CodePoints category = ReadCategory();
                return c == 'p' ? category : category.Complement();
            case 'b' when inClass:
                return One('\b');
            case 'b' or 'B':
                throw Fault($"it has a word's border, '\\{c}'");
            case 'c' when !IsAtEnd && char.IsAsciiLetter(Current):
                return One(_text[_at++] & 31);
            case '0' when IsAtEnd || !char.IsAsciiDigit(Current):
                return One(0);
            case >= '0' and <= '9':
                throw Fault($"it refers back, '\\{c}'");
            case 'x':
                return One(ReadHex(2));
            case 'u':
                return One(ReadUnicode());
        }

        int control = "tnvfr".IndexOf(c);
        if (control >= 0)
            return One("\t\n\v\f\r"[control]);
        if (char.IsAsciiLetter(c))
            throw Fault($"'\\{c}' is no escape of ECMA-262");
        _at--;
        return One(ReadCodePoint());
    }

    private CodePoints ReadCategory()
    {
        int close = _text.IndexOf('}', _at);
        if (IsAtEnd || Current != '{' || close < 0)
            throw Fault("a category has no name");
        string name = _text[(_at + 1)..close];
        _at = close + 1;
        int equals = name.IndexOf('=');
        if (equals >= 0 && name[..equals] is "gc" or "General_Category")
            name = name[(equals + 1)..];
        return CodePoints.Category(name) ?? throw Fault($"'{name}' is no general category");
    }

    private int ReadUnicode()
    {
        if (!IsAtEnd && Current == '{')
        {
            int close = _text.IndexOf('}', _at);
            if (close < 0 || !int.TryParse(_text[(_at + 1)..close], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value) || value > CodePoints.Last)
                throw Fault("a code point is none");
            _at = close + 1;
            return value;
        }

        int unit = ReadHex(4);
        if (!char.IsHighSurrogate((char)unit) || _at + 1 >= _text.Length || _text[_at] != '\\' || _text[_at + 1] != 'u')
            return unit;
        int back = _at;
        _at += 2;
        int low = ReadHex(4);
        if (char.IsLowSurrogate((char)low))
            return char.ConvertToUtf32((char)unit, (char)low);
        _at = back;
        return unit;
    }

    private int ReadHex(int digits)
    {
        if (_at + digits > _text.Length || !int.TryParse(_text.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value))
            throw Fault("an escape in hexadecimal is none");
        _at += digits;
        return value;
    }

    private int ReadCodePoint()
    {
        char c = _text[_at++];
        if (char.IsHighSurrogate(c) && !IsAtEnd && char.IsLowSurrogate(Current))
            return char.ConvertToUtf32(c, _text[_at++]);
        return c;
    }

    private static CodePoints One(int c) => CodePoints.Of((c, c));

    private static int? Single(CodePoints set) => set.Ranges is [var (low, high)] && low == high ? low : null;
}
