using Flint.Memory;

namespace Flint.Tests.Memory;

public sealed unsafe class MappedFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-mapped-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(100_000)]
    public void HoldsTheFilesBytes(int length)
    {
        byte[] bytes = new byte[length];
        new Random(1).NextBytes(bytes);
        string path = Path.Combine(_folder, "file");
        File.WriteAllBytes(path, bytes);
        using MappedFile file = MappedFile.Open(path);
        Assert.Equal(length, file.Length);
        Assert.Equal(bytes, new ReadOnlySpan<byte>(file.Pointer, length).ToArray());
        file.Dispose();
        Assert.True(file.Pointer == null);
    }

    [Fact]
    public void SaysWhyItCannotOpen()
    {
        string absent = Path.Combine(_folder, "absent");
        FlintException none = Assert.Throws<FlintException>(() => MappedFile.Open(absent));
        Assert.Equal((FaultSide.Caller, "file_not_found"), (none.Side, none.Code));
        Assert.Contains(absent, none.Message, StringComparison.Ordinal);
        FlintException folder = Assert.Throws<FlintException>(() => MappedFile.Open(_folder));
        Assert.Equal((FaultSide.Caller, "not_a_file"), (folder.Side, folder.Code));
    }
}
