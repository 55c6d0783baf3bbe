using System.Text.Json;

namespace Flint.Grammar;

/// <summary>A JSON schema with the schemas that are in it, found by their addresses.</summary>
internal sealed class SchemaDocument
{
    private const int MaxDepth = 256;

    private static readonly Uri Home = new("schema:///");

    // What holds schemas: one, a list, or a map of them.
    private static readonly HashSet<string> One =
    [
        "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
    ];

    private static readonly HashSet<string> Lists = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];
    private static readonly HashSet<string> Maps = ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

    private readonly Dictionary<string, SchemaNode> _byAddress = new(StringComparer.Ordinal);

    /// <summary>Takes a schema.</summary>
    public SchemaDocument(JsonElement root)
    {
        string? dialect = Text(root, "$schema");
        HasConditions = dialect is null || !(dialect.Contains("draft-06", StringComparison.Ordinal) || dialect.Contains("draft-04", StringComparison.Ordinal));
        IgnoresBesideReference = dialect is not null && (dialect.Contains("draft-07", StringComparison.Ordinal) || !HasConditions);
        Root = new SchemaNode(root, "#", Home);
        _byAddress[Address(Home)] = Root;
        Visit(Root, 0);
        Root = Root with { Base = BaseOf(Root) };
    }

    /// <summary>The whole.</summary>
    public SchemaNode Root { get; }

    /// <summary>Whether keywords beside a <c>$ref</c> say nothing, as until draft 7.</summary>
    public bool IgnoresBesideReference { get; }

    /// <summary>Whether there are <c>if</c>, <c>then</c> and <c>else</c>, as from draft 7 on.</summary>
    public bool HasConditions { get; }

    /// <summary>The schema that a reference leads to.</summary>
    /// <exception cref="FlintException">Caller: it is not in this document.</exception>
    public SchemaNode Find(SchemaNode from, string reference)
    {
        Uri? target = from.Base;
        if (!reference.StartsWith('#') && !Uri.TryCreate(from.Base, reference, out target))
            throw NotFound(from, reference);
        string fragment = Uri.UnescapeDataString(reference.StartsWith('#') ? reference[1..] : target.Fragment.TrimStart('#'));
        if (fragment.Length > 0 && fragment[0] != '/' && _byAddress.TryGetValue(Address(target) + "#" + fragment, out SchemaNode? anchored))
            return anchored;
        if (!_byAddress.TryGetValue(Address(target), out SchemaNode? found))
            throw NotFound(from, reference);
        if (fragment.Length == 0)
            return found;
        if (fragment[0] != '/')
            throw NotFound(from, reference);
        foreach (string part in fragment[1..].Split('/'))
        {
            string name = part.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            if (found.Element.ValueKind == JsonValueKind.Object && found.Element.TryGetProperty(name, out JsonElement member))
                found = found.Inside(member, name);
            else if (found.Element.ValueKind == JsonValueKind.Array && int.TryParse(name, out int index) && index >= 0 && index < found.Element.GetArrayLength())
                found = found.Inside(found.Element[index], name);
            else
                throw NotFound(from, reference);
            found = found with { Base = BaseOf(found) };
        }

        return found;
    }

    /// <summary>A schema inside another, with the address that references in it go out from.</summary>
    public static SchemaNode Inside(SchemaNode outer, JsonElement element, params ReadOnlySpan<string> names)
    {
        SchemaNode node = outer;
        foreach (string name in names)
            node = node.Inside(element, name);
        node = node with { Element = element, IsNegated = false };
        return node with { Base = BaseOf(node) };
    }

    /// <summary>A string of a schema; null where there is none.</summary>
    public static string? Text(JsonElement schema, string name) =>
        schema.ValueKind == JsonValueKind.Object && schema.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static FlintException NotFound(SchemaNode from, string reference) =>
        FlintException.Caller("unsupported_schema", $"The schema's reference '{reference}' at {from.Path} leads to nothing in the schema.");

    private static string Address(Uri uri) => uri.GetLeftPart(UriPartial.Query);

    private static Uri BaseOf(SchemaNode node)
    {
        string? id = Text(node.Element, "$id") ?? Text(node.Element, "id");
        return id is not null && !id.StartsWith('#') && Uri.TryCreate(node.Base, id, out Uri? address) ? address : node.Base;
    }

    private void Visit(SchemaNode node, int depth)
    {
        if (depth > MaxDepth)
            throw FlintException.Caller("unsupported_schema", $"The schema is nested deeper than {MaxDepth}.");
        if (node.Element.ValueKind != JsonValueKind.Object)
            return;
        Uri address = BaseOf(node);
        if (!ReferenceEquals(address, node.Base))
            _byAddress.TryAdd(Address(address), node with { Base = address });
        node = node with { Base = address };
        if ((Text(node.Element, "$anchor") ?? Text(node.Element, "$dynamicAnchor")) is { } anchor)
            _byAddress.TryAdd(Address(address) + "#" + anchor, node);
        if ((Text(node.Element, "$id") ?? Text(node.Element, "id")) is { } id && id.StartsWith('#'))
            _byAddress.TryAdd(Address(address) + id, node);
        foreach (JsonProperty keyword in node.Element.EnumerateObject())
        {
            if (Lists.Contains(keyword.Name) && keyword.Value.ValueKind == JsonValueKind.Array)
            {
                int index = 0;
                foreach (JsonElement one in keyword.Value.EnumerateArray())
                    Visit(node.Inside(keyword.Value, keyword.Name).Inside(one, $"{index++}"), depth + 1);
            }
            else if (Maps.Contains(keyword.Name) && keyword.Value.ValueKind == JsonValueKind.Object)
            {
                foreach (JsonProperty one in keyword.Value.EnumerateObject())
                    Visit(node.Inside(keyword.Value, keyword.Name).Inside(one.Value, one.Name), depth + 1);
            }
            else if (One.Contains(keyword.Name))
            {
                Visit(node.Inside(keyword.Value, keyword.Name), depth + 1);
            }
        }
    }
}
