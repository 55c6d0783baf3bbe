using System.Text;
using Dapper;
using Flint.App.Accounts;
using Microsoft.Data.Sqlite;

namespace Flint.App.Tests.Accounts;

public sealed class KeysTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

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
    public void The_secret_is_stored_nowhere()
    {
        (Key key, string secret) = Open().Create("ada");
        SqliteConnection.ClearAllPools();
        foreach (string file in Directory.GetFiles(_folder.Path))
        {
            string content = Encoding.Latin1.GetString(File.ReadAllBytes(file));
            Assert.DoesNotContain(secret, content, StringComparison.Ordinal);
            Assert.DoesNotContain(secret[key.Prefix.Length..], content, StringComparison.Ordinal);
        }
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
    public void Another_process_s_changes_are_seen_at_once()
    {
        Keys here = Open(), there = Open();
        (_, string secret) = there.Create("ada");
        Assert.NotNull(here.Find(secret));
        there.Revoke("ada");
        Assert.Null(here.Find(secret));
    }

    [Fact]
    public void A_newer_store_is_refused_and_left_alone()
    {
        Store store = new(_folder.Path);
        using (SqliteConnection connection = store.Open())
            connection.Execute("PRAGMA user_version = 999");
        FlintException fault = Assert.Throws<FlintException>(() => new Store(_folder.Path));
        Assert.Equal("store_too_new", fault.Code);
        Assert.Contains("999", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_store_is_named()
    {
        File.WriteAllText(_folder.File(Store.FileName), new string('x', 5000));
        FlintException fault = Assert.Throws<FlintException>(() => new Store(_folder.Path));
        Assert.Equal(FaultSide.Machine, fault.Side);
        Assert.Contains(Store.FileName, fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Only_the_owner_may_read_the_store()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("file modes are Unix's");
            return;
        }

        string directory = _folder.File("home");
        _ = new Store(directory);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(directory));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(directory, Store.FileName)));
    }

    private Keys Open() => new(new Store(_folder.Path), TimeProvider.System);
}
