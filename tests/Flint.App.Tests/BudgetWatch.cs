using System.Data.Common;
using Dapper;
using Flint.App.Accounts;

namespace Flint.App.Tests;

/// <summary>
/// Has the database itself count what a key has reserved and recorded, with every row that is written and in its transaction, so that
/// no instant is missed, whichever process writes. It counts rows of reservations and of the ledger, and knows nothing of what the accounts
/// hold to be spent.
/// </summary>
internal sealed class BudgetWatch
{
    private const string Table = "CREATE TABLE IF NOT EXISTS watched (key_id BIGINT PRIMARY KEY, tokens BIGINT NOT NULL, most BIGINT NOT NULL);";

    private const string Sqlite = $"""
        {Table}
        CREATE TRIGGER IF NOT EXISTS watch_reserved AFTER INSERT ON reservations BEGIN
            UPDATE watched SET tokens = tokens + NEW.tokens, most = max(most, tokens + NEW.tokens) WHERE key_id = NEW.key_id;
        END;
        CREATE TRIGGER IF NOT EXISTS watch_freed AFTER DELETE ON reservations BEGIN
            UPDATE watched SET tokens = tokens - OLD.tokens WHERE key_id = OLD.key_id;
        END;
        CREATE TRIGGER IF NOT EXISTS watch_recorded AFTER INSERT ON usage BEGIN
            UPDATE watched SET tokens = tokens + NEW.prompt_tokens + NEW.output_tokens, most = max(most, tokens + NEW.prompt_tokens + NEW.output_tokens)
            WHERE key_id = NEW.key_id;
        END;
        """;

    private const string Postgres = $"""
        {Table}
        CREATE OR REPLACE FUNCTION watch(whose BIGINT, more BIGINT) RETURNS void LANGUAGE sql AS
            'UPDATE watched SET tokens = tokens + more, most = greatest(most, tokens + more) WHERE key_id = whose';
        CREATE OR REPLACE FUNCTION watch_reserved() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM watch(NEW.key_id, NEW.tokens); RETURN NULL; END';
        CREATE OR REPLACE FUNCTION watch_freed() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM watch(OLD.key_id, -OLD.tokens); RETURN NULL; END';
        CREATE OR REPLACE FUNCTION watch_recorded() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM watch(NEW.key_id, NEW.prompt_tokens + NEW.output_tokens); RETURN NULL; END';
        CREATE OR REPLACE TRIGGER watch_reserved AFTER INSERT ON reservations FOR EACH ROW EXECUTE FUNCTION watch_reserved();
        CREATE OR REPLACE TRIGGER watch_freed AFTER DELETE ON reservations FOR EACH ROW EXECUTE FUNCTION watch_freed();
        CREATE OR REPLACE TRIGGER watch_recorded AFTER INSERT ON usage FOR EACH ROW EXECUTE FUNCTION watch_recorded();
        """;

    private readonly Store _store;
    private readonly long _key;

    /// <summary>Begins with a key that has used nothing.</summary>
    internal BudgetWatch(Store store, long key)
    {
        _store = store;
        _key = key;
        using DbConnection connection = store.Open();
        connection.Execute(store.Database.IsServer ? Postgres : Sqlite);
        connection.Execute("INSERT INTO watched VALUES (@key, 0, 0)", new { key });
    }

    /// <summary>What was used and reserved never came to more than the budget, and what is left of it is what was settled.</summary>
    internal void Check(long budget, long settled)
    {
        using DbConnection connection = _store.Open();
        (long tokens, long most) = connection.QuerySingle<(long, long)>("SELECT tokens, most FROM watched WHERE key_id = @key", new { key = _key });
        Assert.Equal(settled, tokens);
        Assert.InRange(most, settled, budget);
    }
}
