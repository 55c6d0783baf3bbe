using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>Thoughts that are ended from outside while the model has them.</summary>
public sealed class EndThinkingTests
{
    private const string Route = "/v1/chat/completions";
    private const string Ask = """ "model": "tiny", "temperature": 0, "messages": [{"role": "user", "content": "hi"}] """;

    // The prompt ends in another character than the thoughts' closing, so that the model knows one from the other.
    private const string Template = "{% if false %}<think><tool_call>{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant>";

    [Theory]
    [InlineData(Route, true)]
    [InlineData(Route, false)]
    [InlineData("/v1/responses", false)]
    [InlineData("/v1/messages", false)]
    [InlineData("/api/chat", false)]
    public async Task A_model_answers_from_the_thoughts_it_has(string route, bool stream)
    {
        await using TestServer server = await StartAsync(["Done.", "<|im_end|>"]);
        string body = "{" + (route == "/v1/responses" ? Ask.Replace("messages", "input") : Ask) + (route == "/v1/messages" ? ", \"max_tokens\": 200000, \"thinking\": {\"type\": \"adaptive\"}" : "") + (stream ? ", \"stream\": true}" : ", \"stream\": false}");
        Task<List<JsonNode>> answer = stream ? server.StreamAsync(route, body) : WholeAsync(server, route, body);
        string id = await EndAsync(server);

        List<JsonNode> told = await answer;
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((id, 200, "stop"), (record.RequestId, record.Status, record.Finish));
        Assert.InRange(record.ReasoningTokens, 1, record.OutputTokens - 2);
        string text = string.Concat(told.Select(one => one.ToJsonString()));
        Assert.Contains("la", text);
        Assert.Contains("Done.", text);
        if (stream)
        {
            List<JsonNode> choices = [.. told.SelectMany(chunk => chunk["choices"]!.AsArray()).Select(one => one!)];
            Assert.Equal("Done.", string.Concat(choices.Select(one => (string?)one["delta"]!["content"])));
            Assert.Equal(record.ReasoningTokens * 2, string.Concat(choices.Select(one => (string?)one["delta"]!["reasoning_content"])).Length);
            Assert.Equal("stop", (string?)choices[^1]["finish_reason"]);
        }

        await NoneRunsAsync(server);
        Assert.Equal((404, "request_not_found"), await PostAsync(server.Client, id));
    }

    [Fact]
    public async Task Only_its_own_key_reaches_a_request_and_only_while_it_thinks()
    {
        await using TestServer server = await StartAsync(["ho", "ho"]);
        (_, string other) = new Keys(server.Store, TimeProvider.System).Create("other");
        using HttpClient stranger = server.NewClient(other);
        using (HttpResponseMessage response = await server.PostAsync(Route, "{" + Ask + ", \"stream\": true}"))
        using (var lines = new StreamReader(await response.Content.ReadAsStreamAsync()))
        {
            string id = response.Headers.GetValues("x-request-id").Single();
            await ReadUntilAsync(lines, "la");
            Assert.Equal((404, "request_not_found"), await PostAsync(stranger, id));
            Assert.Empty(await ListAsync(stranger));
            Assert.Equal([id], await ListAsync(server.Client));
            Assert.Equal((200, null), await PostAsync(server.Client, id));
            await ReadUntilAsync(lines, "ho");
            Assert.Equal((409, "not_thinking"), await PostAsync(server.Client, id));
        }

        await TestServer.UntilAsync(() => server.Records().Count == 1);
        UsageRecord record = server.Records()[0];
        Assert.Equal((499, "cancelled", server.Model.Engine.Statistics.OutputTokens), (record.Status, record.Finish, record.OutputTokens));
        await NoneRunsAsync(server);
        Assert.Equal((404, "request_not_found"), await PostAsync(server.Client, record.RequestId));
    }

