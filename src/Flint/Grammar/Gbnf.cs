using System.Globalization;
using System.Text;

namespace Flint.Grammar;

/// <summary>
/// Grammars in llama.cpp's language: rules <c>name ::= ...</c> of literals, classes, groups and repetitions; <c>root</c> is where texts
/// begin. A rule may not begin with itself.
/// </summary>
internal sealed class Gbnf
{
    private const int MaxDepth = 100;
    private const int MaxCount = 100_000;

    private readonly Automaton _automaton;
    private readonly TextForm _form;
    private readonly string _text;
    private readonly Dictionary<string, Language> _rules = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Language> _bodies = new(StringComparer.Ordinal);
    private readonly Dictionary<Language, string> _names = [];
    private int _at;
    private int _depth;

    private Gbnf(JsonLanguage json, string text)
    {
        _automaton = json.Automaton;
        _form = json.Plain;
        _text = text;
    }

    /// <summary>The texts of a grammar.</summary>
    /// <exception cref="FlintException">Caller: it is none, or a rule begins with itself.</exception>
    public static Language Compile(JsonLanguage json, string text)
    {
        if (text.Length > TokenGrammar.MaxLength)
            throw FlintException.Caller("invalid_grammar", $"A grammar has at most {TokenGrammar.MaxLength} characters, not {text.Length}.");
        var reader = new Gbnf(json, text);
        reader.ReadRules();
        if (!reader._bodies.ContainsKey("root"))
            throw FlintException.Caller("invalid_grammar", "The grammar has no rule 'root'.");
        foreach (string name in reader._rules.Keys)
        {
            if (!reader._bodies.ContainsKey(name))
                throw FlintException.Caller("invalid_grammar", $"The grammar uses the rule '{name}', which it does not have.");
        }

        reader.RefuseLeftRecursion();
        return reader.Use("root");
    }

    private FlintException Fault(string expected)
    {
        int line = _text.AsSpan(0, Math.Min(_at, _text.Length)).Count('\n') + 1;
        return FlintException.Caller("invalid_grammar", $"The grammar's line {line} has no {expected} where one was expected.");
    }

    private Language Use(string name)
    {
        if (!_rules.TryGetValue(name, out Language? rule))
        {
            _rules[name] = rule = _automaton.Rule(() => _bodies[name]);
            _names[rule] = name;
        }

        return rule;
    }

    private void ReadRules()
    {
        SkipSpace(acrossLines: true);
        while (_at < _text.Length)
        {
            string name = ReadName();
            SkipSpace(acrossLines: false);
            if (!_text.AsSpan(_at).StartsWith("::="))
                throw Fault("'::='");
            _at += 3;
            SkipSpace(acrossLines: true);
            Language body = ReadChoice(isNested: false);
            if (!_bodies.TryAdd(name, body))
                throw FlintException.Caller("invalid_grammar", $"The grammar has the rule '{name}' twice.");
            SkipSpace(acrossLines: true);
        }
    }

    private string ReadName()
    {
        int from = _at;
        while (_at < _text.Length && (char.IsAsciiLetterOrDigit(_text[_at]) || _text[_at] is '-' or '_'))
            _at++;
        return _at > from ? _text[from.._at] : throw Fault("name of a rule");
    }

    private void SkipSpace(bool acrossLines)
    {
        while (_at < _text.Length)
        {
            char c = _text[_at];
            if (c == '#')
                _at = _text.IndexOf('\n', _at) is >= 0 and int end ? end : _text.Length;
            else if (c is ' ' or '\t' || (acrossLines && c is '\r' or '\n'))
                _at++;
            else
                break;
        }
    }

    private Language ReadChoice(bool isNested)
    {
        if (++_depth > MaxDepth)
            throw FlintException.Caller("invalid_grammar", $"The grammar's groups are nested deeper than {MaxDepth}.");
        var parts = new List<Language> { ReadSequence(isNested) };
        while (_at < _text.Length && _text[_at] == '|')
        {
            _at++;
            SkipSpace(acrossLines: true);
            parts.Add(ReadSequence(isNested));
        }

        _depth--;
        return _automaton.Either([.. parts]);
    }

    private Language ReadSequence(bool isNested)
    {
        var parts = new List<Language>();
        while (_at < _text.Length && _text[_at] is not ('|' or ')' or '\r' or '\n'))
        {
            Language part = ReadAtom();
            while (ReadRepetition() is (int, int) times)
                part = _automaton.Repeat(part, times.Min, times.Max);
            parts.Add(part);
            SkipSpace(isNested);
        }

        // Alternatives may stand on lines of their own.
        int end = _at;
        SkipSpace(acrossLines: true);
        if (_at >= _text.Length || (_text[_at] != '|' && !isNested))
            _at = end;
        return _automaton.Then([.. parts]);
    }

    private (int Min, int Max)? ReadRepetition()
    {
        if (_at >= _text.Length)
            return null;
        switch (_text[_at])
        {
            case '*':
                _at++;
                return (0, Language.Unlimited);
            case '+':
                _at++;
                return (1, Language.Unlimited);
            case '?':
                _at++;
                return (0, 1);
            case '{':
                int close = _text.IndexOf('}', _at);
                string[] parts = close < 0 ? [] : _text[(_at + 1)..close].Split(',');
                if (parts.Length is not (1 or 2) || !TryCount(parts[0], 0, out int min))
                    throw Fault("count");
                int max = min;
                if (parts.Length == 2 && !TryCount(parts[1], Language.Unlimited, out max))
                    throw Fault("count");
                _at = close + 1;
                return max >= min ? (min, max) : throw Fault("count that begins before it ends");
            default:
                return null;
        }
    }

