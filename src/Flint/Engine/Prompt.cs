namespace Flint.Engine;

/// <summary>What the samples of one request share: the prompt, its scores, and which sample computes it for all.</summary>
internal sealed class Prompt
{
    private readonly int[] _tokens;
    private readonly float[] _logprobs; // of the token at the index; the first has none
    private readonly int[] _topTokens;
    private readonly float[] _topLogprobs;
    private readonly double[] _pooled; // the sum of the hidden states pooled so far
    private int _scored;
    private int _pooledRows;
    private int _cached;
    private bool _takenUp;

    /// <summary>A prompt, with room for scores and for hidden states where they are asked for.</summary>
    public Prompt(int[] tokens, bool score, int tops, PromptPooling pooling, int hiddenLength)
    {
        _tokens = tokens;
        Tops = score ? tops : 0;
        IsScored = score;
        _logprobs = score ? new float[tokens.Length] : [];
        _topTokens = new int[_logprobs.Length * Tops];
        _topLogprobs = new float[_topTokens.Length];
        if (score)
            _logprobs[0] = float.NaN;
        Pooling = pooling;
        _pooled = new double[pooling == PromptPooling.None ? 0 : hiddenLength];
    }

    /// <summary>The token ids.</summary>
    public ReadOnlySpan<int> Tokens => _tokens;

    /// <summary>Tokens.</summary>
    public int Length => _tokens.Length;

    /// <summary>Whether scores are asked for.</summary>
    public bool IsScored { get; }

    /// <summary>Alternatives per token.</summary>
    public int Tops { get; }

    /// <summary>Rows, from the first, whose logits have been turned into scores; the last prompt row has none to give.</summary>
    public int ScoredRows => Volatile.Read(ref _scored);

    /// <summary>Rows whose logits scores still need.</summary>
    public int RowsToScore => IsScored ? Length - 1 - _scored : 0;

    /// <summary>The log-probabilities of the scored tokens, by position; the first is NaN.</summary>
    public ReadOnlySpan<float> Logprobs => _logprobs.AsSpan(0, IsScored ? ScoredRows + 1 : 0);

    /// <summary>What becomes of the hidden states.</summary>
    public PromptPooling Pooling { get; }

    /// <summary>Rows whose hidden states are still to be pooled.</summary>
    public int RowsToPool => Pooling switch
    {
        PromptPooling.None => 0,
        PromptPooling.Last => 1 - _pooledRows,
        _ => Length - _pooledRows,
    };

    /// <summary>The first of them.</summary>
    public int FirstRowToPool => Pooling == PromptPooling.Last ? Length - 1 : _pooledRows;

    /// <summary>The sample that computes the prompt while others wait for it; null where none does.</summary>
    public Sequence? Leader { get; set; }

    /// <summary>Whether a sample has computed it to the end.</summary>
    public bool IsComputed { get; set; }

    /// <summary>Notes that a sample was taken up.</summary>
    /// <returns>Whether it was the first.</returns>
    public bool TakeUp()
    {
        bool first = !_takenUp;
        _takenUp = true;
        return first;
    }

    /// <summary>Tokens, from the first, that some sample has computed or found.</summary>
    public int ReachedTokens { get; private set; }

    /// <summary>Tokens of it found in the prefix cache instead of computed.</summary>
    public int CachedTokens => Volatile.Read(ref _cached);

    /// <summary>Notes how far a sample has come. What it found and another had computed before is not cached anew.</summary>
    public void Reach(int tokens, bool cached)
    {
        tokens = Math.Min(tokens, Length);
        if (tokens <= ReachedTokens)
            return;
        if (cached)
            Volatile.Write(ref _cached, _cached + tokens - ReachedTokens);
        ReachedTokens = tokens;
    }

    /// <summary>Takes the logits after the next row to score.</summary>
    public void Score(ReadOnlySpan<float> logits, Sampler sampler)
    {
        int position = _scored + 1;
        double logSumExp = sampler.LogSumExp(logits);
        _logprobs[position] = (float)(logits[_tokens[position]] - logSumExp);
        Sampler.Top(logits, logSumExp, _topTokens.AsSpan(position * Tops, Tops), _topLogprobs.AsSpan(position * Tops, Tops));
        Volatile.Write(ref _scored, position);
    }

    /// <summary>Takes the hidden state of the next row to pool. Always in the order of the rows, so that the sum has the same bits.</summary>
    public void Pool(ReadOnlySpan<float> hidden)
    {
        for (int i = 0; i < _pooled.Length; i++)
            _pooled[i] += hidden[i];
        Volatile.Write(ref _pooledRows, _pooledRows + 1);
    }

    /// <summary>The pooled state, once no row is left to pool; empty before, and where none is asked for.</summary>
    public float[] PooledState()
    {
        int rows = Volatile.Read(ref _pooledRows);
        if (rows == 0 || RowsToPool > 0)
            return [];
        return [.. _pooled.Select(sum => (float)(sum / rows))];
    }

    /// <summary>The likeliest tokens at a scored position, likeliest first; none at the first.</summary>
    public TopLogprob[] Top(int position)
    {
        if (position < 1 || position > ScoredRows)
            return [];
        var top = new TopLogprob[Tops];
        for (int i = 0; i < Tops; i++)
            top[i] = new TopLogprob(_topTokens[position * Tops + i], _topLogprobs[position * Tops + i]);
        return top;
    }
}
