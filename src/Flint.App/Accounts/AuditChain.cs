using System.Security.Cryptography;
using System.Text;
using Dapper;
using Microsoft.Data.Sqlite;

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
    private const byte Version = 1; // of the form in which a record is hashed

    /// <summary>The present head.</summary>
    public static AuditHead Head(Store store)
    {
        using SqliteConnection connection = store.Open();
        using SqliteTransaction transaction = connection.BeginTransaction(deferred: true);
        return Read(connection, transaction);
    }

    /// <summary>Checks every record of the ledger.</summary>
    /// <param name="store">The accounts; a server may go on writing them.</param>
    /// <param name="noted">A head noted before, which the ledger must still contain; null for none.</param>
    public static AuditResult Verify(Store store, AuditHead? noted = null)
    {
        using SqliteConnection connection = store.Open();
        using SqliteTransaction transaction = connection.BeginTransaction(deferred: true); // one state, whatever is written meanwhile
        AuditHead head = Read(connection, transaction), at = new(0, Text(new byte[SHA256.HashSizeInBytes]));
        bool contained = noted is null || noted == at;
        foreach ((UsageRecord record, byte[]? hash) in Records(connection, transaction))
        {
            at = new AuditHead(at.Count + 1, Text(Next(Convert.FromHexString(at.Hash), record)));
            if (hash is null || Text(hash) != at.Hash)
                return new AuditResult(head, $"Record {at.Count} ({record.RequestId}) is not as it was written, or one before it was removed or added.");
            contained |= noted == at;
        }

        if (at != head)
            return new AuditResult(head, $"The ledger has {at.Count} records, and its head was written for {head.Count}: the last ones were removed or replaced.");
        return new AuditResult(head, contained ? null : $"The ledger does not contain the state {noted}: it was written anew since.");
    }

    /// <summary>Puts records at the end of the chain, within the transaction that inserts them.</summary>
    /// <returns>Their hashes, in order.</returns>
    internal static List<byte[]> Extend(SqliteConnection connection, SqliteTransaction transaction, IEnumerable<UsageRecord> records)
    {
        AuditHead head = Read(connection, transaction);
        byte[] hash = Convert.FromHexString(head.Hash);
        var hashes = new List<byte[]>();
        foreach (UsageRecord record in records) hashes.Add(hash = Next(hash, record));
        connection.Execute("UPDATE chain SET records = @count, hash = @hash", new { count = head.Count + hashes.Count, hash }, transaction);
        return hashes;
    }

    /// <summary>Begins the chain over the records there are.</summary>
    internal static void Begin(SqliteConnection connection, SqliteTransaction transaction)
    {
        connection.Execute("INSERT INTO chain (id, records, hash) VALUES (1, 0, @hash)", new { hash = new byte[SHA256.HashSizeInBytes] }, transaction);
        UsageRecord[] records = [.. Records(connection, transaction).Select(r => r.Record)];
        foreach ((UsageRecord record, byte[] hash) in records.Zip(Extend(connection, transaction, records)))
            connection.Execute("UPDATE usage SET hash = @hash WHERE request_id = @RequestId", new { hash, record.RequestId }, transaction);
    }

    private static IEnumerable<(UsageRecord Record, byte[]? Hash)> Records(SqliteConnection connection, SqliteTransaction transaction) =>
        connection.Query<UsageRecord, byte[]?, (UsageRecord, byte[]?)>(
            $"SELECT {Ledger.Columns}, u.hash AS Hash FROM usage u ORDER BY u.id", (record, hash) => (record, hash), transaction: transaction, buffered: false, splitOn: "Hash");

    private static AuditHead Read(SqliteConnection connection, SqliteTransaction transaction)
    {
        (long count, byte[] hash) = connection.QuerySingle<(long, byte[])>("SELECT records, hash FROM chain", transaction: transaction);
        return new AuditHead(count, Text(hash));
    }

    private static byte[] Next(byte[] before, UsageRecord r)
    {
        using var form = new MemoryStream();
        using var writer = new BinaryWriter(form, Encoding.UTF8); // strings with their length before them
        writer.Write(Version);
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
        writer.Flush();
        return SHA256.HashData(form.GetBuffer().AsSpan(0, (int)form.Length));
    }

    private static string Text(byte[] hash) => Convert.ToHexStringLower(hash);
}
