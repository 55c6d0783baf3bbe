using System.Numerics;
using System.Runtime.InteropServices;
using static Flint.Kernels.GeneralRegister;

namespace Flint.Kernels;

/// <summary>
/// What the code of a tile depends on: groups of 16 rows × tokens, the traits of a format (<see cref="IPackedCodes"/>), and whether it
/// asks ahead for other weights while it computes.
/// </summary>
internal readonly record struct TileShape(int Groups, int Tokens, int ScalesPerBlock, int Bias, bool HasOffset, bool Asks)
{
    /// <summary>
    /// Bytes of a block in the panel a tile reads: quads [8][group][64 bytes], then scales [half][group][16 floats], then offsets
    /// [group][16 floats] where the format has them.
    /// </summary>
    public int BlockBytes => (Unpack.Quads + ScalesPerBlock + (HasOffset ? 1 : 0)) * Groups * Unpack.QuadBytes;

    public int ScalesAt => Unpack.BlockCodes * Groups;

    public int OffsetsAt => ScalesAt + ScalesPerBlock * Groups * Unpack.QuadBytes;

    public static TileShape Of<TFormat>(int groups, int tokens, bool asks)
        where TFormat : struct, IPackedCodes => new(groups, tokens, TFormat.ScalesPerBlock, TFormat.Bias, TFormat.HasOffset, asks);
}

/// <summary>The one argument of a tile.</summary>
[StructLayout(LayoutKind.Explicit)]
internal unsafe struct TileArguments
{
    public const int PanelAt = 0, CodesAt = 8, ScalesAt = 16, ScaleStrideAt = 24, BlocksAt = 32;
    public const int StartAt = 40, StartStrideAt = 48, SumsAt = 56, SumStrideAt = 64, AheadAt = 72, AheadStepAt = 80;

    /// <summary>The weights of a chunk, block by block (<see cref="TileShape.BlockBytes"/>).</summary>
    [FieldOffset(PanelAt)]
    public byte* Panel;

    /// <summary>The first token's codes of the chunk.</summary>
    [FieldOffset(CodesAt)]
    public sbyte* Codes;

    [FieldOffset(ScalesAt)]
    public BlockScale* Scales;

    /// <summary>Bytes from one token's block scales to the next; its codes are <see cref="TileCode.CodeStrides"/> times as far.</summary>
    [FieldOffset(ScaleStrideAt)]
    public long ScaleStride;

    /// <summary>Blocks of the chunk, at least 1.</summary>
    [FieldOffset(BlocksAt)]
    public long Blocks;

    /// <summary>What the sums start from: [token][group][16].</summary>
    [FieldOffset(StartAt)]
    public float* Start;

    /// <summary>Bytes from one token's start to the next; 0 where all start alike.</summary>
    [FieldOffset(StartStrideAt)]
    public long StartStride;

    /// <summary>Where the sums go, likewise.</summary>
    [FieldOffset(SumsAt)]
    public float* Sums;

    /// <summary>Bytes from one token's sums to the next.</summary>
    [FieldOffset(SumStrideAt)]
    public long SumStride;

    /// <summary>Weights that a tile which asks ahead asks for.</summary>
    [FieldOffset(AheadAt)]
    public byte* Ahead;

    /// <summary>Bytes of these from one block to the next, at most <see cref="TileCode.AheadBytes"/>.</summary>
    [FieldOffset(AheadStepAt)]
    public long AheadStep;
}

/// <summary>
/// Machine code of one tile, the twin of <see cref="GemmCodes"/>' tiles over AVX512-VNNI, of which .NET 10 has only the 256-bit
/// form: a C function of one <see cref="TileArguments"/>*. Sums and integer products of all groups × tokens stay in registers; an
/// activation is repeated over the lanes as it is read; products start from minus the bias times the sum of the codes.
/// </summary>
internal sealed class TileCode
{
    /// <summary>The strides 1, 3, 5 and 7 with the factors 1, 2, 4 and 8 of an address reach this many tokens.</summary>
    public const int MaxTokens = 8;

    public const int MaxGroups = 4;

