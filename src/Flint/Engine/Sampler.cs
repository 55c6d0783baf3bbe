using System.Numerics;

namespace Flint.Engine;

/// <summary>
/// Draws tokens from logits in the order <see cref="SamplingOptions"/> tells, and gives log-probabilities of the model's own
/// distribution. All scratch is made once; one thread uses a sampler.
/// </summary>
/// <remarks>
/// Filters never sort the vocabulary: they find the element at which a sum is reached and keep what comes before it. The
/// candidates stay in order of token id, and the draw walks them in that order, so the tokens depend on the logits, the options,
/// the seed and the index alone.
/// </remarks>
internal sealed class Sampler
{
    private const float MaxScale = 1e30f; // of 1 / temperature, so that 0 times it stays 0

    private readonly int _vocabulary;
    private readonly float[] _logits; // after penalties and bias
    private readonly int[] _ids; // candidates, ascending
    private readonly float[] _keys; // their scaled logits: at most 0
    private readonly float[] _weights; // exp of these
    private readonly float[] _surprise;
    private readonly int[] _order;
    private readonly int[] _inWindow; // times a token is in the window
    private readonly int[] _generated; // of these, generated
    private readonly double[] _blockSums;

    /// <summary>A sampler of rows of so many logits.</summary>
    public Sampler(int vocabulary)
    {
        _vocabulary = vocabulary;
        _logits = new float[vocabulary];
        _ids = new int[vocabulary];
        _keys = new float[vocabulary];
        _weights = new float[vocabulary];
        _surprise = new float[vocabulary];
        _order = new int[vocabulary];
        _inWindow = new int[vocabulary];
        _generated = new int[vocabulary];
        _blockSums = new double[(vocabulary + Reductions.SumBlock - 1) / Reductions.SumBlock];
    }

    /// <summary>The seed of one of a request's samples.</summary>
    public static ulong SampleSeed(ulong seed, int sample) => Mix(seed + 0x9E3779B97F4A7C15 * ((ulong)sample + 1));

    /// <summary>
    /// The number in [0, 1) that draws token <paramref name="index"/> of a sequence. Counter-based: the top 53 bits of the
    /// SplitMix64 finalizer (Steele, Lea, Flood 2014) of the seed plus (index + 1) golden-ratio steps, so no state is kept.
    /// </summary>
    public static double Uniform(ulong sampleSeed, int index) =>
        (Mix(sampleSeed + 0x9E3779B97F4A7C15 * ((ulong)index + 1)) >> 11) * (1.0 / (1UL << 53));

    /// <summary>Draws a token.</summary>
    /// <param name="logits">The model's logits; not changed.</param>
    /// <param name="options">How to draw.</param>
    /// <param name="tokens">Prompt and generated tokens so far.</param>
    /// <param name="promptLength">How many of them are the prompt's.</param>
    /// <param name="uniform">A number in [0, 1) from <see cref="Uniform"/>.</param>
    /// <param name="allowed">The tokens that may be drawn, bit t of word t / 64 for token t; empty for all.</param>
    /// <returns>The token id; -1 where the logits hold no number to draw from.</returns>
    public int Sample(
        ReadOnlySpan<float> logits, SamplingOptions options, ReadOnlySpan<int> tokens, int promptLength, double uniform,
        ReadOnlySpan<ulong> allowed = default)
    {
        ReadOnlySpan<float> row = Adjust(logits, options, tokens, promptLength, allowed);
        int likeliest = Reductions.ArgMax(row);
        if (likeliest < 0 || options.Temperature == 0 || options.TopK == 1)
            return likeliest;

        float max = row[likeliest];
        float scale = Math.Min(1 / options.Temperature, MaxScale);
        bool topK = options.TopK > 0 && options.TopK < _vocabulary;
        if (!topK && options.TopP >= 1 && options.MinP <= 0 && options.TypicalP >= 1)
        {
            double sum = Reductions.Exp(row, max, scale, _weights, _blockSums);
            return DrawFromAll(uniform * sum);
        }

        int count;
        if (topK)
        {
            count = KeepTopK(row, options.TopK);
            double total = Weigh(row, max, scale, count);
            if (options.TopP < 1)
                count = KeepTopP(count, options.TopP * total);
        }
        else if (options.TopP < 1 || options.TypicalP < 1)
        {
            double total = Reductions.Exp(row, max, scale, _weights, _blockSums);
            count = Gather(row, options, max, scale, total);
            if (options.TopP < 1)
                count = KeepTopP(count, options.TopP * total);
        }
        else
        {
            count = Reductions.AtLeast(row, max + ((float)Math.Log(options.MinP) - 1) / scale, _ids);
            Weigh(row, max, scale, count);
        }
        if (options.MinP > 0)
            count = KeepMinP(count, options.MinP);
        if (options.TypicalP < 1)
            count = KeepTypical(count, options.TypicalP);
        return Draw(count, uniform);
    }

