using System.Threading.Channels;
using Dapper;
using Microsoft.Data.Sqlite;

namespace Flint.App.Accounts;

/// <summary>
/// The usage ledger. One writer commits what many requests hand in: while one transaction is on its way to the disk, the
/// next batch gathers, so that the cost of a commit is shared by however many requests end at once. A record is safe once
/// <see cref="RecordAsync"/> completes. Every record is a link of the <see cref="AuditChain"/>.
/// </summary>
public sealed class Ledger : IAsyncDisposable
{
    /// <summary>Most records waiting for the writer; beyond it, requests that end wait their turn.</summary>
    public const int MaxWaiting = 4096;

    /// <summary>Most records in one transaction.</summary>
    public const int MaxBatch = 512;

    /// <summary>The columns of a record in the table <c>usage u</c>, as <see cref="UsageRecord"/> names them.</summary>
    internal const string Columns = """
        u.request_id AS RequestId, u.key_id AS KeyId, u.endpoint AS Endpoint, u.model AS Model, u.started AS Started,
        u.status AS Status, u.finish AS Finish, u.prompt_tokens AS PromptTokens, u.cached_tokens AS CachedTokens,
        u.output_tokens AS OutputTokens, u.reasoning_tokens AS ReasoningTokens, u.queue_ms AS QueueMs,
        u.first_token_ms AS FirstTokenMs, u.total_ms AS TotalMs
        """;

    private const string Insert = """
        INSERT INTO usage (request_id, key_id, endpoint, model, started, status, finish, prompt_tokens, cached_tokens,
            output_tokens, reasoning_tokens, queue_ms, first_token_ms, total_ms, hash)
        VALUES (@RequestId, @KeyId, @Endpoint, @Model, @Started, @Status, @Finish, @PromptTokens, @CachedTokens,
            @OutputTokens, @ReasoningTokens, @QueueMs, @FirstTokenMs, @TotalMs, @hash)
        """;

    private readonly Store _store;
    private readonly Channel<Entry> _waiting = Channel.CreateBounded<Entry>(new BoundedChannelOptions(MaxWaiting) { SingleReader = true });
    private readonly Task _writer;

    /// <summary>Opens the ledger of a store and starts its writer.</summary>
    public Ledger(Store store)
    {
        _store = store;
        _writer = Task.Run(WriteAsync);
    }

    private sealed record Entry(UsageRecord Record, TaskCompletionSource Done);

    /// <summary>Completes once <paramref name="record"/> is committed.</summary>
    /// <exception cref="FlintException">It could not be written; nothing was recorded.</exception>
    public async Task RecordAsync(UsageRecord record)
    {
        var entry = new Entry(record, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        await _waiting.Writer.WriteAsync(entry);
        await entry.Done.Task;
    }

    /// <summary>Writes what is waiting and stops.</summary>
    public async ValueTask DisposeAsync()
    {
        _waiting.Writer.TryComplete();
        await _writer;
    }

    /// <summary>The sums per key of the records that began at or after <paramref name="since"/>.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="since">Unix milliseconds; 0 for all.</param>
    /// <param name="key">Only the keys of this name or prefix; null for all.</param>
    public static IReadOnlyList<UsageTotal> Totals(Store store, long since = 0, string? key = null)
    {
        using SqliteConnection connection = store.Open();
        return [.. connection.Query<UsageTotal>("""
            SELECT k.name AS Key, k.prefix AS Prefix, COUNT(*) AS Requests, SUM(u.status <> 200) AS Failed,
                SUM(u.prompt_tokens) AS PromptTokens, SUM(u.cached_tokens) AS CachedTokens,
                SUM(u.output_tokens) AS OutputTokens, SUM(u.reasoning_tokens) AS ReasoningTokens, SUM(u.total_ms) AS TotalMs
            FROM usage u LEFT JOIN keys k ON k.id = u.key_id
            WHERE u.started >= @since AND (@key IS NULL OR k.name = @key OR k.prefix = @key)
            GROUP BY u.key_id ORDER BY u.key_id
            """, new { since, key })];
    }

    /// <summary>Records that began at or after <paramref name="since"/>, newest first.</summary>
    /// <param name="store">The accounts.</param>
    /// <param name="since">Unix milliseconds; 0 for all.</param>
    /// <param name="key">Only the keys of this name or prefix; null for all.</param>
    /// <param name="limit">At most so many.</param>
    public static IReadOnlyList<(UsageRecord Record, string? Key)> Records(Store store, long since = 0, string? key = null, int limit = int.MaxValue)
    {
        using SqliteConnection connection = store.Open();
        return [.. connection.Query<UsageRecord, string?, (UsageRecord, string?)>($"""
            SELECT {Columns}, k.name AS KeyName
            FROM usage u LEFT JOIN keys k ON k.id = u.key_id
            WHERE u.started >= @since AND (@key IS NULL OR k.name = @key OR k.prefix = @key)
            ORDER BY u.id DESC LIMIT @limit
            """, (record, name) => (record, name), new { since, key, limit }, splitOn: "KeyName")];
    }

    private async Task WriteAsync()
    {
        var batch = new List<Entry>(MaxBatch);
        while (await _waiting.Reader.WaitToReadAsync())
        {
            batch.Clear();
            while (batch.Count < MaxBatch && _waiting.Reader.TryRead(out Entry? entry))
                batch.Add(entry);
            Exception? failure = Commit(batch);
            foreach (Entry entry in batch)
            {
                // A record that cannot be stored must not take the others of its batch with it.
                Exception? own = failure is null || batch.Count == 1 ? failure : Commit([entry]);
                if (own is null)
                    entry.Done.SetResult();
                else
                    entry.Done.SetException(new FlintException(FaultSide.Machine, "metering_failed", $"The usage of this request could not be recorded in {_store.Path}: {own.Message}", own));
            }
        }
    }

    private Exception? Commit(List<Entry> batch)
    {
        try
        {
            using SqliteConnection connection = _store.Open();
            using SqliteTransaction transaction = connection.BeginTransaction(deferred: false);
            foreach ((Entry entry, byte[] hash) in batch.Zip(AuditChain.Extend(connection, transaction, batch.Select(entry => entry.Record))))
            {
                var values = new DynamicParameters(entry.Record);
                values.Add("hash", hash);
                connection.Execute(Insert, values, transaction);
            }

            transaction.Commit();
            return null;
        }
        catch (Exception error)
        {
            return error;
        }
    }
}
