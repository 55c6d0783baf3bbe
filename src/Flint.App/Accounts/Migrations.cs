using Dapper;
using Microsoft.Data.Sqlite;

namespace Flint.App.Accounts;

/// <summary>
/// The numbered steps that bring an accounts database to the present shape. <c>PRAGMA user_version</c> holds the number of
/// the last step applied; a step, once released, is never edited.
/// </summary>
internal static class Migrations
{
    private static readonly (string Sql, Action<SqliteConnection, SqliteTransaction>? Then)[] Steps =
    [
        // 1: keys and usage. Times are Unix milliseconds; durations are milliseconds.
        ("""
        CREATE TABLE keys (
            id      INTEGER PRIMARY KEY,
            name    TEXT    NOT NULL,
            prefix  TEXT    NOT NULL,
            hash    BLOB    NOT NULL UNIQUE,
            created INTEGER NOT NULL,
            revoked INTEGER
        );
        CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked IS NULL;
        CREATE TABLE usage (
            id               INTEGER PRIMARY KEY,
            request_id       TEXT    NOT NULL UNIQUE,
            key_id           INTEGER REFERENCES keys (id),
            endpoint         TEXT    NOT NULL,
            model            TEXT    NOT NULL,
            started          INTEGER NOT NULL,
            status           INTEGER NOT NULL,
            finish           TEXT    NOT NULL,
            prompt_tokens    INTEGER NOT NULL,
            cached_tokens    INTEGER NOT NULL,
            output_tokens    INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            queue_ms         REAL    NOT NULL,
            first_token_ms   REAL    NOT NULL,
            total_ms         REAL    NOT NULL
        );
        CREATE INDEX usage_key ON usage (key_id, started);
        CREATE INDEX usage_started ON usage (started);
        """, null),
        // 2: the hash chain over usage, and its last link.
        ("""
        ALTER TABLE usage ADD COLUMN hash BLOB;
        CREATE TABLE chain (
            id      INTEGER PRIMARY KEY CHECK (id = 1),
            records INTEGER NOT NULL,
            hash    BLOB    NOT NULL
        );
        """, AuditChain.Begin),
        // 4: responses that later requests go on from. Times are Unix milliseconds.
        ("""
        CREATE TABLE responses (
            number   INTEGER PRIMARY KEY AUTOINCREMENT,
            id       TEXT    NOT NULL UNIQUE,
            key_id   INTEGER REFERENCES keys (id),
            created  INTEGER NOT NULL,
            expires  INTEGER NOT NULL,
            previous TEXT,
            bytes    INTEGER NOT NULL,
            json     TEXT    NOT NULL,
            input    TEXT    NOT NULL
        );
        CREATE INDEX responses_key ON responses (key_id, created, bytes);
        CREATE INDEX responses_expires ON responses (expires);
        """, null),
    ];

    /// <summary>Applies the steps that <paramref name="connection"/>'s database lacks, each in its own transaction.</summary>
    /// <exception cref="FlintException">The database is from a newer Flint.</exception>
    public static void Run(SqliteConnection connection, string path)
    {
        while (true)
        {
            // BEGIN IMMEDIATE: of two processes that start at once, the second waits and then finds the work done.
            using SqliteTransaction transaction = connection.BeginTransaction(deferred: false);
            long version = connection.ExecuteScalar<long>("PRAGMA user_version", transaction: transaction);
            if (version > Steps.Length)
                throw new FlintException(FaultSide.Machine, "store_too_new", $"{path} has schema version {version}, this Flint knows up to {Steps.Length}: use the newer Flint that wrote it.");
            if (version == Steps.Length)
                return;
            connection.Execute(Steps[version].Sql, transaction: transaction);
            Steps[version].Then?.Invoke(connection, transaction);
            connection.Execute($"PRAGMA user_version = {version + 1}", transaction: transaction);
            transaction.Commit();
        }
    }
}
