using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Flint.Grammar;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>A turn that a model of this server's own answers: with its prompt, and what the engine is asked for.</summary>
internal sealed class EngineTurn : ChatTurn
{
    private const ulong LegSeed = 0x9E3779B97F4A7C15;
    private const int MaxKeptRoom = 4096; // tokens that thoughts leave to what an answer is held to; half of all where that is less
    private const int SubagentPrompt = 1024; // tokens of a sub-agent's prompt beyond those of the turn's own

    /// <summary>Prepares a turn.</summary>
    public EngineTurn(ChatRequest request, ModelVariant variant, ModePlan plan, RequestMeter meter, RunningRequest running)
        : base(request, variant, plan, meter, running)
    {
        Variant = variant;
        var variables = new Dictionary<string, object?>(plan.Variables);
        foreach ((string name, object? value) in request.TemplateVariables)
            variables[name] = value;
        Input = new TemplateInput
        {
            Messages = request.Conversation.Messages,
            Tools = request.Subagents is null ? request.Conversation.Tools : [.. request.Conversation.Tools, ChatSubagents.Offer()],
            Extra = variables,
            BosToken = Model.BosText,
            EosToken = Model.EosText,
            Now = DateTimeOffset.Now,
        };
        Prompt = request.Conversation.RawPrompt is string raw ? new ChatPrompt(Model.Encode(raw), OpensReasoning: false) : Render(Input);
        Grammar = FindGrammar(thoughtsAreOver: false);
    }

    /// <summary>Of which model.</summary>
    public ModelVariant Variant { get; }

    /// <summary>The conversation.</summary>
    public TemplateInput Input { get; }

    /// <summary>The conversation in tokens.</summary>
    public ChatPrompt Prompt { get; }

    /// <summary>What the response is held to; null for anything.</summary>
    public TokenGrammar? Grammar { get; }

    /// <summary>The most tokens of thoughts; null for no limit. An answer that is held to something has room for it, whatever the model thinks.</summary>
    public int? ThoughtBudget => Plan.Budget ?? (Grammar is null || Plan.OpensAnswer || !Model.Dialect.MayReason ? null : MaxOutput - Math.Min(MaxOutput / 2, MaxKeptRoom));

    /// <summary>What the model writes to end its thoughts and begin what it is held to; null where it has none.</summary>
    public string? ReasoningClosing => Request.Conversation.ToolChoice.IsForced ? Model.Dialect.ReasoningClosingBeforeCall : Model.Dialect.ReasoningClosing;

    /// <summary>The model itself.</summary>
    public ServedModel Model => Variant.Model;

    /// <inheritdoc/>
    public override long PromptTokens => Prompt.Ids.Length;

    /// <inheritdoc/>
    public override Tokenizer Tokenizer => Model.Tokenizer;

    /// <summary>The mode as the model can have it.</summary>
    /// <exception cref="ApiException">The request asks for tokens that it does not have.</exception>
    public static ModePlan PlanOf(ChatRequest request, ModelVariant variant, ReasoningMode? mode)
    {
        if (request.Generation.Sampling.LogitBias is { } bias)
            Generation.CheckTokens(variant.Model, bias.Keys, "logit_bias");
        return ModePlan.Of(variant.Model.Dialect, mode, request.Effort, request.ThinkingBudget, request.Conversation.Tools.Count > 0 || request.Subagents is not null);
    }

    /// <summary>Reserves what the turn may use, and hands it to the engine.</summary>
    /// <exception cref="ApiException">A scope of the key does not allow it.</exception>
    /// <exception cref="FlintException">Limit: a limit does not.</exception>
    public async Task<Sequence> SubmitAsync()
    {
        Meter.SetMode(Plan.Mode, Model.Dialect.MayReason, offersTools: Input.Tools.Count > 0);
        int room = Math.Max(1, Model.ContextLength - Prompt.Ids.Length); // the engine refuses a prompt that leaves none
        (long prompts, long output) = Request.Subagents is { } options
            ? (Prompt.Ids.Length + (long)options.Agents * SubagentPromptTokens, Math.Min(int.MaxValue, room + (long)options.Agents * options.AgentTokens))
            : (Prompt.Ids.Length, room);
        int wanted = (int)Math.Min(Request.MaxTokens, output);
        MaxOutput = (int)await Meter.ReserveAsync(Variant, prompts, wanted, Request.Generation.Choices, isElastic: Request.MaxTokens == int.MaxValue);
        IsClipped = MaxOutput < wanted;
        Sequence first = Model.Engine.Submit(NewRequest(Prompt.Ids, MostOf(MaxOutput, 0), Request.Generation.Choices, Request.Generation.Sampling, written: 0));
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
        Meter.SetMode(Plan.Mode, Model.Dialect.MayReason, offersTools: Input.Tools.Count > 0 || task.Check is not null);
        foreach (Viewpoint view in task.Viewpoints)
            Meter.CheckModel(view.Adapter ?? Variant.Name);
        ContemplationOptions options = Request.Contemplation.Options;
        (long prompts, long output) = ChatContemplation.Most(Model, task, options);
        long granted = await Meter.ReserveAsync(Variant, prompts, output, 1, isElastic: options.MaxTokens == long.MaxValue);
        return granted < output ? options with { MaxTokens = granted } : options;
    }

