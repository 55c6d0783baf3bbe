using Flint.Formats;
using Flint.Weights;

namespace Flint.Tests.Weights;

public sealed class GgufShardTests : IDisposable
{
    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AnyShardOpensTheWholeModel()
    {
        string[] paths = WriteShards(3);
        foreach (string path in paths)
        {
            using GgufFile file = GgufFile.Open(path);
            Assert.Equal(paths[0], file.Path);
            Assert.Equal(3, file.Shards);
            Assert.Equal("llama", file.Metadata.Architecture);
            Assert.Equal(["t0", "t1", "t2"], file.Tensors.Select(t => t.Name));
            Assert.Equal(paths, file.Tensors.Select(t => t.File));
            Assert.Equal(paths.Sum(p => new FileInfo(p).Length), file.FileBytes);
        }
    }

    [Fact]
    public void AFileThatOnlyLooksLikeAShardOpensAlone()
    {
        string path = _folder.Write("model-00001-of-00002.gguf", TestFolder.Sample());
        using GgufFile file = GgufFile.Open(path);
        Assert.Equal((1, 3), (file.Shards, file.Tensors.Count));
        string single = _folder.Write("single.gguf", TestFolder.Sample(32, ("split.count", (ushort)1), ("split.no", (ushort)0)));
        using GgufFile alone = GgufFile.Open(single);
        Assert.Equal(1, alone.Shards);
    }

    [Fact]
    public void AMissingShardIsNamed()
    {
        string[] paths = WriteShards(3);
        File.Delete(paths[1]);
        AssertFault(paths[0], paths[1], "2 of 3", "missing");
        AssertFault(paths[2], paths[1], "2 of 3", "missing");
        File.Delete(paths[0]);
        AssertFault(paths[2], paths[0], "1 of 3", "missing");
    }

    [Fact]
    public void ShardsMustFitTogether()
    {
        string[] paths = WriteShards(3);
        WriteShard(1, 3, number: 2);
        AssertFault(paths[0], paths[1], "split.no 1", "found 2");
        WriteShard(1, 3, count: 4);
        AssertFault(paths[0], paths[1], "split.count 3", "found 4");
        AssertFault(paths[1], paths[1], "one of 4 shards", "-of-00004.gguf");
        WriteShard(1, 3, tensor: "t0");
        AssertFault(paths[0], paths[1], "'t0'", "already");
        WriteShard(1, 3);
        WriteShard(0, 3, total: 4);
        AssertFault(paths[0], paths[0], "split.tensors.count 4", "found 3");
        File.WriteAllBytes(paths[1], TestFolder.Sample());
        AssertFault(paths[0], paths[1], "split.count 3", "found 1");
    }

    [Fact]
    public void ADamagedShardIsNamed()
    {
        string[] paths = WriteShards(2);
        File.WriteAllBytes(paths[1], File.ReadAllBytes(paths[1])[..100]);
        FlintException fault = Assert.Throws<FlintException>(() => GgufFile.Open(paths[0]));
        Assert.Equal((FaultSide.ModelFile, "gguf_truncated"), (fault.Side, fault.Code));
        Assert.Contains(paths[1], fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ARenamedShardIsRefused()
    {
        string path = Path.Combine(_folder.Path, "renamed.gguf");
        File.Move(WriteShards(2)[0], path);
        AssertFault(path, path, "one of 2 shards", "'-0000N-of-00002.gguf'");
    }

    private string[] WriteShards(int count) => [.. Enumerable.Range(0, count).Select(i => WriteShard(i, count))];

    private string WriteShard(int index, int shards, int? number = null, int? count = null, int? total = null, string? tensor = null)
    {
        List<(string, object)> metadata = [("split.no", (ushort)(number ?? index)), ("split.count", (ushort)(count ?? shards)), ("split.tensors.count", total ?? shards)];
        if (index == 0)
            metadata.Add(("general.architecture", "llama"));
        byte[] bytes = TestFolder.Create(32, [.. metadata], (tensor ?? $"t{index}", WeightType.F32, [8]));
        return _folder.Write($"model-{index + 1:D5}-of-{shards:D5}.gguf", bytes);
    }

    private static void AssertFault(string open, string named, params string[] parts)
    {
        FlintException fault = Assert.Throws<FlintException>(() => GgufFile.Open(open));
        Assert.Equal((FaultSide.ModelFile, "gguf_shard"), (fault.Side, fault.Code));
        Assert.All([named, .. parts], part => Assert.Contains(part, fault.Message, StringComparison.Ordinal));
    }
}
