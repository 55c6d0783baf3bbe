using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;

namespace Flint.App.Upstreams;

/// <summary>
/// The agents of a contemplation that upstreams compute, a request each. Prompts are made of the agents' plans; those that read drafts
/// read what the agents before them wrote.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="conversation">The conversation.</param>
/// <param name="request">What every agent is asked, but for messages, limit and draws.</param>
/// <param name="options">How to contemplate.</param>
internal sealed class UpstreamAgents(UpstreamModel model, IReadOnlyList<ChatMessage> conversation, UpstreamRequest request, ContemplationOptions options) : AgentHost
{
    // Bytes of a draft that a prompt has room for, for each token that the draft may have. Longer ones are not shown.
    private const int BytesPerDraftToken = 8;

    private const int AroundPrompt = 1024, AroundDraft = 64; // bytes of what is said of drafts

    private readonly Lock _gate = new();
    private readonly Dictionary<int, Draft> _drafts = []; // of agents that have ended
    private FlintException? _fault; // what the first agent that failed has met

    /// <summary>The model.</summary>
    public UpstreamModel Model => model;

    /// <summary>How to contemplate.</summary>
    public ContemplationOptions Options => options;

    /// <summary>Told of every answer before it is asked for, and of targets that failed.</summary>
    public required (Action<UpstreamAnswer> Asked, Action<string> Note) Tell { get; init; }

    /// <summary>Prompts are not told in tokens: an agent has what its plan grants.</summary>
    public override int ContextLength => int.MaxValue;

    /// <summary>The most tokens that a contemplation computes as prompts, each agent's by itself, and produces.</summary>
    public (long Prompts, long Output) Most(IReadOnlyList<string> perspectives)
    {
        long revisions = (long)options.Agents * options.Rounds, syntheses = options.Aggregation == Aggregation.Vote ? 0 : 1;
        long explore = perspectives.Select(text => Most(AgentVariety.Asking(conversation, text))).Append(Most(conversation)).Max();
        long prompts = options.Agents * explore + revisions * Longest(options.Subset) + syntheses * Longest(ContemplationOptions.MaxDrafts);
        return (prompts, Math.Min(options.MaxTokens, (options.Agents + revisions + syntheses) * options.AgentTokens));
    }

    /// <inheritdoc/>
    public override AgentRun Start(AgentPlan plan)
    {
        var answer = new UpstreamAnswer(model, request with
        {
            Messages = UpstreamRequest.WriteMessages(MessagesOf(plan)),
            MaxTokens = plan.MaxTokens,
            Sampling = request.Sampling.With(plan.Temperature, plan.Seed & int.MaxValue), // some servers read no larger number
            TopLogprobs = model.Options.Logprobs ? options.ConfidenceTop : -1,
        });
        Tell.Asked(answer);
        return new UpstreamAgent(this, plan, answer);
    }

    /// <summary>Whether a prompt that shows drafts, an agent's own first, is no longer than was reserved for it.</summary>
    public bool HasRoomFor(IReadOnlyList<Draft> drafts, bool merges) =>
        Most(ChatContemplation.Showing(conversation, drafts, merges)) <= Longest(drafts.Count);

    /// <summary>The upstream's own fault is the tree's.</summary>
    public override FlintException Failure(string? first) => _fault ?? base.Failure(first);

    /// <summary>Takes note of what an agent wrote, or of why it did not.</summary>
    internal void Ended(AgentPlan plan, Draft draft, FlintException? fault)
    {
        lock (_gate)
        {
            _drafts[plan.Index] = draft;
            _fault ??= fault;
        }
    }

    private IReadOnlyList<ChatMessage> MessagesOf(AgentPlan plan)
    {
        if (plan.Stage == AgentStage.Explore)
            return plan.Viewpoint is { } perspective ? AgentVariety.Asking(conversation, perspective) : conversation;
        lock (_gate)
            return ChatContemplation.Showing(conversation, [.. plan.Drafts.Select(agent => _drafts[agent])], plan.Stage == AgentStage.Synthesize);
    }

    private long Longest(int drafts) => Math.Min(
        Most(conversation) + AroundPrompt + drafts * ((long)options.AgentTokens * BytesPerDraftToken + AroundDraft), model.Options.Context ?? long.MaxValue);

    private long Most(IReadOnlyList<ChatMessage> messages) => (request with { Messages = UpstreamRequest.WriteMessages(messages) }).MostPromptTokens(model.Options);
}
