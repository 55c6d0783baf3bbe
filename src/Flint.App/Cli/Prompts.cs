using System.CommandLine;
using System.Text.Json;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint prompts</c>: the texts of requests and answers, of keys that have them kept.</summary>
internal static class Prompts
{
    /// <summary>The verb.</summary>
    public static Command Create() => new("prompts", "The texts of requests and answers, of keys that have them kept: flint keys prompts.") { DataOption.Address, CreateExport(), CreateDelete() };

    private static Command CreateExport()
    {
        Option<string?> key = KeyOption(), user = UserOption(), data = DataOption.Create();
        var since = new Option<string?>("--since") { HelpName = "WHEN", Description = "Only those asked since then: 90m, 24h, 7d, or a date such as 2026-11-20." };
        var command = new Command("export", "Print them, oldest first, as JSON lines.") { key, user, since, data };
        command.SetAction(parsed =>
        {
            Store store = DataOption.Open(parsed, data);
            PromptFilter filter = Filter(store, parsed.GetValue(key), parsed.GetValue(user)) with { Since = parsed.GetValue(since) is string text ? Moments.Since(text, DateTimeOffset.UtcNow) : 0 };
            using var output = new BufferedStream(Console.OpenStandardOutput());
            new Accounts.Prompts(store, TimeProvider.System).Export(filter, entry =>
            {
                using (var writer = new Utf8JsonWriter(output))
                {
                    writer.WriteStartObject();
                    AccountsJson.WritePrompt(writer, entry);
                    writer.WriteEndObject();
                }

                output.WriteByte((byte)'\n');
            });
            return 0;
        });
        return command;
    }

    private static Command CreateDelete()
    {
        Option<string?> key = KeyOption(), user = UserOption(), data = DataOption.Create();
        var command = new Command("delete", "Delete those of a person or of a key, and the responses kept of them; the records of what was used stay, and have no texts.") { key, user, data };
        command.SetAction(parsed =>
        {
            Store store = DataOption.Open(parsed, data);
            (int prompts, int responses) = new Accounts.Prompts(store, TimeProvider.System).Delete(Filter(store, parsed.GetValue(key), parsed.GetValue(user)));
            Console.Out.WriteLine($"{prompts} texts and {responses} kept responses are deleted.");
            return 0;
        });
        return command;
    }

    private static PromptFilter Filter(Store store, string? key, string? user) => new()
    {
        Key = key is null ? null : new Accounts.Keys(store, TimeProvider.System).Get(key.TrimEnd('…'), isRevokedToo: true).Id,
        User = user,
    };

    private static Option<string?> KeyOption() => new("--key") { HelpName = "KEY", Description = "Those of one key: its name, ORGANISATION/PROJECT/NAME, or its first characters; a revoked one too." };

    private static Option<string?> UserOption() => new("--user") { HelpName = "USER", Description = "Those of one person, as requests name it: by 'user', 'safety_identifier' or 'metadata.user_id'." };
}