    private static bool TryCount(string text, int otherwise, out int count)
    {
        count = otherwise;
        text = text.Trim();
        return text.Length == 0 || (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out count) && count <= MaxCount);
    }

    private Language ReadAtom()
    {
        switch (_text[_at])
        {
            case '"':
                return ReadLiteral();
            case '[':
                return ReadClass();
            case '.':
                _at++;
                return _form.AnyCharacter;
            case '(':
                _at++;
                SkipSpace(acrossLines: true);
                Language group = ReadChoice(isNested: true);
                SkipSpace(acrossLines: true);
                if (_at >= _text.Length || _text[_at++] != ')')
                    throw Fault("')'");
                return group;
            default:
                return Use(ReadName());
        }
    }

    private Language ReadLiteral()
    {
        var text = new StringBuilder();
        for (_at++; _at < _text.Length && _text[_at] != '"';)
            text.Append(char.ConvertFromUtf32(ReadCharacter()));
        if (_at >= _text.Length)
            throw Fault("'\"'");
        _at++;
        return _form.Literal(text.ToString());
    }

    private Language ReadClass()
    {
        _at++;
        bool isNegative = _at < _text.Length && _text[_at] == '^';
        if (isNegative)
            _at++;
        var ranges = new List<(int, int)>();
        while (_at < _text.Length && _text[_at] != ']')
        {
            int low = ReadCharacter(), high = low;
            if (_at + 1 < _text.Length && _text[_at] == '-' && _text[_at + 1] != ']')
            {
                _at++;
                high = ReadCharacter();
            }

            ranges.Add(high >= low ? (low, high) : throw Fault("range that begins before it ends"));
        }

        if (_at >= _text.Length)
            throw Fault("']'");
        _at++;
        CodePoints set = CodePoints.Of(ranges);
        return _form.Of(isNegative ? set.Complement() : set);
    }

    private int ReadCharacter()
    {
        char c = _text[_at++];
        if (char.IsHighSurrogate(c) && _at < _text.Length && char.IsLowSurrogate(_text[_at]))
            return char.ConvertToUtf32(c, _text[_at++]);
        if (char.IsSurrogate(c))
            throw Fault("whole character");
        if (c != '\\')
            return c;
        if (_at >= _text.Length)
            throw Fault("escape");
        c = _text[_at++];
        return c switch
        {
            'x' => ReadHex(2),
            'u' => ReadHex(4),
            'U' => ReadHex(8),
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            '\\' or '"' or '[' or ']' => c,
            _ => throw Fault("escape"),
        };
    }

    private int ReadHex(int digits)
    {
        if (_at + digits > _text.Length || !int.TryParse(_text.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value)
            || value is < 0 or > CodePoints.Last or (>= 0xD800 and <= 0xDFFF))
            throw Fault("character in hexadecimal");
        _at += digits;
        return value;
    }

    // What a rule may begin with, followed for each rule: none may come to itself.
    private void RefuseLeftRecursion()
    {
        var nullable = new HashSet<string>();
        for (bool changed = true; changed;)
        {
            changed = false;
            foreach ((string name, Language body) in _bodies)
                changed |= IsEmpty(body) && nullable.Add(name);
        }

        var firsts = new Dictionary<string, HashSet<string>>();
        foreach ((string name, Language body) in _bodies)
            AddFirsts(body, firsts[name] = []);
        foreach (string name in _bodies.Keys)
        {
            var seen = new HashSet<string>();
            var open = new Stack<string>(firsts[name]);
            while (open.TryPop(out string? next))
            {
                if (next == name)
                    throw FlintException.Caller("invalid_grammar", $"The grammar's rule '{name}' begins with itself.");
                if (seen.Add(next))
                {
                    foreach (string further in firsts[next])
                        open.Push(further);
                }
            }
        }

        bool IsEmpty(Language e)
        {
            Automaton.Guard();
            return e.Kind switch
            {
                LanguageKind.Empty => true,
                LanguageKind.Then => IsEmpty(e.First!) && IsEmpty(e.Rest!),
                LanguageKind.Either => Array.Exists(e.Parts, IsEmpty),
                LanguageKind.Repeat => e.Min == 0 || IsEmpty(e.First!),
                LanguageKind.Rule => nullable.Contains(_names[e]),
                _ => false,
            };
        }

        void AddFirsts(Language e, HashSet<string> into)
        {
            Automaton.Guard();
            switch (e.Kind)
            {
                case LanguageKind.Then:
                    AddFirsts(e.First!, into);
                    if (IsEmpty(e.First!))
                        AddFirsts(e.Rest!, into);
                    break;
                case LanguageKind.Either:
                    foreach (Language part in e.Parts)
                        AddFirsts(part, into);
                    break;
                case LanguageKind.Repeat:
                    AddFirsts(e.First!, into);
                    break;
                case LanguageKind.Rule:
                    into.Add(_names[e]);
                    break;
            }
        }
    }
}
