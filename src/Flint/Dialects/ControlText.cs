using System.Buffers;
using System.Text;
using Flint.Tokens;

namespace Flint.Dialects;

/// <summary>
/// Keeps text of strangers from becoming control tokens. A chat template mixes its own control tokens with what users wrote;
/// where a user wrote out such a token (<c>&lt;|eot|&gt;</c>), that text gets an invisible mark inside it before rendering, and
/// the stretch of the rendered prompt around a mark is encoded as plain text, without the mark.
/// </summary>
/// <remarks>The marks are Unicode noncharacters, which no template looks for and no interchanged text should hold.</remarks>
public sealed class ControlText
{
    private const char FirstMark = '\uFDD0';
    private const char LastMark = '\uFDEF';

    private readonly Tokenizer _tokenizer;
    private readonly SearchValues<string> _controls;
    private readonly HashSet<string> _texts;
    private readonly int _longest;

    /// <summary>Collects the control tokens of a vocabulary.</summary>
    public ControlText(Tokenizer tokenizer)
    {
        _tokenizer = tokenizer;
        _texts = [.. Enumerable.Range(0, tokenizer.Count).Where(tokenizer.IsSpecial).Select(tokenizer.Text).Where(text => text.Length > 0)];
        _controls = SearchValues.Create([.. _texts], StringComparison.Ordinal);
        _longest = _texts.Count == 0 ? 0 : _texts.Max(text => text.Length);
    }

    /// <summary>Whether a control token is written out in a text.</summary>
    public bool IsIn(string text) => text.AsSpan().ContainsAny(_controls);

    /// <summary>A character that can mark these texts, as it is in none of them; null where all candidates are taken.</summary>
    public static char? FindMark(IEnumerable<string> texts)
    {
        var taken = new HashSet<char>();
        foreach (string text in texts)
        {
            ReadOnlySpan<char> rest = text;
            for (int at; (at = rest.IndexOfAnyInRange(FirstMark, LastMark)) >= 0; rest = rest[(at + 1)..])
                taken.Add(rest[at]);
        }

        for (char mark = FirstMark; mark <= LastMark; mark++)
        {
            if (!taken.Contains(mark))
                return mark;
        }

        return null;
    }

    /// <summary>The text with a mark inside every control token written out in it.</summary>
    public string Mark(string text, char mark)
    {
        var marked = new StringBuilder(text.Length + 16);
        ReadOnlySpan<char> rest = text;
        for (int at; (at = rest.IndexOfAny(_controls)) >= 0; rest = rest[(at + 1)..])
            marked.Append(rest[..(at + 1)]).Append(mark);
        return marked.Append(rest).ToString();
    }

    /// <summary>The ids of a prompt rendered from marked texts: control tokens are those of the template only.</summary>
    public void Encode(string prompt, char mark, List<int> into)
    {
        ReadOnlySpan<char> rest = prompt;
        int trusted = 0; // what is encoded next begins here; up to `from` it holds no mark
        int from = 0;
        while (from < rest.Length)
        {
            int control = rest[from..].IndexOfAny(_controls);
            int end = control < 0 ? rest.Length : from + control;
            ReadOnlySpan<char> between = rest[from..end];
            if (between.Contains(mark))
            {
                _tokenizer.Encode(rest[trusted..from], parseSpecial: true, into);
                _tokenizer.Encode(between.ToString().Replace(mark.ToString(), ""), parseSpecial: false, into);
                trusted = end;
            }

            from = control < 0 ? end : end + LengthAt(rest[end..]);
        }

        _tokenizer.Encode(rest[trusted..], parseSpecial: true, into);
    }

    /// <summary>Where the last control token written out in a text ends; 0 where there is none.</summary>
    internal int EndOfLast(ReadOnlySpan<char> text)
    {
        int end = 0;
        for (int at; (at = text[end..].IndexOfAny(_controls)) >= 0;) end += at + LengthAt(text[(end + at)..]);
        return end;
    }

    // Of the control tokens that begin here, the longest is the one the tokenizer takes.
    private int LengthAt(ReadOnlySpan<char> text)
    {
        HashSet<string>.AlternateLookup<ReadOnlySpan<char>> lookup = _texts.GetAlternateLookup<ReadOnlySpan<char>>();
        for (int length = Math.Min(_longest, text.Length); length > 1; length--)
        {
            if (lookup.Contains(text[..length]))
                return length;
        }

        return 1;
    }
}
