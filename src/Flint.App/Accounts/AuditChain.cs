using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>A state of the ledger: how many records it has, and the hash that covers them all.</summary>
/// <param name="Count">Records.</param>
/// <param name="Hash">SHA-256 in lower-case hexadecimal; zeros before the first record.</param>
public readonly record struct AuditHead(long Count, string Hash)
{
    /// <summary><c>COUNT:HASH</c>, as it is printed and read.</summary>
    public override string ToString() => $"{Count}:{Hash}";

    /// <summary>Reads <c>COUNT:HASH</c>.</summary>
    /// <exception cref="FlintException">Caller: it is not of that form.</exception>
    public static AuditHead Parse(string text)
    {
        string[] parts = text.Trim().Split(':');
        if (parts.Length == 2 && long.TryParse(parts[0], System.Globalization.NumberStyles.None, null, out long count)
            && parts[1].Length == 2 * SHA256.HashSizeInBytes && parts[1].All(char.IsAsciiHexDigit))
            return new AuditHead(count, parts[1].ToLowerInvariant());
        throw FlintException.Caller("invalid_head", $"A head has the form COUNT:HASH, as flint audit head prints it; found '{text}'.");
    }
}

/// <summary>What became of a check of the ledger.</summary>
/// <param name="Head">The state that was checked.</param>
/// <param name="Fault">The first thing wrong with it; null where all is as it was written.</param>
public sealed record AuditResult(AuditHead Head, string? Fault);

/// <summary>
/// The hash chain over the ledger: a record's hash covers all its fields and the hash before it, so that none can be altered, moved,
/// added or removed without every later hash changing. The last hash is kept apart. Whoever can write the whole database could
/// compute the chain anew; a head noted elsewhere tells that too.
/// </summary>
public static class AuditChain
{
    /// <summary>The form in which records are hashed now; each record keeps the number of its own.</summary>
    internal const int Form = 2;

    // What a record was when the chain began.
    private const string FirstColumns = """
        1 AS Form, u.request_id AS RequestId, u.key_id AS KeyId, u.endpoint AS Endpoint, u.model AS Model, u.started AS Started,
        u.status AS Status, u.finish AS Finish, u.prompt_tokens AS PromptTokens, u.cached_tokens AS CachedTokens,
        u.output_tokens AS OutputTokens, u.reasoning_tokens AS ReasoningTokens, u.queue_ms AS QueueMs,
        u.first_token_ms AS FirstTokenMs, u.total_ms AS TotalMs
        """;

    /// <summary>The present head. It is on the disk before it is told: no loss of power takes from the ledger a head that was noted.</summary>
    /// <exception cref="FlintException">Machine: it cannot be brought there.</exception>
    public static AuditHead Head(Store store)
    {
        using DbConnection connection = store.Open();
        using DbTransaction transaction = store.Database.BeginRead(connection);
        AuditHead head = Read(connection, transaction);
        Sync(store);
        return head;
    }

    /// <summary>Checks every record of the ledger.</summary>
    /// <param name="store">The accounts; a server may go on writing them.</param>
    /// <param name="noted">A head noted before, which the ledger must still contain; null for none.</param>
    /// <exception cref="FlintException">Machine: what was checked cannot be brought to the disk, as it is before it is told.</exception>
    public static AuditResult Verify(Store store, AuditHead? noted = null)
    {
        using DbConnection connection = store.Open();
        using DbTransaction transaction = store.Database.BeginRead(connection);
        AuditResult result = Verify(connection, transaction, noted);
        Sync(store);
        return result;
    }

    /// <summary>Checks every record as a transaction sees it.</summary>
    internal static AuditResult Verify(DbConnection connection, DbTransaction transaction, AuditHead? noted)
    {
        AuditHead head = Read(connection, transaction), at = new(0, Text(new byte[SHA256.HashSizeInBytes]));
        bool contained = noted is null || noted == at;
        foreach ((UsageRecord record, byte[]? hash) in Records(connection, transaction, Ledger.Columns))
        {
            at = new AuditHead(at.Count + 1, Text(Next(Convert.FromHexString(at.Hash), record)));
            if (hash is null || Text(hash) != at.Hash || !FitsForm(record))
                return new AuditResult(head, $"Record {at.Count} ({record.RequestId}) is not as it was written, or one before it was removed or added.");
            contained |= noted == at;
        }

        if (at != head)
            return new AuditResult(head, $"The ledger has {at.Count} records, and its head was written for {head.Count}: the last ones were removed or replaced.");
        return new AuditResult(head, contained ? null : $"The ledger does not contain the state {noted}: it was written anew since.");
    }

