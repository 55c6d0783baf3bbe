using Flint.Memory;

namespace Flint.Tests.Memory;

public sealed unsafe class NativeBufferTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4097)]
    [InlineData(5 << 20)]
    public void IsAlignedAndZeroedAndWritable(long bytes)
    {
        foreach (bool huge in (bool[])[false, true])
        {
            using NativeBuffer buffer = new(bytes, zeroed: true, hugePages: huge);
            Assert.Equal(bytes, buffer.Length);
            Assert.Equal(0, (long)buffer.Pointer % NativeBuffer.Alignment);
            Span<byte> span = new(buffer.Pointer, (int)bytes);
            Assert.False(span.ContainsAnyExcept((byte)0));
            span.Fill(7);
        }
    }

    [Fact]
    public void CountsElements()
    {
        using NativeBuffer buffer = NativeBuffer.Of<double>(3);
        Assert.Equal(24, buffer.Length);
    }

    [Fact]
    public void RefusesMoreThanTheMachineHas()
    {
        FlintException wide = Assert.Throws<FlintException>(() => NativeBuffer.Of<double>(long.MaxValue / 4));
        Assert.Equal((FaultSide.Machine, "out_of_memory"), (wide.Side, wide.Code));
        FlintException large = Assert.Throws<FlintException>(() => new NativeBuffer(long.MaxValue));
        Assert.Equal((FaultSide.Machine, "out_of_memory"), (large.Side, large.Code));
        Assert.Throws<ArgumentOutOfRangeException>(() => new NativeBuffer(-1));
    }

    [Fact]
    public void MayBeDisposedTwice()
    {
        NativeBuffer buffer = new(100);
        buffer.Dispose();
        buffer.Dispose();
        Assert.True(buffer.Pointer == null);
    }
}