    /// <summary>Scale strides from one token's codes to the next.</summary>
    public const int CodeStrides = Activations.BlockLength / BlockScale.Bytes;

    /// <summary>Bytes that a tile asks ahead for with each block: no format has more.</summary>
    public const int AheadBytes = (Unpack.Quads + 1) * CacheLineBytes;

    private const int CacheLineBytes = 64;
    private const GeneralRegister Arguments = Rdi, Panel = Rsi, Codes = Rdx, Scales = Rcx, Sums = Rax, Blocks = Rax, Ahead = Rbx;
    private const GeneralRegister Stride1 = R8, Stride3 = R9, Stride5 = R10, Stride7 = R11;
    private const int VectorRegisters = 32;
    private const int Temporaries = 2;
    private const int VectorBytes = Unpack.QuadBytes;

    private readonly Assembler _to;
    private readonly TileShape _shape;
    private readonly int _outputs;
    private int _temporary;

    private TileCode(TileShape shape, Assembler to)
    {
        _to = to;
        _shape = shape;
        _outputs = shape.Groups * shape.Tokens;
    }

    /// <summary>Whether a tile's sums, products, weights and two temporaries fit the 32 registers.</summary>
    public static bool Fits(int groups, int tokens) =>
        groups is >= 1 and <= MaxGroups && tokens is >= 1 and <= MaxTokens && 2 * groups * tokens + groups + Temporaries <= VectorRegisters;

    /// <summary>Writes a tile's code.</summary>
    public static void Emit(TileShape shape, Assembler to)
    {
        var code = new TileCode(shape, to);
        code.Start();
        int loop = to.Position;
        code.Block();
        to.Add(Panel, shape.BlockBytes);
        to.Add(Codes, Activations.BlockLength);
        to.Add(Scales, BlockScale.Bytes);
        if (shape.Asks) to.Add(Ahead, new Address(Arguments, TileArguments.AheadStepAt));
        to.Dec(Blocks);
        to.Jnz(loop);
        code.End();
    }

    private void Start()
    {
        _to.Mov(Panel, new Address(Arguments, TileArguments.PanelAt));
        _to.Mov(Codes, new Address(Arguments, TileArguments.CodesAt));
        _to.Mov(Scales, new Address(Arguments, TileArguments.ScalesAt));
        _to.Mov(Stride1, new Address(Arguments, TileArguments.ScaleStrideAt));
        if (_shape.Tokens > 3) _to.Lea(Stride3, new Address(Stride1, 0, Stride1, 2));
        if (_shape.Tokens > 5) _to.Lea(Stride5, new Address(Stride1, 0, Stride1, 4));
        if (_shape.Tokens > 7) _to.Lea(Stride7, new Address(Stride3, 0, Stride1, 4));
        if (_shape.Asks)
        {
            _to.Push(Ahead);
            _to.Mov(Ahead, new Address(Arguments, TileArguments.AheadAt));
        }

        ForEachSum(TileArguments.StartAt, TileArguments.StartStrideAt, _to.Load);
        _to.Mov(Blocks, new Address(Arguments, TileArguments.BlocksAt));
    }

    private void End()
    {
        ForEachSum(TileArguments.SumsAt, TileArguments.SumStrideAt, (sum, address) => _to.Store(address, sum));
        if (_shape.Asks) _to.Pop(Ahead);
        _to.Vzeroupper();
        _to.Ret();
    }

    private void ForEachSum(int firstAt, int strideAt, Action<int, Address> move)
    {
        _to.Mov(Sums, new Address(Arguments, firstAt));
        for (int token = 0; token < _shape.Tokens; token++)
        {
            if (token > 0) _to.Add(Sums, new Address(Arguments, strideAt));
            for (int group = 0; group < _shape.Groups; group++) move(Sum(group, token), new Address(Sums, group * VectorBytes));
        }
    }

    private void Block()
    {
        int quads = Unpack.Quads / _shape.ScalesPerBlock;
        for (int half = 0; half < _shape.ScalesPerBlock; half++)
        {
            for (int token = 0; token < _shape.Tokens; token++) StartProducts(token, half);
            for (int quad = half * quads; quad < (half + 1) * quads; quad++) AddQuad(quad);
            AddToSums(half);
        }

        if (_shape.HasOffset) AddOffsets();
        if (_shape.Asks) _to.Prefetch(new Address(Ahead, Unpack.Quads * CacheLineBytes));
    }

