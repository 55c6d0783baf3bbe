using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>What the passes between the matrix products do to a gradient. Rows are independent; sums over rows run in row order.</summary>
internal static unsafe class Gradients
{
    /// <summary>Probabilities below this count as 0: it keeps products of small numbers out of the slow, denormal range.</summary>
    private const float Negligible = 1e-26f;

    /// <summary>
    /// Through y = x·r ⊙ w, r = 1 / √(mean x² + ε): dx (+)= r·(g − x·r·mean(g ⊙ x·r)) with g = dy ⊙ w (w null: 1).
    /// </summary>
    /// <returns>r, which <see cref="NormWeights"/> needs again.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float RmsNorm<TLanes>(float* x, float* w, float* dy, float* dx, int n, float epsilon, bool accumulate)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes squares = TLanes.Zero, dots = TLanes.Zero;
        float squareTail = 0, dotTail = 0;
        int i = 0;
        for (; i + 16 <= n; i += 16)
        {
            TLanes v = TLanes.Load(x + i), g = TLanes.Load(dy + i);
            if (w != null) g = TLanes.Mul(g, TLanes.Load(w + i));
            squares = TLanes.Fma(v, v, squares);
            dots = TLanes.Fma(v, g, dots);
        }

        for (; i < n; i++)
        {
            squareTail += x[i] * x[i];
            dotTail += x[i] * dy[i] * (w == null ? 1f : w[i]);
        }

        float r = 1f / MathF.Sqrt((TLanes.Sum(squares) + squareTail) / n + epsilon);
        float pull = (TLanes.Sum(dots) + dotTail) / n * r * r * r;
        TLanes scale = TLanes.Broadcast(r), back = TLanes.Broadcast(-pull);
        for (i = 0; i + 16 <= n; i += 16)
        {
            TLanes g = TLanes.Mul(TLanes.Load(dy + i), scale);
            if (w != null) g = TLanes.Mul(g, TLanes.Load(w + i));
            g = TLanes.Fma(TLanes.Load(x + i), back, g);
            TLanes.Store(accumulate ? TLanes.Add(TLanes.Load(dx + i), g) : g, dx + i);
        }

        for (; i < n; i++)
        {
            float g = dy[i] * r * (w == null ? 1f : w[i]) - x[i] * pull;
            dx[i] = accumulate ? dx[i] + g : g;
        }

