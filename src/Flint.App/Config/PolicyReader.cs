using Flint.App.Policy;
using Flint.App.Serving;

namespace Flint.App.Config;

/// <summary>Reads the policies of a configuration.</summary>
internal static class PolicyReader
{
    /// <summary>Most policies.</summary>
    public const int MaxPolicies = 256;

    /// <summary>Most rules of a policy.</summary>
    public const int MaxRules = 256;

    /// <summary>Most bytes of a file of words.</summary>
    public const int MaxWordFile = 16 << 20;

    /// <summary>Reads the keys <c>policies</c> and <c>default_policy</c>.</summary>
    /// <param name="root">The configuration.</param>
    /// <param name="at">Where a path is that the configuration names.</param>
    public static PolicyTable Read(YamlSection root, Func<string, string> at)
    {
        var named = new Dictionary<string, PolicyRules>();
        IReadOnlyList<(string Name, YamlSection Section)> sections = root.Named("policies");
        if (sections.Count > MaxPolicies)
            root.Report("policies", $"policies has {sections.Count} entries; expected at most {MaxPolicies}");
        foreach ((string name, YamlSection section) in sections)
            named[name] = ReadPolicy(name, section, at);
        string? standard = root.Text("default_policy");
        if (standard is not null && !named.ContainsKey(standard))
            root.Report("default_policy", $"default_policy is '{standard}'; expected the name of a policy");
        return new PolicyTable(named, standard);
    }

    private static PolicyRules ReadPolicy(string name, YamlSection section, Func<string, string> at)
    {
        List<TextRule> input = [], allow = [], output = [];
        IReadOnlyList<YamlSection> rules = section.Sections("rules");
        if (rules.Count > MaxRules)
            section.Report("rules", $"rules has {rules.Count} entries; expected at most {MaxRules}");
        foreach (YamlSection one in rules)
        {
            string? on = one.Choice("on", "input", "output", "both");
            if (ReadRule(one, at) is not { } rule)
                continue;
            bool asksRequests = rule.Action == RuleAction.Allow || rule.Roles.Count > 0;
            if (asksRequests && on is not (null or "input"))
                one.Report("on", "a rule that allows, or names roles of a request's messages, is one on input");
            on ??= asksRequests ? "input" : "both";
            if (rule.Action == RuleAction.Allow)
                allow.Add(rule);
            else if (on != "output")
                input.Add(rule);
            if (on != "input")
                output.Add(rule);
        }

        if (input.Concat(allow).Concat(output).Distinct().GroupBy(rule => rule.Name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            section.Report("rules", $"two rules are named '{twice.Key}'");
        return new PolicyRules(name) { Input = input, Allow = allow, Output = output, Bounds = ReadBounds(section), Mode = section.Choice("mode", ModePlan.Names) };
    }

    private static TextRule? ReadRule(YamlSection section, Func<string, string> at)
    {
        string name = section.RequiredText("name");
        if (name.Length is 0 or > 64 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-'))
            section.Report("name", $"name is '{name}'; expected 1 to 64 letters, digits, '.', '_' and '-'");
        RuleAction action = section.Choice("action", "deny", "redact", "allow") switch { "redact" => RuleAction.Redact, "allow" => RuleAction.Allow, _ => RuleAction.Deny };
        string? replacement = section.Text("replacement");
        if (replacement is not null && action != RuleAction.Redact)
            section.Report("replacement", "only a rule that redacts has a replacement");
        IReadOnlyList<string> roles = section.Texts("roles") ?? [];
        TextMatcher? matcher = ReadMatcher(section, action, at);
        return matcher is null ? null : new TextRule(name, action, matcher) { Replacement = replacement ?? TextRule.DefaultReplacement, Roles = roles };
    }

    private static TextMatcher? ReadMatcher(YamlSection section, RuleAction action, Func<string, string> at)
    {
        string? expression = section.Text("pattern"), file = section.Text("words_file");
        IReadOnlyList<string>? words = section.Texts("words");
        bool ignoreCase = section.Flag("ignore_case", false), wholeWords = section.Flag("whole_words", true);
        int maxLength = section.Integer("max_length", Pattern.DefaultLength, 1, Pattern.MaxLength);
        if ((expression is null) == (words is null && file is null))
        {
            section.Report("pattern", "a rule has either a pattern, or words or a words_file");
            return null;
        }

        if (expression is null)
        {
            foreach (string only in (string[])["ignore_case", "max_length"])
            {
                if (section.Has(only))
                    section.Report(only, $"{only} belongs to a pattern; words are found whatever their case, and as long as they are");
            }

            return section.Make(file is null ? "words" : "words_file", () =>
            {
                var entries = new List<string>(words ?? []);
                if (file is not null)
                    entries.AddRange(ReadWords(at(file)));
                return new WordList(entries, wholeWords);
            });
        }

        if (section.Has("whole_words"))
            section.Report("whole_words", "whole_words belongs to words; a pattern says \\b");
        Pattern? pattern = section.Make("pattern", () => new Pattern(expression, ignoreCase, maxLength));
        if (pattern is { IsForStreams: false } && action != RuleAction.Allow)
            section.Report("pattern", "a rule that denies or redacts is applied while the text is written: its pattern can ask neither for the text's end (\\z, \\Z) nor for options in its midst");
        return pattern;
    }

    // A word or phrase a line; empty lines, and those that begin with #, are none.
    private static string[] ReadWords(string file)
    {
        if (!File.Exists(file))
            throw FlintException.Caller("file_not_found", $"no such file: {file}");
        if (new FileInfo(file).Length > MaxWordFile)
            throw FlintException.Caller("invalid_config", $"{file} is longer than {MaxWordFile} bytes");
        return [.. File.ReadLines(file).Select(line => line.Trim()).Where(line => line.Length > 0 && line[0] != '#')];
    }

    private static Bounds ReadBounds(YamlSection section)
    {
        var sampling = new Dictionary<string, Bound>();
        if (section.Section("bounds") is not { } bounds)
            return Bounds.None;
        foreach ((string name, float least, float most) in Bounds.Known)
        {
            if (bounds.Section(name) is not { } range)
                continue;
            var bound = new Bound(range.Number("least", least, most), range.Number("most", least, most));
            if (bound.Least > bound.Most)
                range.Report("least", $"bounds.{name}.least is above its most");
            sampling[name] = bound;
        }

        return new Bounds { Sampling = sampling, MaxTokens = (int?)bounds.OptionalInteger("max_tokens", 1, int.MaxValue) };
    }
}
