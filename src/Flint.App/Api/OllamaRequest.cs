using System.Text.Json;
using Flint.App.Serving;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>The body of <c>POST /api/chat</c> or <c>POST /api/generate</c>.</summary>
/// <param name="Model">The model as the caller names it.</param>
/// <param name="Chat">What is asked; null where only the model is to be there.</param>
internal sealed record OllamaRequest(string Model, ChatRequest? Chat)
{
    private const int PenaltyWindow = 64;

    private static readonly JsonElement NoOptions = JsonDocument.Parse("{}").RootElement.Clone();

    /// <summary>Reads a chat.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static OllamaRequest ReadChat(JsonElement root)
    {
        var body = new JsonFields(root, "");
        return Read(body, OllamaConversation.Read(body));
    }

    /// <summary>Reads a prompt.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static OllamaRequest ReadGenerate(JsonElement root)
    {
        var body = new JsonFields(root, "");
        foreach (string name in (string[])["suffix", "template"])
        {
            if (body.Text(name) is { Length: > 0 })
                throw ApiException.Unsupported(name, $"Unsupported parameter: '{name}'.");
        }

        if (body.Array("context", int.MaxValue) is JsonElement context && context.GetArrayLength() > 0)
            throw ApiException.Unsupported("context", "Unsupported parameter: 'context'. Send the conversation to /api/chat instead.");
        OllamaConversation.RefuseImages(body);
        string prompt = body.Text("prompt") ?? "";
        string? system = body.Text("system");
        bool raw = body.Flag("raw") ?? false;
        return Read(body, prompt.Length == 0 ? null : raw ? new ChatConversation { Messages = [], RawPrompt = prompt } : OllamaConversation.Of(system, prompt));
    }

    private static OllamaRequest Read(JsonFields body, ChatConversation? conversation)
    {
        string model = body.RequiredText("model");
        JsonFields options = body.Object("options") ?? new JsonFields(NoOptions, "options");
        if (body.TryGet("keep_alive", out JsonElement alive) && alive.ValueKind is not (JsonValueKind.String or JsonValueKind.Number))
            throw JsonFields.WrongType("keep_alive", "a duration", alive);
        bool logprobs = body.Flag("logprobs") ?? false;
        int? top = body.Int("top_logprobs", 0, ApiLimits.MaxTopLogprobs);
        int? maxTokens = options.Int("num_predict", int.MinValue, int.MaxValue) is int predict and > 0 ? predict : null;
        SamplingOptions sampling = ReadSampling(options);
        var generation = new GenerationFields { Model = model, Stream = body.Flag("stream") ?? true, Stop = GenerationFields.ReadStop(options, "stop"), Sampling = sampling, Deadline = GenerationFields.ReadDeadline(body) };
        ContemplationFields contemplation = ContemplationFields.Read(body, options, sampling, maxTokens);
        (ReasoningMode? mode, int? budget, string? effort) = ReadThink(body);
        var own = ReasoningFields.Read(body);
        return new OllamaRequest(model, conversation is null ? null : new ChatRequest
        {
            Generation = generation,
            Conversation = conversation,
            Format = FormatFields.ReadOllama(body),
            MaxTokens = maxTokens ?? int.MaxValue,
            TopLogprobs = logprobs ? top ?? 0 : -1,
            Mode = own.Mode,
            EffortMode = mode,
            ThinkingBudget = own.Budget ?? budget,
            Effort = effort,
            TellsMode = own.TellsMode,
            TellsContemplation = own.TellsContemplation,
            TellsSubagents = own.TellsSubagents,
            Contemplation = contemplation,
            Subagents = SubagentFields.Read(body, sampling),
        });
    }

    // The defaults are Ollama's, but that nothing is penalized for being repeated unless it is asked for.
    private static SamplingOptions ReadSampling(JsonFields options)
    {
        if (options.Int("mirostat", 0, 2) > 0)
            throw ApiException.Unsupported(options.PathOf("mirostat"), "Unsupported parameter: 'options.mirostat'.");
        int window = options.Int("repeat_last_n", -1, int.MaxValue) ?? PenaltyWindow;
        var defaults = new SamplingOptions { Temperature = 0.8f, TopK = 40, TopP = 0.9f, PenaltyWindow = Math.Max(0, window) };
        SamplingOptions sampling = GenerationFields.ReadSampling(options, defaults, "repeat_penalty");
        if (options.Long("seed") < 0)
            sampling = sampling.WithSeed(null);
        return window != 0 ? sampling : new SamplingOptions // a window of no tokens: no penalties
        {
            Temperature = sampling.Temperature,
            TopK = sampling.TopK,
            TopP = sampling.TopP,
            MinP = sampling.MinP,
            TypicalP = sampling.TypicalP,
            LogitBias = sampling.LogitBias,
            Seed = sampling.Seed,
        };
    }

    private static (ReasoningMode? Mode, int? Budget, string? Effort) ReadThink(JsonFields body)
    {
        if (!body.TryGet("think", out JsonElement think))
            return default;
        return think.ValueKind switch
        {
            JsonValueKind.True => (ReasoningMode.Thinking, null, null),
            JsonValueKind.False => (null, 0, null),
            JsonValueKind.String when body.Choice("think", ReasoningFields.Efforts) is var effort => (ReasoningFields.ModeOf(effort), null, ReasoningFields.EffortOf(effort)),
            _ => throw JsonFields.WrongType("think", "a boolean or an effort such as 'low'", think),
        };
    }
}
