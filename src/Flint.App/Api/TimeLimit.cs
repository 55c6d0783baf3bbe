namespace Flint.App.Api;

/// <summary>How long an answer may take. At its end the answer is what there is of it.</summary>
internal sealed class TimeLimit : IDisposable
{
    private const double ForThoughts = 0.8; // of the time: the rest is for the answer

    private readonly CancellationTokenSource _over;
    private readonly CancellationTokenSource _thought;
    private readonly CancellationTokenSource _stop;
    private readonly CancellationToken _client;

    /// <summary>Starts the clock.</summary>
    /// <param name="limit">The time; null for no limit.</param>
    /// <param name="time">The clock.</param>
    /// <param name="client">The client has left.</param>
    public TimeLimit(TimeSpan? limit, TimeProvider time, CancellationToken client)
    {
        _client = client;
        _over = limit is { } all ? new CancellationTokenSource(all, time) : new CancellationTokenSource();
        _thought = limit is { } most ? new CancellationTokenSource(most * ForThoughts, time) : new CancellationTokenSource();
        _stop = CancellationTokenSource.CreateLinkedTokenSource(client, _over.Token);
    }

    /// <summary>The client has left, or the time is over.</summary>
    public CancellationToken Token => _stop.Token;

    /// <summary>Whether the time is over, and the client still there.</summary>
    public bool HasPassed => _over.IsCancellationRequested && !_client.IsCancellationRequested;

    /// <summary>Has something done once thoughts must end for the answer to be in time.</summary>
    public CancellationTokenRegistration OnThought(Action act) => _thought.Token.Register(act);

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Dispose();
        _thought.Dispose();
        _over.Dispose();
    }
}
