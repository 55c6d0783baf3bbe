using Flint.Kernels;

namespace Flint.Models;

/// <summary>The shape of a decoder: what its family read from the file. All blocks read this, none asks for the family.</summary>
public sealed record ModelConfig
{
    private const long CachedKvBytes = 32 << 20;

    /// <summary>The architecture's name in GGUF.</summary>
    public required string Architecture { get; init; }

    /// <summary>Token ids and logits.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int EmbeddingLength { get; init; }

    /// <summary>Decoder layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads of a layer.</summary>
    public required int Heads { get; init; }

    /// <summary>Key/value heads of a layer; divides <see cref="Heads"/>.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Floats of a query and of a key.</summary>
    public required int HeadLength { get; init; }

    /// <summary>Floats of a value.</summary>
    public required int ValueLength { get; init; }

    /// <summary>Inner width of the feed-forward block; of one expert where there are experts.</summary>
    public required int FeedForwardLength { get; init; }

    /// <summary>Experts that the feed-forward blocks choose from; 0 where they are dense.</summary>
    public int Experts { get; init; }

    /// <summary>Experts that a token goes through in each layer.</summary>
    public int ExpertsUsed { get; init; }

    /// <summary>Tokens the model was trained to see.</summary>
    public required int TrainedContextLength { get; init; }

    /// <summary>ε of the pre-norms, the final norm and the head norms.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>The longest sequence served, in tokens.</summary>
    public int ContextLength { get; init; }

    /// <summary>ε of the norms after a block's output, where there are any.</summary>
    public float PostNormEpsilon { get; init; }

    /// <summary>Elements of a head that turn with the position.</summary>
    public int RopeDimensions { get; init; }

    /// <summary>θ of the rotary embedding.</summary>
    public double RopeBase { get; init; } = 10000;

    /// <summary>Positions are divided by this.</summary>
    public double RopeLinearFactor { get; init; } = 1;

    /// <summary>Divisors of the pairs' frequencies; null for none.</summary>
    public float[]? RopeFactors { get; init; }

    /// <summary>Whether layers without a window turn their heads too.</summary>
    public bool RopeOnFullLayers { get; init; } = true;

    /// <summary>Keys that each layer sees, itself included; 0 for all. One entry per layer.</summary>
    public required int[] Windows { get; init; }

    /// <summary>Whether token embeddings are normed (without weights) before the first layer.</summary>
    public bool NormEmbedding { get; init; }

    /// <summary>Whether every head of q and k is normed with weights before the rotation.</summary>
    public bool HeadNorms { get; init; }

    /// <summary>Whether the attention output is multiplied by sigmoid(W·h).</summary>
    public bool OutputGate { get; init; }

    /// <summary>Whether each block's output is normed before it joins the residual stream.</summary>
    public bool PostNorms { get; init; }

    /// <summary>Factor of the attention scores.</summary>
    public float AttentionScale { get; init; }

    /// <summary>Soft-cap of the attention scores; 0 for none.</summary>
    public float AttentionCap { get; init; }

    /// <summary>Factor of the logits.</summary>
    public float LogitScale { get; init; } = 1;

    /// <summary>Soft-cap of the logits; 0 for none.</summary>
    public float LogitCap { get; init; }

    /// <summary>Which elements of a head turn together.</summary>
    internal RopePairing RopePairing { get; init; }

    /// <summary>What one token keeps in the key/value pool.</summary>
    public KvShape KvShape => new(Layers, KvHeads, HeadLength, ValueLength, KvFormat);

    /// <summary>How keys and values are kept.</summary>
    public KvFormat KvFormat { get; init; }

    /// <summary>
    /// How keys and values are kept where nobody says: in half precision, but as they were computed where all of the context that
    /// the model was trained for is then no more than the processor's caches hold about.
    /// </summary>
    public KvFormat UsualKvFormat =>
        KvPool.PagesFor(TrainedContextLength) <= CachedKvBytes / KvPool.PageBytes(KvShape with { Format = KvFormat.F32 }) ? KvFormat.F32 : KvFormat.F16;
}
