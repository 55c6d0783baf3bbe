using System.Data.Common;
using System.Globalization;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>What a million tokens of a model cost, in millionths of the unit of money.</summary>
public sealed record Price
{
    /// <summary>The largest price of a million tokens: a million units.</summary>
    public const long Largest = 1_000_000_000_000;

    private const long PerTokens = 1_000_000;

    /// <summary>The model, whole or by its beginning (<c>llama-*</c>).</summary>
    public string Model { get; init; } = "";

    /// <summary>Of the prompt.</summary>
    public long Input { get; init; }

    /// <summary>Of the prompt's tokens that were found in the prefix cache.</summary>
    public long CachedInput { get; init; }

    /// <summary>Of what the model writes, thoughts included.</summary>
    public long Output { get; init; }

    /// <summary>What a request costs, rounded up to the next millionth.</summary>
    /// <param name="prompt">Tokens of its prompts.</param>
    /// <param name="cached">Of those, tokens found in the prefix cache.</param>
    /// <param name="output">Tokens produced.</param>
    public long Of(long prompt, long cached, long output)
    {
        Int128 cost = (Int128)(prompt - cached) * Input + (Int128)cached * CachedInput + (Int128)output * Output;
        return (long)Int128.Min((cost + PerTokens - 1) / PerTokens, long.MaxValue);
    }

    /// <summary>The most that a request may cost.</summary>
    /// <param name="prompt">Tokens of its prompts.</param>
    /// <param name="output">The most tokens it may produce.</param>
    public long Most(long prompt, long output) => Math.Max(Of(prompt, 0, output), Of(prompt, prompt, output));

    /// <summary>A price that none of some exceeds, for any kind of token; null where there are none.</summary>
    internal static Price? Dearest(Price? one, IReadOnlyList<Price> others) => others.Count == 0 ? one : new Price
    {
        Input = Math.Max(one?.Input ?? 0, others.Max(price => price.Input)),
        CachedInput = Math.Max(one?.CachedInput ?? 0, others.Max(price => price.CachedInput)),
        Output = Math.Max(one?.Output ?? 0, others.Max(price => price.Output)),
    };

    /// <summary>The most tokens of output whose cost an amount of money covers.</summary>
    public long OutputFor(long amount) => Output == 0 ? long.MaxValue : (long)Int128.Min((Int128)Math.Max(0, amount) * PerTokens / Output, long.MaxValue);
}

/// <summary>The price table. A model that is not in it costs nothing.</summary>
public sealed class Prices(Store store)
{
    private const string All = "SELECT model AS Model, input AS Input, cached_input AS CachedInput, output AS Output FROM prices ORDER BY model";

    private const string Put = """
        INSERT INTO prices (model, input, cached_input, output) VALUES (@Model, @Input, @CachedInput, @Output)
        ON CONFLICT (model) DO UPDATE SET input = excluded.input, cached_input = excluded.cached_input, output = excluded.output
        """;

    /// <summary>Sets a model's price, for requests from now on.</summary>
    /// <exception cref="FlintException">Caller: no model is named, or a price is below 0 or too large.</exception>
    public void Set(Price price)
    {
        Check(price);
        using DbConnection connection = store.Open();
        connection.Execute(Put, price);
    }

    /// <summary>Makes some prices the whole table, for requests from now on.</summary>
    /// <exception cref="FlintException">Caller: no model is named, or a price is below 0 or too large; the table is as it was.</exception>
    public void Replace(IReadOnlyList<Price> prices)
    {
        foreach (Price price in prices)
            Check(price);
        using DbConnection connection = store.Open();
        using DbTransaction transaction = store.Database.BeginWrite(connection);
        connection.Execute("DELETE FROM prices", transaction: transaction);
        connection.Execute(Put, prices, transaction);
        transaction.Commit();
    }

    /// <summary>Checks a price.</summary>
    /// <exception cref="FlintException">Caller: no model is named, or a price is below 0 or too large.</exception>
    internal static void Check(Price price)
    {
        if (price.Model.Length is 0 or > KeyScopes.MaxEntryLength)
            throw FlintException.Caller("invalid_model", $"A model's name has 1 to {KeyScopes.MaxEntryLength} characters.");
        foreach (long one in (long[])[price.Input, price.CachedInput, price.Output])
        {
            if (one is < 0 or > Price.Largest)
                throw FlintException.Caller("invalid_price", $"A price of a million tokens is 0 to {Money.Text(Price.Largest)}, not {Money.Text(one)}.");
        }
    }

    /// <summary>Takes a model out of the table.</summary>
    /// <exception cref="FlintException">Caller: it is not there.</exception>
    public void Remove(string model)
    {
        using DbConnection connection = store.Open();
        if (connection.Execute("DELETE FROM prices WHERE model = @model", new { model }) == 0)
            throw FlintException.Caller("price_not_found", $"No price is set for '{model}'; see flint prices list.");
    }

    /// <summary>The whole table.</summary>
    public IReadOnlyList<Price> List()
    {
        using DbConnection connection = store.Open();
        return [.. connection.Query<Price>(All)];
    }

    /// <summary>Asks for the whole table.</summary>
    internal static Reply<List<Price>> Ask(Statements store) =>
        store.Ask(All, static row => new Price { Model = row.GetString(0), Input = row.GetInt64(1), CachedInput = row.GetInt64(2), Output = row.GetInt64(3) });

    /// <summary>The price of a model: of the entry that names it whole, else of the one with the longest beginning of it.</summary>
    internal static Price? Of(List<Price> table, string model) =>
        table.Where(price => KeyScopes.Matches(price.Model, model, StringComparison.Ordinal))
            .MaxBy(price => price.Model.EndsWith('*') ? price.Model.Length - 1 : int.MaxValue);
}

/// <summary>Amounts of money: whole millionths of a unit that the operator chooses.</summary>
public static class Money
{
    private const decimal Unit = 1_000_000m;

    /// <summary>Reads an amount such as <c>2.50</c>.</summary>
    /// <exception cref="FlintException">Caller: it is none, or has more than six decimals.</exception>
    public static long Parse(string text)
    {
        const NumberStyles plain = NumberStyles.AllowDecimalPoint;
        if (decimal.TryParse(text, plain, CultureInfo.InvariantCulture, out decimal amount) && amount <= Limits.Largest / Unit && decimal.IsInteger(amount * Unit))
            return (long)(amount * Unit);
        throw FlintException.Caller("invalid_amount", $"An amount of money is a number such as 2.50, with at most six decimals; found '{text}'.");
    }

    /// <summary>An amount as people write it, with as many decimals as it has, and two at least.</summary>
    public static string Text(long amount) => (amount / Unit).ToString("0.00####", CultureInfo.InvariantCulture);
}
