using System.Net;
using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>Responses that go on without their clients.</summary>
public sealed class BackgroundTests
{
    internal const string Endless = """{"model": "tiny", "input": "hello", "max_output_tokens": 250000, "ignore_eos": true, "logit_bias": {"2": -100, "260": -100}, "background": true}""";

    private const string Route = "/v1/responses";

    // Long enough that a test is always faster than the answer.
    private static readonly ServingOptions Long = new() { ContextLength = 1 << 18 };

    [Fact]
    public async Task It_goes_on_until_it_is_cancelled_and_is_metered()
    {
        await using TestServer server = await TestServer.StartAsync(Long);
        JsonNode started = await server.AnswerAsync(Route, Endless);
        Assert.Equal(("queued", true, 0), ((string?)started["status"], (bool)started["background"]!, started["output"]!.AsArray().Count));
        string path = $"{Route}/{(string)started["id"]!}";
        JsonNode running = await UntilAsync(server, path, "in_progress");
        Assert.Equal((0, null), (running["output"]!.AsArray().Count, running["usage"]));
        Assert.Empty(server.Records());

        // Who comes to listen hears what was, from where it left off, and what comes.
        using (HttpResponseMessage response = await server.Client.GetAsync($"{path}?stream=true&starting_after=0", HttpCompletionOption.ResponseHeadersRead))
        {
            var heard = new List<(string, int)>();
            await foreach (SseItem<string> item in SseParser.Create(await response.Content.ReadAsStreamAsync()).EnumerateAsync())
            {
                heard.Add((item.EventType, (int)JsonNode.Parse(item.Data)!["sequence_number"]!));
                if (heard.Count == 40)
                    break;
            }

            Assert.Equal(Enumerable.Range(1, 40), heard.Select(one => one.Item2));
            Assert.Equal(["response.queued", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta"], heard.Take(5).Select(one => one.Item1));
        }

        Assert.Equal(400, (await server.RefusalAsync(Route, ResponsesTests.Body("more", previous: (string)started["id"]!))).Status);
        JsonNode cancelled = await server.AnswerAsync($"{path}/cancel", "");
        Assert.Equal("cancelled", (string?)cancelled["status"]);
        UsageRecord record = Assert.Single(server.Records(), record => record.RequestId == (string)started["id"]!);
        Assert.Equal((499, "cancelled"), (record.Status, record.Finish));
        Assert.Equal(record.OutputTokens, (long)cancelled["usage"]!["output_tokens"]!);
        Assert.True(record.OutputTokens is > 0 and < 250_000);
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics.Running == 0);
        Assert.True(JsonNode.DeepEquals(cancelled, await server.AnswerAsync($"{path}/cancel", "")));
        Assert.True(JsonNode.DeepEquals(cancelled, await ResponsesTests.GetAsync(server, path)));
        Assert.Equal(HttpStatusCode.BadRequest, await ResponsesTests.StatusAsync(server.Client, HttpMethod.Get, $"{path}?stream=true"));
        Assert.Equal(2, server.Records().Count); // the refusal has its own
    }

    [Fact]
    public async Task It_ends_as_any_other_and_can_be_gone_on_from()
    {
        await using TestServer server = await ResponsesTests.StartAsync("<think>", "Hm.", "</think>", "Hello", "<|im_end|>");
        JsonNode started = await server.AnswerAsync(Route, """{"model": "tiny", "input": "hi", "background": true}""");
        JsonNode ended = await UntilAsync(server, $"{Route}/{(string)started["id"]!}", "completed");
        Assert.Equal([("reasoning", "Hm."), ("message", "Hello")], ResponsesTests.Items(ended));
        Assert.Equal((200, "stop", 5), (Assert.Single(server.Records()).Status, server.Records()[0].Finish, (int)ended["usage"]!["output_tokens"]!));
        await server.AnswerAsync(Route, ResponsesTests.Body("more", previous: (string)started["id"]!));

        List<JsonNode> events = await ResponsesTests.StreamAsync(server, """{"model": "tiny", "input": "hi", "background": true, "stream": true}""");
        Assert.Equal(["response.created", "response.queued", "response.in_progress"], events.Take(3).Select(e => (string?)e["type"]));
        Assert.Equal(("queued", "in_progress", "response.completed"), ((string?)events[1]["response"]!["status"], (string?)events[2]["response"]!["status"], (string?)events[^1]["type"]));
        Assert.Equal(ResponsesTests.Items(ended), ResponsesTests.Items(events[^1]["response"]!));
    }

    [Fact]
    public async Task One_that_never_begins_is_refused_as_any_other()
    {
        await using TestServer server = await TestServer.StartAsync();
        (int status, JsonNode error) = await server.RefusalAsync(Route, $$"""{"model": "tiny", "input": "{{new string('x', 5000)}}", "background": true}""");
        Assert.Equal((400, "context_length_exceeded"), (status, (string?)error["code"]));
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((400, "context_length_exceeded"), (record.Status, record.Finish));
        Assert.Equal(HttpStatusCode.NotFound, await ResponsesTests.StatusAsync(server.Client, HttpMethod.Get, $"{Route}/{record.RequestId}"));
    }

    [Fact]
    public async Task A_budget_holds_for_it()
    {
        const long budget = 60;
        await using TestServer server = await TestServer.StartAsync();
        var owner = new Owner(OwnerKind.Key, server.Key.Id);
        Limits.Set(server.Store, owner, new Limits { MonthlyTokens = budget });
        (int status, JsonNode error) = await server.RefusalAsync(Route, Endless);
        Assert.Equal((429, "insufficient_quota"), (status, (string?)error["code"]));
        JsonNode started = await server.AnswerAsync(Route, Endless.Replace("\"max_output_tokens\": 250000, ", ""));
        JsonNode ended = await UntilAsync(server, $"{Route}/{(string)started["id"]!}", "incomplete");
        Spending month = Spending.Of(server.Store, owner, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())[3];
        Assert.Equal(((long)ended["usage"]!["total_tokens"]!, 0), (month.SettledTokens, month.ReservedTokens));
        Assert.InRange(month.SettledTokens, 1, budget);
    }

    [Fact]
    public async Task There_are_only_so_many_and_deleting_one_ends_it()
    {
        await using TestServer server = await TestServer.StartAsync(Long with { Waiting = ApiLimits.MaxBackground });
        string[] ids = new string[ApiLimits.MaxBackground];
        for (int i = 0; i < ids.Length; i++)
            ids[i] = (string)(await server.AnswerAsync(Route, Endless))["id"]!;
        (int status, JsonNode error) = await server.RefusalAsync(Route, Endless);
        Assert.Equal((429, "too_many_background"), (status, (string?)error["code"]));
        Assert.Equal(HttpStatusCode.OK, await ResponsesTests.StatusAsync(server.Client, HttpMethod.Delete, $"{Route}/{ids[0]}"));
        Assert.Equal((499, "cancelled", ids[0]), (server.Records()[0].Status, server.Records()[0].Finish, server.Records()[0].RequestId));
        Assert.Equal(HttpStatusCode.NotFound, await ResponsesTests.StatusAsync(server.Client, HttpMethod.Get, $"{Route}/{ids[0]}"));
        await server.AnswerAsync(Route, Endless);
    }

    [Fact]
    public async Task Stopping_cancels_and_records_them()
    {
        await using TestServer server = await TestServer.StartAsync(Long);
        string id = (string)(await server.AnswerAsync(Route, Endless))["id"]!;
        await server.StopAsync(CancellationToken.None);
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((499, "cancelled", id), (record.Status, record.Finish, record.RequestId));
        Assert.Equal("cancelled", (string?)JsonNode.Parse(new Responses(server.Store, TimeProvider.System).Find(id, record.KeyId)!.Json)!["status"]);
    }

    [Fact]
    public async Task One_whose_server_died_is_told_as_failed()
    {
        await using TestServer server = await TestServer.StartAsync();
        await server.AnswerAsync(Route, """{"model": "tiny", "input": "hi", "max_output_tokens": 1}""");
        const string id = "resp_00000000000000000000000000000000";
        new Responses(server.Store, TimeProvider.System).Save(new StoredResponse(
            id, server.Records()[0].KeyId, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), null, $$"""{"id": "{{id}}", "status": "in_progress", "background": true, "output": [], "error": null}""", "[]"));
        JsonNode told = await ResponsesTests.GetAsync(server, $"{Route}/{id}");
        Assert.Equal(("failed", "server_error"), ((string?)told["status"], (string?)told["error"]!["code"]));
    }

