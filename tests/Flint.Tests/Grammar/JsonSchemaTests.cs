using System.Text;
using Flint.Grammar;

namespace Flint.Tests.Grammar;

/// <summary>Schemas as grammars: what they take and what they do not, keyword by keyword.</summary>
public sealed class JsonSchemaTests
{
    [Theory]
    [InlineData("""{"type": "integer"}""", "0|-1|12|-305", "1.5|01|1.|+1|\"1\"|- 1|null")]
    [InlineData("""{"type": "number"}""", "0|-1.50|2e5|1E-10|3.25e+1", ".5|1.|0x1|1e|--1|NaN")]
    [InlineData("""{"type": "integer", "minimum": -3, "maximum": 120}""", "-3|-1|0|7|99|120|-0", "-4|121|999|-10|1000")]
    [InlineData("""{"type": "integer", "exclusiveMinimum": 9, "exclusiveMaximum": 101}""", "10|55|100", "9|101|8|110")]
    [InlineData("""{"type": "number", "minimum": 0.5, "maximum": 10}""", "0.5|0.51|1|9.999|10|10.0|0.500", "0.49|10.01|-1|0|11|5e-1")]
    [InlineData("""{"type": "number", "minimum": -2.5, "exclusiveMaximum": -1}""", "-2.5|-2.4999|-1.01|-2", "-2.51|-1|-1.0|0|1|-3")]
    [InlineData("""{"type": "number", "exclusiveMinimum": 0}""", "0.001|1|100.5", "0|0.0|-1|-0.1")]
    [InlineData("""{"type": "integer", "multipleOf": 7}""", "0|7|-14|700|49", "1|8|-13|701")]
    [InlineData("""{"type": "number", "multipleOf": 0.25}""", "0|0.25|1.5|-2.75|3|4.250", "0.2|1.3|0.26|2.125")]
    [InlineData("""{"type": "boolean"}""", "true|false", "True|1|null")]
    [InlineData("""{"type": ["null", "boolean"]}""", "null|true", "0|\"\"")]
    [InlineData("""{"enum": ["a", "ab", 1, 2.50, null, ["x", 1], {"k": true}]}""", "\"a\"|\"ab\"|1|2.50|null|[\"x\",1]|[\"x\", 1]|{\"k\": true}", "\"b\"|11|[\"x\"]|{}|true")]
    [InlineData("""{"const": "a\n\"é"}""", "\"a\\n\\\"é\"", "\"a\"|\"\\n\"")]
    [InlineData("""{"type": "string", "enum": ["a", 1, "b"]}""", "\"a\"|\"b\"", "1|\"c\"")]
    [InlineData("""{"enum": [1, 5, 10], "minimum": 4}""", "5|10", "1|6")]
    [InlineData("""{"type": "string", "minLength": 2, "maxLength": 3}""", "\"ab\"|\"日本語\"|\"\\n\\u0041\"|\"\\ud83d\\ude00x\"", "\"a\"|\"abcd\"|\"\"|\"\\ud83dx\"")]
    [InlineData("""{"type": "string", "pattern": "^[a-c]+\\d?$"}""", "\"a\"|\"abc7\"", "\"\"|\"7\"|\"abd\"|\"a77\"")]
    [InlineData("""{"type": "string", "pattern": "b"}""", "\"b\"|\"abc\"|\"xx b\"", "\"\"|\"ac\"")]
    [InlineData("""{"type": "string", "pattern": "^a", "maxLength": 3}""", "\"a\"|\"abc\"", "\"ba\"|\"abcd\"")]
    [InlineData("""{"type": "string", "format": "date"}""", "\"2024-02-29\"|\"2023-12-31\"", "\"2023-02-29\"|\"2023-13-01\"|\"2023-04-31\"|\"23-01-01\"")]
    [InlineData("""{"type": "string", "format": "date-time"}""", "\"2024-02-29T23:59:59.5Z\"|\"2024-01-01T00:00:00+01:30\"", "\"2024-01-01 00:00:00Z\"|\"2024-01-01T24:00:00Z\"|\"2024-01-01T00:00:00\"")]
    [InlineData("""{"type": "string", "format": "uuid"}""", "\"123e4567-e89b-12d3-a456-426614174000\"", "\"123e4567e89b12d3a456426614174000\"|\"\"")]
    [InlineData("""{"type": "string", "format": "ipv4"}""", "\"0.0.0.0\"|\"255.10.1.99\"", "\"256.0.0.1\"|\"1.2.3\"|\"01.2.3.4\"")]
    [InlineData("""{"type": "string", "format": "email"}""", "\"a.b+c@ex-ample.org\"", "\"a@\"|\"@b.c\"|\"a b@c.d\"")]
    [InlineData("""{"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}""", "[1]|[1, 2,3]|[ 1 ]", "[]|[1,2,3,4]|[\"1\"]|[1,]")]
    [InlineData("""{"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false, "type": "array"}""", "[]|[\"a\"]|[\"a\", 1]", "[1]|[\"a\", 1, 2]|[\"a\", \"b\"]")]
    [InlineData("""{"items": [{"type": "string"}], "additionalItems": {"type": "null"}, "type": "array", "minItems": 2}""", "[\"a\", null]|[\"a\", null, null]", "[\"a\"]|[\"a\", 1]")]
    [InlineData("""{"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}""", "3|[\"a\"]|[]", "\"a\"|[1]")]
    [InlineData("""{"oneOf": [{"type": "integer"}, {"minimum": 2}], "type": "number"}""", "1|2.5|-3", "3|2|1.5")]
    [InlineData("""{"oneOf": [{"type": "integer", "multipleOf": 4}, {"type": "integer", "maximum": 10}, {"const": "x"}]}""", "3|12|\"x\"", "4|8|13|\"y\"")]
    [InlineData("""{"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object", "properties": {"a": {}, "b": {}}}""", "{\"a\": 1}|{\"b\": 1}|{\"a\": 1, \"c\": 2}", "{}|{\"a\": 1, \"b\": 2}")]
    [InlineData("""{"oneOf": [{"properties": {"k": {"const": "p"}, "v": {"type": "integer"}}, "required": ["k"]}, {"properties": {"k": {"const": "q"}, "v": {"type": "string"}}, "required": ["k"]}], "type": "object"}""", "{\"k\": \"p\", \"v\": 1}|{\"k\": \"q\", \"v\": \"s\"}|{\"k\": \"q\"}", "{\"k\": \"p\", \"v\": \"s\"}|{\"k\": \"r\"}|{\"v\": 1}")]
    [InlineData("""{"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "b$"}]}""", "\"ac\"|\"cb\"|\"b\"", "\"ab\"|\"acb\"|\"c\"")]
    [InlineData("""{"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "uuid"}]}""", "\"2024-02-29\"|\"123e4567-e89b-12d3-a456-426614174000\"", "\"2024\"")]
    [InlineData("""{"oneOf": [true, {"type": "string"}]}""", "1|null|{}", "\"a\"")]
    [InlineData("""{"not": {"oneOf": [{"type": "integer"}, {"minimum": 2}]}}""", "5|1.5|0.25", "1|2.5|\"a\"")]
    [InlineData("""{"not": {"type": "integer"}}""", "1.5|-0.25|\"a\"|null", "1|-3|2.0")]
    [InlineData("""{"type": "integer", "not": {"exclusiveMinimum": 4}}""", "4|-1", "5")]
    [InlineData("""{"contains": {"const": 3}, "type": "array", "items": {"type": "integer"}}""", "[3]|[1, 3]|[3,1,3]", "[]|[1,2]|[\"3\", 3]")]
    [InlineData("""{"contains": {"type": "string"}, "minContains": 2, "type": "array", "maxItems": 3}""", "[\"a\", \"b\"]|[1, \"a\", \"b\"]|[\"a\",\"b\",\"c\"]", "[\"a\"]|[1, 2, \"a\"]|[1, 2, \"a\", \"b\"]")]
    [InlineData("""{"contains": {"type": "string"}, "minContains": 0, "maxContains": 1, "type": "array"}""", "[]|[\"a\"]|[1, \"a\", 2]|[1, 2]", "[\"a\", \"b\"]|[\"a\", 1, \"b\"]")]
    [InlineData("""{"prefixItems": [{"const": 1}], "contains": {"const": 1}, "minContains": 2, "type": "array"}""", "[1, 1]|[1, 2, 1]", "[1]|[1, 2]|[2, 1, 1]")]
    [InlineData("""{"not": {"items": {"type": "integer"}}}""", "[\"a\"]|[1, null]", "[]|[1, 2]|3")]
    [InlineData("""{"type": "array", "items": {"enum": ["a", "b", null, "ab"]}, "uniqueItems": true, "minItems": 1, "maxItems": 3}""", "[\"a\"]|[\"ab\", \"a\", null]|[null]", "[]|[\"a\", \"a\"]|[null, null]|[\"a\",\"b\",null,\"ab\"]|[\"c\"]")]
    [InlineData("""{"type": "string", "format": "hostname"}""", "\"a\"|\"a-b.example.org\"|\"a--b\"", "\"xn--x\"|\"-a\"|\"a..b\"|\"a-\"")]
    [InlineData("""{"type": "string", "format": "iri"}""", "\"http://ex.org/ä?日=1\"|\"urn:a\"", "\"ä\"|\"http://a b\"")]
    [InlineData("""{"type": "string", "format": "uri-template"}""", "\"/a/{b,c*}{?d:3}\"|\"\"", "\"{a\"|\"a}\"|\"{}\"")]
    [InlineData("""{"type": "string", "format": "colour"}""", "\"red\"|\"\"", "1")]
    [InlineData("""{"allOf": [{"minimum": 3}, {"maximum": 5, "type": "integer"}]}""", "3|5", "2|6|4.5|\"a\"")]
    [InlineData("""{"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}], "type": "object"}""", "{\"b\": \"x\"}|{\"a\": 1, \"b\": \"x\"}", "{\"a\": 1}|{\"a\": \"x\", \"b\": \"y\"}")]
    [InlineData("""{"not": {"type": "string"}}""", "1|null|{}", "\"a\"")]
    [InlineData("""{"type": "string", "not": {"enum": ["a", "b"]}}""", "\"c\"|\"\"|\"ab\"", "\"a\"|\"b\"|1")]
    [InlineData("""{"if": {"properties": {"k": {"const": 1}}, "required": ["k"]}, "then": {"required": ["a"]}, "else": {"required": ["b"]}, "type": "object"}""", "{\"k\": 1, \"a\": 0}|{\"b\": 2}|{\"k\": 2, \"b\": 1}", "{\"k\": 1}|{\"k\": 2, \"a\": 1}|{}")]
    [InlineData("""{"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}""", "1", "\"a\"")]
    [InlineData("""{"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["v"], "additionalProperties": false}""", "{\"v\": 1}|{\"v\": 1, \"next\": {\"v\": 2, \"next\": {\"v\": 3}}}", "{\"v\": 1, \"next\": {}}|{\"next\": {\"v\": 1}}")]
    [InlineData("true", "1|{\"a\": [null, {\"b\": \"c\"}]}|[[]]", "{a: 1}|[1 2]|")]
    public void Takes_what_is_valid_and_nothing_else(string schema, string valid, string invalid)
    {
        TokenGrammar grammar = SmallVocabulary.Schema(schema);
        Assert.All(valid.Split('|'), text => Assert.True(grammar.Accepts(text), text));
        Assert.All(invalid.Split('|'), text => Assert.False(grammar.Accepts(text), text));
    }

