namespace Flint.App.Policy;

/// <summary>A rule of the operator's that has a model judge texts: what it answers to a prompt with the text in it decides.</summary>
/// <param name="Name">Names it in records and refusals.</param>
/// <param name="Model">The model that judges, by the name that requests would have for it.</param>
/// <param name="Prompt">What it is asked, with <see cref="Slot"/> where the text stands.</param>
internal sealed record ClassifierRule(string Name, string Model, string Prompt)
{
    /// <summary>Stands for the text in a prompt.</summary>
    public const string Slot = "{text}";

    /// <summary>The longest window, in UTF-16 units.</summary>
    public const int MaxWindow = 1 << 16;

    /// <summary>The most tokens of an answer.</summary>
    public const int MostTokens = 4096;

    /// <summary>What an answer begins with where the text is denied.</summary>
    public IReadOnlyList<string> Denies { get; init; } = [];

    /// <summary>What an answer begins with where the text may pass. Any other answer is a failure.</summary>
    public IReadOnlyList<string> Allows { get; init; } = [];

    /// <summary>How much is judged at once, in UTF-16 units.</summary>
    public int Window { get; init; } = 2000;

    /// <summary>How much of a window the next one has again: what is no longer than this is judged whole before any of it is told.</summary>
    public int Overlap { get; init; } = 400;

    /// <summary>The most tokens of an answer.</summary>
    public int MaxTokens { get; init; } = 16;

    /// <summary>How long an answer may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Whether a text passes that could not be judged; else it does not.</summary>
    public bool FailsOpen { get; init; }

    /// <summary>Whether it judges requests.</summary>
    public bool OnInput { get; init; }

    /// <summary>Whether it judges answers.</summary>
    public bool OnOutput { get; init; }

    /// <summary>Roles of the messages of a request that it judges; none for all.</summary>
    public IReadOnlyList<string> Roles { get; init; } = [];

    /// <summary>Whether it judges messages of a role.</summary>
    public bool Covers(string role) => Roles.Count == 0 || Roles.Contains(role);

    /// <summary>What an answer means: whether the text is denied, or null where that cannot be told.</summary>
    public bool? Denial(string answer)
    {
        string said = answer.Trim().Trim('"', '\'', '`', '*').TrimStart();
        return Denies.Any(word => Begins(said, word)) ? true : Allows.Any(word => Begins(said, word)) ? false : null;
    }

    private static bool Begins(string text, string word) =>
        text.StartsWith(word, StringComparison.OrdinalIgnoreCase) && (text.Length == word.Length || !char.IsLetterOrDigit(text[word.Length]));
}
