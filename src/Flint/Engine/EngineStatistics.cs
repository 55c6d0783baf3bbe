namespace Flint.Engine;

/// <summary>What an engine is doing and has done. The engine's thread writes; any thread reads, each number by itself.</summary>
public sealed class EngineStatistics
{
    private long _running, _waiting, _freePages, _cachedPages;
    private long _steps, _rows, _promptTokens, _cachedTokens, _outputTokens, _preemptions;
    private long _finished, _cancelled, _failed, _refused;

    internal EngineStatistics(int totalPages)
    {
        TotalPages = totalPages;
        _freePages = totalPages;
    }

    /// <summary>Sequences being computed.</summary>
    public long Running { get => Volatile.Read(ref _running); internal set => Volatile.Write(ref _running, value); }

    /// <summary>Sequences waiting, those pushed back by a short pool among them.</summary>
    public long Waiting { get => Volatile.Read(ref _waiting); internal set => Volatile.Write(ref _waiting, value); }

    /// <summary>Pages of keys and values in all: free, cached alone, and in use.</summary>
    public int TotalPages { get; }

    /// <summary>Pages that hold nothing.</summary>
    public long FreePages { get => Volatile.Read(ref _freePages); internal set => Volatile.Write(ref _freePages, value); }

    /// <summary>Pages that only the prefix cache holds, to be given up when needed.</summary>
    public long CachedPages { get => Volatile.Read(ref _cachedPages); internal set => Volatile.Write(ref _cachedPages, value); }

    /// <summary>Forward passes.</summary>
    public long Steps { get => Volatile.Read(ref _steps); internal set => Volatile.Write(ref _steps, value); }

    /// <summary>Rows of all forward passes, recomputed ones too.</summary>
    public long Rows { get => Volatile.Read(ref _rows); internal set => Volatile.Write(ref _rows, value); }

    /// <summary>Prompt tokens of requests taken up, computed or cached; shared prompts count once.</summary>
    public long PromptTokens { get => Volatile.Read(ref _promptTokens); internal set => Volatile.Write(ref _promptTokens, value); }

    /// <summary>Tokens not computed because the prefix cache had them.</summary>
    public long CachedTokens { get => Volatile.Read(ref _cachedTokens); internal set => Volatile.Write(ref _cachedTokens, value); }

    /// <summary>Tokens generated.</summary>
    public long OutputTokens { get => Volatile.Read(ref _outputTokens); internal set => Volatile.Write(ref _outputTokens, value); }

    /// <summary>Times a running sequence gave up its pages and went back to wait.</summary>
    public long Preemptions { get => Volatile.Read(ref _preemptions); internal set => Volatile.Write(ref _preemptions, value); }

    /// <summary>Sequences that ended by themselves.</summary>
    public long Finished { get => Volatile.Read(ref _finished); internal set => Volatile.Write(ref _finished, value); }

    /// <summary>Sequences cancelled.</summary>
    public long Cancelled { get => Volatile.Read(ref _cancelled); internal set => Volatile.Write(ref _cancelled, value); }

    /// <summary>Sequences ended by a fault.</summary>
    public long Failed { get => Volatile.Read(ref _failed); internal set => Volatile.Write(ref _failed, value); }

    /// <summary>Requests refused because the queue was full.</summary>
    public long Refused => Volatile.Read(ref _refused);

    /// <summary>From submission to the first step that computes it.</summary>
    public Histogram QueueTime { get; } = new();

    /// <summary>From submission to the first token.</summary>
    public Histogram FirstTokenTime { get; } = new();

    /// <summary>From one token of a sequence to its next.</summary>
    public Histogram TokenTime { get; } = new();

    /// <summary>From one forward pass's start to its end.</summary>
    public Histogram StepTime { get; } = new();

    internal void CountRefused() => Interlocked.Increment(ref _refused);
}
