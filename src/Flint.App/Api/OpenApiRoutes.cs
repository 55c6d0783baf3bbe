namespace Flint.App.Api;

/// <summary>What the OpenAPI document says of a route beside what its mapping tells.</summary>
/// <param name="Method">The method.</param>
/// <param name="Path">The path, its parameters in braces.</param>
/// <param name="Tag">The API it belongs to.</param>
/// <param name="Summary">What it does.</param>
/// <param name="Request">The schema of its body; null for none.</param>
/// <param name="Response">The schema of its answer; null for text.</param>
internal sealed record OpenApiRoute(string Method, string Path, string Tag, string Summary, string? Request, string? Response)
{
    /// <summary>The status of its answer.</summary>
    public int Status { get; init; } = 200;

    /// <summary>The type of its answer as a stream; null where it has none.</summary>
    public string? Stream { get; init; }

    /// <summary>The type of its answer.</summary>
    public string ContentType { get; init; } = "application/json";

    /// <summary>What it reads of the query: names and types.</summary>
    public IReadOnlyList<string> Query { get; init; } = [];

    /// <summary>The schema of its errors.</summary>
    public string Errors => Tag switch { OpenApiRoutes.Anthropic => "AnthropicError", OpenApiRoutes.Ollama => "OllamaError", _ => "OpenAiError" };
}

/// <summary>All routes as the OpenAPI document tells them.</summary>
internal static class OpenApiRoutes
{
    /// <summary>The tags.</summary>
    public const string OpenAi = "OpenAI", Anthropic = "Anthropic", Ollama = "Ollama", Flint = "Flint", Server = "Server", Admin = "Admin";

    private const string Events = "text/event-stream", Lines = "application/x-ndjson";
    private const string Organizations = "/admin/v1/organizations", Keys = "/admin/v1/keys", Prices = "/admin/v1/prices/{model}";