    /// <summary>Asks for the end of the chain.</summary>
    internal static Reply<List<(long Count, byte[] Hash)>> Ask(Statements store) =>
        store.Ask("SELECT records, hash FROM chain", static row => (row.GetInt64(0), row.GetBytes(1)));

    /// <summary>Puts a record at the end of the chain, within the transaction that inserts it.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="end">The end, asked for in the same transaction.</param>
    /// <param name="record">The record.</param>
    /// <returns>Its hash.</returns>
    internal static byte[] Extend(Statements store, Reply<List<(long Count, byte[] Hash)>> end, UsageRecord record)
    {
        (long count, byte[] before) = end.Value[0];
        byte[] hash = Next(before, record);
        store.Change("UPDATE chain SET records = $1, hash = $2", count + 1, hash);
        return hash;
    }

    /// <summary>Begins the chain over the records there are.</summary>
    internal static void Begin(Statements store)
    {
        store.Execute("INSERT INTO chain (id, records, hash) VALUES (1, 0, $1)", new byte[SHA256.HashSizeInBytes]);
        foreach (UsageRecord record in Records(store.Connection, store.Transaction!, FirstColumns).Select(r => r.Record).ToArray())
            store.Execute("UPDATE usage SET hash = $1 WHERE request_id = $2", Extend(store, Ask(store), record), record.RequestId);
    }

    private static IEnumerable<(UsageRecord Record, byte[]? Hash)> Records(DbConnection connection, DbTransaction transaction, string columns) =>
        connection.Query<UsageRecord, byte[]?, (UsageRecord, byte[]?)>(
            $"SELECT {columns}, u.hash AS Hash FROM usage u ORDER BY u.id", (record, hash) => (record, hash), transaction: transaction, buffered: false, splitOn: "Hash");

    private static AuditHead Read(DbConnection connection, DbTransaction transaction)
    {
        (long count, byte[] hash) = connection.QuerySingle<(long, byte[])>("SELECT records, hash FROM chain", transaction: transaction);
        return new AuditHead(count, Text(hash));
    }

    private static void Sync(Store store)
    {
        try
        {
            store.Database.SyncRead();
        }
        catch (IOException error)
        {
            throw new FlintException(FaultSide.Machine, Store.UnavailableCode, $"The accounts in {store.Name} cannot be brought to the disk: {error.Message}", error);
        }
    }

    private static byte[] Next(byte[] before, UsageRecord r)
    {
        using var form = new MemoryStream();
        using var writer = new BinaryWriter(form, Encoding.UTF8); // strings with their length before them
        writer.Write((byte)r.Form);
        writer.Write(before);
        writer.Write(r.RequestId);
        writer.Write(r.KeyId ?? -1);
        writer.Write(r.Endpoint);
        writer.Write(r.Model);
        writer.Write(r.Started);
        writer.Write(r.Status);
        writer.Write(r.Finish);
        writer.Write(r.PromptTokens);
        writer.Write(r.CachedTokens);
        writer.Write(r.OutputTokens);
        writer.Write(r.ReasoningTokens);
        writer.Write(r.QueueMs);
        writer.Write(r.FirstTokenMs);
        writer.Write(r.TotalMs);
        if (r.Form > 1)
            WriteSecond(writer, r);
        writer.Flush();
        return SHA256.HashData(form.GetBuffer().AsSpan(0, (int)form.Length));
    }

    private static void WriteSecond(BinaryWriter writer, UsageRecord r)
    {
        writer.Write(r.OrganizationId ?? -1);
        writer.Write(r.ProjectId ?? -1);
        writer.Write(r.Fingerprint);
        writer.Write(r.Dialect);
        writer.Write(r.Mode);
        writer.Write(r.DiscardedTokens);
        writer.Write(r.CpuMs);
        writer.Write(r.Cost);
        writer.Write(r.Policy);
    }

    // What a form does not cover must be as the record was without it.
    private static bool FitsForm(UsageRecord r) => r.Form switch
    {
        1 => r is { OrganizationId: null, ProjectId: null, Fingerprint: "", Dialect: "", Mode: "", DiscardedTokens: 0, CpuMs: 0, Cost: 0, Policy: "" },
        _ => r.Form == Form,
    };

    private static string Text(byte[] hash) => Convert.ToHexStringLower(hash);
}
