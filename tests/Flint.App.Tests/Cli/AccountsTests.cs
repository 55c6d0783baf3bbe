using System.Text.Json.Nodes;
using Flint.App.Accounts;

namespace Flint.App.Tests.Cli;

/// <summary>The verbs of the accounts, end to end over one data directory.</summary>
public sealed class AccountsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Organisations_projects_keys_limits_and_prices_are_managed()
    {
        Ok("orgs", "create", "acme");
        Ok("projects", "create", "lab", "--org", "acme");
        string secret = Ok("keys", "create", "--name", "ada", "--project", "lab", "--expires", "90d", "--models", "tiny,llama-*", "--modes", "instant", "--addresses", "127.0.0.1", "--no-tools").Trim();
        var keys = new Keys(new Store(_folder.Path), TimeProvider.System);
        Key key = keys.Find(secret)!;
        Assert.Equal(("lab", "acme"), (key.Project, key.Organization));
        Assert.Equal(new KeyScopes { Models = ["tiny", "llama-*"], Modes = ["instant"], Addresses = ["127.0.0.1"], Tools = false }, key.Scopes);

        Ok("keys", "limit", "ada", "--daily-tokens", "1000", "--monthly-cost", "2.50");
        Ok("keys", "limit", "ada", "--requests-per-minute", "3");
        Ok("projects", "limit", "acme/lab", "--concurrent-requests", "2", "--weight", "3");
        Ok("orgs", "limit", "acme", "--monthly-tokens", "5");
        Assert.Contains("none", Ok("orgs", "limit", "--help"));
        Ok("orgs", "limit", "acme", "--monthly-tokens", "none");
        var store = new Store(_folder.Path);
        Assert.Equal(new Limits { DailyTokens = 1000, MonthlyCost = 2_500_000, RequestsPerMinute = 3 }, Limits.Of(store, new Owner(OwnerKind.Key, key.Id)));
        Assert.Equal(new Limits { ConcurrentRequests = 2, Weight = 3 }, Limits.Of(store, new Owner(OwnerKind.Project, key.ProjectId)));
        Assert.Equal(new Limits(), Limits.Of(store, new Owner(OwnerKind.Organization, key.OrganizationId)));

        Assert.Matches("weight +- +- +3\n", Ok("projects", "limit", "acme/lab"));
        JsonNode shown = JsonNode.Parse(Ok("keys", "show", "ada", "--json"))!;
        Assert.Equal((1000, 0, 2.5m), ((int)shown["limits"]!["daily_tokens"]!["limit"]!, (int)shown["limits"]!["daily_tokens"]!["used"]!, (decimal)shown["limits"]!["monthly_cost"]!["limit"]!));
        Assert.Null(shown["limits"]!["monthly_tokens"]!["limit"]);
        Assert.Equal("tiny", (string?)shown["scopes"]!["models"]![0]);
        Assert.Contains("models: tiny, llama-*", Ok("keys", "show", "ada"));

        string next = Ok("keys", "rotate", "ada", "--overlap", "24h").Trim();
        Assert.Equal((key.Id, key.Id), (keys.Find(secret)!.Id, keys.Find(next)!.Id));
        Ok("keys", "disable", "ada");
        Assert.Equal(KeyState.Disabled, keys.Check(next).State);
        Ok("keys", "enable", next[..16] + "…");
        Assert.Equal(KeyState.Works, keys.Check(next).State);
        Assert.Contains("acme/lab", Ok("keys", "list"));
        Assert.DoesNotContain(next, Ok("keys", "list", "--json"));
        Ok("keys", "revoke", "ada");
        Assert.Equal(KeyState.Revoked, keys.Check(next).State);
        Assert.Matches("acme +lab .* 0\n", Ok("projects", "list"));
        Assert.Matches("acme .* 1\n", Ok("orgs", "list"));

        Ok("prices", "set", "tiny*", "--input", "0.25", "--output", "2");
        Assert.Matches("tiny\\* +0.25 +0.25 +2.00\n", Ok("prices", "list"));
        Ok("prices", "remove", "tiny*");
        Assert.DoesNotContain("tiny", Ok("prices", "list"));
    }

    [Theory]
    [InlineData("keys", "create", "--name", "x", "--modes", "fast")]
    [InlineData("keys", "create", "--name", "x", "--addresses", "10.0.0.0/33")]
    [InlineData("keys", "create", "--name", "x", "--expires", "soon")]
    [InlineData("keys", "create", "--name", "x", "--project", "none")]
    [InlineData("keys", "rotate", "none")]
    [InlineData("keys", "limit", "none", "--daily-tokens", "1")]
    [InlineData("orgs", "limit", "default", "--daily-tokens", "many")]
    [InlineData("orgs", "limit", "default", "--daily-cost", "-1")]
    [InlineData("prices", "set", "m", "--input", "1.2345678", "--output", "1")]
    public void What_cannot_be_done_is_said_on_one_line(params string[] arguments)
    {
        FlintProcess.Result run = Run(arguments);
        Assert.Equal((1, ""), (run.Code, run.Output));
        Assert.NotEmpty(run.Complaint);
    }

    [Fact]
    public async Task Usage_is_summed_by_owner_and_records_are_exported_with_their_hashes()
    {
        var store = new Store(_folder.Path);
        Key key = new Keys(store, TimeProvider.System).Create("ada").Key;
        await using (var ledger = new Ledger(store))
        {
            for (int i = 0; i < 2; i++)
                await ledger.RecordAsync(new UsageRecord { RequestId = $"r{i}", Endpoint = "/v1/completions", Status = 200, KeyId = key.Id, ProjectId = key.ProjectId, OrganizationId = key.OrganizationId, Cost = 1_500_000, TotalMs = 1 / 3.0 });
        }

        Assert.Matches("default +2 .* 3.00 ", Ok("usage", "--by", "org"));
        Assert.Matches("default/default +2 .* 3.00 ", Ok("usage", "--by", "project"));
        JsonNode json = JsonNode.Parse(Ok("usage", "--by", "org", "--org", "default", "--json"))!;
        Assert.Equal((3_000_000, 2), ((long)json["organizations"]![0]!["cost_micros"]!, json["records"]!.AsArray().Count));
        Assert.Empty(JsonNode.Parse(Ok("usage", "--project", "none", "--json"))!["records"]!.AsArray());

        JsonNode[] lines = [.. Ok("audit", "export").TrimEnd('\n').Split('\n').Select(line => JsonNode.Parse(line)!)];
        Assert.Equal(["r0", "r1"], lines.Select(line => (string?)line["request_id"]));
        Assert.Equal((AuditChain.Head(store).Hash, 2, 1 / 3.0, "ada"), ((string?)lines[1]["hash"], (int)lines[1]["form"]!, (double)lines[1]["total_ms"]!, (string?)lines[1]["key"]));
    }

    [Fact]
    public void A_server_s_accounts_are_named_by_an_option_a_file_or_the_environment()
    {
        using var accounts = new TestStore(StoreKind.Postgres);
        File.WriteAllText(accounts.File("store.url"), accounts.Address);
        Ok("orgs", "create", "acme", "--store", accounts.Address!);
        Ok("projects", "create", "lab", "--org", "acme", "--store", accounts.Address!);
        string secret = Ok("keys", "create", "--name", "ada", "--project", "lab", "--store", accounts.Address!).Trim();
        Assert.Equal("acme", new Keys(accounts.Open(), TimeProvider.System).Find(secret)!.Organization);
        Assert.Contains("acme/lab", Ok("keys", "list", "--store", "file:" + accounts.File("store.url")));
        Ok("keys", "limit", "ada", "--store", accounts.Address!, "--daily-tokens", "5");
        Ok("prices", "set", "tiny*", "--input", "0.25", "--output", "2", "--store", accounts.Address!);
        foreach (string[] verb in (string[][])[["usage", "--json"], ["audit", "verify"], ["prices", "list"], ["keys", "show", "ada"]])
        {
            FlintProcess.Result run = FlintProcess.Run(verb, new() { ["FLINT_HOME"] = _folder.Path, ["FLINT_STORE"] = accounts.Address });
            Assert.True(run.Code == 0, run.Errors);
            Assert.Contains(verb[0] switch { "usage" => "\"keys\"", "audit" => "0 records", "prices" => "tiny*", _ => "acme/lab" }, run.Output, StringComparison.Ordinal);
        }

        FlintProcess.Result wrong = Run(["keys", "list", "--store", "postgres://flint:secret@/none"]);
        Assert.Equal(1, wrong.Code);
        Assert.DoesNotContain("secret", wrong.Complaint, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path, "accounts.db*"));
    }

    private string Ok(params string[] arguments)
    {
        FlintProcess.Result run = Run(arguments);
        Assert.True(run.Code == 0, run.Errors);
        return run.Output;
    }

    private FlintProcess.Result Run(string[] arguments) => FlintProcess.Run(arguments, new() { ["FLINT_HOME"] = _folder.Path });
}
