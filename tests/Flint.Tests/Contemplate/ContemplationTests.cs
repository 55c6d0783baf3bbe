using Flint.Contemplate;
using Flint.Engine;
using Flint.Models;
using Flint.Tests.Engine;
using Flint.Tests.Simulation;

namespace Flint.Tests.Contemplate;

/// <summary>Trees of agents on a real engine over a simulated model.</summary>
public sealed class ContemplationTests
{
    private static readonly ContemplationOptions Eight = new() { Agents = 8, AgentTokens = 60, StopError = 0, Temperature = 1, Window = 4, PrunePercentile = 50, Seed = 5 };

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_tree_is_the_same_whatever_else_the_engine_does()
    {
        string alone;
        using (var world = new World())
            alone = (await world.ThinkAsync(World.Task(), Eight with { Rounds = 1, Subset = 3 }, cancellation: Test)).ToJson();
        // Beside other sequences and trees, in a pool that is short, without a prefix cache, and to a slow reader.
        using var loaded = new ManualResetEventSlim();
        var forward = new SimulatedForward(contextLength: 512, maxBatchRows: 64, maxSequences: 16, maxLogitRows: 16) { Before = _ => loaded.Wait() };
        using var busy = new World(forward, pages: 40, events: 4);
        using var bare = new World(cache: false);
        var load = Enumerable.Range(0, 12).Select(i => Drain(busy.Engine.Submit(new GenerationRequest { Prompt = EngineHarness.Prompt(30 + i, i), MaxTokens = 150, IgnoreEos = true, Sampling = new SamplingOptions { Seed = 1 } }))).ToList();
        loaded.Set();
        int told = 0;
        ContemplationTask slow = World.Task(tell: async _ =>
        {
            if (++told % 7 == 0)
                await Task.Yield();
        });
        var trees = await Task.WhenAll(
            busy.ThinkAsync(slow, Eight with { Rounds = 1, Subset = 3 }, cancellation: Test),
            busy.ThinkAsync(World.Task(seed: 3), Eight with { Seed = 6 }, cancellation: Test),
            bare.ThinkAsync(World.Task(), Eight with { Rounds = 1, Subset = 3 }, cancellation: Test));
        await Task.WhenAll(load);
        Assert.Equal(alone, trees[0].ToJson());
        Assert.Equal(alone, trees[2].ToJson());
        Assert.NotEqual(alone, trees[1].ToJson());
        Assert.True(busy.Engine.Statistics.Preemptions > 0);
        Assert.Contains(trees[0].Agents, a => a.End == AgentEnd.Pruned);
        Assert.Contains(trees[0].Agents, a => a is { Plan.Stage: AgentStage.Revise, Plan.Drafts.Count: 3 });
    }

    [Fact]
    public async Task Agents_differ_in_seed_and_temperature_and_the_first_wave_sets_the_floor()
    {
        using var world = new World();
        ContemplationTrace trace = await world.ThinkAsync(World.Task(), Eight, cancellation: Test);
        Assert.Equal(8, trace.Agents.Count);
        Assert.Equal(8, trace.Agents.Select(a => a.Plan.Seed).Distinct().Count());
        Assert.Equal([0.8f, 0.9333f, 1.0667f, 1.2f], trace.Agents.Take(4).Select(a => MathF.Round(a.Plan.Temperature, 4)));
        Assert.Equal([0f, 0.1333f, 0.2667f, 0.4f], Enumerable.Range(0, 4).Select(i => MathF.Round(new ContemplationOptions { Temperature = 0 }.TemperatureOf(i), 4)));
        Assert.All(trace.Agents.Take(4), a => Assert.Null(a.Plan.Floor));
        double floor = Consensus.Percentile(trace.Agents.Take(4).Where(a => a.End == AgentEnd.Finished).Select(a => a.Confidence), 50);
        foreach (AgentTrace later in trace.Agents.Skip(4))
        {
            Assert.Equal(floor, later.Plan.Floor);
            Assert.Equal(later.End == AgentEnd.Pruned, later.Tokens.Count >= 4 && later.Confidence < floor && later.Tokens[^1] != Vocabularies.End);
        }
        Assert.Equal(trace.Agents.Where(a => a.End == AgentEnd.Pruned).Sum(a => a.OutputTokens), trace.Cost.DiscardedTokens);
        Assert.True(trace.Cost.DiscardedTokens > 0);
        Assert.Equal(world.Engine.Statistics.OutputTokens, trace.Cost.OutputTokens);
        Assert.Equal(trace.Agents.Sum(a => a.Tokens.Count), trace.Cost.OutputTokens);
        Assert.Equal(2, trace.Ballots.Count);
        Assert.Equal(trace.Ballots[^1].Agreement, trace.Answer.Confidence);
        Assert.False(trace.Answer.Calibrated);
    }

