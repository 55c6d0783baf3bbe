namespace Flint.Contemplate;

/// <summary>What an exploring agent has of its own: a prompt, an adapter, or both.</summary>
/// <param name="Name">What it is asked beside the others, for the trace; null for nothing.</param>
/// <param name="Prompt">The token ids it goes on from.</param>
/// <param name="Adapter">One of <see cref="ContemplationTask.Adapters"/>; null for the task's own.</param>
public sealed record Viewpoint(string? Name, int[] Prompt, string? Adapter);
