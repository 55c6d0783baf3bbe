using System.CommandLine;
using System.Text.Json;
using System.Text.RegularExpressions;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint usage</c>: what each key used, as sums and as records.</summary>
internal static partial class Usage
{
    private const int RecordsShown = 20;

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var key = new Option<string?>("--key") { HelpName = "NAME", Description = "Only the key of this name or these first characters." };
        var since = new Option<string?>("--since") { HelpName = "WHEN", Description = "Only requests since then: 90m, 24h, 7d, or a date such as 2026-11-20 or 2026-11-20T08:00Z." };
        var json = new Option<bool>("--json") { Description = "Print one JSON object with all sums and all records." };
        Option<string?> data = DataOption.Create();
        var command = new Command("usage", "Show what each key used: tokens in, cached, out, reasoning, and time.") { key, since, json, data };
        command.SetAction(parsed =>
        {
            Store store = DataOption.Open(parsed, data);
            long from = parsed.GetValue(since) is string text ? ParseSince(text, DateTimeOffset.UtcNow) : 0;
            string? name = parsed.GetValue(key)?.TrimEnd('…');
            if (parsed.GetValue(json))
                WriteJson(Ledger.Totals(store, from, name), Ledger.Records(store, from, name));
            else
                WriteText(Ledger.Totals(store, from, name), Ledger.Records(store, from, name, RecordsShown));
            return 0;
        });
        return command;
    }

    /// <summary>Reads a span back from now (<c>90m</c>, <c>24h</c>, <c>7d</c>) or a date, to Unix milliseconds.</summary>
    /// <exception cref="FlintException">It is neither.</exception>
    internal static long ParseSince(string text, DateTimeOffset now)
    {
        if (SpanPattern().Match(text) is { Success: true } match)
        {
            int count = int.Parse(match.Groups[1].ValueSpan);
            long unit = match.Groups[2].ValueSpan[0] switch { 's' => 1_000, 'm' => 60_000, 'h' => 3_600_000, _ => 86_400_000 };
            return now.ToUnixTimeMilliseconds() - count * unit;
        }

        if (DateTimeOffset.TryParse(text, null, System.Globalization.DateTimeStyles.AssumeLocal, out DateTimeOffset date))
            return date.ToUnixTimeMilliseconds();
        throw FlintException.Caller("invalid_since", $"--since takes a span such as 90m, 24h or 7d, or a date such as 2026-11-20, not '{text}'.");
    }

    [GeneratedRegex("^([0-9]{1,6})([smhd])$")]
    private static partial Regex SpanPattern();

    private static void WriteText(IReadOnlyList<UsageTotal> totals, IReadOnlyList<(UsageRecord Record, string? Key)> records)
    {
        TextTable.Write(Console.Out, ["KEY", "REQUESTS", "FAILED", "IN", "CACHED", "OUT", "REASONING", "SECONDS"],
            totals.Select(t => new[]
            {
                t.Key ?? "(no key)", $"{t.Requests}", $"{t.Failed}", $"{t.PromptTokens}", $"{t.CachedTokens}", $"{t.OutputTokens}",
                $"{t.ReasoningTokens}", $"{t.TotalMs / 1000:F1}",
            }));
        if (records.Count == 0)
            return;
        Console.Out.WriteLine();
        TextTable.Write(Console.Out, ["TIME", "KEY", "REQUEST", "MODEL", "STATUS", "FINISH", "IN", "CACHED", "OUT", "REASONING", "FIRST MS", "TOTAL MS"],
            records.Select(r => new[]
            {
                TextTable.Time(r.Record.Started), r.Key ?? "(no key)", r.Record.RequestId, r.Record.Model, $"{r.Record.Status}",
                r.Record.Finish, $"{r.Record.PromptTokens}", $"{r.Record.CachedTokens}", $"{r.Record.OutputTokens}",
                $"{r.Record.ReasoningTokens}", $"{r.Record.FirstTokenMs:F0}", $"{r.Record.TotalMs:F0}",
            }));
        if (records.Count == RecordsShown)
            Console.Out.WriteLine($"(the newest {RecordsShown}; --json prints all)");
    }

    private static void WriteJson(IReadOnlyList<UsageTotal> totals, IReadOnlyList<(UsageRecord Record, string? Key)> records)
    {
        using Stream output = Console.OpenStandardOutput();
        using var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true });
        writer.WriteStartObject();
        writer.WriteStartArray("keys");
        foreach (UsageTotal total in totals)
        {
            writer.WriteStartObject();
            writer.WriteString("key", total.Key);
            writer.WriteString("prefix", total.Prefix);
            writer.WriteNumber("requests", total.Requests);
            writer.WriteNumber("failed", total.Failed);
            writer.WriteNumber("prompt_tokens", total.PromptTokens);
            writer.WriteNumber("cached_tokens", total.CachedTokens);
            writer.WriteNumber("output_tokens", total.OutputTokens);
            writer.WriteNumber("reasoning_tokens", total.ReasoningTokens);
            writer.WriteNumber("total_ms", Math.Round(total.TotalMs, 3));
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteStartArray("records");
        foreach ((UsageRecord record, string? key) in records)
            WriteRecord(writer, record, key);
        writer.WriteEndArray();
        writer.WriteEndObject();
        writer.Flush();
        output.WriteByte((byte)'\n');
    }

    private static void WriteRecord(Utf8JsonWriter writer, UsageRecord record, string? key)
    {
        writer.WriteStartObject();
        writer.WriteString("request_id", record.RequestId);
        writer.WriteString("key", key);
        writer.WriteString("endpoint", record.Endpoint);
        writer.WriteString("model", record.Model);
        writer.WriteString("started", DateTimeOffset.FromUnixTimeMilliseconds(record.Started));
        writer.WriteNumber("status", record.Status);
        writer.WriteString("finish", record.Finish);
        writer.WriteNumber("prompt_tokens", record.PromptTokens);
        writer.WriteNumber("cached_tokens", record.CachedTokens);
        writer.WriteNumber("output_tokens", record.OutputTokens);
        writer.WriteNumber("reasoning_tokens", record.ReasoningTokens);
        writer.WriteNumber("queue_ms", Math.Round(record.QueueMs, 3));
        writer.WriteNumber("first_token_ms", Math.Round(record.FirstTokenMs, 3));
        writer.WriteNumber("total_ms", Math.Round(record.TotalMs, 3));
        writer.WriteEndObject();
    }
}
