using System.Globalization;
using System.Numerics;
using System.Text;

namespace Flint.Dialects;

/// <summary>
/// Splits template source into tokens with <c>trim_blocks</c> and <c>lstrip_blocks</c> on, as chat templates are written for.
/// </summary>
internal sealed class Lexer
{
    private const string TwoCharacterOperators = "// ** == != >= <=";
    private const string OneCharacterOperators = "+-/*%~[](){}><=.:|,;";

    private readonly string source;
    private readonly List<Token> tokens = [];
    private readonly Stack<char> brackets = new();
    private int position;
    private bool lineStarting = true;
    private int countedLines = 1;
    private int countedTo;

    private Lexer(string source) => this.source = source;

    /// <summary>All tokens of <paramref name="text"/>, ending with <see cref="TokenKind.End"/>.</summary>
    public static List<Token> Tokenize(string text)
    {
        if (text.Length > TemplateLimits.SourceLength)
            throw TemplateFault.Limit($"a template may have {TemplateLimits.SourceLength} characters, this one has {text.Length}");
        string source = text.Contains('\r') ? NormalizeNewlines(text) : text;
        if (source.EndsWith('\n'))
            source = source[..^1];
        var lexer = new Lexer(source);
        lexer.Run();
        return lexer.tokens;
    }

    private static string NormalizeNewlines(string text) => text.Replace("\r\n", "\n").Replace('\r', '\n');

    private void Run()
    {
        while (position < source.Length)
        {
            int tag = FindTag(position);
            if (tag < 0)
            {
                AddData(source[position..], position);
                position = source.Length;
                break;
            }

            char kind = source[tag + 1];
            string data = source[position..tag];
            int rawEnd = kind == '%' ? MatchRaw(tag) : -1;
            int after = tag + 2;
            char sign = after < source.Length && source[after] is '-' or '+' ? source[after++] : '\0';
            string kept = Strip(data, sign, kind != '{');
            AddData(kept, position);
            if (rawEnd >= 0)
                ReadRaw(rawEnd);
            else if (kind == '#')
                SkipComment(after);
            else
                ReadTag(after, kind == '%');
        }

        tokens.Add(new Token(TokenKind.End, "", null, LineAt(position)));
    }

    private int FindTag(int from)
    {
        for (int i = source.IndexOf('{', from); i >= 0 && i + 1 < source.Length; i = source.IndexOf('{', i + 1))
        {
            if (source[i + 1] is '%' or '{' or '#')
                return i;
        }

        return -1;
    }

    /// <summary>Removes white space before a tag: all of it after a minus, the line's indentation before a block or comment.</summary>
    private string Strip(string data, char sign, bool stripIndentation)
    {
        if (sign == '-')
            return PyText.TrimEnd(data);
        if (sign == '+' || !stripIndentation)
            return data;
        int lineStart = data.LastIndexOf('\n') + 1;
        bool blank = lineStart < data.Length && (lineStart > 0 || lineStarting) && PyText.IsBlank(data.AsSpan(lineStart));
        return blank ? data[..lineStart] : data;
    }

    private void AddData(string text, int at)
    {
        if (text.Length > 0)
            tokens.Add(new Token(TokenKind.Data, text, null, LineAt(at)));
    }

    private void Add(TokenKind kind, string text, object? value = null) => tokens.Add(new Token(kind, text, value, LineAt(position)));

    /// <summary>The line of a position; asked for in rising order, so that the source is counted once.</summary>
    private int LineAt(int at)
    {
        if (at > countedTo)
        {
            countedLines += source.AsSpan(countedTo, at - countedTo).Count('\n');
            countedTo = at;
        }

        return countedLines;
    }

    /// <summary>The position behind <c>{% raw %}</c> opened at <paramref name="tag"/>, or -1 when it is another tag.</summary>
    private int MatchRaw(int tag)
    {
        int i = tag + 2;
        if (i < source.Length && source[i] is '-' or '+')
            i++;
        i = SkipSpace(i);
        if (string.CompareOrdinal(source, i, "raw", 0, 3) != 0)
            return -1;
        i = SkipSpace(i + 3);
        if (string.CompareOrdinal(source, i, "-%}", 0, 3) == 0)
            return SkipSpace(i + 3);
        return string.CompareOrdinal(source, i, "%}", 0, 2) == 0 ? i + 2 : -1;
    }

    private void ReadRaw(int start)
    {
        for (int i = source.IndexOf("{%", start, StringComparison.Ordinal); i >= 0; i = source.IndexOf("{%", i + 2, StringComparison.Ordinal))
        {
            int j = i + 2;
            char sign = j < source.Length && source[j] is '-' or '+' ? source[j++] : '\0';
            j = SkipSpace(j);
            if (string.CompareOrdinal(source, j, "endraw", 0, 6) != 0)
                continue;
            int end = MatchEnd(SkipSpace(j + 6), '%');
            if (end < 0)
                continue;
            lineStarting = source[start - 1] == '\n';
            AddData(Strip(source[start..i], sign, true), start);
            Finish(end);
            return;
        }

        throw TemplateFault.Syntax("Missing end of raw directive", LineAt(position));
    }

