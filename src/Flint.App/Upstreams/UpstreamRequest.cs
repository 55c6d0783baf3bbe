using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Upstreams;

/// <summary>What an upstream is asked: the body of <c>POST /chat/completions</c>, or of <c>POST /completions</c>, and bounds of what it may use.</summary>
internal sealed record UpstreamRequest
{
    // Text as it is: no escape makes a bound larger than it needs to be.
    private static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>The conversation, as the body has it; of a plain completion the prompt.</summary>
    public required ReadOnlyMemory<byte> Messages { get; init; }

    /// <summary>Whether it is a plain completion.</summary>
    public bool IsPlain { get; init; }

    /// <summary>The functions offered; empty for none.</summary>
    public required ReadOnlyMemory<byte> Tools { get; init; }

    /// <summary>Which of them are to be called, as the body has it; empty where the model may choose.</summary>
    public ReadOnlyMemory<byte> ToolChoice { get; init; }

    /// <summary>What the answer is held to, as the body has it; empty for any text.</summary>
    public ReadOnlyMemory<byte> Format { get; init; }

    /// <summary>How tokens are drawn.</summary>
    public required SamplingOptions Sampling { get; init; }

    /// <summary>Strings that end the text.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>How many answers.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>The most tokens of each.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>How many of the likeliest tokens to tell beside each log-probability; -1 for no log-probabilities.</summary>
    public int TopLogprobs { get; init; } = -1;

    /// <summary>Whether to go on past the model's end-of-generation tokens.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>Whether one answer may call several functions.</summary>
    public bool ParallelToolCalls { get; init; } = true;

    /// <summary>How hard to think; null for the model's own way.</summary>
    public string? Effort { get; init; }

    /// <summary>Whether to think at all; null for the model's own way.</summary>
    public bool? Thinks { get; init; }

    /// <summary>The caller's own variables for the chat template.</summary>
    public IReadOnlyDictionary<string, object?> TemplateVariables { get; init; } = new Dictionary<string, object?>();

    /// <summary>Bytes of the conversation, the functions and the format, of which some servers tell the model too.</summary>
    public int PromptBytes => Messages.Length + Tools.Length + Format.Length;

    /// <summary>The most tokens of the prompt: a token has a byte at least, and the template adds so much at most.</summary>
    public long MostPromptTokens(UpstreamOptions options) => Math.Min(PromptBytes + (long)options.PromptOverhead, options.Context ?? long.MaxValue);

    /// <summary>Writes a conversation.</summary>
    public static ReadOnlyMemory<byte> WriteMessages(IReadOnlyList<ChatMessage> messages) => Write(writer =>
    {
        writer.WriteStartArray();
        foreach (ChatMessage message in messages)
            WriteMessage(writer, message);
        writer.WriteEndArray();
    });

    /// <summary>Writes a prompt that goes to the model as it is.</summary>
    public static ReadOnlyMemory<byte> WritePrompt(string prompt) => Write(writer => writer.WriteStringValue(prompt));

    /// <summary>Writes functions.</summary>
    /// <param name="tools">The functions.</param>
    /// <param name="strict">Names of those whose arguments must be of their schema.</param>
    public static ReadOnlyMemory<byte> WriteTools(IReadOnlyList<ToolDefinition> tools, IReadOnlyList<string> strict) => tools.Count == 0 ? default : Write(writer =>
    {
        writer.WriteStartArray();
        foreach (ToolDefinition tool in tools)
        {
            JsonNode told = tool.Json;
            if (strict.Contains(tool.Name) && told["function"]?["strict"] is null)
            {
                told = told.DeepClone();
                told["function"]!["strict"] = true;
            }

            told.WriteTo(writer);
        }

        writer.WriteEndArray();
    });

    /// <summary>Writes that a function must be called.</summary>
    /// <param name="name">Which; null for any.</param>
    public static ReadOnlyMemory<byte> WriteToolChoice(string? name) => Write(writer =>
    {
        if (name is null)
        {
            writer.WriteStringValue("required"u8);
            return;
        }

        writer.WriteStartObject();
        writer.WriteString("type"u8, "function"u8);
        writer.WriteStartObject("function"u8);
        writer.WriteString("name"u8, name);
        writer.WriteEndObject();
        writer.WriteEndObject();
    });

