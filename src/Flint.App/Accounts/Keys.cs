using System.Buffers.Binary;
using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>
/// API keys. A secret is 32 random bytes, shown once when made; the store keeps its SHA-256 only. (A slow password hash
/// adds nothing where the secret itself has 256 bits.) Looking a key up by its hash compares nothing byte by byte against
/// the secret, so timing tells an attacker nothing about it. A key may have several secrets, so that a new one can be handed
/// out while the old one still works. Of a file's keys, those that were used are remembered, and forgotten when the file says that
/// any key has changed; a server is asked for the key itself, as one question costs as much as the other.
/// </summary>
/// <param name="store">The accounts.</param>
/// <param name="time">The clock.</param>
/// <param name="writer">What writes the accounts in this process, and has at hand what they say; null for nothing.</param>
public sealed class Keys(Store store, TimeProvider time, StoreWriter? writer = null)
{
    /// <summary>What every secret begins with.</summary>
    public const string SecretPrefix = "sk-flint-";

    /// <summary>Longest name of a key, in characters.</summary>
    public const int MaxNameLength = 100;

    /// <summary>Most secrets whose keys are remembered.</summary>
    public const int MaxRemembered = 65_536;

    /// <summary>Longest secret worth hashing, in characters; longer ones are not ours.</summary>
    public const int MaxSecretLength = 256;

    private const int VisibleLength = 16;

    private const string Columns = """
        k.id AS Id, k.name AS Name, k.created AS Created, k.expires AS Expires, k.disabled AS Disabled, k.revoked AS Revoked,
        p.id AS ProjectId, p.name AS Project, o.id AS OrganizationId, o.name AS Organization
        """;

    private const string Owners = "JOIN projects p ON p.id = k.project_id JOIN organizations o ON o.id = p.organization_id";

    private const string Newest = "(SELECT s.prefix FROM secrets s WHERE s.key_id = k.id ORDER BY s.id DESC LIMIT 1) AS Prefix";

    private const string BySecret = $"SELECT {Columns}, s.prefix, k.scopes, s.expires FROM secrets s JOIN keys k ON k.id = s.key_id {Owners} WHERE s.hash = $1";

    private const string Revision = "SELECT keys FROM revisions";

    private readonly ConcurrentDictionary<UInt128, Remembered> _remembered = [];

    private sealed record Found(Key Key, long? Ends);

    // The hash is kept whole: half of it is only where to look.
    private sealed record Remembered(byte[] Hash, long Revision, Found Found);

    /// <summary>Makes a key.</summary>
    /// <param name="name">Its name, unique among the keys of the project that are not revoked.</param>
    /// <param name="project">Its project; null for the one that is there from the beginning.</param>
    /// <param name="expires">When it ends by itself, Unix milliseconds; null for never.</param>
    /// <param name="scopes">What it may be used for; null for everything.</param>
    /// <returns>The key, and the secret, which is stored nowhere.</returns>
    /// <exception cref="FlintException">Caller: the name is empty, too long, or taken; the end is past; a scope cannot be understood.</exception>
    public (Key Key, string Secret) Create(string name, Project? project = null, long? expires = null, KeyScopes? scopes = null)
    {
        name = name.Trim();
        if (name.Length is 0 or > MaxNameLength || name.Any(char.IsControl))
            throw FlintException.Caller("invalid_key_name", $"A key's name has 1 to {MaxNameLength} printable characters.");
        scopes ??= KeyScopes.All;
        scopes.Validate();
        long created = Now;
        if (expires <= created)
            throw FlintException.Caller("invalid_expiry", "A key's end is in the future.");
        project ??= new Organizations(store, time).FindProject($"{Organizations.Default}/{Organizations.Default}");
        using DbConnection connection = store.Open();
        using DbTransaction transaction = store.Database.BeginWrite(connection);
        try
        {
            long id = connection.ExecuteScalar<long>(
                "INSERT INTO keys (project_id, name, created, expires, scopes) VALUES (@Id, @name, @created, @expires, @scopes) RETURNING id",
                new { project.Id, name, created, expires, scopes = scopes.ToString() }, transaction);
            string secret = AddSecret(connection, transaction, id);
            transaction.Commit();
            return (Find(secret)!, secret);
        }
        catch (DbException error) when (store.Database.IsConflict(error))
        {
            throw FlintException.Caller("key_name_taken", $"A key named '{name}' exists already; revoke it first or choose another name.");
        }
    }

