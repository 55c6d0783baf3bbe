using Flint.App.Policy;

namespace Flint.App.Tests.Policy;

/// <summary>JSON schemas as rules measure texts by them.</summary>
public sealed class TextSchemaTests
{
    [Theory]
    [InlineData("""{"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}, "additionalProperties": false}""", """{"a": 1.0}""", true, 0)]
    [InlineData("""{"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}, "additionalProperties": false}""", """ {"a": 1, "b": 1}""", false, 15)]
    [InlineData("""{"type": "object", "required": ["a"]}""", """ {"b": 1}""", false, 1)]
    [InlineData("""{"properties": {"a": {"type": "integer"}}}""", """{"é": 0, "a": 1.5}""", false, 14)]
    [InlineData("""{"properties": {"a": {"type": "integer"}}}""", "[1]", true, 0)]
    [InlineData("true", "x", false, 0)]
    [InlineData("true", """{"a": 1} x""", false, 9)]
    [InlineData("true", "", false, 0)]
    [InlineData("false", "1", false, 0)]
    [InlineData("""{"type": ["string", "null"]}""", "null", true, 0)]
    [InlineData("""{"enum": [1, "a", {"x": [1.50], "y": null}]}""", """{"y": null, "x": [1.5]}""", true, 0)]
    [InlineData("""{"enum": [1, "a"]}""", "1e0", true, 0)]
    [InlineData("""{"const": {"a": 1}}""", """{"a": 2}""", false, 0)]
    [InlineData("""{"const": 12345678901234567890123}""", "12345678901234567890124", false, 0)]
    [InlineData("""{"minimum": 1, "exclusiveMaximum": 2}""", "1.9999", true, 0)]
    [InlineData("""{"minimum": 1, "exclusiveMaximum": 2}""", "2", false, 0)]
    [InlineData("""{"maximum": 0.1}""", "0.10000000000000000001", false, 0)]
    [InlineData("""{"multipleOf": 0.01}""", "19.99", true, 0)]
    [InlineData("""{"multipleOf": 0.01}""", "19.999", false, 0)]
    [InlineData("""{"minLength": 2, "maxLength": 2}""", "\"\U0001F600\u00e9\"", true, 0)]
    [InlineData("""{"maxLength": 1}""", "\"ab\"", false, 0)]
    [InlineData("""{"pattern": "^\\d+$"}""", "\"12\"", true, 0)]
    [InlineData("""{"pattern": "^\\d+$"}""", "\"12\\n\"", false, 0)]
    [InlineData("""{"pattern": "^\\d+$"}""", "\"\u0661\"", false, 0)]
    [InlineData("""{"pattern": "[[a]x"}""", "\"-[x-\"", true, 0)]
    [InlineData("""{"patternProperties": {"^x-": {"type": "string"}}, "properties": {"y": true}, "additionalProperties": false}""", """{"x-a": "1", "y": 2}""", true, 0)]
    [InlineData("""{"patternProperties": {"^x-": {"type": "string"}}}""", """{"x-a": 1}""", false, 8)]
    [InlineData("""{"propertyNames": {"maxLength": 2}}""", """{"ab": 1, "abc": 2}""", false, 17)]
    [InlineData("""{"minProperties": 1, "maxProperties": 2}""", "{}", false, 0)]
    [InlineData("""{"dependentRequired": {"card": ["name"]}}""", """{"card": 1}""", false, 0)]
    [InlineData("""{"dependentSchemas": {"card": {"required": ["name"]}}}""", """{"name": 1}""", true, 0)]
    [InlineData("""{"prefixItems": [{"type": "string"}], "items": {"type": "number"}}""", """["a", 1, "b"]""", false, 9)]
    [InlineData("""{"minItems": 1, "maxItems": 2, "uniqueItems": true}""", "[1, 1.0]", false, 4)]
    [InlineData("""{"contains": {"const": 1}, "maxContains": 1}""", "[1, 2]", true, 0)]
    [InlineData("""{"contains": {"const": 1}, "maxContains": 1}""", "[1, 1]", false, 0)]
    [InlineData("""{"contains": {"const": 1}, "minContains": 0}""", "[]", true, 0)]
    [InlineData("""{"anyOf": [{"properties": {"a": {"const": 1}}}, {"type": "string"}]}""", """{"a": 2}""", false, 6)]
    [InlineData("""{"oneOf": [{"type": "integer"}, {"minimum": 2}]}""", "3", false, 0)]
    [InlineData("""{"oneOf": [{"type": "integer"}, {"minimum": 2}]}""", "2.5", true, 0)]
    [InlineData("""{"allOf": [{"type": "integer"}, {"not": {"const": 3}}]}""", "3", false, 0)]
    [InlineData("""{"if": {"properties": {"k": {"const": "a"}}}, "then": {"required": ["x"]}, "else": {"required": ["y"]}}""", """{"k": "b", "y": 1}""", true, 0)]
    [InlineData("""{"if": {"properties": {"k": {"const": "a"}}}, "then": {"required": ["x"]}}""", """{"k": "a"}""", false, 0)]
    [InlineData("""{"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}}""", """{"next": {"next": 1}}""", false, 18)]
    [InlineData("""{"$id": "https://example.org/s", "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "t", "format": "date"}""", "1", true, 0)]
    public void A_text_keeps_to_a_schema_or_breaks_it_somewhere(string schema, string text, bool keeps, int position)
    {
        (SchemaVerdict verdict, int at) = new TextSchema(schema).Judge(text);
        Assert.Equal((keeps ? SchemaVerdict.Keeps : SchemaVerdict.Breaks, position), (verdict, at));
    }