    private const string Person = """
        {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array"}}, "required": ["name", "tags"], "additionalProperties": false}
        """;

    [Theory]
    [InlineData(Person, "{\"name\": \"a\", \"tags\": []}|{\"name\": \"a\", \"age\": 3, \"tags\": [1]}", "{\"tags\": [], \"name\": \"a\"}", "{\"name\": \"a\"}|{\"name\": \"a\", \"tags\": [], \"x\": 1}|{\"name\": \"a\", \"name\": \"b\", \"tags\": []}|{}")]
    [InlineData("""{"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}}""", "{}|{\"a\": 1, \"b\": \"x\", \"c\": \"y\"}|{\"ab\": \"x\"}", "{\"b\": \"x\", \"a\": 1}", "{\"a\": \"x\"}|{\"b\": 1}|{\"\\u0061\": \"x\"}")]
    [InlineData("""{"type": "object", "patternProperties": {"^n_": {"type": "integer"}, "_s$": {"minimum": 5}}, "additionalProperties": false}""", "{\"n_a\": 1}|{\"n_s\": 5}|{\"x_s\": \"any\"}", "", "{\"n_a\": \"x\"}|{\"n_s\": 4}|{\"other\": 1}|{\"x_s\": 4}")]
    [InlineData("""{"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}, "additionalProperties": false}""", "{}|{\"b\": 1}|{\"a\": 1, \"b\": 2}", "{\"b\": 1, \"a\": 2}", "{\"a\": 1}")]
    [InlineData("""{"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2, "maxProperties": 2, "additionalProperties": false}""", "{\"a\": 1, \"b\": 2}|{\"b\": 1, \"c\": 2}", "{\"c\": 1, \"a\": 2}", "{}|{\"a\": 1}|{\"c\": 1}|{\"a\": 1, \"b\": 2, \"c\": 3}")]
    [InlineData("""{"type": "object", "propertyNames": {"pattern": "^[a-z]$"}, "maxProperties": 2}""", "{}|{\"a\": 1}|{\"a\": 1, \"b\": 2}", "", "{\"ab\": 1}|{\"a\": 1, \"b\": 2, \"c\": 3}")]
    [InlineData("""{"type": "object", "properties": {"a": false, "b": {"type": "null"}}}""", "{}|{\"b\": null}|{\"c\": 1}", "", "{\"a\": 1}|{\"b\": 1}")]
    [InlineData("""{"allOf": [{"properties": {"a": {"type": "integer"}}}], "properties": {"b": {}}, "type": "object", "unevaluatedProperties": false}""", "{\"b\": 0}|{\"a\": 1}", "{\"b\": 1, \"a\": 2}", "{\"c\": 1}|{\"a\": \"x\"}")]
    [InlineData("""{"type": "object", "properties": {"k": {}}, "dependentSchemas": {"k": {"required": ["z"]}}}""", "{}|{\"k\": 1, \"z\": 2}|{\"z\": 1}", "", "{\"k\": 1}")]
    public void Members_come_in_the_schemas_order_or_in_any(string schema, string valid, string otherOrder, string invalid)
    {
        TokenGrammar ordered = SmallVocabulary.Schema(schema), any = SmallVocabulary.Schema(schema, isAnyOrder: true);
        foreach (string text in valid.Split('|'))
        {
            Assert.True(ordered.Accepts(text), text);
            Assert.True(any.Accepts(text), text);
        }

        foreach (string text in otherOrder.Split('|', StringSplitOptions.RemoveEmptyEntries))
        {
            if (!schema.Contains("dependentRequired", StringComparison.Ordinal) && !schema.Contains("allOf", StringComparison.Ordinal))
                Assert.False(ordered.Accepts(text), text);
            Assert.True(any.Accepts(text), text);
        }

        foreach (string text in invalid.Split('|'))
        {
            Assert.False(ordered.Accepts(text), text);
            Assert.False(any.Accepts(text), text);
        }
    }

