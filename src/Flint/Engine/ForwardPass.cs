using Flint.Models;

namespace Flint.Engine;

/// <summary>What the engine asks of a model: its sizes, and the forward.</summary>
internal abstract class ForwardPass
{
    /// <summary>Logits of a row.</summary>
    public abstract int VocabularySize { get; }

    /// <summary>Floats of a row's hidden state.</summary>
    public abstract int HiddenLength { get; }

    /// <summary>The most tokens of a sequence, prompt and output together.</summary>
    public abstract int ContextLength { get; }

    /// <summary>What a page of keys and values is laid out for.</summary>
    public abstract KvShape Shape { get; }

    /// <summary>Room of a batch for rows.</summary>
    public abstract int MaxBatchRows { get; }

    /// <summary>Room of a batch for sequences.</summary>
    public abstract int MaxSequences { get; }

    /// <summary>Room of a batch for rows that want logits.</summary>
    public abstract int MaxLogitRows { get; }

    /// <summary>Whether sequences may name an adapter.</summary>
    public abstract bool Has(ModelAdapter adapter);

    /// <summary>Stores every row's keys and values and computes the logits asked for.</summary>
    public abstract void Forward(Batch batch);

    /// <summary>A logit row of the last forward, valid until the next.</summary>
    public abstract ReadOnlySpan<float> Logits(int logitRow);

    /// <summary>A hidden row of the last forward, valid until the next.</summary>
    public abstract ReadOnlySpan<float> Hidden(int hiddenRow);
}
