using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Flint.App.Policy;

/// <summary>
/// Strikes out of texts that are kept what names or may harm a person: e-mail addresses, card and phone numbers, values of fields with
/// telling names, and whatever patterns the operator adds. It looks into JSON, into JSON within its strings, and at plain text; time is
/// linear in the text. In doubt it strikes out.
/// </summary>
internal sealed class Redactor
{
    /// <summary>What it can detect by itself.</summary>
    public static readonly string[] Kinds = ["email", "card", "phone"];

    /// <summary>Fields whose values are struck out, unless others are named.</summary>
    public static readonly string[] UsualFields =
        ["password", "passwd", "secret", "token", "access_token", "refresh_token", "api_key", "authorization", "private_key", "ssn", "iban", "cvv", "pin"];

    /// <summary>Most names of fields, and most patterns.</summary>
    public const int MaxEntries = 64;

    private const int MaxDepth = 128, LeastNumber = 4, LeastCard = 13, MostCard = 19, LeastPhone = 8, MostPhone = 15;

    private static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly Regex Email = Create(@"[\p{L}\p{Nd}._%+'-]+@[\p{L}\p{Nd}-]+(?:\.[\p{L}\p{Nd}-]+)+", RegexOptions.None);

    // Fields of the APIs that name the person behind a request: told by its digest alone.
    private static readonly string[] People = ["user", "userid", "safetyidentifier"];

    /// <summary>One that detects all kinds and knows the usual fields. It is made of what stands above.</summary>
    public static readonly Redactor Usual = new(Kinds, UsualFields, []);

    private readonly bool _emails, _cards, _phones;
    private readonly HashSet<string> _fields;
    private readonly Regex? _named; // a field and its value in plain text
    private readonly (string Name, Regex Pattern)[] _patterns;

    /// <summary>Prepares one.</summary>
    /// <param name="kinds">Which of <see cref="Kinds"/>.</param>
    /// <param name="fields">Names of fields; case, dashes and underscores make no difference.</param>
    /// <param name="patterns">Further regular expressions, each with what stands in the place of what it finds.</param>
    /// <exception cref="FlintException">Caller: a name is empty, there are too many, or a pattern cannot be used.</exception>
    public Redactor(IReadOnlyList<string> kinds, IReadOnlyList<string> fields, IReadOnlyList<(string Name, string Pattern)> patterns)
    {
        if (fields.Count > MaxEntries || patterns.Count > MaxEntries)
            throw FlintException.Caller("invalid_rule", $"At most {MaxEntries} fields and {MaxEntries} patterns are struck out.");
        if (kinds.FirstOrDefault(kind => !Kinds.Contains(kind)) is { } unknown)
            throw FlintException.Caller("invalid_rule", $"What is detected is one of {string.Join(", ", Kinds)}, not '{unknown}'.");
        if (fields.FirstOrDefault(field => Normal(field).Length == 0) is { } empty)
            throw FlintException.Caller("invalid_rule", $"The name of a field has a letter or digit at least; '{empty}' has none.");
        (_emails, _cards, _phones) = (kinds.Contains(Kinds[0]), kinds.Contains(Kinds[1]), kinds.Contains(Kinds[2]));
        _fields = [.. fields.Select(Normal), .. People];
        if (fields.Count > 0)
            _named = Create($@"\b(?:{string.Join('|', fields.Select(InText))})\b[""']?\s*[:=]\s*((?:Bearer\s+)?(?:""[^""]*""|'[^']*'|[^\s,;]+))", RegexOptions.IgnoreCase);
        _patterns = [.. patterns.Select(one => (one.Name, Create(one.Pattern, RegexOptions.None)))];
    }

