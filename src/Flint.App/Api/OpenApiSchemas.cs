namespace Flint.App.Api;

/// <summary>The bodies of requests and answers in the notation of <see cref="OpenApiSchema"/>.</summary>
internal static class OpenApiSchemas
{
    private static readonly string[] Sampling =
    [
        "temperature number|null", "top_p number|null", "top_k integer|null", "min_p number|null", "typical_p number|null", "frequency_penalty number|null", "presence_penalty number|null",
        "repetition_penalty number|null", "logit_bias {number}|null", "seed integer|null",
    ];

    private static readonly string[] Thinking =
    [
        "mode 'instant'|'thinking'|'contemplating'", "thinking_budget integer|null", "contemplation {any}|null", "subagents any", "deadline_seconds number|null", "include [string]|null",
    ];

    private static readonly string[] Thought = ["mode {any}", "contemplation {any}", "subagents any", "deadline_passed boolean"];

    private static readonly string[] OllamaCounts = ["total_duration integer", "load_duration integer", "prompt_eval_count integer", "prompt_eval_duration integer", "eval_count integer", "eval_duration integer"];

    private static readonly string[] Messages =
    [
        "messages! [AnthropicTurn]", "system string|[{any}]|null", "stop_sequences [string]|null", "tools [{any}]|null", "tool_choice {any}|null", "thinking {any}|null",
        "output_config {any}|null", "grammar string|null", "metadata {any}|null", "service_tier any", "cache_control any", "inference_geo any", "speed any",
        "diagnostics any", "user_profile_id any", "workspace_id any", "context_management any", "betas any", .. Sampling, .. Thinking,
    ];

    private static readonly string[] OwnedLimits =
    [
        "requests_per_minute integer|null", "tokens_per_minute integer|null", "concurrent_requests integer|null", "daily_tokens integer|null", "monthly_tokens integer|null",
        "daily_cost number|string|null", "monthly_cost number|string|null", "weight integer|null",
    ];

    private static readonly string[] KeyFields =
    [
        "name! string", "prefix! string", "project! string", "organization! string", "created! string", "expires! string|null", "disabled! string|null", "revoked! string|null", "scopes! Scopes",
    ];

    /// <summary>Bodies that may have no other fields.</summary>
    public static readonly IReadOnlySet<string> Closed = new HashSet<string>
    {
        "MessageRequest", "CountRequest", "NameRequest", "LimitsRequest", "KeyRequest", "KeyScopes", "PolicyRequest", "RotateRequest", "PriceRequest", "AuditRequest",
        "ProfileRequest", "PromptLogging",
    };

