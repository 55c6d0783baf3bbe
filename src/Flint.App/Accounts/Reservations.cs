using System.Data.Common;

namespace Flint.App.Accounts;

/// <summary>
/// Budgets and limits hold by reservation: the most that a request may use is set aside before it is computed, in one transaction of
/// the store with the check that it fits, and settled in one transaction with its record. So what is settled and set aside never
/// exceeds a budget, however many requests of however many processes there are at once. What a process that has died had set aside
/// is freed when the next one starts, and before anything is refused. A request whose reservation was freed though its process lives,
/// as one that is cut off from its server seems dead, is charged only where the budgets still have room for it, and fails else.
/// </summary>
public sealed class Reservations : IAsyncDisposable
{
    private const string Insert = """
        INSERT INTO reservations (request_id, node, organization_id, project_id, key_id, minute, day, month, tokens, cost)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """;

    /// <summary>The code of the fault that a reservation was freed before it was settled, and there is no room left.</summary>
    public const string LostCode = "reservation_lost";

    private const string Held = "SELECT organization_id, project_id, key_id, minute, day, month, tokens, cost FROM reservations";

    private readonly StoreWriter _writer;
    private readonly TimeProvider _time;

    /// <summary>Registers this process with the store, and frees what dead ones had set aside.</summary>
    /// <param name="writer">Writes the store.</param>
    /// <param name="time">Tells the minute, the day and the month.</param>
    /// <exception cref="FlintException">Machine: the store cannot be written.</exception>
    public Reservations(StoreWriter writer, TimeProvider time)
    {
        _writer = writer;
        _time = time;
        writer.Journal.WriteAsync().GetAwaiter().GetResult(); // what has ended is settled before anything is freed
        try
        {
            using DbConnection connection = writer.Store.Open();
            using Statements statements = writer.Store.Database.On(connection);
            statements.Begin();
            Node = writer.Store.Database.Register(statements, Now);
            FreeDead(statements);
            statements.Commit();
        }
        catch (Exception error)
        {
            Node?.Dispose();
            if (!writer.Store.Database.IsFault(error))
                throw;
            throw new FlintException(FaultSide.Machine, "store_unusable", $"Cannot write the accounts in {writer.Store.Name}: {writer.Store.Database.Explain(error)}", error);
        }
    }

    /// <summary>This process, as others see it.</summary>
    internal Node Node { get; }

    /// <summary>Sets aside what a request may use, where all limits of its owners allow it.</summary>
    /// <returns>A refusal is part of the answer; it has changed nothing.</returns>
    /// <exception cref="FlintException">Machine: the store could not be written.</exception>
    public async Task<Grant> ReserveAsync(Demand demand)
    {
        try
        {
            return await _writer.WriteAsync(
                store =>
                {
                    Grant grant = Reserve(store, demand);
                    return grant.Refusal is not null && FreeDead(store) ? Reserve(store, demand) : grant;
                },
                Safety.Committed); // where this machine's power goes, so does the request
        }
        catch (FlintException unwritten) when (demand.Key is not null && _writer.MayPass(unwritten))
        {
            _writer.Journal.Release(demand.RequestId); // it may be committed, though nobody could say so
            throw;
        }
    }

