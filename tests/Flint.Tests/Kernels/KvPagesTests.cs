using Flint.Kernels;
using Flint.Memory;
using Xunit;

namespace Flint.Tests.Kernels;

/// <summary>What a page gives back of the keys and values put into it, in every format and by every body.</summary>
public sealed unsafe class KvPagesTests
{
    public static TheoryData<KvFormat, int> Cases
    {
        get
        {
            var data = new TheoryData<KvFormat, int>();
            foreach (KvFormat format in new[] { KvFormat.F16, KvFormat.Q8 })
                foreach (int length in new[] { 1, 16, 24, 33, 64, 80, 128 }) data.Add(format, length);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void EveryBodyGivesWhatWasPut(KvFormat format, int length)
    {
        float[][] rows = [.. Enumerable.Range(0, KvPages.Tokens).Select(t => Row(t, length))];
        using var page = new NativeBuffer(KvPages.Bytes(format, length), zeroed: true);
        foreach (bool keys in new[] { true, false })
        {
            for (int t = 0; t < KvPages.Tokens; t++)
            {
                fixed (float* row = rows[t])
                {
                    if (keys) KvPages.PutKey(format, row, length, page.Pointer, t);
                    else KvPages.PutValue(format, row, length, page.Pointer, t);
                }
            }

            float[] found = Widened<LanesScalar>(format, page, length, keys);
            for (int t = 0; t < KvPages.Tokens; t++)
            {
                for (int d = 0; d < length; d++)
                    Check(format, rows[t], d, found[keys ? d * KvPages.Tokens + t : t * length + d]);
            }

            if (Flint.Kernels.Isa.IsSupported(LaneBody.Avx2)) Assert.Equal(found, Widened<Lanes256>(format, page, length, keys));
            if (Flint.Kernels.Isa.IsSupported(LaneBody.Avx512)) Assert.Equal(found, Widened<Lanes512>(format, page, length, keys));
        }
    }

    [Fact]
    public void HalvesOfAllMagnitudesAreExact()
    {
        // All finite halves, 32 tokens of 32 numbers a page.
        const int length = 32;
        using var page = new NativeBuffer(KvPages.Bytes(KvFormat.F16, length), zeroed: true);
        float* row = stackalloc float[length];
        for (int first = 0; first < 1 << 16; first += length * KvPages.Tokens)
        {
            for (int t = 0; t < KvPages.Tokens; t++)
            {
                for (int d = 0; d < length; d++) row[d] = Half(first + t * length + d);
                KvPages.PutValue(KvFormat.F16, row, length, page.Pointer, t);
            }

            float[] found = Widened<LanesScalar>(KvFormat.F16, page, length, keys: false);
            for (int i = 0; i < found.Length; i++) Assert.Equal(BitConverter.SingleToInt32Bits(Half(first + i)), BitConverter.SingleToInt32Bits(found[i]));
            if (Flint.Kernels.Isa.IsSupported(LaneBody.Avx512)) Assert.Equal(found, Widened<Lanes512>(KvFormat.F16, page, length, keys: false));
        }

        static float Half(int bits)
        {
            float value = (float)BitConverter.UInt16BitsToHalf((ushort)bits);
            return float.IsFinite(value) ? value : 1;
        }
    }

    private static void Check(KvFormat format, float[] row, int d, float found)
    {
        if (format == KvFormat.F16)
        {
            Assert.Equal((float)(Half)Math.Clamp(row[d], -65504, 65504), found);
            return;
        }

        int block = d / 32 * 32;
        float most = row[block..Math.Min(row.Length, block + 32)].Max(MathF.Abs);
        Assert.InRange(found - row[d], -most / 253, most / 253); // half a step, and the rounding of the steps
    }

    /// <summary>Numbers of many magnitudes; of some tokens only zeros, of some more than a half can say.</summary>
    private static float[] Row(int token, int length)
    {
        var random = new Random(token);
        float[] row = new float[length];
        for (int d = 0; d < length && token != 5; d++)
            row[d] = (random.NextSingle() - 0.5f) * MathF.Pow(10, token == 9 ? 6 : random.Next(-9, 3));
        return row;
    }

    private static float[] Widened<TLanes>(KvFormat format, NativeBuffer page, int length, bool keys)
        where TLanes : struct, ILanes<TLanes>
    {
        float[] wide = new float[length * KvPages.Tokens];
        fixed (float* to = wide)
        {
            if (keys) KvPages.WidenKeys<TLanes>(format, page.Pointer, page.Pointer, length, to);
            else KvPages.WidenValues<TLanes>(format, page.Pointer, page.Pointer, length, to);
        }

        return wide;
    }
}
