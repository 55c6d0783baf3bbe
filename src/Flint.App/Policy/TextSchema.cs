using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Flint.App.Policy;

/// <summary>Whether a text keeps to a schema.</summary>
internal enum SchemaVerdict
{
    /// <summary>It is JSON that does.</summary>
    Keeps,

    /// <summary>It does not, or is no JSON.</summary>
    Breaks,

    /// <summary>Nobody can say for all readers: names stand twice in an object, or it is too long, too deep or too much work.</summary>
    Unclear,
}

/// <summary>
/// A JSON schema (https://json-schema.org/draft/2020-12) as a rule's measure of texts. What a schema says and this does not know is an
/// error, so that no demand is passed over; patterns are matched in linear time, and the work on one text has an end.
/// </summary>
internal sealed class TextSchema
{
    /// <summary>The longest schema, in characters.</summary>
    public const int MaxSchema = 1 << 18;

    /// <summary>The longest text that is judged, in UTF-16 units.</summary>
    public const int MaxText = 1 << 20;

    private const int Kept = -1;
    private const int MaxSteps = 1 << 20; // values asked about, each as often as it is
    private const int MaxDepth = 512; // of schemas within one another while a text is judged

    // Looks at a value: the byte where it does not keep to something, or Kept.
    private delegate int Check(Run run, JsonValue value);

    // Say something about a value, and demand nothing of it. The standard's own readers do not check formats either.
    private static readonly HashSet<string> Annotations =
    [
        "$schema", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
        "format", "contentEncoding", "contentMediaType", "contentSchema",
    ];

    private readonly JsonValue _schema;
    private readonly Dictionary<JsonValue, Box> _compiled = new(ReferenceEqualityComparer.Instance);
    private readonly Check _root;

    /// <summary>Prepares a schema.</summary>
    /// <param name="text">The schema, as JSON.</param>
    /// <exception cref="FlintException">Caller: it is no schema, or says what this does not know.</exception>
    public TextSchema(string text)
    {
        if (text.Length > MaxSchema)
            throw Wrong($"it has {text.Length} characters; expected at most {MaxSchema}");
        _schema = JsonValue.Read(text, out int fault, out bool isUnclear)
            ?? throw Wrong(isUnclear ? "a name stands twice in an object, or it is too deep" : $"it is no JSON at character {fault}");
        _root = Compile(_schema);
    }

    /// <summary>Judges a text.</summary>
    /// <param name="text">The text, which is to be JSON as a whole.</param>
    /// <returns>The verdict, and the first place that speaks against the schema, in UTF-16 units.</returns>
    public (SchemaVerdict Verdict, int Position) Judge(string text)
    {
        if (text.Length > MaxText)
            return (SchemaVerdict.Unclear, MaxText);
        if (JsonValue.Read(text, out int fault, out bool isUnclear) is not { } value)
            return (isUnclear ? SchemaVerdict.Unclear : SchemaVerdict.Breaks, fault);
        try
        {
            int at = _root(new Run(), value);
            return at == Kept ? (SchemaVerdict.Keeps, Chars(value.Position)) : (SchemaVerdict.Breaks, Chars(at));
        }
        catch (TooMuchException)
        {
            return (SchemaVerdict.Unclear, Chars(value.Position));
        }

        int Chars(int bytes) => Encoding.UTF8.GetCharCount(Encoding.UTF8.GetBytes(text), 0, bytes);
    }

    private Check Compile(JsonValue schema)
    {
        if (schema.Type == JsonTokenType.True)
            return static (_, _) => Kept;
        if (schema.Type == JsonTokenType.False)
            return static (_, value) => value.Position;
        if (schema.Type != JsonTokenType.StartObject)
            throw Wrong("a schema is an object, true or false");
        if (_compiled.TryGetValue(schema, out Box? known))
            return known.Ask; // one that refers to itself
        var box = new Box();
        _compiled[schema] = box;
        var checks = new List<Check>();
        foreach ((string keyword, JsonValue value) in schema.Members)
        {
            if (Annotations.Contains(keyword) || (keyword == "$id" && ReferenceEquals(schema, _schema)))
                continue;
            if (CompileOne(keyword, value, schema) is { } check)
                checks.Add(check);
        }

        box.Check = (run, value) =>
        {
            foreach (Check check in checks)
            {
                int at = check(run, value);
                if (at != Kept)
                    return at;
            }

            return Kept;
        };
        return box.Ask;
    }

