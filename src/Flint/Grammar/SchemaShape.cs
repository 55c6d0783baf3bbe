using System.Text.Json;

namespace Flint.Grammar;

/// <summary>The types of JSON's values; numbers apart into whole ones and others.</summary>
[Flags]
internal enum JsonTypes
{
    None = 0,
    Null = 1,
    Boolean = 2,
    Integer = 4,
    Fraction = 8,
    String = 16,
    Array = 32,
    Object = 64,
    Number = Integer | Fraction,
    All = 127,
}

/// <summary>A schema in its document.</summary>
/// <param name="Element">The schema.</param>
/// <param name="Path">Where it stands, for people and to tell it from others.</param>
/// <param name="Base">The address that references in it go out from.</param>
/// <param name="IsNegated">Whether what it does not describe is meant.</param>
internal sealed record SchemaNode(JsonElement Element, string Path, Uri Base, bool IsNegated = false)
{
    /// <summary>Whether it was made of one that is negated.</summary>
    public bool IsMade => Path.Contains("/!", StringComparison.Ordinal);

    /// <summary>Tells it from others.</summary>
    public string Key => IsNegated ? "!" + Path : Path;

    /// <summary>A schema inside it.</summary>
    public SchemaNode Inside(JsonElement element, string name) => new(element, $"{Path}/{name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal)}", Base);

    /// <summary>What is not described by it.</summary>
    public SchemaNode Negated() => this with { IsNegated = !IsNegated };
}

/// <summary>What one schema says about members: those that it names, those whose names match, and all others.</summary>
/// <param name="Named">Members by name.</param>
/// <param name="Matching">Members by a pattern of their names.</param>
/// <param name="Others">All others; null where nothing is said of them.</param>
/// <param name="IsNegation">Whether that is said by what a schema is not, which leaves members unevaluated.</param>
internal sealed record MemberRules(
    IReadOnlyList<(string Name, SchemaNode Schema)> Named, IReadOnlyList<(string Pattern, SchemaNode Schema)> Matching, SchemaNode? Others, bool IsNegation)
{
    private ILookup<string, SchemaNode>? _byName;

    /// <summary>What is said of a member by its name.</summary>
    public IEnumerable<SchemaNode> Of(string name) => (_byName ??= Named.ToLookup(one => one.Name, one => one.Schema))[name];
}

/// <summary>What one schema says about items: the first ones, and all others.</summary>
internal sealed record ItemRules(IReadOnlyList<SchemaNode> First, SchemaNode? Others, bool IsNegation);

/// <summary>A bound of a range.</summary>
internal readonly record struct NumberBound(ExactNumber Value, bool IsExcluded);

/// <summary>Schemas that hold at once, their keywords put together: one conjunction without alternatives.</summary>
internal sealed record SchemaShape
{
    /// <summary>What is allowed of types.</summary>
    public JsonTypes Types { get; init; } = JsonTypes.All;

    /// <summary>The values allowed; null for no list.</summary>
    public IReadOnlyList<JsonElement>? Values { get; init; }

    /// <summary>Values that are not allowed.</summary>
    public IReadOnlyList<JsonElement> Excluded { get; init; } = [];

    /// <summary>The least number.</summary>
    public NumberBound? Least { get; init; }

    /// <summary>The greatest number.</summary>
    public NumberBound? Most { get; init; }

    /// <summary>What numbers are multiples of, and whether they must not be.</summary>
    public IReadOnlyList<(ExactNumber Number, bool IsNegated)> Divisors { get; init; } = [];

    /// <summary>The shortest string.</summary>
    public int MinLength { get; init; }

    /// <summary>The longest string.</summary>
    public int MaxLength { get; init; } = Language.Unlimited;

    /// <summary>Patterns of strings, and whether they must not be found.</summary>
    public IReadOnlyList<(string Pattern, bool IsNegated)> Patterns { get; init; } = [];

    /// <summary>What is said of items.</summary>
    public IReadOnlyList<ItemRules> Items { get; init; } = [];

