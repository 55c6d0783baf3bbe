using Flint.Kernels;
using Flint.Memory;
using Xunit;

namespace Flint.Tests.Kernels;

/// <summary>The products of training: every shape, order and rim gives the bits of one chain of fused multiply-adds over k.</summary>
public sealed unsafe class DenseGemmTests
{
    public static TheoryData<int, int, int> Shapes => new()
    {
        { 1, 1, 1 }, { 6, 16, 8 }, { 5, 15, 7 }, { 7, 17, 9 }, { 13, 33, 513 }, { 98, 40, 30 }, { 200, 18, 1100 }, { 8, 32, 512 }, { 97, 31, 16 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void EveryElementIsOneChain(int m, int n, int k)
    {
        foreach (bool aTransposed in (bool[])[false, true])
        {
            foreach (bool bTransposed in (bool[])[false, true])
            {
                foreach (bool accumulate in (bool[])[false, true])
                    Check(m, n, k, aTransposed, bTransposed, accumulate);
            }
        }
    }

    private static void Check(int m, int n, int k, bool aTransposed, bool bTransposed, bool accumulate)
    {
        const int gap = 3; // rows do not touch
        var random = new Random(m * 31 + n * 7 + k);
        long aStride = (aTransposed ? m : k) + gap, bStride = (bTransposed ? k : n) + gap, cStride = n + gap;
        float[] a = Fill(random, (aTransposed ? k : m) * aStride), b = Fill(random, (bTransposed ? n : k) * bStride), c = Fill(random, m * cStride);
        float[] expected = [.. c];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                float sum = accumulate ? c[i * cStride + j] : 0f;
                for (int x = 0; x < k; x++)
                    sum = MathF.FusedMultiplyAdd(b[bTransposed ? j * bStride + x : x * bStride + j], a[aTransposed ? x * aStride + i : i * aStride + x], sum);
                expected[i * cStride + j] = sum;
            }
        }

        fixed (float* pa = a, pb = b)
        {
            foreach (int threads in (int[])[1, 2])
            {
                float[] found = [.. c];
                using var team = new Team(threads);
                using var panels = NativeBuffer.Of<float>(DenseGemm.PanelFloats(k, n));
                using var scratch = NativeBuffer.Of<float>(threads * (long)DenseGemm.ThreadFloats);
                fixed (float* pc = found)
                {
                    var product = new DenseProduct
                    {
                        A = pa, AStride = aStride, ATransposed = aTransposed, B = pb, BStride = bStride, BTransposed = bTransposed,
                        C = pc, CStride = cStride, M = m, N = n, K = k, Accumulate = accumulate,
                    };
                    DenseGemm.Run(team, product, (float*)panels.Pointer, (float*)scratch.Pointer);
                }

                Assert.Equal(expected, found);
            }

            foreach (bool wide in (bool[])[false, true]) // the tiles of both register files, on lanes that every machine has
            {
                float[] scalar = [.. c];
                using var memory = NativeBuffer.Of<float>(DenseGemm.PanelFloats(k, n) + DenseGemm.ThreadFloats);
                fixed (float* pc = scalar)
                {
                    var product = new DenseProduct
                    {
                        A = pa, AStride = aStride, ATransposed = aTransposed, B = pb, BStride = bStride, BTransposed = bTransposed,
                        C = pc, CStride = cStride, M = m, N = n, K = k, Accumulate = accumulate,
                    };
                    DenseGemm.RunAlone<LanesScalar>(product, (float*)memory.Pointer, (float*)memory.Pointer + DenseGemm.PanelFloats(k, n), wide);
                }

                Assert.Equal(expected, scalar);
            }
        }
    }

    private static float[] Fill(Random random, long count)
    {
        float[] values = new float[count];
        for (long i = 0; i < count; i++) values[i] = random.NextSingle() - 0.5f;
        return values;
    }
}
