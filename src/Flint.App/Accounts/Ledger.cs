using System.Data.Common;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>
/// The usage ledger. A record is safe from the death of the process once <see cref="RecordAsync"/> completes, and then or a moment later
/// from the loss of power; what was reserved for its request is settled with it, both or neither. Every record is a link of the
/// <see cref="AuditChain"/>.
/// </summary>
public sealed class Ledger : IAsyncDisposable
{
    /// <summary>The columns of a record in the table <c>usage u</c>, as <see cref="UsageRecord"/> names them.</summary>
    internal const string Columns = """
        u.request_id AS RequestId, u.key_id AS KeyId, u.endpoint AS Endpoint, u.model AS Model, u.started AS Started,
        u.status AS Status, u.finish AS Finish, u.prompt_tokens AS PromptTokens, u.cached_tokens AS CachedTokens,
        u.output_tokens AS OutputTokens, u.reasoning_tokens AS ReasoningTokens, u.queue_ms AS QueueMs,
        u.first_token_ms AS FirstTokenMs, u.total_ms AS TotalMs, u.form AS Form, u.organization_id AS OrganizationId,
        u.project_id AS ProjectId, u.fingerprint AS Fingerprint, u.dialect AS Dialect, u.mode AS Mode,
        u.discarded_tokens AS DiscardedTokens, u.cpu_ms AS CpuMs, u.cost AS Cost, u.policy AS Policy
        """;

    private const string Insert = """
        INSERT INTO usage (request_id, key_id, endpoint, model, started, status, finish, prompt_tokens, cached_tokens,
            output_tokens, reasoning_tokens, queue_ms, first_token_ms, total_ms, hash, form, organization_id, project_id,
            fingerprint, dialect, mode, discarded_tokens, cpu_ms, cost, policy)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
        """;

    // Records of before there were projects count for the project their key has now.
    private const string From = """
        FROM usage u LEFT JOIN keys k ON k.id = u.key_id LEFT JOIN projects p ON p.id = coalesce(u.project_id, k.project_id)
            LEFT JOIN organizations o ON o.id = p.organization_id
        WHERE u.started >= @Since AND (@Organization IS NULL OR o.name = @Organization)
            AND (@Project IS NULL OR p.name = @Project OR o.name || '/' || p.name = @Project)
            AND (@Key IS NULL OR k.name = @Key OR EXISTS (SELECT 1 FROM secrets s WHERE s.key_id = k.id AND s.prefix = @Key))
        """;

    private readonly Safety _safety;

    /// <summary>Opens the ledger of a store and starts its writer.</summary>
    /// <param name="store">The store.</param>
    /// <param name="waitsForDisk">Whether a record is on the disk when it is told to be written; else that is on its way. A server's always is.</param>
    /// <param name="log">Told, in a line, when the disk fails and when it takes again what is written; nobody where null.</param>
    public Ledger(Store store, bool waitsForDisk = false, Action<string>? log = null)
    {
        _safety = waitsForDisk ? Safety.Synced : Safety.Syncing;
        Writer = new StoreWriter(store, log);
    }

    /// <summary>What writes it, and whatever else must be in one order with its records.</summary>
    public StoreWriter Writer { get; }

    /// <summary>Completes once a record is committed, and on the disk where that is waited for.</summary>
    /// <param name="record">What the request used.</param>
    /// <param name="reservation">What was set aside for it; null where nothing was.</param>
    /// <exception cref="FlintException">
    /// Machine: the response must not end as if all were well. <c>metering_failed</c>: the record could not be written now; it is kept
    /// in the <see cref="Journal"/>, as that of a request that failed, and written as soon as the store can be. <c>reservation_lost</c>: what
    /// was set aside is gone, and the record says that the request was not charged.
    /// </exception>
    public async Task RecordAsync(UsageRecord record, Reservation? reservation = null)
    {
        bool isCharged;
        try
        {
            isCharged = await Writer.WriteAsync(store => Record(store, record, reservation), _safety);
        }
        catch (FlintException unwritten) when (Writer.MayPass(unwritten))
        {
            // A request that was turned away because the store is gone leaves no record.
            if (reservation is not null || record.Finish is not (StoreWriter.FailedCode or Store.UnavailableCode))
                Writer.Journal.Keep(record.Status == 200 ? record with { Status = 503, Finish = StoreWriter.FailedCode } : record, reservation);
            throw;
        }

        if (!isCharged)
            throw new FlintException(FaultSide.Machine, Reservations.LostCode, "What was set aside for this request was freed, as this server seemed to have died, and its budget has no room left for it.");
    }

