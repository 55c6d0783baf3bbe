using System.Text.Json;

namespace Flint.App.Accounts;

/// <summary>Keys, limits and usage as JSON: for <c>--json</c> on the command line and for the admin API alike.</summary>
internal static class AccountsJson
{
    private static readonly string[] Arrays = ["keys", "projects", "organizations"];

    /// <summary>Writes a moment of Unix milliseconds, or null.</summary>
    public static void WriteTime(this Utf8JsonWriter writer, string name, long? milliseconds)
    {
        if (milliseconds is long at)
            writer.WriteString(name, DateTimeOffset.FromUnixTimeMilliseconds(at));
        else
            writer.WriteNull(name);
    }

    /// <summary>The lists of a key's scopes, by name.</summary>
    public static (string Name, IReadOnlyList<string> List)[] Scopes(Key key) =>
        [("models", key.Scopes.Models), ("routes", key.Scopes.Routes), ("modes", key.Scopes.Modes), ("addresses", key.Scopes.Addresses)];

    /// <summary>Writes a key's fields into an object that is open.</summary>
    public static void WriteKey(Utf8JsonWriter writer, Key key)
    {
        writer.WriteString("name", key.Name);
        writer.WriteString("prefix", key.Prefix);
        writer.WriteString("project", key.Project);
        writer.WriteString("organization", key.Organization);
        writer.WriteTime("created", key.Created);
        writer.WriteTime("expires", key.Expires);
        writer.WriteTime("disabled", key.Disabled);
        writer.WriteTime("revoked", key.Revoked);
        writer.WriteStartObject("scopes");
        foreach ((string name, IReadOnlyList<string> list) in Scopes(key))
        {
            writer.WriteStartArray(name);
            foreach (string entry in list)
                writer.WriteStringValue(entry);
            writer.WriteEndArray();
        }

        writer.WriteBoolean("tools", key.Scopes.Tools);
        writer.WriteString("policy", key.Scopes.Policy);
        writer.WriteString("profile", key.Scopes.Profile);
        if (key.Scopes.Prompts is { } prompts)
        {
            writer.WriteStartObject("prompts");
            writer.WriteString("form", prompts.Form);
            writer.WriteNumber("days", prompts.Days);
            writer.WriteEndObject();
        }
        else
        {
            writer.WriteNull("prompts");
        }

        writer.WriteBoolean("admin", key.Scopes.Admin);
        writer.WriteEndObject();
    }

    /// <summary>Writes a key with its secrets' beginnings and its limits, as fields of an object that is open.</summary>
    public static void WriteWhole(Utf8JsonWriter writer, Store store, Key key, IReadOnlyList<KeySecret> secrets)
    {
        WriteKey(writer, key);
        writer.WriteStartArray("secrets");
        foreach (KeySecret secret in secrets)
        {
            writer.WriteStartObject();
            writer.WriteString("prefix", secret.Prefix);
            writer.WriteTime("created", secret.Created);
            writer.WriteTime("expires", secret.Expires);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        WriteLimits(writer, store, new Owner(OwnerKind.Key, key.Id));
    }

    /// <summary>Writes an owner's limits, a property each.</summary>
    public static void WriteLimits(Utf8JsonWriter writer, Store store, Owner owner)
    {
        writer.WriteStartObject("limits");
        foreach (LimitState state in LimitState.Of(store, owner))
        {
            writer.WriteStartObject(state.Name);
            WriteAmount(writer, state, "limit", state.Limit);
            WriteAmount(writer, state, "used", state.Used);
            WriteAmount(writer, state, "reserved", state.Reserved);
            writer.WriteEndObject();
        }

        writer.WriteEndObject();
    }

    /// <summary>Writes sums and records as fields of an object that is open.</summary>
    public static void WriteUsage(Utf8JsonWriter writer, OwnerKind owner, IReadOnlyList<UsageTotal> totals, IReadOnlyList<UsageEntry> records)
    {
        writer.WriteStartArray(Arrays[(int)owner]);
        foreach (UsageTotal total in totals)
            WriteTotal(writer, owner, total);
        writer.WriteEndArray();
        writer.WriteStartArray("records");
        foreach (UsageEntry entry in records)
        {
            writer.WriteStartObject();
            WriteRecord(writer, entry, decimals: 3);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }

    /// <summary>Writes kept texts into an object that is open: as JSON, or as their digests.</summary>
    public static void WritePrompt(Utf8JsonWriter writer, PromptEntry entry)
    {
        KeptPrompt prompt = entry.Prompt;
        writer.WriteString("request_id", prompt.RequestId);
        writer.WriteTime("created", prompt.Created);
        writer.WriteTime("expires", prompt.Expires);
        writer.WriteString("key", entry.Key);
        writer.WriteString("project", entry.Project);
        writer.WriteString("organization", entry.Organization);
        writer.WriteString("endpoint", prompt.Endpoint);
        writer.WriteString("model", prompt.Model);
        writer.WriteString("form", prompt.Form);
        foreach ((string name, string text) in new[] { ("input", prompt.Input), ("output", prompt.Output) })
        {
            if (prompt.Form == PromptLogging.Hashed)
            {
                writer.WriteString(name, text);
                continue;
            }

            writer.WritePropertyName(name);
            writer.WriteRawValue(text, skipInputValidation: true);
        }
    }

    /// <summary>Writes a record's fields into an object that is open.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="entry">The record.</param>
    /// <param name="decimals">Of times; null for all, as the hash covers them.</param>
    public static void WriteRecord(Utf8JsonWriter writer, UsageEntry entry, int? decimals = null)
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

    private static void WriteTotal(Utf8JsonWriter writer, OwnerKind owner, UsageTotal total)
    {
        writer.WriteStartObject();
        if (owner == OwnerKind.Key)
        {
            writer.WriteString("key", total.Key);
            writer.WriteString("prefix", total.Prefix);
        }

        if (owner != OwnerKind.Organization)
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

    private static void WriteAmount(Utf8JsonWriter writer, LimitState state, string name, long? amount)
    {
        if (amount is not long value)
        {
            writer.WriteNull(name);
            return;
        }

        writer.WritePropertyName(name);
        writer.WriteRawValue(state.Text(value));
    }
}