    [Fact]
    public async Task Agreement_ends_exploring_and_is_calibrated_where_that_was_measured()
    {
        using var world = new World();
        ContemplationTask task = World.Task(answers: 1); // all say 0
        ContemplationTrace trace = await world.ThinkAsync(task, Eight with { StopError = 0.05, PrunePercentile = 0 }, cancellation: Test);
        Assert.Equal((ExploreEnd.Settled, 4, 1.0, true), (trace.Explored, trace.Agents.Count, trace.Answer.Agreement, trace.Answer.Complete));
        trace = await world.ThinkAsync(task, Eight with { StopError = 0.01, PrunePercentile = 0 }, cancellation: Test);
        Assert.Equal((ExploreEnd.Exhausted, 8), (trace.Explored, trace.Agents.Count));
        var calibrated = new ContemplationTask
        {
            Prompt = task.Prompt, Read = task.Read, Sampling = task.Sampling, Calibration = new Calibration([new(0, 0.1), new(1, 0.7)]),
        };
        trace = await world.ThinkAsync(calibrated, Eight, cancellation: Test);
        Assert.Equal((true, 0.7), (trace.Answer.Calibrated, trace.Answer.Confidence));
    }

    [Fact]
    public async Task Free_text_is_synthesised_and_checkable_answers_are_voted_on()
    {
        using var world = new World();
        ContemplationTrace text = await world.ThinkAsync(World.Task(answers: 0), Eight, cancellation: Test);
        AgentTrace last = text.Agents[^1];
        Assert.Equal((AgentStage.Synthesize, AgentEnd.Finished), (last.Plan.Stage, last.End));
        Assert.Equal(text.Agents.Where(a => a.End == AgentEnd.Finished && a.Plan.Stage == AgentStage.Explore).Select(a => a.Plan.Index), last.Plan.Drafts);
        Assert.Equal((last.Plan.Index, last.Content), (text.Answer.Agent, text.Answer.Content));
        Assert.DoesNotContain((await world.ThinkAsync(World.Task(), Eight, cancellation: Test)).Agents, a => a.Plan.Stage == AgentStage.Synthesize);
        Assert.DoesNotContain((await world.ThinkAsync(World.Task(answers: 0), Eight with { Aggregation = Aggregation.Vote }, cancellation: Test)).Agents, a => a.Plan.Stage == AgentStage.Synthesize);
        Assert.Contains((await world.ThinkAsync(World.Task(), Eight with { Aggregation = Aggregation.Synthesis }, cancellation: Test)).Agents, a => a.Plan.Stage == AgentStage.Synthesize);
    }

