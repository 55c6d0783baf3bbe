using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;

namespace Flint.App.Policy;

/// <summary>
/// Applies rules to a text that comes in pieces, and tells it on: what could still become part of a match is held back, all else is
/// told at once. What is told does not depend on how the text was cut, and holds no match.
/// </summary>
/// <remarks>
/// Every rule finds its matches in the text as it came. Where matches of several rules overlap, the text from the first one's beginning
/// to the last one's end is replaced by the first one's replacement; the first match of a rule that denies ends the text at its
/// beginning. A match longer than its rule looks for ends the text too, as nobody can wait for its end.
/// </remarks>
internal sealed class TextFilter
{
    private readonly record struct Found(TextSpan Span, int Rule, bool Denies);

    private readonly IReadOnlyList<TextRule> _rules;
    private readonly Action<RuleDecision> _decided;
    private readonly bool _isJson;
    private readonly TextScanner[] _scanners;
    private readonly List<TextSpan> _spans = [];
    private readonly List<Found> _found = [];
    private readonly StringBuilder _out = new();
    private readonly StringBuilder _escape = new(); // of JSON, not complete yet
    private readonly Dictionary<int, string> _escapes = []; // how characters are told that came escaped
    private readonly int _reach;
    private readonly TextBuffer _text = new();
    private long _steps; // of scanners that are gone
    private int _told; // until here all is told or replaced
    private int _covered; // until here all is replaced

    /// <summary>Begins a text.</summary>
    /// <param name="rules">Rules that deny or redact.</param>
    /// <param name="decided">Told of every decision.</param>
    /// <param name="isJson">Whether the text is JSON, in whose strings rules see what the escapes stand for.</param>
    public TextFilter(IReadOnlyList<TextRule> rules, Action<RuleDecision> decided, bool isJson = false)
    {
        _rules = rules;
        _decided = decided;
        _isJson = isJson;
        _reach = rules.Count == 0 ? 0 : rules.Max(rule => rule.Matcher.Reach);
        _scanners = [.. rules.Select(rule => rule.Matcher.CreateScanner(0))];
    }

    /// <summary>Whether a rule has ended the text: nothing is told any more.</summary>
    public bool IsDenied { get; private set; }

    /// <summary>Characters looked at so far, each as often as it was.</summary>
    public long Steps => _steps + _scanners.Sum(scanner => scanner.Steps);

    /// <summary>Takes a piece.</summary>
    /// <returns>What can be told now.</returns>
    public string Push(string text)
    {
        if (IsDenied)
            return "";
        if (_isJson)
            Unescape(text);
        else
            _text.Append(text);
        return Read(isWhole: false);
    }

    /// <summary>
    /// Tells what was held back, as the text ends here for now. What may follow later is the same text to the rules, so that what
    /// is told before and after makes up no match.
    /// </summary>
    public string Finish()
    {
        if (IsDenied)
            return "";
        _text.Append(_escape.ToString());
        _escape.Clear();
        string told = Read(isWhole: true);
        if (!IsDenied)
            Resume();
        return told;
    }

    private string Read(bool isWhole)
    {
        int settled = _text.End;
        for (int i = 0; i < _scanners.Length; i++)
        {
            _scanners[i].Read(_text, isWhole, _spans);
            foreach (TextSpan span in _spans)
                _found.Add(new Found(Whole(span), i, span.IsCut || _rules[i].Action == RuleAction.Deny));
            _spans.Clear();
            settled = Math.Min(settled, _scanners[i].Settled);
        }

        // Half of a surrogate pair is no text.
        if (!isWhole && settled > _told && char.IsHighSurrogate(_text[settled - 1]))
            settled--;
        Release(settled);
        _text.Drop(Math.Min(_told, settled) - _reach - 2);
        string told = _out.ToString();
        _out.Clear();
        return told;
    }

    private void Release(int settled)
    {
        _found.Sort(static (a, b) => a.Span.Start != b.Span.Start ? a.Span.Start.CompareTo(b.Span.Start) : a.Denies != b.Denies ? b.Denies.CompareTo(a.Denies) : a.Rule.CompareTo(b.Rule));
        int done = 0;
        for (; done < _found.Count && _found[done].Span.Start < settled; done++)
        {
            (TextSpan span, int rule, bool denies) = _found[done];
            if (denies)
            {
                Tell(span.Start);
                IsDenied = true;
                _decided(new RuleDecision(_rules[rule], true, span.Start));
                return;
            }

            if (span.End <= _told)
                continue; // replaced, or told before the text was finished for the first time
            if (span.Start >= _covered)
            {
                Tell(span.Start);
                _out.Append(_isJson ? JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(_rules[rule].Replacement) : _rules[rule].Replacement);
                _decided(new RuleDecision(_rules[rule], false, span.Start));
            }

            _covered = Math.Max(_covered, span.End);
            _told = Math.Max(_told, span.End);
        }

        _found.RemoveRange(0, done);
        Tell(settled);
    }

    private void Tell(int upTo)
    {
        if (upTo <= _told)
            return;
        if (_escapes.Count == 0)
        {
            _out.Append(_text.Slice(_told, upTo));
            _told = upTo;
            return;
        }

        for (; _told < upTo; _told++)
        {
            if (_escapes.Remove(_told, out string? escaped))
                _out.Append(escaped);
            else
                _out.Append(_text[_told]);
        }
    }

    // A surrogate pair is replaced whole.
    private TextSpan Whole(TextSpan span)
    {
        int start = span.Start, end = span.End;
        if (start > _text.Start && char.IsLowSurrogate(_text[start]) && char.IsHighSurrogate(_text[start - 1]))
            start--;
        if (end < _text.End && char.IsLowSurrogate(_text[end]) && char.IsHighSurrogate(_text[end - 1]))
            end++;
        return new TextSpan(start, end, span.IsCut);
    }

    // The rules look again at as much of the end as a match may hold that goes on in what follows.
    private void Resume()
    {
        int from = Math.Max(_covered, Math.Max(0, _text.End - _reach));
        _found.Clear();
        _escapes.Clear();
        for (int i = 0; i < _scanners.Length; i++)
        {
            _steps += _scanners[i].Steps;
            _scanners[i] = _rules[i].Matcher.CreateScanner(from);
        }
    }

    private void Unescape(string text)
    {
        foreach (char c in text)
        {
            if (_escape.Length == 0 && c != '\\')
            {
                _text.Append([c]);
                continue;
            }

            _escape.Append(c);
            if (_escape.Length < 2 || (_escape[1] == 'u' && _escape.Length < 6))
                continue;
            string escape = _escape.ToString();
            _escape.Clear();
            if (Meaning(escape) is not char meant)
            {
                _text.Append(escape);
                continue;
            }

            _escapes[_text.End] = escape;
            _text.Append([meant]);
        }
    }

    private static char? Meaning(string escape) => escape[1] switch
    {
        'u' => ushort.TryParse(escape.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort unit) ? (char)unit : null,
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\b',
        'f' => '\f',
        '"' or '\\' or '/' => escape[1],
        _ => null,
    };
}
