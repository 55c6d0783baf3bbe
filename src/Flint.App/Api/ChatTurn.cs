using System.Security.Cryptography;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>One turn asked of a model: the request, the mode as the model can have it, and the prompt.</summary>
internal sealed class ChatTurn
{
    private const ulong LegSeed = 0x9E3779B97F4A7C15;

    private ChatTurn(ChatRequest request, ModelVariant variant, ModePlan plan, RequestMeter meter)
    {
        Request = request;
        Variant = variant;
        Plan = plan;
        Meter = meter;
        var variables = new Dictionary<string, object?>(plan.Variables);
        foreach ((string name, object? value) in request.TemplateVariables)
            variables[name] = value;
        Input = new TemplateInput
        {
            Messages = request.Conversation.Messages,
            Tools = request.Conversation.Tools,
            Extra = variables,
            BosToken = Model.BosText,
            EosToken = Model.EosText,
            Now = DateTimeOffset.Now,
        };
        if (request.Conversation.RawPrompt is string raw)
        {
            Prompt = new ChatPrompt(Model.Encode(raw), OpensReasoning: false);
            return;
        }

        ChatPrompt prompt = Model.Encode(Input);
        string? primer = null;
        if (plan.OpensAnswer)
            primer = Model.Dialect.AnswerOpening(prompt.OpensReasoning);
        else if (plan is { Mode: ReasoningMode.Thinking, Budget: not null } && !prompt.OpensReasoning)
            primer = Model.Dialect.ReasoningOpening; // so that every token until the limit is a thought
        Prompt = Model.Prime(prompt, primer);
    }

    /// <summary>What was asked.</summary>
    public ChatRequest Request { get; }

    /// <summary>Of which model.</summary>
    public ModelVariant Variant { get; }

    /// <summary>In which mode.</summary>
    public ModePlan Plan { get; }

    /// <summary>Measures it.</summary>
    public RequestMeter Meter { get; }

    /// <summary>The conversation.</summary>
    public TemplateInput Input { get; }

    /// <summary>The conversation in tokens.</summary>
    public ChatPrompt Prompt { get; }

    /// <summary>The most tokens of every choice, as they were granted.</summary>
    public int MaxOutput { get; private set; }

    /// <summary>Whether these are fewer than the context leaves, for the sake of a budget.</summary>
    public bool IsClipped { get; private set; }

    /// <summary>The model itself.</summary>
    public ServedModel Model => Variant.Model;

    /// <summary>Prepares a turn, and says in the response's headers which mode it has.</summary>
    public static ChatTurn Create(HttpContext context, ChatRequest request, ModelVariant variant, ReasoningMode? byName)
    {
        RequestMeter meter = RequestMeter.Of(context);
        meter.SetModel(variant.Name);
        request = InputPolicy.Apply(request, meter, context.Response.Headers);
        ReasoningMode? mode = request.Mode ?? byName;
        if (mode == ReasoningMode.Contemplating && request.ThinkingBudget is not null)
            throw ApiException.Invalid("thinking_budget", "invalid_value", "Invalid 'thinking_budget': agents that contemplate are limited by 'contemplation.agent_tokens'.");
        if (request.Generation.Sampling.LogitBias is { } bias)
            Generation.CheckTokens(variant.Model, bias.Keys, "logit_bias");
        var plan = ModePlan.Of(variant.Model.Dialect, mode, request.Effort, request.ThinkingBudget, request.Conversation.Tools.Count > 0);
        if (plan.Mode is ReasoningMode named)
            context.Response.Headers["x-flint-mode"] = ModePlan.Names[(int)named];
        if (plan.Approximation is string approximation)
            context.Response.Headers["x-flint-mode-approximation"] = approximation;
        return new ChatTurn(request, variant, plan, meter);
    }

