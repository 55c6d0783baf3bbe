using System.Text.Json;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary>A record of the ledger as JSON.</summary>
internal static class UsageJson
{
    /// <summary>Writes its fields into an object that is open.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="entry">The record.</param>
    /// <param name="decimals">Of times; null for all, as the hash covers them.</param>
    internal static void Write(Utf8JsonWriter writer, UsageEntry entry, int? decimals = null)
    {
        UsageRecord record = entry.Record;
        writer.WriteString("request_id", record.RequestId);
        writer.WriteString("key", entry.Key);
        writer.WriteString("project", entry.Project);
        writer.WriteString("organization", entry.Organization);
        writer.WriteString("endpoint", record.Endpoint);
        writer.WriteString("dialect", record.Dialect);
        writer.WriteString("model", record.Model);
        writer.WriteString("fingerprint", record.Fingerprint);
        writer.WriteString("mode", record.Mode);
        writer.WriteString("started", DateTimeOffset.FromUnixTimeMilliseconds(record.Started));
        writer.WriteNumber("status", record.Status);
        writer.WriteString("finish", record.Finish);
        writer.WriteString("policy", record.Policy);
        writer.WriteNumber("prompt_tokens", record.PromptTokens);
        writer.WriteNumber("cached_tokens", record.CachedTokens);
        writer.WriteNumber("output_tokens", record.OutputTokens);
        writer.WriteNumber("reasoning_tokens", record.ReasoningTokens);
        writer.WriteNumber("discarded_tokens", record.DiscardedTokens);
        writer.WriteNumber("cost_micros", record.Cost);
        writer.WriteNumber("cpu_ms", Rounded(record.CpuMs));
        writer.WriteNumber("queue_ms", Rounded(record.QueueMs));
        writer.WriteNumber("first_token_ms", Rounded(record.FirstTokenMs));
        writer.WriteNumber("total_ms", Rounded(record.TotalMs));

        double Rounded(double value) => decimals is int digits ? Math.Round(value, digits) : value;
    }
}
