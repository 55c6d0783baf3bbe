namespace Flint.Engine;

/// <summary>The sizes of an engine, fixed when it is built.</summary>
public sealed class EngineOptions
{
    /// <summary>Bytes of keys and values to hold; 0 takes a quarter of the machine's memory, or what all sequences can fill if less.</summary>
    public long KvBytes { get; init; }

    /// <summary>Sequences computed at once; 0 takes as many as the model's batch has room for.</summary>
    public int MaxRunning { get; init; }

    /// <summary>Sequences that may wait beyond those computed at once; one more is refused with <c>queue_full</c>.</summary>
    public int MaxWaiting { get; init; } = 256;

    /// <summary>Continuations one request may ask for.</summary>
    public int MaxSamples { get; init; } = 128;

    /// <summary>
    /// Prompt rows per step while other sequences decode, so that a long prompt does not hold up their next token: with 16 a step takes
    /// about twice as long as one of eight sequences that only decode. More than that gains prompts little, as rows cost the same from a few on.
    /// </summary>
    public int PromptRowsWhileDecoding { get; init; } = 16;

    /// <summary>
    /// Tokens by which an owner (<see cref="GenerationRequest.Share"/>) may be ahead of another that waits before it gives up a place to it. Fewer
    /// are fairer, and have more computed twice.
    /// </summary>
    public int ShareSlack { get; init; } = 128;

    /// <summary>
    /// Events a sequence keeps for its consumer. A consumer that falls this far behind pauses its own sequence, and nothing else;
    /// paused sequences are the first to give up their pages when others need them.
    /// </summary>
    public int EventCapacity { get; init; } = 1024;

    /// <summary>Whether computed prefixes are kept for later requests.</summary>
    public bool PrefixCache { get; init; } = true;

    /// <summary>Seeds the requests that bring no seed of their own; null draws one from the system.</summary>
    public ulong? Seed { get; init; }
}