    [Fact]
    public async Task A_server_without_keys_takes_a_cancel_without_a_body()
    {
        await using TestServer server = await TestServer.StartAsync(Long, requireKeys: false);
        string id = (string)(await server.AnswerAsync(Route, Endless))["id"]!;
        using HttpClient client = server.NewClient();
        Assert.Equal(HttpStatusCode.OK, await ResponsesTests.StatusAsync(client, HttpMethod.Post, $"{Route}/{id}/cancel"));
    }

    [Fact]
    public async Task Events_are_kept_whole_and_up_to_a_limit()
    {
        var log = new EventLog(8);
        ValueTask<byte[]> waiting = log.ReadAfterAsync(0, CancellationToken.None);
        log.Write("a"u8);
        Assert.False(waiting.IsCompleted);
        log.Write("b\n\n"u8);
        log.Flush();
        Assert.Equal("ab\n\n", Encoding.UTF8.GetString(await waiting));
        log.Write("cd\n\n"u8);
        log.Flush();
        Assert.False(log.IsCut);
        log.Write("e"u8);
        log.Flush();
        log.Complete();
        Assert.True(log.IsCut);
        Assert.Equal("ab\n\ncd\n\n", Encoding.UTF8.GetString(await log.ReadAfterAsync(0, CancellationToken.None)));
        Assert.Empty(await log.ReadAfterAsync(8, CancellationToken.None));
    }

    private static async Task<JsonNode> UntilAsync(TestServer server, string path, string status)
    {
        while (true)
        {
            JsonNode response = await ResponsesTests.GetAsync(server, path);
            if ((string?)response["status"] == status)
                return response;
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }
}
