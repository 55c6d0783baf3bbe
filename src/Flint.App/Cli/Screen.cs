using System.Text;

namespace Flint.App.Cli;

/// <summary>
/// Standard output as an answer streams to it: content as it is, reasoning dimmed. On a terminal, control characters that a model
/// writes do not reach it; in a pipe, the content comes through byte for byte and reasoning is left out.
/// </summary>
internal sealed class Screen(TextWriter output, bool terminal, bool colour)
{
    private const string Dim = "\u001b[2m", Plain = "\u001b[0m";
    private bool _dimmed;
    private bool _lineOpen;

    /// <summary>The process's own standard output, as UTF-8.</summary>
    internal static Screen Standard() => new(
        new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false)),
        !Console.IsOutputRedirected,
        !Console.IsOutputRedirected && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")));

    /// <summary>A piece of the answer.</summary>
    internal void Content(string text)
    {
        Style(dimmed: false);
        Write(text);
    }

    /// <summary>A piece of the model's thoughts; only on a terminal.</summary>
    internal void Reasoning(string text)
    {
        if (!terminal) return;
        Style(dimmed: true);
        Write(text);
    }

    /// <summary>Ends the answer: plain style, and the line closed.</summary>
    internal void End()
    {
        if (_dimmed && colour) output.Write(Plain);
        _dimmed = false;
        if (_lineOpen) output.Write('\n');
        _lineOpen = false;
        output.Flush();
    }

    private void Style(bool dimmed)
    {
        if (_dimmed == dimmed) return;
        if (_lineOpen) output.Write('\n');
        if (colour) output.Write(dimmed ? Dim : Plain);
        _lineOpen = false;
        _dimmed = dimmed;
    }

    private void Write(string text)
    {
        if (text.Length == 0) return;
        output.Write(terminal ? Printable(text) : text);
        _lineOpen = text[^1] != '\n';
        output.Flush();
    }

    /// <summary>A text without the control characters that a terminal would obey.</summary>
    internal static string Printable(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\0', '\u001f') && !text.AsSpan().ContainsAnyInRange('\u007f', '\u009f')) return text;
        var clean = new StringBuilder(text.Length);
        foreach (char c in text)
            if (c is '\n' or '\t' || !char.IsControl(c)) clean.Append(c);
        return clean.ToString();
    }
}
