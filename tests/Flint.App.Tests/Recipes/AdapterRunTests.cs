using System.Text.Json.Nodes;
using Flint.App.Recipes;
using Flint.App.Tests.Cli;
using Flint.Models;
using Flint.Tokens;
using Flint.Training;
using Flint.Weights;

namespace Flint.App.Tests.Recipes;

/// <summary>Fine-tuning: an adapter comes out in both layouts, the same in stretches as in one go, and the model stays as it was.</summary>
public sealed class AdapterRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _model;

    public AdapterRunTests()
    {
        File.WriteAllLines(_folder.File("data.jsonl"), Enumerable.Range(0, 40).Select(i => new JsonObject
        {
            ["messages"] = new JsonArray(
                new JsonObject { ["role"] = "user", ["content"] = $"Word {i}?" },
                new JsonObject { ["role"] = "assistant", ["content"] = $"Word {i} is {i * 7}." }),
        }.ToJsonString()));
        _model = _folder.File("base.gguf");
        var trainer = new BpeTrainer(new BpeTrainerOptions { Specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|eom|>", "<|eot|>", "<|start|>", "<|message|>"] });
        Initialization.Write(
            _folder.File("f32.gguf"),
            new ModelShape { Architecture = "muse-glimmer", Layers = 2, Width = 32, Heads = 2, KvHeads = 1, HeadLength = 32, FeedForward = 64, Window = 64, Context = 256, Pattern = [true, false] },
            trainer.Train(262).Metadata(), File.ReadAllText(Path.Combine(TestData.Root, "models/nano/template.jinja")), "base", 3);
        using GgufFile source = GgufFile.Open(_folder.File("f32.gguf"));
        Quantizer.Write(source, _model, new QuantizerOptions { Mix = "Q8_0" });
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_adapter_in_stretches_is_an_adapter_in_one_go_in_both_layouts()
    {
        byte[] before = File.ReadAllBytes(_model);
        Recipe whole = Recipe("whole");
        var output = new StringWriter();
        Assert.Equal(TrainingEnd.Complete, new App.Recipes.TrainingRun(whole, output, null, TimeProvider.System).Execute(CancellationToken.None));
        Recipe pieces = Recipe("pieces") with { StopAfterMinutes = 7 };
        int calls = 0;
        while (new App.Recipes.TrainingRun(pieces, output, null, new MinuteTime()).Execute(CancellationToken.None) == TrainingEnd.OutOfTime) Assert.InRange(++calls, 1, 20);
        Assert.InRange(calls, 2, 20);
        Assert.Equal(before, File.ReadAllBytes(_model));
        Assert.Equal(File.ReadAllBytes(whole.Adapters[0]), File.ReadAllBytes(pieces.Adapters[0]));

        using GgufFile model = GgufFile.Open(_model);
        LoraAdapter gguf = LoraAdapter.Load(whole.Adapters[0], model), peft = LoraAdapter.Load(whole.Adapters[1], model);
        Assert.Equal((8, 16f), (gguf.Matrices[0].Rank, gguf.Alpha));
        Assert.Equal(gguf.Matrices.Select(m => m.Tensor).Order(), peft.Matrices.Select(m => m.Tensor).Order());
        Assert.All(gguf.Matrices, m => Assert.True(m.Tensor.Contains("attn_q") || m.Tensor.Contains("ffn_up"), m.Tensor));
        foreach (LoraMatrix matrix in gguf.Matrices)
        {
            LoraMatrix other = peft.Matrices.Single(m => m.Tensor == matrix.Tensor);
            Assert.Equal(matrix.A, other.A);
            Assert.Equal(matrix.B, other.B);
        }
        // A checkpoint holds the adapter and its moments, not the model.
        using GgufFile checkpoint = GgufFile.Open(Path.Combine(whole.Folder, "checkpoint.gguf"));
        Assert.All(checkpoint.Tensors, t => Assert.Contains(".lora_", t.Name));
    }

    [Fact]
    public void Another_rank_or_alpha_is_not_gone_on_with()
    {
        Recipe recipe = Recipe("rank");
        new App.Recipes.TrainingRun(recipe, new StringWriter(), null, TimeProvider.System).Execute(CancellationToken.None);
        foreach (LoraOptions lora in (LoraOptions[])[recipe.Lora! with { Rank = 4 }, recipe.Lora! with { Alpha = 1 }])
            Assert.Equal("other_options", Assert.Throws<FlintException>(() =>
                new App.Recipes.TrainingRun(recipe with { Lora = lora }, new StringWriter(), null, TimeProvider.System).Execute(CancellationToken.None)).Code);
    }

    [Fact]
    public void The_verb_takes_what_it_needs_and_says_what_is_wrong()
    {
        string data = _folder.File("data.jsonl"), adapter = _folder.File("verb.gguf");
        FlintProcess.Result run = FlintProcess.Run(["tune", _model, "--data", data, "--out", adapter, "--epochs", "0.5", "--batch-tokens", "256", "--rank", "2", "-t", "1"]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        using (GgufFile model = GgufFile.Open(_model)) Assert.Equal(2, LoraAdapter.Load(adapter, model).Matrices[0].Rank);
        Assert.Equal(2, FlintProcess.Run(["tune", _model, "--data", data]).Code);
        Assert.Contains("no.jsonl", FlintProcess.Run(["tune", _model, "--data", _folder.File("no.jsonl"), "--out", _folder.File("x")]).Complaint);
        Assert.Contains("head", FlintProcess.Run(["tune", _model, "--data", data, "--out", _folder.File("y"), "--target", "head"]).Complaint);
        Assert.Contains("--max-tokens is 300; expected at most one more than --batch-tokens, which is 256",
            FlintProcess.Run(["tune", _model, "--data", data, "--out", _folder.File("y"), "--batch-tokens", "256", "--max-tokens", "300"]).Complaint);
        // What is wrong shows before anything is made.
        Assert.False(Directory.Exists(_folder.File("y.run")));
    }

    [Fact]
    public void Targets_are_named_as_in_either_layout()
    {
        string data = _folder.File("data.jsonl"), adapter = _folder.File("named.gguf");
        FlintProcess.Result run = FlintProcess.Run(["tune", _model, "--data", data, "--out", adapter, "--epochs", "0.1", "--batch-tokens", "256", "-t", "1", "--target", "q_proj, mlp.down_proj", "attn_q"]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        using GgufFile model = GgufFile.Open(_model);
        Assert.Equal(["attn_q", "ffn_down"], LoraAdapter.Load(adapter, model).Matrices.Select(m => m.Tensor.Split('.')[2]).Distinct().Order());
        Assert.Equal(["ffn_gate", "attn_gate", "output", "attn_k"], new[] { "gate_proj", "self_attn.gate_proj", "lm_head", "attn_k" }.Select(LoraOptions.TargetOf));
    }

    private Recipe Recipe(string name) => new()
    {
        Path = "test",
        Name = name,
        Seed = 5,
        Folder = _folder.File(name),
        Files = [_folder.File("data.jsonl")],
        PromptWeight = 0,
        BaseModel = _model,
        Lora = new LoraOptions { Rank = 8, Alpha = 16, Targets = ["attn_q", "ffn_up"] },
        Epochs = 1,
        Adapters = [_folder.File($"{name}.gguf"), _folder.File($"{name}-peft")],
        Quantized = [],
        CheckpointEvery = 3,
        StopAfterMinutes = 0,
        Options = new TrainerOptions { Seed = 5, Threads = 1, MicroBatchTokens = 512, MaxExampleTokens = 256, WeightDecay = 0 },
    };

    /// <summary>A clock that moves on by a minute whenever it is read.</summary>
    private sealed class MinuteTime : TimeProvider
    {
        private long _reads;

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => 60 * _reads++;
    }
}
