using System.Text.Json;
using Flint.Contemplate;
using Flint.Engine;
using Flint.Models;
using Flint.Tests.Engine;
using Flint.Tests.Simulation;

namespace Flint.Tests.Contemplate;

/// <summary>Agents that spawn agents, on a real engine over a simulated model.</summary>
public sealed class SubagentTests
{
    private static readonly SubagentOptions Deep = new() { Agents = 40, Depth = 3, AgentTokens = 400, Seed = 5 };

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_tree_is_the_same_whatever_else_the_engine_does()
    {
        string alone;
        using (var world = new World())
            alone = await RunAsync(world, Deep, 4);
        using var loaded = new ManualResetEventSlim();
        var forward = new SimulatedForward(contextLength: 512, maxBatchRows: 64, maxSequences: 16, maxLogitRows: 16) { Before = _ => loaded.Wait() };
        using var busy = new World(forward, pages: 40, events: 4);
        using var bare = new World(cache: false);
        var load = Enumerable.Range(0, 12).Select(i => DrainAsync(busy.Engine.Submit(new GenerationRequest { Prompt = EngineHarness.Prompt(30 + i, i), MaxTokens = 150, IgnoreEos = true, Sampling = new SamplingOptions { Seed = 1 } }))).ToList();
        loaded.Set();
        string[] trees = await Task.WhenAll(RunAsync(busy, Deep, 4), RunAsync(busy, Deep with { Seed = 6 }, 4), RunAsync(bare, Deep, 4));
        await Task.WhenAll(load);
        Assert.Equal(alone, trees[0]);
        Assert.NotEqual(alone, trees[1]);
        Assert.Equal(alone, trees[2]);
        Assert.True(busy.Engine.Statistics.Preemptions > 0);
        Assert.Contains("\"path\":\"1.1", alone, StringComparison.Ordinal); // one at least has spawned
    }

    [Fact]
    public async Task Agents_answer_in_order_and_their_tokens_are_the_tree_s()
    {
        using var world = new World();
        var tokens = new TokenBudget(10_000);
        var told = new List<SubagentEvent>();
        SubagentTask task = Talk.Task(tell: (news, _) =>
        {
            told.Add(news);
            return ValueTask.CompletedTask;
        });
        var agents = new Subagents(world.Engine, task, Deep with { Depth = 1 }, tokens);
        SubagentCallTrace call = await agents.CallAsync(Talk.Call("x{item}y{item}", "1", "22", "333"), Test);
        Assert.Equal(["x1y1", "x22y22", "x333y333"], call.Agents.Select(a => a.Plan.Message));
        Assert.Equal(["1", "2", "3"], call.Agents.Select(a => a.Plan.Path));
        Assert.Equal(3, call.Agents.Select(a => a.Plan.Seed).Distinct().Count());
        Assert.All(call.Agents, a => Assert.Equal((AgentEnd.Finished, 400, 0), (a.End, a.Plan.MaxTokens, a.Plan.MaxAgents)));
        Assert.Equal(world.Engine.Statistics.OutputTokens, tokens.Spent);
        Assert.Equal((tokens.Spent, 0L, 10_000 - tokens.Spent), (call.Agents.Sum(a => a.OutputTokens), tokens.Discarded, tokens.Left));
        JsonElement[] results = [.. JsonDocument.Parse(call.Result()).RootElement.EnumerateArray()];
        Assert.Equal(call.Agents.Select(a => (a.Plan.Item, a.Content)), results.Select(r => (r.GetProperty("item").GetString()!, r.GetProperty("answer").GetString()!)));
        Assert.DoesNotContain("error", call.Result(), StringComparison.Ordinal);

        Assert.Equal((SubagentEventKind.Called, 3), (told[0].Kind, told[0].Agents!.Count));
        foreach (SubagentTrace agent in call.Agents)
        {
            SubagentEvent[] own = [.. told.Where(e => e.Kind != SubagentEventKind.Called && e.Path == agent.Plan.Path)];
            Assert.Equal((SubagentEventKind.Started, SubagentEventKind.Ended), (own[0].Kind, own[^1].Kind));
            Assert.Equal(agent.Reasoning, string.Concat(own.Where(e => e.Kind == SubagentEventKind.Thought).Select(e => e.Text)));
        }

        // The next call's agents go on counting, and draw anew.
        SubagentCallTrace again = await agents.CallAsync(Talk.Call("x{item}y{item}", "1"), Test);
        Assert.Equal(("4", 40 - 4), (again.Agents[0].Plan.Path, agents.Left));
        Assert.NotEqual(call.Agents[0].Plan.Seed, again.Agents[0].Plan.Seed);
    }

