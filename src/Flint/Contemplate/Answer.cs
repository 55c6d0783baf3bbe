using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Flint.Contemplate;

/// <summary>What kind of thing an answer is when answers are compared.</summary>
public enum AnswerKind
{
    /// <summary>A number, however it is written.</summary>
    Number,

    /// <summary>The letter of a choice.</summary>
    Choice,

    /// <summary>A JSON object or array, whatever its spacing and the order of its keys.</summary>
    Json,

    /// <summary>A call of tools.</summary>
    Call,

    /// <summary>An answer that was put to a check (<see cref="ContemplationTask.Check"/>): all that pass are equal.</summary>
    Checked,

    /// <summary>Other text, without regard to case, white space and closing punctuation.</summary>
    Text,
}

/// <summary>What an answer says, without how it says it: equal answers are votes for the same.</summary>
/// <param name="Kind">What kind of thing it is.</param>
/// <param name="Key">The form in which equal answers are equal.</param>
public readonly partial record struct Answer(AnswerKind Kind, string Key)
{
    private const int ShortChars = 240; // a longer text may name a number without being about it
    private const int MaxJsonDepth = 64;

    /// <summary>The answer a draft gives; null where it says nothing.</summary>
    public static Answer? Of(Draft draft) => draft.Call is { } call ? new Answer(AnswerKind.Call, call) : Of(draft.Content);

    /// <summary>The answer a text gives; null where it is blank.</summary>
    public static Answer? Of(string text)
    {
        string answer = Unfenced(text.Trim());
        if (answer.Length == 0)
            return null;
        if (answer[0] is '{' or '[' && TryCanonical(answer, out string json))
            return new Answer(AnswerKind.Json, json);
        if (Boxed().Matches(answer) is { Count: > 0 } boxes)
            answer = boxes[^1].Groups[1].Value.Trim();
        else if (Named().Matches(answer) is { Count: > 0 } named)
            answer = named[^1].Groups[1].Value.Trim();
        if (Choice().Match(answer) is { Success: true } choice)
            return new Answer(AnswerKind.Choice, choice.Groups[1].Value + choice.Groups[2].Value + choice.Groups[3].Value);
        if (answer.Length <= ShortChars && OnlyNumber(answer) is { } number)
            return new Answer(AnswerKind.Number, number);
        string folded = Fold(answer);
        return folded.Length == 0 ? null : new Answer(AnswerKind.Text, folded);
    }

    /// <summary>The one form that JSON texts of equal meaning share: keys in ordinal order, numbers in their shortest form, no spaces.</summary>
    /// <returns>False where the text is no JSON.</returns>
    public static bool TryCanonical(string text, out string canonical)
    {
        canonical = "";
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = MaxJsonDepth });
            var written = new StringBuilder(text.Length);
            Write(document.RootElement, written);
            canonical = written.ToString();
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false; // no JSON, or a string with half of a surrogate pair
        }
    }

    private static void Write(JsonElement value, StringBuilder into)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                into.Append('{');
                string separator = "";
                // Of keys given twice the last counts, as most readers have it.
                foreach (var property in value.EnumerateObject().GroupBy(p => p.Name, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal))
                {
                    into.Append(separator).Append(JsonSerializer.Serialize(property.Key)).Append(':');
                    Write(property.Last().Value, into);
                    separator = ",";
                }
                into.Append('}');
                break;
            case JsonValueKind.Array:
                into.Append('[');
                string comma = "";
                foreach (JsonElement element in value.EnumerateArray())
                {
                    into.Append(comma);
                    Write(element, into);
                    comma = ",";
                }
                into.Append(']');
                break;
            case JsonValueKind.String:
                into.Append(JsonSerializer.Serialize(value.GetString()));
                break;
            case JsonValueKind.Number:
                into.Append(value.TryGetDecimal(out decimal number) ? Shortest(number) : value.GetRawText());
                break;
            default:
                into.Append(value.GetRawText());
                break;
        }
    }

    private static string Unfenced(string text)
    {
        const string fence = "```";
        int line = text.IndexOf('\n');
        return text.StartsWith(fence, StringComparison.Ordinal) && text.EndsWith(fence, StringComparison.Ordinal) && line > 0 && text.Length - fence.Length > line
            ? text[(line + 1)..^fence.Length].Trim()
            : text;
    }

    /// <summary>The number a short text names, where it names no other.</summary>
    private static string? OnlyNumber(string text)
    {
        string? only = null;
        foreach (Match match in Number().Matches(text))
        {
            string digits = match.Groups[2].Value.Replace(",", "");
            string sign = match.Groups[1].Length > 0 ? "-" : "";
            string found = decimal.TryParse(sign + digits, NumberStyles.Number, CultureInfo.InvariantCulture, out decimal number)
                ? Shortest(number)
                : sign + digits.TrimStart('0');
            found += match.Groups[3].Value;
            if (only is not null && only != found)
                return null;
            only = found;
        }
        return only;
    }

    private static string Shortest(decimal number) => number == 0 ? "0" : number.ToString("0.############################", CultureInfo.InvariantCulture);

    private static string Fold(string text)
    {
        var folded = new StringBuilder(text.Length);
        foreach (string word in text.ToLowerInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            folded.Append(folded.Length > 0 ? " " : "").Append(word);
        return folded.ToString().TrimEnd('.', '!', '?', ' ');
    }

    [GeneratedRegex(@"\\boxed\{([^{}]*)\}")]
    private static partial Regex Boxed();

    [GeneratedRegex(@"\banswer(?:\s+is\b|\s*[:=])\s*([^\n]+)", RegexOptions.IgnoreCase)]
    private static partial Regex Named();

    // A letter alone, in brackets, or before a bracket, dot or colon and the choice's text.
    [GeneratedRegex(@"^(?:([A-J])[.):]?|\(([A-J])\)(?:\s.*)?|([A-J])[.):]\s.*)\z", RegexOptions.Singleline)]
    private static partial Regex Choice();

    [GeneratedRegex(@"(?<![\w.])([-\u2212]?)\$?((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)(?!\w|\.[0-9])(%?)")]
    private static partial Regex Number();
}
