using Flint.Formats;
using Flint.Tests.Isa;

namespace Flint.Tests.Formats;

[Trait("Isa", "yes")]
public sealed unsafe class EncodeTests
{
    private const int Length = 16 * 256;

    public static TheoryData<WeightType> Supported => [.. Enum.GetValues<WeightType>().Where(WeightTypes.IsSupported)];

    public static TheoryData<WeightType> Coded => [.. Enum.GetValues<WeightType>().Where(t => WeightTypes.IsSupported(t) && WeightTypes.BlockLength(t) > 1)];

    /// <summary>Rows of the kinds that weights come in, and some that they do not.</summary>
    private static readonly Dictionary<string, Func<Random, int, float>> Kinds = new()
    {
        ["normal"] = (r, _) => Normal(r) * 0.02f,
        ["with outliers"] = (r, i) => Normal(r) * (i % 61 == 0 ? 0.5f : 0.02f),
        ["groups of all sizes"] = (r, i) => Normal(r) * MathF.Pow(2, i / 32 % 8 - 6),
        ["uniform"] = (r, _) => r.NextSingle() - 0.5f,
        ["positive"] = (r, _) => r.NextSingle() + 0.25f,
        ["negative"] = (r, _) => -r.NextSingle() - 0.25f,
        ["mostly zero"] = (r, i) => i % 11 == 0 ? Normal(r) : 0,
        ["large"] = (r, _) => Normal(r) * 10000,
    };

    // Relative root mean square errors of normally distributed weights, a little above what the search reaches.
    [Theory]
    [InlineData(WeightType.F32, 0)]
    [InlineData(WeightType.F16, 0.0003)]
    [InlineData(WeightType.BF16, 0.002)]
    [InlineData(WeightType.Q8_0, 0.0055)]
    [InlineData(WeightType.Q4_0, 0.087)]
    [InlineData(WeightType.Q4_1, 0.075)]
    [InlineData(WeightType.Q5_0, 0.044)]
    [InlineData(WeightType.Q5_1, 0.038)]
    [InlineData(WeightType.Q4_K, 0.075)]
    [InlineData(WeightType.Q5_K, 0.037)]
    [InlineData(WeightType.Q6_K, 0.0185)]
    public void Loses_little_of_normal_weights(WeightType type, double bound)
    {
        float[] x = Row("normal");
        float[] y = RoundTrip(type, x);
        double error = Math.Sqrt(Error(x, y, weighted: false) / x.Sum(v => (double)v * v));
        Assert.True(error <= bound, $"{type}: {error:F5}");
    }

    [Theory]
    [MemberData(nameof(Coded))]
    public void Loses_no_more_than_without_a_search(WeightType type)
    {
        foreach (string kind in Kinds.Keys)
        {
            float[] x = Row(kind);
            double error = Error(x, RoundTrip(type, x), weighted: true), plain = Error(x, PlainEncoder.RoundTrip(type, x), weighted: true);
            Assert.True(error <= plain * 1.0001, $"{type}, {kind}: {error:E3}, without a search {plain:E3}");
        }
    }

    [Theory]
    [MemberData(nameof(Supported))]
    public void Computes_the_same_bytes_on_every_processor(WeightType type)
    {
        foreach (string kind in Kinds.Keys) IsaDigest.Record($"encode {type} {kind}", Encode(type, Row(kind)));
    }

    // Values on the grid of a format whose scales span it, as any encoder writes them, come back bit for bit.
    [Theory]
    [MemberData(nameof(Supported))]
    public void Keeps_what_the_format_can_hold(WeightType type)
    {
        var random = new Random(3);
        float[] x = [.. Enumerable.Range(0, Length).Select(i => OnGrid(type, i % 256, random))];
        Assert.Equal(x, RoundTrip(type, x));
    }

    [Theory]
    [MemberData(nameof(Supported))]
    public void Encoding_again_changes_next_to_nothing(WeightType type)
    {
        float[] x = Row("normal");
        float[] once = RoundTrip(type, x), twice = RoundTrip(type, once);
        Assert.InRange(Error(once, twice, weighted: false), 0, 0.06 * Error(x, once, weighted: false));
    }

