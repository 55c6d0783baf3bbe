using System.Text;
using System.Text.RegularExpressions;

namespace Flint.App.Policy;

/// <summary>Regular expressions as JSON schemas mean them: ECMA's. They are matched without backtracking, in time linear in the text.</summary>
internal static class EcmaPattern
{
    /// <summary>Prepares an expression.</summary>
    /// <exception cref="FlintException">Caller: it cannot be understood, or needs backtracking.</exception>
    public static Regex Create(string expression)
    {
        try
        {
            return new Regex(Translate(expression), RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (Exception error) when (error is ArgumentException or NotSupportedException)
        {
            throw FlintException.Caller("invalid_rule", $"The pattern '{expression}' of the schema cannot be used: {error.Message}");
        }
    }

    // There a dollar is the text's very end, digits and letters are ASCII's, and a bracket among others is itself.
    private static string Translate(string expression)
    {
        var text = new StringBuilder();
        bool inBrackets = false;
        for (int i = 0; i < expression.Length; i++)
        {
            char c = expression[i];
            if (c == '\\' && i + 1 < expression.Length)
            {
                text.Append(Escape(expression[++i], inBrackets));
            }
            else if (inBrackets)
            {
                text.Append(c == '[' ? @"\[" : c.ToString());
                inBrackets = c != ']';
            }
            else
            {
                text.Append(c == '$' ? @"\z" : c.ToString());
                inBrackets = c == '[';
            }
        }

        return text.ToString();
    }

    private static string Escape(char escaped, bool inBrackets) => (escaped, inBrackets) switch
    {
        ('d', true) => "0-9",
        ('d', false) => "[0-9]",
        ('w', true) => "A-Za-z0-9_",
        ('w', false) => "[A-Za-z0-9_]",
        ('D', false) => "[^0-9]",
        ('W', false) => "[^A-Za-z0-9_]",
        ('D' or 'W', true) => throw new NotSupportedException($"\\{escaped} in brackets; expected what it stands for."),
        _ => "\\" + escaped,
    };
}
