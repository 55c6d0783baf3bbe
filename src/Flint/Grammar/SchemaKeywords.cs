using System.Text.Json;

namespace Flint.Grammar;

/// <summary>Reads what a schema says by itself, apart from the schemas that it puts together.</summary>
internal sealed class SchemaKeywords(SchemaNode schema)
{
    /// <summary>Keywords of our own, with which negated schemas are told.</summary>
    public const string ExcludedValues = " excluded values", ExcludedPattern = " excluded pattern", ExcludedMultiple = " excluded multiple";

    /// <summary>The type of numbers that are not whole, which negated schemas have.</summary>
    public const string Fraction = " fraction";

    private const int MaxCount = 1 << 20;

    // What formats of numbers say, of OpenAPI.
    private static readonly Dictionary<string, (string Least, string Most)> IntegerFormats = new()
    {
        ["int32"] = ("-2147483648", "2147483647"),
        ["int64"] = ("-9223372036854775808", "9223372036854775807"),
    };

    private static readonly HashSet<string> Assertions =
    [
        "$dynamicRef", "$recursiveRef", "$ref", "additionalItems", "additionalProperties", "allOf", "anyOf", "const", "contains", "dependencies", "dependentRequired",
        "dependentSchemas", "else", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "if", "items", "maxContains", "maxItems", "maxLength", "maxProperties",
        "maximum", "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "not", "oneOf", "pattern", "patternProperties", "prefixItems",
        "properties", "propertyNames", "required", "then", "type", "unevaluatedItems", "unevaluatedProperties", "uniqueItems", ExcludedValues, ExcludedPattern, ExcludedMultiple,
    ];

    private readonly JsonElement _element = schema.Element;

    /// <summary>Keywords of the specifications that say nothing of values.</summary>
    public static HashSet<string> Annotations { get; } =
    [
        "$anchor", "$comment", "$defs", "$dynamicAnchor", "$id", "$recursiveAnchor", "$schema", "$vocabulary", "contentEncoding", "contentMediaType", "contentSchema",
        "default", "definitions", "deprecated", "description", "examples", "readOnly", "title", "writeOnly",
    ];

    /// <summary>Whether the specifications have a keyword.</summary>
    public static bool IsKnown(string keyword) => Assertions.Contains(keyword);

    /// <summary>What is said; null where no value can be.</summary>
    public SchemaShape? Read()
    {
        foreach (string name in (string[])["$dynamicRef", "$recursiveRef"])
        {
            if (_element.TryGetProperty(name, out _))
                throw SchemaReader.Unsupported(schema, name);
        }

        SchemaShape shape = SchemaShape.Bare with
        {
            Types = ReadTypes(),
            Values = _element.TryGetProperty("const", out JsonElement value) ? [value] : null,
            Excluded = ReadValues(ExcludedValues) ?? [],
            Least = Tightest(Bound("minimum", "exclusiveMinimum"), Exclusive("exclusiveMinimum"), 1),
            Most = Tightest(Bound("maximum", "exclusiveMaximum"), Exclusive("exclusiveMaximum"), -1),
            Divisors = ReadDivisors(),
            MinLength = Count("minLength") ?? 0,
            MaxLength = Count("maxLength") ?? Language.Unlimited,
            Patterns = ReadPatterns(),
            MinItems = Count("minItems") ?? 0,
            MaxItems = Count("maxItems") ?? Language.Unlimited,
            Contains = ReadContains(),
            Unique = _element.TryGetProperty("uniqueItems", out JsonElement unique) && unique.ValueKind == JsonValueKind.True ? schema.Path : null,
            MinMembers = Count("minProperties") ?? 0,
            MaxMembers = Count("maxProperties") ?? Language.Unlimited,
            Items = ReadItems() is { } items ? [items] : [],
            Members = ReadMembers() is { } members ? [members] : [],
            Required = ReadNames("required", _element),
            Needs = ReadNeeds(),
            Names = _element.TryGetProperty("propertyNames", out JsonElement names) ? [SchemaDocument.Inside(schema, names, "propertyNames")] : [],
        };
        if (ReadValues("enum") is { } list)
            return SchemaShape.Merge(shape, SchemaShape.Bare with { Values = list });
        return ReadFormat(shape);
    }

