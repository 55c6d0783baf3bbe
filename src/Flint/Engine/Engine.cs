using System.Diagnostics;
using System.Security.Cryptography;
using Flint.Models;
using Flint.Tokens;

namespace Flint.Engine;

/// <summary>
/// Generates for many requests at once: every step puts prompt chunks and single tokens of all running sequences into one batch,
/// computes it, and hands out the tokens drawn.
/// </summary>
/// <remarks>
/// Steps are synchronous and run on one thread: the owner's, or the engine's own after <see cref="Start"/>. Requests come in
/// and cancellations are noted from any thread. All memory of a step is made beforehand; a step that decodes allocates nothing
/// on the managed heap.
/// </remarks>
public sealed class Engine : IDisposable
{
    private const int MaxPendingSequences = 1 << 16;
    private const int KeptPart = 4; // of the places for waiting, one of so many is kept for owners that have few
    private const double ShortestRetrySeconds = 1;
    private const double LongestRetrySeconds = 60;

    private readonly ForwardPass _forward;
    private readonly TimeProvider _time;
    private readonly Scheduler _scheduler;
    private readonly Sampler _sampler;
    private readonly TokenWriter _writer;
    private readonly PrefixTree? _tree;
    private readonly ulong _seed;
    private readonly int _maxSamples;
    private readonly int _maxLive; // sequences submitted and not ended
    private readonly int _kept; // the last places, for owners that have few
    private readonly Tenants _tenants;

    private readonly Lock _gate = new(); // over the inbox and what is refused
    private readonly Sequence?[] _inbox;
    private int _inboxCount;
    private int _live;
    private long _nextId;
    private long _nextRequest;
    private FlintException? _closed;
    private bool _disposed;

    private readonly AutoResetEvent _wake = new(false);
    private int _cancels; // noted and not yet looked at
    private Thread? _thread;
    private volatile bool _stopping;
    private long _lastFinish;
    private double _secondsPerFinish = ShortestRetrySeconds;

    /// <summary>An engine over a loaded model, which stays the caller's to dispose, after the engine.</summary>
    /// <param name="model">Computes; nobody else may use it meanwhile.</param>
    /// <param name="tokenizer">Gives tokens their text.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="time">The clock of the statistics; the system's where null.</param>
    /// <exception cref="FlintException">Caller where an option is out of range; Machine where the pool's memory is not there.</exception>
    public Engine(Model model, Tokenizer tokenizer, EngineOptions options, TimeProvider? time = null)
        : this(new ModelForward(model), TokenTable.Of(tokenizer, model.Config.VocabularySize), options, time)
    {
    }

    internal Engine(ForwardPass forward, TokenTable table, EngineOptions options, TimeProvider? time = null)
    {
        _forward = forward;
        _time = time ?? TimeProvider.System;
        Table = table;
        EventCapacity = Positive(options.EventCapacity, nameof(options.EventCapacity));
        _maxSamples = Positive(options.MaxSamples, nameof(options.MaxSamples));
        int promptRows = Positive(options.PromptRowsWhileDecoding, nameof(options.PromptRowsWhileDecoding));
        int room = Math.Min(forward.MaxSequences, Math.Min(forward.MaxLogitRows, forward.MaxBatchRows));
        int maxRunning = options.MaxRunning == 0 ? room : Math.Min(room, Positive(options.MaxRunning, nameof(options.MaxRunning)));
        if (options.MaxWaiting is < 0 or > MaxPendingSequences)
            throw Setting(nameof(options.MaxWaiting), $"0 to {MaxPendingSequences}", options.MaxWaiting);
        _maxLive = maxRunning + options.MaxWaiting;
        _kept = options.MaxWaiting / KeptPart;
        _tenants = new Tenants(Positive(options.ShareSlack, nameof(options.ShareSlack)));

        Pool = new KvPool(forward.Shape, KvPages(forward, options.KvBytes, maxRunning));
        Statistics = new EngineStatistics(Pool.Pages);
        _tree = options.PrefixCache ? new PrefixTree(Pool) : null;
        _scheduler = new Scheduler(forward, Pool, _tree, Statistics, _time, _tenants, maxRunning, _maxLive, promptRows);
        _sampler = new Sampler(forward.VocabularySize);
        _writer = new TokenWriter(table, _sampler);
        _inbox = new Sequence?[_maxLive];
        _seed = options.Seed ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
        _lastFinish = _time.GetTimestamp();
    }

