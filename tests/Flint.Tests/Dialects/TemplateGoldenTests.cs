using System.Text.Json;
using Flint.Dialects;

namespace Flint.Tests.Dialects;

/// <summary>Real models' templates render exactly as Jinja2 renders them.</summary>
public class TemplateGoldenTests
{
    [Fact]
    public void Every_template_renders_as_its_golden()
    {
        string folder = TestData.Shared("data/chat-templates");
        var written = new StringWriter();
        TemplateCases.Run(Path.Combine(folder, "templates"), Path.Combine(folder, "cases.json"), written);
        Dictionary<string, JsonElement> actual = Index(written.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Dictionary<string, JsonElement> expected = Index(File.ReadAllLines(Path.Combine(folder, "goldens.jsonl")));
        var wrong = new List<string>();
        foreach ((string key, JsonElement golden) in expected)
        {
            if (!actual.TryGetValue(key, out JsonElement line))
            {
                wrong.Add($"{key}: absent");
                continue;
            }

            string field = golden.TryGetProperty("text", out JsonElement text) ? "text" : "error";
            string want = field == "text" ? text.GetString()! : golden.GetProperty("error").GetString()!;
            string? got = line.TryGetProperty(field, out JsonElement value) ? value.GetString() : null;
            if (got != want)
                wrong.Add($"{key}: expected {field} {Clip(want, got)}, got {(got is null ? line.ToString()[..Math.Min(300, line.ToString().Length)] : Clip(got, want))}");
        }

        Assert.True(wrong.Count == 0, $"{expected.Count - wrong.Count} of {expected.Count} match\n" + string.Join('\n', wrong.Take(40)));
        Assert.Equal(expected.Count, actual.Count);
    }

    private static string Clip(string text, string? other)
    {
        int at = 0;
        while (other is not null && at < text.Length && at < other.Length && text[at] == other[at])
            at++;
        int start = Math.Max(0, at - 30);
        return $"[{at}] {JsonSerializer.Serialize(text.Substring(start, Math.Min(100, text.Length - start)))}";
    }

    private static Dictionary<string, JsonElement> Index(IEnumerable<string> lines)
    {
        var index = new Dictionary<string, JsonElement>();
        foreach (string line in lines)
        {
            JsonElement json = JsonDocument.Parse(line).RootElement;
            index.Add($"{json.GetProperty("template").GetString()} / {json.GetProperty("case").GetString()}", json);
        }

        return index;
    }
}
