using System.Text;
using Flint.Grammar;

namespace Flint.Dialects;

/// <summary>What an answer is held to.</summary>
public enum ResponseFormatKind
{
    /// <summary>Any JSON object.</summary>
    JsonObject,

    /// <summary>A value of a JSON schema.</summary>
    JsonSchema,

    /// <summary>A text of a grammar in llama.cpp's language.</summary>
    Grammar,
}

/// <summary>What an answer is held to.</summary>
/// <param name="Kind">How that is said.</param>
/// <param name="Text">The schema as JSON, or the grammar; nothing for any object.</param>
public sealed record ResponseFormat(ResponseFormatKind Kind, string Text = "");

/// <summary>What a response must be, in whichever chat format it is written.</summary>
public sealed record ResponseRules
{
    /// <summary>What the answer is held to; null for any text. Calls are not held to it.</summary>
    public ResponseFormat? Format { get; init; }

    /// <summary>The functions offered.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Names of functions whose arguments must be of their schema.</summary>
    public IReadOnlyList<string> Strict { get; init; } = [];

    /// <summary>Whether the response must be a call.</summary>
    public bool ForcesCall { get; init; }

    /// <summary>The function that must be called, where it is a certain one; null for any.</summary>
    public string? ForcedTool { get; init; }

    /// <summary>Whether there may be several calls.</summary>
    public bool AllowsSeveralCalls { get; init; } = true;

    /// <summary>Whether the prompt ends inside the model's thoughts.</summary>
    public bool StartsInReasoning { get; init; }

    /// <summary>Whether the response begins behind the model's thoughts, and has no others.</summary>
    public bool ThoughtsAreOver { get; init; }

    /// <summary>Whether the response is text without a chat format.</summary>
    public bool IsRaw { get; init; }

    /// <summary>Whether anything is asked of the response at all.</summary>
    public bool IsEmpty => Format is null && Strict.Count == 0 && !ForcesCall;

    /// <summary>Equal for rules that mean the same.</summary>
    public string Key()
    {
        var key = new StringBuilder($"{Format?.Kind}\n{ForcesCall} {ForcedTool} {AllowsSeveralCalls} {StartsInReasoning} {ThoughtsAreOver} {IsRaw} {string.Join(' ', Strict)}\n{Format?.Text}");
        foreach (ToolDefinition tool in Tools)
            key.Append('\n').Append(tool.Name).Append(' ').Append(tool.Parameters?.ToJsonString());
        return key.ToString();
    }
}
