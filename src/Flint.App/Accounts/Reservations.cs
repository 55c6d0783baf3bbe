using Dapper;
using Microsoft.Data.Sqlite;

namespace Flint.App.Accounts;

/// <summary>
/// Budgets and limits hold by reservation: the most that a request may use is set aside before it is computed, in one transaction of
/// the store with the check that it fits, and settled in one transaction with its record. So what is settled and set aside never
/// exceeds a budget, however many requests of however many processes there are at once. What a process that has died had set aside
/// is freed when the next one starts, and before anything is refused.
/// </summary>
public sealed class Reservations : IAsyncDisposable
{
    private readonly StoreWriter _writer;
    private readonly TimeProvider _time;

    /// <summary>Registers this process with the store, and frees what dead ones had set aside.</summary>
    /// <param name="writer">Writes the store.</param>
    /// <param name="time">Tells the minute, the day and the month.</param>
    public Reservations(StoreWriter writer, TimeProvider time)
    {
        _writer = writer;
        _time = time;
        using SqliteConnection connection = writer.Store.Open();
        using SqliteTransaction transaction = connection.BeginTransaction(deferred: false);
        FreeDead(connection, transaction);
        Node = Node.Register(writer.Store, connection, transaction, Now);
        transaction.Commit();
    }

    /// <summary>This process, as others see it.</summary>
    internal Node Node { get; }

    private sealed record Row(string RequestId, long OrganizationId, long ProjectId, long KeyId, long Minute, long Day, long Month, long Tokens, long Cost);

    /// <summary>Sets aside what a request may use, where all limits of its owners allow it.</summary>
    /// <returns>A refusal is part of the answer; it has changed nothing.</returns>
    /// <exception cref="FlintException">Machine: the store could not be written.</exception>
    public Task<Grant> ReserveAsync(Demand demand) => _writer.WriteAsync(
        (connection, transaction) =>
        {
            Grant grant = Reserve(connection, transaction, demand);
            return grant.Refusal is not null && FreeDead(connection, transaction) ? Reserve(connection, transaction, demand) : grant;
        },
        durable: false); // where the power goes, so does the request

    /// <summary>Frees what is left, as nobody will settle it, and leaves.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await _writer.WriteAsync((connection, transaction) => Free(connection, transaction, Node.Id), durable: false);
        }
        catch (FlintException)
        {
            // The store cannot be written: the next process finds that this one has died.
        }

        Node.Dispose();
    }

    /// <summary>Settles a reservation with what the request used, within the transaction that records it.</summary>
    internal static void Settle(SqliteConnection connection, SqliteTransaction transaction, Reservation reservation, UsageRecord used)
    {
        if (reservation.Key is not { } key)
            return;
        bool held = connection.Execute("DELETE FROM reservations WHERE request_id = @RequestId", new { reservation.RequestId }, transaction) == 1;
        Spending.Settle(
            connection, transaction, Names(Owner.Of(key)), reservation.Windows,
            held ? (1, reservation.Tokens, reservation.Cost) : default, (used.PromptTokens + used.OutputTokens, used.Cost));
    }

    private long Now => _time.GetUtcNow().ToUnixTimeMilliseconds();

    private Grant Reserve(SqliteConnection connection, SqliteTransaction transaction, Demand demand)
    {
        Price? price = Prices.Of(connection, transaction, demand.Model);
        long now = Now;
        var windows = Windows.At(now);
        if (demand.Key is not { } key)
            return Answer(new Assessment(demand, price, [], [], windows, now));
        string[] owners = Names(Owner.Of(key));
        Spending[] spent = Spending.Of(connection, transaction, owners);
        windows = windows.Max(new Windows(Latest(Spending.Minute), Latest(Spending.Day), Latest(Spending.Month)));
        var assessment = new Assessment(demand, price, Limits.Of(connection, transaction, owners), spent, windows, now);
        Grant answer = Answer(assessment);
        if (assessment.Refusal is not null)
            return answer;
        connection.Execute(
            """
            INSERT INTO reservations (request_id, node, organization_id, project_id, key_id, minute, day, month, tokens, cost)
            VALUES (@RequestId, @node, @OrganizationId, @ProjectId, @Id, @Minute, @Day, @Month, @Tokens, @Cost)
            """,
            new { demand.RequestId, node = Node.Id, key.OrganizationId, key.ProjectId, key.Id, windows.Minute, windows.Day, windows.Month, assessment.Tokens, assessment.Cost }, transaction);
        Spending.Reserve(connection, transaction, owners, windows, assessment.Tokens, assessment.Cost);
        return answer;

        long Latest(string period) => spent.Where(row => row.Period == period).Select(row => row.Start).DefaultIfEmpty().Max();

        Grant Answer(Assessment a) => new()
        {
            Reservation = a.Refusal is not null ? null : new Reservation
            {
                RequestId = demand.RequestId, Key = demand.Key, OutputTokens = a.OutputTokens, Tokens = a.Tokens, Cost = a.Cost, Price = price, Windows = windows,
            },
            Refusal = a.Refusal,
            Decision = a.Decision,
            Requests = a.Requests,
            Tokens = a.MinuteTokens,
        };
    }

    private bool FreeDead(SqliteConnection connection, SqliteTransaction transaction)
    {
        bool freed = false;
        foreach (long node in Node.Dead(_writer.Store, connection, transaction))
        {
            freed |= Free(connection, transaction, node) > 0;
            Node.DeleteLock(_writer.Store, node);
        }

        return freed;
    }

    /// <summary>Frees all that a process had set aside, and forgets it.</summary>
    private static int Free(SqliteConnection connection, SqliteTransaction transaction, long node)
    {
        Row[] rows = [.. connection.Query<Row>(
            """
            SELECT request_id AS RequestId, organization_id AS OrganizationId, project_id AS ProjectId, key_id AS KeyId,
                minute AS Minute, day AS Day, month AS Month, tokens AS Tokens, cost AS Cost
            FROM reservations WHERE node = @node
            """, new { node }, transaction)];
        foreach (Row row in rows)
        {
            string[] owners = Names([new(OwnerKind.Key, row.KeyId), new(OwnerKind.Project, row.ProjectId), new(OwnerKind.Organization, row.OrganizationId)]);
            Spending.Settle(connection, transaction, owners, new Windows(row.Minute, row.Day, row.Month), (1, row.Tokens, row.Cost), default);
        }

        connection.Execute("DELETE FROM reservations WHERE node = @node; DELETE FROM nodes WHERE id = @node", new { node }, transaction);
        return rows.Length;
    }

    private static string[] Names(Owner[] owners) => [.. owners.Select(owner => owner.ToString())];
}