    private void StartProducts(int token, int half)
    {
        int first = Product(0, token);
        if (_shape.Bias != 0)
        {
            int bits = BitOperations.Log2((uint)_shape.Bias);
            if (_shape.ScalesPerBlock == 1)
            {
                _to.Vpslld(first, ScaleOf(token, BlockScale.MinusSumAt), bits);
            }
            else if (half == 0)
            {
                _to.Vpslld(first, ScaleOf(token, BlockScale.MinusFirstSumAt), bits);
            }
            else
            {
                int second = Temporary();
                _to.Vpbroadcastd(second, ScaleOf(token, BlockScale.MinusSumAt));
                _to.Vpsubd(second, second, ScaleOf(token, BlockScale.MinusFirstSumAt));
                _to.Vpslld(first, second, bits);
            }

            for (int group = 1; group < _shape.Groups; group++) _to.Vmovdqa32(Product(group, token), first);
            return;
        }

        for (int group = 0; group < _shape.Groups; group++)
        {
            int product = Product(group, token);
            _to.Vpxord(product, product, product);
        }
    }

    private void AddQuad(int quad)
    {
        if (_shape.Asks) _to.Prefetch(new Address(Ahead, quad * CacheLineBytes));
        for (int group = 0; group < _shape.Groups; group++) _to.Load(Weights(group), new Address(Panel, (quad * _shape.Groups + group) * VectorBytes));
        for (int token = 0; token < _shape.Tokens; token++)
        {
            for (int group = 0; group < _shape.Groups; group++) _to.Vpdpbusd(Product(group, token), Weights(group), QuadOf(token, quad));
        }
    }

    private void AddToSums(int half)
    {
        for (int group = 0; group < _shape.Groups; group++)
            _to.Load(Weights(group), new Address(Panel, _shape.ScalesAt + (half * _shape.Groups + group) * VectorBytes));
        for (int token = 0; token < _shape.Tokens; token++)
        {
            for (int group = 0; group < _shape.Groups; group++)
            {
                int product = Product(group, token), scale = Temporary();
                _to.Vcvtdq2ps(product, product);
                _to.Vmulps(scale, Weights(group), ScaleOf(token, BlockScale.ScaleAt));
                _to.Vfmadd231ps(Sum(group, token), product, scale);
            }
        }
    }

    private void AddOffsets()
    {
        for (int group = 0; group < _shape.Groups; group++) _to.Load(Weights(group), new Address(Panel, _shape.OffsetsAt + group * VectorBytes));
        for (int token = 0; token < _shape.Tokens; token++)
        {
            for (int group = 0; group < _shape.Groups; group++) _to.Vfmadd231ps(Sum(group, token), Weights(group), ScaleOf(token, BlockScale.ScaledSumAt));
        }
    }

    private int Sum(int group, int token) => token * _shape.Groups + group;

    private int Product(int group, int token) => _outputs + token * _shape.Groups + group;

    /// <summary>A quad's weights; between the quads, scales and offsets.</summary>
    private int Weights(int group) => 2 * _outputs + group;

    private int Temporary() => 2 * _outputs + _shape.Groups + _temporary++ % Temporaries;

    private static Address ScaleOf(int token, int field) => OfToken(Scales, field, token, 1);

    private static Address QuadOf(int token, int quad) => OfToken(Codes, 4 * quad, token, CodeStrides);

    /// <summary>Token t stands t times so many scale strides on.</summary>
    private static Address OfToken(GeneralRegister first, int displacement, int token, int strides)
    {
        if (token == 0) return new Address(first, displacement);
        int factor = 1 << BitOperations.TrailingZeroCount(token);
        GeneralRegister stride = (token / factor) switch { 1 => Stride1, 3 => Stride3, 5 => Stride5, _ => Stride7 };
        return new Address(first, displacement, stride, factor * strides);
    }
}
