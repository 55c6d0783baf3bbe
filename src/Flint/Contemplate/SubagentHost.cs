using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>Computes the turns of sub-agents, wherever the model is.</summary>
public abstract class SubagentHost
{
    /// <summary>The most tokens that a talk's next turn may generate; not above 0 where there is no room.</summary>
    public abstract int Room(SubagentTalk talk);

    /// <summary>Begins a turn. A fault of the caller's ends its agent alone.</summary>
    /// <param name="talk">What is said so far.</param>
    /// <param name="maxTokens">The most tokens that it may generate.</param>
    /// <param name="seed">Fixes its draws.</param>
    /// <param name="stop">Ends the waiting for room.</param>
    /// <exception cref="FlintException">It is refused.</exception>
    public abstract Task<SubagentRun> StartAsync(SubagentTalk talk, int maxTokens, ulong seed, CancellationToken stop);
}

/// <summary>One turn of a sub-agent.</summary>
public abstract class SubagentRun
{
    /// <summary>What computes it, where that is an engine of this process; null else.</summary>
    public virtual Sequence? Sequence => null;

    /// <summary>Tokens of its prompt.</summary>
    public abstract int PromptTokens { get; }

    /// <summary>Tokens generated, final once it has ended.</summary>
    public abstract int OutputTokens { get; }

    /// <summary>Has its talk read it to its end. When <paramref name="stop"/> is cancelled or telling fails, it is ended, and its end awaited.</summary>
    /// <param name="tell">Told its thoughts.</param>
    /// <param name="stop">Ends it.</param>
    /// <returns>How it ended, and by which fault; nothing that is looked at where it was stopped.</returns>
    /// <exception cref="FlintException">Limit: whoever computes it is shutting down.</exception>
    public abstract Task<(AgentEnd End, string? Fault)> ReadAsync(Func<string, ValueTask> tell, CancellationToken stop);

    /// <summary>Ends what still runs, so that its cost is final.</summary>
    public abstract Task EndAsync();
}

/// <summary>Turns that are sequences of an engine.</summary>
/// <param name="engine">The engine.</param>
/// <param name="task">How agents are made.</param>
/// <param name="time">The clock by which an engine whose queue is full is asked again.</param>
internal sealed class EngineSubagents(Engine.Engine engine, SubagentTask task, TimeProvider time) : SubagentHost
{
    private const int MaxRefusals = 120; // by an engine whose queue is full

    /// <inheritdoc/>
    public override int Room(SubagentTalk talk) => engine.ContextLength - talk.Prompt.Length;

    /// <inheritdoc/>
    public override async Task<SubagentRun> StartAsync(SubagentTalk talk, int maxTokens, ulong seed, CancellationToken stop) => new Run(
        await SubmitAsync(
            new GenerationRequest
            {
                Prompt = talk.Prompt,
                MaxTokens = maxTokens,
                Sampling = task.Sampling.WithSeed(seed),
                Stop = task.Stop,
                Adapter = task.Adapter,
                CacheSalt = task.CacheSalt,
                Share = task.Share,
            }, stop).ConfigureAwait(false),
        talk);

    /// <summary>Hands a request to the engine; one whose queue is full is asked again.</summary>
    /// <exception cref="FlintException">The engine refuses it.</exception>
    public async Task<Sequence> SubmitAsync(GenerationRequest request, CancellationToken stop)
    {
        for (int refusals = 0; ; refusals++)
        {
            stop.ThrowIfCancellationRequested();
            try
            {
                return engine.Submit(request);
            }
            catch (FlintException full) when (full.Code == "queue_full" && refusals < MaxRefusals)
            {
                await Task.Delay(full.RetryAfter ?? TimeSpan.FromSeconds(1), time, stop).ConfigureAwait(false);
            }
        }
    }

    private sealed class Run(Sequence sequence, SubagentTalk talk) : SubagentRun
    {
        private string _thoughts = "";

        public override Sequence Sequence => sequence;

        public override int PromptTokens => sequence.PromptTokens;

        public override int OutputTokens => sequence.OutputTokens;

        public override async Task<(AgentEnd End, string? Fault)> ReadAsync(Func<string, ValueTask> tell, CancellationToken stop)
        {
            await SequenceReader.ReadAsync(sequence, Take, _ => _thoughts.Length == 0 ? ValueTask.CompletedTask : tell(_thoughts), stop).ConfigureAwait(false);
            if (sequence.FinishReason == FinishReason.Cancelled && !stop.IsCancellationRequested)
                throw new FlintException(FaultSide.Limit, "shutting_down", "The engine is shutting down and ended the agents.");
            return sequence.FinishReason switch
            {
                FinishReason.Stop => (AgentEnd.Finished, null),
                FinishReason.Length => (AgentEnd.Length, null),
                FinishReason.Cancelled => (AgentEnd.Cancelled, null),
                _ => (AgentEnd.Failed, sequence.Fault?.Message),
            };
        }

        public override Task EndAsync() => SequenceReader.EndAsync(sequence, Take);

        private void Take(TokenEvent next) => _thoughts = next.Kind == TokenEventKind.Finished ? "" : talk.Read(next);
    }
}
