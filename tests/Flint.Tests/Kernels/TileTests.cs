using Flint.Formats;
using Flint.Kernels;

namespace Flint.Tests.Kernels;

/// <summary>Emitted tiles give the scalar body's bits, in any shape, over any rows, columns and tokens.</summary>
public sealed unsafe class TileTests
{
    public static TheoryData<WeightType> CodedTypes =>
        [.. RandomWeights.Types.Where(type => type is not (WeightType.F32 or WeightType.F16 or WeightType.BF16))];

    public static TheoryData<int, int> TileShapes => new() { { 2, 6 }, { 1, 8 }, { 2, 7 }, { 3, 4 }, { 4, 3 }, { 1, 1 } };

    [Theory]
    [MemberData(nameof(CodedTypes))]
    public void TilesGiveTheScalarBitsForAnyShape(WeightType type)
    {
        SkipWithoutTiles();
        int block = WeightTypes.BlockLength(type);
        var random = new Random((int)type);
        for (int tokens = 1; tokens <= 20; tokens++)
        {
            int rows = random.Next(1, 100), columns = block * random.Next(1, 1600 / block);
            float[] expected = GemmTests.Multiply(type, rows, columns, tokens, LaneBody.Scalar, 1);
            Assert.Equal(expected, GemmTests.Multiply(type, rows, columns, tokens, LaneBody.Emitted, 1));
            Assert.Equal(expected, GemmTests.Multiply(type, rows, columns, tokens, LaneBody.Emitted, 3));
        }
    }

    [Theory]
    [InlineData(WeightType.Q8_0)]
    [InlineData(WeightType.Q4_K)]
    [InlineData(WeightType.Q6_K)]
    public void ManyActivationsPassChunkByChunk(WeightType type)
    {
        SkipWithoutTiles();
        const int Tokens = 13;
        int columns = (GemmTiles.CachedBytes / Tokens / 256 + 1) * 256;
        float[] expected = GemmTests.Multiply(type, 37, columns, Tokens, LaneBody.Scalar, 1);
        Assert.Equal(expected, GemmTests.Multiply(type, 37, columns, Tokens, LaneBody.Emitted, 2));
    }

    [Theory]
    [MemberData(nameof(TileShapes))]
    public void EveryTileShapeGivesTheSameBits(int groups, int tokens)
    {
        SkipWithoutTiles();
        using TileSet tiles = TileSet.TryEmit(groups, tokens, out _)!;
        Assert.Equal((groups, tokens), (tiles.Groups, tiles.Tokens));
        foreach (int rows in new[] { 2, 9, 20 })
        {
            AssertSame<PackedQ8_0>(tiles, rows);
            AssertSame<PackedQ4_1>(tiles, rows);
            AssertSame<PackedQ6_K>(tiles, rows);
        }
    }

    [Fact]
    public void ShapesWithoutRegistersAreRefused()
    {
        foreach ((int groups, int tokens) in new[] { (2, 8), (3, 5), (4, 4), (5, 1), (1, 9), (0, 1), (1, 0) })
            Assert.Throws<ArgumentOutOfRangeException>(() => TileSet.TryEmit(groups, tokens, out _));
    }

    [Fact]
    public void TheMachineSaysWhatItRunsOn()
    {
        string description = Flint.Kernels.Isa.Description;
        Assert.Equal(TileSet.OfThisMachine is null, TileSet.Refusal is not null);
        Assert.Equal(TileSet.OfThisMachine is not null, description.Contains("emitted code"));
        if (TileSet.Refusal is { } refusal) Assert.Equal(Flint.Kernels.Isa.HasVnni512, description.Contains(refusal));
    }

    /// <summary>A tile set other than the machine's own, against the scalar body.</summary>
    private static void AssertSame<TFormat>(TileSet tiles, int tokens)
        where TFormat : struct, IPackedCodes
    {
        const int Rows = 16 * 7 + 3, Columns = 768;
        using var operands = new GemmTests.Operands(TFormat.Type, Rows, Columns, tokens, LaneBody.Scalar, 1);
        float[] expected = operands.Multiply(LaneBody.Scalar);
        operands.Outputs.Fill(float.NaN);
        GemmTiles.Run<TFormat>(tiles, operands.Product, operands.Input, 0, (Rows + 15) / 16, operands.Scratch);
        Assert.Equal(expected, operands.Outputs.ToArray());
    }

    private static void SkipWithoutTiles()
    {
        if (TileSet.Refusal is { } refusal) Assert.Skip(refusal);
    }
}
