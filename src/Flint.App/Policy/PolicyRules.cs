namespace Flint.App.Policy;

/// <summary>A policy: what requests of the keys that have it, and answers to them, must keep to.</summary>
/// <param name="Name">Its name.</param>
internal sealed record PolicyRules(string Name)
{
    /// <summary>Rules that refuse requests or redact their texts.</summary>
    public IReadOnlyList<TextRule> Input { get; init; } = [];

    /// <summary>Rules of which one must find something in a text of a request; none for no such demand.</summary>
    public IReadOnlyList<TextRule> Allow { get; init; } = [];

    /// <summary>Rules that end answers or redact them.</summary>
    public IReadOnlyList<TextRule> Output { get; init; } = [];

    /// <summary>Rules over texts that are JSON.</summary>
    public IReadOnlyList<SchemaRule> Schemas { get; init; } = [];

    /// <summary>Rules that have a model judge texts.</summary>
    public IReadOnlyList<ClassifierRule> Classifiers { get; init; } = [];

    /// <summary>The mode of chats that say nothing of thinking, by name; null for the model's own way.</summary>
    public string? Mode { get; init; }

    /// <summary>What numbers are kept to.</summary>
    public Bounds Bounds { get; init; } = Bounds.None;

    /// <summary>Whether any rule looks at answers.</summary>
    public bool FiltersOutput => Output.Count > 0 || Schemas.Any(rule => rule.OnOutput) || Classifiers.Any(rule => rule.OnOutput);
}

/// <summary>All policies of a server, by name.</summary>
/// <param name="Named">The policies.</param>
/// <param name="Default">That of keys which name none, and of a server without keys; null for none.</param>
internal sealed record PolicyTable(IReadOnlyDictionary<string, PolicyRules> Named, string? Default)
{
    /// <summary>No policies.</summary>
    public static readonly PolicyTable Empty = new(new Dictionary<string, PolicyRules>(), null);

    /// <summary>What is struck out of texts that keys have kept redacted.</summary>
    public Redactor Redactor { get; init; } = Redactor.Usual;
}

/// <summary>The policies in force, which may be replaced while a server runs; a request keeps those it began with.</summary>
public sealed class Policies
{
    private volatile PolicyTable _table = PolicyTable.Empty;

    /// <summary>Puts other policies into force.</summary>
    internal void Replace(PolicyTable table) => _table = table;

    /// <summary>What is struck out of texts that keys have kept redacted.</summary>
    internal Redactor Redactor => _table.Redactor;

    /// <summary>A policy.</summary>
    /// <param name="name">As a key names it; null for the default.</param>
    /// <param name="rules">The policy; null where there is none to keep to.</param>
    /// <returns>False where there is no policy of that name: nobody knows what its keys must keep to.</returns>
    internal bool TryFind(string? name, out PolicyRules? rules)
    {
        PolicyTable table = _table;
        rules = null;
        name ??= table.Default;
        return name is null || table.Named.TryGetValue(name, out rules);
    }
}
