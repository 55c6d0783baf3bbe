using Flint.Models;
using Flint.Weights;

namespace Flint.Training;

/// <summary>Low-rank adaptation (Hu et al., arXiv 2106.09685): W·x + (α / rank)·B·(A·x) with A and B trained and W frozen.</summary>
public sealed record LoraOptions
{
    /// <summary>The target that is the head, in models whose head is not the embedding. Tokens that a model never wrote are learnt through it.</summary>
    public const string HeadTarget = "output";

    private const int MaxRank = 1024;

    private static readonly string[] s_targets =
    [
        DecoderTensors.Query, DecoderTensors.Key, DecoderTensors.Value, DecoderTensors.Gate, DecoderTensors.Output,
        DecoderTensors.FeedForwardGate, DecoderTensors.FeedForwardUp, DecoderTensors.FeedForwardDown,
    ];

    /// <summary>The rank of the product of A and B.</summary>
    public int Rank { get; init; } = 16;

    /// <summary>α; the adapter's product counts α / rank.</summary>
    public float Alpha { get; init; } = 32f;

    /// <summary>The matrices of every layer that get an adapter, as in GGUF (<c>attn_q</c>, …, <c>ffn_down</c>), and <see cref="HeadTarget"/>; null for all of the layers.</summary>
    public IReadOnlyList<string>? Targets { get; init; }

    /// <summary>α / rank.</summary>
    public float Scale => Alpha / Rank;

    /// <summary>The names that <see cref="Targets"/> may hold.</summary>
    public static IReadOnlyList<string> KnownTargets { get; } = [.. s_targets, HeadTarget];

    /// <summary>
    /// The name of a target, given so or as the Hugging Face hub and PEFT name the matrix: <c>q_proj</c>, <c>mlp.up_proj</c>,
    /// <c>lm_head</c>; <c>gate_proj</c> alone is that of the feed-forward block. What is neither stays as it is.
    /// </summary>
    public static string TargetOf(string name) => name == PeftFolder.HeadModule ? HeadTarget : PeftFolder.PartOf(name) ?? name;

    /// <summary>Whether the head gets one.</summary>
    internal bool AdaptsHead => Targets?.Contains(HeadTarget) ?? false;

    /// <summary>The tensors to train: for every target [rank][columns] and [rows][rank].</summary>
    internal IEnumerable<(string Name, int Columns, int Rows)> Tensors(ModelConfig config)
    {
        var names = new HashSet<string>();
        for (int l = 0; l < config.Layers; l++)
        {
            foreach (string target in Targets ?? s_targets) names.Add(DecoderTensors.Name(l, target));
        }

        if (AdaptsHead) names.Add(DecoderTensors.Head);
        foreach (DecoderTensor tensor in DecoderTensors.Of(config, tied: !AdaptsHead))
        {
            if (!names.Contains(tensor.Name)) continue;
            yield return (AdapterPart.NameA(tensor.Name), tensor.Columns, Rank);
            yield return (AdapterPart.NameB(tensor.Name), Rank, tensor.Rows);
        }
    }

    /// <summary>A uniform within ±1/√columns, B zero: the adapter starts as nothing.</summary>
    internal unsafe void Initialize(TrainedTensors tensors, ulong seed)
    {
        int index = 0;
        foreach (TrainedTensor tensor in tensors.All)
        {
            var random = new SplitMix(seed, (ulong)index++);
            if (!tensor.Name.EndsWith(".lora_a", StringComparison.Ordinal)) continue;
            float bound = 1f / MathF.Sqrt(tensor.Columns);
            float* values = tensors.ValuesOf(tensor);
            for (long i = 0; i < tensor.Count; i++) values[i] = (float)(2 * random.Uniform() - 1) * bound;
        }
    }

    /// <summary>Refuses values that no adapter can have.</summary>
    /// <exception cref="FlintException">Caller: a value is out of range, or a target is unknown.</exception>
    public void Check()
    {
        if (Rank is < 1 or > MaxRank) throw FlintException.Caller("invalid_training_option", $"The adapter's rank is {Rank}; expected 1 to {MaxRank}.");
        if (!(Alpha > 0) || !float.IsFinite(Alpha)) throw FlintException.Caller("invalid_training_option", FormattableString.Invariant($"The adapter's alpha is {Alpha}; expected a positive number."));
        if (Targets is { Count: 0 }) throw FlintException.Caller("invalid_training_option", "The adapter has no target; expected at least one.");
        foreach (string target in Targets ?? [])
        {
            if (!KnownTargets.Contains(target))
                throw FlintException.Caller("invalid_training_option", $"The adapter's target \"{target}\" is not known; expected some of {string.Join(", ", KnownTargets)}.");
        }
    }

    /// <exception cref="FlintException">Caller: a target is not in the model.</exception>
    internal void CheckFits(ModelConfig config, bool tied, string model)
    {
        if (AdaptsHead && tied)
            throw FlintException.Caller("invalid_training_option", $"The head of {model} is its embedding, which gets no adapter; expected targets without \"{HeadTarget}\".");
        HashSet<string> present = [.. DecoderTensors.Of(config, tied: true).Where(t => !t.IsVector).Select(t => t.Name)];
        string[] fitting = [.. s_targets.Where(target => present.Contains(DecoderTensors.Name(0, target)))];
        foreach (string target in (Targets ?? []).Where(target => target != HeadTarget))
        {
            if (!fitting.Contains(target))
                throw FlintException.Caller("invalid_training_option", $"The adapter's target \"{target}\" is not in {model}; expected some of {string.Join(", ", fitting)}.");
        }
    }
}
