using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Dapper;
using Flint.App.Accounts;
using Flint.App.Policy;
using Flint.App.Tests.Cli;

namespace Flint.App.Tests.Api;

/// <summary>Texts of requests and answers, kept as each key has it, for as long as it says, and gone when somebody wants them gone.</summary>
public sealed class PromptsTests
{
    private const string Chat = "/v1/chat/completions";

    // One request of each API, with the same secret in it.
    public static TheoryData<string, string> Requests => new()
    {
        { Chat, """{"model": "tiny", "max_tokens": 4, "user": "ada", "messages": [{"role": "user", "content": "I am ada@x.org"}]}""" },
        { Chat, """{"model": "tiny", "max_tokens": 4, "user": "ada", "stream": true, "n": 2, "messages": [{"role": "user", "content": "I am ada@x.org"}]}""" },
        { "/v1/completions", """{"model": "tiny", "max_tokens": 4, "user": "ada", "echo": true, "prompt": "I am ada@x.org"}""" },
        { "/v1/completions", """{"model": "tiny", "max_tokens": 4, "user": "ada", "n": 1, "best_of": 3, "prompt": "I am ada@x.org"}""" },
        { "/v1/responses", """{"model": "tiny", "max_output_tokens": 4, "safety_identifier": "ada", "input": "I am ada@x.org"}""" },
        { "/v1/messages", """{"model": "tiny", "max_tokens": 4, "metadata": {"user_id": "ada"}, "messages": [{"role": "user", "content": "I am ada@x.org"}]}""" },
        { "/api/chat", """{"model": "tiny", "options": {"num_predict": 4}, "user": "ada", "messages": [{"role": "user", "content": "I am ada@x.org"}]}""" },
        { "/v1/embeddings", """{"model": "tiny", "user": "ada", "input": "I am ada@x.org"}""" },
    };

    [Theory]
    [MemberData(nameof(Requests))]
    public async Task What_is_kept_is_what_the_key_says(string route, string body)
    {
        await using TestServer server = await TestServer.StartAsync();
        var keys = new Keys(server.Store, TimeProvider.System);
        foreach (PromptLogging? form in (PromptLogging?[])[null, new(PromptLogging.Hashed), new(PromptLogging.Redacted), new(PromptLogging.Full, 7)])
        {
            keys.SetPrompts(server.Secret, form);
            using HttpResponseMessage response = await server.PostAsync(route, body);
            Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync());
            await response.Content.ReadAsStringAsync();
        }

        List<PromptEntry> kept = Export(server.Store);
        Assert.Equal([PromptLogging.Hashed, PromptLogging.Redacted, PromptLogging.Full], kept.Select(entry => entry.Prompt.Form));
        Assert.Equal(server.Records().Select(record => record.RequestId).Reverse().Skip(1), kept.Select(entry => entry.Prompt.RequestId));
        Assert.All(kept, entry => Assert.Equal((route, "tiny", TestServer.KeyName), (entry.Prompt.Endpoint, entry.Prompt.Model, entry.Key)));
        var prompts = new Prompts(server.Store, TimeProvider.System);
        Assert.All(kept, entry => Assert.Equal(prompts.Digest("ada"), entry.Prompt.Person));
        Assert.Equal((body, prompts.Digest(body)), (kept[2].Prompt.Input, kept[0].Prompt.Input));
        Assert.Matches("^[0-9a-f]{64}$", kept[0].Prompt.Output);
        Assert.Contains("I am [email]", kept[1].Prompt.Input, StringComparison.Ordinal);
        Assert.DoesNotContain("\"ada\"", kept[1].Prompt.Input, StringComparison.Ordinal);
        Assert.Equal((long)TimeSpan.FromDays(7).TotalMilliseconds, kept[2].Prompt.Expires - kept[2].Prompt.Created);
        JsonArray answers = JsonNode.Parse(kept[2].Prompt.Output)!.AsArray();
        if (route == "/v1/embeddings")
        {
            Assert.Empty(answers);
            return;
        }

