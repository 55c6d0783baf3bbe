using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Tests.Upstreams;
using Flint.App.Upstreams;
using Flint.Contemplate;
using static Flint.App.Tests.Api.ChatDialects;

namespace Flint.App.Tests.Api;

/// <summary>Agents that upstreams compute, a request each.</summary>
public sealed class UpstreamContemplationTests : IAsyncLifetime
{
    private const string Asked = ", \"mode\": \"contemplating\", \"seed\": 3, \"include\": [\"contemplation\"]";

    private FakeUpstream _upstream = null!;

    public async ValueTask InitializeAsync() => _upstream = await FakeUpstream.StartAsync();

    public ValueTask DisposeAsync() => _upstream.DisposeAsync();

    [Fact]
    public async Task Votes_weigh_by_what_the_upstream_tells_of_its_tokens_and_the_tree_is_as_repeatable_as_its_answers()
    {
        // What an agent says depends on its seed alone.
        _upstream.Answer = (context, body) =>
        {
            long seed = (long)body["seed"]!;
            return FakeUpstream.SayAsync(context,
            [
                FakeUpstream.Thought("Hm."), Scored("The answer is ", -0.5 - seed % 5), Scored($"{seed % 2}", -0.25), FakeUpstream.End(), FakeUpstream.Usage(9, 6, 4), FakeUpstream.Done,
            ]);
        };
        await using TestServer server = await StartAsync();
        string body = Body(ChatRoute, "big", Asked + ", \"contemplation\": {\"stop_error\": 0, \"window\": 2, \"prune_percentile\": 0}");
        JsonNode answer = await server.AnswerAsync(ChatRoute, body);
        var tree = ContemplationTrace.FromJson(answer["contemplation"]!.ToJsonString());
        Assert.Equal((8, ExploreEnd.Exhausted, "big"), (tree.Agents.Count, tree.Explored, tree.Model));
        Assert.All(tree.Agents, agent =>
        {
            long seed = (long)(agent.Plan.Seed & int.MaxValue);
            Assert.Equal((AgentEnd.Finished, "Hm.", $"{seed % 2}", 6), (agent.End, agent.Reasoning, agent.Answer, agent.OutputTokens));
            Assert.Equal((-0.5 - seed % 5 - 0.25) / 2, agent.Confidence, 1e-6);
        });
        Assert.Equal(tree.Ballots[^1].Candidates.MaxBy(candidate => candidate.Weight)!.Answer, tree.Agents[tree.Answer.Agent].Answer);
        foreach (Candidate candidate in tree.Ballots[^1].Candidates)
            Assert.Equal(candidate.Agents.Sum(agent => Math.Exp(tree.Agents[agent].Confidence)), candidate.Weight, 1e-9);

        // Each agent is a request of its own, with draws of its own.
        IReadOnlyList<JsonNode> asked = _upstream.Bodies;
        Assert.Equal(8, asked.Count);
        Assert.Equal(8, asked.Select(one => (long)one["seed"]!).Distinct().Count());
        Assert.Equal(4, asked.Select(one => (double)one["temperature"]!).Distinct().Count());
        Assert.All(asked, one => Assert.True((bool)one["logprobs"]!));
        UsageRecord record = Assert.Single(server.Records());
        Assert.Equal((8 * 9L, 8 * 4L, 8 * 6L, "contemplating", "upstream:one", 200), (record.PromptTokens, record.CachedTokens, record.OutputTokens, record.Mode, record.Fingerprint, record.Status));
        Assert.InRange(record.ReasoningTokens, 7 * 6, 8 * 6 - 1);
        Assert.Equal((8 * 9, 8 * 6L), ((int)tree.Cost.PromptTokens, tree.Cost.OutputTokens));
        Assert.Equal("stop", (string?)answer["choices"]![0]!["finish_reason"]);
        string reasoning = (string)answer["choices"]![0]!["message"]!["reasoning_content"]!;
        Assert.StartsWith("[1] Hm. => The answer is ", reasoning, StringComparison.Ordinal);

        JsonNode again = await server.AnswerAsync(ChatRoute, body);
        Assert.Equal(tree.ToJson(), ContemplationTrace.FromJson(again["contemplation"]!.ToJsonString()).ToJson());
        Assert.Equal(reasoning, (string?)again["choices"]![0]!["message"]!["reasoning_content"]);
    }