    [Fact]
    public async Task A_revision_takes_the_place_of_its_draft()
    {
        using var world = new World();
        ContemplationTrace trace = await world.ThinkAsync(World.Task(), Eight with { Rounds = 2 }, cancellation: Test);
        AgentTrace[] first = [.. trace.Agents.Where(a => a.Plan is { Stage: AgentStage.Revise, Round: 0 })];
        Assert.Equal(trace.Agents.Where(a => a is { Plan.Stage: AgentStage.Explore, End: AgentEnd.Finished }).Select(a => a.Plan.Index), first.Select(a => Assert.Single(a.Plan.Drafts)));
        Assert.Equal(trace.Prompt.Count + trace.Agents.Sum(a => a.Plan.Prompt?.Count ?? 0), trace.Cost.PromptTokens);
        int[] voters = [.. trace.Ballots[^1].Candidates.SelectMany(c => c.Agents)];
        Assert.All(trace.Agents.Where(a => a is { Plan: { Stage: AgentStage.Revise, Round: 1 }, End: AgentEnd.Finished }), a =>
        {
            Assert.Contains(a.Plan.Index, voters);
            Assert.DoesNotContain(a.Plan.Drafts[0], voters);
        });
        Assert.Equal(trace.Ballots[^2].Voters, trace.Ballots[^1].Voters);
    }

    [Fact]
    public async Task An_agent_that_never_ends_and_one_that_fails_stop_nobody()
    {
        var forward = new SimulatedForward(contextLength: 512, maxBatchRows: 64, maxSequences: 16, maxLogitRows: 16);
        using var world = new World(forward);
        ContemplationTrace trace = await world.ThinkAsync(World.Task(ends: 2), Eight with { AgentTokens = 12, PrunePercentile = 0 }, cancellation: Test);
        Assert.Contains(trace.Agents, a => a.End == AgentEnd.Length && a.Tokens.Count == 12);
        Assert.Contains(trace.Agents, a => a.End == AgentEnd.Finished);
        Assert.Equal(8, trace.Agents.Count);
        Assert.Equal(AgentEnd.Finished, trace.Agents[trace.Answer.Agent].End);

        // A fault takes the sequences of one step; those of the next wave go on.
        int forwards = 0;
        forward.Before = _ =>
        {
            if (++forwards == 3)
                throw new InvalidOperationException("no such luck");
        };
        trace = await world.ThinkAsync(World.Task(seed: 1), Eight with { PrunePercentile = 0 }, cancellation: Test);
        Assert.Contains(trace.Agents, a => a.End == AgentEnd.Failed && a.Fault!.Contains("no such luck", StringComparison.Ordinal));
        Assert.Equal(8, trace.Agents.Count);
        Assert.Equal(AgentEnd.Finished, trace.Agents[trace.Answer.Agent].End);
        forward.Before = _ => throw new InvalidOperationException("never");
        Assert.Equal("agents_failed", (await Assert.ThrowsAsync<FlintException>(() => world.ThinkAsync(World.Task(), Eight, cancellation: Test))).Code);
    }

    [Fact]
    public async Task Agents_that_loop_write_garbage_or_never_close_their_thoughts_stop_nobody()
    {
        using var world = new World();
        ContemplationTask plain = World.Task();
        var task = new ContemplationTask
        {
            Prompt = plain.Prompt,
            Sampling = plain.Sampling,
            Read = events => (events.Sum(e => e.Token) % 4) switch
            {
                0 => new Draft(string.Concat(events.Select(e => e.Text)), ""), // all of it thoughts
                1 => new Draft("", $"\ud800{{[\"\u0000{string.Concat(events.Select(e => (char)('a' + e.Token % 26)))}"), // no two the same
                _ => new Draft("", "It is 7."),
            },
        };
        ContemplationTrace trace = await world.ThinkAsync(task, Eight with { Agents = 32, AgentTokens = 24, PrunePercentile = 0 }, cancellation: Test);
        AgentTrace[] explorers = [.. trace.Agents.Where(a => a.Plan.Stage == AgentStage.Explore)];
        Assert.Equal(32, explorers.Length);
        Assert.Contains(explorers, a => a.End == AgentEnd.Length);
        Assert.Contains(explorers, a => a is { End: AgentEnd.Finished, Answer: null, Reasoning.Length: > 0 });
        Assert.Contains(explorers, a => a is { End: AgentEnd.Finished, Kind: AnswerKind.Text });
        Assert.Equal(("It is 7.", true), (trace.Answer.Content, trace.Answer.Complete));
        Assert.Equal(world.Engine.Statistics.OutputTokens, trace.Cost.OutputTokens);
        AssertFree(world);
    }

