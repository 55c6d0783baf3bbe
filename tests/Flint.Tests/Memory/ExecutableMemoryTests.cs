using System.Globalization;
using Flint.Kernels;
using Flint.Memory;

namespace Flint.Tests.Memory;

public sealed unsafe class ExecutableMemoryTests
{
    private static readonly byte[] Triple = [0x8d, 0x04, 0x7f, 0xc3]; // lea eax, [rdi + rdi*2]; ret

    [Fact]
    public void RunsWhatWasWritten()
    {
        using ExecutableMemory code = Create(Triple);
        Assert.Equal(Triple.Length, code.Length);
        Assert.Equal(Triple, new ReadOnlySpan<byte>(code.Pointer, code.Length).ToArray());
        Assert.Equal(42, ((delegate* unmanaged<int, int>)code.Pointer)(14));
    }

    [Fact]
    public void IsReadableAndExecutableAndNeverWritable()
    {
        using ExecutableMemory code = Create(new byte[3 * 4096 + 1]);
        Assert.Equal("r-xp", PermissionsAt(code.Pointer));
        Assert.Equal("r-xp", PermissionsAt(code.Pointer + code.Length - 1));
        if (TileSet.OfThisMachine is { } tiles)
        {
            Assert.Equal("r-xp", PermissionsAt(tiles.Code));
            Assert.Equal("r-xp", PermissionsAt(tiles.Code + tiles.CodeBytes - 1));
        }
    }

    [Fact]
    public void IsGoneOnceDisposedAndMayBeDisposedTwice()
    {
        ExecutableMemory code = Create(Triple);
        code.Dispose();
        code.Dispose();
        Assert.True(code.Pointer == null);
    }

    [Fact]
    public void HoldsAtLeastOneByte() => Assert.Throws<ArgumentOutOfRangeException>(() => ExecutableMemory.TryCreate([], out _));

    private static ExecutableMemory Create(byte[] bytes)
    {
        ExecutableMemory? code = ExecutableMemory.TryCreate(bytes, out string? refusal);
        Assert.Equal(code is null, refusal is not null);
        if (code is null) Assert.Skip(refusal!);
        return code;
    }

    /// <summary>What the system's table of mappings says of an address.</summary>
    private static string PermissionsAt(byte* address)
    {
        foreach (string line in File.ReadLines("/proc/self/maps"))
        {
            string[] fields = line.Split(' '), range = fields[0].Split('-');
            if ((ulong)address >= ulong.Parse(range[0], NumberStyles.HexNumber) && (ulong)address < ulong.Parse(range[1], NumberStyles.HexNumber)) return fields[1];
        }

        return "unmapped";
    }
}