    [Theory]
    [InlineData(ChatRoute)]
    [InlineData(ResponseRoute)]
    [InlineData(MessageRoute)]
    [InlineData(OllamaRoute)]
    public async Task Every_api_contemplates_through_another_Flint(string route)
    {
        using var folder = new TemporaryFolder();
        await using TestServer back = await TestServer.StartAsync(write: path => ScriptedModel.Write(path, ScriptedModel.ChatMl, '\n', "<think>", "Six\u2581times\u2581seven.", "</think>", "42", "<|im_end|>"));
        File.WriteAllText(folder.File("key"), back.Secret);
        var models = new UpstreamModels();
        models.Replace(models.Prepare(
        [
            new UpstreamOptions { Name = "far", Targets = [new TargetOptions { Name = "back", BaseUrl = new Uri(back.Address, "v1/"), Model = TestServer.ModelName, KeyFile = folder.File("key") }] },
        ]));
        await using TestServer front = await TestServer.StartAsync(upstreams: models);
        using HttpResponseMessage response = await front.PostAsync(route, Body(route, "far:contemplating", stream: false));
        Assert.Equal("contemplating", response.Headers.GetValues("x-flint-mode").Single());
        Assert.Contains("as far as the upstream repeats its draws", response.Headers.GetValues("x-flint-mode-approximation").Single(), StringComparison.Ordinal);
        (string reasoning, string content, _) = Read(route, JsonNode.Parse(await response.Content.ReadAsStringAsync())!);
        Assert.Equal("42", content);
        Assert.StartsWith("[1] Six times seven. => 42\n", reasoning, StringComparison.Ordinal);
        await TestServer.UntilAsync(() => back.Records().Count == 4);
        Assert.Equal(back.Records().Sum(record => record.OutputTokens), Assert.Single(front.Records()).OutputTokens);
    }

    [Fact]
    public async Task An_unsure_agent_is_left_and_one_that_fails_stops_nobody()
    {
        int asked = 0;
        _upstream.Answer = async (context, _) =>
        {
            int number = Interlocked.Increment(ref asked);
            if (number <= 4)
            {
                await FakeUpstream.SayAsync(context, [Scored("The answer is ", -0.5), Scored($"{number}", -0.5), FakeUpstream.End(), FakeUpstream.Usage(9, 2), FakeUpstream.Done]);
                return;
            }

            if (number == 5)
            {
                await FakeUpstream.RefuseAsync(context, 400, "too hot");
                return;
            }

            await FakeUpstream.SayAsync(context, [Scored("Perhaps ", -3), Scored("it is", -3)]);
            await FakeUpstream.StallAsync(context); // until it is left
        };
        await using TestServer server = await StartAsync();
        JsonNode answer = await server.AnswerAsync(ChatRoute, Body(ChatRoute, "big", Asked + ", \"contemplation\": {\"window\": 2, \"prune_percentile\": 50}"));
        var tree = ContemplationTrace.FromJson(answer["contemplation"]!.ToJsonString());
        Assert.Equal(4, tree.Agents.Count(agent => agent.End == AgentEnd.Finished));
        Assert.Equal(3, tree.Agents.Count(agent => agent.End == AgentEnd.Pruned));
        AgentTrace failed = Assert.Single(tree.Agents, agent => agent.End == AgentEnd.Failed);
        Assert.Contains("too hot", failed.Fault, StringComparison.Ordinal);
        await TestServer.UntilAsync(() => _upstream.Aborted == 3);
        Assert.Equal(tree.Cost.DiscardedTokens, server.Records()[0].DiscardedTokens);
        Assert.True(tree.Cost.DiscardedTokens > 0);
    }

    [Fact]
    public async Task Free_text_is_revised_and_merged_from_what_agents_wrote()
    {
        _upstream.Answer = (context, body) =>
        {
            JsonArray messages = body["messages"]!.AsArray();
            long seed = (long)body["seed"]!;
            string last = (string)messages[^1]!["content"]!;
            string says = last.Contains("the one best answer", StringComparison.Ordinal) ? "Merged."
                : messages.Count > 1 ? $"Better than: {(string)messages[^2]!["content"]!}" : $"Draft {(char)('a' + seed % 26)}{(char)('a' + seed / 26 % 26)} of {last}"; // no number that could be voted on
            return FakeUpstream.SayAsync(context, [FakeUpstream.Text(says), FakeUpstream.End(), FakeUpstream.Usage(9, 3), FakeUpstream.Done]);
        };
        await using TestServer server = await StartAsync(plain => plain with { Logprobs = false });
        using HttpResponseMessage response = await server.PostAsync(ChatRoute, Body(ChatRoute, "big", Asked + ", \"contemplation\": {\"agents\": 3, \"rounds\": 1, \"perspectives\": [\"Be brief.\", \"Be kind.\"]}"));
        Assert.Contains("votes weigh the same", response.Headers.GetValues("x-flint-mode-approximation").Single(), StringComparison.Ordinal);
        JsonNode answer = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        var tree = ContemplationTrace.FromJson(answer["contemplation"]!.ToJsonString());
        Assert.Equal("Merged.", (string?)answer["choices"]![0]!["message"]!["content"]);
        Assert.Equal([AgentStage.Explore, AgentStage.Explore, AgentStage.Explore, AgentStage.Revise, AgentStage.Revise, AgentStage.Revise, AgentStage.Synthesize], tree.Agents.Select(agent => agent.Plan.Stage));
        Assert.Equal(["Be brief.", "Be kind.", "Be brief."], tree.Agents.Take(3).Select(agent => agent.Plan.Viewpoint));
        Assert.EndsWith("of hi\n\nBe kind.", tree.Agents[1].Content, StringComparison.Ordinal);
        Assert.All(tree.Agents.Skip(3).Take(3), agent => Assert.Equal($"Better than: {tree.Agents[agent.Plan.Drafts[0]].Content}", agent.Content));
        Assert.All(_upstream.Bodies, body => Assert.Null(body["logprobs"]));
        Assert.Equal(7 * 3, server.Records()[0].OutputTokens);
    }