    /// <summary>What <c>unevaluatedProperties</c> and <c>unevaluatedItems</c> add to all else that the schema says; null where no value can be.</summary>
    public SchemaShape? Close(SchemaShape shape)
    {
        MemberRules[] members = [.. shape.Members.Where(rules => !rules.IsNegation)];
        if (_element.TryGetProperty("unevaluatedProperties", out JsonElement others) && others.ValueKind != JsonValueKind.True && !Array.Exists(members, rules => rules.Others is not null))
        {
            SchemaNode any = Anything("unevaluatedProperties");
            shape = shape with
            {
                Members =
                [
                    .. shape.Members,
                    new MemberRules(
                        [.. members.SelectMany(rules => rules.Named).Select(one => (one.Name, any)).DistinctBy(one => one.Name)],
                        [.. members.SelectMany(rules => rules.Matching).Select(one => (one.Pattern, any)).DistinctBy(one => one.Pattern)],
                        SchemaDocument.Inside(schema, others, "unevaluatedProperties"), schema.IsMade),
                ],
            };
        }

        ItemRules[] items = [.. shape.Items.Where(rules => !rules.IsNegation)];
        if (shape.Contains.Count > 0 && _element.TryGetProperty("unevaluatedItems", out _))
            throw SchemaReader.Unsupported(schema, "unevaluatedItems", "it stands beside 'contains'");
        if (_element.TryGetProperty("unevaluatedItems", out JsonElement rest) && rest.ValueKind != JsonValueKind.True && !Array.Exists(items, rules => rules.Others is not null))
        {
            int first = items.Select(rules => rules.First.Count).DefaultIfEmpty(0).Max();
            shape = shape with
            {
                Items = [.. shape.Items, new ItemRules([.. Enumerable.Repeat(Anything("unevaluatedItems"), first)], SchemaDocument.Inside(schema, rest, "unevaluatedItems"), schema.IsMade)],
            };
        }

        return shape;
    }

    private SchemaNode Anything(string keyword) => SchemaDocument.Inside(schema, JsonDocument.Parse("true").RootElement, keyword, "anything");

    private FlintException Invalid(string keyword, string expected) =>
        FlintException.Caller("invalid_schema", $"The schema's keyword '{keyword}' at {schema.Path} is {expected}.");

    private JsonTypes ReadTypes()
    {
        if (!_element.TryGetProperty("type", out JsonElement type))
            return JsonTypes.All;
        if (type.ValueKind == JsonValueKind.String)
            return TypeOf(type);
        if (type.ValueKind != JsonValueKind.Array)
            throw Invalid("type", "a name or an array of names");
        return type.EnumerateArray().Aggregate(JsonTypes.None, (all, one) => all | TypeOf(one));
    }

    private JsonTypes TypeOf(JsonElement name) => (name.ValueKind == JsonValueKind.String ? name.GetString() : null) switch
    {
        "null" => JsonTypes.Null,
        "boolean" => JsonTypes.Boolean,
        "integer" => JsonTypes.Integer,
        "number" => JsonTypes.Number,
        Fraction => JsonTypes.Fraction,
        "string" => JsonTypes.String,
        "array" => JsonTypes.Array,
        "object" => JsonTypes.Object,
        _ => throw Invalid("type", "one of 'null', 'boolean', 'integer', 'number', 'string', 'array' and 'object'"),
    };

    private List<JsonElement>? ReadValues(string keyword)
    {
        if (!_element.TryGetProperty(keyword, out JsonElement list))
            return null;
        return list.ValueKind == JsonValueKind.Array ? [.. list.EnumerateArray()] : throw Invalid(keyword, "an array");
    }