    private void SkipComment(int start)
    {
        int close = source.IndexOf("#}", start, StringComparison.Ordinal);
        if (close < 0)
            throw TemplateFault.Syntax("Missing end of comment tag", LineAt(position));
        int from = close > start && source[close - 1] is '-' or '+' ? close - 1 : close;
        int end = MatchEnd(from, '#');
        Finish(end);
    }

    private void Finish(int end)
    {
        position = end;
        lineStarting = source[end - 1] == '\n';
    }

    /// <summary>
    /// The position behind the end of a block (<c>%}</c>), comment (<c>#}</c>) or print tag (<c>}}</c>) at <paramref name="i"/>
    /// with the white space that it swallows, or -1.
    /// </summary>
    private int MatchEnd(int i, char closer)
    {
        bool At(int at) => at + 1 < source.Length && source[at] == closer && source[at + 1] == '}';
        if (i < source.Length && source[i] == '-' && At(i + 1))
            return SkipSpace(i + 3);
        if (closer != '}' && i < source.Length && source[i] == '+' && At(i + 1))
            return i + 3;
        if (!At(i))
            return -1;
        return closer != '}' && i + 2 < source.Length && source[i + 2] == '\n' ? i + 3 : i + 2;
    }

    private int SkipSpace(int i)
    {
        while (i < source.Length && PyText.IsSpace(source[i]))
            i++;
        return i;
    }

    private void ReadTag(int start, bool block)
    {
        position = start;
        Add(block ? TokenKind.BlockBegin : TokenKind.VariableBegin, "");
        brackets.Clear();
        while (position < source.Length)
        {
            int end = brackets.Count == 0 ? MatchEnd(position, block ? '%' : '}') : -1;
            if (end >= 0)
            {
                Add(block ? TokenKind.BlockEnd : TokenKind.VariableEnd, "");
                Finish(end);
                return;
            }

            char c = source[position];
            if (PyText.IsSpace(c))
            {
                position = SkipSpace(position);
            }
            else if (char.IsAsciiDigit(c))
            {
                ReadNumber();
            }
            else if (c == '_' || char.IsLetter(c))
            {
                int from = position;
                while (position < source.Length && (source[position] == '_' || char.IsLetterOrDigit(source[position])))
                    position++;
                Add(TokenKind.Name, source[from..position]);
            }
            else if (c is '\'' or '"')
            {
                ReadString(c);
            }
            else
            {
                ReadOperator(c);
            }
        }

        // The parser reports what it was still looking for.
    }

    private void ReadOperator(char c)
    {
        string two = position + 1 < source.Length ? source.Substring(position, 2) : "";
        if (two.Length == 2 && two[0] != ' ' && two[1] != ' ' && TwoCharacterOperators.Contains(two))
        {
            Add(TokenKind.Operator, two);
            position += 2;
            return;
        }

        if (!OneCharacterOperators.Contains(c))
            throw TemplateFault.Syntax($"unexpected char {Printer.Repr(c.ToString())} at {position}", LineAt(position));
        if (c is '(' or '[' or '{')
        {
            if (brackets.Count >= TemplateLimits.Nesting)
                throw TemplateFault.Syntax($"brackets nest deeper than {TemplateLimits.Nesting}", LineAt(position));
            brackets.Push(c == '(' ? ')' : c == '[' ? ']' : '}');
        }
        else if (c is ')' or ']' or '}')
        {
            if (!brackets.TryPop(out char expected))
                throw TemplateFault.Syntax($"unexpected '{c}'", LineAt(position));
            if (expected != c)
                throw TemplateFault.Syntax($"unexpected '{c}', expected '{expected}'", LineAt(position));
        }

        Add(TokenKind.Operator, c.ToString());
        position++;
    }

    private void ReadNumber()
    {
        int start = position;
        if (!(start > 0 && source[start - 1] == '.') && MatchFloat(start) is int end && end > 0)
        {
            string digits = source[start..end].Replace("_", "");
            position = end;
            Add(TokenKind.Float, digits, double.Parse(digits, NumberStyles.Float, CultureInfo.InvariantCulture));
            return;
        }

        BigInteger value;
        if (source[start] == '0' && start + 1 < source.Length && (source[start + 1] | 32) is 'x' or 'o' or 'b'
            && TryRadix(start, out value, out int after))
        {
            position = after;
        }
        else
        {
            // A leading zero stands alone: only further zeros may follow it.
            bool zero = source[start] == '0';
            int i = start + 1;
            while (i < source.Length && (IsDigit(i, zero) || (source[i] == '_' && i + 1 < source.Length && IsDigit(i + 1, zero))))
                i++;
            if (i - start > TemplateLimits.IntegerDigits)
                throw TemplateFault.Syntax($"an integer may have {TemplateLimits.IntegerDigits} digits", LineAt(position));
            value = BigInteger.Parse(source[start..i].Replace("_", ""), CultureInfo.InvariantCulture);
            position = i;
        }

        Add(TokenKind.Integer, source[start..position], Integers.Box(value));
    }

