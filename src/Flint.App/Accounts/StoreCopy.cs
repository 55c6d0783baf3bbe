using System.Data.Common;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>What a copy has brought over.</summary>
/// <param name="Keys">Keys, revoked ones too.</param>
/// <param name="Head">The state of the ledger.</param>
/// <param name="Responses">Responses that later requests may go on from.</param>
public sealed record CopiedStore(long Keys, AuditHead Head, long Responses);

/// <summary>
/// Brings accounts from one store into another that has none yet, whichever databases these are: owners, keys and their secrets,
/// limits, prices, what is spent, the ledger with its chain, and kept responses. It is one transaction: a copy is whole and its ledger
/// verified, or the target is as it was. Nobody may be serving with the store it comes from.
/// </summary>
public static class StoreCopy
{
    // In an order in which what is referred to comes before who refers to it.
    private static readonly (string Table, string Order, bool IsNumbered)[] Tables =
    [
        ("organizations", "id", true), ("projects", "id", true), ("keys", "id", true), ("secrets", "id", true), ("limits", "owner", false), ("prices", "model", false),
        ("spending", "owner", false), ("usage", "id", true), ("responses", "number", true),
    ];

    // What a new store has from the beginning, and nobody has used.
    private const string IsUsed = """
        SELECT EXISTS (SELECT 1 FROM keys) OR EXISTS (SELECT 1 FROM usage) OR EXISTS (SELECT 1 FROM responses) OR EXISTS (SELECT 1 FROM limits)
            OR EXISTS (SELECT 1 FROM prices) OR EXISTS (SELECT 1 FROM spending) OR EXISTS (SELECT 1 FROM nodes)
            OR (SELECT count(*) FROM organizations) > 1 OR (SELECT count(*) FROM projects) > 1
        """;

    /// <summary>Copies.</summary>
    /// <param name="source">Where from. What its processes left when they died is freed and recorded first, as by any that starts.</param>
    /// <param name="target">Where to.</param>
    /// <exception cref="FlintException">
    /// Caller: the target is not empty, or somebody serves with the source. Machine: the source's ledger is not as it was written, or a database fails.
    /// </exception>
    public static async Task<CopiedStore> RunAsync(Store source, Store target)
    {
        if (source.Name == target.Name)
            throw FlintException.Caller("same_store", $"The accounts in {source.Name} cannot be copied into themselves.");
        await SettleAsync(source);
        try
        {
            using DbConnection from = source.Open(), to = target.Open();
            using DbTransaction reading = source.Database.BeginWrite(from), writing = target.Database.BeginWrite(to); // nobody writes meanwhile
            Wait(source, reading);
            Wait(target, writing);
            if (from.ExecuteScalar<bool>("SELECT EXISTS (SELECT 1 FROM nodes)", transaction: reading))
                throw FlintException.Caller("store_in_use", $"A server uses the accounts in {source.Name}: stop it first, as what it does meanwhile would be lost.");
            if (to.ExecuteScalar<bool>(IsUsed, transaction: writing))
                throw FlintException.Caller("store_not_empty", $"There are accounts in {target.Name} already; expected a store that nobody has used.");
            to.Execute("DELETE FROM projects; DELETE FROM organizations", transaction: writing);
            foreach ((string table, string order, bool isNumbered) in Tables)
                Copy(table, order, isNumbered, reading, writing, target.Database.IsServer);
            (long records, byte[] hash) = from.QuerySingle<(long, byte[])>("SELECT records, hash FROM chain", transaction: reading);
            to.Execute("UPDATE chain SET records = @records, hash = @hash", new { records, hash }, writing);
            AuditResult verified = AuditChain.Verify(to, writing, noted: null);
            if (verified.Fault is { } fault)
                throw new FlintException(FaultSide.Machine, "ledger_altered", $"The ledger in {source.Name} cannot be copied: {fault}");
            var copied = new CopiedStore(
                to.ExecuteScalar<long>("SELECT count(*) FROM keys", transaction: writing), verified.Head, to.ExecuteScalar<long>("SELECT count(*) FROM responses", transaction: writing));
            writing.Commit();
            return copied;
        }
        catch (Exception error) when (source.Database.IsFault(error) || target.Database.IsFault(error) || error is DbException)
        {
            throw new FlintException(FaultSide.Machine, "store_unusable", $"Cannot copy the accounts in {source.Name} to {target.Name}: {error.Message}", error);
        }
    }

    // The one waits for the other longer than a server's transaction may sleep else.
    private static void Wait(Store store, DbTransaction transaction)
    {
        if (store.Database.IsServer)
            transaction.Connection!.Execute("SET LOCAL idle_in_transaction_session_timeout = 0", transaction: transaction);
    }

    // Frees what dead processes had set aside, and records what they could not.
    private static async Task SettleAsync(Store source)
    {
        await using var ledger = new Ledger(source);
        await using var reservations = new Reservations(ledger.Writer, TimeProvider.System);
    }

    private static void Copy(string table, string order, bool isNumbered, DbTransaction reading, DbTransaction writing, bool isServer)
    {
        using DbCommand select = Command(reading, $"SELECT * FROM {table} ORDER BY {order}");
        using (DbDataReader rows = select.ExecuteReader())
        {
            string[] columns = [.. Enumerable.Range(0, rows.FieldCount).Select(rows.GetName)];
            using DbCommand insert = Command(writing, $"INSERT INTO {table} ({string.Join(", ", columns)}) VALUES ({string.Join(", ", columns.Select((_, i) => $"@c{i}"))})");
            for (int i = 0; i < columns.Length; i++)
            {
                DbParameter parameter = insert.CreateParameter();
                parameter.ParameterName = $"c{i}";
                insert.Parameters.Add(parameter);
            }

            while (rows.Read())
            {
                for (int i = 0; i < columns.Length; i++)
                    insert.Parameters[i].Value = rows.GetValue(i);
                insert.ExecuteNonQuery();
            }
        }

        // A server goes on counting from where it was told to, not from what is there.
        if (isServer && isNumbered)
        {
            using DbCommand count = Command(writing, $"SELECT setval(pg_get_serial_sequence('{table}', '{order}'), greatest(max({order}), 1), max({order}) IS NOT NULL) FROM {table}");
            count.ExecuteNonQuery();
        }
    }

    private static DbCommand Command(DbTransaction transaction, string sql)
    {
        DbCommand command = transaction.Connection!.CreateCommand();
        command.Transaction = transaction;
        command.CommandTimeout = 0; // a ledger may be long
#pragma warning disable CA2100 // the texts are this assembly's own
        command.CommandText = sql;
#pragma warning restore CA2100
        return command;
    }
}
