namespace Flint.App.Policy;

/// <summary>A rule of the operator's over texts that are JSON as a whole.</summary>
/// <param name="Name">Names it in records and refusals.</param>
/// <param name="Action"><see cref="RuleAction.Deny"/> refuses what keeps to the schema; of those that allow, one must be kept to.</param>
/// <param name="Schema">The schema.</param>
internal sealed record SchemaRule(string Name, RuleAction Action, TextSchema Schema)
{
    /// <summary>Whether it looks at requests.</summary>
    public bool OnInput { get; init; }

    /// <summary>Whether it looks at answers.</summary>
    public bool OnOutput { get; init; }

    /// <summary>Whether it looks at the arguments of calls, and not at contents.</summary>
    public bool OnArguments { get; init; }

    /// <summary>Functions whose arguments it looks at; none for all.</summary>
    public IReadOnlyList<string> Functions { get; init; } = [];

    /// <summary>Roles of the messages of a request that it looks at; none for all.</summary>
    public IReadOnlyList<string> Roles { get; init; } = [];

    /// <summary>Whether it looks at contents of a role; null for an answer's.</summary>
    public bool CoversContent(string? role) => !OnArguments && Covers(role);

    /// <summary>Whether it looks at the arguments of a function's calls.</summary>
    /// <param name="function">The function.</param>
    /// <param name="role">The role of the message; null for an answer.</param>
    public bool CoversCall(string function, string? role) => OnArguments && Covers(role) && (Functions.Count == 0 || Functions.Contains(function));

    /// <summary>The rule of some that denies a text, and where.</summary>
    /// <param name="rules">Rules that cover it.</param>
    /// <param name="text">The text.</param>
    /// <param name="isAllowed">Whether a rule of another kind allows it.</param>
    /// <returns>Null where none does. Of those that allow in vain, it is the one that was kept to farthest.</returns>
    public static (string Rule, int Position)? Denial(IEnumerable<SchemaRule> rules, string text, bool isAllowed = false)
    {
        (string Rule, int Position)? nearest = null;
        foreach (SchemaRule rule in rules)
        {
            (SchemaVerdict verdict, int position) = rule.Schema.Judge(text);
            if (verdict == SchemaVerdict.Unclear || (rule.Action == RuleAction.Deny && verdict == SchemaVerdict.Keeps))
                return (rule.Name, position);
            if (rule.Action != RuleAction.Allow)
                continue;
            isAllowed |= verdict == SchemaVerdict.Keeps;
            if (nearest is not { } known || position > known.Position)
                nearest = (rule.Name, position);
        }

        return isAllowed ? null : nearest;
    }

    private bool Covers(string? role) => role is null ? OnOutput : OnInput && (Roles.Count == 0 || Roles.Contains(role));
}
