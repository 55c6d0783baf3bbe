using System.Runtime.InteropServices;
using Flint.Engine;
using Flint.Tests.Isa;

namespace Flint.Tests.Engine;

[Trait("Isa", "yes")]
public sealed class ReductionsTests
{
    public static TheoryData<int> Lengths => [1, 2, 15, 16, 17, 31, 33, 100, 1023, 1024, 1025, 5000];

    [Theory]
    [MemberData(nameof(Lengths))]
    public void ScalarAndVectorBodiesHaveTheSameBits(int length)
    {
        float[] x = Row(length, length);
        Assert.Equal(Reductions.ArgMaxScalar(x), Reductions.ArgMaxVector(x));
        int best = Reductions.ArgMaxScalar(x);
        Assert.Equal(Array.IndexOf(x, x.Max()), best);

        float[] scalar = new float[length], vector = new float[length];
        foreach (float scale in new[] { 1f, 0.37f, 12f, 1e30f })
        {
            double a = Reductions.ExpScalar(x, x[best], scale, scalar);
            double b = Reductions.ExpVector(x, x[best], scale, vector);
            Assert.Equal(BitConverter.DoubleToInt64Bits(a), BitConverter.DoubleToInt64Bits(b));
            Assert.True(MemoryMarshal.AsBytes<float>(scalar).SequenceEqual(MemoryMarshal.AsBytes<float>(vector)));
        }
        double[] sums = new double[(length + Reductions.SumBlock - 1) / Reductions.SumBlock];
        double sum = Reductions.Exp(x, x[best], 1, vector, sums);
        Assert.Equal(x.Sum(v => Math.Exp((double)v - x[best])), sum, sum * 1e-6);
        Assert.Equal(sums.Sum(), sum, 1e-12 * sum);
        IsaDigest.Record($"exp-{length}", vector);
        IsaDigest.Record($"exp-sum-{length}", BitConverter.GetBytes(sum));
        IsaDigest.Record($"argmax-{length}", BitConverter.GetBytes(best));
    }

    [Fact]
    public void ExpIsExactAtZeroCloseElsewhereAndZeroFarBelow()
    {
        Assert.Equal(1f, Reductions.ExpNegative(0));
        Assert.Equal(0f, Reductions.ExpNegative(-87.5f));
        Assert.Equal(0f, Reductions.ExpNegative(float.NegativeInfinity));
        double worst = 0;
        for (int i = 0; i <= 870_000; i++)
        {
            float x = -i / 10_000f;
            double exact = Math.Exp(x);
            worst = Math.Max(worst, Math.Abs(Reductions.ExpNegative(x) - exact) / exact);
        }
        Assert.InRange(worst, 1e-9, 2e-7);
    }

    [Fact]
    public void ArgMaxTakesTheLowestOfEqualsAndRefusesWhatIsNoNumber()
    {
        for (int length = 1; length < 70; length++)
        {
            for (int first = 0; first < length; first++)
            {
                float[] x = new float[length];
                Array.Fill(x, -3f);
                x[first] = 5;
                x[length - 1] = 5;
                x[(first + length) / 2] = 5;
                Assert.Equal(Array.IndexOf(x, 5f), Reductions.ArgMaxVector(x));
                Assert.Equal(Array.IndexOf(x, 5f), Reductions.ArgMaxScalar(x));
                foreach (float bad in new[] { float.NaN, float.PositiveInfinity })
                {
                    x[first] = bad;
                    Assert.Equal(-1, Reductions.ArgMaxVector(x));
                    Assert.Equal(-1, Reductions.ArgMaxScalar(x));
                }
            }
            float[] none = new float[length];
            Array.Fill(none, float.NegativeInfinity);
            Assert.Equal(-1, Reductions.ArgMaxVector(none));
            Assert.Equal(-1, Reductions.ArgMaxScalar(none));
        }
    }

    [Theory]
    [MemberData(nameof(Lengths))]
    public void ThresholdsAndLargestAgreeWithSorting(int length)
    {
        float[] x = Row(length, 7 * length);
        int[] indices = new int[length];
        foreach (float least in new[] { float.NegativeInfinity, -1f, 0f, x.Max(), 1000f })
        {
            int count = Reductions.AtLeast(x, least, indices);
            Assert.Equal(Enumerable.Range(0, length).Where(i => x[i] >= least), indices.Take(count));
        }
        int[] sorted = [.. Enumerable.Range(0, length).OrderByDescending(i => x[i]).ThenBy(i => i)];
        foreach (int k in new[] { 1, 2, 5, 20, 64, length }.Where(k => k <= length))
        {
            int[] largest = new int[k];
            Reductions.Largest(x, largest);
            Assert.Equal(sorted[k - 1], largest[0]);
            Assert.Equal(sorted.Take(k).Order(), largest.Order());
        }
    }

    // Rounded to eighths, so that many are equal.
    private static float[] Row(int length, int seed)
    {
        var random = new Random(seed);
        float[] row = new float[length];
        for (int i = 0; i < length; i++)
            row[i] = MathF.Round((float)(random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5) * 160) / 8;
        return row;
    }
}