    // Null for a keyword that another one beside it reads.
    private Check? CompileOne(string keyword, JsonValue value, JsonValue schema) => keyword switch
    {
        "$ref" => Compile(Resolve(value)),
        "allOf" => All(Schemas(value, keyword)),
        "anyOf" => Any(Schemas(value, keyword)),
        "oneOf" => One(Schemas(value, keyword)),
        "not" => Not(Compile(value)),
        "if" => If(Compile(value), schema["then"], schema["else"]),
        "then" or "else" when schema["if"] is not null => null,
        "type" => OfType(value),
        "enum" => Equal(ItemsOf(value, keyword)),
        "const" => Equal([value]),
        "minimum" or "maximum" or "exclusiveMinimum" or "exclusiveMaximum" => Bound(keyword, value),
        "multipleOf" => Multiple(value),
        "minLength" or "maxLength" => Count(keyword, value, JsonTokenType.String, static text => text.Text.EnumerateRunes().Count()),
        "pattern" => Matches(EcmaPattern.Create(TextOf(value, keyword))),
        "properties" or "patternProperties" or "additionalProperties" => IsFirst(schema, keyword, "properties", "patternProperties", "additionalProperties") ? Properties(schema) : null,
        "propertyNames" => Names(Compile(value)),
        "required" => Required([.. ItemsOf(value, keyword).Select(name => TextOf(name, keyword))]),
        "dependentRequired" => Dependent([.. MembersOf(value, keyword).Select(one => (one.Name, Required([.. ItemsOf(one.Value, keyword).Select(name => TextOf(name, keyword))])))]),
        "dependentSchemas" => Dependent([.. MembersOf(value, keyword).Select(one => (one.Name, Compile(one.Value)))]),
        "minProperties" or "maxProperties" => Count(keyword, value, JsonTokenType.StartObject, static one => one.Members.Count),
        "items" or "prefixItems" => IsFirst(schema, keyword, "items", "prefixItems") ? Items(schema) : null,
        "minItems" or "maxItems" => Count(keyword, value, JsonTokenType.StartArray, static one => one.Items.Count),
        "uniqueItems" => value.Type == JsonTokenType.True ? (Check)Unique : null,
        "contains" => Contains(Compile(value), NumberOf(schema["minContains"], "minContains") ?? 1, NumberOf(schema["maxContains"], "maxContains") ?? int.MaxValue),
        "minContains" or "maxContains" when schema["contains"] is not null => null,
        _ => throw Wrong($"it says '{keyword}', which rules do not know"),
    };

    private static Check All(List<Check> all) => (run, value) =>
    {
        foreach (Check one in all)
        {
            int at = one(run, value);
            if (at != Kept)
                return at;
        }

        return Kept;
    };

    // Of several in vain, the one that got farthest tells where.
    private static Check Any(List<Check> any) => (run, value) =>
    {
        int farthest = value.Position;
        foreach (Check one in any)
        {
            int at = one(run, value);
            if (at == Kept)
                return Kept;
            farthest = Math.Max(farthest, at);
        }

        return farthest;
    };

    private static Check One(List<Check> any) => (run, value) =>
    {
        int farthest = value.Position, kept = 0;
        foreach (Check one in any)
        {
            int at = one(run, value);
            farthest = Math.Max(farthest, at);
            kept += at == Kept ? 1 : 0;
        }

        return kept == 1 ? Kept : kept == 0 ? farthest : value.Position;
    };

    private static Check Not(Check check) => (run, value) => check(run, value) == Kept ? value.Position : Kept;

    private Check If(Check condition, JsonValue? then, JsonValue? otherwise)
    {
        Check? yes = then is null ? null : Compile(then), no = otherwise is null ? null : Compile(otherwise);
        return (run, value) => (condition(run, value) == Kept ? yes : no)?.Invoke(run, value) ?? Kept;
    }

    private static Check OfType(JsonValue names)
    {
        string[] types = names.Type == JsonTokenType.StartArray ? [.. names.Items.Select(name => TextOf(name, "type"))] : [TextOf(names, "type")];
        if (Array.Find(types, type => type is not ("string" or "number" or "integer" or "object" or "array" or "boolean" or "null")) is { } unknown)
            throw Wrong($"there is no type '{unknown}'");
        return (_, value) => Array.Exists(types, type => IsOf(value, type)) ? Kept : value.Position;
    }

