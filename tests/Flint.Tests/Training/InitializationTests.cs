using Flint.Formats;
using Flint.Models;
using Flint.Tokens;
using Flint.Training;
using Flint.Weights;

namespace Flint.Tests.Training;

/// <summary>A new model is one that runs, the same for the same seed, with weights of the spread that was asked for.</summary>
public sealed unsafe class InitializationTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-initial-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private static readonly ModelShape Glimmer = new()
    {
        Architecture = "muse-glimmer", Layers = 5, Width = 64, Heads = 4, KvHeads = 2, HeadLength = 16, FeedForward = 96, Context = 128, Window = 32,
    };

    [Theory]
    [InlineData("muse-glimmer", false)]
    [InlineData("muse-glimmer", true)]
    [InlineData("llama", false)]
    [InlineData("qwen3", true)]
    public void A_new_model_loads_as_what_was_asked_for(string architecture, bool tied)
    {
        ModelShape shape = Glimmer with { Architecture = architecture, Tied = tied, RopeBase = 5000 };
        string path = Write(shape, 1);
        using var model = Model.Load(GgufFile.Open(path), new ModelOptions { Threads = 1 });
        ModelConfig expected = shape.Config(262), found = model.Config;
        Assert.Equal(expected with { Windows = found.Windows, ContextLength = found.ContextLength }, found);
        Assert.Equal(expected.Windows, found.Windows);
        Assert.Equal(tied, !model.File.Tensors.TryGet("output.weight", out _));
        Assert.Equal("Test {{ bos_token }}", model.File.Metadata.Get<string>("tokenizer.chat_template"));
        Assert.Equal("small", model.File.Metadata.Get<string>("general.name"));
        Assert.Equal(262, Tokenizer.FromGguf(model.File.Metadata).Count);
        if (architecture == "muse-glimmer") Assert.Equal([32, 32, 32, 0, 32], found.Windows);
    }

    [Fact]
    public void The_seed_decides_every_byte()
    {
        byte[] one = File.ReadAllBytes(Write(Glimmer, 1));
        Assert.Equal(one, File.ReadAllBytes(Write(Glimmer, 1)));
        Assert.NotEqual(one, File.ReadAllBytes(Write(Glimmer, 2)));
    }

    [Fact]
    public void Weights_are_as_wide_as_they_should_be()
    {
        using GgufFile glimmer = GgufFile.Open(Write(Glimmer with { Deviation = 0.05f }, 3));
        Assert.All(Values(glimmer, "blk.0.attn_q_norm.weight"), v => Assert.Equal(3.87f, v));
        Assert.All(Values(glimmer, "blk.4.attn_k_norm.weight"), v => Assert.Equal(1, v));
        Assert.All(Values(glimmer, "blk.1.post_ffw_norm.weight"), v => Assert.Equal(1 / MathF.Sqrt(10), v));
        Assert.All(Values(glimmer, "output_norm.weight"), v => Assert.Equal(1, v));
        Check(Values(glimmer, "blk.0.ffn_down.weight"), 0.05);
        Check(Values(glimmer, "token_embd.weight"), 0.05);
        using GgufFile llama = GgufFile.Open(Write(Glimmer with { Architecture = "llama" }, 3));
        double spread = Math.Sqrt(2.0 / (5 * 64));
        Check(Values(llama, "blk.2.ffn_up.weight"), spread);
        Check(Values(llama, "blk.2.ffn_down.weight"), spread / Math.Sqrt(10));
        Check(Values(llama, "blk.2.attn_output.weight"), spread / Math.Sqrt(10));

        static void Check(float[] values, double deviation)
        {
            Assert.InRange(Math.Abs(values.Average(v => (double)v)), 0, deviation * 4 / Math.Sqrt(values.Length));
            Assert.InRange(Math.Sqrt(values.Average(v => (double)v * v)), deviation * 0.95, deviation * 1.05);
            Assert.InRange(values.Max(), deviation * 2.5, deviation * 6);
        }
    }

    [Fact]
    public void A_shape_that_cannot_be_is_refused()
    {
        foreach (ModelShape shape in (ModelShape[])[Glimmer with { Architecture = "bert" }, Glimmer with { Heads = 3 }, Glimmer with { HeadLength = 15 }, Glimmer with { Window = 0 },
            Glimmer with { Pattern = [] }, Glimmer with { Deviation = -1 }, Glimmer with { Layers = 0 }, Glimmer with { LogitCap = float.NaN }, Glimmer with { RopeBase = 0 }])
            Assert.Equal("invalid_model_shape", Assert.Throws<FlintException>(() => shape.Config(300)).Code);
        Assert.Equal("no_tokenizer", Assert.Throws<FlintException>(() => Initialization.Write(Path.Combine(_folder, "x"), Glimmer, [], "", "x", 1)).Code);
    }

    private static float[] Values(GgufFile file, string name)
    {
        TensorInfo tensor = file.Tensors.Get(name);
        long count = tensor.Shape.Aggregate(1L, (product, length) => product * length);
        return new ReadOnlySpan<float>(tensor.Data, (int)count).ToArray();
    }

    private string Write(ModelShape shape, ulong seed)
    {
        string path = Path.Combine(_folder, $"{Guid.NewGuid():N}.gguf");
        var trainer = new BpeTrainer(new BpeTrainerOptions { Specials = ["<|begin_of_text|>", "<|eot|>"] });
        trainer.Add("the then there the then there other others other others");
        Initialization.Write(path, shape, trainer.Train(262).Metadata(), "Test {{ bos_token }}", "small", seed);
        return path;
    }
}
