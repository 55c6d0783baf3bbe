namespace Flint.App.Serving;

/// <summary>A conversation as the model reads it.</summary>
/// <param name="Ids">Its tokens.</param>
/// <param name="OpensReasoning">Whether it ends inside the model's thoughts.</param>
public readonly record struct ChatPrompt(int[] Ids, bool OpensReasoning);
