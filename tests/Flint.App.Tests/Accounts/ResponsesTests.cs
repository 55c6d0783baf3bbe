using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

public abstract class ResponsesTests : IDisposable
{
    private readonly TestStore _accounts;
    private readonly Store _store;
    private readonly Clock _clock = new();
    private readonly long _key, _other;

    protected ResponsesTests(StoreKind kind)
    {
        _accounts = new TestStore(kind);
        _store = _accounts.Open();
        var keys = new Keys(_store, _clock);
        _key = keys.Create("one").Key.Id;
        _other = keys.Create("two").Key.Id;
    }

    public void Dispose()
    {
        _accounts.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void A_response_is_its_keys_alone_and_can_change()
    {
        var responses = new Responses(_store, _clock);
        StoredResponse first = New("a", _key);
        responses.Save(first);
        responses.Save(New("b", null));
        Assert.Equal(first, responses.Find("a", _key));
        Assert.Null(responses.Find("a", _other));
        Assert.Null(responses.Find("a", null));
        Assert.Null(responses.Find("a\0", _key));
        Assert.NotNull(responses.Find("b", null));
        responses.Save(first with { Json = "{\"b\":1}", Input = "never" });
        Assert.Equal(first with { Json = "{\"b\":1}" }, responses.Find("a", _key));
        Assert.False(responses.Delete("a", _other));
        Assert.True(responses.Delete("a", _key));
        Assert.False(responses.Delete("a", _key));
        Assert.Null(responses.Find("a", _key));
    }

    [Fact]
    public void A_chain_is_whole_or_not_there()
    {
        var responses = new Responses(_store, _clock);
        responses.Save(New("a", _key));
        responses.Save(New("b", _key) with { Previous = "a" });
        responses.Save(New("c", _key) with { Previous = "b" });
        Assert.Equal(["a", "b", "c"], responses.Chain("c", _key)!.Select(response => response.Id));
        Assert.Null(responses.Chain("c", _other));
        responses.Delete("a", _key);
        Assert.Null(responses.Chain("c", _key));
        responses.Save(New("d", _key) with { Previous = "d" });
        Assert.Null(responses.Chain("d", _key)); // longer than any
    }

    [Fact]
    public void The_oldest_of_a_key_give_way()
    {
        var responses = new Responses(_store, _clock, maxPerKey: 3, maxBytesPerKey: 100);
        responses.Save(New("other", _other));
        foreach (string id in (string[])["a", "b", "c"])
            responses.Save(New(id, _key));
        Assert.NotNull(responses.Find("a", _key));
        responses.Save(New("d", _key));
        Assert.Null(responses.Find("a", _key));
        Assert.NotNull(responses.Find("b", _key));
        responses.Save(New("e", _key) with { Input = new string('x', 94) }); // with c and d, 104 bytes; with d, 100
        Assert.Null(responses.Find("c", _key));
        Assert.NotNull(responses.Find("d", _key));
        responses.Save(New("f", _key) with { Input = new string('x', 99) }); // one too many by itself
        Assert.Null(responses.Find("f", _key));
        Assert.NotNull(responses.Find("other", _other));
    }

    [Fact]
    public void Its_time_is_over_some_day()
    {
        var responses = new Responses(_store, _clock);
        responses.Save(New("a", _key));
        _clock.Now += Responses.MaxAge - TimeSpan.FromMilliseconds(1);
        Assert.NotNull(responses.Find("a", _key));
        _clock.Now += TimeSpan.FromMilliseconds(1);
        Assert.Null(responses.Find("a", _key));
        responses.Save(New("b", _key));
        _clock.Now -= TimeSpan.FromDays(1);
        Assert.Null(responses.Find("a", _key)); // it is gone
    }

    // Four bytes.
    private StoredResponse New(string id, long? key) => new(id, key, _clock.Now.ToUnixTimeMilliseconds(), null, "{}", "[]");

    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.UnixEpoch + TimeSpan.FromDays(20_000);

        public override DateTimeOffset GetUtcNow() => Now;
    }
}

public sealed class SqliteResponsesTests() : ResponsesTests(StoreKind.Sqlite);

public sealed class PostgresResponsesTests() : ResponsesTests(StoreKind.Postgres);
