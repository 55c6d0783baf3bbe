using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Dialects;

namespace Flint.Tests.Dialects;

/// <summary>The interpreter's semantics, against what Jinja2 3.1 made of the same sources; and its limits.</summary>
public class JinjaTests
{
    private const string Variables = """
        {"messages": [{"role": "user", "content": "Hello wörld 😀"}, {"role": "assistant", "content": null}],
         "data": {"f": 1.0, "big": 123456789012345678901234567890, "neg": -5, "e": 1e5, "u": "é\u0000😀", "n": null,
                  "list": [1, "two", 3.5, false], "with space": 1, "nested": {"deep": {"x": []}}},
         "tools": null, "documents": null, "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true}
        """;

    private static readonly DateTimeOffset Now = new(2026, 7, 4, 12, 34, 56, 789, TimeSpan.Zero);

    [Fact]
    public void Templates_render_and_fail_as_in_Jinja2()
    {
        var wrong = new List<string>();
        int count = 0;
        foreach (string line in File.ReadLines(Path.Combine(TestData.Root, "tests/Flint.Tests/Dialects/jinja-cases.jsonl")))
        {
            JsonElement row = JsonDocument.Parse(line).RootElement;
            string source = row.GetProperty("template").GetString()!;
            string expected = row.TryGetProperty("text", out JsonElement text) ? "text " + text.GetString() : "error " + row.GetProperty("error").GetString();
            string actual;
            try
            {
                actual = "text " + Render(source);
            }
            catch (FlintException e)
            {
                actual = "error " + ((TemplateFault)e.InnerException!).Kind;
            }
            catch (TemplateFault e)
            {
                actual = "error " + e.Kind;
            }

            if (actual != expected)
                wrong.Add($"{source}\n  expected {expected}\n  got      {actual}");
            count++;
        }

        Assert.Empty(wrong);
        Assert.True(count > 1000, $"only {count} cases");
    }

    [Theory]
    [InlineData("line 1\n{{ 1/0 }}", 2, "ZeroDivisionError: division by zero")]
    [InlineData("a\n\n{% for x in\n [1] %}\n{{ x.y.z }}{% endfor %}", 5, "UndefinedError: 'int object' has no attribute 'y'")]
    [InlineData("{% if x %}\n\n", 2, "TemplateSyntaxError: Unexpected end of template. Jinja was looking for the following tags: 'elif' or 'else' or 'endif'. The innermost block that needs to be closed is 'if'.")]
    [InlineData("{# a\n #}\n{% nope %}", 3, "TemplateSyntaxError: Encountered unknown tag 'nope'.")]
    [InlineData("{% macro m() %}\n{{ raise_exception('no') }}\n{% endmacro %}\n\n{{ m() }}", 2, "no")]
    public void Errors_name_the_line(string source, int line, string message)
    {
        FlintException e = Assert.Throws<FlintException>(() => ChatTemplate.Parse(source).Render(new TemplateInput { Messages = [] }));
        Assert.Equal(FaultSide.Caller, e.Side);
        Assert.Equal($"the chat template fails at line {line}: {message}", e.Message);
    }

    [Theory]
    [InlineData("{% include 'x' %}")]
    [InlineData("{% import 'x' as y %}")]
    [InlineData("{% extends 'x' %}")]
    public void Other_templates_cannot_be_reached(string source) =>
        Assert.Contains("is not supported", Assert.Throws<FlintException>(() => ChatTemplate.Parse(source)).Message);