    [Fact]
    public async Task What_a_call_may_not_do_is_told_to_the_model()
    {
        using var world = new World();
        var tokens = new TokenBudget(200);
        var agents = new Subagents(world.Engine, Talk.Task(), new SubagentOptions { Agents = 3, AgentTokens = 30, PromptTokens = 60 }, tokens);
        async Task<string> FaultAsync(FunctionCall call)
        {
            SubagentCallTrace trace = await agents.CallAsync(call, Test);
            Assert.Empty(trace.Agents);
            Assert.Equal(trace.Fault, JsonDocument.Parse(trace.Result()).RootElement.GetProperty("error").GetString());
            return trace.Fault!;
        }

        Assert.Contains("not valid JSON", await FaultAsync(new FunctionCall(SubagentCall.Function, "{")));
        Assert.Contains("'get_weather'", await FaultAsync(new FunctionCall("get_weather", "{}")));
        Assert.Contains("4 agents are asked for, and 3", await FaultAsync(Talk.Call("{item}", "a", "b", "c", "d")));
        Assert.Equal((0L, 3), (tokens.Spent, agents.Left));

        // One whose prompt is too long fails alone.
        SubagentCallTrace two = await agents.CallAsync(Talk.Call("{item}", "a", new string('b', 61)), Test);
        Assert.Equal((AgentEnd.Failed, 0L), (two.Agents[1].End, two.Agents[1].OutputTokens));
        Assert.Contains("at most 60", two.Agents[1].Fault);
        Assert.Contains(two.Agents[0].End, (AgentEnd[])[AgentEnd.Finished, AgentEnd.Length]);
        Assert.Equal(1, agents.Left);

        // An agent below the last level asks in vain, reads why, and answers.
        SubagentTask eager = Talk.Task(calls: 1);
        SubagentCallTrace asked = await new Subagents(world.Engine, eager, new SubagentOptions { AgentTokens = 400 }, new TokenBudget(10_000)).CallAsync(Talk.Call("{item}", "a"), Test);
        Assert.Contains("can spawn no others", Assert.Single(asked.Agents[0].Calls).Fault);
        Assert.Equal(AgentEnd.Finished, asked.Agents[0].End);

        // One that never stops asking is stopped.
        SubagentCallTrace restless = await new Subagents(world.Engine, Talk.Task(calls: Talk.Endless), new SubagentOptions { AgentTokens = 100_000 }, new TokenBudget(1_000_000)).CallAsync(Talk.Call("{item}", "a"), Test);
        Assert.Equal((AgentEnd.Length, 31), (restless.Agents[0].End, restless.Agents[0].Calls.Count));

        var poor = new Subagents(world.Engine, Talk.Task(), new SubagentOptions(), new TokenBudget(47));
        Assert.Contains("too few for 2", (await poor.CallAsync(Talk.Call("{item}", "a", "b"), Test)).Fault);
        Assert.Null((await new Subagents(world.Engine, Talk.Task(), new SubagentOptions(), new TokenBudget(48)).CallAsync(Talk.Call("{item}", "a", "b"), Test)).Fault);
    }

