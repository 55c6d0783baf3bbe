using Flint.Formats;
using Flint.Models;
using Flint.Training;
using Xunit;

namespace Flint.Tests.Training;

/// <summary>Runs: the loss falls, a seed and a resume give the same bits, refusals name what is wrong.</summary>
public sealed class TrainerTests
{
    [Theory]
    [InlineData(OptimizerKind.AdamW)]
    [InlineData(OptimizerKind.Muon)]
    public void ARunLearnsItsExamples(OptimizerKind optimizer)
    {
        using var run = new TrainingRun("muse-glimmer", examples: 4);
        using Trainer trainer = Trainer.Start(run.Model, run.Data, TrainingRun.Options with { Steps = 40, LearningRate = 3e-3f, WeightDecay = 0, Optimizer = optimizer });
        double before = trainer.Evaluate(run.All, run.Data);
        for (int i = 0; i < 40; i++) trainer.Step();
        Assert.InRange(trainer.Evaluate(run.All, run.Data), 0, before / 4);
    }

    [Theory]
    [InlineData(1, OptimizerKind.AdamW)]
    [InlineData(1, OptimizerKind.Muon)]
    public void ThreadsChangeNoBit(int threads, OptimizerKind optimizer)
    {
        using var run = new TrainingRun("muse-glimmer");
        byte[] Train(int count, string name)
        {
            using Trainer trainer = Trainer.Start(run.Model, run.Data, TrainingRun.Options with { Threads = count, Accumulation = 2, Optimizer = optimizer });
            for (int i = 0; i < 3; i++) trainer.Step();
            trainer.SaveModel(run.File(name));
            return File.ReadAllBytes(run.File(name));
        }

        Assert.Equal(Train(2, "two"), Train(threads, "others"));
    }

    [Theory]
    [InlineData("llama", OptimizerKind.AdamW)]
    [InlineData("muse-glimmer", OptimizerKind.Muon)]
    public void AResumedRunEndsInTheSameCheckpoint(string architecture, OptimizerKind optimizer)
    {
        TrainerOptions options = TrainingRun.Options with { Optimizer = optimizer };
        using var run = new TrainingRun(architecture);
        using (Trainer whole = Trainer.Start(run.Model, run.Data, options))
        {
            for (int i = 0; i < 9; i++) whole.Step();
            whole.SaveCheckpoint(run.File("whole"));
        }

        using (Trainer first = Trainer.Start(run.Model, run.Data, options))
        {
            for (int i = 0; i < 4; i++) first.Step();
            first.SaveCheckpoint(run.File("part"));
            first.Step(); // lost with the process
        }

        using (Trainer second = Trainer.Resume(run.File("part"), run.Data, options))
        {
            Assert.Equal(4, second.StepsDone);
            for (int i = 4; i < 9; i++) second.Step();
            second.SaveCheckpoint(run.File("part"));
        }

        Assert.Equal(File.ReadAllBytes(run.File("whole")), File.ReadAllBytes(run.File("part")));
    }

    [Fact]
    public void AResumedAdapterEndsInTheSameCheckpoint()
    {
        using var run = new TrainingRun("qwen3", WeightType.Q8_0);
        var lora = new LoraOptions { Rank = 4, Targets = ["attn_q", "attn_v", "ffn_down"] };
        using (Trainer whole = Trainer.StartAdapter(run.Model, run.Data, TrainingRun.Options, lora))
        {
            double before = whole.Evaluate(run.All, run.Data);
            for (int i = 0; i < 8; i++) whole.Step();
            Assert.True(whole.Evaluate(run.All, run.Data) < before);
            whole.SaveCheckpoint(run.File("whole"));
        }

        using (Trainer first = Trainer.StartAdapter(run.Model, run.Data, TrainingRun.Options, lora))
        {
            for (int i = 0; i < 3; i++) first.Step();
            first.SaveCheckpoint(run.File("part"));
        }

        using (Trainer second = Trainer.ResumeAdapter(run.Model, run.File("part"), run.Data, TrainingRun.Options, lora))
        {
            for (int i = 3; i < 8; i++) second.Step();
            second.SaveCheckpoint(run.File("part"));
            LoraAdapter adapter = second.Adapter();
            Assert.Equal(second.TrainedParameters, adapter.Parameters);
            Assert.All(adapter.Matrices, matrix => Assert.Contains(matrix.B, b => b != 0));
        }

        Assert.Equal(File.ReadAllBytes(run.File("whole")), File.ReadAllBytes(run.File("part")));
        Assert.Equal("other_options", Fault(() => Trainer.ResumeAdapter(run.Model, run.File("part"), run.Data, TrainingRun.Options, lora with { Alpha = 7 })));
        Assert.Throws<InvalidOperationException>(() =>
        {
            using Trainer full = Trainer.Start(run.Model, run.Data, TrainingRun.Options);
            full.Adapter();
        });
    }

