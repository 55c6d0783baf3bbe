namespace Flint.App.Api;

/// <summary>What the bodies that are being read take together. Small ones are not counted: no client's slow ones keep those of others out.</summary>
/// <param name="counters">Holds how much that is.</param>
/// <param name="time">Tells how long they take.</param>
internal sealed class BodyMemory(ApiCounters counters, TimeProvider time)
{
    /// <summary>Whether so many bytes more may be held; then they are, until <see cref="Give"/>.</summary>
    public bool TryTake(long more)
    {
        if (counters.AddBodies(more) <= ApiLimits.MaxBodiesBytes)
            return true;
        Give(more);
        return false;
    }

    /// <summary>Gives bytes back.</summary>
    public void Give(long bytes) => counters.AddBodies(-bytes);

    /// <summary>Is cancelled when a body that begins now has taken its time.</summary>
    public CancellationTokenSource Deadline() => new(TimeSpan.FromSeconds(ApiLimits.BodySeconds), time);
}