    [Theory]
    [InlineData("{{ 'a' * 10**10 }}")]
    [InlineData("{{ [0] * 99999999 }}")]
    [InlineData("{{ '%99999999999d' % 5 }}")]
    [InlineData("{{ '%.99999d' % 5 }}")]
    [InlineData("{{ '{:99999999999}'.format(5) }}")]
    [InlineData("{{ '{:.999999f}'.format(5.0) }}")]
    [InlineData("{{ 'a'.center(9999999999) }}")]
    [InlineData("{{ 'a'.ljust(10**12) }}")]
    [InlineData("{{ 'a'.zfill(10**12) }}")]
    [InlineData("{{ 'a\\tb'.expandtabs(10**12) }}")]
    [InlineData("{{ 'a'|indent(10**12) }}")]
    [InlineData("{{ 10 ** (10 ** 10) }}")]
    [InlineData("{{ 10 ** 5000 }}")]
    [InlineData("{{ [1]|batch(10**9, 0)|list }}")]
    [InlineData("{{ [1]|slice(10**9)|list }}")]
    [InlineData("{{ range(10**9) }}")]
    [InlineData("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s.replace('', ns.s) %}{% endfor %}")]
    [InlineData("{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}")]
    [InlineData("{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}")]
    [InlineData("{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l|tojson }}")]
    [InlineData("{% set ns = namespace(l=(1,)) %}{% for i in range(100000) %}{% set ns.l = (ns.l,) %}{% endfor %}{{ {ns.l: 1} }}")]
    [InlineData("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}")]
    [InlineData("{% set ns = namespace() %}{% set ns.l = [ns] %}{{ ns.l|pprint }}")]
    [InlineData("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")]
    [InlineData("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}")]
    [InlineData("{% for i in range(100000) %}{{ 'x' * 1000000 }}{% endfor %}")]
    [InlineData("{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = ns.l + ['x' * 1000000] %}{% endfor %}")]
    [InlineData("{{ ('a' * 10000000).replace('a', 'bb') }}")]
    [InlineData("{{ range(100000)|map('string')|map('center', 100000)|join }}")]
    [InlineData("{% set ns = namespace(n=3) %}{% for i in range(100) %}{% set ns.n = ns.n * ns.n %}{% endfor %}")]
    [InlineData("{{ ('1' * 10000000)|int }}{{ 1/0 }}")]
    [InlineData("{{ ('x' * 1000000)|urlize }}{% for i in range(1000) %}{{ ('<a' * 1000000)|striptags }}{% endfor %}")]
    [InlineData("{% for i in range(100000) %}{% if ('a' * 1000000) + 'b' in ('a' * 1000000) %}{% endif %}{% endfor %}")]
    public void Hostile_templates_end_in_an_error(string source)
    {
        FlintException e = Assert.Throws<FlintException>(() => ChatTemplate.Parse(source).Render(new TemplateInput { Messages = [] }));
        Assert.Equal(FaultSide.Caller, e.Side);
    }

