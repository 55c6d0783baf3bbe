using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>The texts of a request and its answer, as its key has them kept.</summary>
public sealed record KeptPrompt
{
    /// <summary>The id of its record in the ledger.</summary>
    public string RequestId { get; init; } = "";

    /// <summary>The key that asked.</summary>
    public long KeyId { get; init; }

    /// <summary>The digest of whom the caller named as the person behind it; null where it named nobody.</summary>
    public string? Person { get; init; }

    /// <summary>When it was asked, Unix milliseconds.</summary>
    public long Created { get; init; }

    /// <summary>Until when it is kept, Unix milliseconds.</summary>
    public long Expires { get; init; }

    /// <summary>The route.</summary>
    public string Endpoint { get; init; } = "";

    /// <summary>The model that answered; empty where none did.</summary>
    public string Model { get; init; } = "";

    /// <summary>One of <see cref="PromptLogging.Forms"/>.</summary>
    public string Form { get; init; } = "";

    /// <summary>The request's body as JSON, or its digest.</summary>
    public string Input { get; init; } = "";

    /// <summary>What the caller was told, a JSON array of choices, or its digest.</summary>
    public string Output { get; init; } = "";
}

/// <summary>Texts with the names of whose they are.</summary>
public sealed record PromptEntry
{
    /// <summary>The texts.</summary>
    public KeptPrompt Prompt { get; init; } = new();

    /// <summary>The key.</summary>
    public string Key { get; init; } = "";

    /// <summary>Its project.</summary>
    public string Project { get; init; } = "";

    /// <summary>Its organisation.</summary>
    public string Organization { get; init; } = "";
}

/// <summary>Which texts are meant: those that all of it fits.</summary>
public sealed record PromptFilter
{
    /// <summary>Only of this person, as callers name it; null for all.</summary>
    public string? User { get; init; }

    /// <summary>Only of this key; null for all.</summary>
    public long? Key { get; init; }

    /// <summary>Only those asked since then, Unix milliseconds.</summary>
    public long Since { get; init; }
}

/// <summary>
/// The texts of requests and answers, of keys that have them kept. They lie beside the ledger, which has none: what goes from here, by
/// its time or because somebody wants it gone, leaves the chain of records as it is.
/// </summary>
/// <param name="store">The accounts.</param>
/// <param name="time">The clock.</param>
public sealed class Prompts(Store store, TimeProvider time)
{
    private const string Columns = """
        t.request_id AS RequestId, t.key_id AS KeyId, t.person AS Person, t.created AS Created, t.expires AS Expires, t.endpoint AS Endpoint,
        t.model AS Model, t.form AS Form, t.input AS Input, t.output AS Output, k.name AS Key, p.name AS Project, o.name AS Organization
        """;

    private readonly Lock _gate = new(); // one at a time waits for the store, which has other writers
    private byte[]? _pepper;

    /// <summary>What stands for a text where it must not be read: HMAC-SHA-256 under a secret of the store's, in hexadecimal.</summary>
    /// <exception cref="FlintException">Machine: the store cannot be read now.</exception>
    public string Digest(string text)
    {
        _pepper ??= store.Use(static statements => statements.Query("SELECT secret FROM pepper", static row => row.GetBytes(0))[0]);
        return Convert.ToHexStringLower(HMACSHA256.HashData(_pepper, Encoding.UTF8.GetBytes(text)));
    }

    /// <summary>Keeps texts.</summary>
    /// <exception cref="FlintException">Machine: they could not be written.</exception>
    public void Save(KeptPrompt prompt)
    {
        lock (_gate)
        {
            store.Use(statements => statements.Connection.Execute("""
                INSERT INTO prompts (request_id, key_id, person, created, expires, endpoint, model, form, input, output)
                VALUES (@RequestId, @KeyId, @Person, @Created, @Expires, @Endpoint, @Model, @Form, @Input, @Output)
                """, prompt));
        }
    }

    /// <summary>The texts that a filter lets pass, oldest first.</summary>
    /// <param name="filter">Which.</param>
    /// <param name="take">What to do with each.</param>
    /// <param name="limit">At most so many, the newest.</param>
    public void Export(PromptFilter filter, Action<PromptEntry> take, int limit = int.MaxValue)
    {
        using DbConnection connection = store.Open();
        IEnumerable<PromptEntry> found = connection.Query<KeptPrompt, PromptEntry, PromptEntry>(
            $"""
            SELECT * FROM (SELECT t.number AS Number, {Columns} FROM prompts t JOIN keys k ON k.id = t.key_id JOIN projects p ON p.id = k.project_id
                JOIN organizations o ON o.id = p.organization_id WHERE {Where(filter)} AND t.expires > @Now ORDER BY t.number DESC LIMIT {limit}) AS newest
            ORDER BY number
            """,
            (prompt, names) => names with { Prompt = prompt }, Values(filter), splitOn: "Key", buffered: false);
        foreach (PromptEntry entry in found)
            take(entry);
    }

    /// <summary>Deletes texts, and with them the responses kept for later requests to go on from.</summary>
    /// <param name="filter">Whose: it names a person or a key.</param>
    /// <returns>How many texts, and how many responses.</returns>
    /// <exception cref="FlintException">Caller: it names neither.</exception>
    public (int Prompts, int Responses) Delete(PromptFilter filter)
    {
        if (filter.User is null && filter.Key is null)
            throw FlintException.Caller("nobody_named", "Say whose texts are to be deleted: a user's or a key's.");
        using DbConnection connection = OpenToDelete();
        using DbTransaction transaction = store.Database.BeginWrite(connection);
        object values = Values(filter);
        int prompts = connection.Execute($"DELETE FROM prompts AS t WHERE {Where(filter)}", values, transaction);
        int responses = connection.Execute($"DELETE FROM responses AS t WHERE {Where(filter)}", values, transaction);
        transaction.Commit();
        return (prompts, responses);
    }

    /// <summary>Deletes what has been kept as long as it was to be, responses too.</summary>
    /// <exception cref="DbException">The store cannot be written now.</exception>
    public void Purge()
    {
        using DbConnection connection = OpenToDelete();
        connection.Execute("DELETE FROM prompts WHERE expires <= @Now; DELETE FROM responses WHERE expires <= @Now", new { Now });
    }

    // Else what is deleted from a file stays in pages of it that are free.
    private DbConnection OpenToDelete()
    {
        DbConnection connection = store.Open();
        if (!store.Database.IsServer)
            connection.Execute("PRAGMA secure_delete = ON");
        return connection;
    }

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    private static string Where(PromptFilter filter) =>
        "t.created >= @Since" + (filter.User is null ? "" : " AND t.person = @Person") + (filter.Key is null ? "" : " AND t.key_id = @Key");

    private object Values(PromptFilter filter) => new { filter.Since, filter.Key, Person = filter.User is string user ? Digest(user) : null, Now };
}
