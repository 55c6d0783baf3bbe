using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>The body of <c>POST /v1/responses</c>.</summary>
internal sealed record ResponsesRequest
{
    private const string Logprobs = "message.output_text.logprobs";

    // Those that only tools or sights of another server's would fill change nothing here.
    private static readonly string[] Includes =
    [
        Logprobs, "reasoning.encrypted_content", "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
        "message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
    ];

    private static readonly string[] Tiers = ["auto", "default", "flex", "scale", "priority"];

    /// <summary>What is asked.</summary>
    public required ChatRequest Chat { get; init; }

    /// <summary>Whether the answer comes as a stream.</summary>
    public required bool Streams { get; init; }

    /// <summary>Whether it goes on without its client.</summary>
    public required bool IsBackground { get; init; }

    /// <summary>Whether it is kept.</summary>
    public required bool IsKept { get; init; }

    /// <summary>Whether the beginning of a conversation that is too long is left out.</summary>
    public required bool Truncates { get; init; }

    /// <summary>The response that it goes on from; null for none.</summary>
    public required string? Previous { get; init; }

    /// <summary>The items of the request, a JSON array.</summary>
    public required string Input { get; init; }

    /// <summary>How many items these are.</summary>
    public required int InputItems { get; init; }

    /// <summary>What of the request is told back with the response.</summary>
    public required JsonObject Echo { get; init; }

    /// <summary>Reads and checks a body.</summary>
    /// <param name="root">The body.</param>
    /// <param name="stored">The responses kept.</param>
    /// <param name="key">The key that asks.</param>
    /// <param name="id">The id of the response.</param>
    /// <exception cref="ApiException">A field has a wrong type or value, or asks for what this server does not do.</exception>
    public static ResponsesRequest Read(JsonElement root, Responses stored, long? key, string id)
    {
        var body = new JsonFields(root, "");
        string model = body.RequiredText("model");
        RefuseUnsupported(body);
        bool streams = body.Flag("stream") ?? false, background = body.Flag("background") ?? false, store = body.Flag("store") ?? true;
        if (body.Object("stream_options") is not null && !streams)
            throw ApiException.Invalid("stream_options", "invalid_value", "The 'stream_options' parameter is only allowed when 'stream' is enabled.");
        if (background && !store)
            throw ApiException.Invalid("background", "invalid_value", "Invalid 'background': a response that goes on without its client must be kept, and 'store' is false.");

        SamplingOptions sampling = GenerationFields.ReadSampling(body, new SamplingOptions());
        int? maxTokens = body.Int("max_output_tokens", 1, int.MaxValue), top = body.Int("top_logprobs", 0, ApiLimits.MaxTopLogprobs);
        var own = ReasoningFields.Read(body, Includes);
        bool logprobs = own.Included.Contains(Logprobs);
        JsonFields? reasoning = body.Object("reasoning");
        string? effort = reasoning?.Choice("effort", ReasoningFields.Efforts);
        var echo = new JsonObject();
        var strict = new List<string>();
        List<ToolDefinition> tools = ReadTools(body, strict, echo);
        ToolChoice choice = ToolChoice.Read(body, tools);
        JsonFields? format = body.Object("text")?.Object("format");
        var input = new ResponsesInput(stored, key, id);
        input.Read(body);
        string items = input.Items.ToJsonString(ChatConversation.Unescaped);
        if (store && Encoding.UTF8.GetByteCount(items) > ApiLimits.MaxStoredInputBytes)
            throw ApiException.Invalid("input", "string_above_max_length", $"Invalid 'input': more than {ApiLimits.MaxStoredInputBytes} bytes are not kept. Set 'store' to false.");

        var request = new ResponsesRequest
        {
            Streams = streams,
            IsBackground = background,
            IsKept = store,
            Truncates = body.Choice("truncation", "disabled", "auto") == "auto",
            Previous = body.Text("previous_response_id"),
            Input = items,
            InputItems = input.Items.Count,
            Echo = echo,
            Chat = new ChatRequest
            {
                Generation = new GenerationFields
                {
                    Model = model,
                    Stream = streams || background, // to whoever listens
                    Stop = GenerationFields.ReadStop(body, "stop"),
                    IgnoreEos = body.Flag("ignore_eos") ?? false,
                    Sampling = sampling,
                    Deadline = GenerationFields.ReadDeadline(body),
                },
                Conversation = new ChatConversation { Messages = input.Messages, Tools = choice.Offers ? tools : [], StrictTools = choice.Offers ? strict : [], ToolChoice = choice },
                Format = FormatFields.Read(body, format, "text", "json_object", "json_schema"),
                MaxTokens = maxTokens ?? int.MaxValue,
                TopLogprobs = logprobs || top > 0 ? top ?? 0 : -1,
                ParallelToolCalls = body.Flag("parallel_tool_calls") ?? true,
                Mode = own.Mode,
                EffortMode = ReasoningFields.ModeOf(effort),
                Effort = ReasoningFields.EffortOf(effort),
                ThinkingBudget = own.Budget,
                Contemplation = ContemplationFields.Read(body, body, sampling, maxTokens),
                TellsMode = own.TellsMode,
                TellsContemplation = own.TellsContemplation,
                Subagents = SubagentFields.Read(body, sampling),
                TellsSubagents = own.TellsSubagents,
                TemplateVariables = OpenAiChatRequest.ReadTemplateVariables(body),
            },
        };
        request.FillEcho(body, format, reasoning, top);
        return request;
    }

