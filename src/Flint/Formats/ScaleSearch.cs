using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Flint.Formats;

/// <summary>
/// What the encoders share: finding the scale (and minimum) with which a group of weights loses least when it is rounded to small
/// integers. For each of many candidate scales around the one that just spans the group, the weights are rounded and the scale
/// (and minimum) that fits those integers best in the least-squares sense is solved for; the candidate with the least error wins.
/// </summary>
/// <remarks>
/// All lengths are multiples of 8. Sums run over 8 lanes in a fixed order, without fused multiply-add: the same bits on any
/// processor.
/// </remarks>
internal static unsafe class ScaleSearch
{
    /// <summary>Groups whose values spread no more than this are constant: any scale that binary16 can hold is larger.</summary>
    private const float LeastSpread = 1e-12f;

    private const int SymmetricSteps = 12; // to either side, in tenths of a level
    private const int AffineFrom = -10, AffineTo = 10;

    /// <summary>
    /// How much each value's error counts: its magnitude plus the group's root mean square, so that large weights, which move
    /// outputs most, are kept best and small ones are not given up.
    /// </summary>
    public static void Importance(float* x, float* importance, int n)
    {
        Vector256<float> squares = Vector256<float>.Zero;
        for (int i = 0; i < n; i += 8)
        {
            Vector256<float> v = Vector256.Load(x + i);
            squares += v * v;
        }
        Vector256<float> mean = Vector256.Create((float)Math.Sqrt(Sum(squares) / n));
        for (int i = 0; i < n; i += 8)
            (mean + Vector256.Abs(Vector256.Load(x + i))).Store(importance + i);
    }

    /// <summary>
    /// The scale d for which d·q, q from −<paramref name="reach"/> to <paramref name="reach"/> − 1, fits best. It is negative
    /// where the value of largest magnitude is positive: −reach reaches farther than reach − 1.
    /// </summary>
    public static float Symmetric(float* x, float* importance, int n, int reach)
    {
        float extreme = Extreme(x, n);
        if (MathF.Abs(extreme) <= LeastSpread)
            return 0;
        double best = 0;
        float scale = 0;
        for (int step = -SymmetricSteps; step <= SymmetricSteps; step++)
        {
            float inverse = -(reach + 0.1f * step) / extreme;
            Vector256<float> products = Vector256<float>.Zero, squares = Vector256<float>.Zero;
            for (int i = 0; i < n; i += 8)
            {
                Vector256<float> v = Vector256.Load(x + i);
                Vector256<float> q = Round(v * inverse, -reach, reach - 1);
                Vector256<float> weighted = Vector256.Load(importance + i) * q;
                products += weighted * v;
                squares += weighted * q;
            }
            // The least-squares scale is p/s, and takes p²/s off the error.
            double p = Sum(products), s = Sum(squares);
            if (s > 0 && p * p > best * s)
            {
                best = p * p / s;
                scale = (float)(p / s);
            }
        }
        return scale;
    }

