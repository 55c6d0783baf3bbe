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
                data.Add(type, nameof(LaneBody.Emitted));
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
            float[] expected = Multiply(type, rows, columns, tokens, LaneBody.Scalar, 1);
            Assert.Equal(expected, Multiply(type, rows, columns, tokens, body, 1));
            Assert.Equal(expected, Multiply(type, rows, columns, tokens, body, 2));
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    [Trait("Isa", "yes")]
    public void EveryInstructionSetGivesTheseBits(WeightType type)
    {
        foreach ((int rows, int columns, int tokens) in Shapes(type))
        {
            float[] chosen = Multiply(type, rows, columns, tokens, Flint.Kernels.Isa.Codes, 2);
            Assert.Equal(Multiply(type, rows, columns, tokens, LaneBody.Scalar, 1), chosen);
            Isa.IsaDigest.Record($"gemm {type} {rows}x{columns}x{tokens}", chosen);
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void MatchesTheDecodedWeights(WeightType type)
    {
        foreach ((int rows, int columns, int tokens) in Shapes(type))
        {
            using var operands = new Operands(type, rows, columns, tokens, Flint.Kernels.Isa.Codes, 2);
            float[] actual = operands.Multiply(Flint.Kernels.Isa.Codes);
            double[] exact = operands.Exact();
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
            float[] together = Multiply(type, 32, 512, 13, Flint.Kernels.Isa.Codes, 2);
            for (int tokens = 1; tokens < 8; tokens++)
                Assert.Equal(together[..(tokens * 32)], Multiply(type, 32, 512, tokens, Flint.Kernels.Isa.Codes, 2));
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

    /// <summary>Rows of random weights times random activations.</summary>
    internal static float[] Multiply(WeightType type, int rows, int columns, int tokens, LaneBody body, int threads)
    {
        using var operands = new Operands(type, rows, columns, tokens, body, threads);
        return operands.Multiply(body);
    }

    /// <summary>Weights, activations and outputs of one product.</summary>
    internal sealed class Operands : IDisposable
    {
        private readonly WeightType _type;
        private readonly byte[] _source;
        private readonly NativeBuffer _values, _codes, _scales, _scratch, _output;
        private readonly Team _team;
        private readonly PackedMatrix _matrix;

        public Operands(WeightType type, int rows, int columns, int tokens, LaneBody body, int threads)
        {
            _type = type;
            _source = RandomWeights.Rows(type, rows, columns, 11);
            _values = NativeBuffer.Of<float>((long)tokens * columns);
            _codes = new NativeBuffer(Activations.CodeBytes(tokens, columns));
            _scales = new NativeBuffer(Activations.ScaleBytes(tokens, columns));
            _scratch = new NativeBuffer(Gemm.ScratchBytes(tokens) * threads);
            _output = NativeBuffer.Of<float>((long)tokens * rows);
            _team = new Team(threads);
            var random = new Random(5);
            float* x = (float*)_values.Pointer;
            for (int i = 0; i < tokens * columns; i++) x[i] = random.NextSingle() * 2 - 1;
            Input = new Activations
            {
                Values = x,
                Codes = (sbyte*)_codes.Pointer,
                Scales = (BlockScale*)_scales.Pointer,
                Rows = tokens,
                Columns = columns,
                Stride = columns,
            };
            fixed (byte* p = _source) _matrix = PackedMatrix.Pack(_team, type, p, rows, columns);
            if (_matrix.IsCoded) Quantize(Input, body);
        }

        public Activations Input { get; }

        public Product Product => new(_matrix, (float*)_output.Pointer, _matrix.Rows);

        public byte* Scratch => _scratch.Pointer;

        public Span<float> Outputs => new(_output.Pointer, Input.Rows * _matrix.Rows);

        public float[] Multiply(LaneBody body)
        {
            Outputs.Fill(float.NaN);
            var job = new GemmJob { Input = Input, Floats = body, Codes = body, Scratch = Scratch, ScratchStride = Gemm.ScratchBytes(Input.Rows) };
            job.Add(_matrix, (float*)_output.Pointer, _matrix.Rows);
            Gemm.Run(_team, ref job);
            return Outputs.ToArray();
        }

        /// <summary>The product of the decoded weights and the activations as they were before quantization.</summary>
        public double[] Exact()
        {
            int rows = _matrix.Rows, columns = Input.Columns;
            double[] exact = new double[Input.Rows * rows];
            float[] decoded = new float[columns];
            fixed (byte* p = _source)
            fixed (float* d = decoded)
            {
                for (int r = 0; r < rows; r++)
                {
                    WeightTypes.DecodeRow(_type, p + r * WeightTypes.RowBytes(_type, columns), d, columns);
                    for (int t = 0; t < Input.Rows; t++)
                    {
                        double sum = 0;
                        for (int c = 0; c < columns; c++) sum += (double)d[c] * Input.Values[(long)t * columns + c];
                        exact[t * rows + r] = sum;
                    }
                }
            }

            return exact;
        }

        public void Dispose()
        {
            _team.Dispose();
            _matrix.Dispose();
            foreach (NativeBuffer buffer in new[] { _values, _codes, _scales, _scratch, _output }) buffer.Dispose();
        }

        private static void Quantize(in Activations input, LaneBody body)
        {
            switch (body)
            {
                case LaneBody.Emitted or LaneBody.Avx512: Activations.Quantize<Lanes512>(input, 0, input.Rows); break;
                case LaneBody.Avx2: Activations.Quantize<Lanes256>(input, 0, input.Rows); break;
                default: Activations.Quantize<LanesScalar>(input, 0, input.Rows); break;
            }
        }
    }
}