    [Fact]
    public async Task Answers_that_pass_a_check_are_equal_and_others_have_no_vote()
    {
        using var world = new World();
        int checks = 0;
        ContemplationTask plain = World.Task();
        ContemplationTask Checked(Func<Draft, bool> passes) => new()
        {
            Prompt = plain.Prompt, Read = plain.Read, Revise = plain.Revise, Synthesize = plain.Synthesize, Sampling = plain.Sampling, Calibration = new Calibration([new(0, 0.1), new(1, 0.7)]),
            Check = (draft, _) =>
            {
                Interlocked.Increment(ref checks);
                return Task.FromResult(passes(draft));
            },
        };
        ContemplationTrace trace = await world.ThinkAsync(Checked(d => d.Content != "0"), Eight with { PrunePercentile = 0 }, cancellation: Test);
        AgentTrace[] finished = [.. trace.Agents.Where(a => a.End == AgentEnd.Finished)];
        Assert.Equal(finished.Length, checks);
        Assert.All(finished, a => Assert.Equal(((bool?)(a.Content != "0"), (AnswerKind?)AnswerKind.Checked), (a.Passed, a.Kind)));
        Assert.Contains(finished, a => a.Passed == false);
        Candidate only = Assert.Single(trace.Ballots[^1].Candidates);
        Assert.Equal(finished.Where(a => a.Passed == true).Select(a => a.Plan.Index), only.Agents);
        Assert.Equal((true, false, true), (trace.Answer.Passed == true, trace.Answer.Calibrated, trace.Answer.Content != "0"));
        string json = trace.ToJson();
        Assert.Equal(json, ContemplationTrace.FromJson(json).ToJson());
        Assert.Empty(await Replay.RunAsync(world.Engine, plain, trace, Test));

        // One that passes settles it; a revision that fails does not take the place of a draft that passed.
        trace = await world.ThinkAsync(Checked(d => d.Content != "0"), Eight with { StopError = 0.05, PrunePercentile = 0 }, cancellation: Test);
        Assert.Equal((ExploreEnd.Settled, 4), (trace.Explored, trace.Agents.Count));
        int drafts = 0;
        trace = await world.ThinkAsync(Checked(_ => Interlocked.Increment(ref drafts) <= finished.Length), Eight with { PrunePercentile = 0, Rounds = 1 }, cancellation: Test);
        Assert.Contains(trace.Agents, a => a is { Plan.Stage: AgentStage.Revise, Passed: false });
        Assert.Equal((AgentStage.Explore, true), (trace.Agents[trace.Answer.Agent].Plan.Stage, trace.Answer.Passed == true));
        Assert.Empty(await Replay.RunAsync(world.Engine, plain, trace, Test));

        // Where none passes, the answer says so.
        trace = await world.ThinkAsync(Checked(_ => false), Eight with { PrunePercentile = 0, Aggregation = Aggregation.Vote }, cancellation: Test);
        Assert.Equal((0, 0.0, true, 8), (trace.Ballots[^1].Voters, trace.Answer.Agreement, trace.Answer.Passed == false, trace.Agents.Count));
        var broken = await Assert.ThrowsAsync<FlintException>(() => world.ThinkAsync(Checked(_ => throw new FlintException(FaultSide.Machine, "checker_failed", "no")), Eight, cancellation: Test));
        Assert.Equal("checker_failed", broken.Code);
        AssertFree(world);
    }

