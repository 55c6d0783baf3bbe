using System.Text.Json;

namespace Flint.Grammar;

/// <summary>What a schema does not describe, as alternatives of schemas, for the keywords of which that can be said.</summary>
internal sealed class SchemaNegation(SchemaDocument document)
{
    private const string Place = "\u0001"; // of a schema in JSON, which has no such character

    /// <summary>Objects without a member, and all that are no objects.</summary>
    public static SchemaShape Without(SchemaNode schema, string name) => SchemaShape.Bare with { Members = [new MemberRules([(name, Never(schema))], [], null, IsNegation: true)] };

    /// <summary>The alternatives of a negated schema; each is a list of schemas that hold at once.</summary>
    /// <exception cref="FlintException">Caller: a keyword of it cannot be negated.</exception>
    public IEnumerable<IReadOnlyList<SchemaNode>> Read(SchemaNode negated)
    {
        SchemaNode schema = negated.Negated();
        if (schema.Element.ValueKind is JsonValueKind.True or JsonValueKind.False)
            return schema.Element.ValueKind == JsonValueKind.True ? [] : [[Always(schema)]];
        if (schema.Element.ValueKind != JsonValueKind.Object)
            throw FlintException.Caller("invalid_schema", $"The schema at {schema.Path} is neither an object nor a boolean.");
        var alternatives = new List<IReadOnlyList<SchemaNode>>();
        foreach (JsonProperty keyword in schema.Element.EnumerateObject())
        {
            if (SchemaKeywords.Annotations.Contains(keyword.Name) || !SchemaKeywords.IsKnown(keyword.Name))
                continue;
            alternatives.AddRange(Read(schema, keyword));
        }

        return alternatives;
    }

    private IEnumerable<IReadOnlyList<SchemaNode>> Read(SchemaNode schema, JsonProperty keyword)
    {
        JsonElement value = keyword.Value;
        switch (keyword.Name)
        {
            case "$ref" when value.ValueKind == JsonValueKind.String:
                return [[document.Find(schema, value.GetString()!).Negated()]];
            case "not":
                return [[Unseen(SchemaDocument.Inside(schema, value, "not"))]];
            case "allOf":
                return Each(schema, keyword).Select(one => (IReadOnlyList<SchemaNode>)[one.Negated()]);
            case "anyOf":
                return [[.. Each(schema, keyword).Select(one => one.Negated())]];
            case "oneOf":
                return NotOne([.. Each(schema, keyword)]);
            case "type":
                return [[Made(schema, $$"""{"type": {{TypesBut(value)}} }""")]];
            case "const":
                return [[Made(schema, $$"""{"{{SchemaKeywords.ExcludedValues}}": [{{value.GetRawText()}}]}""")]];
            case "enum":
                return [[Made(schema, $$"""{"{{SchemaKeywords.ExcludedValues}}": {{value.GetRawText()}} }""")]];
            case "pattern":
                return [[Made(schema, $$"""{"type": "string", "{{SchemaKeywords.ExcludedPattern}}": {{value.GetRawText()}} }""")]];
            case "format" when value.ValueKind == JsonValueKind.String && StringFormats.IsWhole(value.GetString()!):
                return [[Made(schema, $$"""{"type": "string", "{{SchemaKeywords.ExcludedPattern}}": {{JsonSerializer.Serialize(StringFormats.Find(value.GetString()!))}} }""")]];
            case "format" when value.ValueKind == JsonValueKind.String && !StringFormats.IsSpecified(value.GetString()!):
                return [];
            case "minLength" when value.TryGetInt32(out int least):
                return least == 0 ? [] : [[Made(schema, $$"""{"type": "string", "maxLength": {{least - 1}} }""")]];
            case "maxLength" when value.TryGetInt32(out int most):
                return [[Made(schema, $$"""{"type": "string", "minLength": {{most + 1}} }""")]];
            case "minItems" when value.TryGetInt32(out int least):
                return least == 0 ? [] : [[Made(schema, $$"""{"type": "array", "maxItems": {{least - 1}} }""")]];
            case "maxItems" when value.TryGetInt32(out int most):
                return [[Made(schema, $$"""{"type": "array", "minItems": {{most + 1}} }""")]];
            case "items" when value.ValueKind != JsonValueKind.Array && !schema.Element.TryGetProperty("prefixItems", out _):
                return [[Made(schema, """{"type": "array"}"""), Inner(schema, $$"""{"contains": {"not": {{Place}} } }""", SchemaDocument.Inside(schema, value, "items"))]];
            case "contains" when !schema.Element.TryGetProperty("minContains", out _) && !schema.Element.TryGetProperty("maxContains", out _):
                return [[Made(schema, """{"type": "array"}"""), Inner(schema, $$"""{"items": {"not": {{Place}} } }""", SchemaDocument.Inside(schema, value, "contains"))]];
            case "minimum" when value.ValueKind == JsonValueKind.Number:
                return [[Made(schema, $$"""{"type": "number", "exclusiveMaximum": {{value.GetRawText()}} }""")]];
            case "maximum" when value.ValueKind == JsonValueKind.Number:
                return [[Made(schema, $$"""{"type": "number", "exclusiveMinimum": {{value.GetRawText()}} }""")]];
            case "exclusiveMinimum" when value.ValueKind == JsonValueKind.Number:
                return [[Made(schema, $$"""{"type": "number", "maximum": {{value.GetRawText()}} }""")]];
            case "exclusiveMaximum" when value.ValueKind == JsonValueKind.Number:
                return [[Made(schema, $$"""{"type": "number", "minimum": {{value.GetRawText()}} }""")]];
            case "multipleOf" when value.ValueKind == JsonValueKind.Number:
                return [[Made(schema, $$"""{"type": "number", "{{SchemaKeywords.ExcludedMultiple}}": {{value.GetRawText()}} }""")]];
            case "minProperties" when value.TryGetInt32(out int least):
                return least == 0 ? [] : [[Made(schema, $$"""{"type": "object", "maxProperties": {{least - 1}} }""")]];
            case "maxProperties" when value.TryGetInt32(out int most):
                return [[Made(schema, $$"""{"type": "object", "minProperties": {{most + 1}} }""")]];
            case "required" when value.ValueKind == JsonValueKind.Array:
                return value.EnumerateArray().Select(name => (IReadOnlyList<SchemaNode>)
                    [Made(schema, $$"""{"type": "object", "properties": { {{name.GetRawText()}}: false} }""")]);
            case "properties" when value.ValueKind == JsonValueKind.Object:
                return value.EnumerateObject().Select(member => (IReadOnlyList<SchemaNode>)
                    [Made(schema, $$"""{"type": "object", "required": [{{JsonSerializer.Serialize(member.Name)}}]}"""), Member(schema, member)]);
            default:
                throw SchemaReader.Unsupported(schema, keyword.Name, "it stands under 'not' or 'if'");
        }
    }

