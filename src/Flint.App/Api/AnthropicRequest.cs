using System.Text.Json;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>The body of <c>POST /v1/messages</c> and of <c>POST /v1/messages/count_tokens</c>.</summary>
internal sealed record AnthropicRequest
{
    private const int MinBudget = 1024;

    // The API refuses fields that it does not know. Those of the last two lines change nothing about an answer here.
    private static readonly HashSet<string> Known =
    [
        "model", "max_tokens", "messages", "system", "stop_sequences", "stream", "temperature", "top_p", "top_k", "tools", "tool_choice", "thinking", "output_config",
        "min_p", "typical_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias", "seed", "contemplation", SubagentFields.Name, FormatFields.GrammarName,
        "mode", "thinking_budget", "deadline_seconds", "include",
        "metadata", "service_tier", "cache_control", "inference_geo", "speed", "diagnostics", "user_profile_id", "workspace_id", "context_management", "betas",
    ];

    /// <summary>What is asked.</summary>
    public required ChatRequest Chat { get; init; }

    /// <summary>Whether thoughts are told without their text.</summary>
    public required bool OmitsThinking { get; init; }

    /// <summary>Reads and checks a body.</summary>
    /// <param name="root">The body.</param>
    /// <param name="counts">Whether its tokens are only to be counted, so that no limit of the answer is needed.</param>
    /// <exception cref="ApiException">A field has a wrong type or value, is unknown, or asks for what this server does not do.</exception>
    public static AnthropicRequest Read(JsonElement root, bool counts)
    {
        var body = new JsonFields(root, "");
        foreach (JsonProperty field in root.EnumerateObject())
        {
            if (!Known.Contains(field.Name))
                throw ApiException.Invalid(ApiException.Shorten(field.Name), "unknown_parameter", $"Unknown parameter: '{ApiException.Shorten(field.Name)}'.");
        }

        string model = body.RequiredText("model");
        int? maxTokens = body.Int("max_tokens", 1, int.MaxValue);
        if (maxTokens is null && !counts)
            throw ApiException.Missing("max_tokens");
        body.Object("metadata")?.Text("user_id");
        SamplingOptions sampling = GenerationFields.ReadSampling(body, new SamplingOptions());
        bool tells = ReadThinking(body, maxTokens, out int? budget, out bool omits);
        var own = ReasoningFields.Read(body);
        string? effort = ReadEffort(body);
        (ChatConversation conversation, bool parallel) = AnthropicConversation.Read(body);
        return new AnthropicRequest
        {
            OmitsThinking = omits,
            Chat = new ChatRequest
            {
                Generation = new GenerationFields
                {
                    Model = model,
                    Stream = body.Flag("stream") ?? false,
                    Stop = body.Array("stop_sequences", ApiLimits.MaxStops) is null ? [] : GenerationFields.ReadStop(body, "stop_sequences"),
                    Sampling = sampling,
                    Deadline = GenerationFields.ReadDeadline(body),
                },
                Conversation = conversation,
                MaxTokens = maxTokens ?? int.MaxValue,
                ParallelToolCalls = parallel,
                Format = FormatFields.Read(body, body.Object("output_config")?.Object("format"), "json_schema"),
                CallPrefix = "toolu_",
                Mode = own.Mode,
                EffortMode = ReasoningFields.ModeOf(effort),
                Effort = ReasoningFields.EffortOf(effort),
                ThinkingBudget = own.Budget ?? budget,
                HidesReasoning = !tells && own.Budget is null or 0,
                TellsMode = own.TellsMode,
                TellsContemplation = own.TellsContemplation,
                TellsSubagents = own.TellsSubagents,
                Contemplation = ContemplationFields.Read(body, body, sampling, maxTokens),
                Subagents = SubagentFields.Read(body, sampling),
            },
        };
    }

    // Who does not ask for thoughts is told none: there the text is the first block of an answer.
    private static bool ReadThinking(JsonFields body, int? maxTokens, out int? budget, out bool omits)
    {
        budget = null;
        omits = false;
        if (body.Object("thinking") is not JsonFields thinking)
            return false;
        omits = thinking.Choice("display", "summarized", "omitted") == "omitted";
        switch (thinking.Choice("type", "enabled", "disabled", "adaptive"))
        {
            case null:
                throw ApiException.Missing(thinking.PathOf("type"));
            case "adaptive":
                return true;
            case "disabled":
                budget = 0;
                return false;
        }

        string path = thinking.PathOf("budget_tokens");
        budget = thinking.Int("budget_tokens", MinBudget, int.MaxValue) ?? throw ApiException.Missing(path);
        if (budget >= maxTokens)
            throw ApiException.Invalid(path, "invalid_value", $"Invalid '{path}': expected less than 'max_tokens', {maxTokens}, but got {budget} instead.");
        return true;
    }

    private static string? ReadEffort(JsonFields body)
    {
        if (body.Object("output_config") is not JsonFields config)
            return null;
        return config.Choice("effort", ReasoningFields.Efforts);
    }
}