    /// <summary>Reserves what the turn may use, and hands it to the engine.</summary>
    /// <exception cref="ApiException">A scope of the key does not allow it.</exception>
    /// <exception cref="FlintException">Limit: a limit does not.</exception>
    public async Task<Sequence> SubmitAsync()
    {
        Meter.SetMode(Plan.Mode, Model.Dialect.MayReason, Request.Conversation.Tools.Count > 0);
        int room = Math.Max(1, Model.ContextLength - Prompt.Ids.Length); // the engine refuses a prompt that leaves none
        int wanted = Math.Min(Request.MaxTokens, room);
        MaxOutput = (int)await Meter.ReserveAsync(Variant, Prompt.Ids.Length, wanted, Request.Generation.Choices, isElastic: Request.MaxTokens == int.MaxValue);
        IsClipped = MaxOutput < wanted;
        Sequence first = Submit(Prompt.Ids, Math.Min(MaxOutput, Plan.Budget ?? int.MaxValue), Request.Generation.Choices, Request.Generation.Sampling);
        Meter.Add(first.Samples);
        return first;
    }

    /// <summary>Reserves what a contemplation of the turn may use.</summary>
    /// <param name="task">What will be contemplated.</param>
    /// <returns>How to contemplate, with as many tokens as were granted.</returns>
    /// <exception cref="ApiException">A scope of the key does not allow it.</exception>
    /// <exception cref="FlintException">Limit: a limit does not.</exception>
    public async Task<ContemplationOptions> ReserveAsync(ContemplationTask task)
    {
        Meter.SetMode(Plan.Mode, Model.Dialect.MayReason, Request.Conversation.Tools.Count > 0);
        foreach (Viewpoint view in task.Viewpoints)
            Meter.CheckModel(view.Adapter ?? Variant.Name);
        ContemplationOptions options = Request.Contemplation.Options;
        (long prompts, long output) = ChatContemplation.Most(Model, task, options);
        long granted = await Meter.ReserveAsync(Variant, prompts, output, 1, isElastic: options.MaxTokens == long.MaxValue);
        return granted < output ? options with { MaxTokens = granted } : options;
    }

    /// <summary>Goes on with a choice whose thoughts have met their limit.</summary>
    /// <param name="written">What was written so far, and what was put in the model's mouth.</param>
    /// <param name="produced">Tokens that the model produced, those among them that nothing came of.</param>
    /// <param name="choice">Which choice.</param>
    /// <returns>Null where no tokens are left to go on with.</returns>
    public Sequence? Continue(IReadOnlyList<int> written, int produced, int choice)
    {
        int[] prompt = [.. Prompt.Ids, .. written];
        if (produced >= MaxOutput || prompt.Length >= Model.ContextLength)
            return null;
        SamplingOptions asked = Request.Generation.Sampling;
        // A sequence counts its draws from 0: with the same seed it would repeat those of the one before.
        ulong? seed = asked.Seed is ulong given ? unchecked(given + LegSeed * ((ulong)written.Count + 1) + (ulong)choice) : null;
        Sequence next = Submit(prompt, MaxOutput - produced, 1, asked.WithSeed(seed));
        Meter.AddSharing(next);
        return next;
    }

    /// <summary>A parser of the answer.</summary>
    /// <param name="into">Receives what the prompt's primer holds, if it holds anything.</param>
    public ResponseParser CreateParser(List<ResponseDelta> into) => Request.Conversation.RawPrompt is null
        ? Model.CreateParser(Prompt, Request.Conversation.Tools, NewCallId, into)
        : Dialect.Detect("", Model.Tokenizer).CreateParser(); // text as it stands

    /// <summary>An id for a call.</summary>
    public string NewCallId(int index) => Request.CallPrefix + RandomNumberGenerator.GetHexString(24, lowercase: true);

    private Sequence Submit(int[] prompt, int maxTokens, int samples, SamplingOptions sampling) => Model.Engine.Submit(new GenerationRequest
    {
        Prompt = prompt,
        Adapter = Variant.Adapter,
        MaxTokens = maxTokens,
        Sampling = sampling,
        Stop = Request.Conversation.RawPrompt is null ? [.. Request.Generation.Stop, .. Model.ChatStops] : Request.Generation.Stop,
        IgnoreEos = Request.Generation.IgnoreEos,
        TopLogprobs = Request.TopLogprobs,
        Samples = samples,
    });
}
