using System.Text;

namespace Flint.Grammar;

/// <summary>
/// How characters are written in bytes: as UTF-8, or as they stand inside a JSON string. There every character has its writings, no
/// writing is two characters', and all of a character's are taken wherever it is; so intersections and complements of written texts
/// are those of the texts.
/// </summary>
internal sealed class TextForm
{
    private readonly Automaton _automaton;
    private readonly CodePoints? _escaped; // characters that do not stand for themselves; null where all do
    private readonly Dictionary<string, Language> _sets = [];

    private TextForm(Automaton automaton, CodePoints? escaped)
    {
        _automaton = automaton;
        _escaped = escaped;
        AnyCharacter = Of(CodePoints.All);
        automaton.Characters.Add(AnyCharacter);
        AnyText = automaton.Repeat(AnyCharacter);
    }

    /// <summary>One character, whichever.</summary>
    public Language AnyCharacter { get; }

    /// <summary>Every text.</summary>
    public Language AnyText { get; }

    /// <summary>Characters as UTF-8.</summary>
    public static TextForm Plain(Automaton automaton) => new(automaton, escaped: null);

    /// <summary>Characters inside a JSON string, written as shortly as JSON lets them be.</summary>
    /// <param name="automaton">Makes the expressions.</param>
    /// <param name="escapesTags">Whether <c>&lt;</c> is escaped too, so that no tag can be in a string.</param>
    public static TextForm Json(Automaton automaton, bool escapesTags) => new(automaton, escapesTags ? Escaped.Or(CodePoints.Of(('<', '<'))) : Escaped);

    /// <summary>One character of a set.</summary>
    public Language Of(CodePoints set)
    {
        string key = string.Join(',', set.Ranges);
        if (_sets.TryGetValue(key, out Language? known))
            return known;
        var parts = new List<Language>();
        CodePoints plain = _escaped is null ? set : set.And(_escaped.Complement());
        foreach ((int low, int high) in plain.Ranges)
            AddUtf8(low, high, parts);
        if (_escaped is not null)
        {
            foreach ((int low, int high) in set.And(_escaped).Ranges)
            {
                for (int c = low; c <= high; c++)
                    parts.Add(Escape((byte)c));
            }
        }

        return _sets[key] = _automaton.Either([.. parts]);
    }

    /// <summary>A text as it stands.</summary>
    public Language Literal(string text) => _automaton.Literal(Encode(text));

    /// <summary>The bytes of a text.</summary>
    public byte[] Encode(string text)
    {
        if (_escaped is null)
            return Encoding.UTF8.GetBytes(text);
        var written = new StringBuilder(text.Length);
        foreach (char c in text)
            written.Append(c < 0x80 && _escaped.Has(c) ? ShortEscape(c) is char letter ? $"\\{letter}" : $"\\u{(int)c:x4}" : c.ToString());
        return Encoding.UTF8.GetBytes(written.ToString());
    }

    private static CodePoints Escaped { get; } = CodePoints.Of((0, 0x1F), ('"', '"'), ('\\', '\\'));

    private static char? ShortEscape(char c) => c switch
    {
        '"' or '\\' => c,
        '\b' => 'b',
        '\f' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        _ => null,
    };

    private Language Escape(byte c)
    {
        if (ShortEscape((char)c) is char letter)
            return _automaton.Literal([(byte)'\\', (byte)letter]);
        return _automaton.Then(_automaton.Literal(Encoding.ASCII.GetBytes($"\\u00{c >> 4:x}")), HexDigit(c & 15));
    }

    private Language HexDigit(int value) =>
        _automaton.Bytes(ByteSet.Of(Encoding.ASCII.GetBytes($"{value:x}{value:X}")));

    // A range splits where the number of bytes changes, then where the first byte does.
    private void AddUtf8(int low, int high, List<Language> parts)
    {
        Span<byte> first = stackalloc byte[4], last = stackalloc byte[4];
        foreach (int end in (int[])[0x7F, 0x7FF, 0xFFFF, CodePoints.Last])
        {
            if (low > end)
                continue;
            int upTo = Math.Min(high, end);
            int length = new Rune(low).EncodeToUtf8(first);
            new Rune(upTo).EncodeToUtf8(last);
            parts.Add(Between(first[..length], last[..length]));
            if (upTo == high)
                return;
            low = upTo + 1;
        }
    }

    private Language Between(ReadOnlySpan<byte> low, ReadOnlySpan<byte> high)
    {
        if (low.Length == 1)
            return _automaton.Bytes(ByteSet.Range(low[0], high[0]));
        ReadOnlySpan<byte> least = [0x80, 0x80, 0x80], most = [0xBF, 0xBF, 0xBF];
        int rest = low.Length - 1;
        if (low[0] == high[0])
            return _automaton.Then(_automaton.Bytes(ByteSet.Of(low[0])), Between(low[1..], high[1..]));
        var parts = new List<Language>();
        int from = low[0], to = high[0];
        if (!low[1..].SequenceEqual(least[..rest]))
            parts.Add(_automaton.Then(_automaton.Bytes(ByteSet.Of((byte)from++)), Between(low[1..], most[..rest])));
        bool ends = !high[1..].SequenceEqual(most[..rest]);
        if (ends)
            to--;
        if (from <= to)
            parts.Add(_automaton.Then(_automaton.Bytes(ByteSet.Range(from, to)), Between(least[..rest], most[..rest])));
        if (ends)
            parts.Add(_automaton.Then(_automaton.Bytes(ByteSet.Of(high[0])), Between(least[..rest], high[1..])));
        return _automaton.Either([.. parts]);
    }
}