    /// <summary>The routes.</summary>
    public static readonly IReadOnlyList<OpenApiRoute> All =
    [
        new("POST", "/v1/chat/completions", OpenAi, "Answers a conversation.", "ChatCompletionRequest", "ChatCompletion") { Stream = Events },
        new("POST", "/v1/completions", OpenAi, "Continues text or tokens, and scores them.", "CompletionRequest", "Completion") { Stream = Events },
        new("POST", "/v1/embeddings", OpenAi, "Makes vectors of texts or tokens.", "EmbeddingRequest", "EmbeddingList"),
        new("POST", "/v1/responses", OpenAi, "Answers items with items.", "ResponseRequest", "Response") { Stream = Events },
        new("POST", "/v1/responses/input_tokens", OpenAi, "Counts the tokens of a response's prompt.", "ResponseRequest", "InputTokens"),
        new("GET", "/v1/responses/{id}", OpenAi, "Gives back a response that was kept, or listens to one that is running.", null, "Response") { Stream = Events, Query = ["stream boolean", "starting_after integer"] },
        new("DELETE", "/v1/responses/{id}", OpenAi, "Lets go of a response.", null, "Deleted"),
        new("GET", "/v1/responses/{id}/input_items", OpenAi, "Lists the items that a response was asked with.", null, "ItemList") { Query = ["limit integer", "order 'asc'|'desc'", "after string"] },
        new("POST", "/v1/responses/{id}/cancel", OpenAi, "Ends a response in the background.", null, "Response"),
        new("GET", "/v1/models", OpenAi, "Lists the models; with the header anthropic-version in that API's shape.", null, "ModelList"),
        new("GET", "/v1/models/{id}", OpenAi, "Describes a model.", null, "Model"),
        new("GET", MuseProfile.Catalog, OpenAi, "Lists the models as Muse Code reads them.", null, "MuseModelList"),
        new("GET", "/v1/requests", Flint, "Lists the key's requests that are being answered.", null, "RequestList"),
        new("POST", "/v1/requests/{id}/end_thinking", Flint, "Has a model that is thinking answer from what it has.", null, "EndedThinking"),
        new("POST", "/v1/messages", Anthropic, "Answers a conversation.", "MessageRequest", "Message") { Stream = Events },
        new("POST", "/v1/messages/count_tokens", Anthropic, "Counts the tokens of a conversation.", "CountRequest", "MessageTokens"),
        new("GET", "/api/version", Ollama, "Tells the version of the API.", null, "OllamaVersion"),
        new("GET", "/api/tags", Ollama, "Lists the models.", null, "OllamaModels"),
        new("GET", "/api/ps", Ollama, "Lists the models that are loaded: all.", null, "OllamaModels"),
        new("POST", "/api/show", Ollama, "Describes a model.", "OllamaShowRequest", "OllamaModel"),
        new("POST", "/api/chat", Ollama, "Answers a conversation.", "OllamaChatRequest", "OllamaChat") { Stream = Lines },
        new("POST", "/api/generate", Ollama, "Answers a prompt.", "OllamaGenerateRequest", "OllamaGenerated") { Stream = Lines },
        new("POST", "/api/embed", Ollama, "Makes vectors of texts.", "OllamaEmbedRequest", "OllamaEmbeddings"),
        new("POST", "/api/embeddings", Ollama, "Makes a vector of a text.", "OllamaEmbeddingRequest", "OllamaEmbedding"),
        new("GET", "/health", Server, "Whether the process is worth keeping.", null, "Status"),
        new("GET", "/ready", Server, "Whether requests are taken.", null, "Status"),
        new("GET", "/metrics", Server, "Counters and gauges for Prometheus.", null, null) { ContentType = "text/plain" },
        new("GET", OpenApi.Path, Server, "This document.", null, "Document"),
        new("GET", Organizations, Admin, "Lists the organisations.", null, "OrganizationList"),
        new("POST", Organizations, Admin, "Makes an organisation.", "NameRequest", "Organization") { Status = 201 },
        new("GET", Organizations + "/{organization}", Admin, "An organisation and its limits.", null, "Organization"),
        new("PUT", Organizations + "/{organization}/limits", Admin, "Sets limits of an organisation.", "LimitsRequest", "LimitStates"),
        new("GET", Organizations + "/{organization}/projects", Admin, "Lists the projects of an organisation.", null, "ProjectList"),
        new("POST", Organizations + "/{organization}/projects", Admin, "Makes a project.", "NameRequest", "Project") { Status = 201 },
        new("GET", Organizations + "/{organization}/projects/{project}", Admin, "A project and its limits.", null, "Project"),
        new("PUT", Organizations + "/{organization}/projects/{project}/limits", Admin, "Sets limits of a project.", "LimitsRequest", "LimitStates"),
        new("GET", Keys, Admin, "Lists the keys, revoked ones too.", null, "KeyList"),
        new("POST", Keys, Admin, "Makes a key; its secret is told once.", "KeyRequest", "MadeKey") { Status = 201 },
        new("GET", Keys + "/{key}", Admin, "A key, its secrets' beginnings, and its limits.", null, "Key"),
        new("PUT", Keys + "/{key}/limits", Admin, "Sets limits of a key.", "LimitsRequest", "LimitStates"),
        new("PUT", Keys + "/{key}/policy", Admin, "Gives a key a policy, or the server's default.", "PolicyRequest", "Key"),
        new("PUT", Keys + "/{key}/profile", Admin, "Gives a key a profile, or the server's.", "ProfileRequest", "Key"),
        new("PUT", Keys + "/{key}/prompts", Admin, "Has texts of a key's requests and answers kept, or no longer.", "PromptLogging", "Key"),
        new("DELETE", Keys + "/{key}/prompts", Admin, "Deletes the texts and responses kept of a key.", null, "DeletedTexts"),
        new("POST", Keys + "/{key}/rotate", Admin, "Gives a key another secret, told once; the old ones work on for a while.", "RotateRequest", "MadeKey"),
        new("POST", Keys + "/{key}/disable", Admin, "Switches a key off.", null, "Key"),
        new("POST", Keys + "/{key}/enable", Admin, "Switches a key on again.", null, "Key"),
        new("POST", Keys + "/{key}/revoke", Admin, "Ends a key for good.", null, "Key"),
        new("GET", "/admin/v1/prices", Admin, "The price table.", null, "PriceList"),
        new("PUT", Prices, Admin, "Sets a model's price.", "PriceRequest", "Price"),
        new("DELETE", Prices, Admin, "Takes a model out of the price table.", null, "DeletedPrice"),
        new("GET", "/admin/v1/usage", Admin, "What was used, as sums and as records.", null, "Usage")
        {
            Query = ["by 'key'|'project'|'organization'", "since string", "key string", "project string", "organization string", "records integer"],
        },
        new("GET", "/admin/v1/prompts", Admin, "The newest of the texts that are kept, oldest first.", null, "PromptList") { Query = ["key string", "user string", "since string", "limit integer"] },
        new("DELETE", "/admin/v1/users/{user}", Admin, "Deletes the texts and responses kept of a person.", null, "DeletedTexts"),
        new("GET", "/admin/v1/audit/head", Admin, "The present state of the records, to be noted elsewhere.", null, "AuditHead"),
        new("POST", "/admin/v1/audit/verify", Admin, "Whether the records are as they were written.", "AuditRequest", "AuditResult"),
    ];

    /// <summary>What is said of a route.</summary>
    /// <exception cref="FlintException">Nothing is: a bug.</exception>
    public static OpenApiRoute Find(string method, string path) =>
        All.FirstOrDefault(route => route.Method == method && route.Path == path) ?? throw new FlintException(FaultSide.Bug, "undocumented_route", $"The OpenAPI document says nothing of {method} {path}.");
}
