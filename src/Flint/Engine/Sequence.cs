using System.Runtime.CompilerServices;
using Flint.Grammar;
using Flint.Models;

namespace Flint.Engine;

/// <summary>Where a sequence stands with the scheduler.</summary>
internal enum SequencePhase
{
    /// <summary>Handed in, not yet seen by the engine's thread.</summary>
    Submitted,

    /// <summary>Waiting for room, without pages.</summary>
    Waiting,

    /// <summary>Being computed.</summary>
    Running,

    /// <summary>Ended, without pages.</summary>
    Finished,
}

/// <summary>One continuation being generated: its events for the consumer, its usage, and the way to cancel it.</summary>
/// <remarks>
/// One consumer reads the events at a time, from any thread. A consumer that reads slowly pauses this sequence and no other.
/// </remarks>
public sealed class Sequence
{
    private readonly Engine _engine;
    private readonly int[] _tokens; // prompt and output; the engine's thread writes
    private int _length;
    private int _charged; // rows
    private int _outputTokens;
    private int _paused;
    private int _cancelRequested;
    private long _queueTicks = -1;
    private long _firstTokenTicks = -1;
    private long _totalTicks = -1;
    private long _computeTicks;

    internal Sequence(Engine engine, long id, int sample, Sequence[] samples, RequestPlan plan)
    {
        _engine = engine;
        Id = id;
        SampleIndex = sample;
        Plan = plan;
        SampleSeed = Sampler.SampleSeed(plan.Sampling.Seed ?? plan.DrawnSeed, sample);
        Matcher = new StopMatcher(plan.Stops);
        Confidence = plan.Floor is { } floor ? new ConfidenceWindow(floor.Tokens) : null;
        Grammar = plan.Grammar is null ? null : StartGrammar(plan, engine.Table);
        _tokens = new int[Prompt.Length + MaxOutput];
        Prompt.Tokens.CopyTo(_tokens);
        _length = Prompt.Length;
        State = new SequenceState(engine.Pool, Prompt.Length + MaxOutput);
        Ring = new EventRing(engine.Table, Prompt.Tokens[^1], Math.Min(engine.EventCapacity, MaxOutput), plan.Tops);
        Samples = samples;
    }

    /// <summary>Numbers sequences in order of submission.</summary>
    public long Id { get; }

    /// <summary>Which of its request's samples this is, from 0.</summary>
    public int SampleIndex { get; }

    /// <summary>All samples of the request, this one among them.</summary>
    public IReadOnlyList<Sequence> Samples { get; }

    /// <summary>Tokens of the prompt.</summary>
    public int PromptTokens => Prompt.Length;

    /// <summary>Tokens of the prompt that were found in the prefix cache and not computed.</summary>
    public int CachedTokens => Prompt.CachedTokens;

    /// <summary>Tokens generated, the one that ended generation among them.</summary>
    public int OutputTokens => Volatile.Read(ref _outputTokens);

    /// <summary>Why the sequence ended; null until then. It may be known before its last events are read.</summary>
    public FinishReason? FinishReason => Ring.Finish;

    /// <summary>The stop string that ended the sequence, if one did.</summary>
    public string? MatchedStop { get; internal set; }

    /// <summary>The fault that ended the sequence with <see cref="FinishReason.Error"/>.</summary>
    public FlintException? Fault { get; internal set; }

    /// <summary>From submission to the first step that computed it; null until then.</summary>
    public TimeSpan? QueueTime => Time(ref _queueTicks);

    /// <summary>From submission to the first token; null until then.</summary>
    public TimeSpan? FirstTokenTime => Time(ref _firstTokenTicks);

    /// <summary>From submission to the end; null until then.</summary>
    public TimeSpan? TotalTime => Time(ref _totalTicks);

    /// <summary>Its share, by rows, of the forward passes it was in; of a shared prompt's rows, the first sample has all.</summary>
    public TimeSpan ComputeTime => TimeSpan.FromTicks(Volatile.Read(ref _computeTicks));