    /// <summary>
    /// The natural logarithm of the sum of the logits' exponentials: a token's log-probability is its logit less this. NaN where
    /// the logits hold no number.
    /// </summary>
    public double LogSumExp(ReadOnlySpan<float> logits)
    {
        int likeliest = Reductions.ArgMax(logits);
        if (likeliest < 0)
            return double.NaN;
        return logits[likeliest] + Math.Log(Reductions.Exp(logits, logits[likeliest], 1, _weights, _blockSums));
    }

    /// <summary>The likeliest tokens, likeliest first and lower ids first among equals, with their log-probabilities.</summary>
    public static void Top(ReadOnlySpan<float> logits, double logSumExp, Span<int> tokens, Span<float> logprobs)
    {
        if (tokens.Length == 0)
            return;
        Reductions.Largest(logits, tokens);
        for (int i = 1; i < tokens.Length; i++)
        {
            int token = tokens[i];
            int at = i;
            for (; at > 0 && ComesBefore(logits, token, tokens[at - 1]); at--)
                tokens[at] = tokens[at - 1];
            tokens[at] = token;
        }
        for (int i = 0; i < tokens.Length; i++)
            logprobs[i] = (float)(logits[tokens[i]] - logSumExp);
    }

    private static bool ComesBefore(ReadOnlySpan<float> logits, int a, int b) =>
        logits[a] > logits[b] || (logits[a] == logits[b] && a < b);

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>The logits with penalties and bias, and without the tokens that are not allowed; the model's own row where there is none of it.</summary>
    private ReadOnlySpan<float> Adjust(
        ReadOnlySpan<float> logits, SamplingOptions options, ReadOnlySpan<int> tokens, int promptLength, ReadOnlySpan<ulong> allowed)
    {
        if (!options.HasPenalties && options.LogitBias is null && allowed.IsEmpty)
            return logits;
        Span<float> row = _logits;
        logits.CopyTo(row);
        if (options.HasPenalties)
            Penalize(row, options, tokens, promptLength);
        if (options.LogitBias is not null)
        {
            foreach (KeyValuePair<int, float> bias in options.LogitBias)
                row[bias.Key] += bias.Value;
        }
        if (!allowed.IsEmpty)
            Forbid(row, allowed);
        return row;
    }

    private static void Forbid(Span<float> row, ReadOnlySpan<ulong> allowed)
    {
        for (int word = 0; word < allowed.Length; word++)
        {
            ulong rest = ~allowed[word];
            int first = word * 64, count = Math.Min(64, row.Length - first);
            if (rest == ulong.MaxValue)
            {
                row.Slice(first, count).Fill(float.NegativeInfinity);
                continue;
            }
            if (count < 64)
                rest &= (1UL << count) - 1;
            for (; rest != 0; rest &= rest - 1)
                row[first + BitOperations.TrailingZeroCount(rest)] = float.NegativeInfinity;
        }
    }

    private void Penalize(Span<float> row, SamplingOptions options, ReadOnlySpan<int> tokens, int promptLength)
    {
        int start = options.PenaltyWindow == 0 ? 0 : Math.Max(0, tokens.Length - options.PenaltyWindow);
        for (int i = start; i < tokens.Length; i++)
        {
            _inWindow[tokens[i]]++;
            if (i >= promptLength)
                _generated[tokens[i]]++;
        }
        for (int i = start; i < tokens.Length; i++)
        {
            int token = tokens[i];
            if (_inWindow[token] == 0)
                continue; // done at an earlier place
            float value = row[token];
            value = value > 0 ? value / options.RepetitionPenalty : value * options.RepetitionPenalty;
            if (_generated[token] > 0)
                value -= _generated[token] * options.FrequencyPenalty + options.PresencePenalty;
            row[token] = value;
            _inWindow[token] = 0;
            _generated[token] = 0;
        }
    }

    /// <summary>Candidates: the k likeliest.</summary>
    private int KeepTopK(ReadOnlySpan<float> row, int k)
    {
        Reductions.Largest(row, _order.AsSpan(0, k));
        int last = _order[0];
        int count = Reductions.AtLeast(row, row[last], _ids);
        if (count == k)
            return k;
        int kept = 0; // of the tokens that equal the k-th, those of higher id go
        for (int i = 0; i < count; i++)
        {
            if (row[_ids[i]] > row[last] || _ids[i] <= last)
                _ids[kept++] = _ids[i];
        }
        return kept;
    }

