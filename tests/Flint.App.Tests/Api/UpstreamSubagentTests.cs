using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Tests.Upstreams;
using static Flint.App.Tests.Api.ChatDialects;

namespace Flint.App.Tests.Api;

/// <summary>Sub-agents of a model that upstreams serve, a request each.</summary>
public sealed class UpstreamSubagentTests : IAsyncLifetime
{
    private const string Told = "\n[2 sub-agents]\n[1: Tell of Paris] Hm. => Fine\n[2: Tell of Oslo] Hm. => Fine\n";
    private const string Cities = """{"message_template": "Tell of {item}", "items": ["Paris", "Oslo"]}""";

    private FakeUpstream _upstream = null!;

    public async ValueTask InitializeAsync() => _upstream = await FakeUpstream.StartAsync();

    public ValueTask DisposeAsync() => _upstream.DisposeAsync();

    [Theory]
    [InlineData(ChatRoute)]
    [InlineData(ResponseRoute)]
    [InlineData(MessageRoute)]
    [InlineData(OllamaRoute)]
    public async Task Agents_are_told_as_reasoning_and_the_answer_goes_on(string route)
    {
        Answer(Spawn);
        await using TestServer server = await StartAsync();
        JsonNode answer = await server.AnswerAsync(route, Body(route, "big", ", \"subagents\": true, \"include\": [\"subagents\"]" + (route == MessageRoute ? ", \"thinking\": {\"type\": \"adaptive\"}" : "")));
        (string reasoning, string content, string? end) = Read(route, answer);
        Assert.Equal((Told, "Wait.\n\nBoth."), (reasoning, content));
        Assert.Contains(end, (string[])["stop", "completed", "end_turn"]);
        JsonNode tree = answer["subagents"]!;
        Assert.Equal(["Paris", "Oslo"], tree["calls"]![0]!["agents"]!.AsArray().Select(agent => (string?)agent!["plan"]!["item"]));
        Assert.Equal((8, 13, 0), ((int)tree["cost"]!["prompt_tokens"]!, (int)tree["cost"]!["output_tokens"]!, (int)tree["cost"]!["discarded_tokens"]!));
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((37L, 13L, 6L, "upstream:one", 200), (record.PromptTokens, record.OutputTokens, record.ReasoningTokens, record.Fingerprint, record.Status));

        Assert.Equal(4, _upstream.Bodies.Count);
        Assert.Equal("subagents.spawn", (string?)_upstream.Bodies[0]["tools"]![0]!["function"]!["name"]);
        Assert.All(_upstream.Bodies.Skip(1).Take(2), body => Assert.Null(body["tools"]));
        JsonArray messages = _upstream.Bodies[3]["messages"]!.AsArray();
        Assert.Equal(["user", "assistant", "tool"], messages.Select(message => (string?)message!["role"]));
        Assert.Equal("""[{"item":"Paris","answer":"Fine"},{"item":"Oslo","answer":"Fine"}]""", JsonNode.Parse((string)messages[2]!["content"]!)!.ToJsonString());
        Assert.Equal((string?)messages[1]!["tool_calls"]![0]!["id"], (string?)messages[2]!["tool_call_id"]);
    }

    [Fact]
    public async Task A_call_of_the_clients_ends_the_answer_and_nobody_is_spawned()
    {
        Answer(context => FakeUpstream.SayAsync(
            context, [FakeUpstream.Call(0, "a", "subagents.spawn", Cities), FakeUpstream.Call(1, "b", "f", "{}"), FakeUpstream.End("tool_calls"), FakeUpstream.Usage(9, 5), FakeUpstream.Done]));
        await using TestServer server = await StartAsync();
        JsonNode answer = await server.AnswerAsync(ChatRoute, Body(ChatRoute, "big", """, "subagents": true, "include": ["subagents"], "tools": [{"type": "function", "function": {"name": "f"}}]"""));
        JsonNode choice = answer["choices"]![0]!;
        Assert.Equal(("tool_calls", "f"), ((string?)choice["finish_reason"], (string?)Assert.Single(choice["message"]!["tool_calls"]!.AsArray())!["function"]!["name"]));
        Assert.Contains("Not run", (string?)answer["subagents"]!["calls"]![0]!["fault"], StringComparison.Ordinal);
        Assert.Single(_upstream.Bodies);
    }

