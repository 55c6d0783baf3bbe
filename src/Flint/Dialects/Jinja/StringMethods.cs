using System.Globalization;
using System.Text;

namespace Flint.Dialects;

/// <summary>The methods of Python's <c>str</c>; on markup, results are markup again and inserted text is escaped.</summary>
internal static class StringMethods
{
    private static readonly HashSet<string> Names =
    [
        "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find", "format", "format_map", "index",
        "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace",
        "istitle", "isupper", "join", "ljust", "lower", "lstrip", "maketrans", "partition", "removeprefix", "removesuffix", "replace",
        "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase",
        "title", "translate", "upper", "zfill",
    ];

    private static readonly HashSet<string> MarkupNames = ["unescape", "striptags", "escape"];

    /// <summary>The bound method, or null when strings have none of that name.</summary>
    public static Function? Find(object owner, string name)
    {
        bool markup = owner is Markup;
        if (!Names.Contains(name) && !(markup && MarkupNames.Contains(name)))
            return null;
        PyText.TryGet(owner, out string? text);
        return new Function(name, arguments => Call(text!, markup, name, arguments), "builtin_function_or_method");
    }

    private static object? Call(string text, bool markup, string name, Arguments arguments)
    {
        Budget.Scan(text.Length);
        object? result = name switch
        {
            "format" => BraceFormat.Format(text, arguments, markup),
            "format_map" => BraceFormat.FormatMap(text, arguments.Exactly(name, 1, 1)[0], markup),
            "split" or "rsplit" => Split(text, name, arguments),
            "splitlines" => SplitLines(text, arguments.Bind(name, "keepends")[0] is not Missing and var keep && Types.Truth(keep)),
            "partition" or "rpartition" => Partition(text, name, arguments),
            "join" => Join(text, arguments.Exactly(name, 1, 1)[0], markup),
            "replace" => Replace(text, arguments.Exactly(name, 2, 3), markup),
            "strip" or "lstrip" or "rstrip" => Strip(text, name, arguments.Exactly(name, 0, 1)),
            "center" or "ljust" or "rjust" => Justify(text, name, arguments.Exactly(name, 1, 2), markup),
            "zfill" => ZeroFill(text, Integers.Clamp(arguments.Exactly(name, 1, 1)[0])),
            "expandtabs" => ExpandTabs(text, arguments.Bind(name, "tabsize")[0] is not Missing and var tab ? Integers.Clamp(tab) : 8),
            "removeprefix" or "removesuffix" => Remove(text, name, Required(arguments.Exactly(name, 1, 1)[0], name)),
            "startswith" or "endswith" => Integers.Box(StartsOrEnds(text, name, arguments.Exactly(name, 1, 3))),
            "find" or "index" or "rfind" or "rindex" or "count" => Search(text, name, arguments.Exactly(name, 1, 3)),
            "translate" => Translate(text, arguments.Exactly(name, 1, 1)[0]),
            "maketrans" => MakeTranslation(arguments.Exactly(name, 1, 3)),
            "encode" => throw TemplateFault.Type("bytes are not supported"),
            "unescape" => HtmlText.Unescape(text),
            "striptags" => HtmlText.StripTags(text),
            "escape" => new Markup(Markup.Escape(arguments.Exactly(name, 1, 1)[0])),
            _ => Simple(text, name, arguments),
        };
        return markup && name is not ("unescape" or "striptags" or "maketrans") ? Mark(result) : result;
    }

    private static object? Mark(object? result) => result switch
    {
        string text => new Markup(text),
        PySequence sequence => PySequence.Make([.. sequence.Array.Select(i => i is string s ? new Markup(s) : i)], sequence.IsTuple),
        _ => result,
    };

    private static object? Simple(string text, string name, Arguments arguments)
    {
        arguments.Exactly(name, 0, 0);
        return name switch
        {
            "upper" => PyText.Upper(text),
            "lower" => PyText.Lower(text),
            "casefold" => PyText.Lower(text).Replace("ß", "ss", StringComparison.Ordinal).Replace('ς', 'σ'),
            "capitalize" => Capitalize(text),
            "title" => Title(text),
            "swapcase" => SwapCase(text),
            _ => Integers.Box(Classify(text, name)),
        };
    }