    private int? Count(string keyword)
    {
        if (!_element.TryGetProperty(keyword, out JsonElement value))
            return null;
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double count) || count < 0 || count != Math.Floor(count))
            throw Invalid(keyword, "a whole number of at least 0");
        if (count > MaxCount)
            return keyword.StartsWith("max", StringComparison.Ordinal) ? Language.Unlimited : throw SchemaReader.Unsupported(schema, keyword, $"it is above {MaxCount}");
        return (int)count;
    }

    private ExactNumber? Number(string keyword)
    {
        if (!_element.TryGetProperty(keyword, out JsonElement value))
            return null;
        if (value.ValueKind != JsonValueKind.Number)
            throw Invalid(keyword, "a number");
        return ExactNumber.Read(value.GetRawText()) ?? throw SchemaReader.Unsupported(schema, keyword, "the number has too many digits");
    }

    private List<(ExactNumber, bool)> ReadDivisors()
    {
        var divisors = new List<(ExactNumber, bool)>();
        foreach (string keyword in (string[])["multipleOf", ExcludedMultiple])
        {
            if (Number(keyword) is { } divisor)
                divisors.Add((divisor.Digits.Sign > 0 ? divisor : throw Invalid("multipleOf", "a number above 0"), keyword == ExcludedMultiple));
        }

        return divisors;
    }

    // In draft 4 exclusiveMinimum is a flag beside minimum.
    private NumberBound? Bound(string keyword, string flag) => Number(keyword) is { } value
        ? new NumberBound(value, _element.TryGetProperty(flag, out JsonElement excluded) && excluded.ValueKind == JsonValueKind.True) : null;

    private NumberBound? Exclusive(string keyword) =>
        _element.TryGetProperty(keyword, out JsonElement value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? null : Number(keyword) is { } bound ? new NumberBound(bound, true) : null;

    private static NumberBound? Tightest(NumberBound? x, NumberBound? y, int sign) =>
        x is not { } one || y is not { } other ? x ?? y : one.Value.CompareTo(other.Value) * sign > 0 ? one : other;

    private List<(string Pattern, bool IsNegated)> ReadPatterns()
    {
        var patterns = new List<(string, bool)>();
        foreach (string keyword in (string[])["pattern", ExcludedPattern])
        {
            if (_element.TryGetProperty(keyword, out JsonElement pattern))
                patterns.Add((pattern.ValueKind == JsonValueKind.String ? pattern.GetString()! : throw Invalid(keyword, "a string"), keyword == ExcludedPattern));
        }

        return patterns;
    }

    // A format says something of strings only, but for OpenAPI's of integers; those that no specification has are names for people.
    private SchemaShape? ReadFormat(SchemaShape shape)
    {
        if (!_element.TryGetProperty("format", out JsonElement named))
            return shape;
        string format = named.ValueKind == JsonValueKind.String ? named.GetString()! : throw Invalid("format", "a string");
        if (IntegerFormats.TryGetValue(format, out (string Least, string Most) range))
        {
            return SchemaShape.Merge(shape, SchemaShape.Bare with
            {
                Least = new NumberBound(ExactNumber.Read(range.Least)!.Value, false),
                Most = new NumberBound(ExactNumber.Read(range.Most)!.Value, false),
            });
        }

        if ((shape.Types & JsonTypes.String) == 0)
            return shape;
        if (StringFormats.Find(format) is not { } pattern)
            return StringFormats.IsSpecified(format) ? throw SchemaReader.Unsupported(schema, "format", $"'{format}' is none of {string.Join(", ", StringFormats.Names)}") : shape;
        return shape with { Patterns = [.. shape.Patterns, (pattern, false)], MaxLength = Math.Min(shape.MaxLength, StringFormats.MostOf(format)) };
    }

    private ItemRules? ReadItems()
    {
        var first = new List<SchemaNode>();
        SchemaNode? others = null;
        bool has = _element.TryGetProperty("items", out JsonElement items);
        if (_element.TryGetProperty("prefixItems", out JsonElement prefix))
            AddItems(first, prefix, "prefixItems");
        if (has && items.ValueKind == JsonValueKind.Array)
        {
            AddItems(first, items, "items");
            if (_element.TryGetProperty("additionalItems", out JsonElement more))
                others = SchemaDocument.Inside(schema, more, "additionalItems");
        }
        else if (has)
        {
            others = SchemaDocument.Inside(schema, items, "items");
        }

        return first.Count == 0 && others is null ? null : new ItemRules(first, others, schema.IsMade);
    }

    private List<(SchemaNode, int, int)> ReadContains()
    {
        int least = Count("minContains") ?? 1, most = Count("maxContains") ?? Language.Unlimited;
        return _element.TryGetProperty("contains", out JsonElement kind) && (least > 0 || most != Language.Unlimited)
            ? [(SchemaDocument.Inside(schema, kind, "contains"), least, most)] : [];
    }

    private void AddItems(List<SchemaNode> into, JsonElement list, string keyword)
    {
        if (list.ValueKind != JsonValueKind.Array)
            throw Invalid(keyword, "an array of schemas");
        foreach (JsonElement one in list.EnumerateArray())
            into.Add(SchemaDocument.Inside(schema, one, keyword, $"{into.Count}"));
    }

    private MemberRules? ReadMembers()
    {
        var named = new List<(string, SchemaNode)>();
        var matching = new List<(string, SchemaNode)>();
        if (_element.TryGetProperty("properties", out JsonElement properties))
        {
            foreach (JsonProperty one in Map(properties, "properties"))
                named.Add((one.Name, SchemaDocument.Inside(schema, one.Value, "properties", one.Name)));
        }

        if (_element.TryGetProperty("patternProperties", out JsonElement patterns))
        {
            foreach (JsonProperty one in Map(patterns, "patternProperties"))
                matching.Add((one.Name, SchemaDocument.Inside(schema, one.Value, "patternProperties", one.Name)));
        }

        SchemaNode? others = _element.TryGetProperty("additionalProperties", out JsonElement additional) ? SchemaDocument.Inside(schema, additional, "additionalProperties") : null;
        return named.Count + matching.Count == 0 && others is null ? null : new MemberRules(named, matching, others, schema.IsMade);
    }

    private IEnumerable<JsonProperty> Map(JsonElement map, string keyword) =>
        map.ValueKind == JsonValueKind.Object ? map.EnumerateObject().DistinctBy(one => one.Name) : throw Invalid(keyword, "an object");

    private List<string> ReadNames(string keyword, JsonElement holder)
    {
        if (!holder.TryGetProperty(keyword, out JsonElement list))
            return [];
        if (list.ValueKind != JsonValueKind.Array || list.EnumerateArray().Any(one => one.ValueKind != JsonValueKind.String))
            throw Invalid(keyword, "an array of strings");
        return [.. list.EnumerateArray().Select(one => one.GetString()!).Distinct()];
    }

    private List<(string Name, string Needed)> ReadNeeds()
    {
        var needs = new List<(string, string)>();
        foreach (string keyword in (string[])["dependentRequired", "dependencies"])
        {
            if (!_element.TryGetProperty(keyword, out JsonElement map))
                continue;
            foreach (JsonProperty entry in Map(map, keyword).Where(entry => entry.Value.ValueKind == JsonValueKind.Array))
                needs.AddRange(ReadNames(entry.Name, map).Select(needed => (entry.Name, needed)));
        }

        return needs;
    }
}
