using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>
/// Many agents think about one prompt side by side, and their answers become one. Agents start in waves; after each, the votes are
/// counted, and exploring stops once the answer is settled. Agents of later waves that are less sure of themselves than the first
/// wave was are cut off. Then, where asked, agents revise their drafts; and the answer is the heaviest vote, or what one more
/// agent makes of the drafts.
/// </summary>
/// <remarks>
/// What is decided depends on the agents' own tokens alone, at the ends of waves or inside the engine's step, and never on which of
/// them was faster: the tree is the same whatever else the engine does. A deadline is the one exception, and is marked.
/// </remarks>
public sealed class Contemplation
{
    private const int LeastAgentTokens = 16; // a wave has fewer agents rather than agents of fewer tokens
    private const int MaxRefusals = 120; // of a later agent, by an engine whose queue is full

    private readonly AgentHost _host;
    private readonly ContemplationTask _task;
    private readonly ContemplationOptions _options;
    private readonly TimeProvider _time;
    private readonly TokenBudget _budget;
    private readonly List<AgentTrace> _agents = [];
    private readonly List<Ballot> _ballots = [];
    private readonly SemaphoreSlim _turn; // to tell
    private readonly int _longestPrompt; // of exploring agents
    private List<AgentTrace> _drafts = []; // of the latest generation, in order of their numbers
    private List<AgentTrace> _ended = []; // of the wave that ended last, not yet among the drafts
    private ExploreEnd _explored;
    private AgentTrace? _synthesis;
    private long _promptTokens;
    private double? _floor;

    private Contemplation(AgentHost host, ContemplationTask task, ContemplationOptions options, TimeProvider time, SemaphoreSlim turn)
    {
        _turn = turn;
        _host = host;
        _task = task;
        _options = options;
        _time = time;
        _budget = new TokenBudget(options.MaxTokens);
        _longestPrompt = task.Viewpoints.Count == 0 ? task.Prompt.Length : task.Viewpoints.Max(v => v.Prompt.Length);
    }

    /// <summary>Contemplates.</summary>
    /// <param name="engine">Computes the agents, one sequence each; its prefix cache has them share the prompt's pages.</param>
    /// <param name="task">What about.</param>
    /// <param name="options">How.</param>
    /// <param name="time">The clock of the deadline; the system's where null.</param>
    /// <param name="cancellation">Ends every agent at the engine's next step.</param>
    /// <exception cref="FlintException">
    /// Caller where a parameter or the prompt is wrong; Limit where the engine takes no more; what an agent met where every agent failed.
    /// </exception>
    /// <exception cref="OperationCanceledException">It was cancelled; every agent has ended.</exception>
    public static Task<ContemplationTrace> RunAsync(
        Engine.Engine engine, ContemplationTask task, ContemplationOptions options, TimeProvider? time = null, CancellationToken cancellation = default) =>
        RunAsync(new EngineAgents(engine, task, options), task, options, time, cancellation);

