namespace Flint.Grammar;

/// <summary>
/// The values of which exactly one of several schemas holds. Schemas that cannot hold at once, by their types, ranges, values or members, are
/// only put side by side; from another the values of those that might hold beside it are taken away.
/// </summary>
/// <param name="reader">Reads the schemas.</param>
/// <param name="areTextsApart">Whether no string is of both shapes.</param>
internal sealed class ExactlyOne(SchemaReader reader, Func<SchemaShape, SchemaShape, bool> areTextsApart)
{
    private const int MaxDepth = 4; // of members that tell schemas apart
    private const int MaxAlternatives = 64; // of one schema without the others

    private const int MaxCompared = 100_000; // pairs of alternatives

    private readonly Dictionary<(SchemaShape Shape, string Name), List<SchemaShape>?> _members = [];
    private int _compared;

    /// <summary>The alternatives of a value.</summary>
    /// <param name="schemas">The schemas.</param>
    /// <param name="common">What holds besides, in alternatives.</param>
    /// <param name="schema">What the schemas stand in.</param>
    /// <exception cref="FlintException">Caller: a schema cannot be enforced.</exception>
    public List<SchemaShape> Of(IReadOnlyList<SchemaNode> schemas, List<SchemaShape> common, SchemaNode schema)
    {
        List<List<SchemaShape>> held = [.. schemas.Select(one => SchemaReader.Cross(common, reader.Read([one]), schema))];
        var result = new List<SchemaShape>();
        for (int i = 0; i < held.Count; i++)
        {
            List<SchemaShape> alone = held[i];
            for (int k = 0; k < held.Count && alone.Count > 0; k++)
            {
                List<SchemaShape> shared = k == i ? [] : alone.FindAll(one => !held[k].TrueForAll(other => AreDisjoint(one, other, 0)));
                if (shared.Count == 0)
                    continue;
                List<SchemaShape> rest = Without(shared, schemas[k], schema)
                    ?? throw SchemaReader.Unsupported(schema, "oneOf", $"both {schemas[i].Path} and {schemas[k].Path} might hold; 'anyOf' takes either");
                alone = [.. alone.Except(shared), .. rest];
            }

            result.AddRange(alone);
        }

        return result;
    }

    // Null where that cannot be told.
    private List<SchemaShape>? Without(List<SchemaShape> shapes, SchemaNode other, SchemaNode schema)
    {
        try
        {
            List<SchemaShape> result = SchemaReader.Cross(shapes, reader.Read([other.Negated()]), schema);
            return result.Count > MaxAlternatives ? null : result;
        }
        catch (FlintException fault) when (fault.Code is "unsupported_schema" or "grammar_too_complex")
        {
            return null;
        }
    }

    private bool AreDisjoint(SchemaShape one, SchemaShape other, int depth)
    {
        if (++_compared > MaxCompared)
            throw FlintException.Caller("grammar_too_complex", $"The schema's alternatives of 'oneOf' are too many: more than {MaxCompared} pairs of them would have to be compared.");
        if (SchemaShape.Merge(one, other) is not { } both)
            return true;
        JsonTypes types = TypesOf(both);
        if (types.HasFlag(JsonTypes.Object) && !TellMembersApart(one, other, depth))
            return false;
        return (types & (JsonTypes.Null | JsonTypes.Boolean)) == 0
            && ((types & JsonTypes.Number) == 0 || IsEmptyRange(both))
            && (!types.HasFlag(JsonTypes.String) || areTextsApart(one, other))
            && (!types.HasFlag(JsonTypes.Array) || both.MinItems > both.MaxItems);
    }

    private static JsonTypes TypesOf(SchemaShape shape) =>
        shape.Values is null ? shape.Types : shape.Types & shape.Values.Aggregate(JsonTypes.None, (all, value) => all | JsonSchema.TypeOf(value));

    private static bool IsEmptyRange(SchemaShape shape)
    {
        if (shape is not { Least: { } least, Most: { } most })
            return false;
        int order = least.Value.CompareTo(most.Value);
        return order > 0 || (order == 0 && (least.IsExcluded || most.IsExcluded));
    }

    // A member that both must have and that has other values in each, or that one must have and the other cannot.
    private bool TellMembersApart(SchemaShape one, SchemaShape other, int depth)
    {
        if (Math.Max(one.MinMembers, other.MinMembers) > Math.Min(one.MaxMembers, other.MaxMembers))
            return true;
        if (depth == MaxDepth)
            return false;
        foreach (string name in one.Required.Union(other.Required))
        {
            if (MemberOf(one, name) is { } first && MemberOf(other, name) is { } second && first.TrueForAll(x => second.TrueForAll(y => AreDisjoint(x, y, depth + 1))))
                return true;
        }

        return false;
    }

    // What is said of a member at least; null where it cannot be told.
    private List<SchemaShape>? MemberOf(SchemaShape shape, string name)
    {
        if (_members.TryGetValue((shape, name), out List<SchemaShape>? known))
            return known;
        var schemas = new List<SchemaNode>();
        foreach (MemberRules rules in shape.Members)
        {
            int before = schemas.Count;
            schemas.AddRange(rules.Of(name));
            if (schemas.Count == before && rules.Matching.Count == 0 && rules.Others is { } others)
                schemas.Add(others);
        }

        try
        {
            known = reader.Read(schemas);
        }
        catch (FlintException fault) when (fault.Side == FaultSide.Caller)
        {
            known = null; // its fault is told where it is asked for itself
        }

        return _members[(shape, name)] = known;
    }
}
