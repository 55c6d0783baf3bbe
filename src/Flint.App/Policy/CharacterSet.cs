using System.Collections.Concurrent;
using System.Text.RegularExpressions;

namespace Flint.App.Policy;

/// <summary>The characters that one piece of a regular expression matches, such as <c>[a-z]</c> or <c>\d</c>.</summary>
internal sealed class CharacterSet
{
    private readonly Regex _regex;
    private readonly bool[] _ascii = new bool[128];
    private readonly ConcurrentDictionary<char, bool> _others = new();

    /// <summary>Prepares a set.</summary>
    /// <param name="atom">The piece, which matches one character.</param>
    /// <param name="options">Those of the expression.</param>
    public CharacterSet(string atom, RegexOptions options)
    {
        _regex = new Regex($@"\A(?:{atom})\z", options);
        for (char c = '\0'; c < _ascii.Length; c++)
            _ascii[c] = _regex.IsMatch(new ReadOnlySpan<char>(in c));
    }

    /// <summary>Whether a character is in it.</summary>
    public bool Holds(char c) => c < _ascii.Length ? _ascii[c] : _others.GetOrAdd(c, static (one, regex) => regex.IsMatch(new ReadOnlySpan<char>(in one)), _regex);
}