    /// <summary>A JSON text with what is to be struck out replaced.</summary>
    public string RedactJson(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = MaxDepth });
        return Rewrite(document.RootElement);
    }

    /// <summary>A plain text, or JSON, with what is to be struck out replaced.</summary>
    public string Redact(string text)
    {
        if (text.AsSpan().TrimStart() is ['{' or '[', ..] && TryRewrite(text) is { } json)
            return json;
        if (_named is not null)
            text = _named.Replace(text, static match => string.Concat(match.Value.AsSpan(0, match.Groups[1].Index - match.Index), "[field]"));
        foreach ((string name, Regex pattern) in _patterns)
            text = pattern.Replace(text, match => match.Length == 0 ? "" : $"[{name}]");
        if (_emails)
            text = Email.Replace(text, "[email]");
        if (_cards)
            text = StrikeNumbers(text, " -", 1, MostCard, IsCard, "[card]");
        if (_phones)
            text = StrikeNumbers(text, " ().-/", 3, MostPhone, IsPhone, "[phone]");
        return text;
    }

    private string? TryRewrite(string text)
    {
        try
        {
            return RedactJson(text);
        }
        catch (JsonException)
        {
            return null; // no JSON
        }
    }

    private string Rewrite(JsonElement root)
    {
        using var bytes = new MemoryStream();
        using (var writer = new Utf8JsonWriter(bytes, Plain))
            Rewrite(writer, root);
        return Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
    }

    private void Rewrite(Utf8JsonWriter writer, JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                writer.WriteStartObject();
                foreach (JsonProperty property in value.EnumerateObject())
                {
                    string name = TextOf(() => property.Name);
                    writer.WritePropertyName(Redact(name));
                    if (_fields.Contains(Normal(name)) && property.Value.ValueKind is not (JsonValueKind.Null or JsonValueKind.True or JsonValueKind.False))
                        writer.WriteStringValue("[field]");
                    else
                        Rewrite(writer, property.Value);
                }

                writer.WriteEndObject();
                break;
            case JsonValueKind.Array:
                writer.WriteStartArray();
                foreach (JsonElement item in value.EnumerateArray())
                    Rewrite(writer, item);
                writer.WriteEndArray();
                break;
            case JsonValueKind.String:
                writer.WriteStringValue(Redact(TextOf(() => value.GetString()!)));
                break;
            case JsonValueKind.Number when value.GetRawText() is { Length: >= LeastNumber } raw && Redact(raw) is var number && number != raw:
                writer.WriteStringValue(number);
                break;
            default:
                value.WriteTo(writer);
                break;
        }
    }

    // JSON's grammar allows half of a surrogate pair, of which no text can be made.
    private static string TextOf(Func<string> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException)
        {
            return "[no text]";
        }
    }

    // Numbers are written in groups of digits. Of groups that follow one another the longest row that is meant is struck out.
    private static string StrikeNumbers(string text, string between, int gap, int most, Func<string, bool> isMeant, string replacement)
    {
        List<(int Start, int End)> groups = GroupsOf(text);
        var kept = new StringBuilder();
        int told = 0;
        for (int first = 0; first < groups.Count;)
        {
            int start = groups[first].Start, end = -1, digits = 0, last = first;
            if (start > told && text[start - 1] is '+' or '(')
                start--;
            for (int next = first; next < groups.Count && (digits += groups[next].End - groups[next].Start) <= most; next++)
            {
                if (next > first && !Joins(text.AsSpan(groups[next - 1].End..groups[next].Start), between, gap))
                    break;
                if (StandsAlone(text, start, groups[next].End) && isMeant(text[start..groups[next].End]))
                    (end, last) = (groups[next].End, next);
            }

            first = last + 1;
            if (end < 0)
                continue;
            kept.Append(text, told, start - told).Append(replacement);
            told = end;
        }

        return told == 0 ? text : kept.Append(text, told, text.Length - told).ToString();
    }

    private static List<(int Start, int End)> GroupsOf(string text)
    {
        var groups = new List<(int Start, int End)>();
        for (int i = 0; i < text.Length; i++)
        {
            if (!char.IsAsciiDigit(text[i]))
                continue;
            int start = i;
            while (i < text.Length && char.IsAsciiDigit(text[i]))
                i++;
            groups.Add((start, i));
        }

        return groups;
    }

    private static bool Joins(ReadOnlySpan<char> gap, string between, int most) => gap.Length <= most && !gap.ContainsAnyExcept(between);

    private static bool StandsAlone(string text, int start, int end) =>
        (start == 0 || !char.IsLetter(text[start - 1])) && (end == text.Length || !char.IsLetter(text[end]));

    // By the check digit that all card numbers end with (Luhn, ISO/IEC 7812).
    private static bool IsCard(string text)
    {
        int sum = 0, count = 0;
        for (int i = text.Length - 1; i >= 0; i--)
        {
            if (!char.IsAsciiDigit(text[i]))
                continue;
            int digit = text[i] - '0';
            if (count++ % 2 == 1 && (digit *= 2) > 9)
                digit -= 9;
            sum += digit;
        }

        return count is >= LeastCard and <= MostCard && sum % 10 == 0;
    }

    // A bare row of digits is none, unless it begins as one does; nor is a decimal, a date, or the address of a machine.
    private static bool IsPhone(string text)
    {
        int digits = text.Count(char.IsAsciiDigit);
        if (digits is < LeastPhone or > MostPhone || (digits == text.Length && text[0] != '0'))
            return false;
        if (GroupsOf(text).Skip(1).Any(group => group.End - group.Start == 1))
            return false;
        return !IsAddress(text) && !(char.IsAsciiDigit(text[0]) && decimal.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out _) && digits < text.Length)
            && !(text.Length >= 10 && DateTime.TryParseExact(text.AsSpan(0, 10), "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out _));
    }

    // An address of IPv4, or the beginning of one.
    private static bool IsAddress(string text) => text.Split('.') is { Length: > 1 and <= 4 } parts && parts.All(part => byte.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out _));

    private static Regex Create(string pattern, RegexOptions options)
    {
        try
        {
            return new Regex(pattern, options | RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (Exception error) when (error is ArgumentException or NotSupportedException)
        {
            throw FlintException.Caller("invalid_rule", $"The pattern '{pattern}' cannot be used: {error.Message}");
        }
    }

    private static string Normal(string name) => string.Concat(name.Where(char.IsLetterOrDigit)).ToLowerInvariant();

    // Its words with a dash, an underscore, a blank or nothing between them.
    private static string InText(string field) => string.Join("[-_ ]?", field.Split(['-', '_', ' '], StringSplitOptions.RemoveEmptyEntries).Select(Regex.Escape));
}
