using System.Runtime.InteropServices;
using System.Text;

namespace Flint.Tokens;

/// <summary>
/// Merges the most frequent pair of neighbours in a set of words again and again. Counts of pairs are kept up as words change, and
/// only words that hold the pair are visited, so the cost goes with what changes.
/// </summary>
internal sealed class BpeMerger
{
    private sealed class Pair
    {
        public long Count;
        public long Queued;

        // Words that hold the pair, or held it once.
        public readonly List<int> Words = [];
    }

    private readonly bool _mergeDigits;
    private readonly List<int[]> _words = [];
    private readonly List<int> _lengths = [];
    private readonly List<long> _counts = [];
    private readonly List<byte[]> _tokens = [];
    private readonly List<bool> _frozen = [];
    private readonly Dictionary<string, int> _byText = new(StringComparer.Ordinal);
    private readonly Dictionary<ulong, Pair> _pairs = [];
    private readonly Dictionary<ulong, int> _done = [];
    private readonly HashSet<ulong> _changed = [];
    private readonly PriorityQueue<ulong, (long NegativeCount, ulong Pair)> _queue = new();

    /// <summary>Starts with the 256 bytes and no words.</summary>
    public BpeMerger(bool mergeDigits)
    {
        _mergeDigits = mergeDigits;
        for (int b = 0; b < 256; b++) Token([(byte)b]);
    }

    /// <summary>The bytes of each token, by id.</summary>
    public IReadOnlyList<byte[]> Tokens => _tokens;

    /// <summary>Adds a word that occurs so often.</summary>
    public void AddWord(string word, long count)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(word);
        if (bytes.Length < 2) return;
        _words.Add(Array.ConvertAll(bytes, b => (int)b));
        _lengths.Add(bytes.Length);
        _counts.Add(count);
    }

    /// <summary>Merges until there are so many new tokens, or no pair occurs often enough.</summary>
    /// <returns>The merges in order, as ids.</returns>
    public List<(int Left, int Right)> Learn(int newTokens, int leastCount)
    {
        for (int w = 0; w < _words.Count; w++) CountPairs(w, 1);
        Requeue();
        var merges = new List<(int, int)>(newTokens);
        int wanted = _tokens.Count + newTokens;
        while (_tokens.Count < wanted && _queue.TryDequeue(out ulong key, out (long NegativeCount, ulong Pair) priority))
        {
            // An entry is stale when the count has changed since; the newer entry stands in the queue too.
            if (!_pairs.TryGetValue(key, out Pair? pair) || pair.Count != -priority.NegativeCount) continue;
            if (pair.Count < leastCount) break;
            int left = (int)(key >> 32), right = (int)(uint)key;
            merges.Add((left, right));
            int merged = Token([.. _tokens[left], .. _tokens[right]]);
            _done.Add(key, merged);
            Merge(key, pair, merged);
        }
        return merges;
    }

    private void Merge(ulong key, Pair pair, int merged)
    {
        int left = (int)(key >> 32), right = (int)(uint)key;
        _pairs.Remove(key);
        foreach (int w in pair.Words)
        {
            int[] word = _words[w];
            int length = _lengths[w];
            if (!Holds(word.AsSpan(0, length), left, right)) continue;
            CountPairs(w, -1);
            length = Replace(word, length, left, right, merged);
            // Where two merges spell one token, a pair that was merged before can come back: an encoder merges it at once.
            for (int i = 0; i + 1 < length; i++)
            {
                if (!_done.TryGetValue(KeyOf(word[i], word[i + 1]), out int again)) continue;
                length = Replace(word, length, word[i], word[i + 1], again);
                i = -1;
            }
            _lengths[w] = length;
            CountPairs(w, 1);
        }
        _pairs.Remove(key);
        Requeue();
    }

    private static int Replace(int[] word, int length, int left, int right, int merged)
    {
        int kept = 0;
        for (int i = 0; i < length; i++)
        {
            bool here = i + 1 < length && word[i] == left && word[i + 1] == right;
            word[kept++] = here ? merged : word[i];
            if (here) i++;
        }
        return kept;
    }

    private static ulong KeyOf(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    private static bool Holds(ReadOnlySpan<int> word, int left, int right)
    {
        for (int i = 0; i + 1 < word.Length; i++)
            if (word[i] == left && word[i + 1] == right) return true;
        return false;
    }

    /// <summary>Adds a word's pairs to the counts, or takes them away.</summary>
    private void CountPairs(int w, int sign)
    {
        ReadOnlySpan<int> word = _words[w].AsSpan(0, _lengths[w]);
        long count = sign * _counts[w];
        for (int i = 0; i + 1 < word.Length; i++)
        {
            if (_frozen[word[i]] || _frozen[word[i + 1]]) continue;
            ulong key = KeyOf(word[i], word[i + 1]);
            ref Pair? pair = ref CollectionsMarshal.GetValueRefOrAddDefault(_pairs, key, out _);
            pair ??= new Pair();
            pair.Count += count;
            if (sign > 0 && (pair.Words.Count == 0 || pair.Words[^1] != w)) pair.Words.Add(w);
            _changed.Add(key);
        }
    }

    private void Requeue()
    {
        foreach (ulong key in _changed)
        {
            if (!_pairs.TryGetValue(key, out Pair? pair)) continue;
            if (pair.Count == 0)
            {
                _pairs.Remove(key);
            }
            else if (pair.Count != pair.Queued)
            {
                pair.Queued = pair.Count;
                _queue.Enqueue(key, (-pair.Count, key));
            }
        }
        _changed.Clear();
    }

    // Two different merges may spell the same bytes: they share the token.
    private int Token(byte[] bytes)
    {
        string text = ByteAlphabet.Encode(bytes);
        if (_byText.TryGetValue(text, out int id)) return id;
        id = _tokens.Count;
        _byText.Add(text, id);
        _tokens.Add(bytes);
        _frozen.Add(!_mergeDigits && bytes.AsSpan().ContainsAnyInRange((byte)'0', (byte)'9'));
        return id;
    }
}