    [Fact]
    public void ALevelRunMayBeMadeLongerUntilItsRateFalls()
    {
        using var run = new TrainingRun("llama");
        TrainerOptions shorter = TrainingRun.Options with { Steps = 5, DecaySteps = 2 }, longer = shorter with { Steps = 8 };
        Assert.Equal([longer.LearningRate, longer.LearningRate], [shorter.RateAt(2), longer.RateAt(5)], (a, b) => Math.Abs(a - b) < 1e-9);
        Assert.True(longer.RateAt(7) < longer.LearningRate);
        using (Trainer whole = Trainer.Start(run.Model, run.Data, longer))
        {
            for (int i = 0; i < 6; i++) whole.Step();
            whole.SaveCheckpoint(run.File("whole"));
        }

        using (Trainer first = Trainer.Start(run.Model, run.Data, shorter))
        {
            for (int i = 0; i < 3; i++) first.Step();
            first.SaveCheckpoint(run.File("level"));
            first.Step();
            first.SaveCheckpoint(run.File("falling"));
        }

        using (Trainer second = Trainer.Resume(run.File("level"), run.Data, longer))
        {
            for (int i = 3; i < 6; i++) second.Step();
            second.SaveCheckpoint(run.File("level"));
        }

        Assert.Equal(File.ReadAllBytes(run.File("whole")), File.ReadAllBytes(run.File("level")));
        Assert.Equal("other_options", Fault(() => Trainer.Resume(run.File("falling"), run.Data, longer)));
    }

    [Fact]
    public void ACheckpointOfOtherOptionsIsRefused()
    {
        using var run = new TrainingRun("llama");
        using (Trainer trainer = Trainer.Start(run.Model, run.Data, TrainingRun.Options))
        {
            trainer.Step();
            trainer.SaveCheckpoint(run.File("checkpoint"));
        }

        Assert.Equal("other_options", Fault(() => Trainer.Resume(run.File("checkpoint"), run.Data, TrainingRun.Options with { Seed = 8 })));
        Assert.Equal("not_a_checkpoint", Fault(() => Trainer.Resume(run.Model, run.Data, TrainingRun.Options)));
        using var other = new TrainingRun("llama", examples: 5);
        Assert.Equal("other_data", Fault(() => Trainer.Resume(run.File("checkpoint"), other.Data, TrainingRun.Options)));
    }

    [Fact]
    public void OptionsOutOfRangeAreRefused()
    {
        using var run = new TrainingRun("llama");
        foreach (TrainerOptions options in new[]
        {
            TrainingRun.Options with { Steps = 0 }, TrainingRun.Options with { LearningRate = float.NaN }, TrainingRun.Options with { MaxExampleTokens = 500 },
            TrainingRun.Options with { Accumulation = 0 }, TrainingRun.Options with { Beta2 = 1 },
        })
            Assert.Equal("invalid_training_option", Fault(() => Trainer.Start(run.Model, run.Data, options)));
        Assert.Equal("invalid_training_option", Fault(() => Trainer.StartAdapter(run.Model, run.Data, TrainingRun.Options, new LoraOptions { Targets = ["lm_head"] })));
        // A target that the family has not would train nothing.
        FlintException fault = Assert.Throws<FlintException>(() => Trainer.StartAdapter(run.Model, run.Data, TrainingRun.Options, new LoraOptions { Targets = ["attn_q", "attn_gate"] }));
        Assert.Contains("\"attn_gate\" is not in", fault.Message);
        Assert.Equal(fault.Message, Assert.Throws<FlintException>(() => Trainer.ConfigOf(run.Model, new LoraOptions { Targets = ["attn_gate"] })).Message);
    }

    private static string Fault(Func<Trainer> start) => Assert.Throws<FlintException>(() => start().Dispose()).Code;
}
