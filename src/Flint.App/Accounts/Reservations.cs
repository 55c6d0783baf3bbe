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
    private const string Insert = """
        INSERT INTO reservations (request_id, node, organization_id, project_id, key_id, minute, day, month, tokens, cost)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        """;

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
        using var statements = new Statements(connection) { Transaction = transaction };
        FreeDead(statements);
        Node = Node.Register(writer.Store, statements, Now);
        transaction.Commit();
    }

    /// <summary>This process, as others see it.</summary>
    internal Node Node { get; }

    /// <summary>Sets aside what a request may use, where all limits of its owners allow it.</summary>
    /// <returns>A refusal is part of the answer; it has changed nothing.</returns>
    /// <exception cref="FlintException">Machine: the store could not be written.</exception>
    public Task<Grant> ReserveAsync(Demand demand) => _writer.WriteAsync(
        store =>
        {
            Grant grant = Reserve(store, demand);
            return grant.Refusal is not null && FreeDead(store) ? Reserve(store, demand) : grant;
        },
        durable: false); // where the power goes, so does the request

    /// <summary>Frees what is left, as nobody will settle it, and leaves.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await _writer.WriteAsync(store => Free(store, Node.Id), durable: false);
        }
        catch (FlintException)
        {
            // The store cannot be written: the next process finds that this one has died.
        }

        Node.Dispose();
    }

    /// <summary>Settles a reservation with what the request used, within the transaction that records it.</summary>
    internal static void Settle(Statements store, Reservation reservation, UsageRecord used)
    {
        if (reservation.Key is not { } key)
            return;
        bool held = store.Execute("DELETE FROM reservations WHERE request_id = ?1", reservation.RequestId) == 1;
        Spending.Settle(
            store, Names(Owner.Of(key)), reservation.Windows,
            held ? (1, reservation.Tokens, reservation.Cost) : default, (used.PromptTokens + used.OutputTokens, used.Cost));
    }

    private long Now => _time.GetUtcNow().ToUnixTimeMilliseconds();

    private Grant Reserve(Statements store, Demand demand)
    {
        Price? price = Prices.Of(store, demand.Model), dearest = Price.Dearest(price, demand.Prices);
        long now = Now;
        var windows = Windows.At(now);
        if (demand.Key is not { } key)
            return Answer(new Assessment(demand, dearest, [], [], windows, now));
        string[] owners = Names(Owner.Of(key));
        Spending[] spent = Spending.Of(store, owners);
        windows = windows.Max(new Windows(Latest(Spending.Minute), Latest(Spending.Day), Latest(Spending.Month)));
        var assessment = new Assessment(demand, dearest, Limits.Of(store, owners), spent, windows, now);
        Grant answer = Answer(assessment);
        if (assessment.Refusal is not null)
            return answer;
        store.Execute(
            Insert, demand.RequestId, Node.Id, key.OrganizationId, key.ProjectId, key.Id, windows.Minute, windows.Day, windows.Month,
            assessment.Tokens, assessment.Cost);
        Spending.Reserve(store, owners, windows, assessment.Tokens, assessment.Cost);
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

    private bool FreeDead(Statements store)
    {
        bool freed = false;
        foreach (long node in Node.Dead(_writer.Store, store))
        {
            freed |= Free(store, node) > 0;
            Node.DeleteLock(_writer.Store, node);
        }

        return freed;
    }

    /// <summary>Frees all that a process had set aside, and forgets it.</summary>
    private static int Free(Statements store, long node)
    {
        List<(string[] Owners, Windows Windows, long Tokens, long Cost)> held = store.Query(
            "SELECT organization_id, project_id, key_id, minute, day, month, tokens, cost FROM reservations WHERE node = ?1",
            static row => (
                Names([new(OwnerKind.Organization, row.GetInt64(0)), new(OwnerKind.Project, row.GetInt64(1)), new(OwnerKind.Key, row.GetInt64(2))]),
                new Windows(row.GetInt64(3), row.GetInt64(4), row.GetInt64(5)), row.GetInt64(6), row.GetInt64(7)), node);
        foreach ((string[] owners, Windows windows, long tokens, long cost) in held)
            Spending.Settle(store, owners, windows, (1, tokens, cost), default);
        store.Execute("DELETE FROM reservations WHERE node = ?1", node);
        store.Execute("DELETE FROM nodes WHERE id = ?1", node);
        return held.Count;
    }

    private static string[] Names(Owner[] owners) => [.. owners.Select(owner => owner.ToString())];
}
