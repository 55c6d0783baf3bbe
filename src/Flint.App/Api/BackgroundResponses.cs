using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Flint.App.Api;

/// <summary>A response that goes on without its client.</summary>
/// <param name="Teller">Tells it.</param>
/// <param name="Key">The key that asked for it; null where the server runs without keys.</param>
/// <param name="Events">Its events until now.</param>
/// <param name="Cancellation">Has it end.</param>
internal sealed record BackgroundRun(ResponsesTeller Teller, long? Key, EventLog Events, CancellationTokenSource Cancellation)
{
    /// <summary>Completes once it has ended and is recorded; fails where it never began.</summary>
    public Task Done { get; set; } = Task.CompletedTask;
}

/// <summary>The responses that go on without their clients. Each is metered as any other, and recorded before it counts as ended.</summary>
/// <param name="counters">What <c>/metrics</c> tells.</param>
/// <param name="running">Where other requests can reach them.</param>
internal sealed class BackgroundResponses(ApiCounters counters, RunningRequests running)
{
    private readonly ConcurrentDictionary<string, BackgroundRun> _runs = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private bool _isStopping;

    /// <summary>The running response of an id; null where this key has none.</summary>
    public BackgroundRun? Find(string id, long? key) => _runs.TryGetValue(id, out BackgroundRun? run) && run.Key == key ? run : null;

    /// <summary>Starts a response, and completes once it has begun.</summary>
    /// <exception cref="ApiException">The server is stopping, or it was refused.</exception>
    /// <exception cref="FlintException">Limit: there are too many.</exception>
    public async Task<BackgroundRun> StartAsync(ChatTurn turn, ResponsesTeller teller, long? key)
    {
        var run = new BackgroundRun(teller, key, new EventLog(ApiLimits.MaxBackgroundEvents), new CancellationTokenSource());
        lock (_gate)
        {
            if (_isStopping)
                throw ApiException.Stopping();
            if (_runs.Count >= ApiLimits.MaxBackground)
                throw new FlintException(FaultSide.Limit, "too_many_background", $"{ApiLimits.MaxBackground} responses are running in the background, the most at once.");
            _runs[turn.Meter.Id] = run;
            counters.Enter();
            running.Hold(turn.Running);
            run.Done = Task.Run(() => RunAsync(turn, run));
        }

        // Until it has begun it can be refused to the client that waits for it, as any other.
        if (await Task.WhenAny(teller.Begun, run.Done) == run.Done)
            await run.Done;
        return run;
    }

    /// <summary>Cancels all, and completes once they are recorded.</summary>
    public async Task StopAsync()
    {
        lock (_gate)
            _isStopping = true;
        BackgroundRun[] runs = [.. _runs.Values];
        foreach (BackgroundRun run in runs)
            await run.Cancellation.CancelAsync();
        foreach (BackgroundRun run in runs)
            await run.Done.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task RunAsync(ChatTurn turn, BackgroundRun run)
    {
        // Where a client would be there is a log, so that this is an answer like all others.
        var context = new DefaultHttpContext { RequestAborted = run.Cancellation.Token };
        context.Features.Set<IHttpResponseBodyFeature>(new StreamResponseBodyFeature(run.Events));
        try
        {
            await ChatAnswer.RunAsync(context, turn, run.Teller);
        }
        catch (Exception error) when (run.Teller.Begun.IsCompleted)
        {
            context.RequestAborted = CancellationToken.None; // its end is still to be told
            await OpenAiResponses.FailAsync(context, turn, run.Teller, error);
        }
        finally
        {
            run.Events.Complete();
            _runs.TryRemove(turn.Meter.Id, out _);
            running.Leave(turn.Running);
            counters.Leave();
        }
    }
}
