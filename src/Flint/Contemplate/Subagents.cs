using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>
/// The agents that one agent spawns while it answers, and those that they spawn: a call starts one for each of its items, side by side
/// on one engine. Used by one thread at a time.
/// </summary>
/// <remarks>
/// What an agent may use, in tokens and in further agents, is reserved before it starts and settled after its end, in equal shares of
/// what its own agent has. So no tree exceeds its limits whatever is cancelled, and what an agent may do depends on the request, the seed
/// and the weights alone, never on who was faster.
/// </remarks>
public sealed class Subagents
{
    private const int LeastAgentTokens = 16; // a call is refused rather than answered by agents of fewer tokens

    private readonly Shared _shared;
    private readonly string _path; // of the agent that spawns
    private readonly int _depth; // levels of agents that may be below it
    private readonly ulong _seed;
    private int _calls;
    private int _started;

    /// <summary>What the first agent of a tree may spawn.</summary>
    /// <param name="engine">Computes the agents.</param>
    /// <param name="task">How they are made.</param>
    /// <param name="options">How far they may go.</param>
    /// <param name="tokens">The budget of the whole tree, which the first agent's own sequences are settled in too.</param>
    /// <param name="time">The clock by which an engine whose queue is full is asked again; the system's where null.</param>
    /// <exception cref="FlintException">Caller: a parameter is outside its range.</exception>
    public Subagents(Engine.Engine engine, SubagentTask task, SubagentOptions options, TokenBudget tokens, TimeProvider? time = null)
        : this(new EngineSubagents(engine, task, time ?? TimeProvider.System), task, options, tokens)
    {
    }

    /// <summary>What the first agent of a tree may spawn, wherever its agents are computed.</summary>
    /// <param name="host">Computes the agents.</param>
    /// <param name="task">How they are made.</param>
    /// <param name="options">How far they may go.</param>
    /// <param name="tokens">The budget of the whole tree.</param>
    /// <exception cref="FlintException">Caller: a parameter is outside its range.</exception>
    public Subagents(SubagentHost host, SubagentTask task, SubagentOptions options, TokenBudget tokens)
        : this(new Shared(host, task, options, new SemaphoreSlim(1)), "", options.Depth, options.Agents, options.Seed, tokens) =>
        options.Validate();

    private Subagents(Shared shared, string path, int depth, int agents, ulong seed, TokenBudget tokens)
    {
        _shared = shared;
        _path = path;
        _depth = depth;
        _seed = seed;
        Left = agents;
        Tokens = tokens;
    }

    /// <summary>The seed of one of an agent's turns.</summary>
    /// <param name="seed">The agent's own.</param>
    /// <param name="turn">Which turn, from 0.</param>
    public static ulong SeedOf(ulong seed, int turn) => Sampler.SampleSeed(seed, turn);

    /// <summary>What all agents of a tree have in common.</summary>
    internal sealed record Shared(SubagentHost Host, SubagentTask Task, SubagentOptions Options, SemaphoreSlim Turn)
    {
        /// <summary>Tells one event at a time. That a sequence was started is always told, so that it is metered.</summary>
        public async ValueTask TellAsync(SubagentEvent news, CancellationToken stop)
        {
            if (Task.Tell is not { } tell)
                return;
            await Turn.WaitAsync(CancellationToken.None).ConfigureAwait(false);
            try
            {
                await tell(news, stop).ConfigureAwait(false);
            }
            finally
            {
                Turn.Release();
            }
        }
    }

    /// <summary>Agents that may still be spawned, by this one and those below it.</summary>
    public int Left { get; private set; }

    /// <summary>Whether agents may be spawned at all, however few are left.</summary>
    internal bool MaySpawn => _depth > 0;

    /// <summary>What is left to this agent and those below it.</summary>
    internal TokenBudget Tokens { get; }