    [Fact]
    public async Task No_tree_exceeds_its_tokens()
    {
        // Whoever is asked says that it has used all it was allowed, and calls as often as it can.
        _upstream.Answer = (context, body) => FakeUpstream.SayAsync(
            context,
            [
                FakeUpstream.Text("x"), .. body["tools"] is null ? new[] { FakeUpstream.End() } : new[] { FakeUpstream.Call(0, "a", "subagents.spawn", Cities), FakeUpstream.End("tool_calls") },
                FakeUpstream.Usage(1 << 28, (int)body["max_tokens"]!), FakeUpstream.Done,
            ]);
        await using TestServer server = await StartAsync(plain => plain with { MaxOutput = 60 });
        var random = new Random(6);
        for (int i = 0; i < 60; i++)
        {
            int most = random.Next(1, 600), before = _upstream.Bodies.Count;
            string how = $$""", "max_tokens": {{most}}, "subagents": {"max": {{random.Next(1, 12)}}, "depth": {{random.Next(1, 4)}}, "agent_tokens": {{random.Next(16, 120)}}}""";
            await server.AnswerAsync(ChatRoute, Body(ChatRoute, "big", how));
            Assert.InRange(_upstream.Bodies.Skip(before).Sum(body => (int)body["max_tokens"]!), 1, most);
            Assert.InRange(server.Records()[0].OutputTokens, 1, most);
        }
    }

    [Fact]
    public async Task A_client_that_leaves_ends_every_agent()
    {
        using var all = new CountdownEvent(2);
        Answer(Spawn, async context =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Thought("Hm.")]);
            all.Signal();
            await FakeUpstream.StallAsync(context);
        });
        await using TestServer server = await StartAsync();
        HttpResponseMessage response = await server.PostAsync(ChatRoute, Body(ChatRoute, "big", ", \"subagents\": true", stream: true));
        await TestServer.UntilAsync(() => all.IsSet);
        response.Dispose();
        await TestServer.UntilAsync(() => _upstream.Aborted == 2 && server.Records().Count == 1);
        Assert.Equal((499, "cancelled"), (server.Records()[0].Status, server.Records()[0].Finish));
        Assert.Equal(server.Records()[0].OutputTokens - 5, server.Records()[0].DiscardedTokens);
    }

    [Fact]
    public async Task An_agent_that_fails_is_told_to_the_model()
    {
        Answer(Spawn, context => FakeUpstream.RefuseAsync(context, 400, "too long"));
        await using TestServer server = await StartAsync();
        JsonNode answer = await server.AnswerAsync(ChatRoute, Body(ChatRoute, "big", ", \"subagents\": true"));
        Assert.Equal("Wait.\n\nBoth.", (string?)answer["choices"]![0]!["message"]!["content"]);
        Assert.Contains("too long", _upstream.Bodies[^1]["messages"]!.ToJsonString(), StringComparison.Ordinal);
    }

    private static Task Spawn(Microsoft.AspNetCore.Http.HttpContext context) => FakeUpstream.SayAsync(
        context, [FakeUpstream.Text("Wait."), FakeUpstream.Call(0, "a", "subagents.spawn", Cities), FakeUpstream.End("tool_calls"), FakeUpstream.Usage(9, 5), FakeUpstream.Done]);

    /// <summary>Answers the question as is said, agents too, and results with the end of the answer.</summary>
    private void Answer(Func<Microsoft.AspNetCore.Http.HttpContext, Task> first, Func<Microsoft.AspNetCore.Http.HttpContext, Task>? agent = null) => _upstream.Answer = (context, body) =>
    {
        JsonNode last = body["messages"]!.AsArray()[^1]!;
        if ((string?)last["role"] == "tool")
            return FakeUpstream.SayAsync(context, [FakeUpstream.Text("Both."), FakeUpstream.End(), FakeUpstream.Usage(20, 2), FakeUpstream.Done]);
        if (!((string)last["content"]!).StartsWith("Tell of", StringComparison.Ordinal))
            return first(context);
        return agent?.Invoke(context) ?? FakeUpstream.SayAsync(context, [FakeUpstream.Thought("Hm."), FakeUpstream.Text("Fine"), FakeUpstream.End(), FakeUpstream.Usage(4, 3), FakeUpstream.Done]);
    };

    private Task<TestServer> StartAsync(Func<Flint.App.Upstreams.UpstreamOptions, Flint.App.Upstreams.UpstreamOptions>? options = null) =>
        TestServer.StartAsync(upstreams: FakeUpstream.Serve(null, options, _upstream.Target()));
}