    /// <summary>What the engine is doing and has done.</summary>
    public EngineStatistics Statistics { get; }

    /// <summary>The most tokens of a sequence, prompt and output together: the model's context length, or what the pool holds if less.</summary>
    public int ContextLength => (int)Math.Min(_forward.ContextLength, (long)Pool.Pages * KvPool.PageTokens);

    /// <summary>The fault of its own that the engine stopped on, after which it takes no more requests; null while it works.</summary>
    public FlintException? Fault
    {
        get
        {
            lock (_gate)
                return _closed is { Code: "engine_failed" } ? _closed : null;
        }
    }

    internal KvPool Pool { get; }

    internal TokenTable Table { get; }

    internal int EventCapacity { get; }

    internal Scheduler Scheduler => _scheduler;

    internal PrefixTree? Tree => _tree;

    /// <summary>Takes in a request; any thread. The first of its samples comes back and leads to the others.</summary>
    /// <exception cref="FlintException">
    /// Caller where the request is wrong, with <c>context_length_exceeded</c> where the prompt leaves no room; Limit with
    /// <c>queue_full</c> and a time to wait where too many sequences are waiting.
    /// </exception>
    public Sequence Submit(GenerationRequest request)
    {
        if (request.Adapter is { } adapter && !_forward.Has(adapter))
            throw FlintException.Caller("unknown_adapter", "The request names an adapter that another model has loaded; expected one of this engine's model.");
        ulong drawn = Sampler.SampleSeed(_seed, (int)Interlocked.Increment(ref _nextRequest));
        RequestPlan plan = RequestPlan.Create(
            request, Table, _forward.VocabularySize, _forward.HiddenLength, _forward.ContextLength, Pool.Pages, Math.Min(_maxSamples, _maxLive), drawn);
        lock (_gate)
            CheckRoom(request.Samples, request.Share); // before memory is made for it
        var samples = new Sequence[request.Samples];
        long first = Interlocked.Add(ref _nextId, samples.Length) - samples.Length;
        long now = _time.GetTimestamp();
        for (int i = 0; i < samples.Length; i++)
            samples[i] = new Sequence(this, first + i, i, samples, plan) { SubmittedAt = now };
        lock (_gate)
        {
            CheckRoom(samples.Length, request.Share);
            Tenant tenant = _tenants.Enter(request.Share, samples.Length);
            foreach (Sequence sequence in samples)
            {
                sequence.Tenant = tenant;
                _inbox[_inboxCount++] = sequence;
            }
            _live += samples.Length;
        }
        Wake();
        return samples[0];
    }

    /// <summary>
    /// Takes in what was submitted, ends what was cancelled, computes one batch and hands out its tokens. On the owner's thread only.
    /// </summary>
    /// <returns>False where there was nothing to do.</returns>
    public bool Step()
    {
        bool worked = TakeIn() | EndCancelled() | EndTrivial();
        _scheduler.Admit();
        _scheduler.Plan();
        Batch batch = _scheduler.Batch;
        if (batch.Rows > 0)
        {
            worked = true;
            Compute(batch);
        }
        Statistics.Running = _scheduler.Running.Count;
        Statistics.Waiting = _scheduler.Waiting.Count;
        Statistics.FreePages = Pool.FreePages;
        Statistics.CachedPages = Pool.IdlePages;
        return worked;
    }

    /// <summary>Runs the steps on a thread of the engine's own, which sleeps while there is nothing to do.</summary>
    public void Start()
    {
        if (_thread is not null)
            throw new FlintException(FaultSide.Bug, "engine_started", "The engine's thread runs already.");
        _thread = new Thread(Run) { IsBackground = true, Name = "flint-engine" };
        _thread.Start();
    }

    /// <summary>Takes no more requests, ends every sequence as cancelled, and frees the pages. Not on the engine's own thread.</summary>
    public void Dispose()
    {
        if (!Close(new FlintException(FaultSide.Limit, "shutting_down", "The engine is shutting down and takes no more requests.")))
            return;
        _stopping = true;
        Wake();
        _thread?.Join();
        TakeIn();
        EndAll(FinishReason.Cancelled, null);
        Pool.Dispose();
        lock (_gate)
        {
            _disposed = true;
            _wake.Dispose();
        }
    }

