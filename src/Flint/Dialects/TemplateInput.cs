namespace Flint.Dialects;

/// <summary>What a chat template is rendered with.</summary>
public sealed class TemplateInput
{
    /// <summary>The conversation.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>The functions offered; templates see none when empty.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Whether the prompt ends where the assistant is to begin.</summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>The text of the token that begins a sequence; undefined in the template when null.</summary>
    public string? BosToken { get; init; }

    /// <summary>The text of the token that ends a sequence; undefined in the template when null.</summary>
    public string? EosToken { get; init; }

    /// <summary>Further variables, such as <c>enable_thinking</c>: null, booleans, numbers, strings, JSON nodes, lists or dictionaries of these.</summary>
    public IReadOnlyDictionary<string, object?> Extra { get; init; } = new Dictionary<string, object?>();

    /// <summary>The time that <c>strftime_now</c> tells.</summary>
    public DateTimeOffset Now { get; init; }

    /// <summary>The same with other messages.</summary>
    public TemplateInput With(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt = true) => Copy(messages, Tools, addGenerationPrompt);

    /// <summary>The same with other functions.</summary>
    public TemplateInput Offering(IReadOnlyList<ToolDefinition> tools) => Copy(Messages, tools, AddGenerationPrompt);

    private TemplateInput Copy(IReadOnlyList<ChatMessage> messages, IReadOnlyList<ToolDefinition> tools, bool addGenerationPrompt) => new()
    {
        Messages = messages,
        Tools = tools,
        AddGenerationPrompt = addGenerationPrompt,
        BosToken = BosToken,
        EosToken = EosToken,
        Extra = Extra,
        Now = Now,
    };
}
