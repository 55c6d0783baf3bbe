using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>A turn that an upstream answers: what it is asked, and how much that may use.</summary>
internal sealed class UpstreamTurn : ChatTurn
{
    // Of prompts with sub-agents: bytes of an agent's message, of an answer's token and around it, and prompts that go on from answers.
    private const int SubagentPrompt = 4096, BytesPerResultToken = 6, AroundResult = 256, GoingOn = 2;

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
            Messages = request.Conversation.RawPrompt is string raw ? UpstreamRequest.WritePrompt(raw) : UpstreamRequest.WriteMessages(request.Conversation.Messages),
            IsPlain = request.Conversation.RawPrompt is not null,
            Tools = UpstreamRequest.WriteTools(request.Subagents is null ? request.Conversation.Tools : [.. request.Conversation.Tools, ChatSubagents.Offer()], request.Conversation.StrictTools),
            ToolChoice = request.Conversation.ToolChoice is { IsForced: true } choice ? UpstreamRequest.WriteToolChoice(choice.Name) : default,
            Format = request.Format is { } format ? UpstreamRequest.WriteFormat(format.Format.Kind == ResponseFormatKind.JsonObject ? null : format.Format.Text, format.Name, format.IsStrict) : default,
            Sampling = generation.Sampling,
            Stop = generation.Stop,
            Choices = generation.Choices,
            MaxTokens = Math.Min(request.MaxTokens, model.Options.MaxOutput),
            IgnoreEos = generation.IgnoreEos,
            ParallelToolCalls = request.ParallelToolCalls,
            Effort = plan.Mode == ReasoningMode.Instant ? "none" : request.Effort,
            Thinks = plan.Mode switch
            {
                null => null,
                ReasoningMode.Contemplating => request.Effort is null ? null : request.Effort is not ("none" or "minimal"),
                ReasoningMode.Thinking => request.Effort != "minimal",
                _ => false,
            },
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
        Refuse(request, model);
        if (mode == ReasoningMode.Contemplating)
            return PlanAgents(request, model);
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
                : request.Effort is not null && model.Options.Reasoning == UpstreamReasoning.Template ? "The upstream takes no effort: its thoughts are switched on or off."
                : null,
        };
    }

    private static ModePlan PlanAgents(ChatRequest request, UpstreamModel model)
    {
        if (request.Contemplation.Adapters.Count > 0)
            throw Models.NotUpstream(model.Name, "contemplation.adapters", "has models of its own in place of adapters");
        return new ModePlan
        {
            Mode = ReasoningMode.Contemplating,
            Variables = new Dictionary<string, object?>(),
            Approximation = model.Options.Logprobs
                ? "An upstream computes the agents: each prompt by itself, and the same again only as far as the upstream repeats its draws."
                : "An upstream computes the agents, and tells no log-probabilities: votes weigh the same, no agent is cut off, and the same comes again only as far as the upstream repeats its draws.",
        };
    }

    /// <summary>Reserves what a contemplation of the turn may use.</summary>
    /// <returns>Who computes the agents, and how to contemplate with as many tokens as were granted.</returns>
    /// <exception cref="ApiException">A scope of the key does not allow it.</exception>
    /// <exception cref="FlintException">Limit: a limit does not.</exception>
    public async Task<(UpstreamAgents Agents, ContemplationOptions Options)> ReserveAgentsAsync()
    {
        ContemplationFields asked = Request.Contemplation;
        Meter.SetMode(Plan.Mode, reasons: _model.Options.Reasoning != UpstreamReasoning.None, offersTools: Request.Conversation.Tools.Count > 0 || asked.Checker is not null);
        ContemplationOptions options = asked.Options with { AgentTokens = Math.Min(asked.Options.AgentTokens, _model.Options.MaxOutput) };
        var agents = new UpstreamAgents(_model, Request.Conversation.Messages, _request, options) { Tell = (Meter.AddAgent, Meter.Note) };
        (long prompts, long output) = agents.Most(asked.Perspectives);
        long granted = await Meter.ReserveAsync(_model, prompts, output, 1, isElastic: options.MaxTokens == long.MaxValue);
        return (agents, granted < output ? options with { MaxTokens = granted } : options);
    }

    /// <summary>Reserves what the turn may use.</summary>
    /// <returns>The answer, not begun yet.</returns>
    /// <exception cref="ApiException">A scope of the key does not allow it.</exception>
    /// <exception cref="FlintException">Limit: a limit does not.</exception>
    public async Task<UpstreamAnswer> ReserveAsync()
    {
        if (!_request.IsPlain)
            Meter.SetMode(Plan.Mode, reasons: _model.Options.Reasoning != UpstreamReasoning.None, offersTools: Request.Conversation.Tools.Count > 0);
        MaxOutput = (int)await Meter.ReserveAsync(_model, _request.MostPromptTokens(_model.Options), _request.MaxTokens, _request.Choices, isElastic: Request.MaxTokens == int.MaxValue);
        IsClipped = MaxOutput < _request.MaxTokens;
        return Ask(_request with { MaxTokens = MaxOutput });
    }

    /// <summary>An answer, not begun yet, of what was reserved.</summary>
    public UpstreamAnswer Ask(UpstreamRequest request)
    {
        var answer = new UpstreamAnswer(_model, request);
        Meter.Add(answer);
        return answer;
    }

    /// <summary>What the model is asked to go on with.</summary>
    /// <param name="messages">The conversation.</param>
    /// <param name="round">How often sub-agents have answered.</param>
    public UpstreamRequest RequestOf(IReadOnlyList<ChatMessage> messages, int round) => round == 0 ? _request : _request with
    {
        Messages = UpstreamRequest.WriteMessages(messages),
        Sampling = _request.Sampling.Seed is ulong seed ? _request.Sampling.WithSeed(Subagents.SeedOf(seed, round) & int.MaxValue) : _request.Sampling,
    };

    /// <summary>The most tokens of a request's prompt.</summary>
    public long MostPromptTokens(UpstreamRequest request) => request.MostPromptTokens(_model.Options);

    /// <summary>Computes the turns of sub-agents.</summary>
    /// <param name="prompts">What all prompts of the tree may have.</param>
    public UpstreamSubagents Host(UpstreamPrompts prompts) => new(_model, _request, prompts) { Tell = (Meter.AddAgent, Meter.Note) };

    /// <summary>Reserves what the turn and its sub-agents may use.</summary>
    /// <returns>Tokens of all prompts, and of all that is generated.</returns>
    /// <exception cref="ApiException">A scope of the key does not allow it.</exception>
    /// <exception cref="FlintException">Limit: a limit does not.</exception>
    public async Task<(long Prompts, long Tokens)> ReserveTreeAsync(SubagentOptions options)
    {
        Meter.SetMode(Plan.Mode, reasons: _model.Options.Reasoning != UpstreamReasoning.None, offersTools: true);
        long own = MostPromptTokens(_request), most = _model.Options.Context ?? long.MaxValue;
        long results = options.Agents * ((long)options.AgentTokens * BytesPerResultToken + AroundResult);
        long prompts = own + options.Agents * Math.Min(own + SubagentPrompt, most) + GoingOn * Math.Min(own + results, most);
        long output = Math.Min(int.MaxValue, _model.Options.MaxOutput + (long)options.Agents * options.AgentTokens), wanted = Math.Min(Request.MaxTokens, output);
        MaxOutput = (int)await Meter.ReserveAsync(_model, prompts, wanted, 1, isElastic: Request.MaxTokens == int.MaxValue);
        IsClipped = MaxOutput < wanted;
        return (prompts, MaxOutput);
    }

    private static void Refuse(ChatRequest request, UpstreamModel model)
    {
        if (request.Format is { Format.Kind: ResponseFormatKind.Grammar } format)
            throw Models.NotUpstream(model.Name, format.Path, "takes schemas, and no grammars");
        if (request.TopLogprobs >= 0)
            throw Models.NotUpstream(model.Name, "logprobs", "tells no log-probabilities through this server");
        if (request.Conversation.RawPrompt is not null && request.Format is { } held)
            throw Models.NotUpstream(model.Name, held.Path, "is held to nothing where the prompt is raw");
    }
}