    [Theory]
    [InlineData("""[]""", "object")]
    [InlineData("""{"items": ["a"]}""", "message_template")]
    [InlineData("""{"message_template": "a", "items": ["a"]}""", "{item}")]
    [InlineData("""{"message_template": "{item}"}""", "items")]
    [InlineData("""{"message_template": "{item}", "items": []}""", "items")]
    [InlineData("""{"message_template": "{item}", "items": [1]}""", "strings alone")]
    [InlineData("""{"message_template": "{item}", "items": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"]}""", "1 to 16")]
    [InlineData("""{"message_template": "{item}", "items": ["\ud800"]}""", "valid JSON")]
    public void Wrong_arguments_are_named(string arguments, string expected)
    {
        Assert.Null(SubagentCall.Read(arguments, out string? fault));
        Assert.Contains(expected, fault, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_fault_of_the_engine_ends_the_agents_it_met_alone()
    {
        var forward = new SimulatedForward(contextLength: 512, maxBatchRows: 64, maxSequences: 16, maxLogitRows: 16);
        using var world = new World(forward);
        int forwards = 0;
        forward.Before = _ =>
        {
            if (++forwards == 3)
                throw new InvalidOperationException("no such luck");
        };
        var agents = new Subagents(world.Engine, Talk.Task(ends: -50), new SubagentOptions { AgentTokens = 20 }, new TokenBudget(10_000));
        SubagentCallTrace call = await agents.CallAsync(Talk.Call("{item}", "a", "b"), Test);
        Assert.Contains(call.Agents, a => a.End == AgentEnd.Failed && a.Fault!.Contains("no such luck", StringComparison.Ordinal));
        Assert.Contains("\"error\":", call.Result(), StringComparison.Ordinal);
        call = await agents.CallAsync(Talk.Call("{item}", "a", "b"), Test);
        Assert.All(call.Agents, a => Assert.Equal((AgentEnd.Length, 20L), (a.End, a.OutputTokens)));
        AssertFree(world);
    }

    [Fact]
    public async Task Cancelling_ends_all_agents_within_a_step_and_frees_their_pages()
    {
        var forward = new SimulatedForward(contextLength: 512, maxBatchRows: 64, maxSequences: 16, maxLogitRows: 16);
        using var world = new World(forward);
        using var cancel = new CancellationTokenSource();
        int forwards = 0, atCancel = -1;
        forward.Before = _ => Interlocked.Increment(ref forwards);
        var wrote = new HashSet<string>();
        SubagentTask task = Talk.Task(ends: -50, tell: (news, _) =>
        {
            if (news.Kind == SubagentEventKind.Thought && wrote.Add(news.Path) && wrote.Count == 8)
            {
                cancel.Cancel();
                atCancel = Volatile.Read(ref forwards);
            }
            return ValueTask.CompletedTask;
        });
        var tokens = new TokenBudget(100_000);
        var agents = new Subagents(world.Engine, task, new SubagentOptions { AgentTokens = 400 }, tokens);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => agents.CallAsync(Talk.Call("{item}", "a", "b", "c", "d", "e", "f", "g", "h"), cancel.Token));
        Assert.InRange(forwards, atCancel, atCancel + 1); // the step that was under way
        Assert.Equal((tokens.Spent, tokens.Spent), (world.Engine.Statistics.OutputTokens, tokens.Discarded));
        AssertFree(world);

        // A host that fails to listen ends the call too, and is told why.
        task = Talk.Task(ends: -50, tell: (news, _) => news.Kind == SubagentEventKind.Thought ? throw new InvalidOperationException("gone") : ValueTask.CompletedTask);
        agents = new Subagents(world.Engine, task, new SubagentOptions { AgentTokens = 400 }, tokens);
        Assert.Equal("gone", (await Assert.ThrowsAsync<InvalidOperationException>(() => agents.CallAsync(Talk.Call("{item}", "a", "b"), Test))).Message);
        AssertFree(world);
    }

    [Fact]
    public async Task No_tree_exceeds_its_limits_by_one_token_or_agent()
    {
        using var world = new World();
        var random = new Random(12);
        int cancelled = 0, refused = 0, deep = 0, tight = 0;
        for (int tree = 0; tree < 1000; tree++)
        {
            var options = new SubagentOptions { Agents = random.Next(1, 30), Depth = random.Next(1, 4), AgentTokens = random.Next(1, 200), Seed = (ulong)tree };
            long most = random.Next(1, 900);
            var tokens = new TokenBudget(most);
            using var cancel = new CancellationTokenSource();
            int cancelAt = random.Next(3) == 0 ? random.Next(1, 60) : -1, told = 0, started = 0;
            SubagentTask task = Talk.Task(ends: 2 + 2 * random.NextSingle(), calls: random.Next(4), tell: (news, _) =>
            {
                started += news is { Kind: SubagentEventKind.Started, Turn: 0 } ? 1 : 0;
                if (++told == cancelAt)
                    cancel.Cancel();
                return ValueTask.CompletedTask;
            });
            long before = world.Engine.Statistics.OutputTokens;
            var agents = new Subagents(world.Engine, task, options, tokens);
            try
            {
                for (int call = random.Next(1, 4); call > 0; call--)
                {
                    SubagentCallTrace trace = await agents.CallAsync(Talk.Call("{item}", [.. Enumerable.Range(0, random.Next(1, 6)).Select(i => $"{tree} {i}")]), cancel.Token);
                    refused += trace.Fault is null ? 0 : 1;
                    deep += trace.Agents.Any(a => a.Calls.Any(c => c.Agents.Count > 0)) ? 1 : 0;
                    tight += trace.Agents.Any(a => a.End == AgentEnd.Length) ? 1 : 0;
                    Assert.All(Flatten(trace), a => Assert.InRange(a.OutputTokens, 0, a.Plan.MaxTokens));
                    Assert.All(Flatten(trace), a => Assert.InRange(a.Plan.Path.Count(c => c == '.'), 0, options.Depth - 1));
                }
                Assert.Equal(options.Agents - agents.Left, started);
            }
            catch (OperationCanceledException)
            {
                cancelled++;
            }
            long spent = world.Engine.Statistics.OutputTokens - before;
            Assert.InRange(spent, 0, most);
            Assert.Equal((spent, most - spent), (tokens.Spent, tokens.Left)); // nothing stays reserved
            Assert.InRange(tokens.Discarded, 0, spent);
            Assert.InRange(started, 0, options.Agents);
        }
        Assert.True(cancelled > 50 && refused > 50 && deep > 30 && tight > 50, $"{cancelled} cancelled, {refused} refused, {deep} deep, {tight} cut off");
        AssertFree(world);
    }

    [Fact]
    public void Parameters_are_checked()
    {
        using var world = new World();
        foreach (SubagentOptions wrong in (SubagentOptions[])[new() { Agents = 0 }, new() { Agents = 65 }, new() { Depth = 0 }, new() { Depth = 4 }, new() { AgentTokens = 0 }, new() { PromptTokens = 0 }])
            Assert.Equal("invalid_value", Assert.Throws<FlintException>(() => new Subagents(world.Engine, Talk.Task(), wrong, new TokenBudget(1))).Code);
    }

    private static async Task<string> RunAsync(World world, SubagentOptions options, int calls)
    {
        var tokens = new TokenBudget(20_000);
        var agents = new Subagents(world.Engine, Talk.Task(calls: calls), options, tokens);
        SubagentCallTrace[] traces = [await agents.CallAsync(Talk.Call("{item}", "a", "b", "c"), Test), await agents.CallAsync(Talk.Call("{item}{item}", "a", "b"), Test)];
        return new SubagentTree(options with { Seed = 0 }, traces, new ContemplationCost(0, tokens.Spent, tokens.Discarded, tokens.Tokens)).ToJson();
    }

    private static IEnumerable<SubagentTrace> Flatten(SubagentCallTrace call) => call.Agents.SelectMany(a => a.Calls.SelectMany(Flatten).Prepend(a));

    private static void AssertFree(World world)
    {
        KvPool pool = world.Engine.Pool;
        Assert.Equal(pool.Pages, pool.FreePages + pool.IdlePages);
    }

    private static async Task DrainAsync(Sequence sequence)
    {
        await foreach (TokenEvent _ in sequence.Events(Test))
        {
        }
    }

    /// <summary>A talk whose agents think all they write, answer with a number made of it, and call by chance.</summary>
    private sealed class Talk(string message, bool maySpawn, int calls) : SubagentTalk
    {
        public const int Endless = int.MaxValue; // calls a function that is not there in every turn

        private int[] _prompt = [.. EngineHarness.Prompt(Math.Max(1, message.Length), message.Sum(c => c))];
        private string _text = "";
        private int _sum;
        private int _turns;

        public override int[] Prompt => _prompt;

        public static FunctionCall Call(string template, params string[] items) =>
            new(SubagentCall.Function, JsonSerializer.Serialize(new { message_template = template, items }));

        /// <param name="ends">How likely agents end.</param>
        /// <param name="calls">In how many of their first turns they call, by chance after the first.</param>
        /// <param name="tell">Told what happens.</param>
        public static SubagentTask Task(float ends = 3, int calls = 0, Func<SubagentEvent, CancellationToken, ValueTask>? tell = null) => new()
        {
            Begin = (text, offered) => new Talk(text, offered, calls),
            Sampling = new SamplingOptions { LogitBias = new() { [Vocabularies.End] = ends } },
            Tell = tell,
        };

        public override string Read(in TokenEvent next)
        {
            _sum += next.Token + 1;
            _text += next.Text;
            return next.Text;
        }

        public override SubagentTurn End()
        {
            bool spawns = _turns < calls && (_turns == 0 || _sum % 2 == 0) && (maySpawn || _turns == 0);
            _turns++;
            string thoughts = _text;
            _text = "";
            if (calls == Endless)
                return new SubagentTurn(thoughts, "", [new FunctionCall("nothing", "{}")]);
            return new SubagentTurn(thoughts, $"{_sum}", spawns ? [Call("m{item}", [.. Enumerable.Range(0, 1 + _sum % 3).Select(i => $"{_sum % 17} {i}")])] : []);
        }

        public override void Answer(IReadOnlyList<string> results) =>
            _prompt = [.. _prompt, .. results.SelectMany(r => r.Take(calls == Endless ? 8 : 40)).Select(c => 8 + c % 40)];
    }
}
