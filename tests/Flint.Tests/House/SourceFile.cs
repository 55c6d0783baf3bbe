using System.Text;
using System.Text.RegularExpressions;

namespace Flint.Tests.House;

/// <summary>One C# file as the house rules see it: its raw text, and its code with comments and literals blanked out.</summary>
internal sealed partial class SourceFile
{
    /// <summary>A member of a type: where it starts and how many lines it takes.</summary>
    internal sealed record Member(string Name, int Line, int Lines);

    private SourceFile(string path, string text)
    {
        Path = path;
        Text = text;
        Code = Blank(text);
    }

    /// <summary>Path from the root of the repository, with forward slashes.</summary>
    internal string Path { get; }

    /// <summary>The file as it is.</summary>
    internal string Text { get; }

    /// <summary>The file with every comment, string and character literal replaced by spaces; same length, same lines.</summary>
    internal string Code { get; }

    /// <summary>Number of lines.</summary>
    internal int Lines => Text.AsSpan().TrimEnd('\n').Count('\n') + 1;

    /// <summary>Every C# file under a folder of the repository, build outputs left out, in path order.</summary>
    internal static List<SourceFile> Under(string folder)
    {
        string root = System.IO.Path.Combine(TestData.Root, folder);
        return [.. Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories)
            .Select(p => (Full: p, Relative: System.IO.Path.GetRelativePath(TestData.Root, p).Replace('\\', '/')))
            .Where(p => !p.Relative.Contains("/bin/", StringComparison.Ordinal) && !p.Relative.Contains("/obj/", StringComparison.Ordinal))
            .OrderBy(p => p.Relative, StringComparer.Ordinal)
            .Select(p => new SourceFile(p.Relative, File.ReadAllText(p.Full)))];
    }

    /// <summary>A file from text, for tests of the reader itself.</summary>
    internal static SourceFile Of(string path, string text) => new(path, text);

    /// <summary>Names of the types declared in the file.</summary>
    internal IEnumerable<string> DeclaredTypes() => TypeName().Matches(Code).Select(m => m.Groups[1].Value);

    /// <summary>Methods, constructors, operators and properties with bodies, nested ones included in the outer one.</summary>
    internal List<Member> Members()
    {
        var members = new List<Member>();
        var open = new Stack<(bool IsType, string? Name, int Start)>();
        int header = 0, line = 1, depth = 0;
        for (int i = 0; i < Code.Length; i++)
        {
            switch (Code[i])
            {
                case '\n': line++; break;
                case '(' or '[': depth++; break;
                case ')' or ']': depth--; break;
                case ';' when depth == 0: header = i + 1; break;
                case '{':
                    string head = Code[header..i];
                    bool inType = open.Count == 0 || open.Peek().IsType;
                    bool isType = inType && TypeHeader().IsMatch(WithoutAttributes(head));
                    string? name = inType && !isType ? MemberName(WithoutAttributes(head)) : null;
                    int first = line - head.AsSpan().TrimStart().Count('\n');
                    open.Push((isType, name, first));
                    header = i + 1;
                    break;
                case '}':
                    if (open.Count > 0)
                    {
                        var (_, closed, start) = open.Pop();
                        if (closed is not null) members.Add(new Member(closed, start, line - start + 1));
                    }
                    header = i + 1;
                    break;
            }
        }
        return members;
    }

    private static string? MemberName(string head)
    {
        int paren = head.IndexOf('(');
        int assign = Assignment().Match(head) is { Success: true } m ? m.Index : -1;
        if (assign >= 0 && (paren < 0 || assign < paren)) return null; // a field with an initialiser is a table, not code
        string before = (paren >= 0 ? head[..paren] : head.Split("=>")[0]).Trim();
        Match name = LastName().Match(before);
        return name.Success ? name.Value : null;
    }

    private static string WithoutAttributes(string head)
    {
        string rest = head.TrimStart();
        while (rest.StartsWith('['))
        {
            int depth = 0, i = 0;
            for (; i < rest.Length; i++)
            {
                if (rest[i] == '[') depth++;
                else if (rest[i] == ']' && --depth == 0) break;
            }
            rest = i < rest.Length ? rest[(i + 1)..].TrimStart() : "";
        }
        return rest;
    }

    /// <summary>Blanks comments and literals; the code inside the holes of interpolated strings goes with them.</summary>
    private static string Blank(string text)
    {
        var code = new StringBuilder(text);
        int i = 0;
        while (i < text.Length)
        {
            int end = SkipLiteral(text, i);
            if (end == i)
            {
                i++;
                continue;
            }
            for (; i < end; i++)
                if (text[i] != '\n') code[i] = ' ';
        }
        return code.ToString();
    }

    /// <summary>The end of the comment or literal that starts at <paramref name="i"/>, or <paramref name="i"/> itself.</summary>
    private static int SkipLiteral(string s, int i)
    {
        char c = s[i];
        if (c == '/' && At(s, i + 1) == '/') return IndexOrEnd(s, "\n", i, 0);
        if (c == '/' && At(s, i + 1) == '*') return IndexOrEnd(s, "*/", i + 2, 2);
        if (c == '\'') return SkipQuoted(s, i, '\'');
        int quote = i;
        bool verbatim = false, interpolated = false;
        while (At(s, quote) is '$' or '@')
        {
            verbatim |= s[quote] == '@';
            interpolated |= s[quote] == '$';
            quote++;
        }
        if (At(s, quote) != '"') return i;
        int run = quote;
        while (At(s, run) == '"') run++;
        if (run - quote >= 3 && !verbatim) return IndexOrEnd(s, new string('"', run - quote), run, run - quote);
        return verbatim ? SkipVerbatim(s, quote, interpolated) : interpolated ? SkipInterpolated(s, quote) : SkipQuoted(s, quote, '"');
    }

    private static int SkipQuoted(string s, int i, char quote)
    {
        for (i++; i < s.Length && s[i] != quote && s[i] != '\n'; i++)
            if (s[i] == '\\') i++;
        return Math.Min(i + 1, s.Length);
    }

    private static int SkipInterpolated(string s, int i)
    {
        int holes = 0;
        for (i++; i < s.Length; i++)
        {
            if (holes == 0 && s[i] == '\\') i++;
            else if (holes == 0 && s[i] == '"') return i + 1;
            else if (s[i] == '{' && holes == 0 && At(s, i + 1) == '{') i++;
            else if (s[i] == '{') holes++;
            else if (s[i] == '}' && holes > 0) holes--;
            else if (holes > 0 && SkipLiteral(s, i) is int end && end > i) i = end - 1;
        }
        return s.Length;
    }

    private static int SkipVerbatim(string s, int i, bool interpolated)
    {
        int holes = 0;
        for (i++; i < s.Length; i++)
        {
            if (s[i] == '"' && holes == 0)
            {
                if (At(s, i + 1) != '"') return i + 1;
                i++;
            }
            else if (interpolated && s[i] == '{') holes++;
            else if (interpolated && s[i] == '}' && holes > 0) holes--;
        }
        return s.Length;
    }

    private static char At(string s, int i) => i < s.Length ? s[i] : '\0';

    private static int IndexOrEnd(string s, string what, int from, int length)
    {
        int at = s.IndexOf(what, from, StringComparison.Ordinal);
        return at < 0 ? s.Length : at + length;
    }

    [GeneratedRegex(@"\b(?:class|struct|interface|enum|record(?:\s+(?:class|struct))?)\s+([A-Za-z_]\w*)")]
    private static partial Regex TypeName();

    [GeneratedRegex(@"^[^(]*\b(class|struct|interface|enum|record|namespace)\s+[A-Za-z_]")]
    private static partial Regex TypeHeader();

    [GeneratedRegex(@"(?<![=!<>])=(?![=>])")]
    private static partial Regex Assignment();

    [GeneratedRegex(@"[A-Za-z_]\w*(?=\s*(<[^<>]*>)?$)|\S+$")]
    private static partial Regex LastName();
}
