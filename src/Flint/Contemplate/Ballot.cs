namespace Flint.Contemplate;

/// <summary>What speaks for one answer.</summary>
/// <param name="Kind">What kind of thing the answer is.</param>
/// <param name="Answer">The form in which the votes for it are equal.</param>
/// <param name="Votes">Agents that gave it.</param>
/// <param name="Weight">The sum of their weights.</param>
/// <param name="Agents">Their numbers, ascending.</param>
/// <param name="Speaker">The one of them that was surest; its words stand for the answer.</param>
public sealed record Candidate(AnswerKind Kind, string Answer, int Votes, double Weight, IReadOnlyList<int> Agents, int Speaker);

/// <summary>The agents' answers, counted.</summary>
/// <param name="Candidates">Heaviest first; of equal weight, the one with more votes, then the one an earlier agent gave.</param>
/// <param name="Voters">Agents that gave an answer.</param>
/// <param name="Agreement">The leading answer's share of all weight; 0 where nobody gave one.</param>
/// <param name="Certainty">The probability that the answer with the most votes keeps them (<see cref="Consensus.Certainty"/>); 0 where nobody gave one.</param>
public sealed record Ballot(IReadOnlyList<Candidate> Candidates, int Voters, double Agreement, double Certainty)
{
    /// <summary>The heaviest answer; null where nobody gave one.</summary>
    internal Candidate? Leader => Candidates.Count > 0 ? Candidates[0] : null;

    /// <summary>Counts the votes of agents that ended by themselves with an answer.</summary>
    /// <param name="agents">Agents, in order of their numbers.</param>
    /// <param name="options">How votes weigh.</param>
    public static Ballot Count(IEnumerable<AgentTrace> agents, ContemplationOptions options)
    {
        var candidates = new List<Candidate>();
        foreach (var votes in agents.Where(a => a is { End: AgentEnd.Finished, Answer: not null, Passed: not false }).GroupBy(a => (a.Kind, a.Answer)))
        {
            double weight = 0;
            AgentTrace speaker = votes.First();
            foreach (AgentTrace agent in votes)
            {
                weight += Weight(agent, options);
                if (agent.Confidence > speaker.Confidence)
                    speaker = agent;
            }
            candidates.Add(new Candidate(votes.Key.Kind!.Value, votes.Key.Answer!, votes.Count(), weight, [.. votes.Select(a => a.Plan.Index)], speaker.Plan.Index));
        }
        candidates = [.. candidates.OrderByDescending(c => c.Weight).ThenByDescending(c => c.Votes).ThenBy(c => c.Agents[0])];
        if (candidates.Count == 0)
            return new Ballot([], 0, 0, 0);
        int[] counts = [.. candidates.Select(c => c.Votes).OrderDescending()];
        double total = candidates.Sum(c => c.Weight);
        // Weights may all be too small for a number; then every vote counts the same.
        double agreement = total > 0 ? candidates[0].Weight / total : (double)candidates[0].Votes / counts.Sum();
        return new Ballot(candidates, counts.Sum(), agreement, Consensus.Certainty(counts[0], counts.Length > 1 ? counts[1] : 0));
    }

    /// <summary>Whether a revision takes the place of the draft it began with: it came to something, and does not fail where that passed.</summary>
    internal static bool Replaces(AgentTrace revision, IReadOnlyList<AgentTrace> agents) =>
        revision is { Plan.Stage: AgentStage.Revise, End: AgentEnd.Finished, Answer: not null }
        && !(revision.Passed == false && agents[revision.Plan.Drafts[0]].Passed == true);

    private static double Weight(AgentTrace agent, ContemplationOptions options) => options.ConfidenceTop == 0
        ? Math.Exp(options.WeightPower * agent.Confidence)
        : Math.Pow(Math.Max(0, agent.Confidence), options.WeightPower);
}