    /// <summary>Runs a call: every agent to its end. What is wrong with the call is told in its trace.</summary>
    /// <param name="call">The call, as the model wrote it.</param>
    /// <param name="cancellation">Ends every agent at the engine's next step.</param>
    /// <exception cref="OperationCanceledException">It was cancelled; every agent has ended.</exception>
    /// <exception cref="FlintException">Limit: the engine is shutting down.</exception>
    public async Task<SubagentCallTrace> CallAsync(FunctionCall call, CancellationToken cancellation)
    {
        int number = _calls++;
        SubagentCall? asked = Accept(call, out string? fault);
        List<SubagentPlan> plans = asked is null ? [] : Plan(asked, number);
        try
        {
            await _shared.TellAsync(new SubagentEvent { Kind = SubagentEventKind.Called, Path = _path, Agents = plans, Fault = fault }, cancellation).ConfigureAwait(false);
        }
        catch
        {
            foreach (SubagentPlan plan in plans)
                Tokens.Settle(plan.MaxTokens, 0, discarded: false);
            throw;
        }
        SubagentTrace[] agents = plans.Count == 0 ? [] : await RunAsync(plans, cancellation).ConfigureAwait(false);
        return new SubagentCallTrace { Name = call.Name, Arguments = call.Arguments, Fault = fault, Agents = agents };
    }

    /// <summary>Hands a request of the first agent's to the engine; one whose queue is full is asked again.</summary>
    /// <exception cref="FlintException">The engine refuses it.</exception>
    /// <exception cref="InvalidOperationException">No engine computes this tree.</exception>
    public Task<Sequence> SubmitAsync(GenerationRequest request, CancellationToken stop) =>
        _shared.Host is EngineSubagents engine ? engine.SubmitAsync(request, stop) : throw new InvalidOperationException("The agents are computed elsewhere.");

    /// <summary>Reads a call; null where it is not to be done, with a sentence for the model.</summary>
    private SubagentCall? Accept(FunctionCall call, out string? fault)
    {
        if (call.Name != SubagentCall.Function)
            fault = $"There is no function '{call.Name}'.";
        else if (_depth == 0)
            fault = "Agents of this depth can spawn no others.";
        else if (SubagentCall.Read(call.Arguments, out fault) is { } asked)
        {
            if (asked.Items.Count > Left)
                fault = $"{asked.Items.Count} agents are asked for, and {Left} may still be started.";
            else if (TokensOf(asked.Items.Count) < Math.Min(LeastAgentTokens, _shared.Options.AgentTokens))
                fault = $"The tokens that are left, {Tokens.Left}, are too few for {asked.Items.Count} agents.";
            else
                return asked;
        }
        return null;
    }

    // As much as for each of the agents is kept for the one that reads their answers.
    private int TokensOf(int agents) => (int)Math.Min(_shared.Options.AgentTokens, Tokens.Left / (agents + 1));

    /// <summary>Reserves what a call's agents may use.</summary>
    private List<SubagentPlan> Plan(SubagentCall call, int number)
    {
        int count = call.Items.Count, tokens = TokensOf(count), below = _depth > 1 ? (Left - count) / count : 0;
        Left -= count * (1 + below);
        ulong seed = Sampler.SampleSeed(~_seed, number);
        var plans = new List<SubagentPlan>();
        for (int item = 0; item < count; item++)
        {
            string path = $"{(_path.Length == 0 ? "" : $"{_path}.")}{++_started}";
            plans.Add(new SubagentPlan(path, call.Items[item], call.Message(item), Sampler.SampleSeed(seed, item), Tokens.Reserve(tokens), below));
        }
        return plans;
    }

    private async Task<SubagentTrace[]> RunAsync(List<SubagentPlan> plans, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Subagent[] agents = [.. plans.Select(plan => new Subagent(
            plan, _shared, new Subagents(_shared, plan.Path, _depth - 1, plan.MaxAgents, plan.Seed, new TokenBudget(plan.MaxTokens))))];
        var traces = new SubagentTrace[plans.Count];
        Exception? failure = null;
        await Task.WhenAll(agents.Select((agent, at) => Task.Run(() => RunOneAsync(agent, at), CancellationToken.None))).ConfigureAwait(false);
        for (int i = 0; i < agents.Length; i++)
        {
            // Of an agent that did not come to an end there is no trace.
            bool discarded = traces[i] is not { End: AgentEnd.Finished or AgentEnd.Length };
            Tokens.Settle(plans[i].MaxTokens, agents[i].Below.Tokens, discarded);
            Left += agents[i].Below.Left;
        }
        cancellation.ThrowIfCancellationRequested();
        if (failure is not null)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        return traces;

        async Task RunOneAsync(Subagent agent, int at)
        {
            try
            {
                traces[at] = await agent.RunAsync(stop.Token).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref failure, e, null);
                await stop.CancelAsync().ConfigureAwait(false);
            }
        }
    }
}