    /// <summary>Candidates, where there is no top-k: all tokens that top-p could keep. All are weighed already.</summary>
    private int Gather(ReadOnlySpan<float> row, SamplingOptions options, float max, float scale, double total)
    {
        float least = max - 88 / scale; // below, the weight is 0
        if (options.TopP < 1)
        {
            // Tokens whose scaled logit is below ln((1 - p) / vocabulary) weigh less than 1 - p of the whole together, so top-p
            // is reached without them. One is taken off for rounding.
            float range = Math.Min(88, 1 - (float)Math.Log((1.0 - options.TopP) / _vocabulary));
            least = Math.Max(least, Selection.Bound(row, max, scale, _weights, range, options.TopP * total));
        }
        int count = Reductions.AtLeast(row, least, _ids);
        for (int i = 0; i < count; i++)
        {
            int id = _ids[i];
            _keys[i] = (row[id] - max) * scale;
            _weights[i] = _weights[id]; // ids ascend: none is overwritten before it is read
        }
        return count;
    }

    private double Weigh(ReadOnlySpan<float> row, float max, float scale, int count)
    {
        double total = 0;
        for (int i = 0; i < count; i++)
        {
            _keys[i] = (row[_ids[i]] - max) * scale;
            _weights[i] = Reductions.ExpNegative(_keys[i]);
            total += _weights[i];
        }
        return total;
    }

    private int KeepTopP(int count, double target)
    {
        Span<float> keys = _keys.AsSpan(0, count);
        int boundary = Selection.Boundary(keys, _weights.AsSpan(0, count), target, _order.AsSpan(0, count));
        return Keep(count, keys, keys[boundary], boundary);
    }

    private int KeepMinP(int count, float least)
    {
        int kept = 0;
        for (int i = 0; i < count; i++)
        {
            if (_weights[i] >= least)
                Move(i, kept++);
        }
        return kept;
    }

    private int KeepTypical(int count, float mass)
    {
        double total = 0;
        for (int i = 0; i < count; i++)
            total += _weights[i];
        double logTotal = Math.Log(total);
        double entropy = 0;
        for (int i = 0; i < count; i++)
        {
            if (_weights[i] > 0)
                entropy += _weights[i] / total * (logTotal - _keys[i]);
        }
        // The key is largest, 0, for a token exactly as surprising as the entropy.
        Span<float> keys = _surprise.AsSpan(0, count);
        for (int i = 0; i < count; i++)
            keys[i] = _weights[i] > 0 ? -(float)Math.Abs(logTotal - _keys[i] - entropy) : float.NegativeInfinity;
        int boundary = Selection.Boundary(keys, _weights.AsSpan(0, count), mass * total, _order.AsSpan(0, count));
        return Keep(count, keys, keys[boundary], boundary);
    }

    private int Keep(int count, ReadOnlySpan<float> keys, float least, int boundary)
    {
        int kept = 0;
        for (int i = 0; i < count; i++)
        {
            // Moving only fills places already looked at; the boundary's own key is passed by value for that reason.
            if (keys[i] > least || (keys[i] == least && i <= boundary))
                Move(i, kept++);
        }
        return kept;
    }

    private void Move(int from, int to)
    {
        _ids[to] = _ids[from];
        _keys[to] = _keys[from];
        _weights[to] = _weights[from];
    }

    private int Draw(int count, double uniform)
    {
        double total = 0;
        for (int i = 0; i < count; i++)
            total += _weights[i];
        double rest = uniform * total;
        int drawn = -1;
        for (int i = 0; i < count; i++)
        {
            if (_weights[i] == 0)
                continue;
            drawn = _ids[i];
            rest -= _weights[i];
            if (rest < 0)
                break;
        }
        return drawn;
    }

    /// <summary>Draws from all tokens: the block in which the sum is reached, then the token in it.</summary>
    private int DrawFromAll(double rest)
    {
        int block = 0;
        while (block < _blockSums.Length - 1 && rest >= _blockSums[block])
            rest -= _blockSums[block++];
        while (_blockSums[block] == 0)
            block--; // rounding ran past the last weight
        int drawn = -1;
        int end = Math.Min((block + 1) * Reductions.SumBlock, _vocabulary);
        for (int i = block * Reductions.SumBlock; i < end; i++)
        {
            if (_weights[i] == 0)
                continue;
            drawn = i;
            rest -= _weights[i];
            if (rest < 0)
                break;
        }
        return drawn;
    }
}