    public static string Capitalize(string text)
    {
        if (text.Length == 0)
            return text;
        int width = PyText.Width(text, 0);
        return PyText.Title(text[..width]) + LowerTail(text, width);
    }

    /// <summary>The lower case of <c>text[from..]</c>, seen in its context (a final sigma looks back).</summary>
    private static string LowerTail(string text, int from) => PyText.Lower(text)[PyText.Lower(text[..from]).Length..];

    public static string Title(string text)
    {
        var result = new StringBuilder(text.Length);
        string lower = PyText.Lower(text);
        bool sameLength = lower.Length == text.Length;
        bool inWord = false;
        for (int i = 0; i < text.Length;)
        {
            int width = PyText.Width(text, i);
            string character = text.Substring(i, width);
            result.Append(!inWord ? PyText.Title(character) : sameLength ? lower.Substring(i, width) : PyText.Lower(character));
            inWord = Rune.TryGetRuneAt(text, i, out Rune rune) && PyText.IsCased(rune);
            i += width;
        }

        return result.ToString();
    }

    private static string SwapCase(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (object? item in PyText.Characters(text))
        {
            string character = (string)item!;
            bool upper = Rune.TryGetRuneAt(character, 0, out Rune rune) && Rune.IsUpper(rune);
            result.Append(upper ? PyText.Lower(character) : PyText.Upper(character));
        }

        return result.ToString();
    }

    /// <summary>The <c>is...</c> methods.</summary>
    public static bool Classify(string text, string name)
    {
        if (name == "isascii")
            return Ascii.IsValid(text);
        if (name is "islower" or "isupper" or "istitle")
            return HasCase(text, name);
        if (name == "isidentifier")
            return IsIdentifier(text);
        if (name == "isprintable" && text.Length == 0)
            return true;
        for (int i = 0; i < text.Length; i += PyText.Width(text, i))
        {
            UnicodeCategory category = CharUnicodeInfo.GetUnicodeCategory(text, i);
            bool letter = category <= UnicodeCategory.OtherLetter;
            bool numeric = CharUnicodeInfo.GetNumericValue(text, i) >= 0 || category is UnicodeCategory.LetterNumber;
            bool matches = name switch
            {
                "isalpha" => letter,
                "isdecimal" => category == UnicodeCategory.DecimalDigitNumber,
                "isdigit" => CharUnicodeInfo.GetDigitValue(text, i) >= 0,
                "isnumeric" => numeric,
                "isalnum" => letter || numeric,
                "isspace" => PyText.IsSpace(text[i]),
                _ => Printer.IsPrintable(text, i),
            };
            if (!matches)
                return false;
        }

        return text.Length > 0;
    }

    private static bool HasCase(string text, string name)
    {
        bool any = false, previousCased = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool title = Rune.GetUnicodeCategory(rune) == UnicodeCategory.TitlecaseLetter;
            bool upper = Rune.IsUpper(rune) || title, lower = Rune.IsLower(rune);
            if (name == "istitle" ? (upper && previousCased) || (lower && !previousCased) : title || (name == "islower" ? upper : lower))
                return false;
            previousCased = upper || lower;
            any |= previousCased;
        }