    [Theory]
    [InlineData("""{"a": 1, "a": 2}""")]
    [InlineData("\"\\ud800\"")]
    public void What_readers_may_understand_differently_is_unclear(string text) => Assert.Equal(SchemaVerdict.Unclear, new TextSchema("true").Judge(text).Verdict);

    [Fact]
    public void Depth_length_and_work_have_limits()
    {
        var any = new TextSchema("true");
        Assert.Equal(SchemaVerdict.Keeps, any.Judge(new string('[', JsonValue.MaxDepth) + new string(']', JsonValue.MaxDepth)).Verdict);
        Assert.Equal(SchemaVerdict.Unclear, any.Judge(new string('[', JsonValue.MaxDepth + 2) + new string(']', JsonValue.MaxDepth + 2)).Verdict);
        Assert.Equal(SchemaVerdict.Unclear, any.Judge(new string(' ', TextSchema.MaxText) + "1").Verdict);
        Assert.Equal(SchemaVerdict.Unclear, new TextSchema("""{"$ref": "#"}""").Judge("1").Verdict);
        var twice = new TextSchema("""{"not": {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}, "type": "array"}""");
        Assert.Equal(SchemaVerdict.Unclear, new TextSchema("""{"anyOf": [{"items": {"$ref": "#"}, "maxItems": 0, "type": "array"}, {"items": {"$ref": "#"}, "minItems": 9}]}""").Judge(new string('[', 60) + new string(']', 60)).Verdict);
        Assert.NotEqual(SchemaVerdict.Unclear, twice.Judge("[[1]]").Verdict);
    }

    [Theory]
    [InlineData("[]", "a schema is an object")]
    [InlineData("{", "no JSON at character 1")]
    [InlineData("""{"type": "int"}""", "no type 'int'")]
    [InlineData("""{"unevaluatedProperties": false}""", "says 'unevaluatedProperties'")]
    [InlineData("""{"properties": {"a": {"minimun": 1}}}""", "says 'minimun'")]
    [InlineData("""{"$ref": "other.json"}""", "refers to 'other.json'")]
    [InlineData("""{"$ref": "#/$defs/a"}""", "is not there")]
    [InlineData("""{"items": [true]}""", "prefixItems")]
    [InlineData("""{"pattern": "(?=a)"}""", "cannot be used")]
    [InlineData("""{"pattern": "["}""", "cannot be used")]
    [InlineData("""{"minLength": -1}""", "at least 0")]
    [InlineData("""{"multipleOf": 0}""", "above 0")]
    [InlineData("""{"required": "a"}""", "is a list")]
    [InlineData("""{"anyOf": []}""", "list of schemas")]
    public void A_schema_that_says_what_is_not_known_is_refused(string schema, string expected)
    {
        FlintException fault = Assert.Throws<FlintException>(() => new TextSchema(schema));
        Assert.Equal((FaultSide.Caller, "invalid_rule"), (fault.Side, fault.Code));
        Assert.Contains(expected, fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Of_rules_that_allow_one_is_enough_and_one_that_denies_goes_before_them()
    {
        SchemaRule number = new("number", RuleAction.Allow, new TextSchema("""{"type": "number"}""")), pair = new("pair", RuleAction.Allow, new TextSchema("""{"prefixItems": [true, {"type": "number"}], "type": "array"}"""));
        SchemaRule seven = new("seven", RuleAction.Deny, new TextSchema("""{"const": 7}"""));
        Assert.Null(SchemaRule.Denial([number, pair, seven], "8"));
        Assert.Equal(("seven", 0), SchemaRule.Denial([number, pair, seven], "7"));
        Assert.Equal(("pair", 4), SchemaRule.Denial([number, pair, seven], "[1, \"x\"]"));
        Assert.Equal(("number", 0), SchemaRule.Denial([number, seven], "\"x\""));
        Assert.Null(SchemaRule.Denial([number], "\"x\"", isAllowed: true));
        Assert.Null(SchemaRule.Denial([seven], "no JSON"));
        Assert.Equal("seven", SchemaRule.Denial([seven], """{"a": 7, "a": 8}""")?.Rule);
    }
}
