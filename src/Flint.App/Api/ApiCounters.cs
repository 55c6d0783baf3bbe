using Flint.App.Accounts;

namespace Flint.App.Api;

/// <summary>What the server has answered, for <c>/metrics</c>: requests by route and status.</summary>
internal sealed class ApiCounters
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<(string Endpoint, int Status), long> _requests = [];
    private int _inFlight;
    private long _bodyBytes;
    private volatile bool _stopping;

    /// <summary>Whether no more requests are taken.</summary>
    public bool IsStopping => _stopping;

    /// <summary>Takes no more requests.</summary>
    public void Stop() => _stopping = true;

    /// <summary>Requests being answered.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Counts a request in.</summary>
    public void Enter() => Interlocked.Increment(ref _inFlight);

    /// <summary>Counts a request out.</summary>
    public void Leave() => Interlocked.Decrement(ref _inFlight);

    /// <summary>Bytes of the bodies that are being read, but for small ones.</summary>
    public long BodyBytes => Volatile.Read(ref _bodyBytes);

    /// <summary>Counts bytes of bodies in, or out where they are negative.</summary>
    /// <returns>How many there are then.</returns>
    public long AddBodies(long bytes) => Interlocked.Add(ref _bodyBytes, bytes);

    /// <summary>Counts a settled request. Routes and statuses are closed sets, so the table stays small.</summary>
    public void Count(UsageRecord record)
    {
        lock (_gate)
            _requests[(record.Endpoint, record.Status)] = _requests.GetValueOrDefault((record.Endpoint, record.Status)) + 1;
    }

    /// <summary>Requests by route and status.</summary>
    public List<(string Endpoint, int Status, long Count)> Requests()
    {
        lock (_gate)
            return [.. _requests.Select(entry => (entry.Key.Endpoint, entry.Key.Status, entry.Value))];
    }
}