    /// <summary>The most tokens of the first sequence of a choice, or of one that goes on.</summary>
    /// <param name="left">Tokens that the choice may still produce.</param>
    /// <param name="thoughts">Tokens of thoughts so far.</param>
    public int MostOf(long left, int thoughts) =>
        (int)Math.Min(left, ThoughtBudget is int budget ? Math.Max(1, budget - thoughts) : int.MaxValue);

    /// <summary>Goes on with a choice whose thoughts have been closed.</summary>
    /// <param name="prompt">What it goes on from.</param>
    /// <param name="written">How many tokens at its end are the answer's own.</param>
    /// <param name="maxTokens">Tokens it may produce.</param>
    /// <param name="choice">Which choice.</param>
    /// <param name="round">How often sub-agents have answered it.</param>
    /// <param name="endsThoughts">Whether thoughts are ended there: where a call is forced, what follows is the call, and no other thought.</param>
    public Sequence Continue(int[] prompt, int written, int maxTokens, int choice, int round, bool endsThoughts)
    {
        TokenGrammar? grammar = endsThoughts && Request.Conversation.ToolChoice.IsForced ? FindGrammar(thoughtsAreOver: true) : null;
        Sequence next = Model.Engine.Submit(NewRequest(prompt, maxTokens, 1, SamplingOf(written, choice, round), written, grammar));
        Meter.AddSharing(next);
        return next;
    }

    /// <summary>How tokens are drawn that a choice goes on with.</summary>
    /// <param name="written">How many tokens of the answer come before them since sub-agents have answered last.</param>
    /// <param name="choice">Which choice.</param>
    /// <param name="round">How often sub-agents have answered it.</param>
    public SamplingOptions SamplingOf(int written, int choice, int round)
    {
        SamplingOptions asked = Request.Generation.Sampling;
        if (asked.Seed is not ulong given)
            return asked;
        // A sequence counts its draws from 0: with the same seed it would repeat those of the one before.
        ulong seed = round == 0 ? given : Subagents.SeedOf(given, round);
        return asked.WithSeed(unchecked(seed + LegSeed * ((ulong)written + 1) + (ulong)choice));
    }

    /// <summary>What the engine is asked for.</summary>
    /// <param name="prompt">What the model goes on from.</param>
    /// <param name="maxTokens">Tokens it may produce.</param>
    /// <param name="samples">How often.</param>
    /// <param name="sampling">How tokens are drawn.</param>
    /// <param name="written">How many tokens at the prompt's end are the answer's own, behind a primer.</param>
    /// <param name="behind">What comes behind the prompt is held to; null where the prompt's end belongs to what the whole answer is held to.</param>
    public GenerationRequest NewRequest(int[] prompt, int maxTokens, int samples, SamplingOptions sampling, int written, TokenGrammar? behind = null) => new()
    {
        Grammar = behind ?? Grammar,
        GrammarTokens = Grammar is null || behind is not null ? 0 : written + (Prompt.Primer?.Length ?? 0),
        Prompt = prompt,
        Adapter = Variant.Adapter,
        MaxTokens = maxTokens,
        Sampling = sampling,
        Stop = Request.Conversation.RawPrompt is null ? [.. Request.Generation.Stop, .. Model.ChatStops] : Request.Generation.Stop,
        IgnoreEos = Request.Generation.IgnoreEos,
        TopLogprobs = Request.TopLogprobs,
        Samples = samples,
        Share = Meter.Share,
    };

    private TokenGrammar? FindGrammar(bool thoughtsAreOver)
    {
        ChatConversation conversation = Request.Conversation;
        var rules = new ResponseRules
        {
            Format = Request.Format?.Format,
            Tools = conversation.Tools,
            Strict = conversation.StrictTools,
            ForcesCall = conversation.ToolChoice.IsForced,
            ForcedTool = conversation.ToolChoice.Name,
            AllowsSeveralCalls = Request.ParallelToolCalls,
            IsRaw = conversation.RawPrompt is not null,
            ThoughtsAreOver = thoughtsAreOver,
        };
        if (rules.IsEmpty)
            return null;
        string path = Request.Format?.Path ?? (rules.ForcesCall ? ToolChoice.Field : "tools");
        if (Request.Generation.IgnoreEos)
            throw ApiException.Unsupported("ignore_eos", $"Unsupported value: 'ignore_eos' with '{path}', which says where the answer ends.");
        try
        {
            return Model.GrammarOf(rules, Prompt);
        }
        catch (FlintException fault) when (fault.Side == FaultSide.Caller)
        {
            throw ApiException.Invalid(path, fault.Code, $"Invalid '{path}': {fault.Message}");
        }
    }

    /// <summary>The most tokens of a sub-agent's prompt.</summary>
    public int SubagentPromptTokens => Math.Min(Model.ContextLength, Prompt.Ids.Length + SubagentPrompt);

    /// <summary>A conversation in tokens, with the beginning of the answer that the mode puts behind it.</summary>
    public ChatPrompt Render(TemplateInput input) => Model.Encode(input, Plan);

    /// <summary>A parser of the answer.</summary>
    /// <param name="prompt">What it goes on from.</param>
    /// <param name="into">Receives what the prompt's primer holds, if it holds anything.</param>
    public ResponseParser CreateParser(in ChatPrompt prompt, List<ResponseDelta> into) => Request.Conversation.RawPrompt is null
        ? Model.CreateParser(prompt, Input.Tools, NewCallId, into)
        : Dialect.Detect("", Model.Tokenizer).CreateParser(); // text as it stands
}
