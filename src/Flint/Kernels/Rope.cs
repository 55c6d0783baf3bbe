using System.Runtime.CompilerServices;
namespace Flint.Kernels;

/// <summary>Which elements of a head turn together.</summary>
internal enum RopePairing
{
    /// <summary>2i and 2i + 1 ("NORM": Llama, Muse Glimmer in GGUF).</summary>
    Adjacent,

    /// <summary>i and i + n/2 ("NEOX": Qwen).</summary>
    Half,
}

/// <summary>Rotary position embedding (Su et al., arXiv 2104.09864). Angles and their sines are computed in binary64 by our own polynomials, so they are the same everywhere.</summary>
internal static unsafe class Rope
{
    private const double HalfPiHigh = 1.57079632673412561417; // 33 significant bits: n·HalfPiHigh is exact for |n| < 2^20
    private const double HalfPiMiddle = 6.07710050630396597660e-11;
    private const double HalfPiLow = 2.02226624879595063154e-21;

    /// <summary>The angular step of each pair per position: base^(−2i/n), divided by its factor where the model has factors.</summary>
    public static double[] Frequencies(int rotated, double theta, double linearFactor, float[]? factors)
    {
        double[] steps = new double[rotated / 2];
        for (int i = 0; i < steps.Length; i++)
            steps[i] = Math.Pow(theta, -2.0 * i / rotated) / linearFactor / (factors is null ? 1 : factors[i]);
        return steps;
    }

    /// <summary>cos and sin of each pair at a position, interleaved: [pair][cos, sin].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Angles(double* steps, int pairs, int position, float* cosSin)
    {
        for (int i = 0; i < pairs; i++)
        {
            SinCos(position * steps[i], out double sin, out double cos);
            cosSin[2 * i] = (float)cos;
            cosSin[2 * i + 1] = (float)sin;
        }
    }

    /// <summary>Turns one head in place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Apply(float* head, int pairs, float* cosSin, RopePairing pairing)
    {
        if (pairing == RopePairing.Adjacent)
        {
            for (int i = 0; i < pairs; i++) Turn(ref head[2 * i], ref head[2 * i + 1], cosSin[2 * i], cosSin[2 * i + 1]);
        }
        else
        {
            for (int i = 0; i < pairs; i++) Turn(ref head[i], ref head[i + pairs], cosSin[2 * i], cosSin[2 * i + 1]);
        }
    }

    /// <summary>Turns one head's gradient in place, the other way.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ApplyBack(float* gradient, int pairs, float* cosSin, RopePairing pairing)
    {
        int step = pairing == RopePairing.Adjacent ? 2 : 1, partner = pairing == RopePairing.Adjacent ? 1 : pairs;
        for (int i = 0; i < pairs; i++) Turn(ref gradient[step * i], ref gradient[step * i + partner], cosSin[2 * i], -cosSin[2 * i + 1]);
    }

    private static void Turn(ref float a, ref float b, float cos, float sin)
    {
        float x = a, y = b;
        a = x * cos - y * sin;
        b = x * sin + y * cos;
    }

    /// <summary>Sine and cosine for |x| below 2^20·π/2: reduced to |r| ≤ π/4 in three parts, then Taylor polynomials (error below 1e-15).</summary>
    private static void SinCos(double x, out double sin, out double cos)
    {
        double n = Math.Round(x * (2 / Math.PI));
        double r = x - n * HalfPiHigh;
        r -= n * HalfPiMiddle;
        r -= n * HalfPiLow;
        double z = r * r;
        double s = r + r * z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 + z * (-1.0 / 39916800 + z * (1.0 / 6227020800))))));
        double c = 1 - z / 2 + z * z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800 + z * (1.0 / 479001600)))));
        switch ((long)n & 3)
        {
            case 0: sin = s; cos = c; break;
            case 1: sin = c; cos = -s; break;
            case 2: sin = -s; cos = -c; break;
            default: sin = -c; cos = s; break;
        }
    }
}
