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

    /// <summary>Most bytes of a file with a schema, or with a prompt.</summary>
    public const int MaxTextFile = 1 << 20;

    /// <summary>Most bytes of a file of words.</summary>
    public const int MaxWordFile = 16 << 20;

    /// <summary>Reads the keys <c>policies</c>, <c>default_policy</c> and <c>redaction</c>.</summary>
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
        return new PolicyTable(named, standard) { Redactor = ReadRedactor(root) };
    }

    // What is struck out of texts that keys have kept redacted.
    private static Redactor ReadRedactor(YamlSection root)
    {
        if (root.Section("redaction") is not { } section)
            return Redactor.Usual;
        IReadOnlyList<string> kinds = section.Texts("detect") ?? Redactor.Kinds, fields = section.Texts("fields") ?? Redactor.UsualFields;
        IReadOnlyList<(string, string)> patterns = section.Section("patterns")?.Entries() ?? [];
        return root.Make("redaction", () => new Redactor(kinds, fields, patterns)) ?? Redactor.Usual;
    }

    private static PolicyRules ReadPolicy(string name, YamlSection section, Func<string, string> at)
    {
        List<TextRule> input = [], allow = [], output = [];
        List<SchemaRule> schemas = [];
        List<ClassifierRule> classifiers = [];
        var names = new HashSet<string>();
        IReadOnlyList<YamlSection> rules = section.Sections("rules");
        if (rules.Count > MaxRules)
            section.Report("rules", $"rules has {rules.Count} entries; expected at most {MaxRules}");
        foreach (YamlSection one in rules)
        {
            var head = RuleHead.Read(one);
            if (!names.Add(head.Name))
                section.Report("rules", $"two rules are named '{head.Name}'");
            YamlSection? classifier = one.Section("classifier");
            bool isSchema = ReadSchemaText(one, at, out string? schema);
            CheckKind(one, isSchema, classifier is not null);
            if (classifier is not null)
            {
                if (ReadClassifier(one, classifier, head, at) is { } judged)
                    classifiers.Add(judged);
            }
            else if (isSchema)
            {
                if (ReadSchema(one, schema, head) is { } formal)
                    schemas.Add(formal);
            }
            else if (ReadRule(one, head, at) is { } rule)
            {
                bool asksRequests = rule.Action == RuleAction.Allow || rule.Roles.Count > 0;
                if (asksRequests && head.On is not (null or "input"))
                    one.Report("on", "a rule that allows, or names roles of a request's messages, is one on input");
                string on = head.On ?? (asksRequests ? "input" : "both");
                if (rule.Action == RuleAction.Allow)
                    allow.Add(rule);
                else if (on != "output")
                    input.Add(rule);
                if (on != "input")
                    output.Add(rule);
            }
        }

        return new PolicyRules(name)
        {
            Input = input, Allow = allow, Output = output, Schemas = schemas, Classifiers = classifiers, Bounds = ReadBounds(section), Mode = section.Choice("mode", ModePlan.Names),
        };
    }

    // What rules of all kinds say.
    private sealed record RuleHead(string Name, RuleAction Action, string? On, IReadOnlyList<string> Roles)
    {
        public static RuleHead Read(YamlSection section)
        {
            string name = section.RequiredText("name");
            if (name.Length is 0 or > 64 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-'))
                section.Report("name", $"name is '{name}'; expected 1 to 64 letters, digits, '.', '_' and '-'");
            RuleAction action = section.Choice("action", "deny", "redact", "allow") switch { "redact" => RuleAction.Redact, "allow" => RuleAction.Allow, _ => RuleAction.Deny };
            return new RuleHead(name, action, section.Choice("on", "input", "output", "both"), section.Texts("roles") ?? []);
        }
    }

    // A rule looks for one thing; keys of another kind of rule do nothing in it.
    private static void CheckKind(YamlSection section, bool isSchema, bool isClassifier)
    {
        string[] ofTexts = ["pattern", "words", "words_file", "ignore_case", "max_length", "whole_words", "replacement"], ofSchemas = ["schema", "schema_file", "of", "functions"];
        string[] foreign = isClassifier ? [.. ofTexts, .. ofSchemas] : isSchema ? ofTexts : ["of", "functions"];
        string kind = isClassifier ? "a rule with a classifier" : isSchema ? "a rule with a schema" : "a rule with a pattern or words";
        foreach (string key in foreign.Where(section.Has))
            section.Report(key, $"{key} does nothing in {kind}");
    }

    private static bool ReadSchemaText(YamlSection section, Func<string, string> at, out string? text)
    {
        string? file = section.Text("schema_file");
        text = section.Text("schema");
        if (file is null)
            return text is not null;
        if (text is not null)
            section.Report("schema_file", "a rule has either a schema or a schema_file");
        text = section.Make("schema_file", () => ReadText(at(file)));
        return true;
    }

    private static SchemaRule? ReadSchema(YamlSection section, string? text, RuleHead head)
    {
        bool onArguments = section.Choice("of", "content", "arguments") == "arguments";
        IReadOnlyList<string> functions = section.Texts("functions") ?? [];
        if (head.Action == RuleAction.Redact)
            section.Report("action", "a rule with a schema denies or allows a text as a whole");
        if (head.On is null)
            section.Report("on", "a rule with a schema says what it is on: input, output or both");
        if (head.Roles.Count > 0 && head.On == "output")
            section.Report("roles", "answers have no roles");
        if (functions.Count > 0 && !onArguments)
            section.Report("functions", "functions belong to a rule of arguments");
        TextSchema? schema = text is null ? null : section.Make(section.Has("schema_file") ? "schema_file" : "schema", () => new TextSchema(text));
        return schema is null ? null : new SchemaRule(head.Name, head.Action, schema)
        {
            OnInput = head.On != "output", OnOutput = head.On != "input", OnArguments = onArguments, Functions = functions, Roles = head.Roles,
        };
    }

    private static ClassifierRule? ReadClassifier(YamlSection rule, YamlSection section, RuleHead head, Func<string, string> at)
    {
        var defaults = new ClassifierRule("", "", "");
        if (head.Action != RuleAction.Deny)
            rule.Report("action", "a rule with a classifier denies");
        if (head.Roles.Count > 0 && head.On != "input")
            rule.Report("roles", "roles are those of requests' messages: such a rule is one on input");
        string? prompt = section.Text("prompt"), file = section.Text("prompt_file");
        if ((prompt is null) == (file is null))
            section.Report("prompt", "a classifier has either a prompt or a prompt_file");
        else
            prompt ??= section.Make("prompt_file", () => ReadText(at(file!)));
        if (prompt is not null && !prompt.Contains(ClassifierRule.Slot, StringComparison.Ordinal))
            section.Report(file is null ? "prompt" : "prompt_file", $"the prompt has no {ClassifierRule.Slot}, where the text to judge stands");
        IReadOnlyList<string> denies = Words(section, "denies"), allows = Words(section, "allows");
        int window = section.Integer("window", defaults.Window, 16, ClassifierRule.MaxWindow), overlap = section.Integer("overlap", Math.Min(defaults.Overlap, window / 4), 0, ClassifierRule.MaxWindow);
        if (overlap > window / 2)
            section.Report("overlap", $"overlap is {overlap}; expected at most half of the window, which is {window}");
        return new ClassifierRule(head.Name, section.RequiredText("model"), prompt ?? ClassifierRule.Slot)
        {
            Denies = denies,
            Allows = allows,
            Window = window,
            Overlap = Math.Min(overlap, window / 2),
            MaxTokens = section.Integer("max_tokens", defaults.MaxTokens, 1, ClassifierRule.MostTokens),
            Timeout = TimeSpan.FromSeconds(section.Integer("seconds", (int)defaults.Timeout.TotalSeconds, 1, 600)),
            FailsOpen = section.Choice("on_failure", "deny", "allow") == "allow",
            OnInput = head.On != "output",
            OnOutput = head.On != "input" && head.Roles.Count == 0,
            Roles = head.Roles,
        };
    }

    private static IReadOnlyList<string> Words(YamlSection section, string key)
    {
        IReadOnlyList<string> words = section.Texts(key) ?? [];
        if (words.Count == 0 || words.Any(string.IsNullOrWhiteSpace))
            section.Report(key, $"{key} is what the model's answer begins with, at least one word");
        return words;
    }

    private static TextRule? ReadRule(YamlSection section, RuleHead head, Func<string, string> at)
    {
        string? replacement = section.Text("replacement");
        if (replacement is not null && head.Action != RuleAction.Redact)
            section.Report("replacement", "only a rule that redacts has a replacement");
        TextMatcher? matcher = ReadMatcher(section, head.Action, at);
        return matcher is null ? null : new TextRule(head.Name, head.Action, matcher) { Replacement = replacement ?? TextRule.DefaultReplacement, Roles = head.Roles };
    }

    private static TextMatcher? ReadMatcher(YamlSection section, RuleAction action, Func<string, string> at)
    {
        string? expression = section.Text("pattern"), file = section.Text("words_file");
        IReadOnlyList<string>? words = section.Texts("words");
        bool ignoreCase = section.Flag("ignore_case", false), wholeWords = section.Flag("whole_words", true);
        int maxLength = section.Integer("max_length", Pattern.DefaultLength, 1, Pattern.MaxLength);
        if ((expression is null) == (words is null && file is null))
        {
            section.Report("pattern", "a rule has either a pattern, or words or a words_file, or a schema, or a classifier");
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

    private static string ReadText(string file)
    {
        if (!File.Exists(file))
            throw FlintException.Caller("file_not_found", $"no such file: {file}");
        if (new FileInfo(file).Length > MaxTextFile)
            throw FlintException.Caller("invalid_config", $"{file} is longer than {MaxTextFile} bytes");
        return File.ReadAllText(file);
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
