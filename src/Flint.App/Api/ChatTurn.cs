using System.Security.Cryptography;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Contemplate;
using Flint.Tokens;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>One turn asked of a model, wherever it is: the request, the mode as the model can have it, and what measures it.</summary>
internal abstract class ChatTurn
{
    private readonly NamedModel _model;

    private protected ChatTurn(ChatRequest request, NamedModel model, ModePlan plan, RequestMeter meter, RunningRequest running)
    {
        _model = model;
        Request = request;
        Plan = plan;
        Meter = meter;
        Running = running;
    }

    /// <summary>What was asked.</summary>
    public ChatRequest Request { get; }

    /// <summary>The model's name.</summary>
    public string Name => _model.Name;

    /// <summary>Names what answers.</summary>
    public string Fingerprint => _model.Fingerprint;

    /// <summary>In which mode.</summary>
    public ModePlan Plan { get; }

    /// <summary>Measures it.</summary>
    public RequestMeter Meter { get; }

    /// <summary>How other requests reach it.</summary>
    public RunningRequest Running { get; }

    /// <summary>Tokens of the prompt; about as many where an upstream counts them.</summary>
    public abstract long PromptTokens { get; }

    /// <summary>How long the answer may take; null for no limit.</summary>
    public TimeSpan? Deadline => Plan.Mode == ReasoningMode.Contemplating ? Request.Contemplation.Options.Deadline : Request.Generation.Deadline;

    /// <summary>Names tokens of the answer; null where nothing is told of single ones.</summary>
    public abstract Tokenizer? Tokenizer { get; }

    /// <summary>The most tokens of every choice, as they were granted.</summary>
    public int MaxOutput { get; protected set; }

    /// <summary>Whether these are fewer than there is room for, for the sake of a budget.</summary>
    public bool IsClipped { get; protected set; }

    /// <summary>Prepares a turn, and says in the response's headers which mode it has.</summary>
    public static ChatTurn Create(HttpContext context, ChatRequest request, NamedModel model, ReasoningMode? byName)
    {
        RequestMeter meter = RequestMeter.Of(context);
        meter.SetModel(model.Name);
        request = InputPolicy.Apply(request, meter, context.Response.Headers);
        ReasoningMode? mode = request.ModeOf(byName) ?? PolicyMode(request, meter);
        if (mode == ReasoningMode.Contemplating && request.ThinkingBudget is not null)
            throw ApiException.Invalid("thinking_budget", "invalid_value", "Invalid 'thinking_budget': agents that contemplate are limited by 'contemplation.agent_tokens'.");
        if (request.Subagents is not null)
            SubagentFields.Refuse(request, mode);
        var upstream = model as UpstreamModel;
        ModePlan plan = upstream is not null ? UpstreamTurn.PlanOf(request, upstream, mode) : EngineTurn.PlanOf(request, (ModelVariant)model, mode);
        if (plan.Mode is ReasoningMode named)
            context.Response.Headers["x-flint-mode"] = ModePlan.Names[(int)named];
        if (plan.Approximation is string approximation)
            context.Response.Headers["x-flint-mode-approximation"] = approximation;
        var running = RunningRequest.Of(context);
        return upstream is not null ? new UpstreamTurn(request, upstream, plan, meter, running) : new EngineTurn(request, (ModelVariant)model, plan, meter, running);
    }

    /// <summary>What answers of agents are put to; null for nothing.</summary>
    /// <exception cref="ApiException">The request names a checker that is not there.</exception>
    public Func<Draft, CancellationToken, Task<bool>>? Check() =>
        Request.Contemplation is { Checker: string name, Tests: var tests } ? Meter.Checker(name).Against(tests) : null;

    // Of a request that says nothing of thinking.
    private static ReasoningMode? PolicyMode(ChatRequest request, RequestMeter meter) =>
        request.Effort is null && request.ThinkingBudget is null && request.Conversation.RawPrompt is null ? ModePlan.Find(meter.Rules?.Mode) : null;

    /// <summary>An id for a call.</summary>
    public string NewCallId(int index) => Request.CallPrefix + RandomNumberGenerator.GetHexString(24, lowercase: true);
}
