using Flint.Engine;

namespace Flint.Contemplate;

/// <summary>Runs a recorded contemplation again and compares it with its record, bit for bit.</summary>
public static class Replay
{
    private const int AtOnce = 8;

    /// <summary>
    /// Runs every agent of a trace again, on its recorded prompt, seed, temperature and limits, and counts the votes anew. An agent
    /// that was cut off from outside is run for as many tokens as it had.
    /// </summary>
    /// <param name="engine">An engine over the same weights.</param>
    /// <param name="task">Reads the agents' text as it was read, and has the adapters; prompts, sampling and stops are the trace's.</param>
    /// <param name="trace">The record.</param>
    /// <param name="cancellation">Ends the replay.</param>
    /// <returns>One sentence per difference; none where all is the same.</returns>
    /// <exception cref="FlintException">Caller: the trace does not fit the model.</exception>
    public static async Task<IReadOnlyList<string>> RunAsync(
        Engine.Engine engine, ContemplationTask task, ContemplationTrace trace, CancellationToken cancellation = default)
    {
        Check(trace);
        var recorded = new ContemplationTask
        {
            Prompt = [.. trace.Prompt], Read = task.Read, Sampling = trace.Sampling, Stop = trace.Stop, Adapter = task.Adapter, Adapters = task.Adapters,
            CacheSalt = task.CacheSalt,
        };
        var again = new List<AgentTrace>();
        foreach (AgentTrace[] some in trace.Agents.Chunk(AtOnce))
            again.AddRange(await RunAsync(engine, recorded, trace.Options, some, cancellation).ConfigureAwait(false));
        var differences = new List<string>();
        for (int i = 0; i < again.Count; i++)
            Compare(trace.Agents[i], again[i], differences);
        CompareVotes(trace, again, differences);
        return differences;
    }

    private static async Task<AgentTrace[]> RunAsync(
        Engine.Engine engine, ContemplationTask task, ContemplationOptions options, AgentTrace[] recorded, CancellationToken cancellation)
    {
        var running = new List<Agent>();
        try
        {
            foreach (AgentTrace agent in recorded)
            {
                AgentPlan plan = WasCut(agent) ? agent.Plan with { MaxTokens = agent.OutputTokens } : agent.Plan;
                running.Add(Agent.Start(engine, plan, task, options));
            }
            await Task.WhenAll(running.Select(a => a.RunAsync(static _ => ValueTask.CompletedTask, cancellation))).ConfigureAwait(false);
        }
        finally
        {
            foreach (Agent agent in running)
                await agent.EndAsync().ConfigureAwait(false);
        }
        cancellation.ThrowIfCancellationRequested();
        return [.. running.Select((a, i) => a.Trace(recorded[i].End) with { Plan = recorded[i].Plan })];
    }

    private static void Compare(AgentTrace recorded, AgentTrace again, List<string> differences)
    {
        int index = recorded.Plan.Index;
        int same = recorded.Tokens.Zip(again.Tokens).TakeWhile(pair => pair.First == pair.Second).Count();
        if (same < recorded.Tokens.Count || same < again.Tokens.Count)
            differences.Add($"Agent {index}: {recorded.Tokens.Count} tokens are recorded, {again.Tokens.Count} were generated, the first {same} are the same.");
        else if (!recorded.Windows.SequenceEqual(again.Windows) || recorded.Confidence != again.Confidence)
            differences.Add($"Agent {index}: the tokens are the same, their log-probabilities are not.");
        else if (!WasCut(recorded) && recorded.End != again.End)
            differences.Add($"Agent {index}: it ended by '{recorded.End}', now by '{again.End}'.");
        else if ((recorded.Reasoning, recorded.Content, recorded.Passed is null ? recorded.Answer : again.Answer) != (again.Reasoning, again.Content, again.Answer))
            differences.Add($"Agent {index}: the tokens are the same and are read otherwise.");
    }

    /// <summary>The last count is of the agents nobody revised.</summary>
    private static void CompareVotes(ContemplationTrace trace, List<AgentTrace> again, List<string> differences)
    {
        HashSet<int> revised = [.. trace.Agents.Where(a => Ballot.Replaces(a, trace.Agents)).Select(a => a.Plan.Drafts[0])];
        var ballot = Ballot.Count(
            again.Zip(trace.Agents, (now, then) => then.Passed is null ? now with { End = then.End } : now with { End = then.End, Passed = then.Passed, Kind = then.Kind, Answer = then.Answer })
                .Where(a => a.Plan.Stage != AgentStage.Synthesize && !revised.Contains(a.Plan.Index)), trace.Options);
        Ballot recorded = trace.Ballots[^1];
        bool same = ballot.Agreement == recorded.Agreement && ballot.Certainty == recorded.Certainty && ballot.Candidates.Count == recorded.Candidates.Count
            && ballot.Candidates.Zip(recorded.Candidates).All(p => (p.First.Answer, p.First.Votes, p.First.Weight, p.First.Speaker) == (p.Second.Answer, p.Second.Votes, p.Second.Weight, p.Second.Speaker));
        if (!same)
            differences.Add("The votes are counted otherwise.");
        if (trace.Answer.Agent >= 0 && again[trace.Answer.Agent].Content != trace.Answer.Content)
            differences.Add("The answer is another.");
    }

    private static bool WasCut(AgentTrace agent) => agent.End is AgentEnd.Deadline or AgentEnd.Cancelled or AgentEnd.Failed;

    private static void Check(ContemplationTrace trace)
    {
        for (int i = 0; i < trace.Agents.Count; i++)
        {
            AgentPlan plan = trace.Agents[i].Plan;
            if (plan.Index != i || plan.Drafts.Any(d => d < 0 || d >= i) || (plan.Stage == AgentStage.Revise && plan.Drafts.Count == 0))
                throw FlintException.Caller("invalid_trace", $"The trace's agents are numbered from 0 and read the drafts of earlier ones; found otherwise at agent {i}.");
        }
        if (trace.Ballots.Count == 0 || trace.Answer.Agent < -1 || trace.Answer.Agent >= trace.Agents.Count)
            throw FlintException.Caller("invalid_trace", "The trace has votes, and an answer of one of its agents; found otherwise.");
    }
}