    /// <summary>Has a sleeping engine look again.</summary>
    internal void Wake()
    {
        lock (_gate)
        {
            if (!_disposed)
                _wake.Set();
        }
    }

    internal void NoteCancel()
    {
        Interlocked.Increment(ref _cancels);
        Wake();
    }

    private static int Positive(int value, string name) => value >= 1 ? value : throw Setting(name, "at least 1", value);

    private static FlintException Setting(string name, string expected, long found) =>
        FlintException.Caller("engine_options", $"{name} is {expected}; found {found}.");

    private static int KvPages(ForwardPass forward, long bytes, int maxRunning)
    {
        long pageBytes = KvPool.PageBytes(forward.Shape);
        if (bytes < 0 || (bytes > 0 && bytes < pageBytes))
            throw Setting(nameof(EngineOptions.KvBytes), $"0 or at least a page's {pageBytes} bytes", bytes);
        long useful = (long)maxRunning * KvPool.PagesFor(forward.ContextLength);
        long pages = bytes > 0
            ? bytes / pageBytes
            : Math.Min(useful, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 / pageBytes);
        return (int)Math.Clamp(pages, 1, KvPool.MaxPages);
    }

    private void Run()
    {
        try
        {
            while (!_stopping)
            {
                if (!Step())
                    _wake.WaitOne();
            }
        }
        catch (Exception e)
        {
            // The step's own bookkeeping failed: nothing here can be trusted to go on, and nobody may wait for it.
            var fault = new FlintException(FaultSide.Bug, "engine_failed", $"The engine stopped on a fault of its own: {e.Message}", e);
            Close(fault);
            TakeIn();
            EndAll(FinishReason.Error, fault);
        }
    }

    private bool Close(FlintException reason)
    {
        lock (_gate)
        {
            if (_closed is { Code: "shutting_down" })
                return false;
            _closed = reason;
            return true;
        }
    }

    // The last places are not for an owner that has more of all than are left, so that it cannot fill the queue against others. Who
    // names no owner is alone, or is the host itself.
    private void CheckRoom(int samples, EngineShare share)
    {
        if (_closed is not null)
            throw new FlintException(_closed.Side, _closed.Code, _closed.Message, _closed);
        bool isKept = _live + samples > _maxLive - _kept && share.Owner != 0 && _tenants.LiveOf(share) + samples > _maxLive - _live;
        if (_live + samples <= _maxLive && !isKept)
            return;
        Statistics.CountRefused();
        double seconds = Math.Clamp(Volatile.Read(ref _secondsPerFinish), ShortestRetrySeconds, LongestRetrySeconds);
        throw new FlintException(
            FaultSide.Limit, "queue_full",
            $"The engine takes {_maxLive} sequences at once, running and waiting; {_live} are there and the request brings {samples}{(isKept ? $"; the last {_kept} places are for owners that have fewer" : "")}.")
        {
            RetryAfter = TimeSpan.FromSeconds(Math.Ceiling(seconds)),
        };
    }

    private bool TakeIn()
    {
        lock (_gate)
        {
            if (_inboxCount == 0)
                return false;
            for (int i = 0; i < _inboxCount; i++)
            {
                _scheduler.Add(_inbox[i]!);
                _inbox[i] = null;
            }
            _inboxCount = 0;
            return true;
        }
    }

    private bool EndCancelled()
    {
        if (Volatile.Read(ref _cancels) == 0)
            return false;
        Interlocked.Exchange(ref _cancels, 0);
        EndCancelled(_scheduler.Running);
        EndCancelled(_scheduler.Waiting);
        return true;
    }

    private void EndCancelled(SequenceList list)
    {
        for (int i = list.Count - 1; i >= 0; i--)
        {
            if (list[i].CancelRequested)
                End(list[i], FinishReason.Cancelled);
        }
    }

    /// <summary>Ends the sequences that wait for nothing to be computed.</summary>
    private bool EndTrivial()
    {
        bool any = false;
        for (int i = _scheduler.Waiting.Count - 1; i >= 0; i--)
        {
            if (!_scheduler.Waiting[i].IsTrivial)
                continue;
            End(_scheduler.Waiting[i], FinishReason.Length);
            any = true;
        }
        return any;
    }

    private void EndAll(FinishReason reason, FlintException? fault)
    {
        while (_scheduler.Running.Count + _scheduler.Waiting.Count > 0)
        {
            SequenceList list = _scheduler.Running.Count > 0 ? _scheduler.Running : _scheduler.Waiting;
            Sequence sequence = list[list.Count - 1];
            sequence.Fault = fault;
            End(sequence, reason);
        }
    }

