using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Serving;

namespace Flint.App.Tests.Api;

/// <summary>Every request is in the ledger once, before its response ends, however it ends; and what it held is free again.</summary>
public sealed class MeteringTests
{
    private const string Route = "/v1/completions";

    // Long enough that a test is always faster than the answer.
    private static readonly ServingOptions Endless = new() { ContextLength = 1 << 18, Parallel = 8 };

    private const string EndlessBody = """{"model": "tiny", "prompt": "hello", "max_tokens": 250000, "ignore_eos": true, "stream": true}""";

    [Fact]
    public async Task A_record_says_what_the_answer_said()
    {
        await using TestServer server = await TestServer.StartAsync();
        JsonNode answer = await server.AnswerAsync(Route, """{"model": "tiny", "prompt": ["hello", "the hello"], "n": 2, "max_tokens": 9, "ignore_eos": true}""");
        UsageEntry entry = Assert.Single(Ledger.Records(server.Store, new UsageFilter()));
        Assert.Equal(("test", "default", "default"), (entry.Key, entry.Project, entry.Organization));
        UsageRecord record = entry.Record;
        Assert.Equal(("openai", server.Model.Fingerprint, "", ""), (record.Dialect, record.Fingerprint, record.Mode, record.Policy));
        Assert.InRange(record.CpuMs, double.Epsilon, record.TotalMs);
        Assert.Equal((string)answer["id"]!, record.RequestId);
        Assert.Equal((Route, "tiny", 200, "length"), (record.Endpoint, record.Model, record.Status, record.Finish));
        Assert.Equal(((long)answer["usage"]!["prompt_tokens"]!, (long)answer["usage"]!["completion_tokens"]!), (record.PromptTokens, record.OutputTokens));
        Assert.Equal(36, record.OutputTokens);
        Assert.True(record.TotalMs >= record.FirstTokenMs && record.FirstTokenMs > 0 && record.QueueMs >= 0);
    }

    [Fact]
    public async Task A_stream_is_recorded_before_its_last_event()
    {
        await using TestServer server = await TestServer.StartAsync();
        for (int i = 1; i <= 20; i++)
        {
            List<JsonNode> chunks = await server.StreamAsync(Route, """{"model": "tiny", "prompt": "hello", "max_tokens": 3, "stream": true}""");
            Assert.Equal((string)chunks[0]["id"]!, server.Records()[0].RequestId);
            Assert.Equal(i, server.Records().Count);
        }
    }

