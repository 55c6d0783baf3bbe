namespace Flint.Training;

/// <summary>How to train. Everything that decides the result is here, so equal options, data and start give equal bits.</summary>
public sealed record TrainerOptions
{
    private const int MaxRows = 1 << 20;

    /// <summary>Threads; 0 for one per processor. They change no bit of the result.</summary>
    public int Threads { get; init; }

    /// <summary>Decides the order of the examples.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Packed tokens of one forward and backward pass.</summary>
    public int MicroBatchTokens { get; init; } = 4096;

    /// <summary>Passes whose gradients one optimizer step adds up.</summary>
    public int Accumulation { get; init; } = 1;

    /// <summary>Optimizer steps of the whole run.</summary>
    public int Steps { get; init; } = 1000;

    /// <summary>The learning rate after the warm-up.</summary>
    public float LearningRate { get; init; } = 1e-3f;

    /// <summary>The learning rate at the end of the cosine.</summary>
    public float FinalLearningRate { get; init; } = 1e-4f;

    /// <summary>Steps over which the learning rate rises from 0.</summary>
    public int WarmupSteps { get; init; } = 100;

    /// <summary>
    /// 0: the learning rate falls along a cosine over the whole run. Otherwise it stays up and falls over the last so many steps; such
    /// a run may be resumed with other <see cref="Steps"/>, as long as it has not begun to fall.
    /// </summary>
    public int DecaySteps { get; init; }

    /// <summary>Decoupled weight decay of matrices.</summary>
    public float WeightDecay { get; init; } = 0.1f;

    /// <summary>Decay of the first moment.</summary>
    public float Beta1 { get; init; } = 0.9f;

    /// <summary>Decay of the second moment.</summary>
    public float Beta2 { get; init; } = 0.95f;

    /// <summary>ε of AdamW.</summary>
    public float Epsilon { get; init; } = 1e-8f;

    /// <summary>Which rule turns gradients into steps.</summary>
    public OptimizerKind Optimizer { get; init; }

    /// <summary>Decay of Muon's momentum.</summary>
    public float Momentum { get; init; } = 0.95f;

    /// <summary>The greatest norm of a step's gradient; 0 for none.</summary>
    public float ClipNorm { get; init; } = 1f;

    /// <summary>The longest example in tokens, at most one more than <see cref="MicroBatchTokens"/>; longer ones are an error.</summary>
    public int MaxExampleTokens { get; init; } = 2048;

    /// <summary>The first step whose learning rate depends on how many steps there will be.</summary>
    internal int DecayStart => DecaySteps == 0 ? WarmupSteps : Math.Max(WarmupSteps, Steps - DecaySteps);

    /// <summary>The learning rate of a step, counted from 0: a linear rise, a level where <see cref="DecaySteps"/> leaves one, then half a cosine.</summary>
    public double RateAt(int step)
    {
        if (step < WarmupSteps) return LearningRate * (step + 1.0) / WarmupSteps;
        double progress = Math.Clamp((step - DecayStart) / (double)Math.Max(1, Steps - DecayStart), 0, 1);
        return FinalLearningRate + (LearningRate - FinalLearningRate) * 0.5 * (1 + Math.Cos(Math.PI * progress));
    }

    /// <summary>Refuses values that no run can have.</summary>
    /// <exception cref="FlintException">Caller: a value is out of range.</exception>
    public void Check()
    {
        Require(Threads is >= 0 and <= 256, "threads", Threads, "0 to 256");
        Require(MicroBatchTokens is >= 16 and <= MaxRows, "micro_batch_tokens", MicroBatchTokens, $"16 to {MaxRows}");
        Require(Accumulation is >= 1 and <= 4096, "accumulation", Accumulation, "1 to 4096");
        Require(Steps >= 1, "steps", Steps, "at least 1");
        Require(LearningRate > 0 && float.IsFinite(LearningRate), "learning_rate", LearningRate, "a positive number");
        Require(FinalLearningRate >= 0 && FinalLearningRate <= LearningRate, "final_learning_rate", FinalLearningRate, FormattableString.Invariant($"0 to learning_rate ({LearningRate})"));
        Require(WarmupSteps >= 0 && WarmupSteps < Math.Max(2, Steps), "warmup_steps", WarmupSteps, "0 to below the steps");
        Require(DecaySteps >= 0 && DecaySteps <= Steps, "decay_steps", DecaySteps, "0 to the steps");
        Require(WeightDecay is >= 0 and <= 1, "weight_decay", WeightDecay, "0 to 1");
        Require(Beta1 is >= 0 and < 1, "beta1", Beta1, "0 to below 1");
        Require(Beta2 is > 0 and < 1, "beta2", Beta2, "above 0 and below 1");
        Require(Enum.IsDefined(Optimizer), "optimizer", Optimizer, "AdamW or Muon");
        Require(Momentum is >= 0 and < 1, "momentum", Momentum, "0 to below 1");
        Require(Epsilon > 0 && float.IsFinite(Epsilon), "epsilon", Epsilon, "a positive number");
        Require(ClipNorm >= 0, "clip_norm", ClipNorm, "at least 0");
        Require(MaxExampleTokens >= 2 && MaxExampleTokens - 1 <= MicroBatchTokens, "max_tokens", MaxExampleTokens, $"2 to micro_batch_tokens + 1 ({MicroBatchTokens + 1})");
    }

    private static void Require(bool holds, string name, object value, string expected)
    {
        if (!holds) throw FlintException.Caller("invalid_training_option", FormattableString.Invariant($"{name} is {value}; expected {expected}."));
    }
}

/// <summary>The rule that turns gradients into steps.</summary>
public enum OptimizerKind
{
    /// <summary>AdamW for everything.</summary>
    AdamW,

    /// <summary>Muon for the matrices inside the layers, AdamW for embeddings, head and norms.</summary>
    Muon,
}

/// <summary>What one optimizer step did.</summary>
/// <param name="Step">Steps done, this one included.</param>
/// <param name="Loss">Weighted mean cross entropy of the predicted tokens, in nats.</param>
/// <param name="Tokens">Tokens of the run so far.</param>
/// <param name="TrainedTokens">Tokens of the run so far whose prediction had a weight.</param>
/// <param name="LearningRate">The rate of this step.</param>
/// <param name="GradientNorm">The gradient's norm before clipping.</param>
public readonly record struct TrainingStep(int Step, double Loss, long Tokens, long TrainedTokens, double LearningRate, double GradientNorm);
