using Flint.App.Serving;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>What is asked of a model in one turn of a chat, in whichever API's words it came.</summary>
internal sealed record ChatRequest
{
    /// <summary>What chat and plain completions share.</summary>
    public required GenerationFields Generation { get; init; }

    /// <summary>The conversation and the tools.</summary>
    public required ChatConversation Conversation { get; init; }

    /// <summary>The most tokens to generate, reasoning included.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>How to contemplate, where that is the mode.</summary>
    public required ContemplationFields Contemplation { get; init; }

    /// <summary>Alternatives per token; -1 for no log-probabilities.</summary>
    public int TopLogprobs { get; init; } = -1;

    /// <summary>What the answer is held to; null for any text.</summary>
    public FormatFields? Format { get; init; }

    /// <summary>Whether one answer may call several tools.</summary>
    public bool ParallelToolCalls { get; init; } = true;

    /// <summary>What the ids of calls begin with.</summary>
    public string CallPrefix { get; init; } = "call_";

    /// <summary>How hard to think; null for the model's own way.</summary>
    public string? Effort { get; init; }

    /// <summary>The mode that the field of this name asks for; null where it is absent.</summary>
    public ReasoningMode? Mode { get; init; }

    /// <summary>The mode that the effort stands for; null where that is a mere effort, or absent.</summary>
    public ReasoningMode? EffortMode { get; init; }

    /// <summary>The most tokens of thoughts; null for no limit of their own.</summary>
    public int? ThinkingBudget { get; init; }

    /// <summary>Whether the caller is told no thoughts.</summary>
    public bool HidesReasoning { get; init; }

    /// <summary>Whether the answer tells the mode: where the caller shows to know of modes.</summary>
    public bool TellsMode { get; init; }

    /// <summary>Whether the answer comes with the tree of its contemplation.</summary>
    public bool TellsContemplation { get; init; }

    /// <summary>How far the model may hand work to sub-agents; null where it is not offered to.</summary>
    public SubagentOptions? Subagents { get; init; }

    /// <summary>Whether the answer comes with the tree of its sub-agents.</summary>
    public bool TellsSubagents { get; init; }

    /// <summary>The caller's own variables for the model's chat template.</summary>
    public IReadOnlyDictionary<string, object?> TemplateVariables { get; init; } = new Dictionary<string, object?>();

    /// <summary>The mode asked for: by its field, else in the model's name, else by the effort; null where the request names none.</summary>
    public ReasoningMode? ModeOf(ReasoningMode? byName) => Mode ?? byName ?? EffortMode;

    /// <summary>
    /// The request where the mode asked for goes before the API's own words for thinking, which know no contemplating: a limit of thoughts
    /// then is one of each agent's tokens.
    /// </summary>
    public ChatRequest Under(ReasoningMode? mode) => mode switch
    {
        null => this,
        ReasoningMode.Contemplating => this with
        {
            Mode = mode,
            HidesReasoning = false,
            ThinkingBudget = null,
            Contemplation = ThinkingBudget is int budget and > 0 ? Contemplation with { Options = Contemplation.Options with { AgentTokens = budget } } : Contemplation,
        },
        _ => this with
        {
            Mode = mode,
            HidesReasoning = HidesReasoning && mode == ReasoningMode.Instant,
            ThinkingBudget = ThinkingBudget == 0 ? null : ThinkingBudget,
        },
    };
}
