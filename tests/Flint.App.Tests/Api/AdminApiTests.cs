using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Tests.Cli;
using Microsoft.AspNetCore.Routing;

namespace Flint.App.Tests.Api;

/// <summary>The admin API, and that nothing is open which should not be.</summary>
public sealed class AdminApiTests
{
    private const string Keys = "/admin/v1/keys";

    // What may answer without a key, as HOUSE.md's rule has it: nothing of the accounts, nothing that computes.
    private static readonly string[] Open = ["/health", "/ready", "/metrics", "/openapi.json"];

    [Fact]
    public async Task No_route_is_without_a_scope()
    {
        await using TestServer server = await TestServer.StartAsync();
        using HttpClient stranger = server.NewClient();
        using HttpClient scoped = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("scoped", scopes: new KeyScopes { Routes = ["/nowhere"] }).Secret);
        using HttpClient scopedAdmin = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("scoped admin", scopes: new KeyScopes { Routes = ["/nowhere"], Admin = true }).Secret);
        using HttpClient admin = NewAdmin(server);
        int walked = 0;
        foreach (RouteEndpoint route in server.Server.Routes)
        {
            string path = string.Join('/', route.RoutePattern.RawText!.Split('/').Select(part => part.StartsWith('{') ? "x" : part));
            if (Open.Contains(path))
                continue;
            bool isAdmin = path.StartsWith("/admin/", StringComparison.Ordinal);
            foreach (string method in route.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods)
            {
                walked++;
                Assert.Equal((401, "invalid_api_key"), await CodeAsync(stranger, method, path));
                Assert.Equal((403, "missing_scope"), await CodeAsync(scoped, method, path));
                Assert.Equal((403, "missing_scope"), await CodeAsync(scopedAdmin, method, path));
                if (isAdmin)
                    Assert.Equal((403, "missing_scope"), await CodeAsync(server.Client, method, path)); // an ordinary key with all scopes
                else
                    Assert.Equal((403, "missing_scope"), await CodeAsync(admin, method, path));
            }
        }

        Assert.True(walked > 40, $"{walked} routes were found");
        Assert.Empty(server.Records());
        Assert.Equal(4, new Keys(server.Store, TimeProvider.System).List().Count(key => key.Revoked is null && key.Disabled is null));

        foreach (string path in Open)
            Assert.Equal(HttpStatusCode.OK, (await stranger.GetAsync(path)).StatusCode);
        await using TestServer open = await TestServer.StartAsync(requireKeys: false);
        foreach (RouteEndpoint route in open.Server.Routes.Where(route => route.RoutePattern.RawText!.StartsWith("/admin/", StringComparison.Ordinal)))
            Assert.Equal((403, "admin_needs_keys"), await CodeAsync(open.Client, route.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods[0], route.RoutePattern.RawText!.Replace("{**model}", "x").Replace("{", "").Replace("}", "")));
    }

    [Fact]
    public async Task Only_the_command_makes_a_key_for_it()
    {
        using var folder = new TemporaryFolder();
        FlintProcess.Result made = FlintProcess.Run(["keys", "create", "--name", "boss", "--admin", "--data", folder.Path]);
        Assert.Equal(0, made.Code);
        var keys = new Keys(new Store(folder.Path), TimeProvider.System);
        Assert.True(keys.Find(made.Output.Trim())!.Scopes.Admin);
        Assert.True(KeyScopes.Parse(new KeyScopes { Admin = true }.ToString()).Admin);
        Assert.NotEqual(KeyScopes.All, new KeyScopes { Admin = true });
        Assert.Contains("opens no model", FlintProcess.Run(["keys", "create", "--name", "x", "--admin", "--models", "m", "--data", folder.Path]).Complaint, StringComparison.Ordinal);

        await using TestServer server = await TestServer.StartAsync();
        using HttpClient admin = NewAdmin(server);
        (int status, JsonNode answer) = await SendAsync(admin, "POST", Keys, """{"name": "second", "scopes": {"admin": true}}""");
        Assert.Equal((400, "scopes.admin"), (status, (string?)answer["error"]!["param"]));
    }

    [Fact]
    public async Task A_key_from_its_making_to_its_end()
    {
        var told = new StringWriter();
        await using TestServer server = await TestServer.StartAsync(adjust: options => options with { Log = new ServerLog(isJson: false, told, told, TimeProvider.System) });
        using HttpClient admin = NewAdmin(server);
        (int status, JsonNode made) = await SendAsync(admin, "POST", Keys, """{"name": "worker", "project": "default/default", "expires": "2099-01-01T00:00:00Z", "scopes": {"models": ["ti*"], "tools": false}}""");
        Assert.Equal(201, status);
        string secret = (string)made["secret"]!, prefix = (string)made["prefix"]!;
        Assert.Equal(("worker", "default", false, false), ((string?)made["name"], (string?)made["project"], (bool)made["scopes"]!["tools"]!, (bool)made["scopes"]!["admin"]!));
        using HttpClient worker = server.NewClient(secret);
        Assert.Equal(HttpStatusCode.OK, (await worker.GetAsync("/v1/models")).StatusCode);
        Assert.Equal((409, "key_name_taken"), Error(await SendAsync(admin, "POST", Keys, """{"name": "worker"}""")));
        Assert.Equal((404, "project_not_found"), Error(await SendAsync(admin, "POST", Keys, """{"name": "a", "project": "none"}""")));
        Assert.Equal((400, "unknown_parameter"), Error(await SendAsync(admin, "POST", Keys, """{"name": "a", "scope": {}}""")));
        Assert.Equal((400, "unknown_parameter"), Error(await SendAsync(admin, "POST", Keys, """{"name": "a", "scopes": {"model": []}}""")));

        JsonNode limits = (await SendAsync(admin, "PUT", $"{Keys}/{prefix}/limits", """{"daily_tokens": 100, "monthly_cost": 2.5}""")).Answer;
        Assert.Equal((100, 2.5m), ((int)limits["limits"]!["daily_tokens"]!["limit"]!, (decimal)limits["limits"]!["monthly_cost"]!["limit"]!));
        await SendAsync(admin, "PUT", $"{Keys}/{prefix}/limits", """{"daily_tokens": null, "weight": 4}""");
        Assert.Equal(new Limits { MonthlyCost = 2_500_000, Weight = 4 }, Limits.Of(server.Store, new Owner(OwnerKind.Key, new Keys(server.Store, TimeProvider.System).Get("worker").Id)));
        Assert.Equal((400, "invalid_amount"), Error(await SendAsync(admin, "PUT", $"{Keys}/{prefix}/limits", """{"daily_cost": 0.1234567}""")));

        Assert.Equal((400, "invalid_limit"), Error(await SendAsync(admin, "PUT", $"{Keys}/{prefix}/limits", """{"weight": 0}""")));

        (_, JsonNode rotated) = await SendAsync(admin, "POST", $"{Keys}/default%2Fdefault%2Fworker/rotate", """{"overlap_seconds": 0}""");
        Assert.Equal(HttpStatusCode.Unauthorized, (await worker.GetAsync("/v1/models")).StatusCode);
        using HttpClient next = server.NewClient((string)rotated["secret"]!);
        foreach ((string change, HttpStatusCode expected) in new[] { ("disable", HttpStatusCode.Unauthorized), ("enable", HttpStatusCode.OK), ("revoke", HttpStatusCode.Unauthorized) })
        {
            Assert.Equal(200, (await SendAsync(admin, "POST", $"{Keys}/worker/{change}")).Status);
            Assert.Equal(expected, (await next.GetAsync("/v1/models")).StatusCode);
        }

        Assert.Equal((404, "key_not_found"), Error(await SendAsync(admin, "GET", $"{Keys}/worker")));
        (_, JsonNode list) = await SendAsync(admin, "GET", Keys);
        Assert.Equal(["test", "admin", "worker"], list["data"]!.AsArray().Select(key => (string?)key!["name"]));
        Assert.NotNull(list["data"]![2]!["revoked"]);
        foreach (string hidden in (string[])[secret, (string)rotated["secret"]!])
        {
            Assert.DoesNotContain(hidden, list.ToJsonString(), StringComparison.Ordinal);
            Assert.DoesNotContain(hidden, told.ToString(), StringComparison.Ordinal);
        }

        foreach (string change in (string[])["made the key 'default/default/worker'", "limited the key", "another secret", "disabled the key", "enabled the key", "revoked the key"])
            Assert.Contains(change, told.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Owners_prices_usage_and_the_audit()
    {
        await using TestServer server = await TestServer.StartAsync();
        using HttpClient admin = NewAdmin(server);
        Assert.Equal(201, (await SendAsync(admin, "POST", "/admin/v1/organizations", """{"name": "acme"}""")).Status);
        Assert.Equal((409, "name_taken"), Error(await SendAsync(admin, "POST", "/admin/v1/organizations", """{"name": "acme"}""")));
        Assert.Equal(201, (await SendAsync(admin, "POST", "/admin/v1/organizations/acme/projects", """{"name": "web"}""")).Status);
        Assert.Equal(["web"], (await SendAsync(admin, "GET", "/admin/v1/organizations/acme/projects")).Answer["data"]!.AsArray().Select(one => (string?)one!["name"]));
        await SendAsync(admin, "PUT", "/admin/v1/organizations/acme/limits", """{"monthly_tokens": 9}""");
        await SendAsync(admin, "PUT", "/admin/v1/organizations/acme/projects/web/limits", """{"concurrent_requests": 2}""");
        Assert.Equal(9, (int)(await SendAsync(admin, "GET", "/admin/v1/organizations/acme")).Answer["limits"]!["monthly_tokens"]!["limit"]!);
        Assert.Equal(2, (int)(await SendAsync(admin, "GET", "/admin/v1/organizations/acme/projects/web")).Answer["limits"]!["concurrent_requests"]!["limit"]!);
        Assert.Equal((404, "organization_not_found"), Error(await SendAsync(admin, "GET", "/admin/v1/organizations/none")));

        await SendAsync(admin, "PUT", "/admin/v1/prices/ti*", """{"input": 1, "output": "2.25"}""");
        Assert.Equal(new Price { Model = "ti*", Input = 1_000_000, CachedInput = 1_000_000, Output = 2_250_000 }, Assert.Single(new Prices(server.Store).List()));
        Assert.Equal((400, "missing_required_parameter"), Error(await SendAsync(admin, "PUT", "/admin/v1/prices/a/b", """{"input": 1}""")));
        JsonNode answer = await server.AnswerAsync("/v1/completions", """{"model": "tiny", "prompt": "hello", "max_tokens": 3, "ignore_eos": true}""");
        JsonNode usage = (await SendAsync(admin, "GET", "/admin/v1/usage?by=project&records=5")).Answer;
        Assert.Equal(("default", 1, 3), ((string?)usage["projects"]![0]!["project"], (int)usage["projects"]![0]!["requests"]!, (int)usage["projects"]![0]!["output_tokens"]!));
        Assert.Equal((string?)answer["id"], (string?)Assert.Single(usage["records"]!.AsArray())!["request_id"]);
        Assert.Empty((await SendAsync(admin, "GET", "/admin/v1/usage?since=2099-01-01")).Answer["keys"]!.AsArray());
        Assert.Equal((400, "unknown_parameter"), Error(await SendAsync(admin, "GET", "/admin/v1/usage?form=x")));
        Assert.Equal((400, "invalid_value"), Error(await SendAsync(admin, "GET", "/admin/v1/usage?records=1001")));
        Assert.Equal(200, (await SendAsync(admin, "DELETE", "/admin/v1/prices/ti*")).Status);
        Assert.Equal((404, "price_not_found"), Error(await SendAsync(admin, "DELETE", "/admin/v1/prices/ti*")));

        string head = (string)(await SendAsync(admin, "GET", "/admin/v1/audit/head")).Answer["head"]!;
        Assert.Equal(AuditChain.Head(server.Store).ToString(), head);
        JsonNode verified = (await SendAsync(admin, "POST", "/admin/v1/audit/verify", TestServer.Json(new { head }))).Answer;
        Assert.Equal((1, true, null), ((int)verified["records"]!, (bool)verified["intact"]!, (string?)verified["fault"]));
        verified = (await SendAsync(admin, "POST", "/admin/v1/audit/verify", TestServer.Json(new { head = "1:" + new string('0', 64) }))).Answer;
        Assert.False((bool)verified["intact"]!);
        Assert.NotNull((string?)verified["fault"]);
    }

    private static HttpClient NewAdmin(TestServer server) =>
        server.NewClient(new Keys(server.Store, TimeProvider.System).Create("admin", scopes: new KeyScopes { Admin = true }).Secret);

    private static async Task<(int Status, JsonNode Answer)> SendAsync(HttpClient client, string method, string path, string? body = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        using HttpResponseMessage response = await client.SendAsync(request);
        Assert.True(response.Headers.CacheControl is { NoStore: true } || !response.IsSuccessStatusCode);
        return ((int)response.StatusCode, JsonNode.Parse(await response.Content.ReadAsStringAsync())!);
    }

    private static (int Status, string? Code) Error((int Status, JsonNode Answer) refused) => (refused.Status, (string?)TestServer.ErrorOf(refused.Answer.ToJsonString())["code"]);

    // Ollama and Anthropic have shapes of their own, which tell no code.
    private static async Task<(int Status, string Code)> CodeAsync(HttpClient client, string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = method is "POST" or "PUT" ? new StringContent("{}", Encoding.UTF8, "application/json") : null };
        using HttpResponseMessage response = await client.SendAsync(request);
        string body = await response.Content.ReadAsStringAsync();
        string code = JsonNode.Parse(body)!["error"] is JsonObject error && error["code"] is { } told ? (string)told! : (int)response.StatusCode == 401 ? "invalid_api_key" : "missing_scope";
        return ((int)response.StatusCode, code);
    }
}
