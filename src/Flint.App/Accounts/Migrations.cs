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
        // 3: organisations, projects, secrets beside keys; limits, prices and what is spent; the whole record. Money is in millionths.
        ("""
        CREATE TABLE organizations (
            id      INTEGER PRIMARY KEY,
            name    TEXT    NOT NULL UNIQUE,
            created INTEGER NOT NULL
        );
        CREATE TABLE projects (
            id              INTEGER PRIMARY KEY,
            organization_id INTEGER NOT NULL REFERENCES organizations (id),
            name            TEXT    NOT NULL,
            created         INTEGER NOT NULL,
            UNIQUE (organization_id, name)
        );
        INSERT INTO organizations VALUES (1, 'default', 1000 * strftime('%s', 'now'));
        INSERT INTO projects VALUES (1, 1, 'default', 1000 * strftime('%s', 'now'));

        CREATE TABLE secrets (
            id      INTEGER PRIMARY KEY,
            key_id  INTEGER NOT NULL REFERENCES keys (id),
            prefix  TEXT    NOT NULL,
            hash    BLOB    NOT NULL UNIQUE,
            created INTEGER NOT NULL,
            expires INTEGER
        );
        CREATE INDEX secrets_key ON secrets (key_id);
        CREATE INDEX secrets_prefix ON secrets (prefix);
        INSERT INTO secrets (key_id, prefix, hash, created) SELECT id, prefix, hash, created FROM keys;
        CREATE TABLE keys_new (
            id         INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL REFERENCES projects (id),
            name       TEXT    NOT NULL,
            created    INTEGER NOT NULL,
            expires    INTEGER,
            disabled   INTEGER,
            revoked    INTEGER,
            scopes     TEXT    NOT NULL
        );
        INSERT INTO keys_new SELECT id, 1, name, created, NULL, NULL, revoked, '{}' FROM keys;
        DROP TABLE keys;
        ALTER TABLE keys_new RENAME TO keys;
        CREATE UNIQUE INDEX keys_name ON keys (project_id, name) WHERE revoked IS NULL;

        CREATE TABLE limits (
            owner               TEXT PRIMARY KEY,
            requests_per_minute INTEGER,
            tokens_per_minute   INTEGER,
            concurrent_requests INTEGER,
            daily_tokens        INTEGER,
            monthly_tokens      INTEGER,
            daily_cost          INTEGER,
            monthly_cost        INTEGER
        ) WITHOUT ROWID;
        CREATE TABLE prices (
            model        TEXT PRIMARY KEY,
            input        INTEGER NOT NULL,
            cached_input INTEGER NOT NULL,
            output       INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE nodes (
            id      INTEGER PRIMARY KEY AUTOINCREMENT,
            started INTEGER NOT NULL
        );
        CREATE TABLE spending (
            owner           TEXT    NOT NULL,
            period          TEXT    NOT NULL,
            start           INTEGER NOT NULL,
            requests        INTEGER NOT NULL,
            settled_tokens  INTEGER NOT NULL,
            reserved_tokens INTEGER NOT NULL,
            settled_cost    INTEGER NOT NULL,
            reserved_cost   INTEGER NOT NULL,
            PRIMARY KEY (owner, period)
        ) WITHOUT ROWID;
        CREATE TABLE reservations (
            request_id      TEXT    PRIMARY KEY,
            node            INTEGER NOT NULL REFERENCES nodes (id),
            organization_id INTEGER NOT NULL,
            project_id      INTEGER NOT NULL,
            key_id          INTEGER NOT NULL,
            minute          INTEGER NOT NULL,
            day             INTEGER NOT NULL,
            month           INTEGER NOT NULL,
            tokens          INTEGER NOT NULL,
            cost            INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX reservations_node ON reservations (node);

        ALTER TABLE usage ADD COLUMN form INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE usage ADD COLUMN organization_id INTEGER REFERENCES organizations (id);
        ALTER TABLE usage ADD COLUMN project_id INTEGER REFERENCES projects (id);
        ALTER TABLE usage ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
        ALTER TABLE usage ADD COLUMN dialect TEXT NOT NULL DEFAULT '';
        ALTER TABLE usage ADD COLUMN mode TEXT NOT NULL DEFAULT '';
        ALTER TABLE usage ADD COLUMN discarded_tokens INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE usage ADD COLUMN cpu_ms REAL NOT NULL DEFAULT 0;
        ALTER TABLE usage ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE usage ADD COLUMN policy TEXT NOT NULL DEFAULT '';
        """, null),
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

    /// <summary>The version that this Flint writes.</summary>
    internal static int Latest => Steps.Length;

    /// <summary>Applies the steps that <paramref name="connection"/>'s database lacks, each in its own transaction.</summary>
    /// <param name="connection">The database, its foreign keys not enforced.</param>
    /// <param name="path">Names it in errors.</param>
    /// <param name="last">The version to stop at; 0 for the latest.</param>
    /// <exception cref="FlintException">The database is from a newer Flint.</exception>
    public static void Run(SqliteConnection connection, string path, int last = 0)
    {
        last = last == 0 ? Steps.Length : last;
        while (true)
        {
            // BEGIN IMMEDIATE: of two processes that start at once, the second waits and then finds the work done.
            using SqliteTransaction transaction = connection.BeginTransaction(deferred: false);
            long version = connection.ExecuteScalar<long>("PRAGMA user_version", transaction: transaction);
            if (version > Steps.Length)
                throw new FlintException(FaultSide.Machine, "store_too_new", $"{path} has schema version {version}, this Flint knows up to {Steps.Length}: use the newer Flint that wrote it.");
            if (version >= last)
                return;
            connection.Execute(Steps[version].Sql, transaction: transaction);
            Steps[version].Then?.Invoke(connection, transaction);
            connection.Execute($"PRAGMA user_version = {version + 1}", transaction: transaction);
            transaction.Commit();
        }
    }
}
