namespace Flint.Engine;

/// <summary>What becomes of a prompt's final hidden states.</summary>
public enum PromptPooling
{
    /// <summary>They are not wanted.</summary>
    None,

    /// <summary>Their mean over all tokens.</summary>
    Mean,

    /// <summary>The last token's.</summary>
    Last,
}