        Assert.Equal(body.Contains("\"n\": 2", StringComparison.Ordinal) ? 2 : 1, answers.Count);
        Assert.All(answers, answer => Assert.DoesNotContain("I am ada", (string)answer!["content"]!, StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_answer_that_is_kept_is_the_one_that_was_told()
    {
        var rules = new PolicyRules("house") { Output = [new TextRule("secret", RuleAction.Redact, new Pattern("e")) { Replacement = "X" }] };
        var policies = new Policies();
        policies.Replace(new PolicyTable(new Dictionary<string, PolicyRules> { ["house"] = rules }, "house"));
        await using TestServer server = await TestServer.StartAsync(policies: policies);
        new Keys(server.Store, TimeProvider.System).SetPrompts(server.Secret, new PromptLogging(PromptLogging.Full));
        JsonNode answer = await server.AnswerAsync(Chat, """{"model": "tiny", "max_tokens": 40, "seed": 3, "ignore_eos": true, "messages": [{"role": "user", "content": "hello"}]}""");
        JsonNode told = JsonNode.Parse(Assert.Single(Export(server.Store)).Prompt.Output)![0]!;
        Assert.Equal((string?)answer["choices"]![0]!["message"]!["content"], (string?)told["content"]);
        Assert.DoesNotContain("e", (string)told["content"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_person_s_texts_go_and_the_records_verify_as_before()
    {
        await using TestServer server = await TestServer.StartAsync();
        new Keys(server.Store, TimeProvider.System).SetPrompts(server.Secret, new PromptLogging(PromptLogging.Full));
        foreach (string user in (string[])["ada", "bob", "ada"])
            await server.AnswerAsync("/v1/responses", $$"""{"model": "tiny", "max_output_tokens": 2, "user": "{{user}}", "input": "I am {{user}} the XYZZY"}""");
        string last = server.Records()[0].RequestId;
        AuditHead head = AuditChain.Head(server.Store);
        var prompts = new Prompts(server.Store, TimeProvider.System);
        Assert.Equal("nobody_named", Assert.Throws<FlintException>(() => prompts.Delete(new PromptFilter())).Code);
        Assert.Equal((2, 2), prompts.Delete(new PromptFilter { User = "ada" }));
        Assert.Contains("I am bob", Assert.Single(Export(server.Store)).Prompt.Input, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.NotFound, (await server.Client.GetAsync($"/v1/responses/{last}")).StatusCode);
        AuditResult verified = AuditChain.Verify(server.Store, head);
        Assert.Equal((3L, null), (verified.Head.Count, verified.Fault));
        Assert.Equal((0, 0), prompts.Delete(new PromptFilter { User = "ada" }));

        // Nothing of it is left in the file either.
        await server.StopAsync(CancellationToken.None);
        using (var connection = server.Store.Open())
            connection.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
        string file = Encoding.Latin1.GetString(await File.ReadAllBytesAsync(Path.Combine(server.Folder, "accounts.db")));
        Assert.DoesNotContain("I am ada the XYZZY", file, StringComparison.Ordinal);
        Assert.Contains("I am bob the XYZZY", file, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(StoreKind.Sqlite)]
    [InlineData(StoreKind.Postgres)]
    public void What_has_been_kept_as_long_as_it_was_to_be_is_told_to_nobody_and_goes(StoreKind kind)
    {
        using var accounts = new TestStore(kind);
        var time = new FakeTime();
        Store store = accounts.Open();
        Key key = new Keys(store, time).Create("ada").Key;
        var prompts = new Prompts(store, time);
        long now = time.Now.ToUnixTimeMilliseconds();
        foreach (int days in (int[])[1, 3])
            prompts.Save(new KeptPrompt { RequestId = $"r{days}", KeyId = key.Id, Created = now, Expires = now + days * 86_400_000L, Form = PromptLogging.Full, Input = "{}", Output = "[]", Person = days == 3 ? prompts.Digest("x") : null });
        new Responses(store, time).Save(new StoredResponse("resp_1", key.Id, now, null, "{}", "[]") { Person = prompts.Digest("x") });
        Assert.Equal(["r1", "r3"], Ids(new PromptFilter()));
        Assert.Equal(["r3"], Ids(new PromptFilter { User = "x" }));
        time.Advance(TimeSpan.FromDays(1));
        Assert.Equal(["r3"], Ids(new PromptFilter { Key = key.Id }));
        prompts.Purge();
        using (var connection = store.Open())
            Assert.Equal(["r3"], connection.Query<string>("SELECT request_id FROM prompts"));
        Assert.Equal((1, 1), prompts.Delete(new PromptFilter { User = "x" }));
        Assert.Empty(Ids(new PromptFilter()));
        Assert.NotEqual(prompts.Digest("x"), prompts.Digest("y"));

        List<string> Ids(PromptFilter filter)
        {
            var ids = new List<string>();
            prompts.Export(filter, entry => ids.Add(entry.Prompt.RequestId));
            return ids;
        }
    }

    [Fact]
    public async Task A_key_whose_texts_cannot_be_kept_is_not_served()
    {
        await using TestServer server = await TestServer.StartAsync();
        new Keys(server.Store, TimeProvider.System).SetPrompts(server.Secret, new PromptLogging(PromptLogging.Full));
        using (var connection = server.Store.Open())
            connection.Execute("DROP TABLE prompts");
        (int status, JsonNode error) = await server.RefusalAsync("/v1/completions", """{"model": "tiny", "prompt": "hello", "max_tokens": 2, "ignore_eos": true}""");
        Assert.Equal((503, "store_unavailable"), (status, (string?)error["code"]));
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((503, "store_unavailable", 2L), (record.Status, record.Finish, record.OutputTokens)); // what it used is known
    }

    [Fact]
    public async Task Commands_and_the_admin_api_set_list_and_delete()
    {
        await using TestServer server = await TestServer.StartAsync();
        using HttpClient admin = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("admin", scopes: new KeyScopes { Admin = true }).Secret);
        JsonNode key = await SendAsync(admin, HttpMethod.Put, "/admin/v1/keys/test/prompts", """{"form": "redacted", "days": 3}""");
        Assert.Equal(("redacted", 3), ((string?)key["scopes"]!["prompts"]!["form"], (int)key["scopes"]!["prompts"]!["days"]!));
        await server.AnswerAsync("/v1/completions", """{"model": "tiny", "prompt": "to ada@x.org", "max_tokens": 2, "user": "ada"}""");
        await server.AnswerAsync("/v1/completions", """{"model": "tiny", "prompt": "to bob@x.org", "max_tokens": 2}""");
        JsonArray list = (await SendAsync(admin, HttpMethod.Get, "/admin/v1/prompts?user=ada"))["data"]!.AsArray();
        Assert.Equal("to [email]", (string?)Assert.Single(list)!["input"]!["prompt"]);
        Assert.Single((await SendAsync(admin, HttpMethod.Get, "/admin/v1/prompts?key=test&limit=1"))["data"]!.AsArray());
        Assert.Equal("unknown_parameter", (string?)(await SendAsync(admin, HttpMethod.Get, "/admin/v1/prompts?usr=ada"))["error"]!["code"]);

        string[] lines = Ok(server, "prompts", "export").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["to [email]", "to [email]"], lines.Select(line => (string?)JsonNode.Parse(line)!["input"]!["prompt"]));
        Assert.Single(Ok(server, "prompts", "export", "--user", "ada", "--since", "1h").Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal((1, 0), Counts(await SendAsync(admin, HttpMethod.Delete, "/admin/v1/users/ada")));
        Assert.Contains("1 texts and 0 kept responses", Ok(server, "prompts", "delete", "--key", "test"), StringComparison.Ordinal);
        Assert.Equal((0, 0), Counts(await SendAsync(admin, HttpMethod.Delete, "/admin/v1/keys/test/prompts")));
        Assert.Equal(1, FlintProcess.Run(["prompts", "delete", "--data", server.Folder]).Code);
        Assert.Contains("kept hashed, for 30 days", Ok(server, "keys", "prompts", "test", "hashed"), StringComparison.Ordinal);
        Assert.Contains("not at all", Ok(server, "keys", "prompts", "test", "off"), StringComparison.Ordinal);
        Assert.Null(server.Key.Scopes.Prompts);
        string secret = Ok(server, "keys", "create", "--name", "kept", "--prompts", "full", "--prompt-days", "2", "--profile", "muse").Trim();
        Assert.Equal(new KeyScopes { Prompts = new PromptLogging("full", 2), Profile = "muse" }, new Keys(server.Store, TimeProvider.System).Find(secret)!.Scopes);
        foreach (string[] wrong in (string[][])[["keys", "prompts", "test", "some"], ["keys", "prompts", "test", "full", "--days", "0"], ["keys", "profile", "test", "other"]])
            Assert.Equal(1, FlintProcess.Run([.. wrong, "--data", server.Folder]).Code);

        static (int, int) Counts(JsonNode told) => ((int)told["prompts"]!, (int)told["responses"]!);
    }

    private static List<PromptEntry> Export(Store store)
    {
        var found = new List<PromptEntry>();
        new Prompts(store, TimeProvider.System).Export(new PromptFilter(), found.Add);
        return found;
    }

    private static string Ok(TestServer server, params string[] arguments)
    {
        FlintProcess.Result run = FlintProcess.Run([.. arguments, "--data", server.Folder]);
        Assert.True(run.Code == 0, run.Errors);
        return run.Output;
    }

    private static async Task<JsonNode> SendAsync(HttpClient client, HttpMethod method, string path, string? body = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        using HttpResponseMessage response = await client.SendAsync(request);
        return JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
    }
}