    [Theory]
    [MemberData(nameof(Supported))]
    public void Keeps_zeros_and_bears_every_extreme(WeightType type)
    {
        Assert.All(RoundTrip(type, new float[256]), v => Assert.Equal(0, v));
        float largest = Math.Min(WeightTypes.Largest(type), 1e30f);
        foreach (float value in new[] { 1f, -1f, 0.1f, -0.1f, largest, -largest, 1e-7f, -1e-7f, 1e-20f, float.Epsilon, -float.Epsilon })
        {
            float[] constant = [.. Enumerable.Repeat(value, 256)], alone = new float[256], alternating = [.. Enumerable.Range(0, 256).Select(i => i % 2 == 0 ? value : -value)];
            alone[77] = value;
            foreach (float[] x in new[] { constant, alone, alternating })
            {
                float[] y = RoundTrip(type, x);
                // Where scales are binary16, what is far below its least number becomes 0.
                for (int i = 0; i < 256; i++) Assert.InRange(y[i], x[i] - MathF.Abs(value) * 0.07f - 1e-6f, x[i] + MathF.Abs(value) * 0.07f + 1e-6f);
            }
        }
    }

    [Fact]
    public void Rounds_BF16_to_the_nearest_ties_to_even()
    {
        float[] values = [1f + 1f / 256, 1f + 3f / 256, 1f + 1f / 256 + 1e-6f, -(1f + 3f / 256), 3.3895314e38f];
        Assert.Equal([1f, 1f + 4f / 256, 1f + 2f / 256, -(1f + 4f / 256), 3.3895314e38f], RoundTrip(WeightType.BF16, values));
    }

    [Fact]
    public void Refuses_formats_it_cannot_write_and_broken_rows()
    {
        Assert.Equal(FaultSide.Caller, Assert.Throws<FlintException>(() => WeightTypes.EncodeRow(WeightType.IQ2_XS, null, null, 256)).Side);
        Assert.Throws<FlintException>(() => WeightTypes.EncodeRow(WeightType.Q4_K, null, null, 255));
    }

    private static float[] Row(string kind)
    {
        var random = new Random(kind.Length);
        return [.. Enumerable.Range(0, Length).Select(i => Kinds[kind](random, i))];
    }

    private static float Normal(Random random) =>
        (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));

    /// <summary>Element i of a block of 256: the ends of each group's range stand at its first places.</summary>
    private static float OnGrid(WeightType type, int i, Random random)
    {
        const float d = 1 / 1024f;
        int group = i / 32, sixteen = i / 16;
        switch (type)
        {
            case WeightType.Q8_0: return d * (i % 32 == 0 ? 127 : random.Next(-127, 128));
            case WeightType.Q4_0: return d * (i % 32 == 0 ? -8 : random.Next(-8, 8));
            case WeightType.Q5_0: return -d * (i % 32 == 0 ? -16 : random.Next(-16, 16));
            case WeightType.Q4_1: return d * (i % 32 == 0 ? 15 : i % 32 == 1 ? 0 : random.Next(16)) + 0.25f;
            case WeightType.Q5_1: return d * (i % 32 == 0 ? 31 : i % 32 == 1 ? 0 : random.Next(32)) - 0.25f;
            case WeightType.Q4_K: return d * (63 - group) * (i % 32 == 0 ? 15 : i % 32 == 1 ? 0 : random.Next(16)) - d * (56 + group);
            case WeightType.Q5_K: return d * (63 - group) * (i % 32 == 0 ? 31 : i % 32 == 1 ? 0 : random.Next(32)) - d * (56 + group);
            case WeightType.Q6_K: return d * (sixteen - 128) * (i % 16 == 0 ? -32 : random.Next(-32, 32));
            default: return d * random.Next(-128, 128);
        }
    }

    private static double Error(float[] x, float[] y, bool weighted)
    {
        double sum = 0;
        for (int i = 0; i < x.Length; i += 32)
        {
            double squares = 0;
            for (int j = i; j < i + 32; j++) squares += (double)x[j] * x[j];
            double mean = Math.Sqrt(squares / 32);
            for (int j = i; j < i + 32; j++) sum += ((double)x[j] - y[j]) * ((double)x[j] - y[j]) * (weighted ? mean + Math.Abs(x[j]) : 1);
        }
        return sum;
    }

    private static byte[] Encode(WeightType type, float[] x)
    {
        byte[] bytes = new byte[WeightTypes.RowBytes(type, x.Length)];
        fixed (float* src = x)
        fixed (byte* dst = bytes)
            WeightTypes.EncodeRow(type, src, dst, x.Length);
        return bytes;
    }

    private static float[] RoundTrip(WeightType type, float[] x)
    {
        float[] y = new float[x.Length];
        fixed (byte* src = Encode(type, x))
        fixed (float* dst = y)
            WeightTypes.DecodeRow(type, src, dst, y.Length);
        return y;
    }
}
