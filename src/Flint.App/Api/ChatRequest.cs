using System.Security.Cryptography;
using System.Text.Json;
using Flint.App.Serving;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>The body of <c>POST /v1/chat/completions</c>.</summary>
internal sealed class ChatRequest
{
    private const string Contemplating = "contemplating";

    private static readonly string[] Efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max", Contemplating];
    private static readonly string[] Aggregations = ["auto", "vote", "synthesis"];

    /// <summary>What chat and plain completions share.</summary>
    public required GenerationFields Generation { get; init; }

    /// <summary>The conversation and the tools.</summary>
    public required ChatConversation Conversation { get; init; }

    /// <summary>The most tokens to generate, reasoning included.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>Alternatives per token; -1 for no log-probabilities.</summary>
    public required int TopLogprobs { get; init; }

    /// <summary>Whether one answer may call several tools.</summary>
    public required bool ParallelToolCalls { get; init; }

    /// <summary>How hard to think; null for the model's own way.</summary>
    public required string? Effort { get; init; }

    /// <summary>The mode, by the field or by the effort; null where neither names one.</summary>
    public required ReasoningMode? Mode { get; init; }

    /// <summary>The most tokens of thoughts; null for no limit of their own.</summary>
    public required int? ThinkingBudget { get; init; }

    /// <summary>How to contemplate, where that is the mode.</summary>
    public required ContemplationOptions Contemplation { get; init; }

    /// <summary>What exploring agents are asked beside the conversation, in turn.</summary>
    public required IReadOnlyList<string> Perspectives { get; init; }

    /// <summary>Names of the adapters that exploring agents generate with, in turn; the model's own name for none.</summary>
    public required IReadOnlyList<string> AgentAdapters { get; init; }

    /// <summary>Whether the answer tells the mode: where the caller shows to know of modes.</summary>
    public required bool TellsMode { get; init; }

    /// <summary>Whether the answer comes with the tree of its contemplation.</summary>
    public required bool TellsContemplation { get; init; }

    /// <summary>The caller's own variables for the model's chat template.</summary>
    public required IReadOnlyDictionary<string, object?> TemplateVariables { get; init; }

    /// <summary>Reads and checks a body.</summary>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static ChatRequest Read(JsonElement root)
    {
        var body = new JsonFields(root, "");
        GenerationFields generation = GenerationFields.Read(body);
        RefuseUnsupported(body);

        bool logprobs = body.Flag("logprobs") ?? false;
        int? top = body.Int("top_logprobs", 0, ApiLimits.MaxTopLogprobs);
        if (top is not null && !logprobs)
            throw ApiException.Invalid("top_logprobs", "invalid_value", "Invalid 'top_logprobs': 'logprobs' must be true to use it.");
        int? maxTokens = body.Int("max_completion_tokens", 1, int.MaxValue);
        int? maxTokensOld = body.Int("max_tokens", 1, int.MaxValue);
        string? effort = body.Choice("reasoning_effort", Efforts);
        ReasoningMode? mode = ModePlan.Find(body.Choice("mode", ModePlan.Names)) ?? (effort == Contemplating ? ReasoningMode.Contemplating : null);
        bool tree = ReadInclude(body);
        return new ChatRequest
        {
            Mode = mode,
            ThinkingBudget = body.Int("thinking_budget", 0, int.MaxValue),
            Contemplation = ReadContemplation(body, generation, maxTokens ?? maxTokensOld),
            Perspectives = ReadTexts(body.Object("contemplation"), "perspectives"),
            AgentAdapters = ReadTexts(body.Object("contemplation"), "adapters"),
            TellsMode = tree || body.TryGet("mode", out _),
            TellsContemplation = tree,
            Generation = generation,
            Conversation = ChatConversation.Read(body),
            MaxTokens = maxTokens ?? maxTokensOld ?? int.MaxValue,
            TopLogprobs = logprobs ? top ?? 0 : -1,
            ParallelToolCalls = body.Flag("parallel_tool_calls") ?? true,
            Effort = effort == Contemplating ? null : effort,
            TemplateVariables = ReadTemplateVariables(body),
        };
    }

    private static bool ReadInclude(JsonFields body)
    {
        if (body.Array("include", ApiLimits.MaxIncludes) is not JsonElement array)
            return false;
        int index = 0;
        foreach (JsonElement one in array.EnumerateArray())
        {
            string path = $"include[{index++}]", value = JsonFields.Text(one, path);
            if (value != "contemplation")
                throw JsonFields.InvalidChoice(path, value, ["contemplation"]);
        }

        return index > 0;
    }

