using System.Text;

namespace Flint.Dialects;

/// <summary>The <c>wordwrap</c> filter, which wraps as Python's <c>textwrap</c> does.</summary>
internal static class TextWrap
{
    public static object? Filter(Arguments arguments)
    {
        object?[] a = arguments.Bind("do_wordwrap", "!s", "width", "break_long_words", "wrapstring", "break_on_hyphens");
        string text = PyText.TryGet(a[0], out string? given) ? given
            : throw (a[0] as Undefined)?.Fault() ?? new TemplateFault("AttributeError", $"'{Types.Name(a[0])}' object has no attribute 'splitlines'");
        int width = a[1] is Missing ? 79 : Integers.Clamp(a[1]);
        bool breakLong = a[2] is Missing || Types.Truth(a[2]);
        string separator = a[3] is Missing or null ? "\n" : Printer.Str(a[3]);
        bool hyphens = a[4] is Missing || Types.Truth(a[4]);
        if (width <= 0)
            throw TemplateFault.Value($"invalid width {width} (must be > 0)");
        var result = new StringBuilder();
        PySequence lines = StringMethods.SplitLines(text, false);
        for (int i = 0; i < lines.Count; i++)
        {
            if (i > 0)
                result.Append(separator);
            result.AppendJoin(separator, Wrap((string)lines[i]!, width, breakLong, hyphens));
            Budget.Text(separator.Length);
            if (result.Length > TemplateLimits.TextLength)
                throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters");
        }

        Budget.Text(result.Length);
        return result.ToString();
    }

    private static List<string> Wrap(string line, int width, bool breakLong, bool hyphens)
    {
        var chunks = new Stack<string>(Enumerable.Reverse(Chunks(line, hyphens)));
        var lines = new List<string>();
        while (chunks.Count > 0)
        {
            Budget.Step();
            var current = new List<string>();
            int length = 0;
            if (lines.Count > 0 && PyText.IsBlank(chunks.Peek()))
                chunks.Pop();
            while (chunks.TryPeek(out string? next) && length + PyText.Length(next) <= width)
            {
                current.Add(chunks.Pop());
                length += PyText.Length(next);
            }

            if (chunks.TryPeek(out string? rest) && PyText.Length(rest) > width)
            {
                int room = Math.Max(1, width - length);
                if (breakLong)
                {
                    chunks.Pop();
                    int cut = PyText.Offset(rest, room);
                    int hyphen = hyphens ? rest.LastIndexOf('-', cut - 1) : -1;
                    if (hyphen > 0 && rest.AsSpan(0, hyphen).IndexOfAnyExcept('-') >= 0)
                        cut = hyphen + 1;
                    current.Add(rest[..cut]);
                    chunks.Push(rest[cut..]);
                }
                else if (current.Count == 0)
                {
                    current.Add(chunks.Pop());
                }
            }

            if (current.Count > 0 && PyText.IsBlank(current[^1]))
                current.RemoveAt(current.Count - 1);
            if (current.Count > 0)
                lines.Add(string.Concat(current));
        }

        return lines;
    }

    /// <summary>Words and the white space between them; words also end after a hyphen between letters and around dashes.</summary>
    private static List<string> Chunks(string line, bool hyphens)
    {
        var chunks = new List<string>();
        int start = 0;
        for (int i = 1; i <= line.Length; i++)
        {
            bool split = i == line.Length || PyText.IsSpace(line[i - 1]) != PyText.IsSpace(line[i]) || (hyphens && SplitsAfterHyphen(line, i));
            if (!split)
                continue;
            chunks.Add(line[start..i]);
            start = i;
        }

        Budget.Charge(line.Length >> 2);
        return chunks;
    }

    private static bool SplitsAfterHyphen(string line, int i)
    {
        bool Letter(int at) => at >= 0 && at < line.Length && (char.IsLetter(line[at]) || line[at] == '_');
        if (line[i - 1] == '-' && i >= 2 && line[i - 2] != '-' && line[i] != '-')
            return Letter(i - 2) && Letter(i - 3) && Letter(i) && Letter(i + 1);

        // A dash of two hyphens or more stands by itself between words.
        bool dashBefore = line[i - 1] == '-' && i >= 2 && line[i - 2] == '-' && line[i] != '-' && !PyText.IsSpace(line[i]);
        bool dashAfter = line[i] == '-' && i + 1 < line.Length && line[i + 1] == '-' && line[i - 1] != '-' && !PyText.IsSpace(line[i - 1]);
        return dashBefore || dashAfter;
    }
}
