namespace Flint.App.Upstreams;

/// <summary>Cancels what takes too long, or whose caller leaves. Time runs only while it is set.</summary>
internal sealed class Deadline : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly ITimer _timer;
    private volatile bool _hasPassed;

    /// <summary>Creates one that is not set.</summary>
    /// <param name="time">The clock.</param>
    /// <param name="cancellation">The caller has left.</param>
    public Deadline(TimeProvider time, CancellationToken cancellation)
    {
        _source = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Token = _source.Token;
        _timer = time.CreateTimer(static deadline => ((Deadline)deadline!).Pass(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Cancelled with either.</summary>
    public CancellationToken Token { get; }

    /// <summary>Whether it took too long.</summary>
    public bool HasPassed => _hasPassed;

    /// <summary>Has it pass after a time from now on.</summary>
    public void Set(TimeSpan span) => _timer.Change(span, Timeout.InfiniteTimeSpan);

    /// <summary>Has it not pass.</summary>
    public void Clear() => Set(Timeout.InfiniteTimeSpan);

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer.Dispose();
        _source.Dispose();
    }

    private void Pass()
    {
        _hasPassed = true;
        try
        {
            _source.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // Nobody waits any more.
        }
    }
}
