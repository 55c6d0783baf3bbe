namespace Flint.App.Serving;

/// <summary>A conversation as the model reads it.</summary>
/// <param name="Ids">Its tokens.</param>
/// <param name="OpensReasoning">Whether the template leaves it inside the model's thoughts.</param>
/// <param name="Primer">Tokens at its end that stand for the beginning of the answer; null for none.</param>
public readonly record struct ChatPrompt(int[] Ids, bool OpensReasoning, int[]? Primer = null);