    [Fact]
    public async Task A_tree_keeps_to_its_tokens_and_to_the_keys()
    {
        // This upstream always says that it has used all it was allowed.
        _upstream.Answer = (context, body) => FakeUpstream.SayAsync(context, [FakeUpstream.Text("Well"), FakeUpstream.End("length"), FakeUpstream.Usage(9, (int)body["max_tokens"]!), FakeUpstream.Done]);
        await using TestServer server = await StartAsync();
        var random = new Random(5);
        for (int i = 0; i < 60; i++)
        {
            int most = random.Next(1, 400), before = _upstream.Bodies.Count;
            string how = $$""", "max_tokens": {{most}}, "contemplation": {"agents": {{random.Next(1, 12)}}, "wave": {{random.Next(1, 5)}}, "rounds": {{random.Next(2)}}, "agent_tokens": {{random.Next(1, 90)}}}""";
            await server.AnswerAsync(ChatRoute, Body(ChatRoute, "big:contemplating", how));
            Assert.InRange(_upstream.Bodies.Skip(before).Sum(body => (int)body["max_tokens"]!), 1, most);
            Assert.InRange(server.Records()[0].OutputTokens, 1, most);
        }
    }

    [Fact]
    public async Task A_client_that_leaves_ends_every_agent()
    {
        using var all = new CountdownEvent(4);
        _upstream.Answer = async (context, _) =>
        {
            await FakeUpstream.SayAsync(context, [FakeUpstream.Thought("Hm.")]);
            all.Signal();
            await FakeUpstream.StallAsync(context);
        };
        await using TestServer server = await StartAsync();
        HttpResponseMessage response = await server.PostAsync(ChatRoute, Body(ChatRoute, "big:contemplating", stream: true));
        await TestServer.UntilAsync(() => all.IsSet);
        response.Dispose();
        await TestServer.UntilAsync(() => _upstream.Aborted == 4 && server.Records().Count == 1);
        Assert.Equal((499, "cancelled"), (server.Records()[0].Status, server.Records()[0].Finish));
    }

    [Theory]
    [InlineData(400, 400, "upstream_refused")]
    [InlineData(500, 502, "upstream_failed")]
    public async Task Where_every_agent_fails_the_fault_is_the_upstreams(int status, int told, string code)
    {
        _upstream.Answer = (context, _) => FakeUpstream.RefuseAsync(context, status);
        await using TestServer server = await StartAsync();
        (int found, JsonNode error) = await server.RefusalAsync(ChatRoute, Body(ChatRoute, "big:contemplating"));
        Assert.Equal((told, code), (found, (string?)error["code"]));
        Assert.Equal((told, 0L), (server.Records()[0].Status, server.Records()[0].OutputTokens));
        Assert.Equal("contemplation.adapters", (string?)(await server.RefusalAsync(ChatRoute, Body(ChatRoute, "big:contemplating", ", \"contemplation\": {\"adapters\": [\"a\"]}"))).Error["param"]);
    }

    private static string Scored(string content, double logprob) =>
        FakeUpstream.Event(new { choices = new[] { new { index = 0, delta = new { content }, logprobs = new { content = new[] { new { token = content, logprob } } } } } });

    private Task<TestServer> StartAsync(Func<UpstreamOptions, UpstreamOptions>? options = null) =>
        TestServer.StartAsync(upstreams: FakeUpstream.Serve(null, options, _upstream.Target()));
}
