using System.CommandLine;
using System.Text.Json;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint keys</c>: create, list and revoke API keys.</summary>
internal static class Keys
{
    /// <summary>The verb.</summary>
    public static Command Create() => new("keys", "Create, list and revoke the API keys of flint serve.")
    {
        CreateCreate(),
        CreateList(),
        CreateRevoke(),
    };

    private static Command CreateCreate()
    {
        var name = new Option<string>("--name") { HelpName = "NAME", Description = "What to call it, for example the person or program that will use it.", Required = true };
        Option<string?> data = DataOption.Create();
        var command = new Command("create", "Make a key. It is printed once, alone on standard output, and cannot be shown again.") { name, data };
        command.SetAction(parsed =>
        {
            (Key key, string secret) = new Accounts.Keys(DataOption.Open(parsed, data), TimeProvider.System).Create(parsed.GetValue(name)!);
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
        var command = new Command("list", "List keys: name, first characters, when made, whether they work.") { data, json };
        command.SetAction(parsed =>
        {
            IReadOnlyList<Key> keys = new Accounts.Keys(DataOption.Open(parsed, data), TimeProvider.System).List();
            if (parsed.GetValue(json))
                WriteJson(keys);
            else
                TextTable.Write(Console.Out, ["NAME", "KEY", "CREATED", "STATE"],
                    keys.Select(key => new[] { key.Name, key.Prefix + "…", TextTable.Time(key.Created), key.Revoked is long at ? "revoked " + TextTable.Time(at) : "works" }));
            return 0;
        });
        return command;
    }

    private static Command CreateRevoke()
    {
        var handle = new Argument<string>("KEY") { Description = "Its name or its first characters as flint keys list shows them." };
        Option<string?> data = DataOption.Create();
        var command = new Command("revoke", "End a key, in running servers too.") { handle, data };
        command.SetAction(parsed =>
        {
            Key key = new Accounts.Keys(DataOption.Open(parsed, data), TimeProvider.System).Revoke(parsed.GetValue(handle)!.TrimEnd('…'));
            Console.Out.WriteLine($"Key '{key.Name}' ({key.Prefix}…) is revoked.");
            return 0;
        });
        return command;
    }

    private static void WriteJson(IReadOnlyList<Key> keys)
    {
        using Stream output = Console.OpenStandardOutput();
        using var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true });
        writer.WriteStartArray();
        foreach (Key key in keys)
        {
            writer.WriteStartObject();
            writer.WriteString("name", key.Name);
            writer.WriteString("prefix", key.Prefix);
            writer.WriteString("created", DateTimeOffset.FromUnixTimeMilliseconds(key.Created));
            if (key.Revoked is long revoked)
                writer.WriteString("revoked", DateTimeOffset.FromUnixTimeMilliseconds(revoked));
            else
                writer.WriteNull("revoked");
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.Flush();
        output.WriteByte((byte)'\n');
    }
}
