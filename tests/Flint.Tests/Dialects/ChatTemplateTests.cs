using System.Text.Json.Nodes;
using Flint.Dialects;

namespace Flint.Tests.Dialects;

/// <summary>How conversations are brought into the form that a template handles.</summary>
public class ChatTemplateTests
{
    private static readonly ToolDefinition Weather = ToolDefinition.From(JsonNode.Parse("""
        {"type": "function", "function": {"name": "get_weather", "description": "é", "strict": true,
         "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "number"}}}}}
        """));

    private static ChatMessage User(string text) => new() { Role = "user", Content = text };

    private static ChatMessage Calling(string arguments) => new() { Role = "assistant", ToolCalls = [new ToolCall("c1", "get_weather", arguments)] };

    private static string Render(string source, params ChatMessage[] messages) =>
        ChatTemplate.Parse(source).Render(new TemplateInput { Messages = messages, Tools = [Weather], BosToken = "<s>", Now = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero) });

    [Fact]
    public void Variables_reach_the_template()
    {
        Assert.Equal(
            "<s>||True|1|02 Jan 2026|low",
            ChatTemplate.Parse("{{ bos_token }}|{{ eos_token }}|{{ add_generation_prompt }}|{{ messages|length }}|{{ strftime_now('%d %b %Y') }}|{{ reasoning_strength }}")
                .Render(new TemplateInput
                {
                    Messages = [User("x")],
                    BosToken = "<s>",
                    Now = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
                    Extra = new Dictionary<string, object?> { ["reasoning_strength"] = "low" },
                }));
    }

    [Fact]
    public void A_tool_keeps_its_keys_and_their_order() => Assert.Equal(
        """{"type": "function", "function": {"name": "get_weather", "description": "é", "strict": true, "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "number"}}}}}""",
        Render("{{ tools[0]|tojson }}", User("x")));

    [Fact]
    public void Call_arguments_are_mappings_where_the_template_takes_mappings() => Assert.Equal(
        """get_weather{"city": "Oslo", "n": 1.50}city;n;""".Replace("1.50", "1.5"),
        Render("{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments|tojson }}{% for k in c.function.arguments %}{{ k }};{% endfor %}{% endfor %}{% endfor %}",
            User("x"), Calling("""{"city": "Oslo", "n": 1.50}""")));

    [Fact]
    public void Call_arguments_stay_text_where_the_template_joins_them_to_text() => Assert.Equal(
        """<{"city":"Oslo"}>""",
        Render("{% for m in messages %}{% for c in m.tool_calls or [] %}{{ '<' + c.function.arguments + '>' }}{% endfor %}{% endfor %}", User("x"), Calling("""{"city":"Oslo"}""")));

    [Theory]
    [InlineData("[1]")]
    [InlineData("{")]
    public void Call_arguments_that_are_no_object_are_the_callers_fault(string arguments) => Assert.Equal(
        "invalid_tool_arguments",
        Assert.Throws<FlintException>(() => Render("{% for m in messages %}{{ m.tool_calls|tojson if m.tool_calls }}{% endfor %}", User("x"), Calling(arguments))).Code);

    [Fact]
    public void The_developer_becomes_the_system_for_templates_that_do_not_know_it()
    {
        ChatMessage developer = new() { Role = "developer", Content = "d" };
        Assert.Equal("system:d", Render("{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}", developer));
        Assert.Equal("developer!", Render("{% for m in messages %}{% if m.role == 'developer' %}{{ m.role }}!{% endif %}{% endfor %}", developer));
    }

    [Fact]
    public void Content_parts_take_the_form_that_the_template_handles()
    {
        ChatMessage parts = new() { Role = "user", Parts = [ContentPart.OfText("a"), ContentPart.OfText("b")] };
        ChatMessage image = new() { Role = "user", Parts = [new ContentPart("image"), ContentPart.OfText("b")] };
        const string TextOnly = "{% for m in messages %}{{ m.role + ':' + m.content }}{% endfor %}";
        const string PartsOnly = "{% for m in messages %}{% for p in m.content %}{% if p.type == 'text' %}[{{ p.text }}]{% else %}<{{ p.type }}>{% endif %}{% endfor %}{% endfor %}";
        Assert.Equal("user:ab", Render(TextOnly, parts));
        Assert.Equal("[a][b]", Render(PartsOnly, parts));
        Assert.Equal("<image>[b]", Render(PartsOnly, image));
        Assert.Equal("[hi]", Render(PartsOnly, User("hi")));
        Assert.Equal("unsupported_content", Assert.Throws<FlintException>(() => Render(TextOnly, image)).Code);
    }

    [Fact]
    public void Further_fields_are_seen_and_replace_nothing()
    {
        var message = new ChatMessage
        {
            Role = "user",
            Content = "x",
            Name = "ann",
            Extra = new Dictionary<string, JsonNode?> { ["recipient"] = "self", ["role"] = "root", ["n"] = JsonNode.Parse("[1.0, null]") },
        };
        Assert.Equal("user ann self [1.0, None]", Render("{{ messages[0].role }} {{ messages[0].name }} {{ messages[0].recipient }} {{ messages[0].n }}", message));
    }

    [Theory]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"type": "function", "function": {}}""")]
    [InlineData("""{"function": {"name": ""}}""")]
    public void A_tool_without_a_name_is_refused(string json) =>
        Assert.Equal("invalid_tool", Assert.Throws<FlintException>(() => ToolDefinition.From(JsonNode.Parse(json))).Code);

    [Fact]
    public void Cases_run_to_one_line_each()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "b.jinja"), "{{ x }}{{ messages[0].content }}{{ strftime_now('%Y') }}\r\n");
            File.WriteAllText(Path.Combine(folder, "a.jinja"), "{{ 'x' + 1 }}");
            File.WriteAllText(Path.Combine(folder, "c.jinja"), "{% if %}");
            string cases = Path.Combine(folder, "cases.json");
            File.WriteAllText(cases, """{"now": "2025-01-01T00:00:00", "defaults": {"x": 1}, "cases": {"one": {"messages": [{"content": "é"}]}, "two": {"x": 2, "messages": []}}}""");
            var written = new StringWriter { NewLine = "\n" };
            TemplateCases.Run(folder, cases, written);
            Assert.Equal(
                """
                {"template":"a.jinja","case":"one","error":"TypeError: can only concatenate str (not \"int\") to str"}
                {"template":"a.jinja","case":"two","error":"TypeError: can only concatenate str (not \"int\") to str"}
                {"template":"b.jinja","case":"one","text":"1é2025"}
                {"template":"b.jinja","case":"two","error":"UndefinedError: list object has no element 0"}
                {"template":"c.jinja","case":"one","error":"TemplateSyntaxError: Expected an expression, got 'end of statement block'"}
                {"template":"c.jinja","case":"two","error":"TemplateSyntaxError: Expected an expression, got 'end of statement block'"}

                """,
                written.ToString());
            File.WriteAllText(cases, "[]");
            Assert.Equal("invalid_cases", Assert.Throws<FlintException>(() => TemplateCases.Run(folder, cases, written)).Code);
            Assert.Equal("not_found", Assert.Throws<FlintException>(() => TemplateCases.Run(folder, cases + ".absent", written)).Code);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }
}
