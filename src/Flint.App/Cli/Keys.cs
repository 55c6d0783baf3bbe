using System.CommandLine;
using Flint.App.Accounts;
using Flint.App.Serving;

namespace Flint.App.Cli;

/// <summary><c>flint keys</c>: create, show, limit, rotate and end API keys.</summary>
internal static class Keys
{
    /// <summary>The verb.</summary>
    public static Command Create() => new("keys", "Create, list, show, limit, rotate and end the API keys of flint serve.")
    {
        DataOption.Address,
        CreateCreate(),
        CreateList(),
        CreateShow(),
        LimitOptions.CreateCommand(Handle(), "Set what a key may use at most.", static (store, name) => new Owner(OwnerKind.Key, Open(store).Get(Named(name)).Id)),
        CreateRotate(),
        CreateRevoke(),
        CreateDisable("disable", "Switch a key off, in running servers too.", disabled: true),
        CreateDisable("enable", "Switch a key on again.", disabled: false),
        CreatePolicy(),
        CreateProfile(),
        CreatePrompts(),
    };

    private static Command CreateCreate()
    {
        var name = new Option<string>("--name") { HelpName = "NAME", Description = "What to call it, for example the person or program that will use it.", Required = true };
        var project = new Option<string?>("--project") { HelpName = "PROJECT", Description = "Its project, or ORGANISATION/PROJECT (default: the project 'default')." };
        var expires = new Option<string?>("--expires") { HelpName = "WHEN", Description = "When it ends by itself: after a span such as 12h or 90d, or at a date such as 2027-01-31." };
        Option<string?> models = List("--models", "Models it may use; a star at the end stands for any ending. Default: all.");
        Option<string?> routes = List("--routes", "Paths it may use, such as /v1/chat/completions or /v1/models*. Default: all.");
        Option<string?> modes = List("--modes", $"Modes it may use, of {string.Join(", ", ModePlan.Names)}. Default: all.");
        Option<string?> addresses = List("--addresses", "Networks its requests may come from, such as 10.0.0.0/8 or 2001:db8::/32. Default: all.");
        var noTools = new Option<bool>("--no-tools") { Description = "Whether its requests may not offer tools." };
        var policy = new Option<string?>("--policy") { HelpName = "NAME", Description = "Policy that its requests and answers must keep to, as the server's flint.yaml names it (default: the server's default)." };
        var profile = new Option<string?>("--profile") { HelpName = "NAME", Description = $"{string.Join(" or ", KeyScopes.Profiles)}: muse refuses what Meta's Model API refuses (default: the server's profile)." };
        var prompts = new Option<string?>("--prompts") { HelpName = "FORM", Description = $"How texts of its requests and answers are kept: {string.Join(", ", PromptLogging.Forms)} (default: {PromptLogging.Off})." };
        var days = new Option<int?>("--prompt-days") { HelpName = "N", Description = $"How many days they are kept (default: {PromptLogging.UsualDays})." };
        var admin = new Option<bool>("--admin") { Description = "Make a key for the admin API, which opens that and nothing else. Only --expires, --routes and --addresses go with it." };
        Option<string?> data = DataOption.Create();
        var command = new Command("create", "Make a key. It is printed once, alone on standard output, and cannot be shown again.") { name, project, expires, models, routes, modes, addresses, noTools, policy, profile, prompts, days, admin, data };
        command.SetAction(parsed =>
        {
            Store store = DataOption.Open(parsed, data);
            var scopes = new KeyScopes
            {
                Models = Entries(parsed, models), Routes = Entries(parsed, routes), Modes = Entries(parsed, modes), Addresses = Entries(parsed, addresses), Tools = !parsed.GetValue(noTools), Policy = parsed.GetValue(policy), Admin = parsed.GetValue(admin),
                Profile = parsed.GetValue(profile), Prompts = PromptLogging.Of(parsed.GetValue(prompts), parsed.GetValue(days)),
            };
            if (scopes.Modes.FirstOrDefault(mode => ModePlan.Find(mode) is null) is { } unknown)
                throw FlintException.Caller("invalid_mode", $"--modes takes {string.Join(", ", ModePlan.Names)}, not '{unknown}'.");
            long? end = parsed.GetValue(expires) is string when ? Moments.Until("--expires", when, DateTimeOffset.UtcNow) : null;
            Project? owner = parsed.GetValue(project) is string text ? new Organizations(store, TimeProvider.System).FindProject(text) : null;
            (Key key, string secret) = Open(store).Create(parsed.GetValue(name)!, owner, end, scopes);
            Console.Out.WriteLine(secret);
            Console.Error.WriteLine($"Key '{key.Name}' made. Keep it now: only its hash is stored.");
            return 0;
        });
        return command;
    }