    private bool IsDigit(int i, bool zeroOnly) => zeroOnly ? source[i] == '0' : char.IsAsciiDigit(source[i]);

    private bool TryRadix(int start, out BigInteger value, out int end)
    {
        int radix = (source[start + 1] | 32) switch { 'x' => 16, 'o' => 8, _ => 2 };
        value = 0;
        end = start + 2;
        int digits = 0;
        for (int i = end; i < source.Length && digits <= TemplateLimits.IntegerDigits; i++)
        {
            if (source[i] == '_' && i + 1 < source.Length && PyText.DigitValue(source[i + 1]) < radix)
                continue;
            int digit = PyText.DigitValue(source[i]);
            if (digit >= radix)
                break;
            value = (value * radix) + digit;
            digits++;
            end = i + 1;
        }

        return digits > 0;
    }

    /// <summary>The end of a float literal at <paramref name="start"/>, or 0 when there is none.</summary>
    private int MatchFloat(int start)
    {
        int i = SkipDigits(start);
        int end = 0;
        if (i + 1 < source.Length && source[i] == '.' && char.IsAsciiDigit(source[i + 1]))
            end = i = SkipDigits(i + 1);
        if (i < source.Length && source[i] is 'e' or 'E')
        {
            int j = i + 1;
            if (j < source.Length && source[j] is '+' or '-')
                j++;
            if (j < source.Length && char.IsAsciiDigit(source[j]))
                end = SkipDigits(j);
        }

        return end;
    }

    private int SkipDigits(int i)
    {
        while (i < source.Length && (char.IsAsciiDigit(source[i]) || (source[i] == '_' && i + 1 < source.Length && char.IsAsciiDigit(source[i + 1]))))
            i++;
        return i;
    }

    private void ReadString(char quote)
    {
        int start = position + 1;
        int i = start;
        while (i < source.Length && source[i] != quote)
            i += source[i] == '\\' ? 2 : 1;
        if (i >= source.Length)
            throw TemplateFault.Syntax($"unexpected char {Printer.Repr(quote.ToString())} at {position}", LineAt(position));
        string raw = source[start..i];
        Add(TokenKind.Text, raw.Contains('\\') ? Unescape(raw) : raw);
        position = i + 1;
    }

    private string Unescape(string raw)
    {
        var text = new StringBuilder(raw.Length);
        for (int i = 0; i < raw.Length; i++)
        {
            if (raw[i] != '\\' || i + 1 >= raw.Length)
            {
                text.Append(raw[i]);
                continue;
            }

            char c = raw[++i];
            switch (c)
            {
                case '\n': break;
                case '\\' or '\'' or '"': text.Append(c); break;
                case 'a': text.Append('\a'); break;
                case 'b': text.Append('\b'); break;
                case 'f': text.Append('\f'); break;
                case 'n': text.Append('\n'); break;
                case 'r': text.Append('\r'); break;
                case 't': text.Append('\t'); break;
                case 'v': text.Append('\v'); break;
                case 'x': AppendHex(text, raw, ref i, 2, "truncated \\xXX escape"); break;
                case 'u': AppendHex(text, raw, ref i, 4, "truncated \\uXXXX escape"); break;
                case 'U': AppendHex(text, raw, ref i, 8, "truncated \\UXXXXXXXX escape"); break;
                case 'N': throw TemplateFault.Syntax("\\N{...} escapes are not supported", LineAt(position));
                case >= '0' and <= '7': AppendOctal(text, raw, ref i); break;
                default:
                    text.Append('\\');
                    text.Append(c < 128 ? c.ToString() : c < 256 ? $"x{(int)c:x2}" : $"u{(int)c:x4}");
                    break;
            }
        }

        return text.ToString();
    }

    private static void AppendOctal(StringBuilder text, string raw, ref int i)
    {
        int value = raw[i] - '0';
        for (int n = 1; n < 3 && i + 1 < raw.Length && raw[i + 1] is >= '0' and <= '7'; n++)
            value = (value * 8) + (raw[++i] - '0');
        text.Append((char)value);
    }

    private void AppendHex(StringBuilder text, string raw, ref int i, int digits, string error)
    {
        long value = 0;
        for (int n = 0; n < digits; n++)
        {
            if (i + 1 >= raw.Length || !char.IsAsciiHexDigit(raw[i + 1]))
                throw TemplateFault.Syntax(error, LineAt(position));
            value = (value * 16) + PyText.DigitValue(raw[++i]);
        }

        if (value > 0x10FFFF)
            throw TemplateFault.Syntax("illegal Unicode character", LineAt(position));
        if (value > 0xFFFF)
            text.Append(char.ConvertFromUtf32((int)value));
        else
            text.Append((char)value);
    }
}
