using System.Data.Common;
using Flint.App.Accounts;
using Flint.App.Operations;

namespace Flint.App.Api;

/// <summary>Deletes, from the start of a server on and every hour, texts and responses that were kept as long as they were to be.</summary>
/// <param name="prompts">Where they are.</param>
/// <param name="log">Is told where they cannot be deleted now.</param>
internal sealed class Retention(Prompts prompts, ServerLog log) : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromHours(1);

    private readonly CancellationTokenSource _stop = new();
    private Task _run = Task.CompletedTask;

    /// <summary>Begins.</summary>
    public void Start() => _run = Task.Run(RunAsync);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _run;
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(Period);
        try
        {
            do
                Purge();
            while (await timer.WaitForNextTickAsync(_stop.Token));
        }
        catch (OperationCanceledException)
        {
            // The server stops.
        }
    }

    // What cannot be deleted now is read by nobody, and goes an hour later.
    private void Purge()
    {
        try
        {
            prompts.Purge();
        }
        catch (Exception error) when (error is DbException or FlintException or IOException or TimeoutException or System.Net.Sockets.SocketException)
        {
            log.Fail("not_purged", $"Texts whose time is over could not be deleted: {error.Message}");
        }
    }
}