    [Theory]
    [InlineData("""{"type": "array", "uniqueItems": true}""", "uniqueItems")]
    [InlineData("""{"type": "array", "items": {"enum": ["a", 1]}, "uniqueItems": true}""", "uniqueItems")]
    [InlineData("""{"type": "array", "allOf": [{"contains": {"const": 1}}, {"contains": {"const": 2}}]}""", "contains")]
    [InlineData("""{"oneOf": [{"properties": {"a": {"propertyNames": {"pattern": "^a"}}}}, {"properties": {"b": {"type": "string"}}}]}""", "propertyNames")]
    [InlineData("""{"oneOf": [true, true]}""", "no text")]
    [InlineData("""{"$dynamicRef": "#x"}""", "$dynamicRef")]
    [InlineData("""{"type": "string", "format": "regex"}""", "format")]
    [InlineData("""{"type": "string", "pattern": "(a)\\1"}""", "refers back")]
    [InlineData("""{"type": "string", "pattern": "\\bword"}""", "word's border")]
    [InlineData("""{"type": "string", "pattern": "(?<=a)b"}""", "looks behind")]
    [InlineData("""{"$ref": "https://example.org/other.json"}""", "other.json")]
    [InlineData("""{"$ref": "#/$defs/none"}""", "none")]
    [InlineData("""{"$ref": "#"}""", "refers to itself")]
    [InlineData("""{"type": "object", "minProperties": 3}""", "minProperties")]
    [InlineData("""{"not": {"uniqueItems": true}}""", "uniqueItems")]
    [InlineData("""{"type": "colour"}""", "type")]
    [InlineData("""{"minLength": "a"}""", "minLength")]
    [InlineData("""{"anyOf": []}""", "anyOf")]
    [InlineData("""[1]""", "neither an object nor a boolean")]
    [InlineData("""{"enum": []}""", "no text")]
    [InlineData("""{"type": "integer", "minimum": 5, "maximum": 4}""", "no text")]
    [InlineData("""{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}""", "no text")]
    public void What_cannot_be_enforced_is_refused_by_name(string schema, string named)
    {
        FlintException fault = Assert.Throws<FlintException>(() => SmallVocabulary.Schema(schema));
        Assert.Equal(FaultSide.Caller, fault.Side);
        Assert.Contains(named, fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_rule_that_never_ends_is_passed_over_where_it_may_be()
    {
        TokenGrammar grammar = SmallVocabulary.Schema("""
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/loop"}, "b": {"type": "array", "items": {"$ref": "#/$defs/loop"}}},
             "$defs": {"loop": {"type": "object", "properties": {"x": {"$ref": "#/$defs/loop"}}, "required": ["x"]}}, "additionalProperties": false}
            """);
        Assert.True(grammar.Accepts("{}"));
        Assert.True(grammar.Accepts("""{"b": []}"""));
        Assert.Equal("""{"b": []}""", Forced(grammar, """{"b": ["""));
        Assert.Null(grammar.Start().TryRead((byte)'{') ? Read(grammar, """{"a""") : null);
    }

    [Fact]
    public void Keywords_beside_a_reference_say_nothing_in_draft_7()
    {
        const string Schema = """{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "maximum": 3, "definitions": {"a": {"type": "integer"}}}""";
        Assert.True(SmallVocabulary.Schema(Schema).Accepts("9"));
        Assert.False(SmallVocabulary.Schema(Schema.Replace("draft-07", "2020", StringComparison.Ordinal)).Accepts("9"));
    }

    [Fact]
    public void Space_is_bounded()
    {
        TokenGrammar grammar = SmallVocabulary.Schema("""{"type": "array"}""");
        Assert.True(grammar.Accepts("[\n    1,\n\t2\n]"));
        Assert.False(grammar.Accepts("[  1]"));
        Assert.False(grammar.Accepts("[" + new string('\n', 2) + "1]"));
        Assert.False(grammar.Accepts(" []"));
        Assert.False(grammar.Accepts("[] "));
    }

    // Goes on while only one byte may follow.
    private static string Forced(TokenGrammar grammar, string beginning)
    {
        var text = new StringBuilder(beginning);
        GrammarState state = Read(grammar, beginning)!;
        while (!state.CanEnd)
        {
            ulong[] mask = new ulong[state.MaskWords];
            state.CopyMask(mask);
            int next = Enumerable.Range(33, 94).First(b => (mask[b >> 6] >> b & 1) != 0);
            Assert.True(state.TryRead(next));
            text.Append((char)next);
        }

        return text.ToString();
    }

    private static GrammarState? Read(TokenGrammar grammar, string text)
    {
        GrammarState state = grammar.Start();
        foreach (byte next in Encoding.UTF8.GetBytes(text))
        {
            if (!state.TryRead(next))
                return null;
        }

        return state;
    }
}