        return any;
    }

    private static bool IsIdentifier(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (!(text[i] == '_' || char.IsLetter(text[i]) || char.IsSurrogate(text[i]) || (i > 0 && char.IsLetterOrDigit(text[i]))))
                return false;
        }

        return text.Length > 0;
    }

    private static string Required(object? value, string function) => PyText.TryGet(value, out string? text) ? text
        : throw TemplateFault.Type($"{function}() argument must be str, not {Types.Name(value)}");

    private static PySequence Split(string text, string name, Arguments arguments)
    {
        object?[] a = arguments.Bind(name, "sep", "maxsplit");
        int limit = a[1] is Missing ? -1 : Integers.Clamp(a[1]);
        if (limit < 0)
            limit = int.MaxValue;
        var parts = new List<object?>();
        if (a[0] is Missing or null)
        {
            SplitWords(text, limit, name == "rsplit", parts);
        }
        else
        {
            string separator = PyText.TryGet(a[0], out string? s) ? s : throw TemplateFault.Type($"must be str or None, not {Types.Name(a[0])}");
            if (separator.Length == 0)
                throw TemplateFault.Value("empty separator");
            if (name == "split")
                SplitForward(text, separator, limit, parts);
            else
                SplitBackward(text, separator, limit, parts);
        }

        return PySequence.List(parts);
    }

    private static void SplitForward(string text, string separator, int limit, List<object?> parts)
    {
        int start = 0;
        while (parts.Count < limit && text.IndexOf(separator, start, StringComparison.Ordinal) is >= 0 and int at)
        {
            parts.Add(text[start..at]);
            start = at + separator.Length;
        }

        parts.Add(start == 0 ? text : text[start..]);
    }

    private static void SplitBackward(string text, string separator, int limit, List<object?> parts)
    {
        int end = text.Length;
        while (parts.Count < limit && text.AsSpan(0, end).LastIndexOf(separator) is >= 0 and int at)
        {
            parts.Add(text[(at + separator.Length)..end]);
            end = at;
        }

        parts.Add(text[..end]);
        parts.Reverse();
    }

    private static void SplitWords(string text, int limit, bool backward, List<object?> parts)
    {
        int start = 0, end = text.Length;
        while (true)
        {
            while (start < end && PyText.IsSpace(text[start]))
                start++;
            while (backward && end > start && PyText.IsSpace(text[end - 1]))
                end--;
            if (start == end)
                break;
            if (parts.Count >= limit)
            {
                parts.Add(backward ? text[..end] : text[start..end]);
                break;
            }

            int i = backward ? end : start;
            if (backward)
            {
                while (i > start && !PyText.IsSpace(text[i - 1]))
                    i--;
                parts.Add(text[i..end]);
                end = i;
            }
            else
            {
                while (i < end && !PyText.IsSpace(text[i]))
                    i++;
                parts.Add(text[start..i]);
                start = i;
            }
        }

        if (backward)
            parts.Reverse();
    }

    public static PySequence SplitLines(string text, bool keepEnds)
    {
        var lines = new List<object?>();
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (!PyText.IsLineEnd(text[i]))
                continue;
            int end = i;
            if (text[i] == '\r' && i + 1 < text.Length && text[i + 1] == '\n')
                i++;
            lines.Add(text[start..(keepEnds ? i + 1 : end)]);
            start = i + 1;
        }

        if (start < text.Length)
            lines.Add(text[start..]);
        return PySequence.List(lines);
    }

    private static PySequence Partition(string text, string name, Arguments arguments)
    {
        string separator = Required(arguments.Exactly(name, 1, 1)[0], name);
        if (separator.Length == 0)
            throw TemplateFault.Value("empty separator");
        bool first = name == "partition";
        int at = first ? text.IndexOf(separator, StringComparison.Ordinal) : text.LastIndexOf(separator, StringComparison.Ordinal);
        if (at < 0)
            return first ? PySequence.Tuple(text, "", "") : PySequence.Tuple("", "", text);
        return PySequence.Tuple(text[..at], separator, text[(at + separator.Length)..]);
    }

    private static string Join(string separator, object? items, bool markup)
    {
        if (!Types.IsIterable(items))
            throw TemplateFault.Type("can only join an iterable");
        var text = new StringBuilder();
        int i = 0;
        foreach (object? item in Types.Iterate(items))
        {
            if (!markup && !PyText.TryGet(item, out _))
                throw TemplateFault.Type($"sequence item {i}: expected str instance, {Types.Name(item)} found");
            if (i++ > 0)
                text.Append(separator);
            text.Append(markup ? Markup.Escape(item) : Printer.Str(item));
            Budget.Text(separator.Length);
            if (text.Length > TemplateLimits.TextLength)
                throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters");
        }

        Budget.Text(text.Length);
        return text.ToString();
    }

    private static string Replace(string text, object?[] arguments, bool markup)
    {
        string old = Required(arguments[0], "replace");
        Required(arguments[1], "replace");
        string with = markup ? Markup.Escape(arguments[1]) : Printer.Str(arguments[1]);
        return Replace(text, old, with, arguments.Length > 2 ? Integers.Clamp(arguments[2]) : -1);
    }

    /// <summary>Replaces the first <paramref name="count"/> occurrences, all when negative; an empty text matches between characters.</summary>
    public static string Replace(string text, string old, string with, int count)
    {
        Budget.Scan(text.Length);
        if (count < 0)
            count = int.MaxValue;
        var result = new StringBuilder(text.Length);
        int position = 0;
        for (; count > 0; count--)
        {
            int at = text.IndexOf(old, position, StringComparison.Ordinal);
            if (at < 0)
                break;
            result.Append(text, position, at - position).Append(with);
            position = at + old.Length;
            if (old.Length == 0)
            {
                if (position >= text.Length)
                    return result.ToString();
                int width = PyText.Width(text, position);
                result.Append(text, position, width);
                position += width;
            }

            Budget.Charge(1 + (with.Length >> 4));
            if (result.Length > TemplateLimits.TextLength)
                throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters");
        }

        if (position == 0)
            return text;
        result.Append(text, position, text.Length - position);
        Budget.Text(result.Length);
        return result.ToString();
    }

    private static string Strip(string text, string name, object?[] arguments) =>
        Strip(text, arguments.Length > 0 ? arguments[0] : null, name != "rstrip", name != "lstrip");

    /// <summary>Removes white space, or the characters of <paramref name="characters"/>, from the chosen ends.</summary>
    public static string Strip(string text, object? characters, bool atStart, bool atEnd)
    {
        if (characters is null)
        {
            text = atStart ? PyText.TrimStart(text) : text;
            return atEnd ? PyText.TrimEnd(text) : text;
        }

        if (!PyText.TryGet(characters, out string? set))
            throw TemplateFault.Type($"strip arg must be None or str, not {Types.Name(characters)}");
        var runes = set.EnumerateRunes().ToHashSet();
        int start = 0, end = text.Length;
        while (atStart && start < end && Rune.TryGetRuneAt(text, start, out Rune first) && runes.Contains(first))
            start += first.Utf16SequenceLength;
        while (atEnd && end > start && Rune.DecodeLastFromUtf16(text.AsSpan(start, end - start), out Rune last, out int width) == System.Buffers.OperationStatus.Done && runes.Contains(last))
            end -= width;
        return text[start..end];
    }

    private static string Justify(string text, string name, object?[] arguments, bool markup)
    {
        string fill = " ";
        if (arguments.Length > 1)
        {
            fill = PyText.TryGet(arguments[1], out string? given) ? given : "";
            if (PyText.Length(fill) != 1)
                throw TemplateFault.Type("The fill character must be exactly one character long");
            fill = markup ? Markup.Escape(arguments[1]) : fill;
        }

        return Justify(text, name, Integers.Clamp(arguments[0]), fill);
    }

    public static string Justify(string text, string name, int width, string fill)
    {
        int missing = width - PyText.Length(text);
        if (missing <= 0)
            return text;
        Budget.Text(text.Length + ((long)missing * fill.Length));
        int left = name switch { "ljust" => 0, "rjust" => missing, _ => (missing / 2) + (missing & width & 1) };
        string Fill(int count) => fill.Length == 1 ? new string(fill[0], count) : string.Concat(Enumerable.Repeat(fill, count));
        return Fill(left) + text + Fill(missing - left);
    }

    private static string ZeroFill(string text, int width)
    {
        int missing = width - PyText.Length(text);
        if (missing <= 0)
            return text;
        Budget.Text((long)text.Length + missing);
        return text.Insert(text.Length > 0 && text[0] is '+' or '-' ? 1 : 0, new string('0', missing));
    }

    private static string ExpandTabs(string text, int size)
    {
        var result = new StringBuilder();
        int column = 0;
        foreach (char c in text)
        {
            if (c == '\t')
            {
                int spaces = size > 0 ? size - (column % size) : 0;
                Budget.Text(spaces);
                Budget.Text((long)result.Length + spaces);
                result.Append(' ', spaces);
                column += spaces;
            }
            else
            {
                result.Append(c);
                column = c is '\n' or '\r' ? 0 : column + (char.IsLowSurrogate(c) ? 0 : 1);
            }
        }

        return result.ToString();
    }

    private static string Remove(string text, string name, string part)
    {
        if (name == "removeprefix")
            return text.StartsWith(part, StringComparison.Ordinal) ? text[part.Length..] : text;
        return part.Length > 0 && text.EndsWith(part, StringComparison.Ordinal) ? text[..^part.Length] : text;
    }

    /// <summary>The UTF-16 range of code points <c>[start:end]</c>, with Python's rules for negative and missing bounds; null when empty beyond the end.</summary>
    private static (int Start, int End)? Range(string text, object?[] arguments)
    {
        if (arguments.Length == 1)
            return (0, text.Length);
        int length = PyText.Length(text);
        int start = arguments[1] is null ? 0 : Integers.Clamp(arguments[1]);
        int end = arguments.Length < 3 || arguments[2] is null ? length : Integers.Clamp(arguments[2]);
        start = start < 0 ? Math.Max(0, start + length) : start;
        end = end < 0 ? Math.Max(0, end + length) : Math.Min(end, length);
        if (start > length || start > end)
            return null;
        return (PyText.Offset(text, start), PyText.Offset(text, end));
    }

    private static bool StartsOrEnds(string text, string name, object?[] arguments)
    {
        bool starts = name == "startswith";
        object?[] candidates = arguments[0] is PySequence { IsTuple: true } tuple ? tuple.Array : [arguments[0]];
        (int Start, int End)? range = Range(text, arguments);
        foreach (object? candidate in candidates)
        {
            if (!PyText.TryGet(candidate, out string? part))
                throw TemplateFault.Type($"{name} first arg must be str or a tuple of str, not {Types.Name(candidate)}");
            if (range is not { } r)
                continue;
            ReadOnlySpan<char> span = text.AsSpan(r.Start, r.End - r.Start);
            if (starts ? span.StartsWith(part, StringComparison.Ordinal) : span.EndsWith(part, StringComparison.Ordinal))
                return true;
        }

        return false;
    }

    private static object Search(string text, string name, object?[] arguments)
    {
        string part = PyText.TryGet(arguments[0], out string? given) ? given : throw TemplateFault.Type($"must be str, not {Types.Name(arguments[0])}");
        (int Start, int End)? range = Range(text, arguments);
        ReadOnlySpan<char> span = range is { } r ? text.AsSpan(r.Start, r.End - r.Start) : [];
        if (name == "count")
            return Integers.Box(range is null ? 0L : part.Length == 0 ? PyText.Length(span.ToString()) + 1 : span.Count(part));
        int at = range is null ? -1 : name[0] == 'r' ? span.LastIndexOf(part) : span.IndexOf(part);
        if (at < 0)
            return name.EndsWith("index", StringComparison.Ordinal) ? throw TemplateFault.Value("substring not found") : Integers.Box(-1L);
        return Integers.Box((long)PyText.Index(text, range!.Value.Start + at));
    }

    private static PyDict MakeTranslation(object?[] arguments)
    {
        var table = new PyDict();
        if (arguments.Length == 1)
        {
            PyDict source = arguments[0] as PyDict ?? throw TemplateFault.Type("if you give only one argument to maketrans it must be a dict");
            foreach (KeyValuePair<object?, object?> entry in source.Entries)
                table[PyText.TryGet(entry.Key, out string? key) && key.Length > 0 ? Integers.Box((long)char.ConvertToUtf32(key, 0)) : entry.Key] = entry.Value;
            return table;
        }

        Rune[] from = [.. Required(arguments[0], "maketrans").EnumerateRunes()], to = [.. Required(arguments[1], "maketrans").EnumerateRunes()];
        if (from.Length != to.Length)
            throw TemplateFault.Value("the first two maketrans arguments must have equal length");
        for (int i = 0; i < from.Length; i++)
            table[Integers.Box((long)from[i].Value)] = Integers.Box((long)to[i].Value);
        if (arguments.Length > 2)
        {
            foreach (Rune rune in Required(arguments[2], "maketrans").EnumerateRunes())
                table[Integers.Box((long)rune.Value)] = null;
        }

        return table;
    }

    private static string Translate(string text, object? table)
    {
        var result = new StringBuilder(text.Length);
        foreach (object? item in PyText.Characters(text))
        {
            string character = (string)item!;
            object code = Integers.Box((long)(character.Length == 2 ? char.ConvertToUtf32(character, 0) : character[0]));
            object? mapped = character;
            if (table is PyDict dict && dict.TryGet(code, out object? found))
                mapped = Integers.TryLong(found, out long point) ? PercentFormat.Apply("%c", point, false) : found;
            result.Append(mapped is null ? "" : Printer.Str(mapped));
            Budget.Step();
            if (result.Length > TemplateLimits.TextLength)
                throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters");
        }

        return result.ToString();
    }
}
