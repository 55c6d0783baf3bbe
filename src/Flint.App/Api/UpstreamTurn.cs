using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>A turn that an upstream answers: what it is asked, and how much that may use.</summary>
internal sealed class UpstreamTurn : ChatTurn
{
    private readonly UpstreamModel _model;
    private readonly UpstreamRequest _request;

    /// <summary>Prepares a turn.</summary>
    public UpstreamTurn(ChatRequest request, UpstreamModel model, ModePlan plan, RequestMeter meter, RunningRequest running)
        : base(request, model, plan, meter, running)
    {
        _model = model;
        GenerationFields generation = request.Generation;
        _request = new UpstreamRequest
        {
            Messages = UpstreamRequest.WriteMessages(request.Conversation.Messages),
            Tools = UpstreamRequest.WriteTools(request.Conversation.Tools),
            Sampling = generation.Sampling,
            Stop = generation.Stop,
            Choices = generation.Choices,
            MaxTokens = Math.Min(request.MaxTokens, model.Options.MaxOutput),
            IgnoreEos = generation.IgnoreEos,
            ParallelToolCalls = request.ParallelToolCalls,
            Effort = plan.Mode == ReasoningMode.Instant ? "none" : request.Effort,
            Thinks = plan.Mode is ReasoningMode mode ? mode == ReasoningMode.Thinking && request.Effort != "minimal" : null,
            TemplateVariables = request.TemplateVariables,
        };
    }

    /// <summary>Whether the caller is told no thoughts.</summary>
    public bool HidesReasoning => Plan.HidesReasoning || Request.HidesReasoning;

    /// <summary>An estimate: the upstream counts them, and tells at the end.</summary>
    public override long PromptTokens => UpstreamAnswer.EstimatePrompt(_model.Options, _request);

    /// <inheritdoc/>
    public override Tokenizer? Tokenizer => null;

    /// <summary>The mode as an upstream can have it.</summary>
    /// <exception cref="ApiException">The request asks for what only a model of this server's own does.</exception>
    public static ModePlan PlanOf(ChatRequest request, UpstreamModel model, ReasoningMode? mode)
    {
        Refuse(request, model, mode);
        bool isInstant = mode == ReasoningMode.Instant || request.ThinkingBudget == 0 || (mode is null && request.Effort == "none");
        bool isOwn = mode is null && request.Effort is null && request.ThinkingBudget is null;
        bool canThink = model.Options.Reasoning != UpstreamReasoning.None;
        return new ModePlan
        {
            Mode = isOwn ? null : isInstant ? ReasoningMode.Instant : ReasoningMode.Thinking,
            Variables = new Dictionary<string, object?>(),
            HidesReasoning = isInstant, // where it thinks nevertheless
            Approximation = isOwn || isInstant ? null
                : !canThink ? "The upstream has no reasoning: the model answers at once."
                : request.ThinkingBudget is not null ? "The upstream takes no limit of thoughts: the model ends them by itself."
                : null,
        };
    }

    /// <summary>Reserves what the turn may use.</summary>
    /// <returns>The answer, not begun yet.</returns>
    /// <exception cref="ApiException">A scope of the key does not allow it.</exception>
    /// <exception cref="FlintException">Limit: a limit does not.</exception>
    public async Task<UpstreamAnswer> ReserveAsync()
    {
        Meter.SetMode(Plan.Mode, reasons: _model.Options.Reasoning != UpstreamReasoning.None, offersTools: Request.Conversation.Tools.Count > 0);
        MaxOutput = (int)await Meter.ReserveAsync(_model, _request.MostPromptTokens(_model.Options), _request.MaxTokens, _request.Choices, isElastic: Request.MaxTokens == int.MaxValue);
        IsClipped = MaxOutput < _request.MaxTokens;
        var answer = new UpstreamAnswer(_model, _request with { MaxTokens = MaxOutput });
        Meter.Add(answer);
        return answer;
    }

    private static void Refuse(ChatRequest request, UpstreamModel model, ReasoningMode? mode)
    {
        if (mode == ReasoningMode.Contemplating)
            throw Models.NotUpstream(model.Name, "mode", "cannot contemplate: that needs an engine whose sequences share their beginning and tell how sure they are");
        if (request.Subagents is not null)
            throw Models.NotUpstream(model.Name, SubagentFields.Name, "runs no sub-agents");
        if (request.Format is { } format)
            throw Models.NotUpstream(model.Name, format.Path, "is not held to a grammar through this server");
        if (request.Conversation.ToolChoice.IsForced)
            throw Models.NotUpstream(model.Name, ToolChoice.Field, "is not made to call functions through this server");
        if (request.Conversation.StrictTools.Count > 0)
            throw Models.NotUpstream(model.Name, "tools", "is not held to the schemas of functions through this server; leave out 'strict'");
        if (request.TopLogprobs >= 0)
            throw Models.NotUpstream(model.Name, "logprobs", "tells no log-probabilities through this server");
        if (request.Conversation.RawPrompt is not null)
            throw Models.NotUpstream(model.Name, "raw", "takes conversations only");
    }
}
