namespace Flint.Engine;

/// <summary>A confidence below which a sequence is not worth its tokens: it then ends with <see cref="FinishReason.LowConfidence"/>.</summary>
/// <param name="Tokens">The window, in tokens: 1 to <see cref="ConfidenceWindow.MaxTokens"/>. Nothing is cut before the first is full.</param>
/// <param name="Top">
/// 0 to judge by the log-probabilities of the chosen tokens, else how many of the likeliest (<see cref="ConfidenceWindow"/>).
/// </param>
/// <param name="Least">The least confidence, in nats, that goes on.</param>
public sealed record ConfidenceFloor(int Tokens, int Top, double Least);

/// <summary>
/// How sure a sequence is of what it writes: the mean over a sliding window of its tokens' confidences, and the lowest such mean so
/// far, as in DeepConf (Fu et al. 2025, arXiv:2508.15260). A token's confidence is the log-probability of the token chosen, or
/// the negated mean of those of the k likeliest, which is the larger the more one of them stands out.
/// </summary>
/// <remarks>The same confidences in the same order give the same bits. Nothing is allocated after construction.</remarks>
public sealed class ConfidenceWindow
{
    /// <summary>The widest window.</summary>
    public const int MaxTokens = 1 << 14;

    private const float Least = -1000; // nats; a forced token may be less likely than any number tells

    private readonly float[] _values;
    private double _sum;
    private double _lowest = double.PositiveInfinity;

    /// <summary>An empty window.</summary>
    /// <param name="tokens">Its width, 1 to <see cref="MaxTokens"/>.</param>
    /// <exception cref="FlintException">Caller: the width is out of range.</exception>
    public ConfidenceWindow(int tokens)
    {
        if (tokens is < 1 or > MaxTokens)
            throw FlintException.Caller("invalid_value", $"A confidence window has 1 to {MaxTokens} tokens; found {tokens}.");
        _values = new float[tokens];
    }

    /// <summary>Tokens added.</summary>
    public int Count { get; private set; }

    /// <summary>Whether as many tokens were added as the window is wide.</summary>
    public bool IsFull => Count >= _values.Length;

    /// <summary>The mean over the window, or over the tokens there are while it is not full; NaN before the first.</summary>
    public double Current => Count == 0 ? double.NaN : _sum / Math.Min(Count, _values.Length);

    /// <summary>The lowest mean over a full window; <see cref="Current"/> before the first is full.</summary>
    public double Lowest => IsFull ? _lowest : Current;

    /// <summary>Adds a token's confidence.</summary>
    public void Add(float confidence)
    {
        int at = Count++ % _values.Length;
        _sum += confidence - (double)_values[at]; // not yet full: the place holds 0
        _values[at] = confidence;
        if (IsFull)
            _lowest = Math.Min(_lowest, Current);
    }

    /// <summary>The confidence of a token from an event that brings log-probabilities.</summary>
    /// <param name="token">The token.</param>
    /// <param name="top">How many of the likeliest tokens to judge by, at most as many as the event has; 0 for the chosen one.</param>
    public static float Of(in TokenEvent token, int top)
    {
        if (top == 0 || token.Top is not { Length: > 0 } likeliest)
            return Clamp(token.Logprob);
        double sum = 0;
        int count = Math.Min(top, likeliest.Length);
        for (int i = 0; i < count; i++)
            sum += Clamp(likeliest[i].Logprob);
        return (float)(-sum / count);
    }

    /// <summary>The same from the numbers themselves.</summary>
    internal static float Of(float logprob, ReadOnlySpan<float> likeliest, int top)
    {
        if (top == 0 || likeliest.Length == 0)
            return Clamp(logprob);
        double sum = 0;
        int count = Math.Min(top, likeliest.Length);
        for (int i = 0; i < count; i++)
            sum += Clamp(likeliest[i]);
        return (float)(-sum / count);
    }

    private static float Clamp(float logprob) => logprob >= Least ? Math.Min(logprob, 0) : Least;
}