        return r;
    }

    /// <summary>dw[c] += Σ over rows of dy·x·r, for the columns [from, to); rows lie <paramref name="stride"/> apart in both x and dy.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void NormWeights<TLanes>(float* x, long xStride, float* dy, long stride, float* r, int rows, float* dw, int from, int to)
        where TLanes : struct, ILanes<TLanes>
    {
        int c = from;
        for (; c + 16 <= to; c += 16)
        {
            TLanes sum = TLanes.Load(dw + c);
            float* v = x + c, g = dy + c;
            for (int row = 0; row < rows; row++, v += xStride, g += stride)
                sum = TLanes.Fma(TLanes.Mul(TLanes.Load(v), TLanes.Broadcast(r[row])), TLanes.Load(g), sum);
            TLanes.Store(sum, dw + c);
        }

        for (; c < to; c++)
        {
            float sum = dw[c];
            for (int row = 0; row < rows; row++) sum = MathF.FusedMultiplyAdd(x[row * xStride + c] * r[row], dy[row * stride + c], sum);
            dw[c] = sum;
        }
    }

    /// <summary>Through a = g·σ(g) ⊙ u: <paramref name="gate"/> and <paramref name="up"/> are replaced by their gradients, and a is written to <paramref name="activated"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SwiGlu<TLanes>(float* gate, float* up, float* da, float* activated, int n)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes one = TLanes.Broadcast(1f);
        for (int i = 0; i < n; i += 16)
        {
            int count = Math.Min(16, n - i);
            TLanes g = Part<TLanes>(gate + i, count), u = Part<TLanes>(up + i, count), d = Part<TLanes>(da + i, count);
            TLanes s = Elementwise.Sigmoid(g);
            TLanes silu = TLanes.Mul(g, s);
            // silu' = σ·(1 + g·(1 − σ))
            TLanes slope = TLanes.Mul(s, TLanes.Fma(g, TLanes.Sub(one, s), one));
            Put(TLanes.Mul(silu, u), activated + i, count);
            Put(TLanes.Mul(TLanes.Mul(d, u), slope), gate + i, count);
            Put(TLanes.Mul(d, silu), up + i, count);
        }
    }

    /// <summary>Through y = x ⊙ σ(gate): dx and dgate from dy.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SigmoidGate<TLanes>(float* x, float* gate, float* dy, float* dx, float* dgate, int n)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes one = TLanes.Broadcast(1f);
        for (int i = 0; i < n; i += 16)
        {
            int count = Math.Min(16, n - i);
            TLanes v = Part<TLanes>(x + i, count), d = Part<TLanes>(dy + i, count), s = Elementwise.Sigmoid(Part<TLanes>(gate + i, count));
            TLanes through = TLanes.Mul(d, s);
            Put(TLanes.Mul(TLanes.Mul(through, v), TLanes.Sub(one, s)), dgate + i, count);
            Put(through, dx + i, count);
        }
    }

    /// <summary>
    /// Cross entropy of one row of capped logits z = cap·tanh(scale·h / cap) (cap 0: z = scale·h): <paramref name="z"/> is replaced
    /// by <paramref name="weight"/>·∂/∂h of −log softmax(z)[target].
    /// </summary>
    /// <returns>−log softmax(z)[target], unweighted.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double CrossEntropy<TLanes>(float* z, int n, int target, float weight, float scale, float cap)
        where TLanes : struct, ILanes<TLanes>
    {
        float max = Max<TLanes>(z, n);
        float own = z[target];
        TLanes top = TLanes.Broadcast(max), sum = TLanes.Zero;
        int i = 0;
        for (; i + 16 <= n; i += 16) sum = TLanes.Add(sum, Elementwise.Exp(TLanes.Sub(TLanes.Load(z + i), top)));
        float total = TLanes.Sum(sum);
        for (; i < n; i++) total += ExpOf(z[i] - max);
        TLanes share = TLanes.Broadcast(weight / total), floor = TLanes.Broadcast(Negligible), one = TLanes.Broadcast(1f);
        TLanes inverse = TLanes.Broadcast(cap == 0 ? 0f : 1f / cap), factor = TLanes.Broadcast(scale);
        for (i = 0; i < n; i += 16)
        {
            int count = Math.Min(16, n - i);
            TLanes v = Part<TLanes>(z + i, count);
            TLanes p = TLanes.Mul(TLanes.Max(TLanes.Sub(Elementwise.Exp(TLanes.Sub(v, top)), floor), TLanes.Zero), share);
            TLanes t = TLanes.Mul(v, inverse);
            Put(TLanes.Mul(p, TLanes.Mul(factor, TLanes.Sub(one, TLanes.Mul(t, t)))), z + i, count);
        }

        float turned = cap == 0 ? 0f : own / cap;
        z[target] -= weight * scale * (1f - turned * turned);
        return Math.Log(total) + max - own;
    }

    /// <summary>p = e^(s − shift), and 0 where that is negligible.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Probability<TLanes>(TLanes s, TLanes shift)
        where TLanes : struct, ILanes<TLanes> =>
        TLanes.Max(TLanes.Sub(Elementwise.Exp(TLanes.Sub(s, shift)), TLanes.Broadcast(Negligible)), TLanes.Zero);

    /// <summary>The greatest of n floats.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Max<TLanes>(float* x, int n)
        where TLanes : struct, ILanes<TLanes>
    {
        float max = float.NegativeInfinity;
        int i = 0;
        if (n >= 16)
        {
            TLanes top = TLanes.Load(x);
            for (i = 16; i + 16 <= n; i += 16) top = TLanes.Max(top, TLanes.Load(x + i));
            max = TLanes.MaxAcross(top);
        }

        for (; i < n; i++) max = MathF.Max(max, x[i]);
        return max;
    }

    /// <summary>One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) on n parameters; the moments' corrections are in the rates.</summary>
    /// <param name="p">Parameters.</param>
    /// <param name="g">Their gradient, multiplied by <paramref name="gradientScale"/>.</param>
    /// <param name="m">First moments.</param>
    /// <param name="v">Second moments.</param>
    /// <param name="n">How many.</param>
    /// <param name="s">The step's constants.</param>
    /// <param name="gradientScale">Factor of the gradient: clipping.</param>
    /// <param name="decay">lr · weight decay; 0 for norms.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AdamW<TLanes>(float* p, float* g, float* m, float* v, long n, in AdamStep s, float gradientScale, float decay)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes scale = TLanes.Broadcast(gradientScale), b1 = TLanes.Broadcast(s.Beta1), a1 = TLanes.Broadcast(1f - s.Beta1);
        TLanes b2 = TLanes.Broadcast(s.Beta2), a2 = TLanes.Broadcast(1f - s.Beta2), keep = TLanes.Broadcast(1f - decay);
        TLanes rate = TLanes.Broadcast(-s.Rate), correct = TLanes.Broadcast(s.SecondCorrection), epsilon = TLanes.Broadcast(s.Epsilon);
        for (long i = 0; i < n; i += 16)
        {
            int count = (int)Math.Min(16, n - i);
            TLanes d = TLanes.Mul(Part<TLanes>(g + i, count), scale);
            TLanes first = TLanes.Fma(b1, Part<TLanes>(m + i, count), TLanes.Mul(a1, d));
            TLanes second = TLanes.Fma(b2, Part<TLanes>(v + i, count), TLanes.Mul(a2, TLanes.Mul(d, d)));
            TLanes step = TLanes.Div(first, TLanes.Add(TLanes.Sqrt(TLanes.Mul(second, correct)), epsilon));
            Put(first, m + i, count);
            Put(second, v + i, count);
            Put(TLanes.Fma(rate, step, TLanes.Mul(Part<TLanes>(p + i, count), keep)), p + i, count);
        }
    }

    /// <summary>Σ x², in binary64 over sums of sixteen lanes for 4,096 elements at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double SumOfSquares<TLanes>(float* x, long n)
        where TLanes : struct, ILanes<TLanes>
    {
        double total = 0;
        for (long from = 0; from < n; from += 4096)
        {
            long end = Math.Min(from + 4096, n);
            TLanes sum = TLanes.Zero;
            for (long i = from; i < end; i += 16)
            {
                TLanes v = Part<TLanes>(x + i, (int)Math.Min(16, end - i));
                sum = TLanes.Fma(v, v, sum);
            }

            total += TLanes.Sum(sum);
        }

        return total;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Part<TLanes>(float* p, int count)
        where TLanes : struct, ILanes<TLanes> => count == 16 ? TLanes.Load(p) : Elementwise.LoadPart<TLanes>(p, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put<TLanes>(TLanes v, float* p, int count)
        where TLanes : struct, ILanes<TLanes>
    {
        if (count == 16) TLanes.Store(v, p);
        else Elementwise.StorePart(v, p, count);
    }

    /// <summary>One lane of <see cref="Elementwise.Exp"/>.</summary>
    private static float ExpOf(float x)
    {
        float* lanes = stackalloc float[16];
        LanesScalar.Store(Elementwise.Exp(LanesScalar.Broadcast(x)), lanes);
        return lanes[0];
    }
}

/// <summary>The constants of one AdamW step.</summary>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">ε beside the root.</param>
/// <param name="Rate">Learning rate over (1 − β1^t).</param>
/// <param name="SecondCorrection">1 / (1 − β2^t).</param>
internal readonly record struct AdamStep(float Beta1, float Beta2, float Epsilon, float Rate, float SecondCorrection);