    /// <summary>
    /// The log-probability of each prompt token, by position; the first is NaN. Complete once the first event is read; empty where
    /// <see cref="GenerationRequest.PromptLogprobs"/> was not asked for.
    /// </summary>
    public ReadOnlySpan<float> PromptLogprobs => Prompt.Logprobs;

    /// <summary>The likeliest tokens at a position of the prompt, likeliest first; empty where there is no score.</summary>
    public TopLogprob[] PromptTop(int position) => Prompt.Top(position);

    /// <summary>
    /// The prompt's final hidden states made one as <see cref="GenerationRequest.Pooling"/> says, of the model's embedding length and
    /// not normalised; empty where that was not asked for, or the sequence ended before the prompt did. Complete once the sequence has ended.
    /// </summary>
    public float[] PooledState() => Prompt.PooledState();

    /// <summary>Ends the sequence at the engine's next step, which frees its pages. Any thread; more than once does nothing more.</summary>
    public void Cancel()
    {
        if (!Ring.IsFinished && Interlocked.Exchange(ref _cancelRequested, 1) == 0)
            _engine.NoteCancel();
    }

    /// <summary>Takes the next event, if there is one now.</summary>
    public bool TryRead(out TokenEvent next)
    {
        if (!Ring.TryRead(out next))
            return false;
        // The engine sets the flag, then looks at the ring again; here the ring has moved before the flag is looked at.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _paused) != 0 && Ring.IsHalfRead)
            _engine.Wake();
        return true;
    }

    /// <summary>Completes with true once an event can be read, with false once the last was.</summary>
    /// <exception cref="OperationCanceledException">The wait was cancelled; the sequence goes on.</exception>
    public ValueTask<bool> WaitAsync(CancellationToken cancellation = default) => Ring.WaitAsync(cancellation);

    /// <summary>
    /// All events to the end. Leaving the enumeration before the end, by a break, an exception or the token, cancels the sequence.
    /// </summary>
    public async IAsyncEnumerable<TokenEvent> Events([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        try
        {
            while (await WaitAsync(cancellation).ConfigureAwait(false))
            {
                while (TryRead(out TokenEvent next))
                    yield return next;
            }
        }
        finally
        {
            Cancel();
        }
    }

    // ---- what the engine's thread keeps ----

    internal RequestPlan Plan { get; }

    internal Prompt Prompt => Plan.Prompt;

    /// <summary>Whose it is.</summary>
    internal Tenant Tenant { get; set; } = null!; // set before the engine's thread sees it

    internal int MaxOutput => Plan.MaxOutput;

    internal ulong SampleSeed { get; }

    internal StopMatcher Matcher { get; }

    /// <summary>How sure it is; null where no floor is set.</summary>
    internal ConfidenceWindow? Confidence { get; }

    /// <summary>Where its text stands in its grammar; null where it has none.</summary>
    internal GrammarState? Grammar { get; }

    internal EventRing Ring { get; }

    internal SequenceState State { get; }

    internal long SubmittedAt { get; init; }

    /// <summary>When its last token was drawn.</summary>
    internal long LastTokenAt { get; set; }

    internal bool CancelRequested => Volatile.Read(ref _cancelRequested) != 0;

    /// <summary>Prompt and generated tokens.</summary>
    internal ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, _length);

    /// <summary>Prompt and generated tokens, counted.</summary>
    internal int Length => _length;

    /// <summary>Rows still to be computed. Where nothing is generated or pooled, the last prompt token's is not needed.</summary>
    internal int Pending => _length - (MaxOutput == 0 && !IsPooled ? 1 : 0) - State.Length;

    /// <summary>Whether there is nothing to compute at all.</summary>
    internal bool IsTrivial => MaxOutput == 0 && Prompt.RowsToScore == 0 && Prompt.RowsToPool == 0;

