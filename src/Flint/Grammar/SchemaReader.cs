using System.Text.Json;

namespace Flint.Grammar;

/// <summary>
/// Reads schemas (JSON Schema 2020-12 and draft 7, and what earlier drafts say otherwise) into shapes without alternatives. Keywords that
/// say something of values and cannot be enforced are refused by name; those that the specifications do not have say nothing.
/// </summary>
internal sealed class SchemaReader
{
    private const int MaxAlternatives = 512;
    private const int MaxDepth = 100;

    private readonly HashSet<string> _open = []; // schemas being read, to see one that holds itself at once
    private readonly SchemaDocument _document;
    private readonly SchemaNegation _negation;
    private readonly ExactlyOne _exactlyOne;

    /// <summary>Takes a document.</summary>
    /// <param name="document">The schema.</param>
    /// <param name="areTextsApart">Whether no string is of both shapes.</param>
    public SchemaReader(SchemaDocument document, Func<SchemaShape, SchemaShape, bool> areTextsApart)
    {
        _document = document;
        _negation = new SchemaNegation(document);
        _exactlyOne = new ExactlyOne(this, areTextsApart);
    }

    /// <summary>The alternatives of schemas that hold at once; none where no value can be.</summary>
    /// <exception cref="FlintException">Caller: a keyword cannot be enforced, or the schema is wrong.</exception>
    public List<SchemaShape> Read(IEnumerable<SchemaNode> schemas)
    {
        List<SchemaShape> result = [SchemaShape.Bare];
        foreach (SchemaNode schema in schemas)
            result = Cross(result, Read(schema), schema);
        return result;
    }

    /// <summary>The schema that another is only a reference to; else itself.</summary>
    /// <exception cref="FlintException">Caller: a reference leads to nothing.</exception>
    public SchemaNode Resolve(SchemaNode schema)
    {
        for (int i = 0; i < MaxDepth && !schema.IsNegated && !schema.IsMade && SchemaDocument.Text(schema.Element, "$ref") is { } reference; i++)
        {
            if (!_document.IgnoresBesideReference && schema.Element.EnumerateObject().Any(one => one.Name != "$ref" && SchemaKeywords.IsKnown(one.Name)))
                break;
            schema = _document.Find(schema, reference);
        }

        return schema;
    }

    /// <summary>The fault of a keyword that cannot be enforced.</summary>
    public static FlintException Unsupported(SchemaNode schema, string keyword, string? why = null) =>
        FlintException.Caller("unsupported_schema", $"The schema's keyword '{keyword}' at {schema.Path} cannot be enforced{(why is null ? "" : $": {why}")}.");

    private List<SchemaShape> Read(SchemaNode schema)
    {
        if (schema.IsNegated)
            return ReadAny(_negation.Read(schema));
        switch (schema.Element.ValueKind)
        {
            case JsonValueKind.True:
                return [SchemaShape.Bare];
            case JsonValueKind.False:
                return [];
            case JsonValueKind.Object:
                break;
            default:
                throw FlintException.Caller("invalid_schema", $"The schema at {schema.Path} is neither an object nor a boolean.");
        }

        if (_open.Count > MaxDepth || !_open.Add(schema.Key))
            throw FlintException.Caller("unsupported_schema", $"The schema at {schema.Path} refers to itself before it describes anything.");
        try
        {
            return ReadObject(schema);
        }
        finally
        {
            _open.Remove(schema.Key);
        }
    }

    private List<SchemaShape> ReadAny(IEnumerable<IReadOnlyList<SchemaNode>> alternatives) => [.. alternatives.SelectMany(schemas => Read(schemas))];

    private List<SchemaShape> ReadObject(SchemaNode schema)
    {
        JsonElement element = schema.Element;
        List<SchemaShape> result = [SchemaShape.Bare];
        if (SchemaDocument.Text(element, "$ref") is { } reference)
        {
            result = Read(_document.Find(schema, reference));
            if (_document.IgnoresBesideReference)
                return result;
        }

        var keywords = new SchemaKeywords(schema);
        if (keywords.Read() is not { } own)
            return [];
        result = Cross(result, [own], schema);
        foreach (SchemaNode part in List(schema, "allOf"))
            result = Cross(result, Read(part), schema);
        if (element.TryGetProperty("anyOf", out _))
            result = Cross(result, [.. List(schema, "anyOf").SelectMany(one => Read(one))], schema);
        if (element.TryGetProperty("oneOf", out _))
            result = _exactlyOne.Of([.. List(schema, "oneOf")], result, schema);
        if (element.TryGetProperty("not", out JsonElement not))
            result = Cross(result, Read(SchemaDocument.Inside(schema, not, "not").Negated()), schema);
        result = ReadConditions(schema, result);
        return [.. result.Select(shape => keywords.Close(shape)).OfType<SchemaShape>()];
    }

    private List<SchemaShape> ReadConditions(SchemaNode schema, List<SchemaShape> result)
    {
        JsonElement element = schema.Element;
        if (_document.HasConditions && element.TryGetProperty("if", out JsonElement condition) && (element.TryGetProperty("then", out _) || element.TryGetProperty("else", out _)))
        {
            SchemaNode when = SchemaDocument.Inside(schema, condition, "if");
            List<SchemaNode> yes = [when], no = [when.Negated()];
            if (element.TryGetProperty("then", out JsonElement then))
                yes.Add(SchemaDocument.Inside(schema, then, "then"));
            if (element.TryGetProperty("else", out JsonElement otherwise))
                no.Add(SchemaDocument.Inside(schema, otherwise, "else"));
            result = Cross(result, [.. Read(yes), .. Read(no)], schema);
        }

        foreach (string name in (string[])["dependentSchemas", "dependencies"])
        {
            if (!element.TryGetProperty(name, out JsonElement map) || map.ValueKind != JsonValueKind.Object)
                continue;
            foreach (JsonProperty entry in map.EnumerateObject().Where(entry => entry.Value.ValueKind != JsonValueKind.Array))
            {
                SchemaShape with = SchemaShape.Bare with { Types = JsonTypes.Object, Required = [entry.Name] };
                List<SchemaShape> holds = Cross([with], Read(SchemaDocument.Inside(schema, entry.Value, name, entry.Name)), schema);
                result = Cross(result, [SchemaNegation.Without(schema, entry.Name), .. holds], schema);
            }
        }

        return result;
    }

    private static IEnumerable<SchemaNode> List(SchemaNode schema, string name)
    {
        if (!schema.Element.TryGetProperty(name, out JsonElement list))
            yield break;
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
            throw FlintException.Caller("invalid_schema", $"The schema's keyword '{name}' at {schema.Path} is no array of schemas.");
        int index = 0;
        foreach (JsonElement one in list.EnumerateArray())
            yield return SchemaDocument.Inside(schema, one, name, $"{index++}");
    }

    /// <summary>Alternatives that hold together with others.</summary>
    public static List<SchemaShape> Cross(List<SchemaShape> x, List<SchemaShape> y, SchemaNode schema)
    {
        var result = new List<SchemaShape>();
        foreach (SchemaShape one in x)
        {
            foreach (SchemaShape other in y)
            {
                SchemaShape? both = ReferenceEquals(one, SchemaShape.Bare) ? other : ReferenceEquals(other, SchemaShape.Bare) ? one : SchemaShape.Merge(one, other);
                if (both is not null)
                    result.Add(both);
            }
        }

        if (result.Count > MaxAlternatives)
            throw FlintException.Caller("grammar_too_complex", $"The schema at {schema.Path} has more than {MaxAlternatives} alternatives.");
        return result;
    }
}
