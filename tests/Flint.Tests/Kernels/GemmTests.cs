using Flint.Formats;
using Flint.Kernels;
using Flint.Memory;

namespace Flint.Tests.Kernels;

/// <summary>The matrix product: every body gives the scalar body's bits, and those are the decoded weights' product.</summary>
public sealed unsafe class GemmTests
{
    public static TheoryData<WeightType> Types => [.. RandomWeights.Types];

    public static TheoryData<WeightType, string> TypesAndBodies
    {
        get
        {
            var data = new TheoryData<WeightType, string>();
            foreach (WeightType type in RandomWeights.Types)
            {
                data.Add(type, nameof(LaneBody.Avx2));
                data.Add(type, nameof(LaneBody.Avx512));
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(TypesAndBodies))]
    public void EveryBodyGivesTheScalarBits(WeightType type, string name)
    {
        LaneBody body = Enum.Parse<LaneBody>(name);
        if (!Flint.Kernels.Isa.IsSupported(body)) Assert.Skip($"this processor has no {name}");
        foreach ((int rows, int columns, int tokens) in Shapes(type))
        {
            float[] expected = Multiply(type, rows, columns, tokens, LaneBody.Scalar, 1, out _);
            Assert.Equal(expected, Multiply(type, rows, columns, tokens, body, 1, out _));
            Assert.Equal(expected, Multiply(type, rows, columns, tokens, body, 2, out _));
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    [Trait("Isa", "yes")]
    public void EveryInstructionSetGivesTheseBits(WeightType type)
    {
        foreach ((int rows, int columns, int tokens) in Shapes(type))
        {
            float[] chosen = Multiply(type, rows, columns, tokens, Flint.Kernels.Isa.Codes, 2, out _);
            Assert.Equal(Multiply(type, rows, columns, tokens, LaneBody.Scalar, 1, out _), chosen);
            Isa.IsaDigest.Record($"gemm {type} {rows}x{columns}x{tokens}", chosen);
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void MatchesTheDecodedWeights(WeightType type)
    {
        foreach ((int rows, int columns, int tokens) in Shapes(type))
        {
            float[] actual = Multiply(type, rows, columns, tokens, Flint.Kernels.Isa.Codes, 2, out double[] exact);
            double error = 0, norm = 0;
            for (int i = 0; i < actual.Length; i++)
            {
                error += (actual[i] - exact[i]) * (actual[i] - exact[i]);
                norm += exact[i] * exact[i];
            }

            bool coded = type is not (WeightType.F32 or WeightType.F16 or WeightType.BF16);
            Assert.InRange(Math.Sqrt(error / norm), 0, coded ? 0.008 : 2e-6);
        }
    }

    [Fact]
    public void ARowsBitsDoNotDependOnItsNeighbours()
    {
        foreach (WeightType type in RandomWeights.Types)
        {
            float[] together = Multiply(type, 32, 512, 13, Flint.Kernels.Isa.Codes, 2, out _);
            for (int tokens = 1; tokens < 8; tokens++)
                Assert.Equal(together[..(tokens * 32)], Multiply(type, 32, 512, tokens, Flint.Kernels.Isa.Codes, 2, out _));
        }
    }

    [Fact]
    public void InfiniteScalesAreRefused()
    {
        byte[] source = RandomWeights.Rows(WeightType.Q8_0, 16, 64, 1);
        fixed (byte* p = source)
        {
            *(ushort*)(p + 34) = 0x7c00;
            using var team = new Team(2);
            byte* rows = p;
            var fault = Assert.Throws<FlintException>(() => PackedMatrix.Pack(team, WeightType.Q8_0, rows, 16, 64));
            Assert.Equal(FaultSide.ModelFile, fault.Side);
        }
    }

    private static IEnumerable<(int Rows, int Columns, int Tokens)> Shapes(WeightType type)
    {
        int block = WeightTypes.BlockLength(type);
        yield return (16, 256, 1);
        yield return (37, 256 * 3, 7);
        yield return (20, 6656, 5);
        yield return (5, block == 1 ? 172 : block, 4);
        if (block == 32) yield return (48, 544, 9);
        if (block == 1) yield return (19, 131, 6);
    }

    /// <summary>Rows of random weights times random activations; <paramref name="exact"/> is the same over decoded weights in binary64.</summary>
    private static float[] Multiply(WeightType type, int rows, int columns, int tokens, LaneBody body, int threads, out double[] exact)
    {
        byte[] source = RandomWeights.Rows(type, rows, columns, 11);
        var random = new Random(5);
        using var values = NativeBuffer.Of<float>((long)tokens * columns);
        using var codes = NativeBuffer.Of<byte>(Activations.CodeBytes(tokens, columns));
        using var scales = NativeBuffer.Of<byte>(Activations.ScaleBytes(tokens, columns));
        using var scratch = NativeBuffer.Of<byte>(Gemm.ScratchBytes(tokens) * threads);
        using var output = NativeBuffer.Of<float>((long)tokens * rows);
        using var team = new Team(threads);
        float* x = (float*)values.Pointer;
        for (int i = 0; i < tokens * columns; i++) x[i] = random.NextSingle() * 2 - 1;

        var input = new Activations
        {
            Values = x,
            Codes = (sbyte*)codes.Pointer,
            Scales = (BlockScale*)scales.Pointer,
            Rows = tokens,
            Columns = columns,
            Stride = columns,
        };
        exact = new double[tokens * rows];
        float[] decoded = new float[columns];
        fixed (byte* p = source)
        fixed (float* d = decoded)
        {
            using PackedMatrix matrix = PackedMatrix.Pack(team, type, p, rows, columns);
            if (matrix.IsCoded) Quantize(input, body);
            var job = new GemmJob { Input = input, Floats = body, Codes = body, Scratch = scratch.Pointer, ScratchStride = Gemm.ScratchBytes(tokens) };
            job.Add(matrix, (float*)output.Pointer, rows);
            Gemm.Run(team, ref job);
            for (int r = 0; r < rows; r++)
            {
                WeightTypes.DecodeRow(type, p + r * WeightTypes.RowBytes(type, columns), d, columns);
                for (int t = 0; t < tokens; t++)
                {
                    double sum = 0;
                    for (int c = 0; c < columns; c++) sum += (double)d[c] * x[t * columns + c];
                    exact[t * rows + r] = sum;
                }
            }
        }

        return new ReadOnlySpan<float>(output.Pointer, tokens * rows).ToArray();
    }

    private static void Quantize(in Activations input, LaneBody body)
    {
        switch (body)
        {
            case LaneBody.Avx512: Activations.Quantize<Lanes512>(input, 0, input.Rows); break;
            case LaneBody.Avx2: Activations.Quantize<Lanes256>(input, 0, input.Rows); break;
            default: Activations.Quantize<LanesScalar>(input, 0, input.Rows); break;
        }
    }
}
