using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>A contemplation whose agents upstreams compute.</summary>
internal sealed class UpstreamContemplation : ContemplatingChat
{
    private readonly UpstreamTurn _turn;

    /// <summary>Prepares one.</summary>
    /// <param name="turn">What was asked.</param>
    public UpstreamContemplation(UpstreamTurn turn)
        : base(turn, new AgentScript()) => _turn = turn;

    /// <inheritdoc/>
    protected override async Task<ContemplationTrace> ThinkAsync(Func<ContemplationEvent, ValueTask> tell, CancellationToken cancellation)
    {
        ChatRequest request = _turn.Request;
        Func<Draft, CancellationToken, Task<bool>>? check = _turn.Check();
        (UpstreamAgents agents, ContemplationOptions options) = await _turn.ReserveAgentsAsync();
        var task = new ContemplationTask
        {
            Prompt = [],
            Viewpoints = [.. request.Contemplation.Perspectives.Select(text => new Viewpoint(text, [], null))],
            Read = static _ => new Draft("", ""), // the agents read themselves
            Revise = drafts => agents.HasRoomFor(drafts, merges: false) ? [] : null,
            Synthesize = drafts => agents.HasRoomFor(drafts, merges: true) ? [] : null,
            Check = check,
            Sampling = request.Generation.Sampling,
            Stop = request.Generation.Stop,
            Model = _turn.Name,
            Tell = tell,
        };
        ContemplationTrace trace = await Contemplation.RunAsync(agents, task, options, _turn.Meter.Time, cancellation);
        return trace with { Cost = trace.Cost with { PromptTokens = _turn.Meter.Usage.PromptTokens } };
    }

    /// <summary>The meter counts all as reasoning; the speaker's content, told by the share of its text, is none.</summary>
    protected override void Count(ContemplationTrace trace, AgentTrace? speaker)
    {
        if (speaker is null)
            return;
        long thoughts = speaker.Reasoning.Length, content = speaker.Content.Length;
        _turn.Meter.CountReasoning(content == 0 ? 0 : -(speaker.OutputTokens * content / (thoughts + content)));
    }
}