    /// <summary>Writes what the answer is held to: any object, or a schema.</summary>
    /// <param name="schema">The schema as JSON; null for any object.</param>
    /// <param name="name">What the caller calls it.</param>
    /// <param name="strict">Whether it says that the answer must be of it; null where it says nothing.</param>
    public static ReadOnlyMemory<byte> WriteFormat(string? schema, string? name, bool? strict) => Write(writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("type"u8, schema is null ? "json_object"u8 : "json_schema"u8);
        if (schema is not null)
        {
            writer.WriteStartObject("json_schema"u8);
            writer.WriteString("name"u8, name ?? "answer");
            writer.WritePropertyName("schema"u8);
            writer.WriteRawValue(schema, skipInputValidation: true);
            if (strict is bool said)
                writer.WriteBoolean("strict"u8, said);
            writer.WriteEndObject();
        }

        writer.WriteEndObject();
    });

    /// <summary>The body for one target. Temperature and top-p are always told; of the rest, what changes anything.</summary>
    public ReadOnlyMemory<byte> ToJson(UpstreamOptions options, TargetOptions target) => Write(writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("model"u8, target.Model);
        writer.WritePropertyName(IsPlain ? "prompt"u8 : "messages"u8);
        writer.WriteRawValue(Messages.Span, skipInputValidation: true);
        if (Tools.Length > 0)
        {
            writer.WritePropertyName("tools"u8);
            writer.WriteRawValue(Tools.Span, skipInputValidation: true);
            if (!ParallelToolCalls)
                writer.WriteBoolean("parallel_tool_calls"u8, false);
            if (ToolChoice.Length > 0)
            {
                writer.WritePropertyName("tool_choice"u8);
                writer.WriteRawValue(ToolChoice.Span, skipInputValidation: true);
            }
        }

        if (Format.Length > 0)
        {
            writer.WritePropertyName("response_format"u8);
            writer.WriteRawValue(Format.Span, skipInputValidation: true);
        }

        writer.WriteBoolean("stream"u8, true);
        writer.WriteStartObject("stream_options"u8);
        writer.WriteBoolean("include_usage"u8, true);
        if (options.ContinuousUsage)
            writer.WriteBoolean("continuous_usage_stats"u8, true);
        writer.WriteEndObject();
        writer.WriteNumber(IsPlain ? "max_tokens" : options.OutputField, MaxTokens);
        if (Choices > 1)
            writer.WriteNumber("n"u8, Choices);
        if (Stop.Count > 0)
        {
            writer.WriteStartArray("stop"u8);
            foreach (string text in Stop)
                writer.WriteStringValue(text);
            writer.WriteEndArray();
        }

        if (TopLogprobs >= 0)
        {
            writer.WriteBoolean("logprobs"u8, true);
            if (TopLogprobs > 0)
                writer.WriteNumber("top_logprobs"u8, TopLogprobs);
        }

        WriteSampling(writer);
        if (options.Reasoning == UpstreamReasoning.Effort && Effort is not null && !IsPlain)
            writer.WriteString("reasoning_effort"u8, Effort);
        if (options.Extensions)
            WriteExtensions(writer, options);
        writer.WriteEndObject();
    });

    private void WriteSampling(Utf8JsonWriter writer)
    {
        writer.WriteNumber("temperature"u8, (decimal)Sampling.Temperature);
        writer.WriteNumber("top_p"u8, (decimal)Sampling.TopP);
        if (Sampling.FrequencyPenalty != 0)
            writer.WriteNumber("frequency_penalty"u8, (decimal)Sampling.FrequencyPenalty);
        if (Sampling.PresencePenalty != 0)
            writer.WriteNumber("presence_penalty"u8, (decimal)Sampling.PresencePenalty);
        if (Sampling.Seed is ulong seed)
            writer.WriteNumber("seed"u8, unchecked((long)seed));
        if (Sampling.LogitBias is not { Count: > 0 } biases)
            return;
        writer.WriteStartObject("logit_bias"u8);
        foreach ((int token, float bias) in biases)
            writer.WriteNumber(token.ToString(), (decimal)bias);
        writer.WriteEndObject();
    }

    private void WriteExtensions(Utf8JsonWriter writer, UpstreamOptions options)
    {
        if (Sampling.TopK > 0)
            writer.WriteNumber("top_k"u8, Sampling.TopK);
        if (Sampling.MinP > 0)
            writer.WriteNumber("min_p"u8, (decimal)Sampling.MinP);
        if (Sampling.TypicalP < 1)
            writer.WriteNumber("typical_p"u8, (decimal)Sampling.TypicalP);
        if (Sampling.RepetitionPenalty != 1)
            writer.WriteNumber("repetition_penalty"u8, (decimal)Sampling.RepetitionPenalty);
        if (IgnoreEos)
            writer.WriteBoolean("ignore_eos"u8, true);
        if (IsPlain)
            return;
        var variables = new Dictionary<string, object?>();
        if (options.Reasoning == UpstreamReasoning.Template && Thinks is bool thinks)
            variables["enable_thinking"] = thinks;
        foreach ((string name, object? value) in TemplateVariables)
            variables[name] = value;
        if (variables.Count == 0)
            return;
        writer.WriteStartObject("chat_template_kwargs"u8);
        foreach ((string name, object? value) in variables)
        {
            writer.WritePropertyName(name);
            if (value is JsonNode node)
                node.WriteTo(writer);
            else
                JsonSerializer.Serialize(writer, value);
        }

        writer.WriteEndObject();
    }

    // Parts are one text to a model that reads text; a developer's message is a system's to templates that know no other.
    private static void WriteMessage(Utf8JsonWriter writer, ChatMessage message)
    {
        writer.WriteStartObject();
        writer.WriteString("role"u8, message.Role == "developer" ? "system" : message.Role);
        writer.WriteString("content"u8, message.Parts is null ? message.Content : string.Concat(message.Parts.Select(part => part.Text)));
        if (message.Name is not null)
            writer.WriteString("name"u8, message.Name);
        if (message.ReasoningContent is not null)
            writer.WriteString("reasoning_content"u8, message.ReasoningContent);
        if (message.ToolCallId is not null)
            writer.WriteString("tool_call_id"u8, message.ToolCallId);
        if (message.ToolCalls is { Count: > 0 } calls)
        {
            writer.WriteStartArray("tool_calls"u8);
            foreach (ToolCall call in calls)
            {
                writer.WriteStartObject();
                writer.WriteString("id"u8, call.Id);
                writer.WriteString("type"u8, "function"u8);
                writer.WriteStartObject("function"u8);
                writer.WriteString("name"u8, call.Name);
                writer.WriteString("arguments"u8, call.Arguments);
                writer.WriteEndObject();
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        }

        writer.WriteEndObject();
    }

    private static ReadOnlyMemory<byte> Write(Action<Utf8JsonWriter> write)
    {
        var bytes = new System.Buffers.ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(bytes, Plain))
            write(writer);
        return bytes.WrittenMemory;
    }
}