    /// <summary>The schemas, by name.</summary>
    public static readonly IReadOnlyDictionary<string, string[]> All = new Dictionary<string, string[]>
    {
        ["OpenAiError"] = ["error! OpenAiFault"],
        ["OpenAiFault"] = ["message! string", "type! string", "param! string|null", "code! string|null"],
        ["AnthropicError"] = ["type! 'error'", "error! AnthropicFault", "request_id! string|null"],
        ["AnthropicFault"] = ["type! string", "message! string"],
        ["OllamaError"] = ["error! string"],
        ["Status"] = ["status! 'ok'|'ready'|'stopping'|'failed'"],
        ["Document"] = ["openapi! string", "info! {any}", "paths! {any}", "components! {any}"],

        ["ChatCompletionRequest"] =
        [
            "model! string", "messages! [ChatMessage]", "stream boolean|null", "stream_options StreamOptions|null", "n integer|null", "max_tokens integer|null", "max_completion_tokens integer|null",
            "stop string|[string]|null", "ignore_eos boolean|null", "logprobs boolean|null", "top_logprobs integer|null", "tools [Tool]|null", "tool_choice any", "parallel_tool_calls boolean|null",
            "response_format {any}|null", "grammar string|null", "modalities [string]|null", "reasoning_effort string|null", "chat_template_kwargs {any}|null", .. Sampling, .. Thinking,
        ],
        ["ChatMessage"] =
        [
            "role! 'system'|'developer'|'user'|'assistant'|'tool'", "content string|[{any}]|null", "name string|null", "tool_calls [ToolCall]|null", "tool_call_id string|null", "reasoning_content string|null",
        ],
        ["StreamOptions"] = ["include_usage boolean|null"],
        ["Tool"] = ["type! 'function'", "function! Function"],
        ["Function"] = ["name! string", "description string|null", "parameters {any}|null", "strict boolean|null"],
        ["ToolCall"] = ["id string", "type 'function'", "function! CalledFunction"],
        ["CalledFunction"] = ["name! string", "arguments! string"],
        ["ChatCompletion"] =
        [
            "id! string", "object! 'chat.completion'", "created! integer", "model! string", "system_fingerprint! string", "choices! [ChatChoice]", "usage! TokenUsage", .. Thought,
        ],
        ["ChatChoice"] = ["index! integer", "message! ChatAnswer", "logprobs! {any}|null", "finish_reason! 'stop'|'length'|'tool_calls'|'content_filter'"],
        ["ChatAnswer"] = ["role! 'assistant'", "content! string|null", "refusal! null", "reasoning_content string", "tool_calls [ToolCall]"],
        ["TokenUsage"] =
        [
            "prompt_tokens! integer", "completion_tokens! integer", "total_tokens! integer", "prompt_tokens_details! {integer}", "completion_tokens_details! {integer}",
        ],
        ["CompletionRequest"] =
        [
            "model! string", "prompt! string|[string]|[integer]|[[integer]]", "stream boolean|null", "stream_options StreamOptions|null", "n integer|null", "best_of integer|null", "max_tokens integer|null",
            "stop string|[string]|null", "ignore_eos boolean|null", "echo boolean|null", "logprobs integer|null", "suffix string|null", "deadline_seconds number|null", .. Sampling,
        ],
        ["Completion"] = ["id! string", "object! 'text_completion'", "created! integer", "model! string", "system_fingerprint! string", "choices! [CompletionChoice]", "usage! TokenUsage", "deadline_passed boolean"],
        ["CompletionChoice"] = ["text! string", "index! integer", "logprobs! {any}|null", "finish_reason! string|null"],
        ["EmbeddingRequest"] =
        [
            "model! string", "input! string|[string]|[integer]|[[integer]]", "dimensions integer|null", "encoding_format 'float'|'base64'", "pooling 'mean'|'last'",
        ],
        ["EmbeddingList"] = ["object! 'list'", "data! [Embedding]", "model! string", "usage! EmbeddingUsage"],
        ["Embedding"] = ["object! 'embedding'", "index! integer", "embedding! [number]|string"],
        ["EmbeddingUsage"] = ["prompt_tokens! integer", "total_tokens! integer"],
        ["ResponseRequest"] =
        [
            "model! string", "input string|[{any}]|null", "instructions string|null", "stream boolean|null", "stream_options {any}|null", "background boolean|null", "store boolean|null",
            "previous_response_id string|null", "max_output_tokens integer|null", "max_tool_calls integer|null", "truncation 'auto'|'disabled'", "stop string|[string]|null", "ignore_eos boolean|null",
            "top_logprobs integer|null", "tools [{any}]|null", "tool_choice any", "parallel_tool_calls boolean|null", "reasoning {any}|null", "text {any}|null", "grammar string|null",
            "metadata {string}|null", "user string|null", "safety_identifier string|null", "prompt_cache_key string|null", "service_tier string|null", "chat_template_kwargs {any}|null", .. Sampling, .. Thinking,
        ],
        ["Response"] =
        [
            "id! string", "object! 'response'", "created_at! integer", "completed_at! integer|null", "status! 'queued'|'in_progress'|'completed'|'incomplete'|'failed'|'cancelled'", "model! string",
            "output! [{any}]", "error! {any}|null", "incomplete_details! {any}|null", "usage! {any}|null", "background boolean", "instructions string|null", "max_output_tokens integer|null",
            "max_tool_calls integer|null", "parallel_tool_calls boolean", "previous_response_id string|null", "reasoning {any}", "service_tier string", "store boolean", "temperature number", "top_p number",
            "presence_penalty number", "frequency_penalty number", "top_logprobs integer", "text {any}", "tool_choice any", "tools [{any}]", "truncation string", "metadata {string}", "user string|null", "safety_identifier string|null", "prompt_cache_key string|null",
            .. Thought,
        ],
        ["InputTokens"] = ["object! 'response.input_tokens'", "input_tokens! integer"],
        ["Deleted"] = ["id! string", "object! string", "deleted! boolean"],
        ["ItemList"] = ["object! 'list'", "data! [{any}]", "first_id! string|null", "last_id! string|null", "has_more! boolean"],
        ["ModelList"] = ["object! 'list'", "data! [Model]"],
        ["Model"] = ["id! string", "object! 'model'", "created! integer", "owned_by! string", "max_model_len! integer", "parent string"],
        ["MuseModelList"] = ["object! 'list'", "data! [MuseModel]"],
        ["MuseModel"] = ["id! string", "object! 'model'", "created! integer", "owned_by! string", "metadata! {any}"],
        ["RequestList"] = ["object! 'list'", "data! [RunningRequest]"],
        ["RunningRequest"] = ["id! string", "object! 'request'", "endpoint! string", "created! integer"],
        ["EndedThinking"] = ["id! string", "object! 'request'", "ends_thinking! boolean"],

        ["MessageRequest"] = ["model! string", "max_tokens! integer", "stream boolean|null", .. Messages],
        ["CountRequest"] = ["model! string", "max_tokens integer|null", "stream boolean|null", .. Messages],
        ["AnthropicTurn"] = ["role! 'user'|'assistant'", "content! string|[{any}]"],
        ["Message"] =
        [
            "id! string", "type! 'message'", "role! 'assistant'", "model! string", "content! [{any}]", "stop_reason! string|null", "stop_sequence! string|null", "stop_details {any}|null", "container {any}|null",
            "diagnostics {any}|null", "usage! {any}", .. Thought,
        ],
        ["MessageTokens"] = ["input_tokens! integer"],

        ["OllamaVersion"] = ["version! string"],
        ["OllamaModels"] = ["models! [OllamaListed]"],
        ["OllamaListed"] = ["name! string", "model! string", "size! integer", "digest! string", "details! {any}", "modified_at string", "expires_at string", "size_vram integer", "context_length integer"],
        ["OllamaShowRequest"] = ["model! string", "verbose boolean|null"],
        ["OllamaModel"] =
        [
            "modelfile! string", "parameters! string", "template! string", "license! string", "modified_at! string", "details! {any}", "model_info! {any}", "capabilities! [string]",
        ],
        ["OllamaChatRequest"] =
        [
            "model! string", "messages [OllamaMessage]|null", "tools [Tool]|null", "stream boolean|null", "think boolean|string|null", "keep_alive string|number|null", "options {any}|null", "logprobs boolean|null",
            "top_logprobs integer|null", "format any", "grammar string|null", .. Thinking,
        ],
        ["OllamaMessage"] = ["role! string", "content string", "thinking string", "tool_calls [{any}]", "tool_name string"],
        ["OllamaChat"] = ["model! string", "created_at! string", "message! OllamaMessage", "done! boolean", "done_reason string", "logprobs [{any}]", .. OllamaCounts, .. Thought],
        ["OllamaGenerateRequest"] =
        [
            "model! string", "prompt string|null", "system string|null", "raw boolean|null", "stream boolean|null", "think boolean|string|null", "keep_alive string|number|null", "options {any}|null",
            "logprobs boolean|null", "top_logprobs integer|null", "format any", "grammar string|null", .. Thinking,
        ],
        ["OllamaGenerated"] = ["model! string", "created_at! string", "response! string", "thinking string", "done! boolean", "done_reason string", "logprobs [{any}]", .. OllamaCounts, .. Thought],
        ["OllamaEmbedRequest"] = ["model! string", "input string|[string]|[integer]|[[integer]]|null", "truncate boolean|null", "dimensions integer|null", "pooling 'mean'|'last'"],
        ["OllamaEmbeddings"] = ["model! string", "embeddings! [[number]]", "total_duration! integer", "load_duration! integer", "prompt_eval_count! integer"],
        ["OllamaEmbeddingRequest"] = ["model! string", "prompt string|null", "pooling 'mean'|'last'"],
        ["OllamaEmbedding"] = ["embedding! [number]"],

        ["NameRequest"] = ["name! string"],
        ["Organization"] = ["name! string", "created! string", "limits {LimitState}"],
        ["OrganizationList"] = ["object! 'list'", "data! [Organization]"],
        ["Project"] = ["name! string", "organization! string", "created! string", "limits {LimitState}"],
        ["ProjectList"] = ["object! 'list'", "data! [Project]"],
        ["LimitsRequest"] = OwnedLimits,
        ["LimitStates"] = ["limits! {LimitState}"],
        ["LimitState"] = ["limit! number|null", "used! number|null", "reserved! number|null"],
        ["KeyRequest"] = ["name! string", "project string|null", "expires string|null", "scopes KeyScopes|null"],
        ["KeyScopes"] = ["models [string]|null", "routes [string]|null", "modes [string]|null", "tools boolean|null", "addresses [string]|null", "policy string|null", "profile 'open'|'muse'", "prompts PromptLogging|null"],
        ["Scopes"] = ["models! [string]", "routes! [string]", "modes! [string]", "addresses! [string]", "tools! boolean", "policy! string|null", "profile! string|null", "prompts! {any}|null", "admin! boolean"],
        ["Key"] = [.. KeyFields, "secrets [Secret]", "limits {LimitState}"],
        ["MadeKey"] = [.. KeyFields, "secret! string"],
        ["Secret"] = ["prefix! string", "created! string", "expires! string|null"],
        ["KeyList"] = ["object! 'list'", "data! [Key]"],
        ["PolicyRequest"] = ["policy string|null"],
        ["ProfileRequest"] = ["profile string|null"],
        ["PromptLogging"] = ["form 'off'|'hashed'|'redacted'|'full'", "days integer|null"],
        ["KeptPrompt"] =
        [
            "request_id! string", "created! string", "expires! string", "key! string", "project! string", "organization! string", "endpoint! string", "model! string", "form! 'hashed'|'redacted'|'full'",
            "input! any", "output! any",
        ],
        ["PromptList"] = ["object! 'list'", "data! [KeptPrompt]"],
        ["DeletedTexts"] = ["prompts! integer", "responses! integer"],
        ["RotateRequest"] = ["overlap_seconds integer|null"],
        ["PriceRequest"] = ["input! number|string", "cached number|string|null", "output! number|string"],
        ["Price"] = ["model! string", "input! number", "cached! number", "output! number"],
        ["PriceList"] = ["object! 'list'", "data! [Price]"],
        ["DeletedPrice"] = ["model! string", "deleted! boolean"],
        ["Usage"] = ["keys [{any}]", "projects [{any}]", "organizations [{any}]", "records! [{any}]"],
        ["AuditHead"] = ["records! integer", "head! string"],
        ["AuditRequest"] = ["head string|null"],
        ["AuditResult"] = ["records! integer", "head! string", "intact! boolean", "fault! string|null"],
    };
}
