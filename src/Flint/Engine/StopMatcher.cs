using System.Text;

namespace Flint.Engine;

/// <summary>Finds stop strings in a text that comes byte by byte, and says how much of it cannot become part of one.</summary>
/// <remarks>
/// Each string is followed by the automaton of Knuth, Morris and Pratt (1977) over its UTF-8 bytes. The match that ends first
/// wins; of several that end together, the longest. Nothing is allocated after construction.
/// </remarks>
internal sealed class StopMatcher
{
    private readonly byte[][] _patterns;
    private readonly int[][] _failures; // [s][n]: the longest proper border of the first n bytes
    private readonly int[] _matched; // [s]: how many bytes of pattern s the text ends with

    /// <summary>A matcher of these strings, none of them empty.</summary>
    public StopMatcher(IReadOnlyList<string> stops)
    {
        _patterns = new byte[stops.Count][];
        _failures = new int[stops.Count][];
        _matched = new int[stops.Count];
        for (int s = 0; s < stops.Count; s++)
        {
            _patterns[s] = Encoding.UTF8.GetBytes(stops[s]);
            _failures[s] = Failures(_patterns[s]);
        }
    }

    /// <summary>Bytes seen.</summary>
    public int Position { get; private set; }

    /// <summary>Bytes that are not the beginning of a stop string, whatever follows.</summary>
    public int Released { get; private set; }

    /// <summary>The index of the stop string found; -1 until then.</summary>
    public int Match { get; private set; } = -1;

    /// <summary>Adds bytes. Where a stop string ends in them, <see cref="Released"/> is where it begins and the rest is not looked at.</summary>
    /// <returns>Whether a stop string was found.</returns>
    public bool Push(ReadOnlySpan<byte> bytes)
    {
        foreach (byte b in bytes)
        {
            Position++;
            int longest = 0;
            for (int s = 0; s < _patterns.Length; s++)
            {
                int n = Next(_patterns[s], _failures[s], _matched[s], b);
                _matched[s] = n;
                longest = Math.Max(longest, n);
                if (n == _patterns[s].Length && (Match < 0 || n > _patterns[Match].Length))
                    Match = s;
            }
            if (Match >= 0)
            {
                Released = Position - _patterns[Match].Length;
                return true;
            }
            Released = Position - longest;
        }
        return false;
    }

    /// <summary>Ends the text here: nothing before can be part of a stop string any more.</summary>
    public void Break()
    {
        Array.Clear(_matched);
        Released = Position;
    }

    private static int Next(byte[] pattern, int[] failures, int matched, byte b)
    {
        while (matched > 0 && pattern[matched] != b)
            matched = failures[matched];
        return pattern[matched] == b ? matched + 1 : 0;
    }

    private static int[] Failures(byte[] pattern)
    {
        int[] failures = new int[pattern.Length + 1];
        for (int n = 2; n <= pattern.Length; n++)
            failures[n] = Next(pattern, failures, failures[n - 1], pattern[n - 1]);
        return failures;
    }
}