    // A schema with one property, whose own schema is negated where it stands.
    private static SchemaNode Member(SchemaNode schema, JsonProperty member)
    {
        string name = JsonSerializer.Serialize(member.Name);
        return Inner(schema, $$"""{"properties": { {{name}}: {"not": {{Place}} } } }""", SchemaDocument.Inside(schema, member.Value, "properties", member.Name));
    }

    private static SchemaNode Inner(SchemaNode schema, string json, SchemaNode inner) =>
        Made(schema, json.Replace(Place, inner.Element.GetRawText(), StringComparison.Ordinal)) with { Path = $"{inner.Path}/!" };

    private static IEnumerable<SchemaNode> Each(SchemaNode schema, JsonProperty keyword)
    {
        int index = 0;
        foreach (JsonElement one in keyword.Value.EnumerateArray())
            yield return SchemaDocument.Inside(schema, one, keyword.Name, $"{index++}");
    }

    private static string TypesBut(JsonElement types)
    {
        var but = (types.ValueKind == JsonValueKind.Array ? types.EnumerateArray().Select(one => one.GetString()) : [types.GetString()]).ToHashSet();
        if (but.Contains("number"))
            but.UnionWith(["integer", SchemaKeywords.Fraction]);
        string[] rest = [.. ((string[])["null", "boolean", "integer", SchemaKeywords.Fraction, "string", "array", "object"]).Where(one => !but.Contains(one))];
        return JsonSerializer.Serialize(rest);
    }

    // None of them, or two at least.
    private static IEnumerable<IReadOnlyList<SchemaNode>> NotOne(IReadOnlyList<SchemaNode> schemas)
    {
        yield return [.. schemas.Select(one => one.Negated())];
        for (int i = 0; i < schemas.Count; i++)
        {
            for (int k = i + 1; k < schemas.Count; k++)
                yield return [Unseen(schemas[i]), Unseen(schemas[k])];
        }
    }

    // What stands under 'not' leaves members and items unevaluated, also where it is negated twice.
    private static SchemaNode Unseen(SchemaNode schema) => schema with { Path = $"{schema.Path}/!" };

    private static SchemaNode Made(SchemaNode schema, string json)
    {
        using JsonDocument parsed = JsonDocument.Parse(json);
        return new SchemaNode(parsed.RootElement.Clone(), $"{schema.Path}/!{json}", schema.Base);
    }

    private static SchemaNode Always(SchemaNode schema) => Made(schema, "true");

    private static SchemaNode Never(SchemaNode schema) => Made(schema, "false");
}
