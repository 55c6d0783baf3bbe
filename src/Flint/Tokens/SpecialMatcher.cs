using System.Buffers;

namespace Flint.Tokens;

/// <summary>Finds special tokens written out in a text: the leftmost, and of those that begin there the longest.</summary>
internal sealed class SpecialMatcher
{
    private readonly SearchValues<char> _first;
    // A trie over UTF-16: (node, code unit) → node; and the id that ends at a node, or -1.
    private readonly Dictionary<(int Node, char Unit), int> _children = [];
    private readonly List<int> _ids = [-1];

    /// <summary>Builds the matcher of some tokens.</summary>
    public SpecialMatcher(IEnumerable<(string Text, int Id)> tokens)
    {
        var first = new HashSet<char>();
        foreach ((string text, int id) in tokens)
        {
            if (text.Length == 0) continue;
            first.Add(text[0]);
            int node = 0;
            foreach (char c in text)
            {
                if (!_children.TryGetValue((node, c), out int child))
                {
                    child = _ids.Count;
                    _ids.Add(-1);
                    _children.Add((node, c), child);
                }
                node = child;
            }
            _ids[node] = id;
        }
        _first = SearchValues.Create([.. first]);
    }

    /// <summary>The first special token at or after <paramref name="from"/>.</summary>
    public bool TryFind(ReadOnlySpan<char> text, int from, out int at, out int length, out int id)
    {
        for (at = from; at < text.Length; at++)
        {
            int skip = text[at..].IndexOfAny(_first);
            if (skip < 0) break;
            at += skip;
            (length, id) = Longest(text[at..]);
            if (length > 0) return true;
        }
        (at, length, id) = (text.Length, 0, -1);
        return false;
    }

    private (int Length, int Id) Longest(ReadOnlySpan<char> text)
    {
        int node = 0, length = 0, id = -1;
        for (int i = 0; i < text.Length && _children.TryGetValue((node, text[i]), out node); i++)
        {
            if (_ids[node] < 0) continue;
            length = i + 1;
            id = _ids[node];
        }
        return (length, id);
    }
}
