using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Flint.Dialects;

/// <summary>
/// Renders every template of a folder with every case of a file. The file is an object: <c>now</c> (the fixed clock, ISO 8601),
/// <c>defaults</c> (variables of every case) and <c>cases</c> (name to variables).
/// </summary>
public static class TemplateCases
{
    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>
    /// Writes one JSON line per template and case, templates by name, cases in the file's order: <c>template</c>, <c>case</c>, and
    /// <c>text</c> or, where rendering fails, <c>error</c> as Python would name it (<c>TypeError: ...</c>).
    /// </summary>
    /// <exception cref="FlintException">Caller: the folder or the file is missing or not of this layout.</exception>
    public static void Run(string templatesDir, string casesJson, TextWriter jsonLines)
    {
        using JsonDocument document = Read(casesJson);
        JsonElement root = document.RootElement;
        JsonElement cases = Member(root, "cases", casesJson);
        DateTimeOffset now = root.TryGetProperty("now", out JsonElement clock) ? ParseClock(clock, casesJson) : DateTimeOffset.Now;
        JsonElement? defaults = root.TryGetProperty("defaults", out JsonElement given) && given.ValueKind == JsonValueKind.Object ? given : null;
        if (!Directory.Exists(templatesDir))
            throw FlintException.Caller("not_found", $"there is no folder {templatesDir}");
        foreach (string path in Directory.GetFiles(templatesDir, "*.jinja").Order(StringComparer.Ordinal))
        {
            (ChatTemplate? template, string? error) = Try(() => ChatTemplate.Parse(File.ReadAllText(path)));
            foreach (JsonProperty named in cases.EnumerateObject())
            {
                string? text = null;
                if (template is not null)
                    (text, error) = Try(() => template.Render(() => Variables(defaults, named.Value), now));
                var line = new JsonObject { ["template"] = Path.GetFileName(path), ["case"] = named.Name };
                line[text is null ? "error" : "text"] = text ?? error;
                jsonLines.WriteLine(line.ToJsonString(Plain));
            }
        }
    }

    private static JsonDocument Read(string path)
    {
        try
        {
            return JsonDocument.Parse(File.ReadAllBytes(path));
        }
        catch (JsonException e)
        {
            throw new FlintException(FaultSide.Caller, "invalid_cases", $"{path} is not JSON: {e.Message}", e);
        }
        catch (IOException e)
        {
            throw new FlintException(FaultSide.Caller, "not_found", $"cannot read {path}: {e.Message}", e);
        }
    }

    private static JsonElement Member(JsonElement root, string name, string path) =>
        root.ValueKind == JsonValueKind.Object && root.TryGetProperty(name, out JsonElement member) && member.ValueKind == JsonValueKind.Object
            ? member : throw FlintException.Caller("invalid_cases", $"{path} must be an object with the object '{name}' in it");

    private static DateTimeOffset ParseClock(JsonElement clock, string path) =>
        clock.ValueKind == JsonValueKind.String
            && DateTimeOffset.TryParse(clock.GetString(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset now)
            ? now : throw FlintException.Caller("invalid_cases", $"'now' in {path} must be a time such as 2026-07-04T12:00:00");

    /// <summary>The variables of a case: <c>tools</c> and <c>documents</c> are None unless given, as the Transformers library passes them.</summary>
    private static IEnumerable<KeyValuePair<string, object?>> Variables(JsonElement? defaults, JsonElement given)
    {
        yield return new("tools", null);
        yield return new("documents", null);
        foreach (JsonElement source in new[] { defaults, given }.OfType<JsonElement>())
        {
            foreach (JsonProperty variable in source.EnumerateObject())
                yield return new(variable.Name, JsonValues.From(variable.Value));
        }
    }

    private static (T? Value, string? Error) Try<T>(Func<T> work)
        where T : class
    {
        try
        {
            return (work(), null);
        }
        catch (TemplateFault fault)
        {
            return (null, $"{fault.Kind}: {fault.Message}");
        }
        catch (FlintException e)
        {
            return (null, e.InnerException is TemplateFault fault ? $"{fault.Kind}: {fault.Message}" : e.Message);
        }
    }
}