    private void Compute(Batch batch)
    {
        long start = _time.GetTimestamp();
        try
        {
            _forward.Forward(batch);
        }
        catch (Exception e)
        {
            EndBatch(batch, e);
            return;
        }
        TimeSpan step = _time.GetElapsedTime(start);
        Statistics.StepTime.Record(step);
        Statistics.Steps++;
        Statistics.Rows += batch.Rows;

        int logitRow = 0, hiddenRow = 0;
        for (int i = 0; i < batch.Sequences; i++)
        {
            Sequence sequence = _scheduler.Planned(i);
            sequence.AddComputeTime(step * ((double)batch.RowCount(i) / batch.Rows));
            _scheduler.NoteProgress(sequence);
            int end = batch.FirstRow(i) + batch.RowCount(i);
            while (logitRow < batch.LogitRows && batch.LogitRowIndices[logitRow] < end)
            {
                TakeLogits(sequence, batch.Positions[batch.LogitRowIndices[logitRow]], _forward.Logits(logitRow));
                logitRow++;
            }
            while (hiddenRow < batch.HiddenRows && batch.HiddenRowIndices[hiddenRow] < end)
                sequence.Prompt.Pool(_forward.Hidden(hiddenRow++));
            if (sequence.IsTrivial && sequence.Phase == SequencePhase.Running)
            {
                sequence.Prompt.IsComputed = true;
                End(sequence, FinishReason.Length);
            }
        }
    }

    private void TakeLogits(Sequence sequence, int position, ReadOnlySpan<float> logits)
    {
        if (position == sequence.Prompt.ScoredRows && sequence.Prompt.RowsToScore > 0)
        {
            sequence.Prompt.Score(logits, _sampler);
            return;
        }
        if (!sequence.Prompt.IsComputed)
        {
            sequence.Prompt.IsComputed = true;
            for (Sequence? sibling = _scheduler.ForkNext(sequence); sibling is not null; sibling = _scheduler.ForkNext(sequence))
                TakeToken(sibling, logits);
        }
        TakeToken(sequence, logits);
    }

    private void TakeToken(Sequence sequence, ReadOnlySpan<float> logits)
    {
        FinishReason? finish = _writer.Next(sequence, logits);
        if (finish != FinishReason.Error)
        {
            Statistics.OutputTokens++;
            long now = _time.GetTimestamp();
            if (sequence.OutputTokens == 1)
            {
                TimeSpan time = _time.GetElapsedTime(sequence.SubmittedAt, now);
                sequence.SetFirstTokenTime(time);
                Statistics.FirstTokenTime.Record(time);
            }
            else
            {
                Statistics.TokenTime.Record(_time.GetElapsedTime(sequence.LastTokenAt, now));
            }
            sequence.LastTokenAt = now;
        }
        if (finish is { } reason)
            End(sequence, reason);
    }

    /// <summary>A forward pass that failed ends the sequences it was for; the others go on.</summary>
    private void EndBatch(Batch batch, Exception cause)
    {
        FlintException fault = cause as FlintException
            ?? new FlintException(FaultSide.Bug, "forward_failed", $"The forward pass failed: {cause.Message}", cause);
        for (int i = 0; i < batch.Sequences; i++)
        {
            _scheduler.Planned(i).Fault = fault;
            End(_scheduler.Planned(i), FinishReason.Error);
        }
    }

    private void End(Sequence sequence, FinishReason reason)
    {
        _scheduler.Remove(sequence);
        long now = _time.GetTimestamp();
        sequence.SetTotalTime(_time.GetElapsedTime(sequence.SubmittedAt, now));
        double seconds = _time.GetElapsedTime(_lastFinish, now).TotalSeconds;
        _lastFinish = now;
        Volatile.Write(ref _secondsPerFinish, 0.9 * _secondsPerFinish + 0.1 * seconds);
        switch (reason)
        {
            case FinishReason.Cancelled:
                Statistics.Cancelled++;
                break;
            case FinishReason.Error:
                Statistics.Failed++;
                break;
            default:
                Statistics.Finished++;
                break;
        }
        lock (_gate)
        {
            _live--;
            _tenants.Leave(sequence.Tenant);
        }
        TokenWriter.Complete(sequence, reason);
    }
}
