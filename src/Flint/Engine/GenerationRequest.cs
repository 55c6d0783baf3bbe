using Flint.Grammar;
using Flint.Models;

namespace Flint.Engine;

/// <summary>What to generate: a prompt in tokens, when to stop, and how to draw.</summary>
public sealed class GenerationRequest
{
    /// <summary>The most stop strings a request may have.</summary>
    public const int MaxStops = 32;

    /// <summary>The longest a stop string may be, in UTF-8 bytes.</summary>
    public const int MaxStopBytes = 512;

    /// <summary>The most alternatives per token in <see cref="TopLogprobs"/>.</summary>
    public const int MaxTopLogprobs = 20;

    /// <summary>The prompt's token ids, at least one.</summary>
    public required int[] Prompt { get; init; }

    /// <summary>
    /// The most tokens to generate. What does not fit the context is not generated: the sequence then finishes with
    /// <see cref="FinishReason.Length"/>. 0 only computes the prompt, for <see cref="PromptLogprobs"/>.
    /// </summary>
    public int MaxTokens { get; init; } = int.MaxValue;

    /// <summary>How tokens are drawn.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>
    /// Strings that end the text, which does not include them; matched on the text across token borders. A string that is
    /// exactly a special token's text stops at that token.
    /// </summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>Whether to go on past the model's end-of-generation tokens.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>
    /// -1 for no log-probabilities, 0 for those of the chosen tokens, 1 to <see cref="MaxTopLogprobs"/> for that many of the
    /// likeliest alternatives too.
    /// </summary>
    public int TopLogprobs { get; init; } = -1;

    /// <summary>Whether to score the prompt's tokens as well, with the alternatives <see cref="TopLogprobs"/> asks for.</summary>
    public bool PromptLogprobs { get; init; }

    /// <summary>
    /// How the prompt's final hidden states become one, for <see cref="Sequence.PooledState"/>. Asked for alone: with
    /// <see cref="MaxTokens"/> 0 and without <see cref="PromptLogprobs"/>.
    /// </summary>
    public PromptPooling Pooling { get; init; }

    /// <summary>
    /// The confidence that the sequence must keep; null for none. Needs <see cref="TopLogprobs"/> of at least its
    /// <see cref="ConfidenceFloor.Top"/>.
    /// </summary>
    public ConfidenceFloor? Floor { get; init; }

    /// <summary>
    /// What the text must be; null for any. Tokens that end generation come only where it may end, and the sequence ends where nothing
    /// more may follow. It goes with the engine's vocabulary and not with <see cref="IgnoreEos"/>.
    /// </summary>
    public TokenGrammar? Grammar { get; init; }

    /// <summary>How many tokens at the prompt's end are the beginning of the grammar's text.</summary>
    public int GrammarTokens { get; init; }

    /// <summary>How many continuations of the one prompt to generate.</summary>
    public int Samples { get; init; } = 1;

    /// <summary>Whether special tokens appear in the text.</summary>
    public bool ShowSpecial { get; init; }

    /// <summary>Whose it is among those who share the engine.</summary>
    public EngineShare Share { get; init; } = EngineShare.Common;

    /// <summary>The adapter to generate with, one that the engine's model has loaded; null for the model as it is.</summary>
    public ModelAdapter? Adapter { get; init; }

    /// <summary>Prefixes are reused only among requests of one adapter and of equal salt: a tenant kept apart from others.</summary>
    public ulong CacheSalt { get; init; }
}