    [Theory]
    [InlineData("nonsense", 400, "invalid_json", "")]
    [InlineData("""{"model": "tiny", "prompt": 1}""", 400, "invalid_type", "")]
    [InlineData("""{"model": "none", "prompt": "a"}""", 404, "model_not_found", "")]
    public async Task A_refusal_is_recorded_with_its_code(string body, int status, string code, string model)
    {
        await using TestServer server = await TestServer.StartAsync();
        Assert.Equal(status, (await server.RefusalAsync(Route, body)).Status);
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((status, code, model, 0), (record.Status, record.Finish, record.Model, record.OutputTokens));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_client_that_leaves_ends_its_sequences_and_is_recorded(bool stream)
    {
        await using TestServer server = await TestServer.StartAsync(Endless);
        using var leaving = new CancellationTokenSource();
        string body = EndlessBody.Replace("\"ignore_eos\"", "\"n\": 3, \"ignore_eos\"");
        Task request;
        if (stream)
        {
            HttpResponseMessage response = await server.PostAsync(Route, body, leaving.Token);
            Stream events = await response.Content.ReadAsStreamAsync();
            Assert.True(await events.ReadAsync(new byte[100]) > 0);
            request = Task.CompletedTask;
            response.Dispose();
        }
        else
        {
            request = server.PostAsync(Route, body.Replace("\"stream\": true", "\"stream\": false"), leaving.Token);
            await TestServer.UntilAsync(() => server.Model.Engine.Statistics.OutputTokens > 0);
        }

        await leaving.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await request;
            leaving.Token.ThrowIfCancellationRequested();
        });
        await TestServer.UntilAsync(() => server.Records().Count > 0);

        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((499, "cancelled"), (record.Status, record.Finish));
        Assert.True(record.OutputTokens is > 0 and < 3 * 250000);
        Assert.Equal(server.Model.Engine.Statistics.OutputTokens, record.OutputTokens);
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics.Running == 0);
        AssertAllPagesFree(server);
    }

    [Fact]
    public async Task A_full_queue_says_when_to_come_back()
    {
        await using TestServer server = await TestServer.StartAsync(Endless with { Parallel = 1, Waiting = 1 });
        using HttpResponseMessage running = await server.PostAsync(Route, EndlessBody);
        using HttpResponseMessage waiting = await server.PostAsync(Route, EndlessBody);
        using HttpResponseMessage refused = await server.PostAsync(Route, EndlessBody);
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.InRange(int.Parse(Assert.Single(refused.Headers.GetValues("Retry-After"))), 1, 60);
        Assert.Equal("queue_full", (string?)TestServer.ErrorOf(await refused.Content.ReadAsStringAsync())["code"]);
        Assert.Equal((429, "queue_full"), (Assert.Single(server.Records()).Status, server.Records()[0].Finish));

        running.Dispose();
        waiting.Dispose();
        await TestServer.UntilAsync(() => server.Records().Count == 3);
        await server.AnswerAsync(Route, """{"model": "tiny", "prompt": "hello", "max_tokens": 1}""");
    }

    [Fact]
    public async Task A_flood_of_one_key_leaves_others_room_and_a_turn()
    {
        await using TestServer server = await TestServer.StartAsync(Endless with { Parallel = 1, Waiting = 8 });
        var flood = new List<HttpResponseMessage>();
        for (int i = 0; i < 7; i++)
            flood.Add(await server.PostAsync(Route, EndlessBody));
        using HttpResponseMessage refused = await server.PostAsync(Route, EndlessBody);
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);

        // The one place is taken by an answer without end: it is given up for a while.
        using HttpClient other = server.NewClient(new Keys(server.Store, TimeProvider.System).Create("other").Secret);
        using HttpResponseMessage answered = await other.SendAsync(TestServer.Request(Route, """{"model": "tiny", "prompt": "hello", "max_tokens": 3, "ignore_eos": true}"""));
        Assert.Equal(HttpStatusCode.OK, answered.StatusCode);
        Assert.Equal(3, (int)JsonNode.Parse(await answered.Content.ReadAsStringAsync())!["usage"]!["completion_tokens"]!);
        Assert.True(server.Model.Engine.Statistics.Preemptions > 0);
        foreach (HttpResponseMessage one in flood)
            one.Dispose();
        await TestServer.UntilAsync(() => server.Records().Count == 9);
    }

    [Fact]
    public async Task Stopping_lets_running_requests_end()
    {
        await using TestServer server = await TestServer.StartAsync(Endless);
        Task<List<JsonNode>> running = server.StreamAsync(Route, EndlessBody.Replace("250000", "600"));
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics.OutputTokens > 0);
        await server.StopAsync(CancellationToken.None);
        Assert.Equal("length", (string?)(await running)[^1]["choices"]![0]!["finish_reason"]);
        Assert.Equal((200, 600), (Assert.Single(server.Records()).Status, server.Records()[0].OutputTokens));
        using HttpClient late = server.NewClient();
        await Assert.ThrowsAsync<HttpRequestException>(() => late.GetAsync("/health"));
    }

    [Fact]
    public async Task Stopping_in_a_hurry_cuts_requests_off_and_records_them()
    {
        await using TestServer server = await TestServer.StartAsync(Endless);
        List<Task> running = [.. Enumerable.Range(0, 5).Select(_ => server.StreamAsync(Route, EndlessBody))];
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics.Running == 5);
        await server.StopAsync(new CancellationToken(canceled: true));
        foreach (Task one in running)
            await Assert.ThrowsAnyAsync<Exception>(() => one);
        Assert.Equal(5, server.Records().Count);
        Assert.All(server.Records(), record => Assert.Contains(record.Status, (int[])[499, 503]));
    }

    [Fact]
    public async Task Streams_that_come_and_go_leak_no_page()
    {
        await using TestServer server = await TestServer.StartAsync(Endless);
        var random = new Random(1);
        int[] chunks = [.. Enumerable.Range(0, 60).Select(_ => random.Next(0, 30))];
        await Parallel.ForEachAsync(chunks, new ParallelOptions { MaxDegreeOfParallelism = 12 }, async (count, cancellation) =>
        {
            using HttpResponseMessage response = await server.PostAsync(Route, EndlessBody.Replace("hello", $"hello {count % 4}"), cancellation);
            Stream events = await response.Content.ReadAsStreamAsync(cancellation);
            for (int i = 0; i < count; i++)
                await events.ReadExactlyAsync(new byte[200], cancellation);
        });
        await TestServer.UntilAsync(() => server.Records().Count == chunks.Length);
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics.Running + server.Model.Engine.Statistics.Waiting == 0);
        Assert.Equal(chunks.Length, server.Records().Select(record => record.RequestId).Distinct().Count());
        AssertAllPagesFree(server);
    }

    private static void AssertAllPagesFree(TestServer server)
    {
        Flint.Engine.EngineStatistics statistics = server.Model.Engine.Statistics;
        Assert.Equal(statistics.TotalPages, statistics.FreePages + statistics.CachedPages);
    }
}
