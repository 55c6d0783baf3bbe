using System.Text.RegularExpressions;

namespace Flint.App.Policy;

/// <summary>
/// A regular expression, matched without backtracking, so that its time is linear in the text whatever the expression. A match is the
/// expression's leftmost one, of at most <see cref="Reach"/> characters; a longer one is cut there and marked. Circumflex and dollar
/// are the ends of a line.
/// </summary>
internal sealed class Pattern : TextMatcher
{
    /// <summary>How long a match is where a rule does not say.</summary>
    public const int DefaultLength = 128;

    /// <summary>The longest that a rule may say.</summary>
    public const int MaxLength = 4096;

    /// <summary>Longest expression, in characters.</summary>
    public const int MaxExpression = 4096;

    private const RegexOptions Common = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant;

    private readonly Regex _line;
    private readonly Regex _whole;
    private readonly PrefixAutomaton? _prefixes;

    /// <summary>Prepares an expression.</summary>
    /// <param name="expression">In .NET's terms, without what needs backtracking.</param>
    /// <param name="ignoreCase">Whether case does not matter.</param>
    /// <param name="maxLength">The longest match.</param>
    /// <exception cref="FlintException">Caller: it cannot be understood, needs backtracking, or matches nothing at all.</exception>
    public Pattern(string expression, bool ignoreCase = false, int maxLength = DefaultLength)
    {
        if (expression.Length is 0 or > MaxExpression)
            throw FlintException.Caller("invalid_rule", $"An expression has 1 to {MaxExpression} characters, not {expression.Length}.");
        if (maxLength is < 1 or > MaxLength)
            throw FlintException.Caller("invalid_rule", $"The longest match of an expression has 1 to {MaxLength} characters, not {maxLength}.");
        Reach = maxLength;
        RegexOptions options = ignoreCase ? Common | RegexOptions.IgnoreCase : Common;
        try
        {
            _whole = new Regex(expression, options);
            _line = new Regex(expression, options | RegexOptions.Multiline);
        }
        catch (Exception error) when (error is ArgumentException or NotSupportedException)
        {
            throw FlintException.Caller("invalid_rule", $"The expression '{expression}' cannot be used: {error.Message}");
        }

        IsForStreams = !PrefixAutomaton.LooksAtEnd(expression);
        _prefixes = PrefixAutomaton.Build(expression, options);
        if (_line.IsMatch(""))
            throw FlintException.Caller("invalid_rule", $"The expression '{expression}' matches a text of no characters.");
    }

    /// <inheritdoc/>
    public override int Reach { get; }

    /// <summary>Whether it can be looked for in a text that is not whole: it asks neither where that ends nor for options in its midst.</summary>
    public bool IsForStreams { get; }

    /// <summary>Whether it is known which texts can still become a match, so that others need not be held back.</summary>
    internal bool KnowsPrefixes => _prefixes is not null;

    /// <summary>Whether it is in a text, whose ends circumflex and dollar are here.</summary>
    public override bool IsIn(string text) => _whole.IsMatch(text);

    /// <inheritdoc/>
    public override TextScanner CreateScanner(int from) => new Scanner(this, from);

    private sealed class Scanner : TextScanner
    {
        // Matches are looked for in stretches of so many reaches: no search sees a long text again and again.
        private const int Stretch = 4;

        private readonly Pattern _pattern;
        private readonly PrefixAutomaton.Run? _run;
        private readonly Queue<int> _long = new(); // starts of what could go on past its reach
        private int _from; // no match that begins before is to be found any more
        private int _read;

        public Scanner(Pattern pattern, int from)
        {
            _pattern = pattern;
            _run = pattern._prefixes?.Start();
            _from = from;
            _read = from;
            Settled = from;
        }

        public override void Read(TextBuffer text, bool isWhole, List<TextSpan> into)
        {
            int reach = _pattern.Reach;
            for (; _read < text.End; _read++)
            {
                _run?.Take(text[_read], _read);
                if (_run?.Earliest <= _read - reach)
                    _long.Enqueue(_read - reach);
            }

            // A match of the full reach needs one more character, to be known as ended.
            int settled = isWhole ? text.End : Math.Max(Math.Min(_run?.Earliest ?? 0, text.End), text.End - reach - 1);
            while (_from < settled)
            {
                int far = NextLong();
                if (far == _from)
                    Judge(text, into);
                else
                    Search(text, Math.Min(settled, far), into);
            }

            Settled = Math.Max(Settled, settled);
            Steps += _run?.TakeSteps() ?? 0;
        }

        private int NextLong()
        {
            if (_run is null)
                return _from;
            while (_long.TryPeek(out int start) && start < _from)
                _long.Dequeue();
            return _long.TryPeek(out int next) ? next : int.MaxValue;
        }

        // What begins here could be longer than the reach. It is judged by as much of the text as is ever waited for, so that the
        // judgement does not depend on how much is there.
        private void Judge(TextBuffer text, List<TextSpan> into)
        {
            (int start, int length) = Find(text, Math.Min(text.End, _from + _pattern.Reach + 1));
            if (start == _from && length > 0)
                Add(start, length, into);
            else
                _from++;
        }

        // What begins in this stretch has ended before the text does.
        private void Search(TextBuffer text, int upTo, List<TextSpan> into)
        {
            int limit = Math.Min(text.End, _from + Stretch * (_pattern.Reach + 1));
            if (limit < text.End)
                upTo = Math.Min(upTo, limit - _pattern.Reach - 1);
            (int start, int length) = Find(text, limit);
            if (start < 0 || start >= upTo)
                _from = upTo;
            else if (length == 0)
                _from = start + 1;
            else
                Add(start, length, into);
        }

        private void Add(int start, int length, List<TextSpan> into)
        {
            _from = start + Math.Min(length, _pattern.Reach);
            into.Add(new TextSpan(start, _from, IsCut: length > _pattern.Reach));
        }

        // The character before shows whether a word or a line begins.
        private (int Start, int Length) Find(TextBuffer text, int limit)
        {
            int before = Math.Max(text.Start, _from - 1);
            ReadOnlySpan<char> window = text.Slice(before, limit);
            Steps += window.Length;
            foreach (ValueMatch match in _pattern._line.EnumerateMatches(window, _from - before))
                return (before + match.Index, match.Length);
            return (-1, 0);
        }
    }
}
