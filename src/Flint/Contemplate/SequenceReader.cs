using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>Reads a sequence to its end, whatever end that is.</summary>
internal static class SequenceReader
{
    /// <summary>Reads to the end. When <paramref name="stop"/> is cancelled or telling fails, the sequence is cancelled and its end awaited.</summary>
    /// <param name="sequence">The sequence.</param>
    /// <param name="take">Takes every event.</param>
    /// <param name="tell">Tells what was taken, but for what comes after a stop; not called for the last event.</param>
    /// <param name="stop">Ends the sequence.</param>
    public static async Task ReadAsync(Sequence sequence, Action<TokenEvent> take, Func<TokenEvent, ValueTask> tell, CancellationToken stop)
    {
        // At once, so that all agents of a tree end with one step of the engine.
        using CancellationTokenRegistration cancels = stop.UnsafeRegister(static running => ((Sequence)running!).Cancel(), sequence);
        try
        {
            while (await sequence.WaitAsync(stop).ConfigureAwait(false))
            {
                stop.ThrowIfCancellationRequested(); // a wait that need not wait does not look
                while (sequence.TryRead(out TokenEvent next))
                {
                    take(next);
                    if (next.Kind != TokenEventKind.Finished)
                        await tell(next).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // What it wrote until now is read below.
        }
        finally
        {
            await EndAsync(sequence, take).ConfigureAwait(false);
        }
    }

    /// <summary>Cancels what still runs and reads the rest, so that its cost is final.</summary>
    public static async Task EndAsync(Sequence sequence, Action<TokenEvent> take)
    {
        sequence.Cancel();
        while (await sequence.WaitAsync(CancellationToken.None).ConfigureAwait(false))
        {
            while (sequence.TryRead(out TokenEvent next))
                take(next);
        }
    }
}
