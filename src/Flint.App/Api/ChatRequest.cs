using System.Text.Json;

namespace Flint.App.Api;

/// <summary>The body of <c>POST /v1/chat/completions</c>.</summary>
internal sealed class ChatRequest
{
    private static readonly string[] Efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

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
        return new ChatRequest
        {
            Generation = generation,
            Conversation = ChatConversation.Read(body),
            MaxTokens = maxTokens ?? maxTokensOld ?? int.MaxValue,
            TopLogprobs = logprobs ? top ?? 0 : -1,
            ParallelToolCalls = body.Flag("parallel_tool_calls") ?? true,
            Effort = body.Choice("reasoning_effort", Efforts),
            TemplateVariables = ReadTemplateVariables(body),
        };
    }

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
