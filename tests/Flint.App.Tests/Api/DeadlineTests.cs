using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Serving;
using Flint.App.Tests.Upstreams;
using static Flint.App.Tests.Api.ChatDialects;

namespace Flint.App.Tests.Api;

/// <summary>Answers that may take so long and no longer, by a clock that the tests set.</summary>
public sealed class DeadlineTests
{
    // The prompt ends in another character than the thoughts' closing, so that the model knows one from the other.
    private const string Template = "{% if false %}<think><tool_call>{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant>";

    private readonly FakeTime _time = new();

    public static TheoryData<string, bool> Routes
    {
        get
        {
            var routes = new TheoryData<string, bool>();
            foreach (string route in (string[])[ChatRoute, ResponseRoute, MessageRoute, OllamaRoute])
            {
                routes.Add(route, true);
                routes.Add(route, false);
            }

            return routes;
        }
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task What_was_written_in_time_is_the_answer(string route, bool stream)
    {
        await using TestServer server = await StartAsync(('>', ["ho", "ho"]));
        Task<JsonNode> asked = AskAsync(server, route, ", \"deadline_seconds\": 10", stream);
        await GeneratedAsync(server);
        _time.Advance(TimeSpan.FromSeconds(10));
        JsonNode answer = await asked;
        Assert.True((bool)answer["deadline_passed"]!);
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((200, "length"), (record.Status, record.Finish));
        Assert.Equal(server.Model.Engine.Statistics.OutputTokens, record.OutputTokens);
        if (stream)
            return;
        (_, string content, string? end) = Read(route, answer);
        Assert.Equal(Limited(route), end);
        Assert.StartsWith("hohoho", content, StringComparison.Ordinal);
        Assert.InRange(content.Length, 2, 2 * record.OutputTokens);
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task Thoughts_end_before_the_time_so_that_there_is_an_answer(string route, bool stream)
    {
        await using TestServer server = await StartAsync(('>', ["<think>", "la", "la"]), ('\n', ["Done.", "<|im_end|>"]));
        Task<JsonNode> asked = AskAsync(server, route, (route == MessageRoute ? ", \"thinking\": {\"type\": \"adaptive\"}" : "") + ", \"deadline_seconds\": 10", stream);
        await GeneratedAsync(server);
        _time.Advance(TimeSpan.FromSeconds(8));
        JsonNode answer = await asked;
        Assert.False((bool)answer["deadline_passed"]!);
        Assert.Equal("stop", Assert.Single(server.Records()).Finish);
        if (!stream)
            Assert.Equal("Done.", Read(route, answer).Content);
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task Agents_that_have_not_agreed_in_time_are_cut_off(string route, bool stream)
    {
        await using TestServer server = await StartAsync(('>', ["<think>", "la", "la"]));
        Task<JsonNode> asked = AskAsync(server, route, ", \"deadline_seconds\": 10, \"mode\": \"contemplating\", \"contemplation\": {\"agent_tokens\": 200000}", stream);
        await GeneratedAsync(server);
        _time.Advance(TimeSpan.FromSeconds(10));
        JsonNode answer = await asked;
        Assert.True((bool)answer["deadline_passed"]!);
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((200, "length", server.Model.Engine.Statistics.OutputTokens), (record.Status, record.Finish, record.OutputTokens));
        Assert.Equal(record.OutputTokens, record.DiscardedTokens);
        await TestServer.UntilAsync(() => server.Model.Engine.Statistics is { Running: 0, Waiting: 0 });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Plain_completions_and_several_choices_end_too(bool stream)
    {
        await using TestServer server = await StartAsync(('>', ["ho", "ho"]));
        string end = ", \"temperature\": 0, \"deadline_seconds\": 10, \"n\": 2, \"stream\": " + (stream ? "true}" : "false}");
        foreach ((string route, string body) in ((string, string)[])
        [
            ("/v1/completions", "{\"model\": \"tiny\", \"prompt\": \"a>\", \"max_tokens\": 200000" + end),
            (ChatRoute, "{\"model\": \"tiny\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]" + end),
        ])
        {
            long before = server.Model.Engine.Statistics.OutputTokens;
            Task<List<JsonNode>> asked = StreamAsync(server, route, body);
            await GeneratedAsync(server, before);
            _time.Advance(TimeSpan.FromSeconds(10));
            List<JsonNode> told = await asked;
            JsonNode[] ends = [.. told.Where(one => one["choices"]!.AsArray().Any(choice => choice!["finish_reason"] is not null))];
            Assert.Equal(stream ? 2 : 1, ends.Length);
            Assert.All(ends, one => Assert.True((bool)one["deadline_passed"]!));
            Assert.All(ends.SelectMany(one => one["choices"]!.AsArray()), choice => Assert.Equal("length", (string?)choice!["finish_reason"]));
            Assert.Contains("hoho", string.Concat(told.Select(one => one.ToJsonString())), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task An_answer_in_time_says_so_and_one_without_a_limit_says_nothing()
    {
        await using TestServer server = await StartAsync(('>', ["Done.", "<|im_end|>"]));
        foreach (string route in (string[])[ChatRoute, ResponseRoute, MessageRoute, OllamaRoute])
        {
            Assert.False((bool)(await AskAsync(server, route, ", \"deadline_seconds\": 10", stream: false))["deadline_passed"]!);
            Assert.False((bool)(await AskAsync(server, route, ", \"deadline_seconds\": 10", stream: true))["deadline_passed"]!);
            Assert.False((await AskAsync(server, route, "", stream: true)).AsObject().ContainsKey("deadline_passed"));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_upstream_that_is_too_slow_is_left_with_what_it_wrote(bool writes)
    {
        var written = new TaskCompletionSource();
        await using FakeUpstream upstream = await FakeUpstream.StartAsync(async (context, _) =>
        {
            if (writes)
                await FakeUpstream.SayAsync(context, [FakeUpstream.Text("Hello")]);
            written.SetResult();
            await FakeUpstream.StallAsync(context);
        });
        await using TestServer server = await TestServer.StartAsync(time: _time, upstreams: FakeUpstream.Serve(null, null, upstream.Target()));
        using HttpResponseMessage? response = writes ? await server.PostAsync(ChatRoute, Body(ChatRoute, "big", ", \"deadline_seconds\": 10", stream: true)) : null;
        Task<List<JsonNode>>? asked = writes ? null : StreamAsync(server, ChatRoute, Body(ChatRoute, "big", ", \"deadline_seconds\": 10", stream: true));
        await written.Task;
        if (response is not null)
        {
            // What is read is what the server has read.
            using var lines = new StreamReader(await response.Content.ReadAsStreamAsync());
            while (!(await lines.ReadLineAsync())!.Contains("Hello", StringComparison.Ordinal))
            {
            }

            _time.Advance(TimeSpan.FromSeconds(10));
            string rest = await lines.ReadToEndAsync();
            Assert.Contains("\"finish_reason\":\"length\"", rest, StringComparison.Ordinal);
            Assert.Contains("\"deadline_passed\":true", rest, StringComparison.Ordinal);
        }
        else
        {
            _time.Advance(TimeSpan.FromSeconds(10));
            Assert.True((bool)Last(ChatRoute, await asked!)["deadline_passed"]!);
        }

        await TestServer.UntilAsync(() => upstream.Aborted == 1);
        Assert.Equal((200, "length"), (server.Records()[0].Status, server.Records()[0].Finish));
    }

    /// <summary>The whole answer, or what tells the end of its stream.</summary>
    private static async Task<JsonNode> AskAsync(TestServer server, string route, string fields, bool stream)
    {
        string body = Body(route, "tiny", fields, stream);
        return stream ? Last(route, await StreamAsync(server, route, body)) : await server.AnswerAsync(route, body);
    }

    /// <summary>Waits until more was generated than can wait to be read: the clock of the answer runs.</summary>
    private static Task GeneratedAsync(TestServer server, long before = 0) => TestServer.UntilAsync(() => server.Model.Engine.Statistics.OutputTokens > before + 3000);

    private Task<TestServer> StartAsync(params (char Last, string[] Script)[] scripts) => TestServer.StartAsync(
        new ServingOptions { ContextLength = 1 << 18 }, write: path => ScriptedModel.Write(path, Template, 1 << 18, scripts), time: _time);
}
