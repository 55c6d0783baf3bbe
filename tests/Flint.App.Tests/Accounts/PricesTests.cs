using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

public sealed class PricesTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("2.50", 2_500_000)]
    [InlineData("0.000001", 1)]
    [InlineData("1000000000", 1_000_000_000_000_000)]
    public void Money_is_read_exactly_and_written_back(string text, long amount)
    {
        Assert.Equal(amount, Money.Parse(text));
        Assert.Equal(amount, Money.Parse(Money.Text(amount)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("-1")]
    [InlineData("1,5")]
    [InlineData("1e3")]
    [InlineData("0.0000001")]
    [InlineData("1000000000.1")]
    public void What_is_no_amount_is_refused(string text) => Assert.Equal("invalid_amount", Assert.Throws<FlintException>(() => Money.Parse(text)).Code);

    [Fact]
    public void A_request_costs_its_tokens_rounded_up_once()
    {
        var price = new Price { Input = 250_000, CachedInput = 25_000, Output = 2_000_000 };
        Assert.Equal(0, price.Of(0, 0, 0));
        Assert.Equal(1, price.Of(1, 0, 0)); // a quarter of a millionth
        Assert.Equal(250_000 * 3 + 25_000 + 2_000_000 * 5, price.Of(4_000_000, 1_000_000, 5_000_000));
        Assert.Equal(long.MaxValue, new Price { Output = Price.Largest }.Of(0, 0, long.MaxValue)); // and nothing overflows
        Assert.Equal(5, price.OutputFor(10));
        Assert.Equal(0, price.OutputFor(-3));
        Assert.Equal(long.MaxValue, new Price().OutputFor(0));
        Assert.Equal(10, new Price { CachedInput = 10_000_000, Input = 1_000_000 }.Most(1, 0)); // whatever the cache will have
    }

    [Theory]
    [InlineData(StoreKind.Sqlite)]
    [InlineData(StoreKind.Postgres)]
    public void The_entry_that_fits_a_name_best_counts(StoreKind kind)
    {
        using var accounts = new TestStore(kind);
        Store store = accounts.Open();
        var prices = new Prices(store);
        foreach ((string model, long input) in new[] { ("*", 1L), ("llama-*", 2L), ("llama-3*", 3L), ("llama-3-8b", 4L), ("other", 5L) })
            prices.Set(new Price { Model = model, Input = input });
        prices.Set(new Price { Model = "other", Input = 6 });
        Assert.Equal([1L, 2L, 3L, 4L, 3L, 6L], new[] { "tiny", "llama-2", "llama-3", "llama-3-8b", "llama-3-8b:legal", "other" }.Select(Of));
        Assert.Equal(["*", "llama-*", "llama-3*", "llama-3-8b", "other"], prices.List().Select(price => price.Model));
        prices.Remove("*");
        Assert.Null(Of("tiny"));
        Assert.Equal(4, prices.List().Count);
        Assert.Equal("price_not_found", Assert.Throws<FlintException>(() => prices.Remove("*")).Code);
        Assert.Equal("invalid_price", Assert.Throws<FlintException>(() => prices.Set(new Price { Model = "m", Output = Price.Largest + 1 })).Code);

        prices.Replace([new Price { Model = "only", Input = 7 }]);
        Assert.Equal((7L, null), (Of("only"), Of("other")));

        long? Of(string model) => store.Use(statements => Prices.Of(Prices.Ask(statements).Value, model)?.Input);
    }
}
