using Flint.Training;

namespace Flint.Tests.Training;

/// <summary>What is written is read back; a file that is not whole is refused and never has the name of a whole one.</summary>
public sealed class ExampleFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-examples-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    [Theory]
    [InlineData(300)]
    [InlineData(65536)]
    [InlineData(70000)]
    public void What_is_written_is_read_back(int vocabulary)
    {
        var random = new Random(7);
        float[] palette = [0, 1, 0.05f, 0.5f];
        var examples = new List<(int[] Ids, float[] Weights)>();
        for (int i = 0; i < 200; i++)
        {
            int length = random.Next(1, 70);
            examples.Add(([.. Enumerable.Range(0, length).Select(_ => random.Next(vocabulary))],
                [.. Enumerable.Range(0, length).Select(k => k == 0 ? 0 : palette[random.Next(palette.Length)])]));
        }
        examples[3].Ids[0] = vocabulary - 1;
        string path = Write(vocabulary, examples);

        using ExampleFile file = ExampleFile.Open(path);
        Assert.Equal((200, vocabulary, examples.Sum(e => (long)e.Ids.Length)), (file.Count, file.Vocabulary, file.Tokens));
        Assert.Equal(examples.Sum(e => e.Weights.Count(w => w > 0)), file.TrainedTokens);
        for (int i = 0; i < file.Count; i++)
        {
            var ids = new int[file.Length(i)];
            var weights = new float[ids.Length];
            file.Read(i, ids, weights);
            Assert.Equal(examples[i].Ids, ids);
            Assert.Equal(examples[i].Weights, weights);
        }
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Length(200));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Read(0, new int[file.Length(0) - 1], new float[file.Length(0)]));
    }

    [Fact]
    public void The_fingerprint_tells_contents_apart()
    {
        ulong Of(int[] ids, float[] weights)
        {
            using ExampleFile file = ExampleFile.Open(Write(100, [(ids, weights)]));
            return file.Fingerprint;
        }
        ulong first = Of([1, 2, 3], [0, 1, 1]);
        Assert.Equal(first, Of([1, 2, 3], [0, 1, 1]));
        Assert.NotEqual(first, Of([1, 3, 2], [0, 1, 1]));
        Assert.NotEqual(first, Of([1, 2, 3], [0, 1, 0.5f]));
        Assert.NotEqual(first, Of([1, 2, 3], [0, 0, 1]));
    }

    [Fact]
    public void Nothing_predicts_the_first_token()
    {
        using ExampleFile file = ExampleFile.Open(Write(100, [([1, 2], [1, 1])]));
        var weights = new float[2];
        file.Read(0, new int[2], weights);
        Assert.Equal([0, 1], weights);
        Assert.Equal(1, file.TrainedTokens);
    }

    [Fact]
    public void A_file_has_its_name_only_when_whole()
    {
        string path = Path.Combine(_folder, "late.ex");
        File.WriteAllText(path, "before");
        using (var writer = new ExampleFileWriter(path, 10)) writer.Add([1], [0]);
        Assert.Equal("before", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder));
    }

    [Fact]
    public void Ids_and_weights_are_checked()
    {
        using var writer = new ExampleFileWriter(Path.Combine(_folder, "bad.ex"), 10);
        foreach (Action add in (Action[])[() => writer.Add([10], [0]), () => writer.Add([-1], [0]), () => writer.Add([], []),
            () => writer.Add([1, 1], [0]), () => writer.Add([1, 1], [0, float.NaN]), () => writer.Add([1, 1], [0, -1])])
            Assert.Equal(FaultSide.Caller, Assert.Throws<FlintException>(add).Side);
        Assert.Equal("invalid_example", Assert.Throws<FlintException>(() =>
        {
            for (int i = 0; i <= ExampleFile.MaxWeights; i++) writer.Add([1, 1], [0, i]);
        }).Code);
    }

    [Fact]
    public void A_damaged_file_is_refused()
    {
        byte[] whole = File.ReadAllBytes(Write(100, [([1, 2, 3], [0, 1, 1]), ([4, 5], [0, 0.5f])]));
        string path = Path.Combine(_folder, "damaged.ex");
        for (int length = 0; length < whole.Length; length++)
        {
            File.WriteAllBytes(path, whole[..length]);
            Assert.Equal("examples_damaged", Assert.Throws<FlintException>(() => ExampleFile.Open(path)).Code);
        }
        var random = new Random(3);
        for (int round = 0; round < 2000; round++)
        {
            byte[] bytes = [.. whole];
            bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            File.WriteAllBytes(path, bytes);
            try
            {
                using ExampleFile file = ExampleFile.Open(path);
                for (int i = 0; i < file.Count; i++) file.Read(i, new int[file.Length(i)], new float[file.Length(i)]);
            }
            catch (FlintException fault)
            {
                Assert.Equal("examples_damaged", fault.Code);
            }
        }
    }

    private string Write(int vocabulary, IEnumerable<(int[] Ids, float[] Weights)> examples)
    {
        string path = Path.Combine(_folder, $"{Guid.NewGuid():N}.ex");
        using var writer = new ExampleFileWriter(path, vocabulary);
        foreach ((int[] ids, float[] weights) in examples) writer.Add(ids, weights);
        writer.Complete();
        return path;
    }
}
