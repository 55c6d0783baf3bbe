namespace Flint.Dialects;

/// <summary>A call of a function by the assistant.</summary>
/// <param name="Id">What the tool's answer refers to.</param>
/// <param name="Name">The function.</param>
/// <param name="Arguments">Its arguments as JSON text, as the OpenAI API carries them.</param>
public sealed record ToolCall(string Id, string Name, string Arguments);