    private static Command CreateList()
    {
        Option<string?> data = DataOption.Create();
        var json = new Option<bool>("--json") { Description = "Print a JSON array." };
        var command = new Command("list", "List keys: name, project, first characters, when made, whether they work.") { data, json };
        command.SetAction(parsed =>
        {
            IReadOnlyList<Key> keys = Open(DataOption.Open(parsed, data)).List();
            if (parsed.GetValue(json))
                JsonOutput.Write(writer =>
                {
                    writer.WriteStartArray();
                    foreach (Key key in keys)
                    {
                        writer.WriteStartObject();
                        AccountsJson.WriteKey(writer, key);
                        writer.WriteEndObject();
                    }

                    writer.WriteEndArray();
                });
            else
                TextTable.Write(Console.Out, ["NAME", "PROJECT", "KEY", "CREATED", "STATE"],
                    keys.Select(key => new[] { key.Name, $"{key.Organization}/{key.Project}", key.Prefix + "…", TextTable.Time(key.Created), State(key) }));
            return 0;
        });
        return command;
    }

    private static Command CreateShow()
    {
        Argument<string> handle = Handle();
        Option<string?> data = DataOption.Create();
        var json = new Option<bool>("--json") { Description = "Print a JSON object." };
        var command = new Command("show", "Show a key: its secrets' first characters, scopes, limits, and what it has used of them.") { handle, data, json };
        command.SetAction(parsed =>
        {
            Store store = DataOption.Open(parsed, data);
            Key key = Open(store).Get(Named(parsed.GetValue(handle)!));
            if (parsed.GetValue(json))
                JsonOutput.Write(writer =>
                {
                    writer.WriteStartObject();
                    AccountsJson.WriteWhole(writer, store, key, Open(store).Secrets(key));
                    writer.WriteEndObject();
                });
            else
                ShowText(store, key);
            return 0;
        });
        return command;
    }

    private static Command CreateRotate()
    {
        Argument<string> handle = Handle();
        var overlap = new Option<string>("--overlap") { HelpName = "SPAN", DefaultValueFactory = _ => "24h", Description = "How long the secrets it has still work, such as 30m, 24h or 7d; 0s ends them at once." };
        Option<string?> data = DataOption.Create();
        var command = new Command("rotate", "Give a key a new secret, printed once, alone on standard output; the old one still works for a while.") { handle, overlap, data };
        command.SetAction(parsed =>
        {
            TimeSpan span = Moments.Span(parsed.GetValue(overlap)!)
                ?? throw FlintException.Caller("invalid_overlap", $"--overlap takes a span such as 30m, 24h or 7d, not '{parsed.GetValue(overlap)}'.");
            (Key key, string secret) = Open(DataOption.Open(parsed, data)).Rotate(Named(parsed.GetValue(handle)!), span);
            Console.Out.WriteLine(secret);
            Console.Error.WriteLine($"Key '{key.Name}' has a new secret. Keep it now: only its hash is stored. The old one ends {(span == TimeSpan.Zero ? "now" : $"at {TextTable.Time((DateTimeOffset.UtcNow + span).ToUnixTimeMilliseconds())}")}.");
            return 0;
        });
        return command;
    }

    private static Command CreateRevoke()
    {
        Argument<string> handle = Handle();
        Option<string?> data = DataOption.Create();
        var command = new Command("revoke", "End a key for good, in running servers too.") { handle, data };
        command.SetAction(parsed =>
        {
            Key key = Open(DataOption.Open(parsed, data)).Revoke(Named(parsed.GetValue(handle)!));
            Console.Out.WriteLine($"Key '{key.Name}' ({key.Prefix}…) is revoked.");
            return 0;
        });
        return command;
    }

    private static Command CreateDisable(string name, string description, bool disabled)
    {
        Argument<string> handle = Handle();
        Option<string?> data = DataOption.Create();
        var command = new Command(name, description) { handle, data };
        command.SetAction(parsed =>
        {
            Key key = Open(DataOption.Open(parsed, data)).Disable(Named(parsed.GetValue(handle)!), disabled);
            Console.Out.WriteLine($"Key '{key.Name}' ({key.Prefix}…) is {name}d.");
            return 0;
        });
        return command;
    }

