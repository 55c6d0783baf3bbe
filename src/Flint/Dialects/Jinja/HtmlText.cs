using System.Buffers;
using System.Net;
using System.Text;

namespace Flint.Dialects;

/// <summary>The filters about HTML text that Jinja2 builds in.</summary>
internal static class HtmlText
{
    private const string UrlSafe = "_.-~/";

    private static readonly SearchValues<char> NotInNames = SearchValues.Create(" \t\n\r\f\v/>=");

    public static string Unescape(string text) => WebUtility.HtmlDecode(text);

    /// <summary>Removes comments and tags, folds white space and decodes entities.</summary>
    public static string StripTags(string text)
    {
        Budget.Scan(text.Length);
        text = Cut(Cut(text, "<!--", "-->"), "<", ">");
        var folded = new StringBuilder(text.Length);
        foreach (char c in PyText.Trim(text))
        {
            if (!PyText.IsSpace(c))
                folded.Append(c);
            else if (folded[^1] != ' ')
                folded.Append(' ');
        }

        return Unescape(folded.ToString());
    }

    private static string Cut(string text, string open, string close)
    {
        var kept = new StringBuilder(text.Length);
        int position = 0;
        while (text.IndexOf(open, position, StringComparison.Ordinal) is >= 0 and int start
            && text.IndexOf(close, start, StringComparison.Ordinal) is >= 0 and int end)
        {
            kept.Append(text, position, start - position);
            position = end + close.Length;
        }

        return kept.Append(text, position, text.Length - position).ToString();
    }

    /// <summary>Percent-encodes UTF-8 bytes; in a query string a slash is encoded and a space is a plus.</summary>
    public static string UrlQuote(object? value, bool query)
    {
        var text = new StringBuilder();
        foreach (byte b in Encoding.UTF8.GetBytes(Printer.Str(value)))
        {
            char c = (char)b;
            if (char.IsAsciiLetterOrDigit(c) || (UrlSafe.Contains(c) && !(query && c == '/')))
                text.Append(c);
            else if (query && c == ' ')
                text.Append('+');
            else
                text.Append('%').Append(b.ToString("X2"));
        }

        Budget.Text(text.Length);
        return text.ToString();
    }

    public static object? UrlEncode(object? value)
    {
        if (value is string or Markup || !Types.IsIterable(value))
            return UrlQuote(value, false);
        var pairs = new List<string>();
        object? items = value is PyDict dict ? new PyView(dict, ViewKind.Items) : value;
        foreach (object? item in Types.Iterate(items))
        {
            object?[] pair = Types.ToArray(item);
            if (pair.Length != 2)
                throw TemplateFault.Value($"{(pair.Length < 2 ? "not enough" : "too many")} values to unpack (expected 2)");
            pairs.Add($"{UrlQuote(pair[0], true)}={UrlQuote(pair[1], true)}");
        }

        return string.Join('&', pairs);
    }

    /// <summary>Attributes of an element; None and undefined values are left out.</summary>
    public static object? Attributes(Arguments arguments)
    {
        object?[] a = arguments.Bind("xmlattr", "!d", "autospace");
        PyDict dict = a[0] as PyDict ?? throw (a[0] as Undefined)?.Fault() ?? new TemplateFault("AttributeError", $"'{Types.Name(a[0])}' object has no attribute 'items'");
        var text = new StringBuilder();
        foreach (KeyValuePair<object?, object?> entry in dict.Entries)
        {
            if (entry.Value is null or Undefined)
                continue;
            string key = PyText.TryGet(entry.Key, out string? name) ? name : throw TemplateFault.Type($"expected string or bytes-like object, got '{Types.Name(entry.Key)}'");
            if (key.AsSpan().IndexOfAny(NotInNames) >= 0)
                throw TemplateFault.Value($"Invalid character in attribute name: {Printer.Repr(key)}");
            text.Append(' ').Append(Markup.Escape(key)).Append("=\"").Append(Markup.Escape(entry.Value)).Append('"');
        }

        Budget.Text(text.Length);
        bool space = a[1] is Missing || Types.Truth(a[1]);
        return text.Length > 0 && !space ? text.ToString(1, text.Length - 1) : text.ToString();
    }

    /// <summary>Turns web and mail addresses that stand between white space into links.</summary>
    public static object? Urlize(Arguments arguments)
    {
        object?[] a = arguments.Bind("urlize", "!value", "trim_url_limit", "nofollow", "target", "rel", "extra_schemes");
        int limit = a[1] is Missing or null ? int.MaxValue : Integers.Clamp(a[1]);
        var relations = new SortedSet<string>(StringComparer.Ordinal) { "noopener" };
        foreach (string word in (a[4] is Missing or null ? "" : Printer.Str(a[4])).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            relations.Add(word);
        if (a[2] is not Missing && Types.Truth(a[2]))
            relations.Add("nofollow");
        string attributes = $" rel=\"{Markup.Escape(string.Join(' ', relations))}\"";
        if (a[3] is not (Missing or null))
            attributes += $" target=\"{Markup.Escape(a[3])}\"";
        string[] schemes = a[5] is Missing or null ? [] : [.. Types.ToArray(a[5]).Select(Printer.Str)];

        string text = Markup.Escape(Printer.Str(a[0]));
        var result = new StringBuilder();
        int i = 0;
        while (i < text.Length)
        {
            int start = i;
            bool space = PyText.IsSpace(text[i]);
            while (i < text.Length && PyText.IsSpace(text[i]) == space)
                i++;
            string word = text[start..i];
            result.Append(space ? word : Link(word, limit, attributes, schemes));
            Budget.Step();
            Budget.Text(result.Length >> 10);
        }

        Budget.Text(result.Length);
        return result.ToString();
    }

