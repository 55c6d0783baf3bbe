using System.Numerics;
using System.Text.Json;

namespace Flint.Grammar;

/// <summary>A JSON schema as an expression: its values as JSON text.</summary>
internal sealed class JsonSchema
{
    /// <summary>The longest schema, in bytes of UTF-8.</summary>
    public const int MaxBytes = 1 << 20;

    private const int MaxClasses = 64; // of names, by the patterns that they match
    private const int MaxMembers = 4096;
    private const int MaxDivisor = 1 << 15; // what is left of a division is a state each

    private readonly JsonLanguage _json;
    private readonly Automaton _automaton;
    private readonly SchemaDocument _document;
    private readonly SchemaReader _reader;
    private readonly ArraySchema _arrays;
    private readonly bool _isAnyOrder;
    private readonly Dictionary<string, Language> _values = new(StringComparer.Ordinal);

    private JsonSchema(JsonLanguage json, JsonElement root, bool isAnyOrder)
    {
        _json = json;
        _automaton = json.Automaton;
        _isAnyOrder = isAnyOrder;
        _document = new SchemaDocument(root);
        _reader = new SchemaReader(_document, AreTextsApart);
        _arrays = new ArraySchema(json, _reader, Value);
    }

    /// <summary>The values of a schema.</summary>
    /// <param name="json">Makes the expressions.</param>
    /// <param name="schema">The schema.</param>
    /// <param name="isAnyOrder">Whether members that the schema names come in any order; else in the order of its properties.</param>
    /// <exception cref="FlintException">Caller: the schema is wrong, or says what cannot be enforced.</exception>
    public static Language Compile(JsonLanguage json, JsonElement schema, bool isAnyOrder)
    {
        var compiled = new JsonSchema(json, schema, isAnyOrder);
        return compiled.Value([compiled._document.Root]);
    }

    /// <summary>The arguments of a function, each apart.</summary>
    /// <param name="json">Makes the expressions.</param>
    /// <param name="schema">The schema of an object.</param>
    /// <param name="isText">Whether an argument is written as a string's text alone.</param>
    /// <param name="asText">What becomes of such a text.</param>
    /// <returns>Null where the schema has alternatives or says of the object more than its members.</returns>
    public static IReadOnlyList<(string Name, Language Value, bool IsRequired)>? Arguments(
        JsonLanguage json, JsonElement schema, Func<string, bool> isText, Func<Language, Language> asText)
    {
        var compiled = new JsonSchema(json, schema, isAnyOrder: false);
        List<SchemaShape> shapes = compiled._reader.Read([compiled._document.Root]);
        if (shapes is not [{ Values: null, Needs.Count: 0, Names.Count: 0, MinMembers: 0, MaxMembers: Language.Unlimited } shape] || (shape.Types & JsonTypes.Object) == 0)
            return null;
        var arguments = new List<(string, Language, bool)>();
        foreach (string name in Names(shape))
        {
            List<SchemaNode> schemas = compiled.SchemasOf(shape, name);
            Language value = isText(name)
                ? asText(json.Automaton.Either([.. compiled._reader.Read(schemas).Select(one => compiled.StringText(one, json.Plain))]))
                : compiled.Value(schemas);
            arguments.Add((name, value, shape.Required.Contains(name)));
        }

        return arguments;
    }

    /// <summary>Values of schemas that hold at once; a rule of their own, so that schemas may hold themselves.</summary>
    private Language Value(List<SchemaNode> schemas)
    {
        if (schemas.Count == 0)
            return _json.Value;
        schemas = [.. schemas.Select(_reader.Resolve)];
        string key = string.Join('\n', schemas.Select(schema => schema.Key).Distinct().Order(StringComparer.Ordinal));
        if (!_values.TryGetValue(key, out Language? value))
            _values[key] = value = _automaton.Rule(() => _automaton.Either([.. _reader.Read(schemas).Select(Value)]));
        return value;
    }