    [Fact]
    public async Task A_response_in_the_background_is_reached_after_its_client_has_gone()
    {
        await using TestServer server = await StartAsync(["Done.", "<|im_end|>"]);
        string id = (string)(await server.AnswerAsync("/v1/responses", "{" + Ask.Replace("messages", "input") + ", \"background\": true}"))["id"]!;
        Assert.Equal(id, await EndAsync(server));
        await TestServer.UntilAsync(() => server.Records().Count == 1);
        Assert.Equal((id, 200, "stop"), (server.Records()[0].RequestId, server.Records()[0].Status, server.Records()[0].Finish));
        await NoneRunsAsync(server);
        string response = await server.Client.GetStringAsync($"/v1/responses/{id}");
        Assert.Equal("completed", (string?)JsonNode.Parse(response)!["status"]);
        Assert.Contains("\"Done.\"", response);
    }

    [Fact]
    public void No_more_requests_are_kept_than_there_is_room_for()
    {
        var running = new RunningRequests(2);
        Assert.Equal([true, true, false], ((string[])["a", "b", "c"]).Select((id, i) => running.Enter(new RunningRequest(id, Route, i, i % 2 == 0 ? 7 : null))));
        Assert.Equal(("a", null, null), (running.Find("a", 7)?.Id, running.Find("a", 8)?.Id, running.Find("a", null)?.Id));
        Assert.Equal(("b", null), (running.Find("b", null)?.Id, running.Find("c", 7)?.Id));
        RunningRequest first = running.Find("a", 7)!;
        running.Hold(first);
        running.Leave(first);
        Assert.NotNull(running.Find("a", 7));
        running.Leave(first);
        Assert.Null(running.Find("a", 7));
        Assert.True(running.Enter(new RunningRequest("c", Route, 2, 7)));
        Assert.Equal(["c"], running.Of(7).Select(request => request.Id));
        Assert.False(running.Find("c", 7)!.EndThinking()); // nothing is generated for it
    }

    /// <summary>Ends the thoughts of the one request there is, once more was generated than can wait to be read.</summary>
    private static async Task<string> EndAsync(TestServer server)
    {
        while (true)
        {
            foreach (string id in await ListAsync(server.Client))
            {
                if (server.Model.Engine.Statistics.OutputTokens > 3000 && (await PostAsync(server.Client, id)).Status == 200)
                    return id;
            }

            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }

    // A request is on record before its answer ends, and listed until after.
    private static async Task NoneRunsAsync(TestServer server)
    {
        while ((await ListAsync(server.Client)).Length > 0)
            await Task.Delay(5, TestContext.Current.CancellationToken);
    }

    private static async Task<string[]> ListAsync(HttpClient client)
    {
        JsonNode list = JsonNode.Parse(await client.GetStringAsync("/v1/requests"))!;
        return [.. list["data"]!.AsArray().Select(request => (string)request!["id"]!)];
    }

    private static async Task<(int Status, string? Code)> PostAsync(HttpClient client, string id)
    {
        using HttpResponseMessage response = await client.SendAsync(TestServer.Request($"/v1/requests/{id}/end_thinking", ""));
        string body = await response.Content.ReadAsStringAsync();
        if (response.StatusCode == HttpStatusCode.OK)
            Assert.Equal(id, (string?)JsonNode.Parse(body)!["id"]);
        return ((int)response.StatusCode, response.IsSuccessStatusCode ? null : (string?)TestServer.ErrorOf(body)["code"]);
    }

    private static async Task<List<JsonNode>> WholeAsync(TestServer server, string route, string body) => [await server.AnswerAsync(route, body)];

    private static async Task ReadUntilAsync(StreamReader lines, string text)
    {
        while (!(await lines.ReadLineAsync())!.Contains($"\"{text}", StringComparison.Ordinal))
        {
        }
    }

    // It thinks until it is stopped.
    private static Task<TestServer> StartAsync(string[] answer) => TestServer.StartAsync(new ServingOptions { ContextLength = 1 << 18 }, write: path =>
        ScriptedModel.Write(path, Template, 1 << 18, ('>', ["<think>", "la", "la"]), ('\n', answer)));
}
