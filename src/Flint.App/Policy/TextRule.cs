namespace Flint.App.Policy;

/// <summary>What a rule does where it finds something.</summary>
internal enum RuleAction
{
    /// <summary>Ends the answer before it, or refuses the request.</summary>
    Deny,

    /// <summary>Puts another text in its place.</summary>
    Redact,

    /// <summary>Lets a text of a request pass: where there are such rules, one must find something.</summary>
    Allow,
}

/// <summary>A rule of the operator's.</summary>
/// <param name="Name">Names it in records and refusals.</param>
/// <param name="Action">What it does.</param>
/// <param name="Matcher">What it looks for.</param>
internal sealed record TextRule(string Name, RuleAction Action, TextMatcher Matcher)
{
    /// <summary>What stands in the place of what was redacted, where a rule does not say.</summary>
    public const string DefaultReplacement = "[redacted]";

    /// <summary>What stands in the place of what is redacted.</summary>
    public string Replacement { get; init; } = DefaultReplacement;

    /// <summary>Roles of the messages of a request that it looks at; none for all.</summary>
    public IReadOnlyList<string> Roles { get; init; } = [];

    /// <summary>Whether it looks at messages of a role.</summary>
    public bool Covers(string role) => Roles.Count == 0 || Roles.Contains(role);
}

/// <summary>What a rule decided about a text.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Denies">Whether the text ends there.</param>
/// <param name="Position">Where, in UTF-16 units from the text's beginning.</param>
internal readonly record struct RuleDecision(TextRule Rule, bool Denies, int Position);
