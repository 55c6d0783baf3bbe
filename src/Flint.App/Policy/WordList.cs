using System.Text;

namespace Flint.App.Policy;

/// <summary>
/// Words and phrases, looked for all at once whatever their case and accents (Aho and Corasick, 1975). As whole words they begin and
/// end where no letter or digit is cut off from another.
/// </summary>
internal sealed class WordList : TextMatcher
{
    /// <summary>Most entries.</summary>
    public const int MaxEntries = 100_000;

    /// <summary>Longest entry, in characters without marks.</summary>
    public const int MaxEntryLength = 200;

    /// <summary>Marks in a row that are passed over; one more stands for itself.</summary>
    public const int MaxMarks = 8;

    private const int Root = 0;

    // Of every state: what its text's longest end among the other states is, how long it is, and the longest entry at its end.
    private readonly List<int> _fail = [0];
    private readonly List<int> _depth = [0];
    private readonly List<int> _entry = [0];
    private readonly Dictionary<long, int> _next = [];
    private readonly bool _wholeWords;
    private readonly int _longest;

    /// <summary>Prepares a list.</summary>
    /// <param name="entries">Words and phrases.</param>
    /// <param name="wholeWords">Whether they are found only as whole words.</param>
    /// <exception cref="FlintException">Caller: there are none or too many, or one is empty or too long.</exception>
    public WordList(IReadOnlyCollection<string> entries, bool wholeWords = true)
    {
        if (entries.Count is 0 or > MaxEntries)
            throw FlintException.Caller("invalid_rule", $"A word list has 1 to {MaxEntries} entries, not {entries.Count}.");
        _wholeWords = wholeWords;
        foreach (string entry in entries)
        {
            string folded = Fold(entry);
            if (folded.Length is 0 or > MaxEntryLength)
                throw FlintException.Caller("invalid_rule", $"An entry of a word list has 1 to {MaxEntryLength} characters; found '{(entry.Length > 40 ? entry[..40] + "…" : entry)}'.");
            Add(folded);
            _longest = Math.Max(_longest, folded.Length);
        }

        Link();
    }

    /// <inheritdoc/>
    public override int Reach => (_longest + 1) * (MaxMarks + 1);

    /// <inheritdoc/>
    public override bool IsIn(string text)
    {
        var buffer = new TextBuffer();
        buffer.Append(text);
        var found = new List<TextSpan>();
        CreateScanner(0).Read(buffer, isWhole: true, found);
        return found.Count > 0;
    }

    /// <inheritdoc/>
    public override TextScanner CreateScanner(int from) => new Scanner(this, from);

    /// <summary>An entry as it is compared.</summary>
    internal static string Fold(string text)
    {
        var folded = new StringBuilder(text.Length);
        foreach (char c in text.Trim())
        {
            if (Folding.Of(c) is var one and not Folding.Nothing)
                folded.Append(one);
        }

        return folded.ToString();
    }

    private static long Edge(int state, char c) => ((long)state << 16) | c;

    private void Add(string entry)
    {
        int state = Root;
        foreach (char c in entry)
        {
            if (!_next.TryGetValue(Edge(state, c), out int next))
            {
                next = _fail.Count;
                _next.Add(Edge(state, c), next);
                _fail.Add(Root);
                _depth.Add(_depth[state] + 1);
                _entry.Add(0);
            }

            state = next;
        }

        _entry[state] = entry.Length;
    }

    // Nearer states first, as the end of a state's text is that of a nearer one.
    private void Link()
    {
        var edges = _next.Select(edge => (From: (int)(edge.Key >> 16), With: (char)edge.Key, To: edge.Value)).OrderBy(edge => _depth[edge.To]).ToList();
        var last = new char[_fail.Count]; // the character that leads to a state
        foreach ((int from, char with, int to) in edges)
        {
            last[to] = with;
            _fail[to] = from == Root ? Root : Step(_fail[from], last[from], with, out _);
            if (_entry[to] == 0)
                _entry[to] = _entry[_fail[to]];
        }
    }

    /// <summary>The state behind a character, and how many were asked on the way.</summary>
    private int Step(int state, char before, char c, out int asked)
    {
        for (asked = 1; ; asked++)
        {
            // An entry begins only where a word may.
            if ((state != Root || Divides(before, c)) && _next.TryGetValue(Edge(state, c), out int next))
                return next;
            if (state == Root)
                return Root;
            state = _fail[state];
        }
    }

    private bool Divides(char before, char c) => !_wholeWords || !Folding.IsWord(before) || !Folding.IsWord(c);

    private sealed class Scanner : TextScanner
    {
        private readonly WordList _list;
        private readonly int[] _positions; // of the last characters that count, by their number modulo its length
        private readonly int _from;
        private int _read = -1;
        private int _count;
        private int _marks;
        private int _state = Root;
        private char _before = ' ';

        public Scanner(WordList list, int from)
        {
            _list = list;
            _positions = new int[list._longest + 1];
            _from = from;
            Settled = from;
        }

        public override void Read(TextBuffer text, bool isWhole, List<TextSpan> into)
        {
            if (_read < 0)
                _read = Math.Max(text.Start, _from - 1);
            for (; _read < text.End; _read++)
            {
                Steps++;
                char c = Folding.Of(text[_read]);
                if (c == Folding.Nothing)
                {
                    if (++_marks <= MaxMarks)
                        continue;
                    c = Folding.Nothing; // no entry has it, and it is no part of a word
                }
                else
                {
                    _marks = 0;
                }

                Take(c, into);
            }

            if (isWhole)
                Take(' ', into);
            int depth = _list._depth[_state];
            Settled = isWhole || depth == 0 ? text.End : Math.Max(_from, _positions[(_count - depth) % _positions.Length]);
        }

        private void Take(char c, List<TextSpan> into)
        {
            // What ends before this character is found now that it is known.
            int length = _list._entry[_state];
            if (length > 0 && _list.Divides(_before, c))
            {
                int start = _positions[(_count - length) % _positions.Length];
                if (start >= _from)
                    into.Add(new TextSpan(start, _read));
            }

            // A word that begins before the scanner does is not looked for.
            _state = _list.Step(_state, _before, c, out int asked);
            Steps += asked;
            _before = c;
            _positions[_count++ % _positions.Length] = _read;
        }
    }
}
