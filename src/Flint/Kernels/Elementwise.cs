using System.Runtime.CompilerServices;

namespace Flint.Kernels;

/// <summary>
/// Functions of single rows: norms, activations, sums. Written once over lanes; a row whose length is no multiple of 16 ends
/// in a vector padded with zeros, whose extra lanes are not stored.
/// </summary>
internal static unsafe class Elementwise
{
    private const float Log2E = 1.44269504088896341f;
    private const float Ln2High = 0.693145751953125f; // 16 significant bits, so n·Ln2High is exact
    private const float Ln2Low = 1.42860682030941723e-6f;
    private const float ExpFloor = -87f; // e^x stays a normal number above it
    private const float ExpCeiling = 88f;

    /// <summary>e^x for x clamped to [−87, 88]: 2^n times a Taylor polynomial of degree 7 on |r| ≤ ln 2 / 2 (error below 1 ulp).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Exp<TLanes>(TLanes x)
        where TLanes : struct, ILanes<TLanes>
    {
        x = TLanes.Min(TLanes.Max(x, TLanes.Broadcast(ExpFloor)), TLanes.Broadcast(ExpCeiling));
        TLanes n = TLanes.Round(TLanes.Mul(x, TLanes.Broadcast(Log2E)));
        TLanes r = TLanes.Fma(n, TLanes.Broadcast(-Ln2High), x);
        r = TLanes.Fma(n, TLanes.Broadcast(-Ln2Low), r);
        TLanes p = TLanes.Broadcast(1f / 5040);
        p = TLanes.Fma(p, r, TLanes.Broadcast(1f / 720));
        p = TLanes.Fma(p, r, TLanes.Broadcast(1f / 120));
        p = TLanes.Fma(p, r, TLanes.Broadcast(1f / 24));
        p = TLanes.Fma(p, r, TLanes.Broadcast(1f / 6));
        p = TLanes.Fma(p, r, TLanes.Broadcast(0.5f));
        p = TLanes.Fma(p, r, TLanes.Broadcast(1f));
        p = TLanes.Fma(p, r, TLanes.Broadcast(1f));
        TLanes exponent = TLanes.ShiftLeft(TLanes.ToInt(n), 23);
        return TLanes.AddInt(p, exponent);
    }

    /// <summary>1 / (1 + e^−x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Sigmoid<TLanes>(TLanes x)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes one = TLanes.Broadcast(1f);
        return TLanes.Div(one, TLanes.Add(one, Exp(TLanes.Sub(TLanes.Zero, x))));
    }

    /// <summary>tanh x = 1 − 2 / (e^2x + 1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Tanh<TLanes>(TLanes x)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes one = TLanes.Broadcast(1f);
        TLanes e = Exp(TLanes.Add(x, x));
        return TLanes.Sub(one, TLanes.Div(TLanes.Broadcast(2f), TLanes.Add(e, one)));
    }

    /// <summary>y = x / √(mean x² + ε) ⊙ w; without weights where <paramref name="w"/> is null. y may be x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RmsNorm<TLanes>(float* x, float* w, float* y, int n, float epsilon)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes squares = TLanes.Zero;
        int i = 0;
        for (; i + 16 <= n; i += 16)
        {
            TLanes v = TLanes.Load(x + i);
            squares = TLanes.Fma(v, v, squares);
        }

        if (i < n)
        {
            TLanes v = LoadPart<TLanes>(x + i, n - i);
            squares = TLanes.Fma(v, v, squares);
        }

        float scale = 1f / MathF.Sqrt(TLanes.Sum(squares) / n + epsilon);
        TLanes factor = TLanes.Broadcast(scale);
        for (i = 0; i + 16 <= n; i += 16)
        {
            TLanes v = TLanes.Mul(TLanes.Load(x + i), factor);
            TLanes.Store(w == null ? v : TLanes.Mul(v, TLanes.Load(w + i)), y + i);
        }

        for (; i < n; i++) y[i] = w == null ? x[i] * scale : x[i] * scale * w[i];
    }

    /// <summary>x += y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add<TLanes>(float* x, float* y, int n)
        where TLanes : struct, ILanes<TLanes>
    {
        int i = 0;
        for (; i + 16 <= n; i += 16) TLanes.Store(TLanes.Add(TLanes.Load(x + i), TLanes.Load(y + i)), x + i);
        for (; i < n; i++) x[i] += y[i];
    }

    /// <summary>gate = gate · sigmoid(gate) ⊙ up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SwiGlu<TLanes>(float* gate, float* up, int n)
        where TLanes : struct, ILanes<TLanes>
    {
        int i = 0;
        for (; i + 16 <= n; i += 16)
        {
            TLanes g = TLanes.Load(gate + i);
            TLanes.Store(TLanes.Mul(TLanes.Mul(g, Sigmoid(g)), TLanes.Load(up + i)), gate + i);
        }

        if (i < n)
        {
            TLanes g = LoadPart<TLanes>(gate + i, n - i);
            StorePart(TLanes.Mul(TLanes.Mul(g, Sigmoid(g)), LoadPart<TLanes>(up + i, n - i)), gate + i, n - i);
        }
    }

    /// <summary>x = x ⊙ sigmoid(gate).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SigmoidGate<TLanes>(float* x, float* gate, int n)
        where TLanes : struct, ILanes<TLanes>
    {
        int i = 0;
        for (; i + 16 <= n; i += 16) TLanes.Store(TLanes.Mul(TLanes.Load(x + i), Sigmoid(TLanes.Load(gate + i))), x + i);
        if (i < n)
            StorePart(TLanes.Mul(LoadPart<TLanes>(x + i, n - i), Sigmoid(LoadPart<TLanes>(gate + i, n - i))), x + i, n - i);
    }

    /// <summary>x = cap · tanh(scale · x / cap), or scale · x where the cap is 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ScaleAndCap<TLanes>(float* x, int n, float scale, float cap)
        where TLanes : struct, ILanes<TLanes>
    {
        if (cap == 0 && scale == 1) return;
        TLanes factor = TLanes.Broadcast(scale), limit = TLanes.Broadcast(cap == 0 ? 1f : cap), inverse = TLanes.Broadcast(cap == 0 ? 1f : 1f / cap);
        for (int i = 0; i < n; i += 16)
        {
            int count = Math.Min(16, n - i);
            TLanes v = TLanes.Mul(count == 16 ? TLanes.Load(x + i) : LoadPart<TLanes>(x + i, count), factor);
            if (cap != 0) v = TLanes.Mul(limit, Tanh(TLanes.Mul(v, inverse)));
            if (count == 16) TLanes.Store(v, x + i);
            else StorePart(v, x + i, count);
        }
    }

    /// <summary>The first <paramref name="count"/> lanes, the others zero.</summary>
    public static TLanes LoadPart<TLanes>(float* p, int count)
        where TLanes : struct, ILanes<TLanes>
    {
        float* padded = stackalloc float[16];
        for (int i = 0; i < 16; i++) padded[i] = i < count ? p[i] : 0f;
        return TLanes.Load(padded);
    }

    /// <summary>Stores the first <paramref name="count"/> lanes.</summary>
    public static void StorePart<TLanes>(TLanes v, float* p, int count)
        where TLanes : struct, ILanes<TLanes>
    {
        float* padded = stackalloc float[16];
        TLanes.Store(v, padded);
        for (int i = 0; i < count; i++) p[i] = padded[i];
    }
}