    /// <summary>All keys, oldest first, revoked ones included.</summary>
    public IReadOnlyList<Key> List()
    {
        using DbConnection connection = store.Open();
        return Query(connection, $"SELECT {Columns}, {Newest}, k.scopes AS Scopes FROM keys k {Owners} ORDER BY k.id", null);
    }

    /// <summary>Whether any key works.</summary>
    public bool Any() => List().Any(key => key.StateAt(Now) == KeyState.Works);

    /// <summary>The one key that is called so.</summary>
    /// <param name="handle">Its name, <c>ORGANISATION/PROJECT/NAME</c>, the visible prefix of a secret, or a whole secret.</param>
    /// <param name="isRevokedToo">Whether it may be one that is revoked.</param>
    /// <exception cref="FlintException">Caller: no such key, or more than one, is called so.</exception>
    public Key Get(string handle, bool isRevokedToo = false)
    {
        using DbConnection connection = store.Open();
        string start = handle.StartsWith(SecretPrefix, StringComparison.Ordinal) && handle.Length > VisibleLength ? handle[..VisibleLength] : handle;
        List<Key> found = Query(
            connection,
            $"""
            SELECT {Columns}, {Newest}, k.scopes AS Scopes FROM keys k {Owners}
            WHERE {(isRevokedToo ? "" : "k.revoked IS NULL AND ")}(k.name = @handle OR o.name || '/' || p.name || '/' || k.name = @handle
                OR EXISTS (SELECT 1 FROM secrets s WHERE s.key_id = k.id AND s.prefix = @start))
            """,
            new { handle, start });
        return found.Count switch
        {
            1 => found[0],
            0 => throw FlintException.Caller("key_not_found", $"No key that works has the name or prefix '{start}'; see flint keys list."),
            _ => throw FlintException.Caller("key_ambiguous", $"'{start}' stands for {found.Count} keys; give ORGANISATION/PROJECT/NAME or the whole secret instead."),
        };
    }

    /// <summary>The secrets of a key, oldest first.</summary>
    public IReadOnlyList<KeySecret> Secrets(Key key)
    {
        using DbConnection connection = store.Open();
        return [.. connection.Query<KeySecret>("SELECT prefix AS Prefix, created AS Created, expires AS Expires FROM secrets WHERE key_id = @Id ORDER BY id", new { key.Id })];
    }

    /// <summary>Gives a key another secret; the ones before it end after the overlap, or when they would have.</summary>
    /// <param name="handle">As <see cref="Get"/> takes it.</param>
    /// <param name="overlap">How long the old ones still work.</param>
    /// <returns>The key, and the new secret, which is stored nowhere.</returns>
    public (Key Key, string Secret) Rotate(string handle, TimeSpan overlap)
    {
        Key key = Get(handle);
        using DbConnection connection = store.Open();
        using DbTransaction transaction = store.Database.BeginWrite(connection);
        connection.Execute(
            "UPDATE secrets SET expires = CASE WHEN expires < @end THEN expires ELSE @end END WHERE key_id = @Id",
            new { end = Now + (long)overlap.TotalMilliseconds, key.Id }, transaction);
        string secret = AddSecret(connection, transaction, key.Id);
        transaction.Commit();
        return (key with { Prefix = secret[..VisibleLength] }, secret);
    }

    /// <summary>Ends a key; requests with it are refused from the next one on, in running servers too.</summary>
    /// <param name="handle">As <see cref="Get"/> takes it.</param>
    public Key Revoke(string handle)
    {
        Key key = Get(handle) with { Revoked = Now };
        Execute("UPDATE keys SET revoked = @Revoked WHERE id = @Id", key);
        return key;
    }

    /// <summary>Switches a key off or on again, in running servers too.</summary>
    /// <param name="handle">As <see cref="Get"/> takes it.</param>
    /// <param name="disabled">Whether it is to be off.</param>
    public Key Disable(string handle, bool disabled)
    {
        Key key = Get(handle) with { Disabled = disabled ? Now : null };
        Execute("UPDATE keys SET disabled = @Disabled WHERE id = @Id", key);
        return key;
    }

    /// <summary>Gives a key another policy, in running servers too.</summary>
    /// <param name="handle">As <see cref="Get"/> takes it.</param>
    /// <param name="policy">Its name; null for the server's default.</param>
    public Key SetPolicy(string handle, string? policy) => Change(handle, scopes => scopes with { Policy = policy });