    [Fact]
    public void Deep_lists_are_compared_or_refused() // which depends on the frames that the compiler makes
    {
        try
        {
            Assert.Equal("True", Render("{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% set ns.m = [ns.m] %}{% endfor %}{{ ns.l == ns.m }}"));
        }
        catch (TemplateFault fault)
        {
            Assert.Contains("stack", fault.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_long_chain_of_iterators_is_read_or_refused()
    {
        // Whether it fits depends on the thread's stack; running out of it must not end the process.
        try
        {
            Assert.Equal("['A']", Render("{% set ns = namespace(l=['a']) %}{% for i in range(100000) %}{% set ns.l = ns.l|map('upper') %}{% endfor %}{{ ns.l|list }}"));
        }
        catch (TemplateFault fault)
        {
            Assert.True(fault.IsLimit);
        }
    }

    [Fact]
    public void Deep_sources_end_in_an_error()
    {
        string[] sources =
        [
            "{{ " + new string('(', 100_000) + "1" + new string(')', 100_000) + " }}",
            "{{ " + new string('[', 100_000) + " }}",
            "{{ " + string.Concat(Enumerable.Repeat("not ", 100_000)) + "1 }}",
            "{{ " + new string('-', 100_000) + "1 }}",
            "{{ 1" + string.Concat(Enumerable.Repeat(" + 1", 100_000)) + " }}",
            "{{ x" + string.Concat(Enumerable.Repeat(".x", 100_000)) + " }}",
            "{{ x" + string.Concat(Enumerable.Repeat("|upper", 100_000)) + " }}",
            "{{ 1" + string.Concat(Enumerable.Repeat(" if 1 else 1", 100_000)) + " }}",
            string.Concat(Enumerable.Repeat("{% if 1 %}", 50_000)),
            string.Concat(Enumerable.Repeat("{% for x in y %}", 50_000)),
            new string('x', (1 << 20) + 1),
        ];
        foreach (string source in sources)
            Assert.Throws<FlintException>(() => ChatTemplate.Parse(source).Render(new TemplateInput { Messages = [] }));
    }

    [Fact]
    public void Ordinary_sizes_are_within_the_limits()
    {
        Assert.Equal("1000", Render("{{ 1" + string.Concat(Enumerable.Repeat(" + 1", 999)) + " }}"));
        Assert.Equal("3000000", Render("{{ ('abc' * 1000000)|length }}"));
        Assert.Equal("100000", Render("{% set ns = namespace(n=0) %}{% for i in range(100000) %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"));
        Assert.Equal("x", Render(string.Concat(Enumerable.Repeat("{% if 1 %}", 90)) + "x" + string.Concat(Enumerable.Repeat("{% endif %}", 90))));
    }

    [Fact]
    public void One_template_renders_on_many_threads_at_once()
    {
        ChatTemplate template = ChatTemplate.Parse(
            "{% set ns = namespace(s='') %}{% for m in messages %}{% set ns.s = ns.s ~ m.role[0] ~ loop.index ~ m.content|upper %}{% endfor %}{{ ns.s }}");
        string[] results = new string[200];
        Parallel.For(0, results.Length, i => results[i] = template.Render(new TemplateInput
        {
            Messages = [.. Enumerable.Range(0, i % 7).Select(n => new ChatMessage { Role = "user", Content = $"m{i}-{n} " })],
        }));
        for (int i = 0; i < results.Length; i++)
            Assert.Equal(string.Concat(Enumerable.Range(0, i % 7).Select(n => $"u{n + 1}M{i}-{n} ")), results[i]);
    }

    [Fact]
    public void Mutated_templates_only_ever_raise_template_errors()
    {
        const int Rounds = 6000;
        var random = new Random(20261120);
        List<string> sources = [.. File.ReadLines(Path.Combine(TestData.Root, "tests/Flint.Tests/Dialects/jinja-cases.jsonl"))
            .Select(l => JsonDocument.Parse(l).RootElement.GetProperty("template").GetString()!)];
        string real = Path.GetFullPath(Path.Combine(TestData.Root, "..", "shared", "data", "chat-templates", "templates"));
        int small = sources.Count;
        if (Directory.Exists(real))
            sources.AddRange(Directory.GetFiles(real).Order(StringComparer.Ordinal).Select(File.ReadAllText));
        string[] pieces = ["{{", "}}", "{%", "%}", "{%-", "-%}", "{#", "#}", "(", ")", "[", "]", "|", ".", "~", "**", " 10**9 ", "'", "\"", "\\", " if ", " else ",
            " for ", " in ", " is ", " not ", "{% endfor %}", "{% endif %}", "{% set x = ", "range(99999)", "loop", "messages", "|tojson", "|map('upper')", "* 999999", "\0", "😀", "\ud800", "é"];
        int rendered = 0, failed = 0;
        for (int round = 0; round < Rounds; round++)
        {
            string source = Mutate(sources[round % 20 == 0 ? random.Next(sources.Count) : random.Next(small)], pieces, random);
            try
            {
                Render(source);
                rendered++;
            }
            catch (Exception e) when (e is FlintException or TemplateFault)
            {
                failed++;
            }
            catch (Exception e)
            {
                Assert.Fail($"{e.GetType().Name} {e.Message} from\n{source}\n{e.StackTrace}");
            }
        }

        Assert.True(rendered > Rounds / 20 && failed > Rounds / 20, $"{rendered} rendered, {failed} failed");
    }

    private static string Mutate(string source, string[] pieces, Random random)
    {
        for (int n = random.Next(1, 4); n > 0; n--)
        {
            int at = random.Next(source.Length + 1), length = Math.Min(random.Next(12), source.Length - at);
            source = random.Next(4) switch
            {
                0 => source.Remove(at, length),
                1 => source.Insert(at, pieces[random.Next(pieces.Length)]),
                2 => source.Remove(at, length).Insert(at, pieces[random.Next(pieces.Length)]),
                _ => source.Insert(random.Next(source.Length + 1), source.Substring(at, length)),
            };
        }

        return source;
    }

    private static string Render(string source)
    {
        JsonObject variables = JsonNode.Parse(Variables)!.AsObject();
        return ChatTemplate.Parse(source).Render(() => variables.Select(v => new KeyValuePair<string, object?>(v.Key, JsonValues.From((object?)v.Value))), Now);
    }
}
