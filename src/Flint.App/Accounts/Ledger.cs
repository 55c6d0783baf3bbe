using Dapper;
using Microsoft.Data.Sqlite;

namespace Flint.App.Accounts;

/// <summary>
/// The usage ledger. A record is safe, from the loss of power too, once <see cref="RecordAsync"/> completes; what was reserved for its
/// request is settled with it, both or neither. Every record is a link of the <see cref="AuditChain"/>.
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
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)
        """;

    // Records of before there were projects count for the project their key has now.
    private const string From = """
        FROM usage u LEFT JOIN keys k ON k.id = u.key_id LEFT JOIN projects p ON p.id = coalesce(u.project_id, k.project_id)
            LEFT JOIN organizations o ON o.id = p.organization_id
        WHERE u.started >= @Since AND (@Organization IS NULL OR o.name = @Organization)
            AND (@Project IS NULL OR p.name = @Project OR o.name || '/' || p.name = @Project)
            AND (@Key IS NULL OR k.name = @Key OR EXISTS (SELECT 1 FROM secrets s WHERE s.key_id = k.id AND s.prefix = @Key))
        """;

    /// <summary>Opens the ledger of a store and starts its writer.</summary>
    public Ledger(Store store) => Writer = new StoreWriter(store);

    /// <summary>What writes it, and whatever else must be in one order with its records.</summary>
    public StoreWriter Writer { get; }

    /// <summary>Completes once a record is committed.</summary>
    /// <param name="record">What the request used.</param>
    /// <param name="reservation">What was set aside for it; null where nothing was.</param>
    /// <exception cref="FlintException">It could not be written; nothing was recorded.</exception>
    public Task RecordAsync(UsageRecord record, Reservation? reservation = null) => Writer.WriteAsync(
        store =>
        {
            if (reservation is not null)
                Reservations.Settle(store, reservation, record);
            return Append(store, record);
        },
        durable: true);

    /// <summary>Writes what is waiting and stops.</summary>
    public ValueTask DisposeAsync() => Writer.DisposeAsync();

    /// <summary>The sums of the records that a filter lets pass.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="filter">Which records.</param>
    /// <param name="by">Whose sums: of each key, project or organisation.</param>
    public static IReadOnlyList<UsageTotal> Totals(Store store, UsageFilter filter, OwnerKind by = OwnerKind.Key)
    {
        string owner = by switch { OwnerKind.Key => "k.id", OwnerKind.Project => "p.id", _ => "o.id" };
        string names = by switch
        {
            OwnerKind.Key => "k.name AS Key, (SELECT s.prefix FROM secrets s WHERE s.key_id = k.id ORDER BY s.id DESC LIMIT 1) AS Prefix, p.name AS Project, o.name AS Organization",
            OwnerKind.Project => "p.name AS Project, o.name AS Organization",
            _ => "o.name AS Organization",
        };
        using SqliteConnection connection = store.Open();
        return [.. connection.Query<UsageTotal>($"""
            SELECT {names}, COUNT(*) AS Requests, SUM(u.status <> 200) AS Failed,
                SUM(u.prompt_tokens) AS PromptTokens, SUM(u.cached_tokens) AS CachedTokens, SUM(u.output_tokens) AS OutputTokens,
                SUM(u.reasoning_tokens) AS ReasoningTokens, SUM(u.discarded_tokens) AS DiscardedTokens, SUM(u.cost) AS Cost,
                SUM(u.cpu_ms) AS CpuMs, SUM(u.total_ms) AS TotalMs
            {From}
            GROUP BY {owner} ORDER BY {owner}
            """, filter)];
    }

    /// <summary>The records that a filter lets pass, newest first.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="filter">Which records.</param>
    /// <param name="limit">At most so many.</param>
    public static IReadOnlyList<UsageEntry> Records(Store store, UsageFilter filter, int limit = int.MaxValue)
    {
        using SqliteConnection connection = store.Open();
        return [.. Read(connection, $"{From} ORDER BY u.id DESC LIMIT {limit}", filter)];
    }

    /// <summary>All records with their hashes, oldest first, as one state of the store has them.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="take">What to do with each.</param>
    public static void Export(Store store, Action<UsageEntry> take)
    {
        using SqliteConnection connection = store.Open();
        foreach (UsageEntry entry in Read(connection, $"{From} ORDER BY u.id", new UsageFilter()))
            take(entry);
    }

    private static int Append(Statements store, UsageRecord r) => store.Execute(
        Insert, r.RequestId, r.KeyId, r.Endpoint, r.Model, r.Started, r.Status, r.Finish, r.PromptTokens, r.CachedTokens,
        r.OutputTokens, r.ReasoningTokens, r.QueueMs, r.FirstTokenMs, r.TotalMs, AuditChain.Extend(store, r), r.Form, r.OrganizationId, r.ProjectId,
        r.Fingerprint, r.Dialect, r.Mode, r.DiscardedTokens, r.CpuMs, r.Cost, r.Policy);

    private static IEnumerable<UsageEntry> Read(SqliteConnection connection, string from, UsageFilter filter) =>
        connection.Query<UsageRecord, UsageEntry, UsageEntry>(
            $"SELECT {Columns}, u.hash AS Hash, k.name AS Key, p.name AS Project, o.name AS Organization {from}",
            (record, names) => names with { Record = record }, filter, splitOn: "Hash", buffered: false);
}