    /// <summary>Gives a key another profile, in running servers too.</summary>
    /// <param name="handle">As <see cref="Get"/> takes it.</param>
    /// <param name="profile">One of <see cref="KeyScopes.Profiles"/>; null for the server's.</param>
    public Key SetProfile(string handle, string? profile) => Change(handle, scopes => scopes with { Profile = profile });

    /// <summary>Has texts of a key's requests and answers kept from now on, or no longer, in running servers too.</summary>
    /// <param name="handle">As <see cref="Get"/> takes it.</param>
    /// <param name="prompts">How; null for not at all.</param>
    public Key SetPrompts(string handle, PromptLogging? prompts) => Change(handle, scopes => scopes with { Prompts = prompts });

    private Key Change(string handle, Func<KeyScopes, KeyScopes> change)
    {
        Key key = Get(handle);
        KeyScopes scopes = change(key.Scopes);
        scopes.Validate();
        using DbConnection connection = store.Open();
        connection.Execute("UPDATE keys SET scopes = @scopes WHERE id = @Id", new { scopes = scopes.ToString(), key.Id });
        return key with { Scopes = scopes };
    }

    /// <summary>The working key with this secret, or null.</summary>
    public Key? Find(string secret) => Check(secret) is (Key key, KeyState.Works) ? key : null;

    /// <summary>The key with this secret, and whether it opens.</summary>
    /// <returns>No key where none has it.</returns>
    public (Key? Key, KeyState State) Check(string secret)
    {
        if (secret.Length > MaxSecretLength || !secret.StartsWith(SecretPrefix, StringComparison.Ordinal))
            return (null, KeyState.Unknown);
        byte[] hash = Hash(secret);
        if (writer is null || !writer.TryRead(reader => Recall(reader, hash), out Found? found))
            found = store.Use(reader => store.Database.IsServer ? Ask(reader, hash) : Recall(reader, hash));
        if (found is null)
            return (null, KeyState.Unknown);
        KeyState state = found.Key.StateAt(Now);
        return (found.Key, state == KeyState.Works && found.Ends <= Now ? KeyState.Expired : state);
    }

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    private string AddSecret(DbConnection connection, DbTransaction transaction, long key)
    {
        string secret = SecretPrefix + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        connection.Execute(
            "INSERT INTO secrets (key_id, prefix, hash, created) VALUES (@key, @prefix, @hash, @created)",
            new { key, prefix = secret[..VisibleLength], hash = Hash(secret), created = Now }, transaction);
        return secret;
    }

    private void Execute(string sql, Key key)
    {
        using DbConnection connection = store.Open();
        connection.Execute(sql, new { key.Id, key.Revoked, key.Disabled });
    }

    private static Found? Ask(Statements store, byte[] hash) => store.Query(BySecret, ReadKey, hash).FirstOrDefault();

    // The number is read before the key: what changes in between has it read again.
    private Found? Recall(Statements store, byte[] hash)
    {
        long revision = store.Query(Revision, static row => row.GetInt64(0))[0];
        UInt128 place = BinaryPrimitives.ReadUInt128LittleEndian(hash);
        if (_remembered.TryGetValue(place, out Remembered? known) && known.Revision == revision && known.Hash.AsSpan().SequenceEqual(hash))
            return known.Found;
        Found? found = Ask(store, hash);
        if (found is null)
            return null;
        if (_remembered.Count >= MaxRemembered)
            _remembered.Clear();
        _remembered[place] = new Remembered(hash, revision, found);
        return found;
    }

    private static Found ReadKey(Row row) => new(
        new Key
        {
            Id = row.GetInt64(0), Name = row.GetString(1), Created = row.GetInt64(2), Expires = row.Number(3), Disabled = row.Number(4), Revoked = row.Number(5),
            ProjectId = row.GetInt64(6), Project = row.GetString(7), OrganizationId = row.GetInt64(8), Organization = row.GetString(9),
            Prefix = row.GetString(10), Scopes = KeyScopes.Parse(row.GetString(11)),
        },
        row.Number(12));

    private static List<Key> Query(DbConnection connection, string sql, object? values) =>
        [.. connection.Query<Key, string, Key>(sql, (key, scopes) => key with { Scopes = KeyScopes.Parse(scopes) }, values, splitOn: "Scopes")];

    private static byte[] Hash(string secret) => SHA256.HashData(Encoding.UTF8.GetBytes(secret));
}