    private static bool IsOf(JsonValue value, string type) => type switch
    {
        "string" => value.Type == JsonTokenType.String,
        "number" => value.Type == JsonTokenType.Number,
        "integer" => value.Type == JsonTokenType.Number && value.Number is var (exact, near) && (exact is decimal whole ? whole == decimal.Truncate(whole) : near == Math.Floor(near)),
        "object" => value.Type == JsonTokenType.StartObject,
        "array" => value.Type == JsonTokenType.StartArray,
        "boolean" => value.Type is JsonTokenType.True or JsonTokenType.False,
        _ => value.Type == JsonTokenType.Null,
    };

    private static Check Equal(List<JsonValue> values)
    {
        HashSet<string> all = [.. values.Select(value => value.Canonical)];
        return (_, value) => all.Contains(value.Canonical) ? Kept : value.Position;
    }

    private static Check Bound(string keyword, JsonValue bound)
    {
        if (bound.Type != JsonTokenType.Number)
            throw Wrong($"'{keyword}' is a number");
        (decimal? exact, double near) = bound.Number;
        return (_, value) =>
        {
            if (value.Type != JsonTokenType.Number)
                return Kept;
            (decimal? own, double about) = value.Number;
            int order = own is decimal a && exact is decimal b ? a.CompareTo(b) : about.CompareTo(near);
            bool holds = keyword switch { "minimum" => order >= 0, "maximum" => order <= 0, "exclusiveMinimum" => order > 0, _ => order < 0 };
            return holds ? Kept : value.Position;
        };
    }

    private static Check Multiple(JsonValue divisor)
    {
        if (divisor.Type != JsonTokenType.Number || divisor.Number.Near <= 0)
            throw Wrong("'multipleOf' is a number above 0");
        (decimal? exact, double near) = divisor.Number;
        return (_, value) =>
        {
            if (value.Type != JsonTokenType.Number)
                return Kept;
            (decimal? own, double about) = value.Number;
            return (own is decimal a && exact is decimal b ? a % b == 0 : Math.IEEERemainder(about, near) == 0) ? Kept : value.Position;
        };
    }

    private static Check Count(string keyword, JsonValue limit, JsonTokenType type, Func<JsonValue, int> count)
    {
        int most = NumberOf(limit, keyword)!.Value;
        bool isLeast = keyword.StartsWith("min", StringComparison.Ordinal);
        return (_, value) => value.Type != type || (isLeast ? count(value) >= most : count(value) <= most) ? Kept : value.Position;
    }

    private static Check Matches(Regex pattern) => (_, value) => value.Type != JsonTokenType.String || pattern.IsMatch(value.Text) ? Kept : value.Position;

    private Check Properties(JsonValue schema)
    {
        Dictionary<string, Check> named = schema["properties"] is { } properties ? MembersOf(properties, "properties").ToDictionary(one => one.Name, one => Compile(one.Value)) : [];
        List<(Regex Pattern, Check Check)> like = schema["patternProperties"] is { } patterns ? [.. MembersOf(patterns, "patternProperties").Select(one => (EcmaPattern.Create(one.Name), Compile(one.Value)))] : [];
        Check? other = schema["additionalProperties"] is { } additional ? Compile(additional) : null;
        return (run, value) =>
        {
            foreach ((string name, JsonValue member) in value.Members)
            {
                bool isOther = true;
                if (named.TryGetValue(name, out Check? own))
                {
                    isOther = false;
                    if (own(run, member) is not Kept and var at)
                        return at;
                }

                foreach ((Regex pattern, Check check) in like)
                {
                    if (!pattern.IsMatch(name))
                        continue;
                    isOther = false;
                    if (check(run, member) is not Kept and var at)
                        return at;
                }

                if (isOther && other?.Invoke(run, member) is { } beside and not Kept)
                    return beside;
            }

            return Kept;
        };
    }

    // A name is a string of its own to the schema.
    private static Check Names(Check check) => (run, value) =>
    {
        foreach ((string name, JsonValue member) in value.Members)
        {
            if (check(run, JsonValue.Read(JsonSerializer.Serialize(name), out _, out _)!) != Kept)
                return member.Position;
        }

        return Kept;
    };

    private static Check Required(List<string> names) => (_, value) =>
        value.Type != JsonTokenType.StartObject || names.TrueForAll(name => value[name] is not null) ? Kept : value.Position;