    [Fact]
    public async Task A_deadline_gives_the_best_so_far_and_says_so()
    {
        var time = new ManualTime();
        using var world = new World();
        int counted = 0;
        ContemplationTask task = World.Task(tell: news =>
        {
            counted += news.Kind == ContemplationEventKind.AgentEnded ? 1 : 0;
            if (news.Kind == ContemplationEventKind.AgentWrote && news.Agent!.Index == 5)
                time.Advance(TimeSpan.FromSeconds(10));
            return ValueTask.CompletedTask;
        });
        ContemplationTrace trace = await world.ThinkAsync(task, Eight with { Deadline = TimeSpan.FromSeconds(9), Rounds = 1, Aggregation = Aggregation.Synthesis }, time, Test);
        Assert.Equal((ExploreEnd.Deadline, false, false), (trace.Explored, trace.Answer.Complete, trace.Answer.InTime));
        Assert.Equal((8, 8), (trace.Agents.Count, counted));
        Assert.Equal(AgentEnd.Finished, trace.Agents[trace.Answer.Agent].End);
        Assert.Equal(trace.Agents.Where(a => a.End is AgentEnd.Deadline or AgentEnd.Pruned).Sum(a => a.OutputTokens), trace.Cost.DiscardedTokens);
        Assert.Empty(await Replay.RunAsync(world.Engine, task, trace, Test));

        // Nobody was ready: what the surest had written stands, marked.
        ContemplationTask none = World.Task(ends: -50, tell: news =>
        {
            if (news.Kind == ContemplationEventKind.AgentWrote && news.Agent!.Index == 3)
                time.Advance(TimeSpan.FromSeconds(10));
            return ValueTask.CompletedTask;
        });
        trace = await world.ThinkAsync(none, Eight with { Deadline = TimeSpan.FromSeconds(9), AgentTokens = 400 }, time, Test);
        Assert.Equal((4, AgentEnd.Deadline), (trace.Agents.Count, trace.Agents[3].End));
        Assert.Equal((false, 0.0, 0), (trace.Answer.Complete, trace.Answer.Agreement, trace.Ballots[^1].Voters));
        Assert.InRange(trace.Answer.Agent, 0, 3);
    }

    [Fact]
    public async Task Sixteen_agents_on_a_long_prompt_add_only_the_pages_of_their_own_tokens()
    {
        const int prompt = 4096, own = 40, agents = 16;
        var forward = new SimulatedForward(contextLength: 8192, maxBatchRows: 256, maxSequences: 16, maxLogitRows: 16);
        using var world = new World(forward, pages: 400);
        int most = 0, together = 0;
        forward.Before = batch =>
        {
            KvPool pool = world.Engine.Pool;
            most = Math.Max(most, pool.Pages - pool.FreePages - pool.IdlePages);
            together = Math.Max(together, batch.Sequences);
        };
        ContemplationTrace trace = await world.ThinkAsync(
            World.Task(prompt, ends: -50), new ContemplationOptions { Agents = agents, FirstWave = agents, AgentTokens = own, PrunePercentile = 0 }, cancellation: Test);
        Assert.Equal((agents, agents * own), (together, (int)trace.Cost.OutputTokens));
        Assert.InRange(most, KvPool.PagesFor(prompt) + 1, KvPool.PagesFor(prompt) + agents * KvPool.PagesFor(own));
        // The prompt is computed once, but for the rows of its last page, whose logits every agent needs.
        Assert.InRange(forward.Rows, prompt, prompt + agents * (KvPool.PageTokens + own));
    }