    private void FillEcho(JsonFields body, JsonFields? format, JsonFields? reasoning, int? top)
    {
        Echo["background"] = IsBackground;
        Echo["instructions"] = body.Text("instructions");
        Echo["max_output_tokens"] = Chat.MaxTokens == int.MaxValue ? null : (JsonNode)Chat.MaxTokens;
        Echo["max_tool_calls"] = body.Int("max_tool_calls", 1, int.MaxValue);
        Echo["parallel_tool_calls"] = Chat.ParallelToolCalls;
        Echo["previous_response_id"] = Previous;
        Echo["prompt_cache_key"] = Label(body, "prompt_cache_key");
        Echo["safety_identifier"] = Label(body, "safety_identifier");
        Echo["user"] = Label(body, "user");
        Echo["reasoning"] = new JsonObject
        {
            ["effort"] = reasoning?.Text("effort"),
            ["summary"] = reasoning?.Choice("summary", "auto", "concise", "detailed") ?? reasoning?.Choice("generate_summary", "auto", "concise", "detailed"),
        };
        body.Choice("service_tier", Tiers);
        Echo["service_tier"] = "default"; // there is one
        Echo["store"] = IsKept;
        Echo["temperature"] = (double)(decimal)Chat.Generation.Sampling.Temperature;
        Echo["top_p"] = (double)(decimal)Chat.Generation.Sampling.TopP;
        Echo["presence_penalty"] = (double)(decimal)Chat.Generation.Sampling.PresencePenalty;
        Echo["frequency_penalty"] = (double)(decimal)Chat.Generation.Sampling.FrequencyPenalty;
        Echo["top_logprobs"] = top ?? 0;
        Echo["text"] = new JsonObject
        {
            ["format"] = format is { } asked ? ChatConversation.NodeOf(asked.Element, asked.Path) : new JsonObject { ["type"] = "text" },
            ["verbosity"] = body.Object("text")?.Choice("verbosity", "low", "medium", "high") ?? "medium",
        };
        Echo["tool_choice"] = body.TryGet(ToolChoice.Field, out JsonElement choice) ? ChatConversation.NodeOf(choice, ToolChoice.Field) : "auto";
        Echo["truncation"] = Truncates ? "auto" : "disabled";
        Echo["metadata"] = ReadMetadata(body);
    }

    private static string? Label(JsonFields body, string name)
    {
        string? text = body.Text(name);
        if (text?.Length > ApiLimits.MaxLabel)
            throw TooLong(body.PathOf(name), ApiLimits.MaxLabel, text.Length);
        return text;
    }

    private static JsonObject ReadMetadata(JsonFields body)
    {
        var pairs = new JsonObject();
        if (body.Object("metadata") is not JsonFields metadata)
            return pairs;
        ChatConversation.NodeOf(metadata.Element, metadata.Path); // names that are no Unicode, or come twice
        foreach (JsonProperty entry in metadata.Element.EnumerateObject())
        {
            string path = metadata.PathOf(ApiException.Shorten(entry.Name));
            if (entry.Name.Length > ApiLimits.MaxMetadataName)
                throw TooLong(path, ApiLimits.MaxMetadataName, entry.Name.Length);
            string value = JsonFields.Text(entry.Value, path);
            if (value.Length > ApiLimits.MaxLabel)
                throw TooLong(path, ApiLimits.MaxLabel, value.Length);
            pairs[entry.Name] = value;
            if (pairs.Count > ApiLimits.MaxMetadata)
                throw ApiException.Invalid("metadata", "object_above_max_properties", $"Invalid 'metadata': too many properties. Expected an object with at most {ApiLimits.MaxMetadata} properties.");
        }

        return pairs;
    }

    private static ApiException TooLong(string path, int most, int length) =>
        ApiException.Invalid(path, "string_above_max_length", $"Invalid '{path}': string too long. Expected a string with maximum length {most}, but got a string with length {length} instead.");

    // Functions stand flat here: their fields beside the type.
    private static List<ToolDefinition> ReadTools(JsonFields body, List<string> strict, JsonObject echo)
    {
        var tools = new List<ToolDefinition>();
        var told = new JsonArray();
        echo["tools"] = told;
        if (body.Array("tools", ApiLimits.MaxTools) is not JsonElement array)
            return tools;
        foreach (JsonElement one in array.EnumerateArray())
        {
            JsonFields tool = JsonFields.Object(one, $"tools[{told.Count}]");
            string type = tool.RequiredText("type");
            if (type == SubagentFields.Name)
            {
                told.Add(ChatConversation.NodeOf(one, tool.Path)); // read with the field of that name
                continue;
            }

            if (type != "function")
                throw ApiException.Unsupported(tool.PathOf("type"), $"Unsupported value: tools of type '{ApiException.Shorten(type)}', which this server does not have. Supported values are: 'function'.");
            string name = ChatConversation.ReadToolName(tool, strict, ApiLimits.MaxToolName, tools);
            JsonNode? schema = tool.Object("parameters") is JsonFields parameters ? ChatConversation.NodeOf(parameters.Element, parameters.Path) : null;
            tools.Add(ToolDefinition.Create(name, tool.Text("description"), schema as JsonObject));
            told.Add(new JsonObject { ["type"] = type, ["name"] = name, ["description"] = tool.Text("description"), ["parameters"] = schema, ["strict"] = strict.Contains(name) });
        }

        return tools;
    }

    // What would change the answer's meaning if it were passed over is refused by name.
    private static void RefuseUnsupported(JsonFields body)
    {
        if (body.TryGet("conversation", out _))
            throw ApiException.Unsupported("conversation", "Unsupported parameter: 'conversation'. Use 'previous_response_id' to go on from a response.");
        if (body.TryGet("prompt", out _))
            throw ApiException.Unsupported("prompt", "Unsupported parameter: 'prompt'. This server keeps no prompt templates; use 'instructions' and 'input'.");
    }
}