    /// <summary>
    /// The scale d ≥ 0 and minimum m for which d·q + m, q from 0 to <paramref name="top"/>, fits best.
    /// </summary>
    /// <param name="x">The group.</param>
    /// <param name="importance">Each value's part in the error.</param>
    /// <param name="n">Its length.</param>
    /// <param name="top">The largest level.</param>
    /// <param name="negative">Whether the format holds no minimum above 0.</param>
    /// <param name="scale">The scale.</param>
    /// <param name="minimum">The minimum.</param>
    public static void Affine(float* x, float* importance, int n, int top, bool negative, out float scale, out float minimum)
    {
        (float least, float largest) = Range(x, n);
        if (negative)
            (least, largest) = (Math.Min(least, 0), Math.Max(largest, 0));
        scale = 0;
        minimum = least;
        if (largest - least <= LeastSpread)
            return;

        Vector256<float> sumW = Vector256<float>.Zero, sumX = Vector256<float>.Zero;
        for (int i = 0; i < n; i += 8)
        {
            Vector256<float> w = Vector256.Load(importance + i);
            sumW += w;
            sumX += w * Vector256.Load(x + i);
        }
        double weights = Sum(sumW), values = Sum(sumX);
        double best = double.NegativeInfinity;
        Vector256<float> low = Vector256.Create(least);
        for (int step = AffineFrom; step <= AffineTo; step++)
        {
            float inverse = (top + 0.1f * step) / (largest - least);
            Vector256<float> levels = Vector256<float>.Zero, squares = Vector256<float>.Zero, products = Vector256<float>.Zero;
            for (int i = 0; i < n; i += 8)
            {
                Vector256<float> v = Vector256.Load(x + i);
                Vector256<float> q = Round((v - low) * inverse, 0, top);
                Vector256<float> weighted = Vector256.Load(importance + i) * q;
                levels += weighted;
                squares += weighted * q;
                products += weighted * v;
            }
            double l = Sum(levels), s = Sum(squares), p = Sum(products);
            double determinant = weights * s - l * l;
            if (!(determinant > 0))
                continue;
            double d = (weights * p - values * l) / determinant;
            double m = (s * values - l * p) / determinant;
            if (negative && m > 0)
                (d, m) = (p / s, 0);
            // What the fit takes off the error of storing nothing but zeros.
            double gain = 2 * (d * p + m * values) - d * d * s - 2 * d * m * l - m * m * weights;
            if (gain > best && d > 0)
                (best, scale, minimum) = (gain, (float)d, (float)m);
        }
        if (scale == 0) // one level fits all; take the plain span
            scale = (largest - least) / top;
    }

    /// <summary>The weighted squared error of storing the group as d·q + m with the nearest levels from <paramref name="least"/> to <paramref name="most"/>.</summary>
    public static double Error(float* x, float* importance, int n, float scale, float minimum, int least, int most)
    {
        Vector256<float> errors = Vector256<float>.Zero, m = Vector256.Create(minimum);
        float inverse = scale == 0 ? 0 : 1 / scale;
        for (int i = 0; i < n; i += 8)
        {
            Vector256<float> v = Vector256.Load(x + i);
            Vector256<float> error = Round((v - m) * inverse, least, most) * scale + m - v;
            errors += Vector256.Load(importance + i) * error * error;
        }
        return Sum(errors);
    }

    /// <summary>The nearest levels: q of d·q + m, from <paramref name="least"/> to <paramref name="most"/>, less <paramref name="least"/>, so from 0.</summary>
    public static void Levels(float* x, byte* levels, int n, float scale, float minimum, int least, int most)
    {
        float inverse = scale == 0 ? 0 : 1 / scale;
        for (int i = 0; i < n; i++)
            levels[i] = (byte)((int)Math.Clamp(MathF.Round((x[i] - minimum) * inverse), least, most) - least);
    }

    /// <summary>A scale as it is stored: the nearest binary16, never an infinity.</summary>
    public static Half Stored(float scale) => (Half)Math.Clamp(scale, -(float)Half.MaxValue, (float)Half.MaxValue);

    /// <summary>The value of largest magnitude.</summary>
    public static float Extreme(float* x, int n)
    {
        (float least, float largest) = Range(x, n);
        return -least > largest ? least : largest;
    }

    private static (float Least, float Largest) Range(float* x, int n)
    {
        float least = x[0], largest = x[0];
        for (int i = 1; i < n; i++)
        {
            least = Math.Min(least, x[i]);
            largest = Math.Max(largest, x[i]);
        }
        return (least, largest);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Round(Vector256<float> v, float least, float most) =>
        Vector256.Min(Vector256.Max(Vector256.Round(v), Vector256.Create(least)), Vector256.Create(most));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double Sum(Vector256<float> v)
    {
        (Vector256<double> low, Vector256<double> high) = Vector256.Widen(v);
        Vector256<double> four = low + high;
        Vector128<double> two = four.GetLower() + four.GetUpper();
        return two.ToScalar() + two.GetElement(1);
    }
}
