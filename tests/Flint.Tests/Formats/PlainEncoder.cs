using Flint.Formats;

namespace Flint.Tests.Formats;

/// <summary>What each block format would hold if its scales just spanned the values: no search. The encoders may not lose more.</summary>
internal static class PlainEncoder
{
    /// <summary>The decoded values of a row that was encoded plainly.</summary>
    public static float[] RoundTrip(WeightType type, float[] x) => type switch
    {
        WeightType.Q8_0 => Blocks(x, 32, b => Symmetric(b, 127, Half(b.Max(MathF.Abs) / 127))),
        WeightType.Q4_0 => Blocks(x, 32, b => Symmetric(b, 8, Half(Extreme(b) / -8))),
        WeightType.Q5_0 => Blocks(x, 32, b => Symmetric(b, 16, Half(Extreme(b) / -16))),
        WeightType.Q4_1 => Blocks(x, 32, b => Affine(b, 15, Half((b.Max() - b.Min()) / 15), Half(b.Min()))),
        WeightType.Q5_1 => Blocks(x, 32, b => Affine(b, 31, Half((b.Max() - b.Min()) / 31), Half(b.Min()))),
        WeightType.Q4_K => Blocks(x, 256, b => SuperAffine(b, 15)),
        WeightType.Q5_K => Blocks(x, 256, b => SuperAffine(b, 31)),
        WeightType.Q6_K => Blocks(x, 256, SuperSymmetric),
        _ => x,
    };

    private static float[] Blocks(float[] x, int length, Func<float[], float[]> block) => [.. x.Chunk(length).SelectMany(block)];

    private static float[] SuperAffine(float[] block, int top)
    {
        float[][] groups = [.. block.Chunk(32)];
        float[] scales = [.. groups.Select(g => (Math.Max(0, g.Max()) - Math.Min(0, g.Min())) / top)];
        float[] minima = [.. groups.Select(g => -Math.Min(0, g.Min()))];
        float d = Half(scales.Max() / 63), m = Half(minima.Max() / 63);
        return [.. groups.SelectMany((g, i) => Affine(g, top, d * Nearest(scales[i], d), -m * Nearest(minima[i], m)))];
    }

    private static float[] SuperSymmetric(float[] block)
    {
        float[][] groups = [.. block.Chunk(16)];
        float[] scales = [.. groups.Select(g => Extreme(g) / -32)];
        float d = Half(Extreme(scales) / -128);
        return [.. groups.SelectMany((g, i) => Symmetric(g, 32, d * Math.Min(127, Nearest(scales[i], d))))];
    }

    private static float[] Symmetric(float[] x, int reach, float d) =>
        [.. x.Select(v => d * Math.Clamp(Nearest(v, d), -reach, reach == 127 ? 127 : reach - 1))];

    private static float[] Affine(float[] x, int top, float d, float m) => [.. x.Select(v => d * Math.Clamp(Nearest(v - m, d), 0, top) + m)];

    private static float Nearest(float value, float unit) => unit == 0 ? 0 : MathF.Round(value / unit);

    private static float Extreme(float[] x) => x.MaxBy(MathF.Abs);

    private static float Half(float value) => (float)(Half)value;

    private static float Max(this float[] x, Func<float, float> of) => x.Select(of).Max();
}
