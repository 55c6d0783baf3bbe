using Flint.App.Accounts;
using Flint.App.Upstreams;

namespace Flint.App.Config;

/// <summary>Reads the models of a configuration that upstreams serve. Their keys are read when they come into force.</summary>
internal static class UpstreamReader
{
    /// <summary>Most models.</summary>
    public const int MaxModels = 256;

    private const int MaxName = 200, MaxSeconds = 86_400;

    /// <summary>Reads the key <c>upstreams</c>.</summary>
    /// <param name="root">The configuration.</param>
    /// <param name="at">Where a path is that the configuration names.</param>
    public static List<UpstreamOptions> Read(YamlSection root, Func<string, string> at)
    {
        IReadOnlyList<(string Name, YamlSection Section)> sections = root.Named("upstreams");
        if (sections.Count > MaxModels)
            root.Report("upstreams", $"upstreams has {sections.Count} entries; expected at most {MaxModels}");
        return [.. sections.Select(entry => ReadModel(root, entry.Name, entry.Section, at))];
    }

    private static UpstreamOptions ReadModel(YamlSection root, string name, YamlSection section, Func<string, string> at)
    {
        if (!IsName(name))
            root.Report("upstreams", $"the model '{name}' of upstreams has another name than 1 to {MaxName} printable characters without blanks");
        var defaults = new UpstreamOptions { Name = name, Targets = ReadTargets(section, name, at) };
        YamlSection? health = section.Section("health"), circuit = section.Section("circuit");
        string path = health?.Text("path") ?? defaults.HealthPath;
        if (path.Length == 0 || path.Contains("//", StringComparison.Ordinal) || path.Contains(':', StringComparison.Ordinal))
            health!.Report("path", $"health.path is '{path}'; expected a path such as models, or /health for one of the host's own");
        return defaults with
        {
            MaxOutput = section.Integer("max_output", defaults.MaxOutput, 1, 1 << 28),
            Context = (int?)section.OptionalInteger("context", 1, 1 << 28),
            PromptOverhead = section.Integer("prompt_overhead", defaults.PromptOverhead, 0, 1 << 20),
            Reasoning = section.Choice("reasoning", "effort", "template", "none") switch { "template" => UpstreamReasoning.Template, "none" => UpstreamReasoning.None, _ => UpstreamReasoning.Effort },
            Extensions = section.Flag("extensions", defaults.Extensions),
            ContinuousUsage = section.Flag("continuous_usage", defaults.ContinuousUsage),
            Logprobs = section.Flag("logprobs", defaults.Logprobs),
            OutputField = section.Choice("output_field", "max_tokens", "max_completion_tokens") ?? defaults.OutputField,
            Attempts = section.Integer("attempts", defaults.Attempts, 1, UpstreamOptions.MaxTargets),
            ConnectTimeout = Seconds(section, "connect_seconds", defaults.ConnectTimeout),
            FirstTimeout = Seconds(section, "first_seconds", defaults.FirstTimeout),
            ChunkTimeout = Seconds(section, "chunk_seconds", defaults.ChunkTimeout),
            HealthPath = path,
            HealthInterval = Seconds(health, "seconds", defaults.HealthInterval, least: 0),
            CircuitFailures = circuit?.Integer("failures", defaults.CircuitFailures, 1, 1000) ?? defaults.CircuitFailures,
            CircuitDelay = Seconds(circuit, "seconds", defaults.CircuitDelay),
        };
    }

    private static List<TargetOptions> ReadTargets(YamlSection section, string model, Func<string, string> at)
    {
        IReadOnlyList<YamlSection> sections = section.Sections("targets");
        if (sections.Count is 0 or > UpstreamOptions.MaxTargets)
            section.Report("targets", $"upstreams.{model} has {sections.Count} targets; expected 1 to {UpstreamOptions.MaxTargets}");
        List<TargetOptions> targets = [.. sections.Select((one, i) => ReadTarget(one, model, i, at))];
        if (targets.GroupBy(target => target.Name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            section.Report("targets", $"two targets of upstreams.{model} are named '{twice.Key}'");
        return targets;
    }

    private static TargetOptions ReadTarget(YamlSection section, string model, int index, Func<string, string> at)
    {
        string name = section.Text("name") ?? $"{index + 1}";
        if (!IsName(name))
            section.Report("name", $"name is '{name}'; expected 1 to {MaxName} printable characters without blanks");
        string? variable = section.Text("key_env"), file = section.Text("key_file");
        if (variable is not null && file is not null)
            section.Report("key_env", "a key is in the environment or in a file: expected key_env or key_file, not both");
        return new TargetOptions
        {
            Name = name,
            BaseUrl = ReadUrl(section),
            Model = section.Text("model") ?? model,
            KeyVariable = variable,
            KeyFile = file is null ? null : at(file),
            Weight = section.Integer("weight", 1, 1, 1000),
            Concurrency = section.Integer("concurrency", 64, 1, 1 << 20),
            Price = section.Section("price") is { } price ? ServerConfig.ReadPrice(price, "", "price") : null,
        };
    }

    // Routes are told relative to it, so that it ends in a slash.
    private static Uri ReadUrl(YamlSection section)
    {
        string text = section.RequiredText("base_url");
        bool isUrl = Uri.TryCreate(text.TrimEnd('/') + "/", UriKind.Absolute, out Uri? url) && url.Scheme is "http" or "https";
        if (isUrl && url!.UserInfo.Length + url.Query.Length + url.Fragment.Length == 0)
            return url;
        if (section.Has("base_url"))
            section.Report("base_url", "base_url is no address such as http://10.0.0.7:8000/v1, without user, query and fragment"); // which might hold a secret
        return new Uri("http://localhost/");
    }

    private static TimeSpan Seconds(YamlSection? section, string key, TimeSpan fallback, int least = 1) =>
        section is null ? fallback : TimeSpan.FromSeconds(section.Integer(key, (int)fallback.TotalSeconds, least, MaxSeconds));

    private static bool IsName(string name) => name.Length is > 0 and <= MaxName && !name.Any(c => char.IsControl(c) || char.IsWhiteSpace(c));
}
