using Flint.Contemplate;
using Flint.Engine;
using Flint.Tests.Engine;
using Flint.Tests.Simulation;

namespace Flint.Tests.Contemplate;

/// <summary>An engine over the simulated forward, running on its own thread, and tasks whose answers are small numbers.</summary>
internal sealed class World : IDisposable
{
    private readonly EngineHarness _harness;

    public World(SimulatedForward? forward = null, int pages = 200, TimeProvider? time = null, int events = 64, bool cache = true)
    {
        Forward = forward ?? new SimulatedForward(contextLength: 512, maxBatchRows: 64, maxSequences: 16, maxLogitRows: 16);
        _harness = new EngineHarness(Forward, pages: pages, waiting: 200, events: events, cache: cache, time: time);
        Engine.Start();
    }

    public SimulatedForward Forward { get; }

    public Flint.Engine.Engine Engine => _harness.Engine;

    public void Dispose() => _harness.Dispose();

    /// <summary>A task whose agents answer with one of <paramref name="answers"/> numbers, made of all their tokens.</summary>
    public static ContemplationTask Task(int prompt = 40, int answers = 3, float ends = 2, Func<ContemplationEvent, ValueTask>? tell = null, int seed = 0) => new()
    {
        Prompt = EngineHarness.Prompt(prompt, seed),
        Read = events => Read(events, answers),
        Revise = drafts => [.. EngineHarness.Prompt(prompt, seed), .. drafts.SelectMany(d => d.Content).Select(c => 8 + c % 40)],
        Synthesize = drafts => [.. EngineHarness.Prompt(prompt, seed), 9, .. drafts.SelectMany(d => d.Content).Select(c => 8 + c % 40)],
        Sampling = new SamplingOptions { LogitBias = new() { [Vocabularies.End] = ends } },
        Tell = tell,
    };

    /// <summary>What an agent is held to have said.</summary>
    private static Draft Read(IReadOnlyList<TokenEvent> events, int answers)
    {
        int sum = events.Sum(e => e.Token + 1);
        return new Draft(string.Concat(events.Select(e => e.Text)), events.Count == 0 ? "" : answers > 0 ? $"{sum % answers}" : $"text of {string.Join(' ', events.Select(e => e.Token))} in words");
    }

    public Task<ContemplationTrace> ThinkAsync(ContemplationTask task, ContemplationOptions options, TimeProvider? time = null, CancellationToken cancellation = default) =>
        Contemplation.RunAsync(Engine, task, options, time, cancellation);
}

/// <summary>Time that passes when told to, and then calls whoever waits for it.</summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<Timer> _timers = [];
    private long _ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new Timer(() => callback(state)) { Due = GetTimestamp() + dueTime.Ticks };
        lock (_gate)
            _timers.Add(timer);
        return timer;
    }

    public void Advance(TimeSpan time)
    {
        long now = Interlocked.Add(ref _ticks, time.Ticks);
        Timer[] due;
        lock (_gate)
        {
            due = [.. _timers.Where(t => t.Due <= now)];
            _timers.RemoveAll(t => t.Due <= now);
        }
        foreach (Timer timer in due)
            timer.Fire();
    }

    private sealed class Timer(Action fire) : ITimer
    {
        private bool _disposed;

        public long Due { get; set; }

        public void Fire()
        {
            if (!_disposed)
                fire();
        }

        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose() => _disposed = true;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
