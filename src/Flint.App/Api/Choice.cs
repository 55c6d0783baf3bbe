using Flint.Engine;

namespace Flint.App.Api;

/// <summary>One choice of an answer: reads a sequence's events and keeps what is to be told next.</summary>
/// <param name="index">Its <c>index</c> in the answer.</param>
/// <param name="sequence">What generates it.</param>
internal abstract class Choice(int index, Sequence sequence)
{
    /// <summary>Its <c>index</c> in the answer.</summary>
    public int Index => index;

    /// <summary>What generates it now.</summary>
    public Sequence Sequence { get; protected set; } = sequence;

    /// <summary>Its <c>finish_reason</c>; null until it has ended.</summary>
    public string? FinishReason { get; protected set; }

    /// <summary>Whether its time was over before it was.</summary>
    public bool IsLate { get; protected set; }

    /// <summary>Whether its time is over.</summary>
    protected bool IsOver { get; private set; }

    /// <summary>Whether there is something to tell.</summary>
    public abstract bool HasNews { get; }

    /// <summary>Waits for events and takes all that are there.</summary>
    /// <returns>False once the last was taken.</returns>
    /// <exception cref="FlintException">The engine failed.</exception>
    /// <exception cref="ApiException">The server is stopping.</exception>
    public virtual async ValueTask<bool> ReadAsync(CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        if (!await Sequence.WaitAsync(cancellation))
            return false;
        while (Sequence.TryRead(out TokenEvent next))
        {
            if (next.Kind != TokenEventKind.Finished)
            {
                Take(next);
                continue;
            }

            if (Continue(next.FinishReason) is { } continuation)
            {
                Sequence = continuation;
                return true;
            }

            if (Waits)
                return true;
            End(next.FinishReason switch
            {
                Engine.FinishReason.Stop => "stop",
                Engine.FinishReason.Length => "length",
                Engine.FinishReason.Cancelled when IsComplete => "stop",
                Engine.FinishReason.Cancelled when IsOver => Late(),
                Engine.FinishReason.Cancelled => throw ApiException.Stopping(),
                _ => throw Sequence.Fault ?? new FlintException(FaultSide.Bug, "no_fault", "A sequence failed without a fault."),
            });
        }

        return true;
    }

    /// <summary>Has models judge what was taken, where the policy wants that; it may end the choice.</summary>
    /// <exception cref="FlintException">Machine: it could not be judged.</exception>
    public virtual ValueTask JudgeAsync(CancellationToken cancellation) => ValueTask.CompletedTask;

    /// <summary>Ends it where it is, as its time is over, and takes what was written until then. Needs no client.</summary>
    public virtual async Task CutOffAsync()
    {
        if (FinishReason is not null)
            return;
        IsOver = true;
        Sequence.Cancel();
        while (await ReadAsync(CancellationToken.None))
        {
        }

        if (FinishReason is null) // it waited for something else than its sequence
            End(Late());
    }

    private string Late()
    {
        IsLate = true;
        return "length";
    }

    /// <summary>Whether the choice has all it wants, and cancelled the rest itself.</summary>
    protected virtual bool IsComplete => false;

    /// <summary>Whether something else than a sequence has to end before the choice goes on.</summary>
    protected virtual bool Waits => false;

    /// <summary>What goes on where a sequence ended; null where the choice ends with it.</summary>
    protected virtual Sequence? Continue(FinishReason? reason) => null;

    /// <summary>Takes a token or text.</summary>
    protected abstract void Take(in TokenEvent next);

    /// <summary>Takes note of the end.</summary>
    protected abstract void End(string reason);
}