    private Language Value(SchemaShape shape)
    {
        if (shape.Values is null && !shape.SaysMore && shape.Types == JsonTypes.All)
            return _json.Value;
        if (shape.Values is { } values)
            return Listed(shape, values);
        var parts = new List<Language>();
        if (shape.Types.HasFlag(JsonTypes.Null) && !Excludes(shape, JsonValueKind.Null))
            parts.Add(_json.Null);
        if (shape.Types.HasFlag(JsonTypes.Boolean) && !Excludes(shape, JsonValueKind.True))
            parts.Add(_automaton.Literal("true"u8));
        if (shape.Types.HasFlag(JsonTypes.Boolean) && !Excludes(shape, JsonValueKind.False))
            parts.Add(_automaton.Literal("false"u8));
        if ((shape.Types & JsonTypes.Number) != 0)
            parts.Add(Number(shape));
        if (shape.Types.HasFlag(JsonTypes.String))
            parts.Add(String(shape));
        if (shape.Types.HasFlag(JsonTypes.Array))
            parts.Add(Excludes(shape, JsonValueKind.Array) ? throw ExcludedValue("array") : _arrays.Of(shape));
        if (shape.Types.HasFlag(JsonTypes.Object))
            parts.Add(Object(shape));
        return _automaton.Either([.. parts]);
    }

    private static bool Excludes(SchemaShape shape, JsonValueKind kind) => shape.Excluded.Any(one => one.ValueKind == kind);

    private static FlintException ExcludedValue(string what) =>
        FlintException.Caller("unsupported_schema", $"The schema's keyword 'not' cannot be enforced: it excludes an {what}.");

    // ---- listed values ----

    private Language Listed(SchemaShape shape, IReadOnlyList<JsonElement> values)
    {
        Language? rest = null;
        var words = new List<byte[]>();
        var parts = new List<Language>();
        foreach (JsonElement value in values.Where(value => (TypeOf(value) & shape.Types) != 0 && !shape.Excluded.Any(other => JsonElement.DeepEquals(value, other))))
        {
            if (shape.SaysMore)
            {
                rest ??= new JsonSchema(_json, _document, _reader, isAnyOrder: true).Value(shape with { Values = null });
                if (!_automaton.Accepts(rest, Written(value)))
                    continue;
            }

            if (value.ValueKind is JsonValueKind.Array or JsonValueKind.Object)
                parts.Add(Constant(value));
            else
                words.AddRange(Writings(value));
        }

        return _automaton.Either([.. parts, _automaton.Words(words)]);
    }

    private JsonSchema(JsonLanguage json, SchemaDocument document, SchemaReader reader, bool isAnyOrder)
    {
        _json = json;
        _automaton = json.Automaton;
        _document = document;
        _reader = reader;
        _arrays = new ArraySchema(json, reader, Value);
        _isAnyOrder = isAnyOrder;
    }