    /// <summary>Frees what is left, as nobody will settle it, and leaves.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await _writer.Journal.WriteAsync();
            await _writer.WriteAsync(store => Free(store, Node.Id), Safety.Committed);
        }
        catch (FlintException)
        {
            // The store cannot be written: the next process finds that this one has died.
        }

        Node.Dispose();
    }

    /// <summary>Settles a reservation with what the request used, within the transaction that records it.</summary>
    /// <returns>The record as it is to be written: another one where the reservation is gone and the budgets have no room for what was used.</returns>
    internal static UsageRecord Settle(Statements store, Reservation reservation, UsageRecord used)
    {
        if (reservation.Key is not { } key)
            return used;
        string[] owners = Names(Owner.Of(key));
        bool held = store.Change("DELETE FROM reservations WHERE request_id = $1", reservation.RequestId).Value == 1;
        if (!held && !Fits(store, owners, reservation.Windows, used))
            return Uncharged(used);
        OwnerSpending.Settle(
            store, owners, reservation.Windows,
            held ? (1, reservation.Tokens, reservation.Cost) : default, (used.PromptTokens + used.OutputTokens, used.Cost));
        return used;
    }

    /// <summary>Frees what was set aside for a request, where anything was.</summary>
    internal static void Release(Statements store, string request)
    {
        Free(store, store.Query($"{Held} WHERE request_id = $1", ReadHeld, request));
        store.Change("DELETE FROM reservations WHERE request_id = $1", request);
    }

    private long Now => _time.GetUtcNow().ToUnixTimeMilliseconds();

    private Grant Reserve(Statements store, Demand demand)
    {
        Reply<List<Price>> table = Prices.Ask(store);
        long now = Now;
        var windows = Windows.At(now);
        if (demand.Key is not { } key)
            return GrantOf(new Assessment(demand, Dearest(), [], [], windows, now));
        string[] owners = Names(Owner.Of(key));
        Reply<List<OwnerSpending>> spending = OwnerSpending.Ask(store, owners);
        Dictionary<string, Limits> limits = Limits.Of(store, owners);
        List<OwnerSpending> spent = spending.Value;
        windows = spent.Aggregate(windows, static (latest, row) => latest.Max(row.Windows));
        var assessment = new Assessment(demand, Dearest(), limits, spent, windows, now);
        Grant answer = GrantOf(assessment) with { Weight = Limits.WeightOf(limits, owners) };
        if (assessment.Refusal is not null)
            return answer;
        store.Change(
            Insert, demand.RequestId, Node.Id, key.OrganizationId, key.ProjectId, key.Id, windows.Minute, windows.Day, windows.Month,
            assessment.Tokens, assessment.Cost);
        OwnerSpending.Reserve(store, owners, windows, assessment.Tokens, assessment.Cost);
        return answer;

        Price? Own() => Prices.Of(table.Value, demand.Model);

        Price? Dearest() => Price.Dearest(Own(), demand.Prices);

        Grant GrantOf(Assessment a) => new()
        {
            Reservation = a.Refusal is not null ? null : new Reservation
            {
                RequestId = demand.RequestId, Key = demand.Key, OutputTokens = a.OutputTokens, Tokens = a.Tokens, Cost = a.Cost, Price = Own(), Windows = windows,
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
        foreach (long node in Node.Dead(store))
        {
            freed |= Free(store, node) > 0;
            Node.Forget(node);
        }

        return freed;
    }

    // Frees all that a process had set aside, and forgets it.
    private static int Free(Statements store, long node)
    {
        int count = Free(store, store.Query($"{Held} WHERE node = $1", ReadHeld, node));
        store.Change("DELETE FROM reservations WHERE node = $1", node);
        store.Change("DELETE FROM nodes WHERE id = $1", node);
        return count;
    }

    private static int Free(Statements store, List<(string[] Owners, Windows Windows, long Tokens, long Cost)> held)
    {
        foreach ((string[] owners, Windows windows, long tokens, long cost) in held)
            OwnerSpending.Settle(store, owners, windows, (1, tokens, cost), default);
        return held.Count;
    }

    private static (string[] Owners, Windows Windows, long Tokens, long Cost) ReadHeld(Row row) => (
        Names([new(OwnerKind.Organization, row.GetInt64(0)), new(OwnerKind.Project, row.GetInt64(1)), new(OwnerKind.Key, row.GetInt64(2))]),
        new Windows(row.GetInt64(3), row.GetInt64(4), row.GetInt64(5)), row.GetInt64(6), row.GetInt64(7));

    private static bool Fits(Statements store, string[] owners, Windows windows, UsageRecord used)
    {
        long tokens = used.PromptTokens + used.OutputTokens;
        if (tokens == 0 && used.Cost == 0)
            return true;
        Dictionary<string, Limits> limits = Limits.Of(store, owners);
        return OwnerSpending.Ask(store, owners).Value.All(row => !limits.TryGetValue(row.Owner, out Limits? own) || (
            !(row.Minute.Start == windows.Minute && row.Minute.Tokens + tokens > own.TokensPerMinute)
            && !(row.Day.Start == windows.Day && (row.Day.Tokens + tokens > own.DailyTokens || row.Day.Cost + used.Cost > own.DailyCost))
            && !(row.Month.Start == windows.Month && (row.Month.Tokens + tokens > own.MonthlyTokens || row.Month.Cost + used.Cost > own.MonthlyCost))));
    }

    // What it used is told, and nobody pays for it.
    private static UsageRecord Uncharged(UsageRecord used)
    {
        string note = $"not charged: reservation lost, {used.PromptTokens} prompt and {used.OutputTokens} output tokens";
        return used with
        {
            Status = 503, Finish = LostCode, PromptTokens = 0, CachedTokens = 0, OutputTokens = 0, ReasoningTokens = 0, DiscardedTokens = 0, Cost = 0,
            Policy = used.Policy.Length == 0 ? note : $"{used.Policy}; {note}",
        };
    }

    private static string[] Names(Owner[] owners) => [.. owners.Select(owner => owner.ToString())];
}