    /// <summary>The fewest items.</summary>
    public int MinItems { get; init; }

    /// <summary>The most items.</summary>
    public int MaxItems { get; init; } = Language.Unlimited;

    /// <summary>Where it is said that no item comes twice; null where it is not.</summary>
    public string? Unique { get; init; }

    /// <summary>Of which kinds there are items, and how many at least and at most.</summary>
    public IReadOnlyList<(SchemaNode Schema, int Least, int Most)> Contains { get; init; } = [];

    /// <summary>What is said of members.</summary>
    public IReadOnlyList<MemberRules> Members { get; init; } = [];

    /// <summary>Members that must be there.</summary>
    public IReadOnlyList<string> Required { get; init; } = [];

    /// <summary>Members that must be there where another is.</summary>
    public IReadOnlyList<(string Name, string Needed)> Needs { get; init; } = [];

    /// <summary>What names are like.</summary>
    public IReadOnlyList<SchemaNode> Names { get; init; } = [];

    /// <summary>The fewest members.</summary>
    public int MinMembers { get; init; }

    /// <summary>The most members.</summary>
    public int MaxMembers { get; init; } = Language.Unlimited;

    /// <summary>Whether values have to be looked at one by one: more is said than their types and a list of them.</summary>
    public bool SaysMore =>
        Excluded.Count + Divisors.Count + Patterns.Count + Items.Count + Contains.Count + Members.Count + Required.Count + Needs.Count + Names.Count > 0
        || Least is not null || Most is not null || MinLength + MinItems + MinMembers > 0 || Unique is not null
        || Math.Min(MaxLength, Math.Min(MaxItems, MaxMembers)) != Language.Unlimited;

    /// <summary>Says nothing.</summary>
    public static SchemaShape Bare { get; } = new();

    /// <summary>Both at once; null where no value can be.</summary>
    public static SchemaShape? Merge(SchemaShape x, SchemaShape y)
    {
        JsonTypes types = x.Types & y.Types;
        IReadOnlyList<JsonElement>? values = x.Values ?? y.Values;
        if (x.Values is not null && y.Values is not null)
            values = [.. x.Values.Where(one => y.Values.Any(other => JsonElement.DeepEquals(one, other)))];
        if (types == JsonTypes.None || values is { Count: 0 })
            return null;
        return new SchemaShape
        {
            Types = types,
            Values = values,
            Excluded = Join(x.Excluded, y.Excluded),
            Least = Tighter(x.Least, y.Least, sign: 1),
            Most = Tighter(x.Most, y.Most, sign: -1),
            Divisors = Join(x.Divisors, y.Divisors),
            MinLength = Math.Max(x.MinLength, y.MinLength),
            MaxLength = Math.Min(x.MaxLength, y.MaxLength),
            Patterns = Join(x.Patterns, y.Patterns),
            Items = Join(x.Items, y.Items),
            MinItems = Math.Max(x.MinItems, y.MinItems),
            MaxItems = Math.Min(x.MaxItems, y.MaxItems),
            Unique = x.Unique ?? y.Unique,
            Contains = Join(x.Contains, y.Contains),
            Members = Join(x.Members, y.Members),
            Required = [.. x.Required.Union(y.Required)],
            Needs = Join(x.Needs, y.Needs),
            Names = Join(x.Names, y.Names),
            MinMembers = Math.Max(x.MinMembers, y.MinMembers),
            MaxMembers = Math.Min(x.MaxMembers, y.MaxMembers),
        };
    }

    private static IReadOnlyList<T> Join<T>(IReadOnlyList<T> x, IReadOnlyList<T> y) => x.Count == 0 ? y : y.Count == 0 ? x : [.. x, .. y];

    private static NumberBound? Tighter(NumberBound? x, NumberBound? y, int sign)
    {
        if (x is not { } one || y is not { } other)
            return x ?? y;
        int order = one.Value.CompareTo(other.Value) * sign;
        return order > 0 || (order == 0 && one.IsExcluded) ? one : other;
    }
}
