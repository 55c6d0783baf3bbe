using System.Data.Common;
using System.Text;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>A response kept so that later requests can go on from it.</summary>
/// <param name="Id">Its id.</param>
/// <param name="KeyId">The key that asked for it; null where the server ran without keys.</param>
/// <param name="Created">When it was asked for, Unix milliseconds.</param>
/// <param name="Previous">The response it went on from; null for none.</param>
/// <param name="Json">The response, as its caller got it.</param>
/// <param name="Input">The items asked with it, a JSON array.</param>
public sealed record StoredResponse(string Id, long? KeyId, long Created, string? Previous, string Json, string Input)
{
    /// <summary>The digest of whom the caller named as the person behind it (<see cref="Prompts.Digest"/>); null where it named nobody.</summary>
    public string? Person { get; init; }
}

/// <summary>
/// The responses kept for each key. Only the key that asked for one can see it; a key's oldest give way to new ones, and each goes
/// when its time is over.
/// </summary>
/// <param name="store">The accounts.</param>
/// <param name="time">The clock.</param>
/// <param name="maxPerKey">Most responses of a key.</param>
/// <param name="maxBytesPerKey">Most bytes of a key's responses together.</param>
public sealed class Responses(Store store, TimeProvider time, int maxPerKey = Responses.MaxPerKey, long maxBytesPerKey = Responses.MaxBytesPerKey)
{
    /// <summary>Most responses of a key.</summary>
    public const int MaxPerKey = 10_000;

    /// <summary>Most bytes of a key's responses together, their input included.</summary>
    public const long MaxBytesPerKey = 256L * 1024 * 1024;

    /// <summary>Most responses that go on from one another.</summary>
    public const int MaxChain = 1000;

    /// <summary>How long a response is kept.</summary>
    public static readonly TimeSpan MaxAge = TimeSpan.FromDays(30);

    private const string Select = "SELECT id AS Id, key_id AS KeyId, created AS Created, previous AS Previous, json AS Json, input AS Input FROM responses";

    private readonly Lock _gate = new(); // one at a time waits for the store, which has other writers

    /// <summary>Keeps a response, or what has become of one that is kept; then lets go of what is over the limits.</summary>
    /// <exception cref="FlintException">Machine: it could not be written.</exception>
    public void Save(StoredResponse response)
    {
        long now = time.GetUtcNow().ToUnixTimeMilliseconds();
        long bytes = Encoding.UTF8.GetByteCount(response.Json) + Encoding.UTF8.GetByteCount(response.Input);
        long expires = response.Created + (long)MaxAge.TotalMilliseconds;
        lock (_gate)
            store.Use(statements => Save(statements.Connection, response, now, expires, bytes));
    }

    /// <summary>A response; null where this key has none of this id.</summary>
    /// <exception cref="FlintException">Machine: the store cannot be read now.</exception>
    public StoredResponse? Find(string id, long? key) => store.Use(statements => Find(statements.Connection, id, key));

    /// <summary>A response and those it went on from, the first one first; null where one of them, or too many, are not there.</summary>
    /// <exception cref="FlintException">Machine: the store cannot be read now.</exception>
    public IReadOnlyList<StoredResponse>? Chain(string id, long? key) => store.Use(statements => Chain(statements.Connection, id, key));

    /// <summary>Lets go of a response.</summary>
    /// <returns>Whether this key had it.</returns>
    /// <exception cref="FlintException">Machine: the store cannot be written now.</exception>
    public bool Delete(string id, long? key) =>
        store.Use(statements => statements.Connection.Execute($"DELETE FROM responses WHERE id = @id AND {Owned(key)}", new { id, key }) > 0);

    private List<StoredResponse>? Chain(DbConnection connection, string id, long? key)
    {
        var chain = new List<StoredResponse>();
        for (string? next = id; next is not null; next = chain[^1].Previous)
        {
            if (chain.Count == MaxChain || Find(connection, next, key) is not { } found)
                return null;
            chain.Add(found);
        }

        chain.Reverse();
        return chain;
    }

    private bool Save(DbConnection connection, StoredResponse response, long now, long expires, long bytes)
    {
        string owned = Owned(response.KeyId);
        using DbTransaction transaction = store.Database.BeginWrite(connection);
        connection.Execute("DELETE FROM responses WHERE expires <= @now", new { now }, transaction);
        connection.Execute("""
            INSERT INTO responses (id, key_id, created, expires, previous, bytes, json, input, person)
            VALUES (@Id, @KeyId, @Created, @expires, @Previous, @bytes, @Json, @Input, @Person)
            ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes, json = excluded.json
            """, new { response.Id, response.KeyId, response.Created, expires, response.Previous, bytes, response.Json, response.Input, response.Person }, transaction);
        (long count, long total) = connection.QuerySingle<(long, long)>(
            $"SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM responses WHERE {owned}", new { key = response.KeyId }, transaction);
        if (count > maxPerKey || total > maxBytesPerKey)
        {
            connection.Execute($"""
                DELETE FROM responses WHERE number IN (
                    SELECT number FROM (
                        SELECT number, ROW_NUMBER() OVER newest AS place, SUM(bytes) OVER newest AS total FROM responses WHERE {owned}
                        WINDOW newest AS (ORDER BY created DESC, number DESC ROWS UNBOUNDED PRECEDING)) AS ranked
                    WHERE place > @maxPerKey OR total > @maxBytesPerKey)
                """, new { key = response.KeyId, maxPerKey, maxBytesPerKey }, transaction);
        }

        transaction.Commit();
        return true;
    }

    // The conditions are two, so that each can use the index.
    private static string Owned(long? key) => key is null ? "key_id IS NULL" : "key_id = @key";

    // No id has a zero character, which some databases cannot even ask for.
    private StoredResponse? Find(DbConnection connection, string id, long? key) => id.Contains('\0') ? null : connection.QueryFirstOrDefault<StoredResponse>(
        $"{Select} WHERE id = @id AND {Owned(key)} AND expires > @now", new { id, key, now = time.GetUtcNow().ToUnixTimeMilliseconds() });
}
