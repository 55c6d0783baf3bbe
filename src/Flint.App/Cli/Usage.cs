using System.CommandLine;
using System.Text.Json;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint usage</c>: what each key, project or organisation used, as sums and as records.</summary>
internal static class Usage
{
    private const int RecordsShown = 20;

    private static readonly string[] Owners = ["key", "project", "org"];
    private static readonly string[] Arrays = ["keys", "projects", "organizations"];

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var by = new Option<string>("--by") { HelpName = "OWNER", DefaultValueFactory = _ => Owners[0], Description = "Whose sums: key, project or org." };
        by.AcceptOnlyFromAmong(Owners);
        var key = new Option<string?>("--key") { HelpName = "NAME", Description = "Only the key of this name or these first characters." };
        var project = new Option<string?>("--project") { HelpName = "PROJECT", Description = "Only the project of this name, or ORGANISATION/PROJECT." };
        var organization = new Option<string?>("--org") { HelpName = "ORGANISATION", Description = "Only the organisation of this name." };
        var since = new Option<string?>("--since") { HelpName = "WHEN", Description = "Only requests since then: 90m, 24h, 7d, or a date such as 2026-11-20 or 2026-11-20T08:00Z." };
        var json = new Option<bool>("--json") { Description = "Print one JSON object with all sums and all records." };
        Option<string?> data = DataOption.Create();
        var command = new Command("usage", "Show what each key used: tokens in, cached, out, reasoning, what they cost, and time.") { by, key, project, organization, since, json, data, DataOption.Address };
        command.SetAction(parsed =>
        {
            Store store = DataOption.Open(parsed, data);
            var owner = (OwnerKind)Array.IndexOf(Owners, parsed.GetValue(by));
            var filter = new UsageFilter
            {
                Since = parsed.GetValue(since) is string text ? Moments.Since(text, DateTimeOffset.UtcNow) : 0,
                Key = parsed.GetValue(key)?.TrimEnd('…'), Project = parsed.GetValue(project), Organization = parsed.GetValue(organization),
            };
            IReadOnlyList<UsageTotal> totals = Ledger.Totals(store, filter, owner);
            if (parsed.GetValue(json))
                JsonOutput.Write(writer => WriteJson(writer, Arrays[(int)owner], totals, Ledger.Records(store, filter)));
            else
                WriteText(owner, totals, Ledger.Records(store, filter, RecordsShown));
            return 0;
        });
        return command;
    }

    private static void WriteText(OwnerKind owner, IReadOnlyList<UsageTotal> totals, IReadOnlyList<UsageEntry> records)
    {
        TextTable.Write(Console.Out, [Owners[(int)owner].ToUpperInvariant(), "REQUESTS", "FAILED", "IN", "CACHED", "OUT", "REASONING", "DISCARDED", "COST", "CPU SECONDS", "SECONDS"],
            totals.Select(t => new[]
            {
                NameOf(owner, t), $"{t.Requests}", $"{t.Failed}", $"{t.PromptTokens}", $"{t.CachedTokens}", $"{t.OutputTokens}",
                $"{t.ReasoningTokens}", $"{t.DiscardedTokens}", Money.Text(t.Cost), $"{t.CpuMs / 1000:F1}", $"{t.TotalMs / 1000:F1}",
            }));
        if (records.Count == 0)
            return;
        Console.Out.WriteLine();
        TextTable.Write(Console.Out, ["TIME", "KEY", "REQUEST", "MODEL", "STATUS", "FINISH", "IN", "CACHED", "OUT", "REASONING", "COST", "FIRST MS", "TOTAL MS"],
            records.Select(r => new[]
            {
                TextTable.Time(r.Record.Started), r.Key ?? "(no key)", r.Record.RequestId, r.Record.Model, $"{r.Record.Status}",
                r.Record.Finish, $"{r.Record.PromptTokens}", $"{r.Record.CachedTokens}", $"{r.Record.OutputTokens}",
                $"{r.Record.ReasoningTokens}", Money.Text(r.Record.Cost), $"{r.Record.FirstTokenMs:F0}", $"{r.Record.TotalMs:F0}",
            }));
        if (records.Count == RecordsShown)
            Console.Out.WriteLine($"(the newest {RecordsShown}; --json prints all)");
    }

    private static string NameOf(OwnerKind owner, UsageTotal total) => owner switch
    {
        OwnerKind.Key => total.Key,
        OwnerKind.Project => total.Project is null ? null : $"{total.Organization}/{total.Project}",
        _ => total.Organization,
    } ?? "(no key)";

    private static void WriteJson(Utf8JsonWriter writer, string array, IReadOnlyList<UsageTotal> totals, IReadOnlyList<UsageEntry> records)
    {
        writer.WriteStartObject();
        writer.WriteStartArray(array);
        foreach (UsageTotal total in totals)
        {
            writer.WriteStartObject();
            if (array == Arrays[0])
            {
                writer.WriteString("key", total.Key);
                writer.WriteString("prefix", total.Prefix);
            }

            if (array != Arrays[2])
                writer.WriteString("project", total.Project);
            writer.WriteString("organization", total.Organization);
            writer.WriteNumber("requests", total.Requests);
            writer.WriteNumber("failed", total.Failed);
            writer.WriteNumber("prompt_tokens", total.PromptTokens);
            writer.WriteNumber("cached_tokens", total.CachedTokens);
            writer.WriteNumber("output_tokens", total.OutputTokens);
            writer.WriteNumber("reasoning_tokens", total.ReasoningTokens);
            writer.WriteNumber("discarded_tokens", total.DiscardedTokens);
            writer.WriteNumber("cost_micros", total.Cost);
            writer.WriteNumber("cpu_ms", Math.Round(total.CpuMs, 3));
            writer.WriteNumber("total_ms", Math.Round(total.TotalMs, 3));
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteStartArray("records");
        foreach (UsageEntry entry in records)
        {
            writer.WriteStartObject();
            UsageJson.Write(writer, entry, decimals: 3);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