    private static Command CreatePolicy()
    {
        const string none = "none";
        Argument<string> handle = Handle();
        var policy = new Argument<string>("POLICY") { Description = $"Its name in the server's flint.yaml, or '{none}' for the server's default." };
        Option<string?> data = DataOption.Create();
        var command = new Command("policy", "Give a key another policy, in running servers too.") { handle, policy, data };
        command.SetAction(parsed =>
        {
            string name = parsed.GetValue(policy)!;
            Key key = Open(DataOption.Open(parsed, data)).SetPolicy(Named(parsed.GetValue(handle)!), name == none ? null : name);
            Console.Out.WriteLine($"Key '{key.Name}' ({key.Prefix}…) has {(key.Scopes.Policy is string given ? $"the policy '{given}'" : "the server's default policy")}.");
            return 0;
        });
        return command;
    }

    private static Command CreateProfile()
    {
        const string none = "none";
        Argument<string> handle = Handle();
        var profile = new Argument<string>("PROFILE") { Description = $"{string.Join(" or ", KeyScopes.Profiles)}, or '{none}' for the server's." };
        Option<string?> data = DataOption.Create();
        var command = new Command("profile", "Give a key another profile, in running servers too.") { handle, profile, data };
        command.SetAction(parsed =>
        {
            string name = parsed.GetValue(profile)!;
            Key key = Open(DataOption.Open(parsed, data)).SetProfile(Named(parsed.GetValue(handle)!), name == none ? null : name);
            Console.Out.WriteLine($"Key '{key.Name}' ({key.Prefix}…) has {(key.Scopes.Profile is string given ? $"the profile '{given}'" : "the server's profile")}.");
            return 0;
        });
        return command;
    }

    private static Command CreatePrompts()
    {
        Argument<string> handle = Handle();
        var form = new Argument<string>("FORM") { Description = $"One of {string.Join(", ", PromptLogging.Forms)}." };
        var days = new Option<int?>("--days") { HelpName = "N", Description = $"How many days texts are kept (default: {PromptLogging.UsualDays})." };
        Option<string?> data = DataOption.Create();
        var command = new Command("prompts", "Have texts of a key's requests and answers kept from now on, or no longer, in running servers too.") { handle, form, days, data };
        command.SetAction(parsed =>
        {
            Key key = Open(DataOption.Open(parsed, data)).SetPrompts(Named(parsed.GetValue(handle)!), PromptLogging.Of(parsed.GetValue(form), parsed.GetValue(days)));
            Console.Out.WriteLine($"Texts of the key '{key.Name}' ({key.Prefix}…) are kept {Kept(key)}.");
            return 0;
        });
        return command;
    }

    private static string Kept(Key key) => key.Scopes.Prompts is { } prompts ? $"{prompts.Form}, for {prompts.Days} days" : "not at all";

    private static Accounts.Keys Open(Store store) => new(store, TimeProvider.System);

    private static Argument<string> Handle() => new("KEY") { Description = "Its name, ORGANISATION/PROJECT/NAME, or its first characters as flint keys list shows them." };

    private static string Named(string handle) => handle.TrimEnd('…');

    private static Option<string?> List(string name, string description) => new(name) { HelpName = "A,B*", Description = description };

    private static string[] Entries(ParseResult parsed, Option<string?> option) =>
        parsed.GetValue(option)?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];

    private static string State(Key key) => key.StateAt(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()) switch
    {
        KeyState.Revoked => "revoked " + TextTable.Time(key.Revoked!.Value),
        KeyState.Disabled => "disabled " + TextTable.Time(key.Disabled!.Value),
        KeyState.Expired => "expired " + TextTable.Time(key.Expires!.Value),
        _ => key.Expires is long end ? "works until " + TextTable.Time(end) : "works",
    };

    private static void ShowText(Store store, Key key)
    {
        Console.Out.WriteLine($"{key.Name} ({key.Organization}/{key.Project}): {State(key)}, made {TextTable.Time(key.Created)}");
        foreach (KeySecret secret in Open(store).Secrets(key))
            Console.Out.WriteLine($"secret {secret.Prefix}… of {TextTable.Time(secret.Created)}{(secret.Expires is long end ? ", ends " + TextTable.Time(end) : "")}");
        foreach ((string name, IReadOnlyList<string> list) in AccountsJson.Scopes(key))
            Console.Out.WriteLine($"{name}: {(list.Count == 0 ? "all" : string.Join(", ", list))}");
        if (key.Scopes.Admin)
            Console.Out.WriteLine("opens the admin API alone");
        Console.Out.WriteLine($"tools: {(key.Scopes.Tools ? "yes" : "no")}");
        Console.Out.WriteLine($"policy: {key.Scopes.Policy ?? "the server's default"}");
        Console.Out.WriteLine($"profile: {key.Scopes.Profile ?? "the server's"}");
        Console.Out.WriteLine($"texts kept: {Kept(key)}");
        Console.Out.WriteLine();
        LimitOptions.Show(store, new Owner(OwnerKind.Key, key.Id));
    }
}