    private static string Link(string word, int limit, string attributes, string[] schemes)
    {
        string head = "", tail = "", middle = word;
        for (string? open = Opening(middle); open is not null; open = Opening(middle))
            (head, middle) = (head + open, middle[open.Length..]);
        for (string? close = Closing(middle); close is not null; close = Closing(middle))
            (middle, tail) = (middle[..^close.Length], close + tail);
        foreach ((string open, string close) in new[] { ("(", ")"), ("<", ">"), ("&lt;", "&gt;") })
        {
            int opened = middle.AsSpan().Count(open);
            if (opened <= middle.AsSpan().Count(close))
                continue;
            for (int n = Math.Min(opened, tail.AsSpan().Count(close)); n > 0; n--)
            {
                int end = tail.IndexOf(close, StringComparison.Ordinal) + close.Length;
                (middle, tail) = (middle + tail[..end], tail[end..]);
            }
        }

        return head + Anchor(middle, limit, attributes, schemes) + tail;
    }

    private static string? Opening(string text) => text.StartsWith('(') ? "(" : text.StartsWith('<') ? "<" : text.StartsWith("&lt;", StringComparison.Ordinal) ? "&lt;" : null;

    private static string? Closing(string text) =>
        text.EndsWith("&gt;", StringComparison.Ordinal) ? "&gt;" : text.Length > 0 && text[^1] is ')' or '>' or '.' or ',' ? text[^1..] : null;

    private static string Anchor(string text, int limit, string attributes, string[] schemes)
    {
        string shown = PyText.Length(text) > limit ? text[..PyText.Offset(text, Math.Max(0, limit))] + "..." : text;
        bool http = text.StartsWith("https://", StringComparison.Ordinal) || text.StartsWith("http://", StringComparison.Ordinal);
        if (IsWebAddress(text))
            return $"<a href=\"{(http ? "" : "https://")}{text}\"{attributes}>{shown}</a>";
        if (text.StartsWith("mailto:", StringComparison.Ordinal) && IsMailAddress(text[7..]))
            return $"<a href=\"{text}\">{text[7..]}</a>";
        if (!text.StartsWith("www.", StringComparison.Ordinal) && !text.StartsWith('@') && !text.Contains(':') && IsMailAddress(text))
            return $"<a href=\"mailto:{text}\">{text}</a>";
        foreach (string scheme in schemes)
        {
            if (text != scheme && text.StartsWith(scheme, StringComparison.Ordinal))
                return $"<a href=\"{text}\"{attributes}>{text}</a>";
        }

        return text;
    }

    private static bool IsWebAddress(string text)
    {
        string[] domains = ["com", "net", "int", "edu", "gov", "org", "info", "mil"];
        string lower = text.ToLowerInvariant();
        bool scheme = lower.StartsWith("http://", StringComparison.Ordinal) || lower.StartsWith("https://", StringComparison.Ordinal);
        bool www = lower.StartsWith("www.", StringComparison.Ordinal);
        string rest = scheme ? lower[(lower.IndexOf("//", StringComparison.Ordinal) + 2)..] : www ? lower[4..] : lower;
        int end = rest.AsSpan().IndexOfAny('/', '?', '#');
        string host = end < 0 ? rest : rest[..end];
        if (scheme && host.StartsWith('['))
            return host.IndexOf(']') > 3;
        int colon = host.LastIndexOf(':');
        if (colon >= 0)
        {
            if (host.Length - colon is < 2 or > 6 || !host.AsSpan(colon + 1).ContainsOnlyDigits())
                return false;
            host = host[..colon];
        }

        string[] labels = host.Split('.');
        if (labels.Any(l => l.Length == 0 || !l.All(c => char.IsLetterOrDigit(c) || c is '_' or '-' or '%')))
            return false;
        string top = labels[^1];
        bool domain = top.Length is >= 2 and <= 63 && (top.All(char.IsAsciiLetter) || top.StartsWith("xn--", StringComparison.Ordinal));
        if (scheme || www)
            return domain || (scheme && labels.Length == 4 && labels.All(l => l.Length <= 3 && l.AsSpan().ContainsOnlyDigits()));
        return labels.Length > 1 && domains.Contains(top) && labels[..^1].All(l => l.Length is >= 2 and <= 63);
    }

    private static bool ContainsOnlyDigits(this ReadOnlySpan<char> text) => text.IndexOfAnyExceptInRange('0', '9') < 0;

    private static bool IsMailAddress(string text)
    {
        int at = text.LastIndexOf('@');
        if (at < 1)
            return false;
        string host = text[(at + 1)..];
        int dot = host.LastIndexOf('.');
        return dot > 0 && dot < host.Length - 1 && char.IsLetterOrDigit(host[0])
            && host.All(c => char.IsLetterOrDigit(c) || c is '_' or '.' or '-') && host[(dot + 1)..].All(c => char.IsLetterOrDigit(c) || c == '_');
    }
}
