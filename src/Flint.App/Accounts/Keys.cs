using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Dapper;
using Microsoft.Data.Sqlite;

namespace Flint.App.Accounts;

/// <summary>
/// API keys. A secret is 32 random bytes, shown once when made; the store keeps its SHA-256 only. (A slow password hash
/// adds nothing where the secret itself has 256 bits.) Looking a key up by its hash compares nothing byte by byte against
/// the secret, so timing tells an attacker nothing about it.
/// </summary>
public sealed class Keys(Store store, TimeProvider time)
{
    /// <summary>What every secret begins with.</summary>
    public const string SecretPrefix = "sk-flint-";

    /// <summary>Longest name of a key, in characters.</summary>
    public const int MaxNameLength = 100;

    /// <summary>Longest secret worth hashing, in characters; longer ones are not ours.</summary>
    public const int MaxSecretLength = 256;

    private const int VisibleLength = 16;

    /// <summary>Makes a key.</summary>
    /// <param name="name">Its name, unique among the keys that work.</param>
    /// <returns>The key, and the secret, which is stored nowhere.</returns>
    /// <exception cref="FlintException">The name is empty, too long, or taken.</exception>
    public (Key Key, string Secret) Create(string name)
    {
        name = name.Trim();
        if (name.Length is 0 or > MaxNameLength || name.Any(char.IsControl))
            throw FlintException.Caller("invalid_key_name", $"A key's name has 1 to {MaxNameLength} printable characters.");
        string secret = SecretPrefix + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        string prefix = secret[..VisibleLength];
        long created = time.GetUtcNow().ToUnixTimeMilliseconds();
        using SqliteConnection connection = store.Open();
        try
        {
            long id = connection.ExecuteScalar<long>(
                "INSERT INTO keys (name, prefix, hash, created) VALUES (@name, @prefix, @hash, @created); SELECT last_insert_rowid()",
                new { name, prefix, hash = Hash(secret), created });
            return (new Key(id, name, prefix, created, null), secret);
        }
        catch (SqliteException error) when (error.SqliteErrorCode == SQLitePCL.raw.SQLITE_CONSTRAINT)
        {
            throw FlintException.Caller("key_name_taken", $"A key named '{name}' exists already; revoke it first or choose another name.");
        }
    }

    /// <summary>All keys, oldest first, revoked ones included.</summary>
    public IReadOnlyList<Key> List()
    {
        using SqliteConnection connection = store.Open();
        return [.. connection.Query<Key>("SELECT id, name, prefix, created, revoked FROM keys ORDER BY id")];
    }

    /// <summary>Whether any key works.</summary>
    public bool Any()
    {
        using SqliteConnection connection = store.Open();
        return connection.ExecuteScalar<bool>("SELECT EXISTS (SELECT 1 FROM keys WHERE revoked IS NULL)");
    }

    /// <summary>Ends a key; requests with it are refused from the next one on, in running servers too.</summary>
    /// <param name="nameOrPrefix">Its name, its visible prefix, or the whole secret.</param>
    /// <exception cref="FlintException">No working key, or more than one, is called so.</exception>
    public Key Revoke(string nameOrPrefix)
    {
        using SqliteConnection connection = store.Open();
        using SqliteTransaction transaction = connection.BeginTransaction(deferred: false);
        string start = nameOrPrefix.StartsWith(SecretPrefix, StringComparison.Ordinal) && nameOrPrefix.Length > VisibleLength ? nameOrPrefix[..VisibleLength] : nameOrPrefix;
        Key[] found = [.. connection.Query<Key>(
            "SELECT id, name, prefix, created, revoked FROM keys WHERE revoked IS NULL AND (name = @nameOrPrefix OR prefix = @start)",
            new { nameOrPrefix, start }, transaction)];
        if (found.Length != 1)
            throw FlintException.Caller("key_not_found", found.Length == 0
                ? $"No working key has the name or prefix '{start}'; see flint keys list."
                : $"'{start}' is the name of one key and the prefix of another; give the whole secret instead.");
        long revoked = time.GetUtcNow().ToUnixTimeMilliseconds();
        connection.Execute("UPDATE keys SET revoked = @revoked WHERE id = @Id", new { revoked, found[0].Id }, transaction);
        transaction.Commit();
        return found[0] with { Revoked = revoked };
    }

    /// <summary>The working key with this secret, or null.</summary>
    public Key? Find(string secret)
    {
        if (secret.Length > MaxSecretLength || !secret.StartsWith(SecretPrefix, StringComparison.Ordinal))
            return null;
        using SqliteConnection connection = store.Open();
        return connection.QueryFirstOrDefault<Key>(
            "SELECT id, name, prefix, created, revoked FROM keys WHERE hash = @hash AND revoked IS NULL", new { hash = Hash(secret) });
    }

    private static byte[] Hash(string secret) => SHA256.HashData(Encoding.UTF8.GetBytes(secret));
}