    // The defaults are the engine's; max_completion_tokens holds for all agents together, as usage counts them all.
    private static ContemplationOptions ReadContemplation(JsonFields body, GenerationFields generation, int? maxTokens)
    {
        var defaults = new ContemplationOptions
        {
            Seed = generation.Sampling.Seed ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))),
            MaxTokens = maxTokens ?? long.MaxValue,
        };
        defaults = defaults with { Temperature = (float)(body.Number("temperature", 0, 2) ?? defaults.Temperature) };
        if (body.Object("contemplation") is not JsonFields own)
            return defaults;
        double? seconds = own.Number("deadline_seconds", 0.001, ApiLimits.MaxDeadlineSeconds);
        return defaults with
        {
            Agents = own.Int("agents", 1, ContemplationOptions.MaxAgents) ?? defaults.Agents,
            FirstWave = own.Int("first_wave", 1, ContemplationOptions.MaxAgents) ?? defaults.FirstWave,
            Wave = own.Int("wave", 1, ContemplationOptions.MaxAgents) ?? defaults.Wave,
            StopError = own.Number("stop_error", 0, 0.499) ?? defaults.StopError,
            TemperatureSpread = (float)(own.Number("temperature_spread", 0, 2) ?? defaults.TemperatureSpread),
            Window = own.Int("window", 1, Engine.ConfidenceWindow.MaxTokens) ?? defaults.Window,
            ConfidenceTop = own.Int("confidence_top", 0, ApiLimits.MaxTopLogprobs) ?? defaults.ConfidenceTop,
            PrunePercentile = own.Number("prune_percentile", 0, 100) ?? defaults.PrunePercentile,
            WeightPower = own.Number("weight_power", 0, 100) ?? defaults.WeightPower,
            AgentTokens = own.Int("agent_tokens", 1, int.MaxValue) ?? defaults.AgentTokens,
            Rounds = own.Int("rounds", 0, ContemplationOptions.MaxRounds) ?? defaults.Rounds,
            Subset = own.Int("subset", 1, ContemplationOptions.MaxDrafts) ?? defaults.Subset,
            Aggregation = (Aggregation)Math.Max(0, Array.IndexOf(Aggregations, own.Choice("aggregation", Aggregations))),
            Deadline = seconds is double limit ? TimeSpan.FromSeconds(limit) : null,
        };
    }

    private static string[] ReadTexts(JsonFields? body, string name) =>
        body?.Array(name, ContemplationOptions.MaxAgents) is JsonElement array
            ? [.. array.EnumerateArray().Select((one, i) => JsonFields.Text(one, $"{body.Value.PathOf(name)}[{i}]"))] : [];

    // What would change the answer's meaning if it were passed over is refused by name.
    private static void RefuseUnsupported(JsonFields body)
    {
        if (body.Object("response_format") is JsonFields format && format.RequiredText("type") is not "text" and var type)
        {
            if (type is "json_object" or "json_schema")
                throw ApiException.Unsupported("response_format.type", $"Unsupported value: 'response_format.type' is '{type}', and this server cannot yet hold an answer to a grammar. Supported values are: 'text'.");
            throw JsonFields.InvalidChoice("response_format.type", type, ["text"]);
        }

        if (body.TryGet("functions", out _))
            throw ApiException.Unsupported("functions", "Unsupported parameter: 'functions'. Use 'tools' instead.");
        if (body.TryGet("function_call", out _))
            throw ApiException.Unsupported("function_call", "Unsupported parameter: 'function_call'. Use 'tool_choice' instead.");
        if (body.TryGet("audio", out _))
            throw ApiException.Unsupported("audio", "Unsupported parameter: 'audio'. This server answers with text.");
        if (body.Array("modalities", 8) is JsonElement modalities)
        {
            foreach (JsonElement one in modalities.EnumerateArray())
            {
                if (JsonFields.Text(one, "modalities") != "text")
                    throw ApiException.Unsupported("modalities", "Unsupported value: 'modalities' may only hold 'text'.");
            }
        }
    }

    private static Dictionary<string, object?> ReadTemplateVariables(JsonFields body)
    {
        var variables = new Dictionary<string, object?>();
        if (body.Object("chat_template_kwargs") is JsonFields own)
        {
            foreach (JsonProperty property in own.Element.EnumerateObject())
                variables[property.Name] = ChatConversation.NodeOf(property.Value, $"chat_template_kwargs.{property.Name}");
        }

        return variables;
    }
}