    private static Check Dependent(List<(string Name, Check Check)> checks) => (run, value) =>
    {
        foreach ((string name, Check check) in checks)
        {
            if (value[name] is not null && check(run, value) is not Kept and var at)
                return at;
        }

        return Kept;
    };

    private Check Items(JsonValue schema)
    {
        List<Check> first = schema["prefixItems"] is { } prefix ? Schemas(prefix, "prefixItems") : [];
        if (schema["items"] is { Type: JsonTokenType.StartArray })
            throw Wrong("'items' is one schema; a list of them is 'prefixItems'");
        Check? others = schema["items"] is { } items ? Compile(items) : null;
        return (run, value) =>
        {
            for (int i = 0; i < value.Items.Count; i++)
            {
                if ((i < first.Count ? first[i] : others)?.Invoke(run, value.Items[i]) is { } at and not Kept)
                    return at;
            }

            return Kept;
        };
    }

    private static int Unique(Run run, JsonValue value)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        return value.Items.Find(item => !seen.Add(item.Canonical))?.Position ?? Kept;
    }

    private static Check Contains(Check check, int least, int most) => (run, value) =>
    {
        if (value.Type != JsonTokenType.StartArray)
            return Kept;
        int count = value.Items.Count(item => check(run, item) == Kept);
        return count >= least && count <= most ? Kept : value.Position;
    };

    // A schema that may be asked before it is read to its end, as those can that refer to themselves.
    private sealed class Box
    {
        public Check Check { get; set; } = static (_, _) => Kept;

        public int Ask(Run run, JsonValue value)
        {
            if (++run.Steps > MaxSteps || ++run.Depth > MaxDepth)
                throw new TooMuchException();
            int at = Check(run, value);
            run.Depth--;
            return at;
        }
    }

    // How far the judging of one text has come.
    private sealed class Run
    {
        public int Steps { get; set; }

        public int Depth { get; set; }
    }

    // Ends the judging of a text that is too much work.
    private sealed class TooMuchException : Exception;

    // What "#" and the path behind it name within the schema.
    private JsonValue Resolve(JsonValue reference)
    {
        string text = TextOf(reference, "$ref");
        if (text != "#" && !text.StartsWith("#/", StringComparison.Ordinal))
            throw Wrong($"it refers to '{text}'; expected a place in itself, such as #/$defs/name");
        JsonValue? at = _schema;
        foreach (string step in text.Split('/').Skip(1))
        {
            string name = Uri.UnescapeDataString(step).Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            at = at?.Type == JsonTokenType.StartArray ? (int.TryParse(name, out int i) ? at.Items.ElementAtOrDefault(i) : null) : at?[name];
        }

        return at ?? throw Wrong($"it refers to '{text}', which is not there");
    }

    private List<Check> Schemas(JsonValue value, string keyword)
    {
        List<JsonValue> schemas = ItemsOf(value, keyword);
        return schemas.Count > 0 ? [.. schemas.Select(Compile)] : throw Wrong($"'{keyword}' is a list of schemas");
    }

    private static List<JsonValue> ItemsOf(JsonValue value, string keyword) =>
        value.Type == JsonTokenType.StartArray ? value.Items : throw Wrong($"'{keyword}' is a list");

    private static List<(string Name, JsonValue Value)> MembersOf(JsonValue value, string keyword) =>
        value.Type == JsonTokenType.StartObject ? value.Members : throw Wrong($"'{keyword}' is an object");

    private static string TextOf(JsonValue value, string keyword) =>
        value.Type == JsonTokenType.String ? value.Text : throw Wrong($"'{keyword}' has another value than a text");

    private static int? NumberOf(JsonValue? value, string keyword)
    {
        if (value is null)
            return null;
        if (value.Type == JsonTokenType.Number && value.Number.Exact is decimal number && number is >= 0 and <= int.MaxValue && number == decimal.Truncate(number))
            return (int)number;
        throw Wrong($"'{keyword}' is an integer of at least 0");
    }

    // Of keywords that are read together, the first that is there stands for all.
    private static bool IsFirst(JsonValue schema, string keyword, params string[] together) =>
        schema.Members.Find(member => together.Contains(member.Name)).Name == keyword;

    private static FlintException Wrong(string what) => FlintException.Caller("invalid_rule", $"The schema cannot be used: {what}.");
}