    [Fact]
    public async Task Cancelling_ends_all_agents_within_a_step_and_frees_their_pages()
    {
        var forward = new SimulatedForward(contextLength: 512, maxBatchRows: 64, maxSequences: 16, maxLogitRows: 16);
        using var world = new World(forward);
        using var cancel = new CancellationTokenSource();
        int forwards = 0, atCancel = -1;
        forward.Before = _ => Interlocked.Increment(ref forwards);
        var wrote = new HashSet<int>();
        ContemplationTask task = World.Task(ends: -50, tell: news =>
        {
            if (news.Kind == ContemplationEventKind.AgentWrote && wrote.Add(news.Agent!.Index) && wrote.Count == 8)
            {
                cancel.Cancel();
                atCancel = Volatile.Read(ref forwards);
            }
            return ValueTask.CompletedTask;
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => world.ThinkAsync(task, Eight with { FirstWave = 8, AgentTokens = 400 }, cancellation: cancel.Token));
        Assert.InRange(forwards, atCancel, atCancel + 1); // the step that was under way
        AssertFree(world);

        // A host that fails to listen ends the tree too, and is told why.
        task = World.Task(ends: -50, tell: news => news.Kind == ContemplationEventKind.AgentWrote ? throw new InvalidOperationException("gone") : ValueTask.CompletedTask);
        Assert.Equal("gone", (await Assert.ThrowsAsync<InvalidOperationException>(() => world.ThinkAsync(task, Eight with { AgentTokens = 400 }, cancellation: Test))).Message);
        AssertFree(world);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => world.ThinkAsync(task, Eight, cancellation: cancel.Token));
    }

    [Fact]
    public async Task No_tree_exceeds_its_budget_by_one_token()
    {
        using var world = new World();
        var random = new Random(11);
        int cancelled = 0, spentAll = 0, stages = 0;
        for (int tree = 0; tree < 1000; tree++)
        {
            ContemplationOptions options = Draw(random, tree);
            using var cancel = new CancellationTokenSource();
            int cancelAt = random.Next(3) == 0 ? random.Next(1, 60) : -1, told = 0;
            ContemplationTask task = World.Task(random.Next(1, 50), random.Next(0, 4), ends: 2 + 3 * random.NextSingle(), seed: tree, tell: _ =>
            {
                if (++told == cancelAt)
                    cancel.Cancel();
                return ValueTask.CompletedTask;
            });
            long before = world.Engine.Statistics.OutputTokens;
            try
            {
                ContemplationTrace trace = await world.ThinkAsync(task, options, cancellation: cancel.Token);
                Assert.Equal(world.Engine.Statistics.OutputTokens - before, trace.Cost.OutputTokens);
                Assert.InRange(trace.Cost.DiscardedTokens, 0, trace.Cost.OutputTokens);
                spentAll += trace.Cost.OutputTokens == options.MaxTokens ? 1 : 0;
                stages += trace.Agents.Any(a => a.Plan.Stage != AgentStage.Explore) ? 1 : 0;
            }
            catch (OperationCanceledException)
            {
                cancelled++;
            }
            Assert.InRange(world.Engine.Statistics.OutputTokens - before, 0, options.MaxTokens);
        }
        Assert.True(cancelled > 100 && spentAll > 50 && stages > 200, $"{cancelled} cancelled, {spentAll} spent all, {stages} with further stages");
        AssertFree(world);
    }