    /// <summary>Contemplates with agents of any host.</summary>
    /// <param name="host">Computes the agents.</param>
    /// <param name="task">What about. Prompts are empty where the host makes them of the plans.</param>
    /// <param name="options">How.</param>
    /// <param name="time">The clock of the deadline; the system's where null.</param>
    /// <param name="cancellation">Ends every agent.</param>
    /// <exception cref="FlintException">
    /// Caller where a parameter or the prompt is wrong; Limit where the host takes no more; what an agent met where every agent failed.
    /// </exception>
    /// <exception cref="OperationCanceledException">It was cancelled; every agent has ended.</exception>
    public static async Task<ContemplationTrace> RunAsync(
        AgentHost host, ContemplationTask task, ContemplationOptions options, TimeProvider? time = null, CancellationToken cancellation = default)
    {
        options.Validate();
        task.Validate();
        cancellation.ThrowIfCancellationRequested();
        time ??= TimeProvider.System;
        using var deadline = options.Deadline is { } limit ? new CancellationTokenSource(limit, time) : new CancellationTokenSource();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, deadline.Token);
        using var turn = new SemaphoreSlim(1);
        var contemplation = new Contemplation(host, task, options, time, turn);
        bool inTime = await contemplation.ThinkAsync(stop, deadline.Token, cancellation).ConfigureAwait(false);
        return contemplation.Conclude(inTime);
    }

    /// <returns>False where the deadline came first.</returns>
    private async Task<bool> ThinkAsync(CancellationTokenSource stop, CancellationToken deadline, CancellationToken cancellation)
    {
        try
        {
            await ExploreAsync(stop).ConfigureAwait(false);
            for (int round = 0; round < _options.Rounds && _task.Revise is not null; round++)
                await ReviseAsync(round, stop).ConfigureAwait(false);
            if (WantsSynthesis(_ballots[^1]))
                await SynthesizeAsync(stop).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            TakeDrafts(); // of the wave that was cut off, those that were ready
            await CountAsync().ConfigureAwait(false);
            return false;
        }
    }

    private async Task ExploreAsync(CancellationTokenSource stop)
    {
        // A tree that may end in a synthesis keeps tokens for it.
        long kept = _options.Aggregation == Aggregation.Vote || _task.Synthesize is null
            ? 0 : Math.Min(_options.AgentTokens, _budget.Tokens / (_options.Agents + 1));
        _explored = ExploreEnd.Deadline; // until it is known better
        for (int wave = 0; ; wave++)
        {
            int count = Math.Min(wave == 0 ? _options.FirstWave : _options.Wave, _options.Agents - _agents.Count);
            List<AgentPlan> plans = [];
            foreach (int granted in Grant(count, Room(_longestPrompt), kept))
                plans.Add(Plan(plans.Count, AgentStage.Explore, wave, [], granted, null));
            if (plans.Count == 0)
            {
                _explored = ExploreEnd.Budget;
                break;
            }
            await RunWaveAsync(plans, stop).ConfigureAwait(false);
            TakeDrafts();
            Ballot ballot = await CountAsync().ConfigureAwait(false);
            if (wave == 0)
                LearnFloor();
            if (_agents.Count >= _options.Agents)
            {
                _explored = ExploreEnd.Exhausted;
                break;
            }
            if (_options.StopError > 0 && (ballot.Certainty >= 1 - _options.StopError || (_task.Check is not null && ballot.Voters > 0)))
            {
                _explored = ExploreEnd.Settled;
                break;
            }
        }
        if (_agents.Count == 0)
            throw FlintException.Caller("context_length_exceeded", $"The prompt has {_longestPrompt} tokens, which leaves an agent no room.");
        if (_agents.TrueForAll(a => a.End == AgentEnd.Failed))
            throw _host.Failure(_agents[0].Fault);
    }

    /// <summary>Every agent with an answer writes it anew, with its own draft before it or with several.</summary>
    private async Task ReviseAsync(int round, CancellationTokenSource stop)
    {
        AgentTrace[] population = [.. _drafts.Where(IsDraft)];
        List<(int[] Prompt, int[] Drafts)> prompts = [];
        for (int i = 0; i < population.Length; i++)
        {
            AgentTrace[] shown = Subset(population, i, round);
            int[]? prompt = _task.Revise!([.. shown.Select(DraftOf)]);
            if (prompt is not null && Room(prompt.Length) >= LeastAgentTokens)
                prompts.Add((prompt, [.. shown.Select(a => a.Plan.Index)]));
        }
        int room = prompts.Count == 0 ? 0 : prompts.Min(p => Room(p.Prompt.Length));
        List<AgentPlan> plans = [];
        foreach (int granted in Grant(prompts.Count, room, 0))
        {
            (int[] prompt, int[] drafts) = prompts[plans.Count];
            plans.Add(Plan(plans.Count, AgentStage.Revise, round, drafts, granted, prompt));
        }
        if (plans.Count == 0)
            return;
        await RunWaveAsync(plans, stop).ConfigureAwait(false);
        TakeDrafts();
        await CountAsync().ConfigureAwait(false);
    }

    /// <summary>Puts what the last wave wrote among the drafts. A revision that came to nothing leaves the draft it began with.</summary>
    private void TakeDrafts()
    {
        AgentTrace[] revisions = [.. _ended.Where(a => Ballot.Replaces(a, _agents))];
        HashSet<int> replaced = [.. revisions.Select(a => a.Plan.Drafts[0])];
        _drafts = [.. _drafts.Where(a => !replaced.Contains(a.Plan.Index)), .. _ended.Where(a => a.Plan.Stage == AgentStage.Explore), .. revisions];
        _ended = [];
    }

    private async Task SynthesizeAsync(CancellationTokenSource stop)
    {
        // The surest drafts, as many as leave room, in order of their agents.
        List<AgentTrace> shown = [.. _drafts.Where(IsDraft).OrderByDescending(a => a.Confidence).ThenBy(a => a.Plan.Index).Take(ContemplationOptions.MaxDrafts)];
        for (; shown.Count > 1; shown.RemoveAt(shown.Count - 1))
        {
            AgentTrace[] ordered = [.. shown.OrderBy(a => a.Plan.Index)];
            int[]? prompt = _task.Synthesize!([.. ordered.Select(DraftOf)]);
            if (prompt is null || Room(prompt.Length) < LeastAgentTokens)
                continue;
            foreach (int granted in Grant(1, Room(prompt.Length), 0))
            {
                AgentPlan plan = Plan(0, AgentStage.Synthesize, 0, [.. ordered.Select(a => a.Plan.Index)], granted, prompt);
                await RunWaveAsync([plan], stop).ConfigureAwait(false);
                if (IsDraft(_agents[^1]) && (_agents[^1].Passed != false || _ballots[^1].Leader is null))
                    _synthesis = _agents[^1];
            }
            return;
        }
    }

    private bool WantsSynthesis(Ballot ballot) => _task.Synthesize is not null && _options.Aggregation switch
    {
        Aggregation.Vote => false,
        Aggregation.Synthesis => true,
        _ => ballot.Leader is not { } leader || (leader.Kind == AnswerKind.Text && leader.Votes * 2 <= ballot.Voters),
    };

    /// <summary>Drafts for an agent to see: its own, or a few drawn from all, its own among them.</summary>
    private AgentTrace[] Subset(AgentTrace[] population, int own, int round)
    {
        List<AgentTrace> others = [.. population];
        others.RemoveAt(own);
        List<AgentTrace> subset = [population[own]];
        ulong seed = Sampler.SampleSeed(~_options.Seed, round * ContemplationOptions.MaxAgents + own);
        while (subset.Count < _options.Subset && others.Count > 0)
        {
            int drawn = (int)(Sampler.Uniform(seed, subset.Count) * others.Count);
            subset.Add(others[drawn]);
            others.RemoveAt(drawn);
        }
        return [.. subset];
    }

    private void LearnFloor()
    {
        double[] lowest = [.. _drafts.Where(a => a.End == AgentEnd.Finished).Select(a => a.Confidence)];
        if (_options.PrunePercentile > 0 && lowest.Length > 1)
            _floor = Consensus.Percentile(lowest, _options.PrunePercentile);
    }

    private AgentPlan Plan(int inWave, AgentStage stage, int round, int[] drafts, int maxTokens, int[]? prompt)
    {
        int index = _agents.Count + inWave;
        // Fewer draws are wanted of the one that writes the answer: it takes the lowest temperature.
        float temperature = _options.TemperatureOf(stage == AgentStage.Synthesize ? 0 : index);
        double? floor = stage == AgentStage.Explore ? _floor : null;
        Viewpoint? view = stage == AgentStage.Explore && _task.Viewpoints.Count > 0 ? _task.Viewpoints[index % _task.Viewpoints.Count] : null;
        return new AgentPlan(
            index, stage, round, drafts, Sampler.SampleSeed(_options.Seed, index), temperature, maxTokens, floor, prompt ?? view?.Prompt, view?.Name, view?.Adapter);
    }

    /// <summary>Whether an earlier agent has the same prompt.</summary>
    private bool SharesPrompt(AgentPlan plan) => plan.Stage == AgentStage.Explore && plan.Index >= Math.Max(1, _task.Viewpoints.Count);

    /// <summary>Reserves tokens for a wave in equal shares; for fewer agents where too few are left.</summary>
    /// <param name="count">Agents wanted.</param>
    /// <param name="room">Tokens the context leaves to each.</param>
    /// <param name="kept">Tokens not to be touched.</param>
    private List<int> Grant(int count, int room, long kept)
    {
        int wanted = Math.Min(room, _options.AgentTokens);
        var grants = new List<int>();
        long left = _budget.Left - kept;
        if (left <= 0 || wanted <= 0)
            return grants;
        count = (int)Math.Min(count, Math.Max(1, left / Math.Min(LeastAgentTokens, wanted)));
        for (int i = 0; i < count; i++)
        {
            int granted = _budget.Reserve((int)Math.Min(wanted, left / (count - i)));
            left -= granted;
            grants.Add(granted);
        }
        return grants;
    }

    private int Room(int prompt) => Math.Max(0, _host.ContextLength - prompt);

    /// <summary>Runs agents side by side to the end of all.</summary>
    private async Task RunWaveAsync(List<AgentPlan> plans, CancellationTokenSource stop)
    {
        var running = new List<AgentRun>();
        Exception? failure = null;
        try
        {
            foreach (AgentPlan plan in plans)
            {
                AgentRun agent = await StartAsync(plan, stop.Token).ConfigureAwait(false);
                running.Add(agent);
                await TellAsync(new ContemplationEvent { Kind = ContemplationEventKind.AgentStarted, Agent = plan, Sequence = agent.Sequence, SharesPrompt = SharesPrompt(plan) }).ConfigureAwait(false);
            }
        }
        catch (Exception e)
        {
            failure = e; // of those not started: nothing; those started are ended below
            await stop.CancelAsync().ConfigureAwait(false);
        }
        var ended = new AgentTrace?[plans.Count];
        await Task.WhenAll(running.Select((agent, i) => Task.Run(() => RunAsync(agent, i)))).ConfigureAwait(false);
        for (int i = running.Count; i < plans.Count; i++)
            _budget.Settle(plans[i].MaxTokens, 0, discarded: false);
        _ended = [.. ended.OfType<AgentTrace>()];
        foreach (AgentTrace trace in _ended)
        {
            _budget.Settle(trace.Plan.MaxTokens, trace.OutputTokens, trace.End is not (AgentEnd.Finished or AgentEnd.Length));
            if (!SharesPrompt(trace.Plan))
                _promptTokens += trace.Plan.Prompt?.Count ?? _task.Prompt.Length;
        }
        _agents.AddRange(_ended);
        if (failure is not null and not OperationCanceledException)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        if (!stop.IsCancellationRequested && running.Exists(a => a.IsShutDown))
            throw new FlintException(FaultSide.Limit, "shutting_down", "The engine is shutting down and ended the agents.");
        if (failure is not null)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        stop.Token.ThrowIfCancellationRequested();

        async Task RunAsync(AgentRun agent, int at)
        {
            try
            {
                await agent.RunAsync(TellAsync, stop.Token).ConfigureAwait(false);
                ended[at] = await CheckAsync(agent.Trace(AgentEnd.Deadline), stop.Token).ConfigureAwait(false);
                await TellAsync(new ContemplationEvent { Kind = ContemplationEventKind.AgentEnded, Agent = agent.Plan, Trace = ended[at] }).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                ended[at] ??= agent.Trace(AgentEnd.Cancelled);
                Interlocked.CompareExchange(ref failure, e, null);
                await stop.CancelAsync().ConfigureAwait(false);
            }
        }
    }

    private async Task<AgentTrace> CheckAsync(AgentTrace agent, CancellationToken stop)
    {
        if (_task.Check is not { } check || !IsDraft(agent))
            return agent;
        bool passed = false;
        try
        {
            passed = await check(DraftOf(agent), stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // No time is left to know.
        }
        return agent with { Passed = passed, Kind = AnswerKind.Checked, Answer = passed ? "passed" : "failed" };
    }

    /// <summary>Hands an agent over; an engine whose queue is full is asked again, but not for the first agent of all.</summary>
    private async Task<AgentRun> StartAsync(AgentPlan plan, CancellationToken stop)
    {
        for (int refusals = 0; ; refusals++)
        {
            stop.ThrowIfCancellationRequested();
            try
            {
                return _host.Start(plan);
            }
            catch (FlintException full) when (full.Code == "queue_full" && plan.Index > 0 && refusals < MaxRefusals)
            {
                await Task.Delay(full.RetryAfter ?? TimeSpan.FromSeconds(1), _time, stop).ConfigureAwait(false);
            }
        }
    }

    private async Task<Ballot> CountAsync()
    {
        var ballot = Ballot.Count(_drafts, _options);
        _ballots.Add(ballot);
        await TellAsync(new ContemplationEvent { Kind = ContemplationEventKind.Counted, Ballot = ballot }).ConfigureAwait(false);
        return ballot;
    }

    private async ValueTask TellAsync(ContemplationEvent news)
    {
        if (_task.Tell is not { } tell)
            return;
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            await tell(news).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    private static bool IsDraft(AgentTrace agent) => agent is { End: AgentEnd.Finished, Answer: not null };

    private static Draft DraftOf(AgentTrace agent) => new(agent.Reasoning, agent.Content, agent.Kind == AnswerKind.Call ? agent.Answer : null);

    private ContemplationTrace Conclude(bool inTime)
    {
        Ballot ballot = _ballots[^1];
        AgentTrace? speaker = _synthesis
            ?? (ballot.Leader is { } leader ? _agents[leader.Speaker] : null)
            ?? _agents.Where(a => a.Answer is not null).OrderByDescending(a => a.Confidence).ThenBy(a => a.Plan.Index).FirstOrDefault();
        // What a synthesis wrote is as sure as the drafts agree, but that was not measured.
        Calibration? calibration = _synthesis is null && ballot.Leader is not null && _task.Check is null ? _task.Calibration : null;
        bool complete = inTime && _explored != ExploreEnd.Budget && speaker?.End == AgentEnd.Finished;
        return new ContemplationTrace
        {
            Model = _task.Model,
            Options = _options,
            Sampling = _task.Sampling,
            Stop = _task.Stop,
            Prompt = _task.Prompt,
            Agents = _agents,
            Ballots = _ballots,
            Explored = _explored,
            Answer = new ContemplationAnswer(
                speaker?.Plan.Index ?? -1, speaker?.Content ?? "", speaker?.Kind, ballot.Agreement,
                calibration?.Apply(ballot.Agreement) ?? ballot.Agreement, calibration is not null, complete, inTime, speaker?.Passed),
            Cost = new ContemplationCost(_promptTokens, _budget.Spent, _budget.Discarded, _options.MaxTokens == long.MaxValue ? null : _options.MaxTokens),
        };
    }
}