    /// <summary>The type of a value; of a whole number that of integers.</summary>
    public static JsonTypes TypeOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => JsonTypes.Null,
        JsonValueKind.True or JsonValueKind.False => JsonTypes.Boolean,
        JsonValueKind.String => JsonTypes.String,
        JsonValueKind.Array => JsonTypes.Array,
        JsonValueKind.Object => JsonTypes.Object,
        _ => ExactNumber.Read(value.GetRawText()) is { IsInteger: true } ? JsonTypes.Integer : JsonTypes.Fraction,
    };

    // A number as it was given, and without a needless point.
    private IEnumerable<byte[]> Writings(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String)
            return [_json.Quoted(value.GetString()!)];
        string text = value.GetRawText();
        byte[] given = System.Text.Encoding.UTF8.GetBytes(text);
        return value.ValueKind == JsonValueKind.Number && ExactNumber.Read(text) is { IsInteger: true } whole
            ? [given, System.Text.Encoding.ASCII.GetBytes(whole.Digits.ToString(System.Globalization.CultureInfo.InvariantCulture))] : [given];
    }

    private byte[] Written(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => [(byte)'[', .. value.EnumerateArray().SelectMany((one, i) => i == 0 ? Written(one) : [(byte)',', .. Written(one)]), (byte)']'],
        JsonValueKind.Object =>
        [
            (byte)'{',
            .. value.EnumerateObject().SelectMany((one, i) => (byte[])[.. i == 0 ? [] : ","u8.ToArray(), .. _json.Quoted(one.Name), (byte)':', .. Written(one.Value)]),
            (byte)'}',
        ],
        _ => Writings(value).Last(),
    };

    private Language Constant(JsonElement value)
    {
        var parts = new List<Language>();
        switch (value.ValueKind)
        {
            case JsonValueKind.Array:
                foreach (JsonElement one in value.EnumerateArray())
                    parts.AddRange([parts.Count == 0 ? _json.Space : _json.Comma, Constant(one)]);
                return _automaton.Then([_automaton.Literal("["u8), .. parts, _json.Space, _automaton.Literal("]"u8)]);
            case JsonValueKind.Object:
                foreach (JsonProperty one in value.EnumerateObject())
                    parts.AddRange([parts.Count == 0 ? _json.Space : _json.Comma, _automaton.Literal(_json.Quoted(one.Name)), _json.Colon, Constant(one.Value)]);
                return _automaton.Then([_automaton.Literal("{"u8), .. parts, _json.Space, _automaton.Literal("}"u8)]);
            default:
                return _automaton.Words(Writings(value));
        }
    }

    // ---- numbers and strings ----

    private Language Number(SchemaShape shape)
    {
        bool isInteger = !shape.Types.HasFlag(JsonTypes.Fraction), isFraction = !shape.Types.HasFlag(JsonTypes.Integer);
        JsonElement[] excluded = [.. shape.Excluded.Where(one => one.ValueKind == JsonValueKind.Number)];
        if (shape is { Least: null, Most: null, Divisors.Count: 0 } && excluded.Length == 0 && !isFraction)
            return isInteger ? _json.Integer : _json.Number;
        Language result = isInteger ? _json.Integer : isFraction ? _json.Fraction : _json.Decimal;
        result = _automaton.Both(result, NumberRange.Between(_json, shape.Least?.Value, shape.Most?.Value, shape.Least?.IsExcluded == true, shape.Most?.IsExcluded == true));
        foreach ((ExactNumber divisor, bool isNegated) in shape.Divisors)
        {
            if (divisor.Digits > MaxDivisor || divisor.Scale > 15)
                throw FlintException.Caller("unsupported_schema", "The schema's keyword 'multipleOf' cannot be enforced: the number has too many digits.");
            Language multiple = _automaton.Multiple((long)divisor.Digits, divisor.Scale);
            result = _automaton.Both(result, isNegated ? _automaton.Not(multiple) : multiple);
        }

        foreach (JsonElement one in excluded)
        {
            ExactNumber number = ExactNumber.Read(one.GetRawText())
                ?? throw FlintException.Caller("unsupported_schema", "The schema's keyword 'not' cannot be enforced: a number has too many digits.");
            result = _automaton.Both(result, _automaton.Not(NumberRange.Between(_json, number, number, excludesLeast: false, excludesMost: false)));
        }

        return result;
    }

    private Language String(SchemaShape shape)
    {
        if (shape.MaxLength < shape.MinLength)
            return _automaton.Nothing;
        if (shape.Patterns.Count > 0 || Excludes(shape, JsonValueKind.String))
            return _json.Quoted(StringText(shape, _json.Inner));
        return _json.Quoted(_automaton.Repeat(_json.FreeCharacter, shape.MinLength, shape.MaxLength));
    }

    /// <summary>The texts of strings.</summary>
    private Language StringText(SchemaShape shape, TextForm form)
    {
        if (!shape.Types.HasFlag(JsonTypes.String) || shape.MaxLength < shape.MinLength)
            return _automaton.Nothing;
        if (shape.Values is { } values)
        {
            Language rest = StringText(shape with { Values = null }, form);
            return _automaton.Words(values.Where(one => one.ValueKind == JsonValueKind.String).Select(one => form.Encode(one.GetString()!)).Where(word => _automaton.Accepts(rest, word)));
        }

        // Texts of a pattern are texts.
        bool isAny = shape is { MinLength: 0, MaxLength: Language.Unlimited } && shape.Patterns.Any(one => !one.IsNegated);
        Language text = isAny ? _automaton.Anything : _automaton.Repeat(form.AnyCharacter, shape.MinLength, shape.MaxLength);
        foreach ((string pattern, bool isNegated) in shape.Patterns)
        {
            Language found = Pattern.Search(_automaton, form, pattern);
            text = _automaton.Both(text, isNegated ? _automaton.Not(found) : found);
        }

        byte[][] excluded = [.. shape.Excluded.Where(one => one.ValueKind == JsonValueKind.String).Select(one => form.Encode(one.GetString()!))];
        return excluded.Length == 0 ? text : _automaton.Both(text, _automaton.Not(_automaton.Words(excluded)));
    }

    private bool AreTextsApart(SchemaShape one, SchemaShape other)
    {
        static bool IsSaid(SchemaShape shape) => shape.Patterns.Count + shape.Excluded.Count > 0 || shape.Values is not null;
        if (!IsSaid(one) || !IsSaid(other))
            return Math.Max(one.MinLength, other.MinLength) > Math.Min(one.MaxLength, other.MaxLength);
        try
        {
            return !_automaton.IsAlive(_automaton.Both(StringText(one, _json.Inner), StringText(other, _json.Inner)));
        }
        catch (FlintException fault) when (fault.Code == "grammar_too_complex")
        {
            return false;
        }
    }

    // ---- objects ----

    private Language Object(SchemaShape shape)
    {
        if (Excludes(shape, JsonValueKind.Object))
            throw ExcludedValue("object");
        if (shape.MaxMembers < shape.MinMembers)
            return _automaton.Nothing;
        if (shape.Members.Count == 0 && shape.Required.Count == 0 && shape.Needs.Count == 0 && shape.Names.Count == 0 && shape is { MinMembers: 0, MaxMembers: Language.Unlimited })
            return _json.Object;
        List<string> names = Names(shape);
        if (names.Count > MaxMembers)
            throw FlintException.Caller("grammar_too_complex", $"The schema's objects have more than {MaxMembers} members with names.");
        Language? nameText = shape.Names.Count == 0 ? null
            : _automaton.Either([.. _reader.Read(shape.Names).Select(one => StringText(one, _json.Inner))]);
        HashSet<string> required = [.. shape.Required];
        var members = new List<ObjectMember>();
        foreach (string name in names)
        {
            bool isNamed = nameText is null || _automaton.Accepts(nameText, _json.Inner.Encode(name));
            members.Add(new ObjectMember(_json.Quoted(name), isNamed ? Value(SchemasOf(shape, name)) : _automaton.Nothing, required.Contains(name)));
        }

        List<(Language, Language)> extras = Extras(shape, names, nameText);
        int sure = members.Count + (extras.Count > 0 ? 1 : 0);
        if (shape.MinMembers > sure)
        {
            if (extras.Count == 0)
                return _automaton.Nothing;
            throw FlintException.Caller("unsupported_schema", $"The schema's keyword 'minProperties' cannot be enforced above {sure}, as a name that the schema does not list may come twice.");
        }

        var limits = new ObjectLimits(shape.MinMembers, shape.MaxMembers, _isAnyOrder);
        return new ObjectShape(_json, members, Needs(shape, names), extras, limits).Open();
    }

    private static List<string> Names(SchemaShape shape) =>
    [
        .. shape.Members.SelectMany(rules => rules.Named).Select(one => one.Name)
            .Concat(shape.Required).Concat(shape.Needs.SelectMany(one => (string[])[one.Name, one.Needed])).Distinct(StringComparer.Ordinal),
    ];

    /// <summary>What must hold of the member of a name.</summary>
    private List<SchemaNode> SchemasOf(SchemaShape shape, string name)
    {
        var schemas = new List<SchemaNode>();
        foreach (MemberRules rules in shape.Members)
        {
            int before = schemas.Count;
            schemas.AddRange(rules.Of(name));
            schemas.AddRange(rules.Matching.Where(one => _automaton.Accepts(Pattern.Search(_automaton, _json.Inner, one.Pattern), _json.Inner.Encode(name))).Select(one => one.Schema));
            if (schemas.Count == before && rules.Others is { } others)
                schemas.Add(others);
        }

        return schemas;
    }

    /// <summary>Names that are not listed, in classes of those that match the same patterns, with their values.</summary>
    private List<(Language Name, Language Value)> Extras(SchemaShape shape, List<string> names, Language? nameText)
    {
        if (shape.Members.Any(rules => rules.Matching.Count == 0 && rules.Others is { } none && IsNever(none)))
            return [];
        Language all = names.Count == 0 ? _json.Inner.AnyText : _automaton.Both(_json.Inner.AnyText, _automaton.Not(_automaton.Words(names.Select(_json.Inner.Encode))));
        if (nameText is not null)
            all = _automaton.Both(all, nameText);
        List<(Language Name, HashSet<string> Matched)> classes = [(all, [])];
        foreach (string pattern in shape.Members.SelectMany(rules => rules.Matching).Select(one => one.Pattern).Distinct())
        {
            Language found = Pattern.Search(_automaton, _json.Inner, pattern);
            classes =
            [
                .. classes.Select(one => (_automaton.Both(one.Name, found), one.Matched.Append(pattern).ToHashSet())),
                .. classes.Select(one => (_automaton.Both(one.Name, _automaton.Not(found)), one.Matched)),
            ];
            classes.RemoveAll(one => !_automaton.IsAlive(one.Name));
            if (classes.Count > MaxClasses)
                throw FlintException.Caller("grammar_too_complex", $"The schema's patterns of names divide them into more than {MaxClasses} classes.");
        }

        var extras = new List<(Language, Language)>();
        foreach ((Language name, HashSet<string> matched) in classes)
        {
            var schemas = new List<SchemaNode>();
            foreach (MemberRules rules in shape.Members)
            {
                int before = schemas.Count;
                schemas.AddRange(rules.Matching.Where(one => matched.Contains(one.Pattern)).Select(one => one.Schema));
                if (schemas.Count == before && rules.Others is { } others)
                    schemas.Add(others);
            }

            if (!schemas.Exists(IsNever))
                extras.Add((name, Value(schemas)));
        }

        return extras;
    }

    private static bool IsNever(SchemaNode schema) => schema.Element.ValueKind == (schema.IsNegated ? JsonValueKind.True : JsonValueKind.False);

    // What members need, with what those need in turn.
    private static List<BigInteger> Needs(SchemaShape shape, List<string> names)
    {
        var needs = new BigInteger[names.Count];
        foreach ((string name, string needed) in shape.Needs)
            needs[names.IndexOf(name)] |= BigInteger.One << names.IndexOf(needed);
        for (bool changed = shape.Needs.Count > 0; changed;)
        {
            changed = false;
            for (int i = 0; i < needs.Length; i++)
            {
                BigInteger all = needs[i];
                for (int k = 0; k < needs.Length; k++)
                    all |= (needs[i] >> k).IsEven ? BigInteger.Zero : needs[k];
                changed |= all != needs[i];
                needs[i] = all;
            }
        }

        for (int i = 0; i < needs.Length; i++)
            needs[i] &= ~(BigInteger.One << i); // a member needs no other than itself
        return [.. needs];
    }
}
