using System.Text.Json;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>How one API tells an answer. Used by one thread at a time; what it tells, it clears.</summary>
/// <param name="turn">What was asked.</param>
internal abstract class ChatTeller(ChatTurn turn)
{
    /// <summary>The form of a stream.</summary>
    public virtual StreamForm Form => StreamForm.Events;

    /// <summary>What was asked.</summary>
    protected ChatTurn Turn => turn;

    /// <summary>Writes a whole answer, which is settled.</summary>
    public abstract void WriteWhole(Utf8JsonWriter writer, IReadOnlyList<ChatOutput> outputs);

    /// <summary>Begins a stream.</summary>
    public abstract void Begin(EventStream stream, IReadOnlyList<ChatOutput> outputs);

    /// <summary>Tells what is new of a choice that has not ended.</summary>
    public abstract void Tell(EventStream stream, ChatOutput output);

    /// <summary>Tells what an agent did, beside what is told of the answer.</summary>
    public virtual void Tell(EventStream stream, in ContemplationEvent news)
    {
    }

    /// <summary>Tells what is left, how all ended and what was used: the answer is settled.</summary>
    public abstract void End(EventStream stream, IReadOnlyList<ChatOutput> outputs);
}