    [Fact]
    public async Task A_trace_is_written_read_and_run_again_bit_for_bit()
    {
        using var world = new World();
        ContemplationTask task = World.Task(answers: 0);
        ContemplationTrace trace = await world.ThinkAsync(task, Eight with { Rounds = 2, Subset = 2, PrunePercentile = 10, Aggregation = Aggregation.Synthesis }, cancellation: Test);
        string json = trace.ToJson();
        ContemplationTrace read = ContemplationTrace.FromJson(json);
        Assert.Equal(json, read.ToJson());
        Assert.Contains("\"stage\":\"revise\"", json, StringComparison.Ordinal);
        Assert.Equal(AgentStage.Synthesize, trace.Agents[^1].Plan.Stage);
        Assert.Empty(await Replay.RunAsync(world.Engine, task, read, Test));

        AgentTrace[] spoilt = [.. read.Agents];
        spoilt[2] = spoilt[2] with { Tokens = [.. spoilt[2].Tokens.SkipLast(1), 63] };
        Assert.Contains("Agent 2", Assert.Single(await Replay.RunAsync(world.Engine, task, read with { Agents = spoilt }, Test)), StringComparison.Ordinal);
        spoilt[2] = read.Agents[2] with { Confidence = read.Agents[2].Confidence + 1e-12 };
        Assert.Contains("log-probabilities", Assert.Single(await Replay.RunAsync(world.Engine, task, read with { Agents = spoilt }, Test)), StringComparison.Ordinal);
        spoilt[2] = read.Agents[2] with { Plan = read.Agents[2].Plan with { Seed = 1 } };
        Assert.NotEmpty(await Replay.RunAsync(world.Engine, task, read with { Agents = spoilt }, Test));
        Assert.NotEmpty(await Replay.RunAsync(world.Engine, task, read with { Ballots = [read.Ballots[0] with { Agreement = 0.123 }] }, Test));
        foreach (string bad in (string[])["", "null", "{}", "[]", json.Replace("\"first_wave\":4", "\"first_wave\":0", StringComparison.Ordinal), json.Replace("\"explore\"", "\"exploit\"", StringComparison.Ordinal)])
            Assert.Contains(Assert.Throws<FlintException>(() => ContemplationTrace.FromJson(bad)).Code, (string[])["invalid_trace", "invalid_value"]);
        await Assert.ThrowsAsync<FlintException>(() => Replay.RunAsync(world.Engine, task, read with { Ballots = [] }, Test));
    }

    [Fact]
    public async Task Parameters_and_prompts_are_checked()
    {
        using var world = new World();
        foreach (ContemplationOptions wrong in (ContemplationOptions[])
        [
            new() { Agents = 0 }, new() { Agents = 65 }, new() { FirstWave = 0 }, new() { Wave = 65 }, new() { StopError = 0.5 }, new() { Temperature = float.NaN },
            new() { TemperatureSpread = -1 }, new() { Window = 0 }, new() { ConfidenceTop = 21 }, new() { PrunePercentile = 101 }, new() { WeightPower = -1 },
            new() { AgentTokens = 0 }, new() { MaxTokens = 0 }, new() { Deadline = TimeSpan.Zero }, new() { Rounds = 17 }, new() { Subset = 9 }, new() { Aggregation = (Aggregation)9 },
        ])
            Assert.Equal("invalid_value", (await Assert.ThrowsAsync<FlintException>(() => world.ThinkAsync(World.Task(), wrong, cancellation: Test))).Code);
        Assert.Equal("context_length_exceeded", (await Assert.ThrowsAsync<FlintException>(() => world.ThinkAsync(World.Task(512), Eight, cancellation: Test))).Code);
        ContemplationTrace last = await world.ThinkAsync(World.Task(511), Eight, cancellation: Test);
        Assert.All(last.Agents, a => Assert.InRange(a.OutputTokens, 1, 1));
        Assert.Equal(64, (await world.ThinkAsync(World.Task(), new() { Agents = 64, StopError = 0, AgentTokens = 4 }, cancellation: Test)).Agents.Count(a => a.Plan.Stage == AgentStage.Explore));
    }

    private static ContemplationOptions Draw(Random random, int tree) => new()
    {
        Agents = random.Next(1, 9),
        FirstWave = random.Next(1, 6),
        Wave = random.Next(1, 6),
        StopError = random.Next(2) * 0.05,
        Temperature = 1,
        Window = random.Next(1, 6),
        PrunePercentile = random.Next(3) * 40,
        AgentTokens = random.Next(1, 40),
        MaxTokens = random.Next(1, 250),
        Rounds = random.Next(3),
        Subset = random.Next(1, 4),
        Aggregation = (Aggregation)random.Next(3),
        Seed = (ulong)tree,
    };

    private static void AssertFree(World world)
    {
        KvPool pool = world.Engine.Pool;
        Assert.Equal(pool.Pages, pool.FreePages + pool.IdlePages);
    }

    private static async Task Drain(Sequence sequence)
    {
        await foreach (TokenEvent _ in sequence.Events(Test))
        {
        }
    }
}