    /// <summary>Settles and records a request within a transaction.</summary>
    /// <returns>Whether it was charged what it used.</returns>
    internal static bool Record(Statements store, UsageRecord record, Reservation? reservation)
    {
        Reply<List<(long, byte[])>> end = AuditChain.Ask(store); // together with what settling asks for
        UsageRecord settled = reservation is null ? record : Reservations.Settle(store, reservation, record);
        store.Change(
            Insert, settled.RequestId, settled.KeyId, settled.Endpoint, settled.Model, settled.Started, settled.Status, settled.Finish, settled.PromptTokens,
            settled.CachedTokens, settled.OutputTokens, settled.ReasoningTokens, settled.QueueMs, settled.FirstTokenMs, settled.TotalMs,
            AuditChain.Extend(store, end, settled), settled.Form, settled.OrganizationId, settled.ProjectId, settled.Fingerprint, settled.Dialect, settled.Mode,
            settled.DiscardedTokens, settled.CpuMs, settled.Cost, settled.Policy);
        return ReferenceEquals(settled, record);
    }

    /// <summary>Whether a request is recorded.</summary>
    internal static bool Contains(Statements store, UsageRecord record) =>
        store.Query("SELECT id FROM usage WHERE started = $1 AND request_id = $2", static row => row.GetInt64(0), record.Started, record.RequestId).Count > 0;

    /// <summary>Writes what is waiting and stops.</summary>
    public ValueTask DisposeAsync() => Writer.DisposeAsync();

    /// <summary>The sums of the records that a filter lets pass.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="filter">Which records.</param>
    /// <param name="by">Whose sums: of each key, project or organisation.</param>
    public static IReadOnlyList<UsageTotal> Totals(Store store, UsageFilter filter, OwnerKind by = OwnerKind.Key)
    {
        string[] owners = by switch { OwnerKind.Key => ["k.id", "p.id", "o.id"], OwnerKind.Project => ["p.id", "o.id"], _ => ["o.id"] };
        string names = by switch
        {
            OwnerKind.Key => "k.name AS Key, (SELECT s.prefix FROM secrets s WHERE s.key_id = k.id ORDER BY s.id DESC LIMIT 1) AS Prefix, p.name AS Project, o.name AS Organization",
            OwnerKind.Project => "p.name AS Project, o.name AS Organization",
            _ => "o.name AS Organization",
        };
        using DbConnection connection = store.Open();
        return [.. connection.Query<UsageTotal>($"""
            SELECT {names}, COUNT(*) AS Requests, SUM(CASE WHEN u.status <> 200 THEN 1 ELSE 0 END) AS Failed,
                {Sum("prompt_tokens")} AS PromptTokens, {Sum("cached_tokens")} AS CachedTokens, {Sum("output_tokens")} AS OutputTokens,
                {Sum("reasoning_tokens")} AS ReasoningTokens, {Sum("discarded_tokens")} AS DiscardedTokens, {Sum("cost")} AS Cost,
                SUM(u.cpu_ms) AS CpuMs, SUM(u.total_ms) AS TotalMs
            {From}
            GROUP BY {string.Join(", ", owners)} ORDER BY {string.Join(", ", owners.Select(owner => owner + " NULLS FIRST"))}
            """, filter)];

        static string Sum(string column) => $"CAST(SUM(u.{column}) AS BIGINT)"; // which would have a wider type of its own
    }

    /// <summary>The records that a filter lets pass, newest first.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="filter">Which records.</param>
    /// <param name="limit">At most so many.</param>
    public static IReadOnlyList<UsageEntry> Records(Store store, UsageFilter filter, int limit = int.MaxValue)
    {
        using DbConnection connection = store.Open();
        return [.. Read(connection, $"{From} ORDER BY u.id DESC LIMIT {limit}", filter)];
    }

    /// <summary>All records with their hashes, oldest first, as one state of the store has them.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="take">What to do with each.</param>
    public static void Export(Store store, Action<UsageEntry> take)
    {
        using DbConnection connection = store.Open();
        foreach (UsageEntry entry in Read(connection, $"{From} ORDER BY u.id", new UsageFilter()))
            take(entry);
    }

    private static IEnumerable<UsageEntry> Read(DbConnection connection, string from, UsageFilter filter) =>
        connection.Query<UsageRecord, UsageEntry, UsageEntry>(
            $"SELECT {Columns}, u.hash AS Hash, k.name AS Key, p.name AS Project, o.name AS Organization {from}",
            (record, names) => names with { Record = record }, filter, splitOn: "Hash", buffered: false);
}