    /// <summary>Whether the prompt's hidden states are pooled, and nothing else is wanted.</summary>
    internal bool IsPooled => Prompt.Pooling != PromptPooling.None;

    /// <summary>Tokens, from the first, whose logits and hidden states nobody needs any more, so that cached pages may stand for them.</summary>
    internal int Skippable => Prompt.RowsToPool > 0 ? Prompt.FirstRowToPool : Prompt.RowsToScore > 0 ? Prompt.ScoredRows : _length - 1;

    /// <summary>Whether the hidden state of the token at a position is needed.</summary>
    internal bool WantsHidden(int position) => Prompt.RowsToPool > 0 && position >= Prompt.FirstRowToPool;

    /// <summary>Whether the logits after the token at a position are needed.</summary>
    internal bool WantsLogits(int position) =>
        (position == _length - 1 && MaxOutput > 0)
        || (Prompt.RowsToScore > 0 && position >= Prompt.ScoredRows && position < Prompt.Length - 1);

    /// <summary>How many of the state's pages, from the first, are nodes of the prefix tree.</summary>
    internal int KnownPages { get; set; }

    /// <summary>The last of them; <see cref="PrefixTree.Root"/> where there is none.</summary>
    internal int LastKnownPage => KnownPages == 0 ? PrefixTree.Root : State.Pages[KnownPages - 1];

    /// <summary>Rows the step being planned computes.</summary>
    internal int PlannedRows { get; set; }

    /// <summary>Which of the scheduler's lists it is in.</summary>
    internal SequencePhase Phase { get; set; }

    /// <summary>Whether the consumer has fallen behind by a full ring, and the sequence waits for it.</summary>
    internal bool IsPaused
    {
        get
        {
            if (!Ring.IsFull && (_paused == 0 || Ring.IsHalfRead))
            {
                Volatile.Write(ref _paused, 0);
                return false;
            }
            Volatile.Write(ref _paused, 1);
            Interlocked.MemoryBarrier();
            if (!Ring.IsHalfRead)
                return true;
            Volatile.Write(ref _paused, 0); // the consumer read just now, before it could see the flag
            return false;
        }
    }

    /// <summary>Rows computed since the last call, but for those that were computed before.</summary>
    internal int TakeNewRows()
    {
        int rows = Math.Min(PlannedRows, State.Length - _charged);
        _charged = Math.Max(_charged, State.Length);
        return Math.Max(0, rows);
    }

    internal void Append(int token)
    {
        _tokens[_length++] = token;
        Volatile.Write(ref _outputTokens, _outputTokens + 1);
    }

    internal void AddComputeTime(TimeSpan time) => Volatile.Write(ref _computeTicks, _computeTicks + time.Ticks);

    internal void SetQueueTime(TimeSpan time) => Volatile.Write(ref _queueTicks, time.Ticks);

    internal void SetFirstTokenTime(TimeSpan time) => Volatile.Write(ref _firstTokenTicks, time.Ticks);

    internal void SetTotalTime(TimeSpan time) => Volatile.Write(ref _totalTicks, time.Ticks);

    private static GrammarState StartGrammar(RequestPlan plan, TokenTable table)
    {
        GrammarState state = plan.Grammar!.Start();
        ReadOnlySpan<int> prompt = plan.Prompt.Tokens;
        for (int i = prompt.Length - plan.GrammarTokens; i < prompt.Length; i++)
        {
            if (!state.TryRead(prompt[i], table.BeginsText(prompt[i - 1])))
                throw FlintException.Caller("grammar_tokens", $"The prompt's token {i} is to be part of the grammar's text, which does not have it there.");
        }
        return state;
    }

    private static TimeSpan? Time(ref long ticks) =>
        Volatile.Read(ref ticks) is >= 0 and var value ? TimeSpan.FromTicks(value) : null;
}
