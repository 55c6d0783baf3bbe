using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

public abstract class KeysTests(StoreKind kind) : IDisposable
{
    private readonly TestStore _accounts = new(kind);

    public void Dispose()
    {
        _accounts.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void A_key_is_found_by_its_secret_and_by_nothing_else()
    {
        Keys keys = Open();
        (Key key, string secret) = keys.Create("ada");
        (_, string other) = keys.Create("bob");

        Assert.Equal(key, keys.Find(secret));
        Assert.Equal("bob", keys.Find(other)!.Name);
        Assert.Null(keys.Find(secret[..^1]));
        Assert.Null(keys.Find(secret + "A"));
        Assert.Null(keys.Find(""));
        Assert.Null(keys.Find(key.Prefix));
        Assert.Null(keys.Find(Keys.SecretPrefix + new string('A', Keys.MaxSecretLength)));
        Assert.Null(keys.Find("' OR 1 = 1 --"));
    }

    [Fact]
    public void A_revoked_key_stops_working_and_frees_its_name()
    {
        Keys keys = Open();
        (Key key, string secret) = keys.Create("ada");
        Assert.Throws<FlintException>(() => keys.Create("ada"));

        Assert.NotNull(keys.Revoke("ada").Revoked);
        Assert.Null(keys.Find(secret));
        Assert.False(keys.Any());
        Assert.Equal("key_not_found", Assert.Throws<FlintException>(() => keys.Revoke("ada")).Code);

        (_, string again) = keys.Create("ada");
        Assert.NotNull(keys.Find(again));
        Assert.Equal(2, keys.List().Count);
        Assert.Equal(key.Id, keys.List()[0].Id);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_key_is_revoked_by_its_prefix_or_its_secret(int way)
    {
        Keys keys = Open();
        (Key key, string secret) = keys.Create("ada");
        keys.Revoke(way == 0 ? key.Prefix : secret);
        Assert.Null(keys.Find(secret));
    }

    [Theory]
    [InlineData("")]
    [InlineData("   ")]
    [InlineData("a\nb")]
    public void A_name_is_printable(string name) => Assert.Equal("invalid_key_name", Assert.Throws<FlintException>(() => Open().Create(name)).Code);

    [Fact]
    public void A_name_has_a_longest_length()
    {
        Keys keys = Open();
        keys.Create(new string('a', Keys.MaxNameLength));
        Assert.Throws<FlintException>(() => keys.Create(new string('b', Keys.MaxNameLength + 1)));
    }

    [Fact]
    public void A_rotated_key_has_two_secrets_until_the_overlap_ends()
    {
        var time = new FakeTime();
        Keys keys = Open(time);
        (Key key, string first) = keys.Create("ada");
        (Key rotated, string second) = keys.Rotate("ada", TimeSpan.FromHours(24));
        Assert.Equal((key.Id, second[..16]), (rotated.Id, rotated.Prefix));
        Assert.Equal((key.Id, key.Id), (keys.Find(first)!.Id, keys.Find(second)!.Id));
        time.Advance(TimeSpan.FromHours(24) - TimeSpan.FromMilliseconds(1));
        Assert.NotNull(keys.Find(first));
        time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(KeyState.Expired, keys.Check(first).State);
        Assert.NotNull(keys.Find(second));

        // A further rotation gives no old secret more time than it had.
        keys.Rotate(second, TimeSpan.FromDays(30));
        Assert.Equal(KeyState.Expired, keys.Check(first).State);
        (_, string last) = keys.Rotate(key.Prefix, TimeSpan.Zero);
        Assert.Equal((KeyState.Expired, KeyState.Works), (keys.Check(second).State, keys.Check(last).State));
        Assert.Equal([true, true, true, false], keys.Secrets(key).Select(secret => secret.Expires is not null));
    }

    [Fact]
    public void A_key_ends_by_itself_or_is_switched_off()
    {
        var time = new FakeTime();
        Keys keys = Open(time);
        long now = time.Now.ToUnixTimeMilliseconds();
        Assert.Equal("invalid_expiry", Assert.Throws<FlintException>(() => keys.Create("late", expires: now)).Code);
        (_, string secret) = keys.Create("ada", expires: now + 1000);
        Assert.Equal(KeyState.Works, keys.Check(secret).State);
        keys.Disable("ada", disabled: true);
        Assert.Equal(KeyState.Disabled, keys.Check(secret).State);
        Assert.False(keys.Any());
        keys.Disable("ada", disabled: false);
        Assert.Equal(KeyState.Works, keys.Check(secret).State);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(KeyState.Expired, keys.Check(secret).State);
        Assert.Null(keys.Find(secret));
        keys.Revoke("ada");
        Assert.Equal(KeyState.Revoked, keys.Check(secret).State);
        Assert.Equal((null, KeyState.Unknown), keys.Check(secret + "x"));
    }

    [Fact]
    public void Names_are_unique_in_a_project_and_found_by_their_path()
    {
        Keys keys = Open();
        var organizations = new Organizations(_accounts.Open(), TimeProvider.System);
        organizations.Create("acme");
        Project lab = organizations.CreateProject("acme", "lab");
        Assert.Equal("name_taken", Assert.Throws<FlintException>(() => organizations.CreateProject("acme", "lab")).Code);
        Assert.Equal("name_taken", Assert.Throws<FlintException>(() => organizations.Create("acme")).Code);
        Assert.Equal("invalid_name", Assert.Throws<FlintException>(() => organizations.Create("a/b")).Code);
        Assert.Equal("organization_not_found", Assert.Throws<FlintException>(() => organizations.CreateProject("none", "x")).Code);
        (Key here, _) = keys.Create("ada");
        (Key there, _) = keys.Create("ada", lab);
        Assert.Equal(("lab", "acme"), (there.Project, there.Organization));
        Assert.Equal("key_ambiguous", Assert.Throws<FlintException>(() => keys.Get("ada")).Code);
        Assert.Equal((here.Id, there.Id), (keys.Get("default/default/ada").Id, keys.Get("acme/lab/ada").Id));

        organizations.CreateProject("acme", "default");
        Assert.Equal("project_ambiguous", Assert.Throws<FlintException>(() => organizations.FindProject("default")).Code);
        Assert.Equal(1, organizations.FindProject("default/default").Id);
        Assert.Equal("default", keys.Create("bob").Key.Organization);
    }

    [Fact]
    public void Scopes_are_kept_and_read_back()
    {
        Keys keys = Open();
        var scopes = new KeyScopes { Models = ["tiny", "llama-*"], Routes = ["/v1/chat/*"], Modes = ["instant"], Tools = false, Addresses = ["10.0.0.0/8", "::1"] };
        (Key key, string secret) = keys.Create("ada", scopes: scopes);
        Assert.Equal(scopes, key.Scopes);
        Assert.Equal(scopes, keys.Find(secret)!.Scopes);
        Assert.NotEqual(KeyScopes.All, key.Scopes);
    }

    [Fact]
    public void Scopes_allow_what_they_name_whole_or_by_its_beginning()
    {
        var scopes = new KeyScopes { Models = ["tiny", "llama-*"], Routes = ["/v1/models*"], Modes = ["instant"], Addresses = ["10.1.0.0/16", "2001:db8::/32", "192.0.2.7"] };
        Assert.Equal([true, false, true, true, false], new[] { "tiny", "tiny2", "llama-", "llama-3:x", "Llama-3" }.Select(scopes.AllowsModel));
        Assert.Equal([true, true, false], new[] { "/v1/models", "/V1/Models/tiny", "/v1/completions" }.Select(scopes.AllowsRoute));
        Assert.Equal([true, false], new[] { "instant", "thinking" }.Select(scopes.AllowsMode));
        Assert.Equal([true, true, false, true, false, true, false],
            new[] { "10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "2001:db8:1::5", "2001:db9::1", "192.0.2.7", "192.0.2.8" }.Select(a => scopes.AllowsAddress(System.Net.IPAddress.Parse(a))));
        Assert.False(scopes.AllowsAddress(null));
        Assert.True(KeyScopes.All.AllowsAddress(null) && KeyScopes.All.AllowsModel("x") && KeyScopes.All.AllowsRoute("/x") && KeyScopes.All.AllowsMode("x"));
    }

    [Theory]
    [InlineData("10.0.0/8/8")]
    [InlineData("10.0.0.0/33")]
    [InlineData("here")]
    public void An_address_range_that_is_none_is_refused(string range) =>
        Assert.Equal("invalid_scope", Assert.Throws<FlintException>(() => Open().Create("ada", scopes: new KeyScopes { Addresses = [range] })).Code);

    [Fact]
    public void Another_process_s_changes_are_seen_at_once()
    {
        Keys here = Open(), there = Open();
        (_, string secret) = there.Create("ada");
        Assert.NotNull(here.Find(secret));
        there.Revoke("ada");
        Assert.Null(here.Find(secret));
    }

    [Fact]
    public void What_is_remembered_of_a_key_is_what_the_store_says()
    {
        Keys here = Open(), there = Open();
        (Key key, string secret) = there.Create("ada");
        Assert.Equal(key, here.Find(secret));
        Assert.Equal(key, here.Find(secret));
        there.SetPolicy("ada", "house");
        Assert.Equal("house", here.Find(secret)!.Scopes.Policy);
        there.Disable("ada", disabled: true);
        Assert.Equal(KeyState.Disabled, here.Check(secret).State);
        there.Disable("ada", disabled: false);
        Assert.Equal(KeyState.Works, here.Check(secret).State);
        _accounts.Execute("UPDATE projects SET name = 'lab'");
        _accounts.Execute("UPDATE organizations SET name = 'acme'");
        Assert.Equal(("lab", "acme"), (here.Find(secret)!.Project, here.Find(secret)!.Organization));
        (_, string next) = there.Rotate("ada", TimeSpan.Zero);
        Assert.Equal((KeyState.Expired, KeyState.Works), (here.Check(secret).State, here.Check(next).State));
        _accounts.Execute("DELETE FROM secrets WHERE expires IS NULL");
        Assert.Equal(KeyState.Unknown, here.Check(next).State);
        _accounts.Execute("DELETE FROM secrets");
        _accounts.Execute("DELETE FROM keys");
        Assert.Equal(KeyState.Unknown, here.Check(secret).State);
    }

    private Keys Open(TimeProvider? time = null) => new(_accounts.Open(), time ?? TimeProvider.System);
}

public sealed class SqliteKeysTests() : KeysTests(StoreKind.Sqlite);

public sealed class PostgresKeysTests() : KeysTests(StoreKind.Postgres);
