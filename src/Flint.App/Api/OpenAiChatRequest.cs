using System.Text.Json;

namespace Flint.App.Api;

/// <summary>Reads the body of <c>POST /v1/chat/completions</c>.</summary>
internal static class OpenAiChatRequest
{
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
        string? effort = body.Choice("reasoning_effort", ReasoningFields.Efforts);
        var own = ReasoningFields.Read(body);
        return new ChatRequest
        {
            Mode = own.Mode,
            EffortMode = ReasoningFields.ModeOf(effort),
            Effort = ReasoningFields.EffortOf(effort),
            ThinkingBudget = own.Budget,
            Contemplation = ContemplationFields.Read(body, body, generation.Sampling, maxTokens ?? maxTokensOld),
            TellsMode = own.TellsMode,
            TellsContemplation = own.TellsContemplation,
            Subagents = SubagentFields.Read(body, generation.Sampling),
            TellsSubagents = own.TellsSubagents,
            Generation = generation,
            Conversation = OpenAiConversation.Read(body),
            Format = FormatFields.Read(body, body.Object("response_format"), "text", "json_object", "json_schema"),
            MaxTokens = maxTokens ?? maxTokensOld ?? int.MaxValue,
            TopLogprobs = logprobs ? top ?? 0 : -1,
            ParallelToolCalls = body.Flag("parallel_tool_calls") ?? true,
            TemplateVariables = ReadTemplateVariables(body),
        };
    }

    // What would change the answer's meaning if it were passed over is refused by name.
    private static void RefuseUnsupported(JsonFields body)
    {
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

    /// <summary>Reads <c>chat_template_kwargs</c>.</summary>
    public static Dictionary<string, object?> ReadTemplateVariables(JsonFields body)
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
