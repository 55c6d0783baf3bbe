using System.Text.Json.Nodes;

namespace Flint.Dialects;

/// <summary>One message of a conversation, in the terms of the OpenAI chat API.</summary>
public sealed class ChatMessage
{
    /// <summary><c>system</c>, <c>developer</c>, <c>user</c>, <c>assistant</c> or <c>tool</c>.</summary>
    public required string Role { get; init; }

    /// <summary>The text; null when there is none, or when <see cref="Parts"/> has it.</summary>
    public string? Content { get; init; }

    /// <summary>The content in parts, where the message came so.</summary>
    public IReadOnlyList<ContentPart>? Parts { get; init; }

    /// <summary>The assistant's thoughts of an earlier turn, where the client sends them back.</summary>
    public string? ReasoningContent { get; init; }

    /// <summary>The calls an assistant's message makes.</summary>
    public IReadOnlyList<ToolCall>? ToolCalls { get; init; }

    /// <summary>In a tool's message, the call that it answers.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>The name of the speaker or of the tool.</summary>
    public string? Name { get; init; }

    /// <summary>Further fields that a template may know, such as <c>recipient</c>; they do not replace the ones above.</summary>
    public IReadOnlyDictionary<string, JsonNode?>? Extra { get; init; }
}

/// <summary>A part of a message's content.</summary>
/// <param name="Type"><c>text</c>, <c>image</c>, <c>video</c> or <c>audio</c>.</param>
/// <param name="Text">The text of a text part.</param>
public sealed record ContentPart(string Type, string? Text = null)
{
    /// <summary>A part of text.</summary>
    public static ContentPart OfText(string text) => new("text", text);
}
