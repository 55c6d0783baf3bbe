using System.Text.Json;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint template</c>.</summary>
public sealed class TemplateTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-template-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static List<(string Template, string Case, string? Text, bool Error)> Lines(string text) =>
        [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
        {
            JsonElement e = JsonDocument.Parse(line).RootElement;
            return (e.GetProperty("template").GetString()!, e.GetProperty("case").GetString()!,
                e.TryGetProperty("text", out JsonElement t) ? t.GetString() : null, e.TryGetProperty("error", out _));
        })];

    [Fact]
    public void One_line_for_each_template_and_case()
    {
        File.WriteAllText(Path.Combine(_folder, "b.jinja"), "{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}{{ strftime_now('%Y') }}{{ flag }}");
        File.WriteAllText(Path.Combine(_folder, "a.jinja"), "{{ raise_exception('no') }}");
        string cases = Path.Combine(_folder, "cases.json");
        File.WriteAllText(cases, """
            {"now": "2026-07-04T12:00:00", "defaults": {"flag": "x"},
             "cases": {"two": {"messages": [{"role": "user", "content": "hi"}]}, "one": {"messages": [], "flag": "é"}}}
            """);
        FlintProcess.Result run = FlintProcess.Run(["template", "--templates", _folder, "--cases", cases]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        Assert.Equal(
            [("a.jinja", "two", null, true), ("a.jinja", "one", null, true), ("b.jinja", "two", "[user: hi]2026x", false), ("b.jinja", "one", "2026é", false)],
            Lines(run.Output));

        Assert.Equal(1, FlintProcess.Run(["template", "--templates", Path.Combine(_folder, "none"), "--cases", cases]).Code);
        File.WriteAllText(cases, "[]");
        Assert.Contains("cases.json", FlintProcess.Run(["template", "--templates", _folder, "--cases", cases]).Complaint, StringComparison.Ordinal);
    }

    [Fact]
    public void Templates_of_real_models_render_as_their_goldens()
    {
        string data = TestData.Shared("data/chat-templates");
        FlintProcess.Result run = FlintProcess.Run(["template", "--templates", Path.Combine(data, "templates"), "--cases", Path.Combine(data, "cases.json")]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        var expected = Lines(File.ReadAllText(Path.Combine(data, "goldens.jsonl"))).Order().ToList();
        Assert.Equal(expected, Lines(run.Output).Order().ToList());
    }
}
